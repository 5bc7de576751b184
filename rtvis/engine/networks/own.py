"""Models of one's own: `path/to/file.py:factory`, or a saved one."""

import importlib.util
import itertools
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from torch import nn

from rtvis.engine.networks.weights import load_pickle
from rtvis.errors import NetworkError, did_you_mean

_SAVED: Final = (".pt", ".pth", ".pt2", ".bin", ".ckpt")
_NUMBERS = itertools.count()


def is_own(name: str) -> bool:
    """Whether a network's name means a file rather than an entry of a library."""
    path, colon, _ = name.rpartition(":")
    return (bool(colon) and path.endswith(".py")) or name.endswith((".py", *_SAVED))


def is_exported(name: str) -> bool:
    """Whether it means an exported program; see `rtvis.engine.networks.exported`."""
    return name.endswith(".pt2")


def load_own(name: str, *, trust_pickle: bool = False) -> nn.Module:
    """The model that `name` means, in eval mode.

    Args:
        name: `path/to/file.py:factory`, where the factory is a function or a class that takes no
            arguments, or a module; or a file with a pickled model.
        trust_pickle: Allow files with whole models. This runs code from the file.

    Raises:
        NetworkError: No such file or factory, an error in it, or no module comes out of it.
    """
    model = _from_python(name) if ".py" in name else _from_saved(name, trust_pickle=trust_pickle)
    if model.training:
        model.eval()
    return model


def _from_python(name: str) -> nn.Module:
    text, _, attribute = name.rpartition(":")
    if not text:
        raise NetworkError(f"{name}: which factory? write {name}:function_or_class")
    path = Path(text)
    if not path.is_file():
        raise NetworkError(f"{text}: there is no such file; own models are path/to/file.py:factory")
    module = _imported(path)
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise NetworkError(f"{text} has no '{attribute}'{did_you_mean(attribute, known)}")
    made: Any = getattr(module, attribute)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise NetworkError(f"{name} is of type {type(made).__name__}, not a function or class")
        with _beside(path), _reported(name, path):
            made = made()
    if not isinstance(made, nn.Module):
        what = "nothing" if made is None else f"an object of type {type(made).__name__}"
        raise NetworkError(f"{name} returns {what}, not a torch.nn.Module")
    return made


def _imported(path: Path) -> ModuleType:
    # A name of its own: two files may both be called model.py.
    module_name = f"_rtvis_own_{next(_NUMBERS)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look their module up
    with _beside(path), _reported(str(path), path):
        # Not exec_module: its bytecode cache takes a file that was edited within a second, and has
        # kept its size, for the old one.
        source = spec.loader.get_data(str(path))
        exec(spec.loader.source_to_code(source, str(path)), module.__dict__)  # noqa: S102 - asked for
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let the file import its neighbours, as if it were run."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def _reported(name: str, path: Path) -> Iterator[None]:
    """Turn whatever the user's code raises into one line with its place in the file."""
    try:
        yield
    except SyntaxError as fault:
        raise NetworkError(f"{fault.filename}:{fault.lineno}: {fault.msg}") from fault
    except Exception as fault:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(fault.__traceback__)
            if Path(frame.filename) == path or Path(frame.filename) == path.resolve()
        ]
        place = f"{path}:{lines[-1]}" if lines else name
        text = (str(fault).strip().splitlines() or [""])[0]
        raise NetworkError(f"{place}: {type(fault).__name__}: {text}") from fault


def _from_saved(name: str, *, trust_pickle: bool) -> nn.Module:
    if not Path(name).is_file():
        raise NetworkError(f"{name}: there is no such file")
    loaded = load_pickle(name, trust_pickle=trust_pickle)
    if not isinstance(loaded, nn.Module):
        raise NetworkError(
            f"{name}: holds a {type(loaded).__name__}, not a whole model; name the network with "
            f"--network and give this file as --weights"
        )
    return loaded

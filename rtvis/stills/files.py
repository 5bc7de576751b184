"""Which pictures the still-image scripts read, where they write, and writing without halves."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtvis import filing
from rtvis.errors import SinkError, SourceError
from rtvis.paths import path_of
from rtvis.sources.images import list_folder, list_glob
from rtvis.sources.lists import LIST_SUFFIXES, read_list
from rtvis.sources.pixels import is_image

OUTPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""What an output's name may end in to choose its format; anything else is part of the name."""


def list_inputs(names: Sequence[str]) -> list[Path]:
    """The pictures that file names, folders, globs and lists stand for, each once.

    Raises:
        SourceError: One of them does not exist or holds no picture.
    """
    paths: dict[Path, None] = {}
    for name in names:
        path = path_of(name)
        if path.is_dir():
            found = list_folder(path)
        elif path.exists() or not re.search(r"[*?\[]", name):
            if not path.exists():
                raise SourceError(
                    f"{name}: there is no such file or folder; name a picture, a folder or a glob"
                )
            is_list = path.suffix.lower() in LIST_SUFFIXES and not is_image(path)
            found = [row.paths[0] for row in read_list(path)] if is_list else [path]
        else:
            found = list_glob(str(path))
        paths.update(dict.fromkeys(found))
    return list(paths)


def plan_outputs(
    inputs: Sequence[Path], output: str, *, suffixes: Sequence[str] = OUTPUT_SUFFIXES
) -> list[Path]:
    """The name that each input's results are derived from, by `numbered` or as it is.

    For one input that is `output`, with the first of `suffixes` if it ends in none of them. For
    several, or where `output` is a folder or ends in a slash, they are named as the inputs are,
    in that folder; inputs of one name but another suffix or folder keep what tells them apart.

    Raises:
        SinkError: `output` is a file where a folder is needed.
    """
    target = path_of(output)
    if len(inputs) == 1 and not target.is_dir() and not output.endswith(("/", os.sep)):
        known = target.suffix.lower() in suffixes
        return [target if known else target.with_name(target.name + suffixes[0])]
    if target.exists() and not target.is_dir():
        raise SinkError(
            f"{target}: is a file, and {len(inputs)} pictures need a folder; name another"
        )
    for name_of in (_stem, _name, _whole_path):
        names = [name_of(path) for path in inputs]
        if len(set(names)) == len(names):
            break
    return [target / f"{name}{suffixes[0]}" for name in names]


def _stem(path: Path) -> str:
    return path.stem


def _name(path: Path) -> str:
    return path.name


def _whole_path(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", str(path.resolve())).strip("_")


def numbered(path: Path, number: int) -> Path:
    """`out.png` and 0 give `out_0.png`."""
    return path.with_name(f"{path.stem}_{number}{path.suffix}")


def check_writable(folder: Path) -> None:
    """Make sure, before any long work, that files can be made in `folder`; it is made if missing.

    Raises:
        SinkError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from None


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files so that each is either whole or not there.

    Raises:
        SinkError: One cannot be written (no permission, no space); nothing has changed then.
    """
    try:
        filing.write_all(files)
    except OSError as error:
        raise _cannot_write(Path(error.filename), error) from None


def _cannot_write(path: Path, error: OSError) -> SinkError:
    hint = filing.remedy(error, otherwise="name an --output in a folder that is yours")
    return SinkError(f"{path}: cannot be written ({error.strerror}); {hint}")


def file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, whatever it is called; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino

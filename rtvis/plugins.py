"""Code of others that adds to rtvis: Python files that a flag names, and installed packages.

A plug-in registers what it adds when it is imported, such as a CAM method in
`rtvis.registry.CAM_METHODS`. A package names its module in the entry points "rtvis.plugins".
"""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtvis.errors import ConfigError

GROUP: Final = "rtvis.plugins"
"""Of entry points."""


def load_plugins(files: Sequence[str]) -> list[str]:
    """Import the installed plug-ins, and those in files. To be called before a network is loaded.

    Args:
        files: Python files.

    Returns:
        A line for each installed one that failed: a package that somebody installed must not keep
        the program from starting.

    Raises:
        ConfigError: A file cannot be read, or failed.
    """
    import rtvis.methods  # noqa: F401 - first, so that the names of the package's own are taken

    failures = []
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as fault:  # noqa: BLE001 - code of others
            failures.append(f"plug-in {entry.name} ({entry.value}): {_told(fault)}; it is left out")
    for file in files:
        _run_file(Path(file))
    return failures


def _run_file(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"rtvis_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--plugin {path}: is no Python file; name one that ends in .py")
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except FileNotFoundError:
        raise ConfigError(f"--plugin {path}: there is no such file") from None
    except Exception as fault:
        raise ConfigError(f"--plugin {path}: {_told(fault)}") from fault


def _told(fault: Exception) -> str:
    text = (str(fault).strip().splitlines() or [""])[0]
    return f"{type(fault).__name__}: {text}"

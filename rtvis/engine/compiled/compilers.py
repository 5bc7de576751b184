"""The compilers that are installed."""

import shutil
import sysconfig
from pathlib import Path


def cpp_compiler() -> str | None:
    """Of C++, as inductor looks for one."""
    return _first_on_path("g++", "clang++", "c++")


def c_compiler() -> str | None:
    """Of C."""
    return _first_on_path("gcc", "clang", "cc")


def has_python_header() -> bool:
    """Whether C that Python loads can be compiled, as Triton's launchers are."""
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # as Triton does
    return (Path(sysconfig.get_path("include", scheme)) / "Python.h").is_file()


def _first_on_path(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)

"""The compilers that are installed."""

import shutil


def cpp_compiler() -> str | None:
    """Of C++, as inductor looks for one."""
    return _first_on_path("g++", "clang++", "c++")


def c_compiler() -> str | None:
    """Of C."""
    return _first_on_path("gcc", "clang", "cc")


def _first_on_path(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)

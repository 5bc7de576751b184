"""Files of a store as they are read: whole, not there, or damaged."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from rtvis import filing
from rtvis.errors import StoreError


def read_bytes(path: Path) -> bytes | None:
    """A file as it is; None where there is none.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none.

    Raises:
        StoreError: It cannot be read, or is damaged.
    """
    data = read_bytes(path)
    if data is None:
        return None
    try:
        return json.loads(data)
    except ValueError:
        raise damaged(path) from None


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays of an npz file; None where there is none.

    Raises:
        StoreError: It cannot be read, or is damaged.
    """
    try:
        return filing.read_npz(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise damaged(path) from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from None


def damaged(path: Path) -> StoreError:
    """What is said of a file that is not what it was."""
    return StoreError(f"{path}: is damaged; `rtvis units verify` finds all that is")


def num_bytes_in(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(_size_of(path) for path in _walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder):
        yield from (Path(root, name) for name in files)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process writes, or removes
        return 0

"""A data set that was looked at before: what is new in it, and that the rest is as it was."""

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from rtvis.errors import StoreError
from rtvis.units.items import Files, Items

_FILM_BYTES: Final = 2**20


def with_new_files(before: Items, found: Files) -> Files:
    """The data set as it is now, in an order in which what was looked at has its place.

    Args:
        before: What was looked at.
        found: All that there is now.

    Returns:
        The files of `before`, which keep their classes' numbers, and behind them the new ones.

    Raises:
        StoreError: A file that was looked at is gone, or has another content or class.
    """
    place_of = {name: place for place, name in enumerate(found.names)}
    done = before.num_files
    old = [place_of.get(name, -1) for name in before.files.names[:done]]
    _check_unchanged(before, found, old)
    known = set(old)
    index = np.array(old + [i for i in range(len(found)) if i not in known], dtype=np.int64)
    classes = {name: number for number, name in enumerate(before.files.classes)}
    number_of = [classes.setdefault(name, len(classes)) for name in found.classes]
    ordered = found.take(index)
    labels = [number_of[each] if each >= 0 else -1 for each in ordered.label_F.tolist()]
    return replace(ordered, label_F=np.array(labels, dtype=np.int64), classes=tuple(classes))


def _check_unchanged(before: Items, found: Files, places: list[int]) -> None:
    for index, place in enumerate(places):
        name = before.files.names[index]
        if place < 0:
            raise _changed(name, "is no longer among the data")
        if before.files.label(index) != found.label(place):
            raise _changed(name, f"has the class {found.label(place)} now")
        size, modified = int(found.size_bytes_F[place]), int(found.modified_ns_F[place])
        if size != before.files.size_bytes_F[index]:
            raise _changed(name, "has another size")
        if modified == before.files.modified_ns_F[index] or index in before.errors:
            continue
        checksum = checksum_of_file(found.path(place), is_film=bool(found.is_film_F[place]))
        if checksum != before.checksum_D[index]:
            raise _changed(name, "has another content")


def _changed(name: str, how: str) -> StoreError:
    return StoreError(
        f"{name}: {how} since it was scanned; give the data as they were, --restart to scan these "
        "in their place, or for both another --store"
    )


def checksum_of(data: npt.NDArray[np.uint8], *, is_film: bool) -> int:
    """CRC-32 of a file's bytes, of a film's first MiB."""
    return zlib.crc32((data[:_FILM_BYTES] if is_film else data).data)


def checksum_of_file(path: Path, *, is_film: bool) -> int:
    """The same of a file; 0 where it cannot be read."""
    try:
        data = np.fromfile(path, dtype=np.uint8, count=_FILM_BYTES if is_film else -1)
    except OSError:
        return 0
    return checksum_of(data, is_film=is_film)

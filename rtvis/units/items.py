"""What a data set is: files in an order, and the items that they hold.

A picture is one item; a film is as many as it has frames. Items are numbered in the order of the
files, and a number never changes its meaning: what a data set gains later comes behind. A file
that cannot be read keeps its number, with the reason.

A file is the same as before if its name, its size and the CRC-32 of its content (of a film: of its
first MiB) are; where time of change and size are as they were, the content is not read again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rtvis.errors import StoreError
from rtvis.units.arrays import Arrays

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Files:
    """Pictures and films, in the order in which they are looked at. F of them."""

    root: Path
    """What the names are relative to."""
    names: tuple[str, ...]
    """With `/` between folders; absolute where a file does not lie below `root`."""
    size_bytes_F: Ints
    """-1 where there is no such file."""
    modified_ns_F: Ints
    label_F: Ints
    """Index into `classes`; -1: not known."""
    is_film_F: npt.NDArray[np.bool_]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """Where a file is."""
        return self.root / self.names[index]

    def label(self, index: int) -> str | None:
        """The class of a file, if it is known."""
        label = int(self.label_F[index])
        return self.classes[label] if label >= 0 else None

    def take(self, index: Ints) -> "Files":
        """Some of the files, in that order."""
        return Files(
            root=self.root,
            names=tuple(self.names[each] for each in index.tolist()),
            size_bytes_F=self.size_bytes_F[index],
            modified_ns_F=self.modified_ns_F[index],
            label_F=self.label_F[index],
            is_film_F=self.is_film_F[index],
            classes=self.classes,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One picture, or one frame of a film."""

    index: int
    path: Path
    name: str
    """Of the file, as in `Files.names`."""
    label: str | None
    frame: int | None
    """Of a film, counted from 0; None for a picture."""
    pts_seconds: float | None
    """Position in the film; None for a picture."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Items:
    """The items of the first files of a data set: of those that were looked at."""

    files: Files
    """D of these were looked at, from the first one on."""
    num_items_D: Ints
    """1 of a picture, the number of frames of a film."""
    checksum_D: Ints
    """CRC-32 of the content, of a film of its first MiB; 0 where it could not be read."""
    film_pts: tuple[npt.NDArray[np.float64], ...] = ()
    """Of each film among them the times of its frames, in seconds."""
    errors: Mapping[int, str] = field(default_factory=dict)
    """File's index -> why nothing could be read, or where reading ended too soon."""

    @property
    def num_files(self) -> int:
        """D."""
        return len(self.num_items_D)

    def __len__(self) -> int:
        """How many items there are, unreadable ones counted."""
        return int(self.num_items_D.sum())

    def __getitem__(self, index: int) -> Item:
        """An item by its number."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        ends_D = self.num_items_D.cumsum()
        place = int(np.searchsorted(ends_D, index, side="right"))
        files = self.files
        frame = pts_seconds = None
        if files.is_film_F[place]:
            frame = int(index - (ends_D[place] - self.num_items_D[place]))
            film = int(files.is_film_F[:place].sum())
            pts_seconds = float(self.film_pts[film][frame])
        return Item(
            index=index,
            path=files.path(place),
            name=files.names[place],
            label=files.label(place),
            frame=frame,
            pts_seconds=pts_seconds,
        )

    def to_arrays(self) -> Arrays:
        """As arrays of numbers; texts are UTF-8 with a zero byte between them."""
        done, files = self.num_files, self.files
        pts = np.concatenate([np.empty(0), *self.film_pts])
        return {
            "root": pack_texts([str(files.root)]),
            "names": pack_texts(files.names[:done]),
            "size_bytes": files.size_bytes_F[:done],
            "modified_ns": files.modified_ns_F[:done],
            "label": files.label_F[:done],
            "is_film": files.is_film_F[:done],
            "classes": pack_texts(files.classes),
            "num_items": self.num_items_D,
            "checksum": self.checksum_D,
            "film_pts": pts,
            "error_files": np.array(sorted(self.errors), dtype=np.int64),
            "error_texts": pack_texts([self.errors[index] for index in sorted(self.errors)]),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> "Items":
        """What `to_arrays` gave.

        Raises:
            StoreError: Something is missing or does not fit together.
        """
        try:
            names = unpack_texts(arrays["names"])
            files = Files(
                root=Path(unpack_texts(arrays["root"])[0]),
                names=names,
                size_bytes_F=arrays["size_bytes"].astype(np.int64),
                modified_ns_F=arrays["modified_ns"].astype(np.int64),
                label_F=arrays["label"].astype(np.int64),
                is_film_F=arrays["is_film"].astype(np.bool_),
                classes=unpack_texts(arrays["classes"]),
            )
            num_items_D = arrays["num_items"].astype(np.int64)
            frames = num_items_D[files.is_film_F]
            film_pts = np.split(arrays["film_pts"], frames.cumsum())
            texts = unpack_texts(arrays["error_texts"])
            errors = dict(zip(arrays["error_files"].tolist(), texts, strict=True))
        except (KeyError, IndexError, ValueError, UnicodeDecodeError) as fault:
            raise StoreError(f"the list of items is damaged: {fault}") from None
        lengths = {len(names), *(len(arrays[key]) for key in _PER_FILE), len(num_items_D)}
        if len(lengths) != 1 or len(film_pts[-1]):
            raise StoreError("the list of items is damaged: its parts differ in length")
        return Items(
            files=files,
            num_items_D=num_items_D,
            checksum_D=arrays["checksum"].astype(np.int64),
            film_pts=tuple(film_pts[:-1]),
            errors=errors,
        )


_PER_FILE = ("size_bytes", "modified_ns", "label", "is_film", "checksum")


def pack_texts(texts: tuple[str, ...] | list[str]) -> npt.NDArray[np.uint8]:
    """Each text with a zero byte behind it: no name of a file holds one."""
    data = b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)
    return np.frombuffer(data, dtype=np.uint8)


def unpack_texts(data: npt.NDArray[Any]) -> tuple[str, ...]:
    """What `pack_texts` was given."""
    parts = data.astype(np.uint8).tobytes().split(b"\0")
    return tuple(part.decode("utf-8", "surrogateescape") for part in parts[:-1])

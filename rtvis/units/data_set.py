"""From what `--data` names to files: a folder with all below it, a list, a glob, a film."""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from rtvis.errors import SourceError
from rtvis.paths import path_of
from rtvis.sources.choose import DEMO_NAME, demo_path
from rtvis.sources.images import IMAGE_SUFFIXES, natural_order
from rtvis.sources.lists import LIST_SUFFIXES, read_list
from rtvis.sources.pixels import is_image
from rtvis.units.items import Files

FILM_SUFFIXES: Final = frozenset(
    {".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".webm", ".wmv", ".y4m"}
)
"""Files of a folder or list that are taken for films; all others of a list are pictures."""

NO_LABELS: Final = "none"


@dataclass(frozen=True, slots=True)
class _Found:
    """A file, before anything is known of it."""

    path: Path
    label: str | None = None
    is_film: bool = False


def find_files(data: str | os.PathLike[str], *, labels: str | None = None) -> Files:
    """The pictures and films that `data` names.

    Args:
        data: A folder, with all folders below it; a list file (.txt, .lst, .csv) with one picture
            or film a line, and its class behind it where that is known; a glob; a picture, a film,
            or `demo`.
        labels: The classes: None for the list's own, in a folder the names of the folders right
            below it; "none"; or a CSV file with the columns picture and class.

    Raises:
        SourceError: There is no such thing, it holds neither picture nor film, or the CSV file
            cannot be read or names none of them.
    """
    text = os.fspath(data)
    root, found = _look(text)
    files = _as_files(root, found)
    if labels is None:
        return files
    if labels == NO_LABELS:
        return replace(files, label_F=np.full(len(files), -1, dtype=np.int64), classes=())
    return _labelled(files, _read_labels(path_of(labels)), where=labels)


def _look(text: str) -> tuple[Path, Iterable[_Found]]:
    if text == DEMO_NAME:
        path = demo_path()
        return path.parent, [_Found(path, is_film=True)]
    if not text.strip():
        raise SourceError("the name of the data set is empty; name a folder, a list or a film")
    path = path_of(text)
    if path.is_dir():
        return path, _in_folder(path)
    if path.exists():
        if path.suffix.lower() in LIST_SUFFIXES and not is_image(path):
            return path.parent, _in_list(path)
        return path.parent, [_Found(path, is_film=_is_film(path))]
    if re.search(r"[*?\[]", text):
        return _in_glob(path)
    raise SourceError(
        f"{text}: there is no such file or folder; name a folder of pictures, a list of them, a "
        "film, or demo"
    )


def _in_folder(root: Path) -> Iterator[_Found]:
    """Depth first, by name with numbers as numbers; nothing hidden, no folder twice."""
    seen: set[tuple[int, int]] = set()
    is_empty = True
    for path in _walk(root, seen):
        suffix = path.suffix.lower()
        if suffix not in IMAGE_SUFFIXES and suffix not in FILM_SUFFIXES:
            continue
        is_empty = False
        inside = path.relative_to(root).parts
        yield _Found(path, inside[0] if len(inside) > 1 else None, suffix in FILM_SUFFIXES)
    if is_empty:
        raise SourceError(
            f"{root}: neither this folder nor those below it hold a picture or a film; name another"
        )


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        found = folder.stat()
        if (found.st_dev, found.st_ino) in seen:  # a link to a folder above it
            return
        seen.add((found.st_dev, found.st_ino))
        entries = sorted(
            (entry for entry in os.scandir(folder) if not entry.name.startswith(".")),
            key=lambda entry: natural_order(entry.name),
        )
    except OSError as error:
        raise SourceError(
            f"{folder}: {error.strerror}; make it readable or name another folder"
        ) from None
    for entry in entries:
        if entry.is_dir():
            yield from _walk(Path(entry.path), seen)
        else:
            yield Path(entry.path)


def _in_list(path: Path) -> Iterator[_Found]:
    for row in read_list(path):
        label = None
        if len(row.paths) > 1:
            second = row.paths[1]
            inside = second.is_relative_to(path.parent)
            label = (second.relative_to(path.parent) if inside else second).as_posix()
        yield _Found(row.paths[0], label, row.paths[0].suffix.lower() in FILM_SUFFIXES)


def _in_glob(pattern: Path) -> tuple[Path, Iterator[_Found]]:
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if re.search(r"[*?\[]", part))
    root = Path(*parts[:first]) if first else Path()
    suffixes = IMAGE_SUFFIXES | FILM_SUFFIXES
    paths = sorted(
        (
            each
            for each in root.glob(str(Path(*parts[first:])))
            if each.suffix.lower() in suffixes and each.is_file()
        ),
        key=lambda each: natural_order(str(each)),
    )
    if not paths:
        raise SourceError(f"{pattern}: matches neither a picture nor a film; name a folder of them")
    return root, (_Found(each, is_film=each.suffix.lower() in FILM_SUFFIXES) for each in paths)


def _is_film(path: Path) -> bool:
    if path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}:
        return False
    with path.open("rb") as file:
        head = file.read(4)
    return head == b"GIF8" or not is_image(path)


def _as_files(root: Path, found: Iterable[_Found]) -> Files:
    names, sizes, times, labels, films = [], [], [], [], []
    classes: dict[str, int] = {}
    known: set[str] = set()
    for each in found:
        inside = each.path.is_relative_to(root)
        name = (each.path.relative_to(root) if inside else each.path.absolute()).as_posix()
        if name in known:  # a list names it twice; an item counts once
            continue
        known.add(name)
        try:
            status = each.path.stat()
            size, modified = status.st_size, status.st_mtime_ns
        except (OSError, ValueError):
            size, modified = -1, 0
        names.append(name)
        sizes.append(size)
        times.append(modified)
        films.append(each.is_film)
        labels.append(-1 if each.label is None else classes.setdefault(each.label, len(classes)))
    return Files(
        root=root.absolute(),
        names=tuple(names),
        size_bytes_F=np.array(sizes, dtype=np.int64),
        modified_ns_F=np.array(times, dtype=np.int64),
        label_F=np.array(labels, dtype=np.int64),
        is_film_F=np.array(films, dtype=np.bool_),
        classes=tuple(classes),
    )


def _read_labels(path: Path) -> Mapping[str, str]:
    """File's name -> class, of the first two columns of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if len(row) > 1]
    except OSError as error:
        raise SourceError(f"--classes {path}: {error.strerror}; name a CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"--classes {path}: is no CSV file in UTF-8: {error}") from None
    return {row[0].strip(): row[1].strip() for row in rows}


def _labelled(files: Files, label_of: Mapping[str, str], *, where: str) -> Files:
    classes: dict[str, int] = {}
    labels = []
    for name in files.names:
        label = label_of.get(name, label_of.get(name.rpartition("/")[2]))
        labels.append(-1 if label is None else classes.setdefault(label, len(classes)))
    if not classes:
        raise SourceError(
            f"--classes {where}: names none of the {len(files)} pictures; its first column holds "
            f"names such as '{files.names[0]}', the second their classes"
        )
    return replace(files, label_F=np.array(labels, dtype=np.int64), classes=tuple(classes))

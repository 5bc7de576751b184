"""Pictures and arrays as the bytes of files, and files that are either whole or not there."""

import contextlib
import errno
import io
import lzma
import os
import secrets
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from rtvis.data import ImageU8

PART_SUFFIX = ".part"
"""Of files that are being written; one that is older than its writer is of no use to anybody."""


_SYNCED_AT_ONCE: Final = 16
"""Files. One after the other each waits for the disk, 20 ms on a busy one; what waits together
goes out in one journal of the file system."""


def remedy(error: OSError, *, otherwise: str) -> str:
    """What to do where a file could not be written: `otherwise`, unless the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space or name another disk"
    return otherwise


def write_all(
    files: Mapping[Path, bytes],
    *,
    before_renaming: Callable[[], None] = lambda: None,
    synced: bool = False,
) -> None:
    """Write several files so that each is either whole or not there.

    All are written beside their targets first; only when none of them failed are they renamed.

    Args:
        files: Content by path.
        before_renaming: Called between the two; what it raises stops it all.
        synced: Whether the content is on the disk before a file has its name: else the name may
            outlive a power cut, and the content not.

    Raises:
        OSError: One cannot be written (no permission, no space), and its `filename` is that one's;
            nothing has changed then.
    """
    parts: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in files.items():
            part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART_SUFFIX}")
            parts[path] = part
            part.write_bytes(data)
        if synced:
            sync_files(parts.values())
        before_renaming()
        for path in files:
            parts[path].replace(path)
            del parts[path]
    except OSError as error:
        target_of = {str(part): target for target, part in parts.items()}
        error.filename = str(target_of.get(error.filename, path))
        raise
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink()


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until the contents of files are on the disk.

    Raises:
        OSError: One cannot be brought there, and its `filename` is that one's.
    """
    _together(_sync, list(paths))


def sync_folders(folders: Iterable[Path]) -> None:
    """Wait until the names in folders are on the disk, where the file system can say so."""

    def sync(folder: Path) -> None:
        with contextlib.suppress(OSError):  # some know no such thing, and a folder may be gone
            _sync(folder)

    _together(sync, list(folders))


def _together(do: Callable[[Path], None], paths: Sequence[Path]) -> None:
    if len(paths) < 2:
        list(map(do, paths))
        return
    with ThreadPoolExecutor(_SYNCED_AT_ONCE, thread_name_prefix="rtvis-sync") as threads:
        list(threads.map(do, paths))


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise


def move_all(source: Path, target: Path) -> None:
    """Move all files of a folder into another one: all of them, or none.

    Files of the same names are replaced, and lie in `source` afterwards; what else is in `target`
    may be anybody's, and stays.

    Args:
        source: On the same file system.
        target: A folder.

    Raises:
        OSError: One cannot be moved, or a folder is where it should go; then all is as it was.
    """
    before = source / f"before{PART_SUFFIX}"
    moved: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            name = path.relative_to(source)
            goal = target / name
            _make_folders(goal.parent, made)
            if goal.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(goal))
            if goal.exists() or goal.is_symlink():
                (before / name).parent.mkdir(parents=True, exist_ok=True)
                moved.append((goal, before / name))
                goal.rename(before / name)
            moved.append((path, goal))
            path.rename(goal)
    except BaseException:
        for was, now in reversed(moved):
            if not (was.exists() or was.is_symlink()):  # the last one may not have been moved
                now.rename(was)
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note which there were not."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def encode_image(path: Path, image_bgr_HW3: ImageU8, *, quality: int = 95) -> bytes:
    """The bytes of a picture in the format that the path's suffix names.

    Args:
        path: Nothing is written to it.
        image_bgr_HW3: BGR, as OpenCV has it.
        quality: Of a JPEG, up to 100.
    """
    is_jpeg = path.suffix.lower() in {".jpg", ".jpeg"}
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if is_jpeg else []
    done, data = cv2.imencode(path.suffix, image_bgr_HW3, flags)
    assert done, f"{path.suffix} refuses {image_bgr_HW3.shape}"
    return data.tobytes()


def encode_npz(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """The bytes of a compressed npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


_DAMAGED: Final = (
    EOFError,
    KeyError,
    RuntimeError,  # one wrong bit says that it is encrypted,
    lzma.LZMAError,  # or packed in another way
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file; no pickle is read.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or something else.
    """
    with path.open("rb") as opened:  # np.load leaves one open that is damaged
        try:
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.lib.npyio.NpzFile):
                return {name: file[name] for name in file.files}
        except OSError as error:
            if error.errno not in {None, errno.EINVAL}:  # of bz2, and of a place before the file
                raise
            raise ValueError(str(error)) from error
        except _DAMAGED as error:
            raise ValueError(str(error)) from error
    raise ValueError("one array, and no npz file")

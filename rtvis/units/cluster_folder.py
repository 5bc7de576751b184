"""The folder in which a Ray of our own keeps sockets and logs, and those that were left over."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rtvis.units.lock import holder, locked

_PREFIX: Final = "rtvis-ray-"
_LOCK: Final = "owner.lock"

_SETTLED_S: Final = 60.0
"""A lock's file is there for an instant before it is locked."""


@contextlib.contextmanager
def own_folder(what: str) -> Iterator[Path]:
    """A new folder that nobody else may open, removed at the end.

    Ray lets everybody into its own folder, which is to be made within this. What programs that
    were killed left behind is removed first.

    Args:
        what: The program, for who looks into its lock.
    """
    # Sockets' names have at most 107 bytes, and TMPDIR may take most of them.
    usual = Path("/tmp")  # noqa: S108 - mkdtemp makes a new one, for us alone
    place = usual if usual.is_dir() else Path(tempfile.gettempdir())
    remove_leftovers(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        with locked(folder / _LOCK, what):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(place: Path) -> None:
    """Remove the folders of this user's programs that ended without doing so.

    The system's lock tells who lives, for the number of a process may be another's by now, or of
    another container. What has no lock is not known to be ours, and stays.
    """
    for folder in place.glob(f"{_PREFIX}*"):
        lock = folder / _LOCK
        with contextlib.suppress(OSError):  # another one removes it, too
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            if time.time() - lock.lstat().st_mtime > _SETTLED_S and holder(lock) is None:
                shutil.rmtree(folder, ignore_errors=True)

"""Whether a disk takes what shall be written to it."""

import shutil
from pathlib import Path
from typing import Final

from rtvis.errors import SinkError

RESERVE_BYTES: Final = 8 << 20
"""Left free on the disk, so that a film's index can still be written when it fills up."""


def try_to_write(path: Path) -> None:
    """Raise SinkError unless a file can be made there."""
    try:
        path.touch()
        path.unlink()
    except OSError as error:
        raise SinkError(
            f"{path.parent}: cannot be written to ({error.strerror}); "
            "name a film in a folder that exists and is yours"
        ) from None


def free_bytes(folder: Path) -> int:
    """What the disk of a folder has room for."""
    return shutil.disk_usage(folder).free

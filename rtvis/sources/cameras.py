"""Cameras of Linux: whether a number is one's, before it is opened again and again."""

import errno
import os
import sys
from pathlib import Path
from typing import Final

from rtvis.errors import SourceError

_QUERYCAP: Final = 0x80685600
"""VIDIOC_QUERYCAP: what a device can do, into a struct of 104 bytes."""
_QUERYCAP_BYTES: Final = 104
_CAPABILITIES: Final = slice(84, 88)
"""Of the driver with all of its devices; the next four bytes are those of this device."""
_HAS_DEVICE_CAPS: Final = 0x80000000
_PICTURES: Final = 0x1 | 0x2 | 0x1000 | 0x2000
"""Capture and output, of one plane or several: a loopback device says output until a program feeds
it, and is a camera then. The second device of a webcam gives its metadata alone."""

_FOR_NOW: Final = frozenset({errno.EBUSY, errno.EAGAIN, errno.EIO})
"""Faults of a camera that may answer later."""


def check_linux_camera(index: int, folder: Path = Path("/dev")) -> None:
    """Say what would do where there is no such camera: OpenCV would only say that it failed, and
    it would be tried for ever.

    Raises:
        SourceError: There is none, it is no camera, or it may not be read.
    """
    device = folder / f"video{index}"
    if not device.exists():
        raise SourceError(f"camera {index}: there is no {device}; {_others(folder)}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"camera {index}: no permission to read {device}; add yourself to the group video"
        )
    if not _may_give_pictures(device):
        raise SourceError(f"camera {index}: {device} is no camera; {_others(folder)}")


def _others(folder: Path) -> str:
    """Which numbers would do."""
    numbers = sorted(
        int(path.name.removeprefix("video"))
        for path in folder.glob("video*")
        if path.name.removeprefix("video").isdecimal() and _may_give_pictures(path)
    )
    if numbers:
        return f"there are: {', '.join(map(str, numbers))}"
    return "this machine has none; name a file, a folder, a URI or demo"


def _may_give_pictures(device: Path) -> bool:
    """Whether it is a camera as far as can be asked without opening it for pictures."""
    import fcntl  # not on Windows

    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return True
    except OSError as fault:
        return fault.errno in _FOR_NOW
    answer = bytearray(_QUERYCAP_BYTES)
    try:
        fcntl.ioctl(descriptor, _QUERYCAP, answer)
    except OSError as fault:
        return fault.errno in _FOR_NOW
    finally:
        os.close(descriptor)
    capabilities = int.from_bytes(answer[_CAPABILITIES], sys.byteorder)
    if capabilities & _HAS_DEVICE_CAPS:
        end = _CAPABILITIES.stop
        capabilities = int.from_bytes(answer[end : end + 4], sys.byteorder)
    return bool(capabilities & _PICTURES)

"""Which devices are cameras, as their drivers tell it: the kernel's answers are made here."""

import errno
import os
import sys
from pathlib import Path

import pytest

from rtvis.errors import SourceError
from rtvis.sources.cameras import check_linux_camera

pytest.importorskip("fcntl")

# What v4l2-ctl tells of a webcam: all of its driver's devices, and this one. 0x1 captures
# pictures, 0x00800000 metadata, 0x80000000 says that the second number counts.
DEVICES = {
    "video0": (0x84A00001, 0x04200001),  # a webcam
    "video1": (0x84A00001, 0x04A00000),  # its metadata
    "video2": (0x85200002, 0x05200002),  # a loopback device that nobody feeds yet
    "video3": (0x05000001, 0),  # of an old driver that knows no second number
    "video10": (0x84208000, 0x04208000),  # an encoder, from memory to memory
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev with those devices, and a file that is none."""
    for name, (driver, device) in DEVICES.items():
        words = (0, driver, device)  # behind 80 bytes of names: version and both capabilities
        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in words)
        (tmp_path / name).write_bytes(bytes(80) + numbers + bytes(12))
    (tmp_path / "video7").write_text("")

    def ioctl(descriptor: int, request: int, answer: bytearray) -> None:
        told = os.read(descriptor, 200)
        if request != 0x80685600 or not told:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        assert len(answer) == len(told) == 104
        answer[:] = told

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    return tmp_path


@pytest.mark.parametrize("index", [0, 2, 3])
def test_what_may_give_pictures_is_a_camera(index: int, folder: Path) -> None:
    check_linux_camera(index, folder)


@pytest.mark.parametrize("index", [1, 7, 10])
def test_a_device_that_gives_none_is_refused_with_those_that_do(index: int, folder: Path) -> None:
    with pytest.raises(SourceError) as caught:
        check_linux_camera(index, folder)
    device = folder / f"video{index}"
    assert str(caught.value) == f"camera {index}: {device} is no camera; there are: 0, 2, 3"


def test_a_camera_that_is_busy_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr("fcntl.ioctl", busy)
    check_linux_camera(1, folder)


def test_a_file_in_the_place_of_a_device_is_no_camera(tmp_path: Path) -> None:
    """The kernel's own answer."""
    (tmp_path / "video0").write_text("")
    with pytest.raises(SourceError, match="video0 is no camera; this machine has none; name a fi"):
        check_linux_camera(0, tmp_path)
    with pytest.raises(SourceError, match=r"camera 4: there is no .*video4; this machine has none"):
        check_linux_camera(4, tmp_path)

"""Pictures of any kind to the one kind that travels: uint8 RGB, rows x columns x 3."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from rtvis.data import ImageF32, ImageU8
from rtvis.errors import SourceError

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decoded:
    """A picture as its file has it."""

    image_HW3: ImageU8
    """RGB."""
    precise_HW3: ImageF32 | None = None
    """The same in 0..1, where the file has more than eight bits a channel."""

    @property
    def best(self) -> ImageU8 | ImageF32:
        """[H, W, 3], what a network should see."""
        return self.image_HW3 if self.precise_HW3 is None else self.precise_HW3

    @property
    def num_bytes(self) -> int:
        """In memory."""
        return self.image_HW3.nbytes + (0 if self.precise_HW3 is None else self.precise_HW3.nbytes)


def rgb_from_bgr(image: npt.NDArray[np.generic]) -> ImageU8:
    """Any decoded picture as uint8 RGB.

    Args:
        image: [H, W], [H, W, 1], [H, W, 3] in the order BGR or [H, W, 4] BGRA; uint8, uint16
            (0..65535 becomes 0..255), bool or float (0..1 becomes 0..255). Alpha is dropped.

    Returns:
        [H, W, 3] uint8, C-contiguous, sharing no memory with `image`.

    Raises:
        SourceError: Another shape or dtype.
    """
    return _in_rgb(_to_uint8(image))


def _in_rgb(image: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    scaled = image[:, :, None] if image.ndim == 2 else image
    channels = scaled.shape[2] if scaled.ndim == 3 else 0
    if channels == 1:
        return np.repeat(scaled, 3, axis=2)
    if channels in {3, 4}:
        rgb_HW3 = np.empty((*scaled.shape[:2], 3), dtype=scaled.dtype)
        if rgb_HW3.size:
            # 0.07 ms for 500x375, where NumPy takes 0.79, as long as a JPEG's decoder.
            way = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGB
            cv2.cvtColor(np.ascontiguousarray(scaled), way, dst=rgb_HW3)
        return rgb_HW3
    raise SourceError(
        f"a picture of shape {tuple(image.shape)} is neither grey nor RGB; "
        "convert it to one with 1, 3 or 4 channels"
    )


def read_image(path: str | Path) -> ImageU8:
    """The picture in a file in eight bits; else as `read_picture`."""
    return read_picture(path).image_HW3


def read_picture(path: str | Path) -> Decoded:
    """The picture in a file, turned as its EXIF orientation says.

    Args:
        path: A file that OpenCV can decode: PNG, JPEG, TIFF, WebP, BMP, HDR and others.

    Raises:
        SourceError: Not there, not readable, or not a whole picture.
    """
    return decode_picture(read_file(path), path)


def read_file(path: str | Path) -> npt.NDArray[np.uint8]:
    """The bytes of a file that should hold a picture; at least one.

    Raises:
        SourceError: Not there, not readable, or empty.
    """
    path = Path(path)
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except IsADirectoryError:
        raise SourceError(f"{path}: is a folder; name a picture in it") from None
    except OSError as error:
        raise SourceError(f"{path}: {_reason(error)}; name a readable picture") from None
    if data.size == 0:
        raise SourceError(f"{path}: the file is empty; name a picture with something in it")
    return data


def decode_picture(data: npt.NDArray[np.uint8], path: str | Path) -> Decoded:
    """The picture that a file's bytes hold; see `read_picture`.

    Args:
        data: All of them.
        path: What to call the file in errors.

    Raises:
        SourceError: They are not a whole picture.
    """
    # Not IMREAD_UNCHANGED: that would ignore the orientation.
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(
            f"{path}: cannot be decoded as a picture; save it anew as PNG or JPEG, "
            "or convert it with another program"
        )
    try:
        precise_HW3 = None if image.dtype in _EIGHT_BITS else _in_rgb(_to_float(image))
        return Decoded(image_HW3=rgb_from_bgr(image), precise_HW3=precise_HW3)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None


def is_image(path: Path) -> bool:
    """Whether the file begins as a picture that OpenCV can decode, whatever its suffix says."""
    try:
        return bool(cv2.haveImageReader(str(path)))
    except cv2.error:
        return False


_EIGHT_BITS: Final = (np.dtype(np.uint8), np.dtype(np.bool_))


def _to_float(image: npt.NDArray[np.generic]) -> ImageF32:
    """More than eight bits as 0..1; what lies beyond, as in HDR pictures, is cut off."""
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.float32(65535)
    if image.dtype not in {np.dtype(np.float32), np.dtype(np.float64)}:
        raise SourceError(f"pixels of type {image.dtype} are not supported; use 8 or 16 bits")
    return np.nan_to_num(image.astype(np.float32)).clip(0.0, 1.0)


def _to_uint8(image: npt.NDArray[np.generic]) -> ImageU8:
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype == np.uint16:
        # 65535 / 255 = 257 exactly, so black, white and both halves of the range stay in place.
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype in {np.dtype(np.float32), np.dtype(np.float64)}:
        values = np.nan_to_num(image.astype(np.float32))
        return (values.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    raise SourceError(f"pixels of type {image.dtype} are not supported; use 8 or 16 bits")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return error.strerror or "cannot be read"

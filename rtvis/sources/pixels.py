"""Pictures of any kind to the one kind that travels: uint8 RGB, rows x columns x 3."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rtvis.data import ImageU8
from rtvis.errors import SourceError


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
    scaled = _to_uint8(image)
    if scaled.ndim == 2:
        scaled = scaled[:, :, None]
    channels = scaled.shape[2] if scaled.ndim == 3 else 0
    if channels == 1:
        return np.repeat(scaled, 3, axis=2)
    if channels in {3, 4}:
        return np.array(scaled[:, :, 2::-1], order="C")
    raise SourceError(
        f"a picture of shape {tuple(image.shape)} is neither grey nor RGB; "
        "convert it to one with 1, 3 or 4 channels"
    )


def read_image(path: str | Path) -> ImageU8:
    """The picture in a file, turned as its EXIF orientation says.

    Args:
        path: A file that OpenCV can decode: PNG, JPEG, TIFF, WebP, BMP and others.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        SourceError: Not there, not readable, or not a whole picture.
    """
    return decode_image(read_file(path), path)


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


def decode_image(data: npt.NDArray[np.uint8], path: str | Path) -> ImageU8:
    """The picture that a file's bytes hold; see `read_image`.

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
        return rgb_from_bgr(image)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None


def is_image(path: Path) -> bool:
    """Whether the file begins as a picture that OpenCV can decode, whatever its suffix says."""
    try:
        return bool(cv2.haveImageReader(str(path)))
    except cv2.error:
        return False


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

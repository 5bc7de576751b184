"""Several pictures as one, in rows and columns."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.units.crops import BEYOND


def montage(
    images_HW3: Sequence[ImageU8],
    *,
    columns: int,
    rows: int | None = None,
    padding: int = 1,
    tile: tuple[int, int] | None = None,
) -> ImageU8:
    """Pictures row by row, each in the middle of its tile, with lines between them.

    Args:
        images_HW3: uint8 RGB, at least one.
        columns: Of the montage.
        rows: Likewise; default: as many as are needed.
        padding: Pixels between tiles.
        tile: (height, width); default: of the largest picture. Larger pictures are made smaller.
    """
    rows = rows or math.ceil(len(images_HW3) / columns)
    heights, widths = zip(*(image.shape[:2] for image in images_HW3), strict=True)
    height, width = tile or (max(heights), max(widths))
    size = rows * (height + padding) - padding, columns * (width + padding) - padding
    whole_HW3 = np.full((*size, 3), BEYOND, dtype=np.uint8)
    for index, image_HW3 in enumerate(images_HW3[: rows * columns]):
        row, column = divmod(index, columns)
        fitted = _fitted(image_HW3, height, width)
        top = row * (height + padding) + (height - fitted.shape[0]) // 2
        left = column * (width + padding) + (width - fitted.shape[1]) // 2
        whole_HW3[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return whole_HW3


def _fitted(image_HW3: ImageU8, height: int, width: int) -> ImageU8:
    scale = min(height / image_HW3.shape[0], width / image_HW3.shape[1], 1.0)
    if scale == 1.0:
        return image_HW3
    size = max(round(image_HW3.shape[1] * scale), 1), max(round(image_HW3.shape[0] * scale), 1)
    return np.asarray(cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

"""Pictures side by side under their names, as one picture to look at."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.render import lut
from rtvis.render.text import Run, baseline, draw_line

_GAP, _CAPTION, _FONT = 6, 22, 13


def contact_sheet(
    pictures: Sequence[tuple[str, ImageU8]], *, columns: int | None = None, side: int = 160
) -> ImageU8:
    """uint8 RGB: the pictures in rows, each under its name.

    Args:
        pictures: Names and pictures, uint8 RGB of any size.
        columns: How many beside each other; default: about as many as rows, and half again.
        side: Length of the longer side of each, in pixels.
    """
    assert pictures, "a sheet shows something"
    columns = columns or min(len(pictures), math.ceil(math.sqrt(1.5 * len(pictures))))
    rows = math.ceil(len(pictures) / columns)
    cell_height, cell_width = side + _CAPTION + _GAP, side + _GAP
    size = (rows * cell_height + _GAP, columns * cell_width + _GAP, 4)
    canvas_HW4 = np.empty(size, dtype=np.uint8)
    canvas_HW4[:] = _channels(lut.BACKGROUND)
    for index, (name, image_HW3) in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = _GAP + row * cell_height, _GAP + column * cell_width
        base = baseline(top, _CAPTION, _FONT)
        runs = (Run(name, lut.TEXT),)
        draw_line(canvas_HW4, runs, x=left, base=base, size=_FONT, right=left + side)
        small_HW3 = _fitted(image_HW3, side)
        height, width = small_HW3.shape[:2]
        top += _CAPTION
        canvas_HW4[top : top + height, left : left + width, :3] = small_HW3[:, :, ::-1]
    return np.ascontiguousarray(canvas_HW4[:, :, 2::-1])


def _channels(word: int) -> tuple[int, ...]:
    return word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFF, 255


def _fitted(image_HW3: ImageU8, side: int) -> ImageU8:
    scale = side / max(image_HW3.shape[:2])
    height, width = (max(round(length * scale), 1) for length in image_HW3.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image_HW3, (width, height), interpolation=how), dtype=np.uint8)

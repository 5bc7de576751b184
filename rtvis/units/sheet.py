"""Pictures side by side under their names, as one picture to look at."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.render.chrome import Brush
from rtvis.render.grid import Rect
from rtvis.render.text import Font, Run
from rtvis.theme import Ink, Theme, inks_of

_GAP, _CAPTION, _FONT = 6, 22, Font(13)


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
    size = (rows * cell_height + _GAP, columns * cell_width + _GAP)
    inks = inks_of(Theme())
    brush = Brush(np.full(size, inks[Ink.BACKGROUND], np.int32), inks)
    canvas_HW4 = brush.words_HW.view(np.uint8).reshape(*size, 4)
    for index, (name, image_HW3) in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = _GAP + row * cell_height, _GAP + column * cell_width
        brush.line(Rect(top, left, _CAPTION, side), (Run(name, Ink.TEXT),), _FONT)
        small_HW3 = _fitted(image_HW3, side)
        height, width = small_HW3.shape[:2]
        top += _CAPTION
        canvas_HW4[top : top + height, left : left + width, :3] = small_HW3[:, :, ::-1]
    return np.ascontiguousarray(canvas_HW4[:, :, 2::-1])


def _fitted(image_HW3: ImageU8, side: int) -> ImageU8:
    scale = side / max(image_HW3.shape[:2])
    height, width = (max(round(length * scale), 1) for length in image_HW3.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image_HW3, (width, height), interpolation=how), dtype=np.uint8)

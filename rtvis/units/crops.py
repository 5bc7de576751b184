"""Which part of a picture a neuron sees, cut out of what the network saw and marked in the source.

Everything follows from where the receptive fields of a layer lie, which `rtvis.engine.flat.fields`
works out for any architecture: no size is written down anywhere.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from rtvis.data import Crop, ImageU8, Layer

BEYOND: Final = (28, 31, 38)
"""Red, green, blue of what lies outside the input or the field: the panels of the window."""
ZERO: Final = (128, 128, 128)
"""Of a backward picture."""
MARK: Final = (76, 201, 240)
"""Of the rectangle in the full picture: what the window has for the selected unit."""
SMALL_SIDE: Final = 96
"""Crops are enlarged by a whole number until their longer side has so many pixels."""
FULL_SIDE: Final = 320
"""The longer side of a full picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A rectangle of the network's input; it may reach beyond it, into the padding."""

    top: int
    left: int
    height: int
    width: int

    def within(self, other: "Window") -> "Window":
        """What they share; without height or width where that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Window(top=top, left=left, height=max(bottom - top, 0), width=max(right - left, 0))

    @property
    def rows(self) -> slice:
        """Of an array, where it does not reach beyond that."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Likewise."""
        return slice(self.left, self.left + self.width)


def whole(input_size: tuple[int, int]) -> Window:
    """All of the network's input."""
    return Window(top=0, left=0, height=input_size[0], width=input_size[1])


def field_window(layer: Layer, position: tuple[int, int], input_size: tuple[int, int]) -> Window:
    """All that a neuron can depend on; a field between pixels is rounded outwards.

    Args:
        layer: The neuron's.
        position: (row, column) in its map.
        input_size: (height, width) of the network's input.
    """
    field = layer.field_at(position, input_size)
    top, left = math.floor(field.top), math.floor(field.left)
    bottom = math.ceil(field.top + field.height)
    right = math.ceil(field.left + field.width)
    return Window(top=top, left=left, height=bottom - top, width=right - left)


def canvas_of(field: Window, input_size: tuple[int, int]) -> Window:
    """What is drawn: the field, padding and all, or the input where that is smaller.

    So all crops of a layer have one size.
    """
    (height, width), full = input_size, field
    top, rows = (full.top, full.height) if full.height <= height else (0, height)
    left, columns = (full.left, full.width) if full.width <= width else (0, width)
    return Window(top=top, left=left, height=rows, width=columns)


def cut(image_HW3: ImageU8, field: Window, *, beyond: tuple[int, int, int] = BEYOND) -> ImageU8:
    """The neuron's part of a picture of the input's size, enlarged where it is small.

    Args:
        image_HW3: uint8 RGB.
        field: See `field_window`.
        beyond: Red, green, blue of padding.
    """
    size = image_HW3.shape[0], image_HW3.shape[1]
    canvas = canvas_of(field, size)
    seen = field.within(whole(size)).within(canvas)
    cut_HW3 = np.empty((canvas.height, canvas.width, 3), dtype=np.uint8)
    cut_HW3[:] = beyond
    row, column = seen.top - canvas.top, seen.left - canvas.left
    cut_HW3[row : row + seen.height, column : column + seen.width] = image_HW3[
        seen.rows, seen.columns
    ]
    times = math.ceil(SMALL_SIDE / max(canvas.height, canvas.width))
    return cut_HW3.repeat(times, axis=0).repeat(times, axis=1)


def in_source(field: Window, input_size: tuple[int, int], crop: Crop) -> Crop:
    """The part of the source picture that a neuron sees, in source pixels; padding is no part.

    Args:
        field: See `field_window`.
        input_size: (height, width) of the network's input.
        crop: What of the source the network sees.
    """
    seen = field.within(whole(input_size))
    rows, columns = crop.height / input_size[0], crop.width / input_size[1]
    return Crop(
        top=crop.top + seen.top * rows,
        left=crop.left + seen.left * columns,
        height=seen.height * rows,
        width=seen.width * columns,
    )


def marked(image_HW3: ImageU8, part: Crop) -> ImageU8:
    """The full picture, made small, with a rectangle around a part of it."""
    height, width = image_HW3.shape[:2]
    scale = min(FULL_SIDE / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA)
    small_HW3: ImageU8 = np.ascontiguousarray(small, dtype=np.uint8)
    top, left = round(part.top * scale), round(part.left * scale)
    bottom = round((part.top + part.height) * scale) - 1
    right = round((part.left + part.width) * scale) - 1
    # Around a dark line, for any picture; outside as far as there is room, for small fields.
    for grown, colour in ((3, BEYOND), (2, MARK), (1, MARK), (0, MARK)):
        first = max(left - grown, 0), max(top - grown, 0)
        last = min(right + grown, size[0] - 1), min(bottom + grown, size[1] - 1)
        last = max(last[0], first[0]), max(last[1], first[1])
        cv2.rectangle(small_HW3, first, last, colour, 1)
    return small_HW3

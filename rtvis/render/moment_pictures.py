"""What a neuron saw at a moment, drawn without waiting for the device."""

import cv2
import torch
from torch import Tensor

from rtvis.data import ImageU8, Layer
from rtvis.render import display, host
from rtvis.render.chrome import edges
from rtvis.render.grid import Rect
from rtvis.render.panes import resize_picture
from rtvis.render.resample import grow
from rtvis.render.seen import seen_pixels


def paint_moment(
    canvas_HW: Tensor,
    rect: Rect,
    numbers_F: Tensor,
    slot: Tensor,
    picture_PHW3: Tensor,
    layer: Layer,
) -> None:
    """What a neuron saw, as large as fits, if its picture is there.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where.
        numbers_F: See `MomentsShown.moments_NF`.
        slot: int64, a scalar on the device.
        picture_PHW3: uint8 RGB.
        layer: The neuron's.
    """
    size = picture_PHW3.shape[1], picture_PHW3.shape[2]
    field = min(layer.receptive_field[0], size[0]), min(layer.receptive_field[1], size[1])
    inner = rect.fit(*field)
    position_2 = numbers_F[3:5].long()
    index_Y, index_X = seen_pixels(
        position_2, layer=layer, input_size=size, picture_size=size, crop=None, size=field
    )
    if canvas_HW.device.type == "cpu":
        if numbers_F[6]:
            crop_HW3 = host.pick(picture_PHW3[int(slot)], index_Y, index_X)
            host.paint(canvas_HW, inner, sized(crop_HW3, inner.height, inner.width))
        return
    picture_HW3 = picture_PHW3.index_select(0, slot[None]).squeeze(0)
    seen_HW3 = picture_HW3.index_select(0, index_Y).index_select(1, index_X)
    if inner.height <= field[0]:
        shown_HW3 = resize_picture(seen_HW3, (inner.height, inner.width))
    else:
        shown_3HW = grow(seen_HW3.permute(2, 0, 1), inner.height, inner.width)
        shown_HW3 = shown_3HW.permute(1, 2, 0)
    # Nobody here knows whether it is there.
    before_HW = canvas_HW[inner.rows, inner.columns]
    words_HW = display.pack_bytes(shown_HW3)
    canvas_HW[inner.rows, inner.columns] = torch.where(numbers_F[6] > 0, words_HW, before_HW)


def sees_all(layer: Layer, size: tuple[int, int]) -> bool:
    """Whether neurons see all of an input of (height, width), each from a place of its own."""
    is_whole = layer.receptive_field[0] >= size[0] and layer.receptive_field[1] >= size[1]
    return is_whole and layer.field_start is not None and layer.map_size != (1, 1)


def mark_neuron(
    canvas_HW: Tensor,
    rect: Rect,
    numbers_F: Tensor,
    layer: Layer,
    size: tuple[int, int],
    line: int,
    colour: int,
) -> None:
    """Where in the input a neuron lies: an outline as large as its step in the map.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where the whole input is drawn.
        numbers_F: See `MomentsShown.moments_NF`; without a picture nothing is drawn.
        layer: The neuron's.
        size: (height, width) of the input.
        line: Thickness.
        colour: Packed pixel.
    """
    assert layer.field_start is not None, "asked before"
    sides = rect.height, rect.width
    halves, centres = [], []
    for axis in (0, 1):
        zoom = sides[axis] / size[axis]
        half = max(layer.stride[axis] * zoom / 2, 3.0 * line)
        first = layer.field_start[axis] + layer.receptive_field[axis] / 2
        centre = (first + numbers_F[3 + axis] * layer.stride[axis]) * zoom
        halves.append(half)
        centres.append(centre.clamp(half, sides[axis] - half))
    if canvas_HW.device.type == "cpu":
        if numbers_F[6]:
            top, left = (round(float(c) - h) for c, h in zip(centres, halves, strict=True))
            height, width = (round(2 * half) for half in halves)
            box = Rect(rect.top + top, rect.left + left, height, width)
            for edge in edges(box, line):
                canvas_HW[edge.rows, edge.columns] = colour
        return
    off_H1, off_1W = (
        (torch.arange(side, device=canvas_HW.device) + 0.5 - centre).abs()
        for side, centre in zip(sides, centres, strict=True)
    )
    off_H1, off_1W = off_H1[:, None], off_1W[None, :]
    inside_HW = (off_H1 <= halves[0]) & (off_1W <= halves[1])
    within_HW = (off_H1 <= halves[0] - line) & (off_1W <= halves[1] - line)
    before_HW = canvas_HW[rect.rows, rect.columns]
    is_edge_HW = inside_HW & ~within_HW & (numbers_F[6] > 0)
    canvas_HW[rect.rows, rect.columns] = before_HW.masked_fill(is_edge_HW, colour)


def sized(image_HW3: ImageU8, height: int, width: int) -> ImageU8:
    """Averaged when it shrinks; when it grows, its own pixels."""
    if height <= image_HW3.shape[0]:
        return host.resize(image_HW3, height, width)
    grown: ImageU8 = cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_NEAREST)
    return grown

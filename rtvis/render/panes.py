"""The pictures of a canvas, drawn on the device without ever waiting for it."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.data import Crop, Layer
from rtvis.render import display, lut
from rtvis.render.chrome import edges
from rtvis.render.grid import Grid, Rect
from rtvis.render.kernels import grow, shrink
from rtvis.render.scene import CamStyle
from rtvis.session import BackpropDisplay


def resize_picture(image_HW3: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture at (height, width) as float32 RGB [3, H, W], 0..1; area when shrinking.

    Photographs grow smoothly; only data grows by nearest pixels (DVT-46).
    """
    height, width = size
    # A large frame loses whole rows and columns first: at least two pixels stay for each one.
    step = max(min(image_HW3.shape[0] // (2 * height), image_HW3.shape[1] // (2 * width)), 1)
    image_HW3 = image_HW3[::step, ::step]
    if image_HW3.device.type == "cpu":
        shrinks = image_HW3.shape[0] > height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        sized = cv2.resize(
            np.ascontiguousarray(image_HW3.numpy()), (width, height), interpolation=how
        )
        return torch.from_numpy(sized).permute(2, 0, 1).float().div_(255)
    image_13HW = image_HW3.permute(2, 0, 1)[None].float()
    sized_13HW = F.interpolate(
        image_13HW, size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return sized_13HW[0].div_(255)


def draw_input(
    canvas_HW: Tensor,
    rect: Rect,
    image_HW3: Tensor,
    *,
    cam_HW: Tensor | None,
    crop: Crop | None,
    style: CamStyle,
) -> None:
    """The source picture, dimmed where the network does not look, with a CAM over the rest.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where, in the picture's proportions.
        image_HW3: uint8 RGB on the device.
        cam_HW: Not scaled; None draws none.
        crop: Part of the picture that the CAM covers; None is all of it.
        style: How the CAM lies over the picture.
    """
    image_3HW = resize_picture(image_HW3, (rect.height, rect.width))
    seen = crop_slices(crop, (image_HW3.shape[0], image_HW3.shape[1]), rect)
    if crop is not None:
        image_3HW = display.dim_outside(image_3HW, seen)
    if cam_HW is not None:
        part_3HW = image_3HW[:, seen[0], seen[1]]
        share_HW = display.cam_share(cam_HW, (part_3HW.shape[1], part_3HW.shape[2]))
        lay_over = display.overlay_alpha if style == "alpha" else display.overlay_blend
        image_3HW[:, seen[0], seen[1]] = lay_over(part_3HW, share_HW)
    canvas_HW[rect.rows, rect.columns] = display.pack_rgb(image_3HW)


def crop_slices(crop: Crop | None, frame_size: tuple[int, int], rect: Rect) -> tuple[slice, slice]:
    """Rows and columns of the drawn picture that show `crop`, at least one of each."""
    if crop is None:
        return slice(0, rect.height), slice(0, rect.width)

    def span(start: float, length: float, frame: int, drawn: int) -> slice:
        first = min(max(round(start * drawn / frame), 0), drawn - 1)
        last = min(max(round((start + length) * drawn / frame), first + 1), drawn)
        return slice(first, last)

    return (
        span(crop.top, crop.height, frame_size[0], rect.height),
        span(crop.left, crop.width, frame_size[1], rect.width),
    )


def draw_backprop(
    canvas_HW: Tensor, rect: Rect, gradient_3HW: Tensor, *, how: BackpropDisplay
) -> None:
    """The backward picture, nearest pixels when growing, area when shrinking."""
    image_CHW = display.BACKPROP_DISPLAYS[how](gradient_3HW.float())
    image_CHW = shrink(image_CHW, rect.height, rect.width)
    canvas_HW[rect.rows, rect.columns] = grow(display.pack_rgb(image_CHW), rect.height, rect.width)


def single_tile(rect: Rect) -> Grid:
    """A grid of one tile that fills `rect`."""
    return Grid(
        area=rect,
        num=1,
        num_cols=1,
        num_rows=1,
        rows_in_sight=1,
        first_row=0,
        tile_height=rect.height,
        tile_width=rect.width,
        pitch_y=rect.height,
        pitch_x=rect.width,
    )


def mark_neuron(
    canvas_HW: Tensor,
    rect: Rect,
    map_size: tuple[int, int],
    position_2: Tensor,
    *,
    colour: int,
    thickness: int,
) -> None:
    """Outline the neuron at a position that only the device knows.

    A frame around the neuron's cell, at least three times as wide as its line, so that it can be
    found on a large map too.
    """
    device = canvas_HW.device
    inside: list[Tensor] = []
    within: list[Tensor] = []
    for axis, (drawn, size) in enumerate(zip((rect.height, rect.width), map_size, strict=True)):
        at = torch.arange(drawn, device=device)
        middle = (2 * position_2[axis] + 1) * drawn // (2 * size)
        reach = max(drawn // (2 * size), 2 * thickness) + 1
        away = (at - middle).abs()
        within.append(away <= reach)
        inside.append(away <= reach - thickness)
    frame = within[0][:, None] & within[1][None, :] & ~(inside[0][:, None] & inside[1][None, :])
    canvas_HW[rect.rows, rect.columns].masked_fill_(frame, colour)


def seen_patch(
    image_HW3: Tensor,
    position_2: Tensor,
    *,
    layer: Layer,
    crop: Crop,
    input_size: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """What one neuron can see: the part of the picture in its receptive field, packed [H, W].

    Its centre is taken to lie at (position + 1/2) strides, exact for symmetric padding. What lies
    outside the picture gets the colour of the panel.

    Args:
        image_HW3: The frame, uint8 RGB.
        position_2: int64 (row, column) on the device.
        layer: The neuron's layer.
        crop: The part of the frame that the network sees.
        input_size: (height, width) of the network's input.
        size: (height, width) of the patch in canvas pixels.
    """
    device = image_HW3.device
    inside: list[Tensor] = []
    indices: list[Tensor] = []
    starts, lengths = (crop.top, crop.left), (crop.height, crop.width)
    for axis in (0, 1):
        zoom = lengths[axis] / input_size[axis]
        field = min(layer.receptive_field[axis], 2 * input_size[axis])
        centre = (position_2[axis].float() + 0.5) * layer.stride[axis]
        share = (torch.arange(size[axis], device=device) + 0.5) / size[axis] - 0.5
        at = starts[axis] + (centre + share * field) * zoom
        inside.append((at >= 0) & (at < image_HW3.shape[axis]))
        indices.append(at.clamp(0, image_HW3.shape[axis] - 1).to(torch.int64))
    patch_HW3 = image_HW3.index_select(0, indices[0]).index_select(1, indices[1])
    words_HW = display.pack_rgb(patch_HW3.permute(2, 0, 1).float() / 255)
    return torch.where(inside[0][:, None] & inside[1][None, :], words_HW, lut.PANEL)


def outline(canvas_HW: Tensor, rect: Rect, colour: int, thickness: int) -> None:
    """The border of a rectangle, just outside it."""
    for edge in edges(rect.inset(-thickness), thickness):
        canvas_HW[edge.rows, edge.columns] = colour


def fade(canvas_HW: Tensor, rect: Rect) -> None:
    """Half the brightness of every pixel in a rectangle."""
    part_HW = canvas_HW[rect.rows, rect.columns]
    part_HW.bitwise_right_shift_(1).bitwise_and_(0x7F7F7F)

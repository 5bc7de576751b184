"""The pictures of a canvas, drawn on the device without ever waiting for it."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.choices import BackpropDisplay
from rtvis.data import Crop
from rtvis.render import display, host
from rtvis.render.cover import cover
from rtvis.render.grid import Grid, Rect
from rtvis.render.label_picture import labels_over, labels_over_host
from rtvis.render.resample import grow, shrink
from rtvis.session import CamStyle


def resize_picture(image_HW3: Tensor, size: tuple[int, int]) -> Tensor:
    """A photograph at (height, width), uint8 RGB [H, W, 3], averaged when it shrinks.

    Photographs grow smoothly; only data grows by nearest pixels (DVT-46).
    """
    image_13HW = image_HW3.permute(2, 0, 1)[None].float()
    sized_13HW = F.interpolate(
        image_13HW, size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return display.to_bytes(sized_13HW[0].permute(1, 2, 0) / 255)


def draw_data(canvas_HW: Tensor, rect: Rect, image_CHW: Tensor) -> None:
    """Draw data in 0..1, nearest pixels when growing, area when shrinking.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where.
        image_CHW: float32, one channel (grey) or three.
    """
    height, width = rect.height, rect.width
    if canvas_HW.device.type == "cpu":
        bytes_HW3 = host.to_bytes(image_CHW)
        smaller = min(height, bytes_HW3.shape[0]), min(width, bytes_HW3.shape[1])
        bytes_HW3 = host.resize(bytes_HW3, *smaller)
        if smaller == (height, width):
            host.paint(canvas_HW, rect, bytes_HW3)
            return
        words_HW = host.packed(bytes_HW3)
    else:
        bytes_CHW = display.to_bytes(shrink(image_CHW, height, width))
        words_HW = display.pack_bytes(bytes_CHW.permute(1, 2, 0).expand(-1, -1, 3))
    canvas_HW[rect.rows, rect.columns] = grow(words_HW, height, width)


def draw_input(
    canvas_HW: Tensor,
    rect: Rect,
    image_HW3: Tensor,
    *,
    cam_HW: Tensor | None,
    crop: Crop | None,
    style: CamStyle,
    labels_HW: Tensor | None = None,
    background: tuple[int, ...] = (),
    inset: Rect | None = None,
    around: tuple[int, int, int] = (128, 128, 128),
) -> None:
    """The source picture, dimmed where the network does not look, with a CAM over the rest, or a
    label picture; or all that the network sees, with bars around the picture.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where, in the picture's proportions.
        image_HW3: uint8 RGB on the device.
        cam_HW: Not scaled; None draws none.
        crop: What the CAM covers, also beyond the picture; None is all of it.
        style: How the CAM lies over the picture.
        labels_HW: int64, the class of each pixel of the dense output.
        background: Classes where the picture is left as it is.
        inset: Where in `rect` the picture lies, with bars around it; then `rect` is what the
            network sees, and has its proportions.
        around: RGB of the bars, 0..255.
    """
    if inset is not None:
        crop = None
    view = cover(crop, (image_HW3.shape[0], image_HW3.shape[1]), (rect.height, rect.width))
    seen = view.seen
    if canvas_HW.device.type == "cpu":
        place = inset or rect
        bytes_HW3 = host.resize(image_HW3.numpy(), place.height, place.width)
        if inset is not None:
            bytes_HW3 = host.framed(bytes_HW3, rect, inset, around)
        if crop is not None:
            bytes_HW3 = host.dim_outside(bytes_HW3, seen)
        if cam_HW is not None:
            bytes_HW3[seen] = host.cam_over(bytes_HW3[seen], cam_HW, style, view)
        if labels_HW is not None:
            bytes_HW3[seen] = labels_over_host(bytes_HW3[seen], labels_HW, view, background)
        host.paint(canvas_HW, rect, bytes_HW3)
        return
    place = inset or rect
    shown_HW3 = resize_picture(image_HW3, (place.height, place.width))
    if inset is not None:
        shown_HW3 = _framed(shown_HW3, rect, inset, around)
    if crop is not None:
        shown_HW3 = display.dim_outside(shown_HW3, seen)
    if cam_HW is not None:
        shown_HW3[seen] = display.cam_over(shown_HW3[seen], cam_HW, style, view)
    if labels_HW is not None:
        shown_HW3[seen] = labels_over(shown_HW3[seen], labels_HW, view, background)
    canvas_HW[rect.rows, rect.columns] = display.pack_bytes(shown_HW3)


def _framed(bytes_HW3: Tensor, rect: Rect, inset: Rect, around: tuple[int, int, int]) -> Tensor:
    """As `host.framed`, on any device."""
    framed_HW3 = bytes_HW3.new_empty(rect.height, rect.width, 3)
    for channel, level in enumerate(around):  # numbers, for a tensor would wait for the device
        framed_HW3[..., channel] = level
    top, left = inset.top - rect.top, inset.left - rect.left
    framed_HW3[top : top + inset.height, left : left + inset.width] = bytes_HW3
    return framed_HW3


def draw_backprop(
    canvas_HW: Tensor, rect: Rect, gradient_3HW: Tensor, *, how: BackpropDisplay
) -> None:
    """The backward picture, nearest pixels when growing, area when shrinking; that of an input of
    two pictures in two halves."""
    image_CHW = display.BACKPROP_DISPLAYS[how](display.side_by_side(gradient_3HW.float()))
    draw_data(canvas_HW, rect, image_CHW)


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
    position_2: Tensor | tuple[int, int],
    *,
    colour: int,
    thickness: int,
) -> None:
    """Outline the neuron at a position that only the device knows, or that is known here.

    The frame's size is known, so its pixels are a fixed list of offsets from a centre on the
    device. It goes around the neuron's cell and is never so small that it could not be found.
    """
    reach = [
        max(drawn // (2 * size), 2 * thickness) + thickness
        for drawn, size in zip((rect.height, rect.width), map_size, strict=True)
    ]
    if isinstance(position_2, tuple) or canvas_HW.device.type == "cpu":
        places = position_2 if isinstance(position_2, tuple) else position_2.tolist()
        at = [
            (2 * place + 1) * drawn // (2 * size)
            for place, drawn, size in zip(places, (rect.height, rect.width), map_size, strict=True)
        ]
        host.fill_frame(
            canvas_HW,
            rect,
            (at[0], at[1]),
            (reach[0], reach[1]),
            colour=colour,
            thickness=thickness,
        )
    else:
        frame = _frame_places(position_2, rect, map_size, (reach[0], reach[1]), thickness)
        canvas_HW[rect.rows, rect.columns][frame] = colour


def _frame_places(
    position_2: Tensor,
    rect: Rect,
    map_size: tuple[int, int],
    reach: tuple[int, int],
    thickness: int,
) -> tuple[Tensor, Tensor]:
    """int64: rows and columns within `rect` of the pixels of the frame."""
    offsets_2N = _frame_offsets(reach[0], reach[1], thickness, position_2.device)
    places = [
        ((2 * position_2[axis] + 1) * drawn // (2 * map_size[axis]) + offsets_2N[axis]).clamp(
            0, drawn - 1
        )
        for axis, drawn in enumerate((rect.height, rect.width))
    ]
    return places[0], places[1]


@lru_cache(maxsize=32)
def _frame_offsets(reach_y: int, reach_x: int, thickness: int, device: torch.device) -> Tensor:
    """int64 [2, N]: offsets of the pixels of a frame from its centre."""
    y, x = torch.meshgrid(
        torch.arange(-reach_y, reach_y + 1), torch.arange(-reach_x, reach_x + 1), indexing="ij"
    )
    on_frame = (y.abs() > reach_y - thickness) | (x.abs() > reach_x - thickness)
    return torch.stack([y[on_frame], x[on_frame]]).to(device)

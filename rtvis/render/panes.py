"""The pictures of a canvas, drawn on the device without ever waiting for it."""

from functools import lru_cache

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.data import Crop, ImageU8, Layer
from rtvis.render import display
from rtvis.render.chrome import edges
from rtvis.render.grid import Grid, Rect
from rtvis.render.kernels import grow, shrink
from rtvis.render.scene import CamStyle
from rtvis.session import BackpropDisplay


def resize_picture(image_HW3: Tensor, size: tuple[int, int]) -> Tensor:
    """A photograph at (height, width), uint8 RGB [H, W, 3], averaged when it shrinks.

    Photographs grow smoothly; only data grows by nearest pixels (DVT-46).
    """
    height, width = size
    if image_HW3.device.type == "cpu":
        return torch.from_numpy(_resize_host(image_HW3.numpy(), height, width))
    image_13HW = image_HW3.permute(2, 0, 1)[None].float()
    sized_13HW = F.interpolate(
        image_13HW, size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return display.to_bytes(sized_13HW[0].permute(1, 2, 0) / 255)


def resize_data(image_CHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Data in 0..1 as packed pixels at (height, width): nearest growing, area shrinking.

    Args:
        image_CHW: float32, one channel (grey) or three.
        size: (height, width) wanted.
    """
    height, width = size
    if image_CHW.device.type == "cpu":
        planes = display.to_bytes(image_CHW).numpy()
        bytes_HW3 = cv2.merge([planes[0], planes[len(planes) // 2], planes[-1]])
        smaller = min(height, bytes_HW3.shape[0]), min(width, bytes_HW3.shape[1])
        words_HW = display.pack_bytes(torch.from_numpy(_resize_host(bytes_HW3, *smaller)))
    else:
        bytes_CHW = display.to_bytes(shrink(image_CHW, height, width))
        words_HW = display.pack_bytes(bytes_CHW.permute(1, 2, 0).expand(-1, -1, 3))
    return grow(words_HW, height, width)


def _resize_host(image_HW3: ImageU8, height: int, width: int) -> ImageU8:
    """Halved by averaging as often as it goes, then bilinear, which below 2 : 1 still touches
    every pixel. Five times faster than averaging over cells of odd sizes."""
    while image_HW3.shape[0] >= 2 * height and image_HW3.shape[1] >= 2 * width:
        half = image_HW3.shape[0] // 2, image_HW3.shape[1] // 2
        even = image_HW3[: 2 * half[0], : 2 * half[1]]
        image_HW3 = cv2.resize(even, half[::-1], interpolation=cv2.INTER_AREA)
    if image_HW3.shape[:2] == (height, width):
        return image_HW3.copy()  # what this returns is drawn over
    sized: ImageU8 = cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_LINEAR)
    return sized


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
    shown_HW3 = resize_picture(image_HW3, (rect.height, rect.width))
    seen = crop_slices(crop, (image_HW3.shape[0], image_HW3.shape[1]), rect)
    if crop is not None:
        shown_HW3 = display.dim_outside(shown_HW3, seen)
    if cam_HW is not None:
        part_HW3 = shown_HW3[seen[0], seen[1]].float() / 255
        share_HW = display.cam_share(cam_HW, (part_HW3.shape[0], part_HW3.shape[1]))
        lay_over = display.overlay_alpha if style == "alpha" else display.overlay_blend
        shown_HW3[seen[0], seen[1]] = display.to_bytes(lay_over(part_HW3, share_HW))
    canvas_HW[rect.rows, rect.columns] = display.pack_bytes(shown_HW3)


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
    canvas_HW[rect.rows, rect.columns] = resize_data(image_CHW, (rect.height, rect.width))


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

    The frame's size is known, so its pixels are a fixed list of offsets from a centre on the
    device. It goes around the neuron's cell and is never so small that it could not be found.
    """
    reach = [
        max(drawn // (2 * size), 2 * thickness) + thickness
        for drawn, size in zip((rect.height, rect.width), map_size, strict=True)
    ]
    offsets_2N = _frame_offsets(reach[0], reach[1], thickness, canvas_HW.device)
    at = [
        ((2 * position_2[axis] + 1) * drawn // (2 * map_size[axis]) + offsets_2N[axis]).clamp(
            0, drawn - 1
        )
        for axis, drawn in enumerate((rect.height, rect.width))
    ]
    canvas_HW[rect.rows, rect.columns][at[0], at[1]] = colour


@lru_cache(maxsize=32)
def _frame_offsets(reach_y: int, reach_x: int, thickness: int, device: torch.device) -> Tensor:
    """int64 [2, N]: offsets of the pixels of a frame from its centre."""
    y, x = torch.meshgrid(
        torch.arange(-reach_y, reach_y + 1), torch.arange(-reach_x, reach_x + 1), indexing="ij"
    )
    on_frame = (y.abs() > reach_y - thickness) | (x.abs() > reach_x - thickness)
    return torch.stack([y[on_frame], x[on_frame]]).to(device)


def seen_pixels(
    position_2: Tensor,
    *,
    layer: Layer,
    input_size: tuple[int, int],
    picture_size: tuple[int, int],
    crop: Crop | None,
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Which pixels of a picture lie in one neuron's receptive field.

    The field's centre is taken to lie at (position + 1/2) strides, exact for symmetric padding.
    A field that reaches beyond the input is moved inside, so that the window is always full.

    Args:
        position_2: int64 (row, column) on the device.
        layer: The neuron's layer.
        input_size: (height, width) of the network's input.
        picture_size: (height, width) of the picture.
        crop: The part of the picture that the network sees; None is all of it.
        size: (height, width) wanted.

    Returns:
        index_Y and index_X, int64: rows and columns of the picture.
    """
    crop = crop or Crop(top=0, left=0, height=picture_size[0], width=picture_size[1])
    starts, lengths = (crop.top, crop.left), (crop.height, crop.width)
    index: list[Tensor] = []
    for axis in (0, 1):
        zoom = lengths[axis] / input_size[axis]
        field = min(layer.receptive_field[axis], input_size[axis])
        share = (torch.arange(size[axis], device=position_2.device) + 0.5) / size[axis] - 0.5
        centre = (position_2[axis] + 0.5) * layer.stride[axis]
        centre = centre.clamp(field / 2, input_size[axis] - field / 2)
        at = (starts[axis] + (centre + share * field) * zoom).floor()
        index.append(at.clamp(0, picture_size[axis] - 1).to(torch.int64))
    return index[0], index[1]


def outline(canvas_HW: Tensor, rect: Rect, colour: int, thickness: int) -> None:
    """The border of a rectangle, just outside it."""
    for edge in edges(rect.inset(-thickness), thickness):
        canvas_HW[edge.rows, edge.columns] = colour


def fade(canvas_HW: Tensor, rect: Rect) -> None:
    """Half the brightness of every pixel in a rectangle."""
    part_HW = canvas_HW[rect.rows, rect.columns]
    part_HW.bitwise_right_shift_(1).bitwise_and_(0x7F7F7F)

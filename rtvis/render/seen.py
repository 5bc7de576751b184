"""What one neuron sees: the part of the picture, and of the backward picture, in its field."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from rtvis.choices import BackpropDisplay
from rtvis.data import Crop, Layer
from rtvis.render import display, host
from rtvis.render.grid import Rect


def draw_seen_picture(
    canvas_HW: Tensor,
    rect: Rect,
    image_HW3: Tensor,
    position_2: Tensor,
    *,
    layer: Layer,
    input_size: tuple[int, int],
    crop: Crop | None,
    around: int,
) -> None:
    """The part of the source picture that a neuron depends on, by nearest pixels.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where, in the field's proportions.
        image_HW3: uint8 RGB on the device.
        position_2: int64 (row, column) of the neuron, on the device.
        layer: The neuron's layer.
        input_size: (height, width) of the network's input.
        crop: What the network sees; None is all of the picture.
        around: Packed pixel for what of it lies beyond the picture.
    """
    height, width = image_HW3.shape[:2]
    index_Y, index_X = seen_pixels(
        position_2,
        layer=layer,
        input_size=input_size,
        crop=crop,
        picture_size=(height, width),
        size=(rect.height, rect.width),
    )
    pixel_Y, pixel_X = index_Y.clamp(0, height - 1), index_X.clamp(0, width - 1)
    if canvas_HW.device.type == "cpu":
        host.paint(canvas_HW, rect, host.pick(image_HW3, pixel_Y, pixel_X))
    else:
        seen_HW3 = image_HW3.index_select(0, pixel_Y).index_select(1, pixel_X)
        canvas_HW[rect.rows, rect.columns] = display.pack_bytes(seen_HW3)
    if crop is not None and crop.reaches_beyond((height, width)):
        beyond_HW = (pixel_Y != index_Y)[:, None] | (pixel_X != index_X)
        canvas_HW[rect.rows, rect.columns].masked_fill_(beyond_HW, around)


def draw_seen_gradient(
    canvas_HW: Tensor,
    rect: Rect,
    gradient_3HW: Tensor,
    position_2: Tensor,
    *,
    layer: Layer,
    how: BackpropDisplay,
) -> None:
    """The same part of the backward picture, scaled by itself; arguments as above."""
    input_size = gradient_3HW.shape[1], gradient_3HW.shape[2]
    index_Y, index_X = seen_pixels(
        position_2,
        layer=layer,
        input_size=input_size,
        crop=None,
        picture_size=input_size,
        size=(rect.height, rect.width),
    )
    show = display.BACKPROP_DISPLAYS[how]
    if canvas_HW.device.type == "cpu":
        seen_HW3 = host.pick(gradient_3HW.float().permute(1, 2, 0), index_Y, index_X)
        shown_CHW = show(torch.from_numpy(seen_HW3).permute(2, 0, 1))
        host.paint(canvas_HW, rect, host.to_bytes(shown_CHW))
        return
    seen_3HW = gradient_3HW.index_select(1, index_Y).index_select(2, index_X)
    bytes_HWC = display.to_bytes(show(seen_3HW.float())).permute(1, 2, 0)
    canvas_HW[rect.rows, rect.columns] = display.pack_bytes(bytes_HWC.expand(-1, -1, 3))


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

    A field that reaches beyond the input is moved inside, so that the window is always full.

    Args:
        position_2: int64 (row, column) on the device.
        layer: The neuron's layer.
        input_size: (height, width) of the network's input.
        picture_size: (height, width) of the picture.
        crop: What the network sees; None is all of the picture.
        size: (height, width) wanted.

    Returns:
        index_Y and index_X, int64: rows and columns of the picture; negative, or its size and
        more, only where the network sees beyond the picture.
    """
    crop = crop or Crop(top=0, left=0, height=picture_size[0], width=picture_size[1])
    starts, lengths = (crop.top, crop.left), (crop.height, crop.width)
    axes = [
        _Axis(
            stride=layer.stride[axis] if layer.field_start is not None else 0.0,
            first_centre=_first_centre(layer, axis, input_size[axis]),
            field=min(layer.receptive_field[axis], input_size[axis]),
            input_size=input_size[axis],
            start=starts[axis],
            zoom=lengths[axis] / input_size[axis],
            picture_size=picture_size[axis],
            clamped=not crop.reaches_beyond(picture_size),
            size=size[axis],
        )
        for axis in (0, 1)
    ]
    if position_2.device.type == "cpu":
        row, column = position_2.tolist()
        return _kept_pixels(row, axes[0]), _kept_pixels(column, axes[1])
    return axes[0].pixels(position_2[0]), axes[1].pixels(position_2[1])


def _first_centre(layer: Layer, axis: int, input_size: int) -> float:
    if layer.field_start is None:
        return input_size / 2
    return layer.field_start[axis] + layer.receptive_field[axis] / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axis:
    """How positions of a map lie over the rows, or the columns, of a picture."""

    stride: float
    first_centre: float
    """Middle of the field of the first row or column, in input pixels."""
    field: int
    input_size: int
    start: float
    """First pixel of the picture that the network sees."""
    zoom: float
    """Pixels of the picture in one of the network's input."""
    picture_size: int
    clamped: bool
    """Rounding must not lead out of the picture."""
    size: int
    """Pixels wanted."""

    def pixels(self, position: Tensor) -> Tensor:
        """int64 [size]: rows or columns of the picture."""
        share = (torch.arange(self.size, device=position.device) + 0.5) / self.size - 0.5
        centre = self.first_centre + position * self.stride
        centre = centre.clamp(self.field / 2, self.input_size - self.field / 2)
        at = (self.start + (centre + share * self.field) * self.zoom).floor()
        if self.clamped:
            at = at.clamp(0, self.picture_size - 1)
        return at.to(torch.int64)


@lru_cache(maxsize=1024)
def _kept_pixels(position: int, axis: _Axis) -> Tensor:
    """A neuron that stays, or comes back, is looked up: a map has few rows and columns."""
    return axis.pixels(torch.tensor(position))

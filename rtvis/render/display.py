"""Numbers to colours. The only place where values are scaled, and zero stays zero."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.choices import BackpropDisplay
from rtvis.registry import ATTENTION_METHODS
from rtvis.render.cover import Cover
from rtvis.render.lut import (
    DIVERGING_ZERO,
    NAN_INDEX,
    SEQUENTIAL_ZERO,
    STEPS,
    ColorMap,
    colormap,
)
from rtvis.session import CamStyle

TINY = 1e-10
"""Keeps an all-zero picture from dividing by zero (DVT and RT add the same)."""

LEAST_RANGE = 1e-35
"""Of a colour scale: its reciprocal is still a float32. Behind many random layers the values of a
whole layer are as small as 1e-16, and are not zero."""

BLUR_SIGMA = 4.0

CLIPPED_AT = 4.0
"""Times the root mean square. Gradients have long tails: of guided backprop's in the default
network the largest is 22 to 43 times that, and 1 % lies beyond 4 times."""


class ColourRange:
    """The range of values that a layer's colours span, optionally a running mean.

    All state is on the device, so following the range never waits for it. A flickering maximum
    does not make the picture pulse: the range widens by half of the way each turn and narrows by
    a twelfth. A range that is not finite is not followed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._key: object = None
        self._low = torch.zeros((), device=device)
        self._high = torch.ones((), device=device)
        self._resumed: tuple[float, float] | None = None

    def resume(self, ends: tuple[float, float]) -> None:
        """Take these for the ends in the next update if it is smoothed, and go on from them.

        Args:
            ends: What `ends` were after an update of an earlier run.
        """
        self._resumed = ends

    def update(
        self, low: Tensor, high: Tensor, *, key: object, smoothed: bool
    ) -> tuple[Tensor, Tensor]:
        """Follow the smallest and largest value of a layer and return the range to draw with.

        Args:
            low: Smallest value, a scalar on the device.
            high: Largest value.
            key: Names the layer; another key starts afresh.
            smoothed: False uses the values as they are.

        Returns:
            (range_low, range_high), float32 scalars: (0, high) for values that are not negative,
            else (-m, m) with m the largest magnitude.
        """
        resumed, self._resumed = self._resumed, None
        fresh = key != self._key or not smoothed
        if resumed is not None and smoothed:
            fresh, (low, high) = True, (torch.full((), x, device=self._device) for x in resumed)
        if key != self._key:
            self._low, self._high = low.new_zeros(()).float(), high.new_ones(()).float()
        self._key = key
        follow = follow_range_host if self._device.type == "cpu" else follow_range
        self._low, self._high, *drawn = follow(low, high, self._low, self._high, fresh=fresh)
        return drawn[0], drawn[1]

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """(low, high) that are followed, scalars on the device: low <= 0 <= high."""
        return self._low, self._high


def follow_range(
    low: Tensor, high: Tensor, old_low: Tensor, old_high: Tensor, *, fresh: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A step of `ColourRange`: the range to go on from, and the one to draw with; all scalars.

    Args:
        low: Smallest value.
        high: Largest value.
        old_low: Lower end that the last step gave.
        old_high: Upper end.
        fresh: True uses the values as they are.
    """
    low = torch.where(low.isfinite(), low.float().clamp(max=0), old_low)
    high = torch.where(high.isfinite(), high.float().clamp(min=0), old_high)
    if not fresh:
        low = old_low + (low - old_low) * torch.where(low < old_low, 0.5, 1 / 12)
        high = old_high + (high - old_high) * torch.where(high > old_high, 0.5, 1 / 12)
    # A running mean comes near zero but never reaches it: a thousandth counts as not negative.
    signed = low < -1e-3 * high
    largest = torch.maximum(high, -low)
    return low, high, torch.where(signed, -largest, 0.0), torch.where(signed, largest, high)


def follow_range_host(
    low: Tensor, high: Tensor, old_low: Tensor, old_high: Tensor, *, fresh: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`follow_range` on a CPU, in Python's numbers: 10 microseconds instead of 50 to 100."""
    low_, high_, old_low_, old_high_ = (float(x) for x in (low, high, old_low, old_high))
    low_ = min(low_, 0.0) if math.isfinite(low_) else old_low_
    high_ = max(high_, 0.0) if math.isfinite(high_) else old_high_
    if not fresh:
        low_ = old_low_ + (low_ - old_low_) * (0.5 if low_ < old_low_ else 1 / 12)
        high_ = old_high_ + (high_ - old_high_) * (0.5 if high_ > old_high_ else 1 / 12)
    largest = max(high_, -low_)
    drawn = (-largest, largest) if low_ < -1e-3 * high_ else (0.0, high_)
    ends = torch.tensor((low_, high_, *drawn), dtype=torch.float32).unbind()
    return ends[0], ends[1], ends[2], ends[3]


def table_index(values: Tensor, range_low: Tensor, range_high: Tensor) -> Tensor:
    """Index of each value in a colour table (`lut.table_words`), as float32 to be truncated.

    index = floor(255 * clamp(x / m, -1, 1) + zero + 1/2), where m is the upper end of the range
    and zero the middle of the ramp for signed or for non-negative values. NaN has an index of its
    own.
    """
    gain: Tensor | float
    zero: Tensor | float
    if values.device.type == "cpu":
        gain = STEPS / max(float(range_high), LEAST_RANGE)
        zero = (DIVERGING_ZERO if float(range_low) < 0 else SEQUENTIAL_ZERO) + 0.5
    else:
        gain = STEPS / range_high.clamp(min=LEAST_RANGE)
        zero = torch.where(range_low < 0, float(DIVERGING_ZERO), float(SEQUENTIAL_ZERO)) + 0.5
    index = values.float() * gain
    return index.clamp_(-STEPS, STEPS).add_(zero).nan_to_num_(nan=NAN_INDEX)


def boost_units(maps_CHW: Tensor, range_high: Tensor, boost: float) -> Tensor:
    """DVT-41: each map times (its largest share of the range + 1e-10) ** -boost.

    Args:
        maps_CHW: One map a unit, on the layer's scale.
        range_high: Upper end of the layer's range.
        boost: 0 leaves all as it is, 1 gives every unit the full range.
    """
    share_C11 = maps_CHW.float().abs().amax(dim=(1, 2), keepdim=True) / range_high.clamp(
        min=LEAST_RANGE
    )
    return maps_CHW * (share_C11.clamp(max=1) + TINY) ** -boost


def extremes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value, NaN if there is one: scalars on the device."""
    if x.device.type == "cpu":
        # `aminmax` walks through values that do not lie in their order in memory one by one: 670
        # microseconds for 400,000 of them with channels last, these two together 72.
        return x.amin(), x.amax()
    return torch.aminmax(x)


def norm01(x: Tensor) -> Tensor:
    """(x - min) / (max + 1e-10), with the maximum taken after the subtraction (DVT)."""
    x = x - x.amin()
    return x / (x.amax() + TINY)


def norm01_centred(x: Tensor) -> Tensor:
    """DVT's norm01c with centre 0: x / max(2 max, -2 min) + 1/2, so zero is mid-grey."""
    low, high = extremes(x)
    return (x / (torch.maximum(2 * high, -2 * low) + TINY)).add_(0.5)


def in_colours(gradient_CHW: Tensor) -> Tensor:
    """As it is with 1 or 3 channels; of any other number, which are no colours, the mean."""
    if gradient_CHW.shape[0] in {1, 3}:
        return gradient_CHW
    return gradient_CHW.mean(dim=0, keepdim=True)


def side_by_side(gradient_CHW: Tensor) -> Tensor:
    """Of six channels, which are two pictures, both: [3, H, 2W] (DVT-58); others as they are."""
    if gradient_CHW.shape[0] != 6:
        return gradient_CHW
    return torch.cat([gradient_CHW[:3], gradient_CHW[3:]], dim=2)


def clipped(gradient_CHW: Tensor) -> Tensor:
    """The signed gradient in colour around mid-grey, in full colour where it is four times its root
    mean square or more: what `raw` leaves nearly grey for the sake of a few pixels. [3, H, W] or
    [1, H, W], 0..1."""
    x = in_colours(gradient_CHW)
    low, high = extremes(x)
    # To 1 first: through many random layers gradients come down to 1e-19, and squares of that to 0.
    x = x / torch.maximum(high, -low).clamp(min=torch.finfo(x.dtype).tiny)
    white = torch.linalg.vector_norm(x) * (CLIPPED_AT / math.sqrt(x.numel()))
    return x.div_(2 * white + TINY).add_(0.5).clamp_(0, 1)


def raw(gradient_CHW: Tensor) -> Tensor:
    """DVT-54: the signed gradient in colour around mid-grey. [3, H, W] or [1, H, W], 0..1."""
    return norm01_centred(in_colours(gradient_CHW))


def gray(gradient_CHW: Tensor) -> Tensor:
    """DVT-55: the mean over colours, around mid-grey. [1, H, W], 0..1."""
    return norm01_centred(gradient_CHW.mean(dim=0, keepdim=True))


def norm(gradient_CHW: Tensor) -> Tensor:
    """DVT-56: the Euclidean norm over colours, from 0 to 1. [1, H, W]."""
    return norm01(torch.linalg.vector_norm(gradient_CHW, dim=0, keepdim=True))


def normblur(gradient_CHW: Tensor) -> Tensor:
    """DVT-57: the norm, blurred by a Gaussian of sigma 4 pixels, from 0 to 1. [1, H, W]."""
    norm_1HW = torch.linalg.vector_norm(gradient_CHW, dim=0, keepdim=True)
    return norm01(blur(norm_1HW, BLUR_SIGMA))


def positive(gradient_CHW: Tensor) -> Tensor:
    """RT-25: relu(g) / (max + 1e-10). [3, H, W] or [1, H, W], 0..1."""
    x = in_colours(gradient_CHW.relu())
    return x / (x.amax() + TINY)


BACKPROP_DISPLAYS: dict[BackpropDisplay, Callable[[Tensor], Tensor]] = {
    "clipped": clipped,
    "raw": raw,
    "gray": gray,
    "norm": norm,
    "normblur": normblur,
    "positive": positive,
}


def blur(image_1HW: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, cut off at 4 sigma, edges mirrored without repeating the edge pixel."""
    height, width = image_1HW.shape[1:]

    def along(x_11HW: Tensor, size: int, *, rows: bool) -> Tensor:
        # Mirroring needs a picture larger than the kernel's arm.
        radius = min(round(4 * sigma), size - 1)
        offsets = torch.arange(-radius, radius + 1, device=x_11HW.device, dtype=x_11HW.dtype)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = kernel / kernel.sum()
        pad = (0, 0, radius, radius) if rows else (radius, radius, 0, 0)
        kernel = kernel.view(1, 1, -1, 1) if rows else kernel.view(1, 1, 1, -1)
        return F.conv2d(F.pad(x_11HW, pad, mode="reflect"), kernel)

    blurred = along(along(image_1HW[None], height, rows=True), width, rows=False)
    return blurred[0]


def above_floor(cam_HW: Tensor, method: str) -> Tensor:
    """What there is to show of a CAM: where zero never comes, how far it lies above the least.

    Args:
        cam_HW: As the method of that name computes it.
        method: Its name.
    """
    known = ATTENTION_METHODS.get(method) if method in ATTENTION_METHODS else None
    return cam_HW - cam_HW.amin() if known is not None and known.has_floor else cam_HW


def cam_share(cam_HW: Tensor, size: tuple[int, int]) -> Tensor:
    """A CAM at (height, width), bilinear, divided by its maximum (RT-22): [H, W], 0..1."""
    cam_11HW = cam_HW.float()[None, None].nan_to_num()
    cam_11HW = F.interpolate(cam_11HW, size=size, mode="bilinear", align_corners=False)
    cam = cam_11HW[0, 0]
    return (cam / (cam.amax() + 1e-12)).clamp_(0, 1)


def cam_over(
    bytes_HW3: Tensor, cam_HW: Tensor, style: CamStyle, view: Cover | None = None
) -> Tensor:
    """A CAM over what the network sees of a picture.

    Args:
        bytes_HW3: uint8 RGB: the part of the picture that is seen, `view.seen`.
        cam_HW: Of any size and not scaled. It lies over the whole view, and its maximum may be
            beyond the picture, where nothing is drawn.
        style: How it lies over the picture.
        view: Where the picture lies in the view; None: it is all of it.
    """
    if view is None:
        share_HW = cam_share(cam_HW, (bytes_HW3.shape[0], bytes_HW3.shape[1]))
    else:
        share_HW = cam_share(cam_HW, view.size)[view.within]
    lay_over = overlay_alpha if style == "alpha" else overlay_blend
    return to_bytes(lay_over(bytes_HW3.float() / 255, share_HW))


def overlay_alpha(image_HW3: Tensor, cam_HW: Tensor) -> Tensor:
    """Turbo over the picture, as opaque as the CAM is strong.

    With s the CAM's share of its maximum: a = 0.85 s^1.5; picture (1 - a) + turbo(s) a. Where there
    is no evidence the picture is untouched.

    Args:
        image_HW3: float32 RGB, 0..1.
        cam_HW: float32, 0..1, of the same size.
    """
    alpha_HW1 = (0.85 * cam_HW * cam_HW.sqrt())[..., None]
    return torch.lerp(image_HW3, _mapped("turbo", cam_HW), alpha_HW1)


def overlay_blend(image_HW3: Tensor, cam_HW: Tensor) -> Tensor:
    """RT-23: 0.7 picture + 0.3 JET(255 cam), the index rounded down."""
    return 0.7 * image_HW3 + 0.3 * _mapped("jet", cam_HW)


def dim_outside(bytes_HW3: Tensor, seen: tuple[slice, slice]) -> Tensor:
    """The picture with half the brightness (rounded down) outside the rows and columns `seen`."""
    dimmed = bytes_HW3 >> 1
    dimmed[seen[0], seen[1]] = bytes_HW3[seen[0], seen[1]]
    return dimmed


def to_bytes(image: Tensor) -> Tensor:
    """uint8 of values in 0..1, rounded half up. What lies outside is clipped; NaN is black."""
    return (image * 255).add_(0.5).nan_to_num_().clamp_(0, 255).to(torch.uint8)


def pack_bytes(bytes_HW3: Tensor) -> Tensor:
    """Packed pixels, int32 [H, W], of an RGB picture, uint8 [H, W, 3]. The alpha byte is not set
    to anything in particular: nothing reads it."""
    words_HW3 = bytes_HW3.to(torch.int32)
    return (words_HW3[..., 0] << 16) | (words_HW3[..., 1] << 8) | words_HW3[..., 2]


def _mapped(name: ColorMap, share_HW: Tensor) -> Tensor:
    index = (share_HW * 255).to(torch.int32).reshape(-1)
    colours = colormap(name, share_HW.device).index_select(0, index)
    return colours.view(*share_HW.shape, 3)

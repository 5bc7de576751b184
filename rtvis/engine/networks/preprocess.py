"""From a camera's picture to the network's input, on the device and without waiting for it.

The reference is what torchvision and timm do to a PIL picture: antialiased resize to uint8,
centre crop, scale to 0..1, subtract the mean, divide by the deviation. Two ways lead there:

- On a CPU `F.interpolate` on the uint8 picture as it lies in memory (rows of RGB, that is
  channels_last), for which torch has integer SIMD kernels, then the crop. Measured on two cores,
  1280x720 to 224: 1.1 ms bilinear, 1.5 ms bicubic, against 3.3 and 4.6 in float32; 640x272:
  0.7 and 0.8.
- Everywhere else, and for very long pictures, two products with cached resampling matrices that
  hold only the rows and columns inside the crop: nothing is computed that the crop throws away,
  and CUDA has no uint8 kernel (on the CPU this takes 4.2 and 0.8 ms).

All of `apply` takes 0.9 ms for 640x272, 1.2 (bilinear) or 1.5 ms (bicubic) for 1280x720 and 1.9 or
2.5 ms for 1920x1080, on one core or two.

Stretching and letterboxing are the same resize to another size. What letterboxing leaves free is
filled after the normalisation with 0, which is the mean.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.data import Crop, Fit

Interpolation: TypeAlias = Literal["bilinear", "bicubic"]

_MAX_WASTE = 6.0
"""Above this ratio of resized to cropped area the matrices are cheaper than resizing it all."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The picture keeps its proportions and is just large enough to cover so much.

    What timm's ResizeKeepRatio does for an input that is not square. Of a square one it is the
    length of the shorter side.
    """

    height: int
    width: int

    @staticmethod
    def of(rows: int, columns: int) -> "Cover | int":
        """So much; a number where that is a square."""
        return rows if rows == columns else Cover(rows, columns)

    @staticmethod
    def around(size: tuple[int, int], times: float) -> "Cover | int":
        """So many times as large as a crop, rounded."""
        return Cover.of(round(size[0] * times), round(size[1] * times))


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What a network wants done to a picture. Sizes are (height, width)."""

    size: tuple[int, int] = (224, 224)
    """Of the network's input."""
    resize: int | Cover | tuple[int, int] = 256
    """Length of the shorter side before the crop, enlarged where the crop would not fit;
    or what the picture covers; or an exact (height, width), which changes the aspect ratio."""
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """One per channel, for values in 0..1."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: Literal["centre"] = "centre"
    num_channels: int = 3
    """1: the network sees the luminance. With more than 3 it is shown pictures only where
    `repeats_channels` says how."""
    repeats_channels: bool = False
    """A network with other channels than 1 or 3 gets red, green, blue, red, green ..."""

    def __post_init__(self) -> None:
        assert len(self.mean) == len(self.std) == self.num_channels, "one mean and std per channel"
        assert min(self.size) > 0, "sizes are positive"
        assert all(deviation > 0 for deviation in self.std), "deviations are positive"

    def with_size(self, size: tuple[int, int]) -> "Preprocessing":
        """The same for another input size; the part of the picture that is seen stays."""
        if size == self.size:
            return self
        if isinstance(self.resize, tuple):
            ratio = self.resize[0] / self.size[0], self.resize[1] / self.size[1]
            resize = round(size[0] * ratio[0]), round(size[1] * ratio[1])
            return replace(self, size=size, resize=resize)
        if isinstance(self.resize, Cover):
            return replace(
                self, size=size, resize=Cover.around(size, self.resize.height / self.size[0])
            )
        # A short side that is given for a crop that is not square belongs to its longer side.
        return replace(self, size=size, resize=Cover.around(size, self.resize / max(self.size)))

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Size of a `height` x `width` picture after the resize, before the crop."""
        if isinstance(self.resize, tuple):
            rows, columns = self.resize
        elif isinstance(self.resize, Cover):
            times = max(self.resize.height / height, self.resize.width / width)
            rows, columns = round(height * times), round(width * times)
        else:
            # Integer division as torchvision and timm do it: the longer side rounds down.
            short = min(height, width)
            rows, columns = height * self.resize // short, width * self.resize // short
        if rows < self.size[0] or columns < self.size[1]:
            scale = max(self.size[0] / height, self.size[1] / width)
            rows, columns = round(height * scale), round(width * scale)
        return max(rows, self.size[0]), max(columns, self.size[1])

    def crop_of(self, height: int, width: int, fit: Fit = "crop") -> Crop:
        """The rectangle of a `height` x `width` picture that the network sees."""
        (rows, columns), (top, left) = self._plan(height, width, fit)
        return Crop(
            top=top * height / rows,
            left=left * width / columns,
            height=self.size[0] * height / rows,
            width=self.size[1] * width / columns,
        )

    def apply(self, image_HW3: Tensor, fit: Fit = "crop") -> Tensor:
        """The network's input for one picture.

        Args:
            image_HW3: RGB, or as many channels as the network has: uint8, or float32 in 0..255
                that is not rounded anywhere; on any device, of any size from 1x1.
            fit: What becomes of a picture with other proportions.

        Returns:
            float32 [1, C, H, W], channels_last, on the same device.
        """
        assert image_HW3.dtype in {torch.uint8, torch.float32}, f"not {image_HW3.dtype}"
        assert image_HW3.ndim == 3, f"HW3 expected, not {image_HW3.shape}"
        assert image_HW3.shape[2] in {3, self.num_channels}, f"not {image_HW3.shape}"
        resized, start = self._plan(image_HW3.shape[0], image_HW3.shape[1], fit)
        # What letterboxing leaves free is no part of the resized picture.
        kept_size = min(resized[0], self.size[0]), min(resized[1], self.size[1])
        kept_start = max(start[0], 0), max(start[1], 0)
        waste = (resized[0] * resized[1]) / (self.size[0] * self.size[1])
        by_kernel = image_HW3.device.type == "cpu" and waste <= _MAX_WASTE
        resize = self._by_kernel if by_kernel else self._by_matrices
        resized_1CHW = resize(image_HW3, resized, kept_start, kept_size)
        input_1CHW = self._normalised(resized_1CHW, whole=image_HW3.dtype == torch.uint8)
        return self._padded(input_1CHW, start)

    def apply_batch(self, images_HW3: Iterable[Tensor]) -> Tensor:
        """`apply` for several pictures, which may differ in size: float32 BCHW."""
        inputs = [self.apply(image_HW3) for image_HW3 in images_HW3]
        if len(inputs) == 1:
            return inputs[0]
        return torch.cat(inputs).contiguous(memory_format=torch.channels_last)

    def to_unit_range(self, input_BCHW: Tensor) -> Tensor:
        """Undo the normalisation: RGB (or luminance) in 0..1 as the network saw it."""
        scale_C, shift_C = _scale_and_shift(self.mean, self.std, input_BCHW.device)
        return ((input_BCHW.float() - shift_C) / (scale_C * 255.0)).clamp(0.0, 1.0)

    def to_pictures(self, input_BCHW: Tensor) -> Tensor:
        """The same as uint8 RGB [B, H, W, 3]; of more than three channels the first ones."""
        image_BCHW = (self.to_unit_range(input_BCHW) * 255.0).round().to(torch.uint8)
        if image_BCHW.shape[1] < 3:
            image_BCHW = image_BCHW[:, :1].expand(-1, 3, -1, -1)
        return image_BCHW[:, :3].permute(0, 2, 3, 1).contiguous()

    def _plan(self, height: int, width: int, fit: Fit) -> tuple[tuple[int, int], tuple[int, int]]:
        """((rows, columns) after the resize, (top, left) of the input in it)."""
        match fit:
            case "crop":
                rows, columns = self.resized_size(height, width)
            case "stretch":
                rows, columns = self.size
            case "letterbox":
                scale = min(self.size[0] / height, self.size[1] / width)
                rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
            case _:
                assert_never(fit)
        # round() takes halves to the even number, as both libraries do.
        top, left = round((rows - self.size[0]) / 2), round((columns - self.size[1]) / 2)
        return (rows, columns), (top, left)

    def _by_kernel(
        self,
        image_HW3: Tensor,
        resized: tuple[int, int],
        start: tuple[int, int],
        size: tuple[int, int],
    ) -> Tensor:
        image_13HW = image_HW3.permute(2, 0, 1).unsqueeze(0)
        resized_13HW = F.interpolate(
            image_13HW,
            size=resized,
            mode=self.interpolation,
            antialias=True,
            align_corners=False,
        )
        bottom, right = start[0] + size[0], start[1] + size[1]
        cropped_13HW = resized_13HW[:, :, start[0] : bottom, start[1] : right]
        if cropped_13HW.dtype == torch.uint8:
            return cropped_13HW.float()
        return cropped_13HW.clamp(0.0, 255.0)  # a cubic overshoots

    def _by_matrices(
        self,
        image_HW3: Tensor,
        resized: tuple[int, int],
        start: tuple[int, int],
        size: tuple[int, int],
    ) -> Tensor:
        height, width = image_HW3.shape[:2]
        device, kind = image_HW3.device, self.interpolation
        first_row, down_OH = _resampling(height, resized[0], start[0], size[0], kind, device)
        first_column, across_OW = _resampling(width, resized[1], start[1], size[1], kind, device)
        source_3HW = image_HW3[
            first_row : first_row + down_OH.shape[1],
            first_column : first_column + across_OW.shape[1],
        ].permute(2, 0, 1)
        # Columns first and rounded to uint8 values between the passes, as the kernel does: where a
        # cubic overshoots, the other order differs by tens of grey levels.
        narrow_3HO = source_3HW.float() @ across_OW.T
        as_uint8 = image_HW3.dtype == torch.uint8
        if as_uint8:
            narrow_3HO = _to_range(narrow_3HO, whole=True)
        cropped_3OO = down_OH @ narrow_3HO
        return _to_range(cropped_3OO, whole=as_uint8).unsqueeze(0)

    def _padded(self, input_1CHW: Tensor, start: tuple[int, int]) -> Tensor:
        """The network's input with the mean, which is 0, around what is smaller than that."""
        height, width = input_1CHW.shape[2:]
        if (height, width) == self.size:
            return input_1CHW
        above, before = max(-start[0], 0), max(-start[1], 0)
        below, behind = self.size[0] - height - above, self.size[1] - width - before
        padded_1CHW = F.pad(input_1CHW, (before, behind, above, below))
        return padded_1CHW.contiguous(memory_format=torch.channels_last)

    def _normalised(self, cropped_1CHW: Tensor, *, whole: bool) -> Tensor:
        if cropped_1CHW.shape[1] != self.num_channels:
            cropped_1CHW = self._in_own_channels(cropped_1CHW, whole=whole)
        scale_C, shift_C = _scale_and_shift(self.mean, self.std, cropped_1CHW.device)
        normalised = torch.addcmul(shift_C, cropped_1CHW, scale_C)
        return normalised.contiguous(memory_format=torch.channels_last)

    def _in_own_channels(self, cropped_13HW: Tensor, *, whole: bool) -> Tensor:
        if self.num_channels == 1:
            weight_311 = _luminance(cropped_13HW.device)
            grey_11HW = (cropped_13HW * weight_311).sum(dim=1, keepdim=True)
            return _to_range(grey_11HW, whole=whole)
        assert self.repeats_channels, "who checked that the network takes pictures?"
        times = math.ceil(self.num_channels / 3)
        return cropped_13HW.repeat(1, times, 1, 1)[:, : self.num_channels]


def _to_range(values: Tensor, *, whole: bool) -> Tensor:
    """In place: 0..255, and rounded where the picture has eight bits."""
    return (values.round_() if whole else values).clamp_(0.0, 255.0)


@functools.lru_cache(maxsize=64)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """`(x / 255 - mean) / std` as `x * scale + shift`; cached, for a new tensor would sync."""
    scale = [1.0 / (255.0 * deviation) for deviation in std]
    shift = [-centre / deviation for centre, deviation in zip(mean, std, strict=True)]
    # Ordinary tensors even if the first call happens under inference_mode.
    with torch.inference_mode(mode=False):
        scale_C = torch.tensor(scale, device=device).view(1, -1, 1, 1)
        return scale_C, torch.tensor(shift, device=device).view(1, -1, 1, 1)


@functools.lru_cache(maxsize=4)
def _luminance(device: torch.device) -> Tensor:
    """ITU-R 601 weights, as PIL's mode "L"."""
    with torch.inference_mode(mode=False):
        return torch.tensor([0.299, 0.587, 0.114], device=device).view(3, 1, 1)


@functools.lru_cache(maxsize=64)
def _resampling(
    length: int,
    new_length: int,
    start: int,
    count: int,
    kind: Interpolation,
    device: torch.device,
) -> tuple[int, Tensor]:
    """Resize `length` samples to `new_length` and keep `count` from `start`, as one product.

    Returns:
        The first source sample that is needed, and the matrix [count, samples needed]. Its rows
        are the filter of PIL's antialiased resize, each with the sum 1.
    """
    scale = length / new_length
    stretch = max(scale, 1.0)
    support = stretch * (2.0 if kind == "bicubic" else 1.0)
    first = max(math.floor((start + 0.5) * scale - support), 0)
    last = min(math.ceil((start + count - 0.5) * scale + support) + 1, length)
    with torch.inference_mode(mode=False):
        centre_O1 = (torch.arange(start, start + count, dtype=torch.float64) + 0.5)[:, None] * scale
        sample_1S = torch.arange(first, last, dtype=torch.float64)[None, :] + 0.5
        matrix_OS = _kernel((sample_1S - centre_O1) / stretch, kind)
        matrix_OS /= matrix_OS.sum(dim=1, keepdim=True)
        return first, matrix_OS.float().to(device)


def _kernel(distance: Tensor, kind: Interpolation) -> Tensor:
    """The interpolation kernel: a triangle, or Keys' cubic with a = -0.5."""
    d = distance.abs()
    if kind == "bilinear":
        return (1.0 - d).clamp(min=0.0)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return torch.where(d < 1.0, near, torch.where(d < 2.0, far, torch.zeros_like(d)))

"""Preprocessing from a model's config, from what stood beside its weights, or from flags."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from torch import nn

from rtvis.engine.networks.preprocess import Cover, Interpolation, Preprocessing
from rtvis.errors import NetworkError

_IMAGENET = Preprocessing()
"""What a network gets that says nothing about itself."""

_OTHER_MEAN, _OTHER_STD = 0.5, 0.5
"""Of each channel of a network without colours that says nothing about itself."""


def from_config(
    config: Mapping[str, Any], *, name: str, base: Preprocessing = _IMAGENET
) -> Preprocessing:
    """Read timm's keys: input_size, interpolation, crop_pct, crop_mode, mean, std.

    Args:
        config: Unknown keys are left alone; what is missing comes from `base`.
        name: What the config belongs to, for errors.
        base: Values where the config has none.

    Raises:
        NetworkError: A value cannot be used.
    """
    prep = base
    if config.get("input_size") is not None:
        num_channels, size = _input_size(config["input_size"], prep.num_channels, name)
        prep = for_channels(prep.with_size(size), num_channels)
    if config.get("crop_pct") is not None:
        prep = replace(prep, resize=_resize(prep.size, config, name))
    if config.get("interpolation") is not None:
        prep = replace(prep, interpolation=_interpolation(config["interpolation"]))
    if config.get("mean") is not None or config.get("std") is not None:
        prep = with_statistics(prep, config.get("mean"), config.get("std"), name=name)
    return prep


def from_torchvision(transforms: Any) -> Preprocessing:
    """The same from a torchvision weights entry's `transforms()`."""
    resize = transforms.resize_size[0]
    # Segmentation takes the whole picture, whose proportions are not known here: its centre.
    crop = transforms.crop_size[0] if hasattr(transforms, "crop_size") else resize
    return Preprocessing(
        size=(crop, crop),
        resize=resize,
        interpolation=_interpolation(transforms.interpolation.value),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def for_channels(prep: Preprocessing, num_channels: int) -> Preprocessing:
    """The same for a network with this many input channels."""
    if num_channels == prep.num_channels:
        return prep
    mean, std = _IMAGENET.mean, _IMAGENET.std
    if num_channels != 3:
        mean, std = (_OTHER_MEAN,) * num_channels, (_OTHER_STD,) * num_channels
    return replace(prep, num_channels=num_channels, mean=mean, std=std)


def with_statistics(
    prep: Preprocessing, mean: Any | None, std: Any | None, *, name: str
) -> Preprocessing:
    """`prep` with another mean or deviation: one number, or one per channel, for 0..1.

    Raises:
        NetworkError: The wrong count, not numbers, or a deviation that is not positive.
    """

    def checked(value: Any, what: str, default: tuple[float, ...]) -> tuple[float, ...]:
        if value is None:
            return default
        numbers = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        try:
            values = tuple(float(number) for number in numbers)
        except (TypeError, ValueError):
            values = ()
        if len(values) == 1:
            values *= prep.num_channels
        if len(values) != prep.num_channels or not all(map(math.isfinite, values)):
            wanted = f"{prep.num_channels} numbers" if prep.num_channels > 1 else "one number"
            raise NetworkError(f"{name}: {what} is {value!r}, but {wanted} for 0..1 would do")
        if what == "std" and min(values) <= 0:
            raise NetworkError(f"{name}: std is {value!r}, but deviations are above 0")
        return values

    return replace(prep, mean=checked(mean, "mean", prep.mean), std=checked(std, "std", prep.std))


def config_of(model: nn.Module) -> dict[str, Any]:
    """What an own model says about itself in `pretrained_cfg`, `default_cfg` or `config`."""
    for attribute in ("pretrained_cfg", "default_cfg", "config"):
        value: Any = getattr(model, attribute, None)
        to_dict = getattr(value, "to_dict", None)
        if callable(to_dict):
            value = to_dict()
        if isinstance(value, Mapping) and value:
            return {str(key): item for key, item in value.items()}
    return {}


def channels_of(model: nn.Module) -> int | None:
    """Input channels of the first convolution, which tells colour networks from grey ones."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return None if first is None else first.in_channels


def _input_size(value: Any, num_channels: int, name: str) -> tuple[int, tuple[int, int]]:
    sizes = [value] if isinstance(value, int) else value
    if not isinstance(sizes, Sequence) or not all(isinstance(s, int) and s > 0 for s in sizes):
        raise NetworkError(f"{name}: input_size is {value!r}, but (3, height, width) would do")
    if len(sizes) == 1:
        return num_channels, (sizes[0], sizes[0])
    if len(sizes) == 2:
        return num_channels, (sizes[0], sizes[1])
    if len(sizes) != 3:
        raise NetworkError(f"{name}: input_size is {value!r}, but (3, height, width) would do")
    return sizes[0], (sizes[1], sizes[2])


_Resize: TypeAlias = int | Cover | tuple[int, int]


def _resize(size: tuple[int, int], config: Mapping[str, Any], name: str) -> _Resize:
    """As timm reads crop_pct: the crop's share of the resized picture, rounded down."""
    share = config["crop_pct"]
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise NetworkError(f"{name}: crop_pct is {share!r}, but a number above 0 up to 1 would do")
    height, width = math.floor(size[0] / share), math.floor(size[1] / share)
    # "border" pads the picture to a square; rtvis takes its centre, which it also trained on.
    if config.get("crop_mode") == "squash":
        return height, width
    return Cover.of(height, width)


def _interpolation(value: Any) -> Interpolation:
    """Bicubic for bicubic and its sharper kin, bilinear for all else."""
    return "bicubic" if str(value).lower() in {"bicubic", "lanczos"} else "bilinear"

"""Preprocessing as the YAML beside a network says it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from rtvis.engine.networks.adapt import AdaptedInput
from rtvis.engine.networks.model_config import for_channels, with_statistics
from rtvis.engine.networks.model_file import ModelFile, range_of
from rtvis.engine.networks.preprocess import Cover, Preprocessing
from rtvis.errors import ConfigError, NetworkError


def apply_model_file(file: ModelFile, prep: Preprocessing) -> Preprocessing:
    """`prep` with what the file says, in RGB and for pictures in 0..1.

    Raises:
        ConfigError: A value does not fit the network's channels.
    """
    if file.channels is not None:
        prep = for_channels(prep, file.channels)
    if file.size is not None:
        prep = prep.with_size(_both(file.size))
    if file.resize is not None:
        prep = replace(prep, resize=file.resize)
    if file.crop is not None:
        rows, columns = (math.floor(length / file.crop) for length in prep.size)
        prep = replace(prep, resize=Cover.of(rows, columns))
    if file.interpolation is not None:
        prep = replace(prep, interpolation=file.interpolation)
    if file.repeat_channels is not None:
        prep = replace(prep, repeats_channels=file.repeat_channels)
    if file.order == "bgr" and prep.num_channels != 3:
        raise ConfigError(
            f"{file.path}: order: bgr needs 3 channels, and the network has {prep.num_channels}"
        )
    return _with_statistics(file, prep)


def adapted(file: ModelFile, model: nn.Module, prep: Preprocessing) -> nn.Module:
    """The model behind what the preprocessing cannot do: BGR, and a mean picture.

    Raises:
        ConfigError: The mean picture does not fit the input.
    """
    offset_1CHW = None
    if isinstance(file.mean, str):
        # The preprocessing subtracts the mean of each channel; the rest is done here.
        mean_CHW = _mean_picture(file, prep.num_channels, prep.size)
        low, high = range_of(file)
        std_C11 = torch.tensor(prep.std).view(-1, 1, 1)
        offset_CHW = (mean_CHW.mean(dim=(1, 2), keepdim=True) - mean_CHW) / (high - low) / std_C11
        offset_1CHW = offset_CHW[None]
    if file.order != "bgr" and offset_1CHW is None:
        return model
    return AdaptedInput(model, is_bgr=file.order == "bgr", offset_1CHW=offset_1CHW)


def _both(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _with_statistics(file: ModelFile, prep: Preprocessing) -> Preprocessing:
    if file.range is None and file.mean is None and file.std is None:
        return prep
    low, high = range_of(file)
    mean, std = prep.mean, prep.std
    if file.range is not None:  # another range without a mean has none
        mean, std = (0.0,) * prep.num_channels, (1.0,) * prep.num_channels
    try:
        if isinstance(file.mean, str):
            picture_CHW = _mean_picture(file, prep.num_channels, prep.size)
            mean = tuple(picture_CHW.mean(dim=(1, 2)).tolist())
        elif file.mean is not None:
            mean = _in_rgb(file, with_statistics(prep, file.mean, None, name=file.path).mean)
        if file.std is not None:
            std = _in_rgb(file, with_statistics(prep, None, file.std, name=file.path).std)
    except NetworkError as fault:
        raise ConfigError(str(fault)) from fault
    span = high - low
    return replace(
        prep,
        mean=tuple((centre - low) / span for centre in mean),
        std=tuple(deviation / span for deviation in std),
    )


def _in_rgb(file: ModelFile, values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values[::-1]) if file.order == "bgr" else tuple(values)


def _mean_picture(file: ModelFile, num_channels: int, size: tuple[int, int]) -> Tensor:
    """float32 [C, H, W] in RGB order: the centre of the file's array."""
    assert isinstance(file.mean, str)
    path = file.beside(file.mean)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or str(fault).splitlines()[0]
        raise ConfigError(f"{file.path}: mean: {path} cannot be read: {reason}") from fault
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3 and array.shape[0] != num_channels and array.shape[2] == num_channels:
        array = array.transpose(2, 0, 1)
    height, width = size
    fits = array.ndim == 3 and array.shape[0] == num_channels
    if not fits or array.shape[1] < height or array.shape[2] < width:
        raise ConfigError(
            f"{file.path}: mean: {path} has the shape {list(array.shape)}; "
            f"[{num_channels}, {height}, {width}] or larger would do"
        )
    top, left = (array.shape[1] - height) // 2, (array.shape[2] - width) // 2
    picture_CHW = array[:, top : top + height, left : left + width].astype(np.float32)
    if file.order == "bgr":
        picture_CHW = picture_CHW[::-1]
    return torch.from_numpy(np.ascontiguousarray(picture_CHW))

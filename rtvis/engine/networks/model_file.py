"""The small YAML beside a network's file or weights: its labels, preprocessing and layers."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from rtvis.config_files import read_mapping
from rtvis.engine.networks.layer_rules import LayerRules
from rtvis.engine.networks.preprocess import Interpolation
from rtvis.errors import ConfigError, did_you_mean
from rtvis.plain import from_plain

NONE: Final = "none"
"""As the name of a model config: none, even if one lies there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """What the file says; None: nothing. Its keys are the fields below `path`."""

    path: str = ""
    labels: str | tuple[str, ...] | None = None
    """A file beside this one with a name a line, or the names."""
    channels: int | None = None
    """Of the input; default: of the first convolution."""
    size: int | tuple[int, int] | None = None
    """(height, width) of the input, or its side."""
    resize: int | tuple[int, int] | None = None
    """The shorter side of a picture before the crop, or an exact (height, width)."""
    crop: float | None = None
    """The same as the share of the resized picture that is seen, 0 to 1."""
    interpolation: Interpolation | None = None
    range: float | tuple[float, float] | None = None
    """What black and white are before mean and deviation: 255 is short for (0, 255)."""
    order: Literal["rgb", "bgr"] | None = None
    """Of the network's channels."""
    mean: str | float | tuple[float, ...] | None = None
    """One number or one a channel, in `range` and `order`; or a .npy file beside this one with a
    mean picture, [C, H, W] or [H, W, C], from whose centre the input's size is taken (DVT-91)."""
    std: float | tuple[float, ...] | None = None
    """Likewise, in `range`."""
    repeat_channels: bool | None = None
    """Give a network with other channels than 1 or 3 the colours again and again."""
    output: str | None = None
    """Which of the model's outputs, where it returns several; as --output."""
    layers: LayerRules = field(default_factory=LayerRules)
    """Which layers are shown, and what they are called."""

    def beside(self, name: str) -> str:
        """The path of a file that is named relative to this one."""
        return str(Path(self.path).parent / name)


def find_model_file(asked: str | None, network: str, weights: str | None) -> str | None:
    """The path of the file: the one asked for, or the one beside the weights or the network.

    Args:
        asked: A path, "none", or None to look for one.
        network: A network's name or file.
        weights: A file, or None.
    """
    if asked is not None:
        return None if asked == NONE else asked
    for name in (weights, network.rpartition(":")[0] or network):
        if name is None or not Path(name).is_file():
            continue
        for suffix in (".yaml", ".yml"):
            beside = Path(name).with_suffix(suffix)
            if beside.is_file():
                return str(beside)
    return None


def read_model_file(path: str) -> ModelFile:
    """What a file says.

    Raises:
        ConfigError: It cannot be read, or has a key or value that cannot be used; says which.
    """
    pairs = {name.replace("-", "_"): value for name, value in read_mapping(path, _KIND).items()}
    known = [each.name for each in fields(ModelFile) if each.name != "path"]
    for name in pairs:
        if name not in known:
            raise ConfigError(
                f"{path}: {name}: unknown key{did_you_mean(name, known)}; if this file is not for "
                f"rtvis, pass --model-config {NONE}"
            )
    given = {name: value for name, value in pairs.items() if value is not None}
    found = from_plain(ModelFile, {**given, "path": path}, where=f"{path}: ")
    _check(found)
    return found


_KIND = "model config"


def _check(file: ModelFile) -> None:
    def refuse(key: str, value: Any, would_do: str) -> ConfigError:
        return ConfigError(f"{file.path}: {key}: {value!r} cannot be used; give {would_do}")

    for key in ("channels", "size", "resize"):
        value = getattr(file, key)
        numbers = value if isinstance(value, tuple) else (value,)
        if value is not None and min(numbers) < 1:
            raise refuse(key, value, "numbers from 1")
    if file.crop is not None and not 0 < file.crop <= 1:
        raise refuse("crop", file.crop, "the share of the picture that is seen, above 0 up to 1")
    if file.crop is not None and file.resize is not None:
        raise ConfigError(f"{file.path}: crop: resize says the same; keep one of them")
    low, high = range_of(file)
    if not low < high:
        raise refuse("range", file.range, "what white is, or [black, white]")
    if isinstance(file.mean, str) and not file.mean.endswith(".npy"):
        raise refuse("mean", file.mean, "numbers, or a .npy file with a mean picture")


def range_of(file: ModelFile) -> tuple[float, float]:
    """What black and white are to the network before mean and deviation."""
    if isinstance(file.range, tuple):
        return file.range
    return 0.0, 1.0 if file.range is None else file.range

"""Which network, and how it runs: parts of what several commands can be told.

Imports neither torch nor numpy: `--help` answers at once.
"""

from dataclasses import dataclass
from typing import Final, Literal

from rtvis.choices import DtypeName
from rtvis.option_values import channels, renaming, size
from rtvis.options import device_option, dtype_option, layers_option, option, tf32_option

DEFAULT_NETWORK: Final = "tf_efficientnet_lite0"
"""Its weights come with rtvis: nothing is downloaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """The network that watches."""

    network: str = option(
        "a torchvision or timm network or a Keras name, in any case (rtvis --list networks), "
        "or path/to/file.py:factory",
        default=DEFAULT_NETWORK,
        metavar="NAME",
        expects="a name, or path/to/file.py:factory",
        is_path=True,
    )
    weights: str | None = option(
        "safetensors or a state dict; or random; default: pretrained",
        metavar="FILE",
        expects="a file, or random",
        of="network",
        is_path=True,
    )
    labels: str | None = option(
        "class names: one a line, or JSON",
        metavar="FILE",
        expects="a file",
        of="network",
        is_path=True,
    )
    size: tuple[int, int] | None = option(
        "input of the network: a side, or HEIGHTxWIDTH; default: its own",
        metavar="SIZE",
        parse=size,
        expects="a side such as 224, or height and width such as 240x320",
        of="network",
    )
    mean: tuple[float, ...] | None = option(
        "subtracted from pictures in 0..1, one number or one per channel; default: the network's",
        metavar="R,G,B",
        parse=channels,
        expects="a number such as 0.5, or one per channel",
        of="network",
    )
    std: tuple[float, ...] | None = option(
        "they are divided by this; default: the network's own",
        metavar="R,G,B",
        parse=channels,
        expects="a number such as 0.5, or one per channel",
        of="network",
    )
    model_config: str | None = option(
        "YAML with the network's labels, preprocessing and layers, or none; default: the one "
        "beside the weights or the network's file (net.pt: net.yaml)",
        metavar="FILE",
        expects="a file, or none",
        of="network weights",
        is_path=True,
    )
    layers: tuple[str, ...] | None = layers_option("show these layers alone", of="network")
    rename_layers: tuple[tuple[str, str], ...] | None = option(
        "names of layers on screen; {1} is what the first * stands for",
        metavar="PATTERN=NAME,...",
        parse=renaming,
        expects="pairs such as layer1.*=stage 1 {1},fc=head",
        of="network",
    )
    group_layers: tuple[tuple[str, str], ...] | None = option(
        "what to call neighbouring layers together, likewise",
        metavar="PATTERN=NAME,...",
        parse=renaming,
        expects="pairs such as layer1.*=stage 1",
        of="network",
    )
    repeat_channels: bool = option(
        "give a network with other channels than 1 or 3 red, green, blue, red, green ...",
        default=False,
        of="network",
    )
    output: str | None = option(
        "which of the network's outputs, where it has several: a key, a field or an index, nested "
        "ones joined by dots; default: the first that can be scores",
        metavar="KEY",
        expects="a key such as out, or an index",
    )
    trust_pickle: bool = option(
        "load pickled whole models too; this runs code from their file",
        default=False,
        saved=False,  # who opens somebody's state must decide that
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeConfig:
    """Where and how it runs."""

    device: str = device_option()
    dtype: DtypeName = dtype_option()  # noqa: RUF009
    tf32: bool = tf32_option()
    compile: Literal["auto", "off"] = option(
        "compile in the background while the eager form serves, or never",
        default="auto",
        saved=False,
    )

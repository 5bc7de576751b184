"""What can be set, one dataclass per part; every field is a flag and a key of a config file.

Imports neither torch nor numpy: `main.py --help` answers at once.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

RuleName: TypeAlias = Literal["gradient", "guided", "deconvnet"]
TapName: TypeAlias = Literal["pre", "post"]
SeedName: TypeAlias = Literal["max", "map", "activation"]
FitName: TypeAlias = Literal["crop", "stretch", "letterbox"]
DtypeName: TypeAlias = Literal["float32", "float16", "bfloat16", "float64"]
Subject: TypeAlias = Literal["networks", "layers", "methods", "keys"]

Parse: TypeAlias = Callable[[Any], Any]
"""From the text of a flag, or the value in a config file, to the value of a field; may raise
ValueError or TypeError."""


def option(
    help_text: str,
    *,
    default: Any = None,
    metavar: str | None = None,
    parse: Parse | None = None,
    expects: str | None = None,
    of: str = "",
    field_name: str = "",
    is_path: bool = False,
    saved: bool = True,
) -> Any:
    """A field that is also a flag.

    Args:
        help_text: For `--help`.
        default: Of the field.
        metavar: What `--help` calls the value.
        parse: Turns the given value into the field's.
        expects: Completes "... cannot be used; give ..." in errors; needed with `parse`.
        of: Keys, separated by spaces, of what it belongs to: a flag beside a state that gives one
            of them anew makes this one of the state forgotten, as the unit of another layer.
        field_name: Of the Selection or View field that a state file may give in its place, where
            that has another name.
        is_path: It can name a file, which a state may have lying beside it.
        saved: A state holds it, where it belongs to source, network or computing.
    """
    assert (parse is None) == (expects is None), "say what would do"
    metadata = {
        "help": help_text,
        "metavar": metavar,
        "parse": parse,
        "expects": expects,
        "of": tuple(of.split()),
        "field_name": field_name,
        "is_path": is_path,
        "saved": saved,
    }
    return field(default=default, metadata=metadata)


Entry: TypeAlias = tuple[Any, str]
"""A value of a file, not checked yet, and where it stands, for errors: "a.yaml: display.zoom"."""


def section(*, merges: bool = True, of: str = "") -> Any:
    """A field that is a mapping of a config file and no flag: `selection:` and the like.

    Its value maps names to entries, which are checked by who knows the names.

    Args:
        merges: A later file adds to what an earlier one gave; False replaces all of it.
        of: As for `option`.
    """
    metadata = {"section": True, "merges": merges, "of": tuple(of.split())}
    return field(default_factory=dict, metadata=metadata)


def whole(minimum: int, maximum: int | None = None) -> Parse:
    """A parser of whole numbers from `minimum` up, to `maximum` if that is given."""

    def parse(value: Any) -> int:
        if isinstance(value, bool | float):
            raise TypeError("not whole")
        number = int(value)
        if number < minimum:
            raise ValueError(f"below {minimum}")
        if maximum is not None and number > maximum:
            raise ValueError(f"above {maximum}")
        return number

    return parse


def seconds(value: Any) -> float:
    """A time from 0."""
    if isinstance(value, bool):
        raise TypeError("not a number")
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError("below 0, or no number")
    return number


def expression(value: Any) -> str:
    """A regular expression, as it was given."""
    try:
        re.compile(text(value))
    except re.error as error:
        raise ValueError(str(error)) from None
    return text(value)


def text(value: Any) -> str:
    """A name; a number in a config file is the name of a camera or a class."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("not text")
    if not str(value).strip():
        raise ValueError("empty")
    return str(value)


def _numbers(value: Any, *, separators: str = ",x") -> list[str | int | float]:
    if isinstance(value, str):
        for separator in separators[1:]:
            value = value.replace(separator, separators[0])
        return [part.strip() for part in value.strip("[]() ").split(separators[0])]
    if isinstance(value, list | tuple):
        return list(value)
    return [value]


def pair(minimum: int) -> Parse:
    """A parser of two whole numbers: "12,30", "240x320" or a list."""
    one = whole(minimum)

    def parse(value: Any) -> tuple[int, int]:
        first, second = (one(part) for part in _numbers(value))
        return first, second

    return parse


def size(value: Any) -> tuple[int, int]:
    """(height, width) from one side, "240x320" or a list."""
    sides = [whole(1)(part) for part in _numbers(value)]
    if len(sides) == 1:
        sides *= 2
    height, width = sides
    return height, width


def region(value: Any) -> tuple[int, int, int, int]:
    """(top, left, height, width) from four numbers, or from the row and column of one pixel."""
    numbers = [whole(0)(part) for part in _numbers(value)]
    if len(numbers) == 2:
        numbers += [1, 1]
    top, left, height, width = numbers
    if min(height, width) < 1:
        raise ValueError("empty")
    return top, left, height, width


def channels(value: Any) -> tuple[float, ...]:
    """One number for all channels, or one for each: "0.5", "0.485,0.456,0.406" or a list."""
    return tuple(float(part) for part in _numbers(value, separators=","))


def patterns(value: Any) -> tuple[str, ...]:
    """Patterns for names: "layer4*,!*downsample*" or a list."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise TypeError("not a list")
    found = tuple(part.strip() for part in parts if isinstance(part, str) and part.strip())
    if not found or len(found) != len(parts):
        raise ValueError("empty")
    return found


def renaming(value: Any) -> tuple[tuple[str, str], ...]:
    """Patterns and names: "layer1.*=stage 1,fc=head" or a mapping."""
    if isinstance(value, str):
        pairs: list[Any] = [part.split("=", 1) for part in value.split(",")]
    else:
        pairs = list(value.items() if isinstance(value, dict) else value)
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise TypeError("not text")
    found = []
    for pattern, name in pairs:
        if not pattern.strip() or not name.strip():
            raise ValueError("empty")
        found.append((pattern.strip(), name.strip()))
    return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """What to look at."""

    stream: str = option(
        "demo (the bundled clip), a webcam's number, a film, a picture, a folder, glob or list "
        "of pictures, or a URI: rtsp://, http:// and whatever FFmpeg opens",
        default="demo",
        metavar="URI",
        parse=text,
        expects="demo, a number, a path or a URI",
        is_path=True,
    )
    files: str | None = option(
        "pictures beside the stream, shown first; the key 6 changes over, e and w go through them",
        metavar="FOLDER",
        parse=text,
        expects="a picture, folder, glob or list of pictures",
        is_path=True,
    )
    compare_stream: str | None = option(
        "another input to compare with, frame by frame; `second` takes the second name of each "
        "line of a list; the key / shows A, B, and the difference of their maps",
        metavar="URI",
        parse=text,
        expects="demo, a number, a path, a URI or `second`",
        is_path=True,
        of="stream",
    )
    match: str | None = option(
        "of a folder only the pictures in whose name this regular expression is found",
        metavar="REGEXP",
        parse=expression,
        expects=r"a part of a name, or a regular expression such as ^cat.*\.png$",
    )
    mirror: Literal["auto", "on", "off"] = option(
        "exchange left and right of the stream; auto does so for webcams", default="auto"
    )
    stretch_contrast: bool = option(
        "spread the values of each frame of the stream over 0..255", default=False
    )
    start: float | None = option(
        "where in a film to begin, in seconds",
        metavar="SECONDS",
        parse=seconds,
        expects="seconds from 0, such as 12.5",
        of="stream",
    )
    picture: str | None = option(
        "the picture of a folder to begin with, by its file's name",
        metavar="NAME",
        parse=text,
        expects="a file's name",
        of="stream files",
    )
    replay: str | None = option(
        "show again what was recorded: a film that has its .rtvis.jsonl beside it, or that file",
        metavar="FILE",
        parse=text,
        expects="a recorded film",
        saved=False,
    )
    loop: bool = option("begin again after the end", default=False)
    pace: Literal["live", "fast"] = option(
        "films play by their own clock, or as fast as they can be computed",
        default="live",
        saved=False,
    )
    frames: int | None = option(
        "stop after N frames",
        metavar="N",
        parse=whole(1),
        expects="a whole number from 1",
        saved=False,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """The network that watches."""

    network: str = option(
        "a torchvision or timm network or a Keras name, in any case (--list networks), "
        "or path/to/file.py:factory",
        default="tf_efficientnet_lite0",
        metavar="NAME",
        parse=text,
        expects="a name, or path/to/file.py:factory",
        is_path=True,
    )
    weights: str | None = option(
        "safetensors or a state dict; or random; default: pretrained",
        metavar="FILE",
        parse=text,
        expects="a file, or random",
        of="network",
        is_path=True,
    )
    compare_network: str | None = option(
        "another network to compare with on the same frames, as --network; layers are matched by "
        "name; the key / shows A, B, and the difference of their maps",
        metavar="NAME",
        parse=text,
        expects="a name, or path/to/file.py:factory",
        is_path=True,
    )
    compare_weights: str | None = option(
        "the same with other weights, or those of --compare-network",
        metavar="FILE",
        parse=text,
        expects="a file, or random",
        is_path=True,
    )
    labels: str | None = option(
        "class names: one a line, or JSON",
        metavar="FILE",
        parse=text,
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
        parse=text,
        expects="a file, or none",
        of="network weights",
        is_path=True,
    )
    layers: tuple[str, ...] | None = option(
        "show these layers alone, or with ! before a pattern all but these; * is any text",
        metavar="PATTERN,...",
        parse=patterns,
        expects="patterns such as layer4*,!*downsample*",
        of="network",
    )
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
        parse=text,
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

    device: str = option(
        "auto, cpu, cuda or cuda:N",
        default="auto",
        metavar="DEVICE",
        parse=text,
        expects="auto, cpu, cuda or cuda:0",
        saved=False,
    )
    dtype: DtypeName = option("number format of the network", default="float32")  # noqa: RUF009
    compile: Literal["auto", "off"] = option(
        "compile in the background while the eager form serves, or never",
        default="auto",
        saved=False,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionConfig:
    """What to ask of the network at the start; a click asks for something else."""

    layer: str | None = option(
        "the selected layer (--list layers); default: the last one with a map",
        metavar="NAME",
        parse=text,
        expects="a layer's name",
    )
    unit: int | None = option(
        "its selected unit; default: 0",
        metavar="N",
        parse=whole(0),
        expects="a whole number from 0",
        of="layer",
    )
    position: tuple[int, int] | None = option(
        "a neuron of that unit: row and column in its map; default: see --seed",
        metavar="ROW,COLUMN",
        parse=pair(0),
        expects="row and column such as 3,5",
        of="layer unit seed",
    )
    seed: SeedName | None = option(  # noqa: RUF009
        "where the backward pass starts: the unit's maximum, its whole map, or its map times its "
        "values",
        default="activation",
    )
    tap: TapName = option(  # noqa: RUF009
        "values of layers before or behind the activation function that follows them",
        default="post",
    )
    rule: RuleName = option("how ReLU passes gradients back", default="guided")  # noqa: RUF009
    class_: str | None = option(
        "the class that the CAM explains, by name or number; default: the top one",
        metavar="CLASS",
        parse=text,
        expects="a class's name or number",
        field_name="class_index",
    )
    cam: str = option(
        "the CAM method (--list methods)",
        default="grad-cam",
        metavar="METHOD",
        parse=text,
        expects="a method's name",
    )
    region: tuple[int, int, int, int] | None = option(
        "of a dense output, the pixels whose scores count: one, or a rectangle; default: all",
        metavar="ROW,COLUMN[,HEIGHT,WIDTH]",
        parse=region,
        expects="row and column such as 30,50, or top, left, height and width",
    )
    cam_layer: str | None = option(
        "the layer at which the CAM is taken; default: the last one with a map",
        metavar="NAME",
        parse=text,
        expects="a layer's name",
    )
    fit: FitName = option(  # noqa: RUF009
        "pictures of other proportions are cropped as the network wants it, stretched, or kept "
        "whole within the mean colour",
        default="crop",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputConfig:
    """Where to show it."""

    view: Literal["window", "none"] = option(
        "a window; where there is no display, a film is recorded instead", default="window"
    )
    record: str | None = option(
        "record what is shown to a film: .mp4, .mkv or .avi",
        metavar="FILE",
        parse=text,
        expects="a film's name",
    )
    journal: bool = option(
        "write beside each film what was chosen in each of its frames, for --replay", default=True
    )
    save: str | None = option(
        "at the end, save all that is shown in a new folder in this one, as x does",
        metavar="FOLDER",
        parse=text,
        expects="a folder",
    )
    canvas: tuple[int, int] = option(
        "size of the picture that is composed, HEIGHTxWIDTH; default: 800x1280",
        default=(800, 1280),
        metavar="SIZE",
        parse=size,
        expects="height and width such as 800x1280",
        field_name="canvas_size",
    )
    top: int = option(
        "how many of the best classes are listed: 1 to 10",
        default=5,
        metavar="N",
        parse=whole(1, 10),
        expects="a whole number from 1 to 10",
        field_name="num_top",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SectionsConfig:
    """What has a place in files only, such as the state that `x` saves and `--state` reads."""

    selection: Mapping[str, Entry] = section()
    """Fields of `rtvis.data.Selection`; they win over the flat keys of the same file."""
    display: Mapping[str, Entry] = section()
    """Fields of `rtvis.session.View`."""
    resume: Mapping[str, Entry] = section(
        merges=False, of="stream start picture network weights size mean std layer"
    )
    """What the picture depends on and nobody chose; see `rtvis.state.Resume`."""
    keys: Mapping[str, Entry] = section()
    """Command -> key or keys; see `rtvis.runtime.bindings`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramConfig:
    """The program itself."""

    list_: Subject | None = option("print what there is, and leave")  # noqa: RUF009
    debug: bool = option("tracebacks and a log on standard error", default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All of it. Each field is a part; `--help` shows them in this order."""

    input: InputConfig = field(default_factory=InputConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    sections: SectionsConfig = field(default_factory=SectionsConfig)
    program: ProgramConfig = field(default_factory=ProgramConfig)


PARTS: Final[Mapping[str, type]] = {
    "input": InputConfig,
    "network": NetworkConfig,
    "compute": ComputeConfig,
    "selection": SelectionConfig,
    "output": OutputConfig,
    "program": ProgramConfig,
}
"""The parts of `Config` that have flags, by name."""

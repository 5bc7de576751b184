"""What can be set, one dataclass per part; every field is a flag and a key of a config file.

Imports neither torch nor numpy: `main.py --help` answers at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rtvis.choices import Fit, Rule, Seed, Tap
from rtvis.config_network import ComputeConfig, NetworkConfig
from rtvis.option_values import (
    amount,
    expression,
    gigabytes,
    pair,
    patterns,
    region,
    seconds,
    size,
)
from rtvis.options import (
    Entry,
    debug_option,
    number_option,
    option,
    section,
)

Subject: TypeAlias = Literal["networks", "layers", "methods", "keys", "theme"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """What to look at."""

    stream: str = option(
        "demo (the bundled clip), a webcam's number, a film, a picture, a folder, glob or list "
        "of pictures, or a URI: rtsp://, http:// and whatever FFmpeg opens",
        default="demo",
        metavar="URI",
        expects="demo, a number, a path or a URI",
        is_path=True,
    )
    files: str | None = option(
        "pictures beside the stream, shown first; the key 6 changes over, e and w go through them",
        metavar="FOLDER",
        expects="a picture, folder, glob or list of pictures",
        is_path=True,
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
        expects="a file's name",
        of="stream files",
    )
    replay: str | None = option(
        "show again what was recorded: a film that has its .rtvis.jsonl beside it, or that file",
        metavar="FILE",
        expects="a recorded film",
        saved=False,
    )
    loop: bool = option("begin again after the end", default=False)
    pace: Literal["live", "fast"] = option(
        "films play by their own clock, or as fast as they can be computed",
        default="live",
        saved=False,
    )
    frames: int | None = number_option("stop after N frames", 1, saved=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareConfig:
    """What to compare it with."""

    compare_stream: str | None = option(
        "another input to compare with, frame by frame; `second` takes the second name of each "
        "line of a list; the key / shows A, B, and the difference of their maps",
        metavar="URI",
        expects="demo, a number, a path, a URI or `second`",
        is_path=True,
        of="stream",
    )
    compare_network: str | None = option(
        "another network to compare with on the same frames, as --network; layers are matched by "
        "name; the key / shows A, B, and the difference of their maps",
        metavar="NAME",
        expects="a name, or path/to/file.py:factory",
        is_path=True,
    )
    compare_weights: str | None = option(
        "the same with other weights, or those of --compare-network",
        metavar="FILE",
        expects="a file, or random",
        is_path=True,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionConfig:
    """What to ask of the network at the start; a click asks for something else."""

    layer: str | None = option(
        "the selected layer (--list layers); default: the last one with a map",
        metavar="NAME",
        expects="a layer's name",
    )
    unit: int | None = number_option(
        "its selected unit; default: in a window the one that answers most to the first picture, "
        "else 0",
        0,
        of="layer",
    )
    position: tuple[int, int] | None = option(
        "a neuron of that unit: row and column in its map; default: see --seed",
        metavar="ROW,COLUMN",
        parse=pair(0),
        expects="row and column such as 3,5",
        of="layer unit seed",
    )
    seed: Seed | None = option(  # noqa: RUF009
        "where the backward pass starts: the unit's maximum, its whole map, its map times its "
        "values, or the class's score (--class, --region)",
        default="activation",
    )
    tap: Tap = option(  # noqa: RUF009
        "values of layers before or behind the activation function that follows them",
        default="post",
    )
    rule: Rule = option("how ReLU passes gradients back", default="guided")  # noqa: RUF009
    class_: str | None = option(
        "the class that the CAM explains, by name or number; default: the top one",
        metavar="CLASS",
        expects="a class's name or number",
        field_name="class_index",
    )
    cam: str = option(
        "the CAM method (--list methods)",
        default="grad-cam",
        metavar="METHOD",
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
        expects="a layer's name",
    )
    fit: Fit = option(  # noqa: RUF009
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
        expects="a film's name",
    )
    journal: bool = option(
        "write beside each film what was chosen in each of its frames, for --replay", default=True
    )
    keep_frames: Literal["off", "png", "jpeg"] = option(
        "beside a film, keep the frames of cameras and streams, which --replay cannot ask for "
        "again: without any loss, or as JPEG",
        default="off",
        saved=False,
    )
    keep_gb: float = option(
        "of those, at most so many gigabytes a film",
        default=10.0,
        metavar="GB",
        parse=gigabytes,
        expects="a number above 0, such as 2.5",
        saved=False,
    )
    save: str | None = option(
        "at the end, save all that is shown in a new folder in this one, as x does",
        metavar="FOLDER",
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
    ui_scale: float | None = option(
        "size of text and gaps, 0.75 to 3, as far as the canvas has room; default: by the canvas",
        metavar="FACTOR",
        parse=amount(0.75, 3.0),
        expects="a number from 0.75 to 3",
    )
    show_panes: bool = option(
        "outline the panes, with their names, places and sizes",
        field_name="panes_shown",
        default=False,
    )
    top: int = number_option(
        "how many of the best classes are listed: 1 to 10", 1, 10, default=5, field_name="num_top"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedConfig:
    """What units have learned."""

    store: str | None = option(
        "folder of what units have learned, or none: keep it for the session alone; default: "
        "rtvis/units in the user's data folder",
        metavar="FOLDER",
        expects="a folder, or none",
        is_path=True,
        saved=False,  # of this machine
    )
    preset: str = option(
        "how inputs are optimised: default, or one of the presets of `rtvis units optimize`",
        default="default",
        metavar="NAME",
        expects="a preset's name",
        of="network",
    )
    grow: bool = option(
        "while the page 'learned' is in sight, the input that excites the selected unit grows; the "
        "key \\ holds it",
        default=True,
        field_name="growing",
        saved=False,
    )
    learned_memory: int = number_option(
        "megabytes (2^20 bytes) that pictures of what units have learned take at most; what was "
        "looked at longest ago is read from the store again",
        10,
        2**20,
        default=2000,
        saved=False,  # of this machine
    )
    moments_distance: float = option(
        "two of a unit's best moments are at least so far from each other",
        default=1.0,
        metavar="SECONDS",
        parse=seconds,
        expects="seconds from 0, such as 0.5",
    )
    moments_memory: int = number_option(
        "megabytes (2^20 bytes) that the pictures of moments take at most, on the device",
        1,
        2**20,
        default=256,
        saved=False,  # of this machine
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SectionsConfig:
    """What has a place in files only, such as the state that `x` saves and `--state` reads."""

    selection: Mapping[str, Entry] = section()
    """Fields of `rtvis.data.Selection`; they win over the flat keys of the same file."""
    display: Mapping[str, Entry] = section()
    """Fields of `rtvis.session.View`."""
    resume: Mapping[str, Entry] = section(
        merges=False,
        of="stream compare_stream start picture network weights size mean std layer",
        files="means moments",
    )
    """What the picture depends on and nobody chose; see `rtvis.state.Resume`."""
    theme: Mapping[str, Entry] = section()
    """Fields of `rtvis.theme.Theme`."""
    panes: Mapping[str, Entry] = section()
    """Fields of `rtvis.theme.Panes`."""
    keys: Mapping[str, Entry] = section()
    """Command -> key or keys; see `rtvis.runtime.bindings`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramConfig:
    """The program itself."""

    list_: Subject | None = option("print what there is, and leave")  # noqa: RUF009
    plugin: tuple[str, ...] | None = option(
        "Python files that add to rtvis, such as a CAM method; this runs their code",
        metavar="FILE,...",
        parse=patterns,
        expects="Python files",
        saved=False,  # who opens somebody's state must decide that
    )
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All of it. Each field is a part; `--help` shows them in this order."""

    input: InputConfig = field(default_factory=InputConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    learned: LearnedConfig = field(default_factory=LearnedConfig)
    sections: SectionsConfig = field(default_factory=SectionsConfig)
    program: ProgramConfig = field(default_factory=ProgramConfig)

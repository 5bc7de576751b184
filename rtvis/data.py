"""The frozen values that travel between the parts, and the legend of tensor axes.

Axis letters end tensor names: B batch, C units (channels of a layer), H rows, W columns,
K classes, N tiles; a digit is a fixed size (`image_HW3`, `weight_BC11`). Sizes are
(height, width), positions (row, column); x, y exist only in the window.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

Rule: TypeAlias = Literal["gradient", "guided", "deconvnet"]
"""How ReLU passes a gradient back; see `rtvis.engine.backward`."""

Seed: TypeAlias = Literal["max", "map", "activation"]
"""Where a backward pass starts: the unit's spatial maximum, its whole map with weight one, or
its map weighted by its own values."""

Fit: TypeAlias = Literal["crop", "stretch", "letterbox"]
"""How a picture becomes the network's input: resized and cropped as the network wants it; all of
it, its proportions lost; or all of it with its proportions, mean colour around it (DVT-10)."""

Tap: TypeAlias = Literal["pre", "post"]
"""Where a layer's value is taken: its module's own output, or behind the activation function that
directly follows it (and a batch norm between them)."""

Form: TypeAlias = Literal["eager", "compiled", "graph"]
"""Which form of the fused step computed a result."""

Side: TypeAlias = Literal["only", "stream", "files"]
"""Which of two sources is shown, the stream or the files beside it; "only" where there is one."""

LayerKind: TypeAlias = Literal["conv", "dense", "attention"]
"""The units of attention are its heads; a head's map is what one query attends to."""

ImageU8: TypeAlias = npt.NDArray[np.uint8]
"""A picture in host memory, uint8, 0..255."""


ImageF32: TypeAlias = npt.NDArray[np.float32]
"""A picture in host memory, float32, 0..1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """One picture from a source, uncropped."""

    image_HW3: ImageU8
    """uint8 RGB, 0..255, C-contiguous, in host memory: the engine makes the one upload."""
    precise_HW3: ImageF32 | None = None
    """The same picture as float32 RGB, 0..1, where the source has more than eight bits: it is what
    the network sees, while the screen has eight."""
    seq: int
    """Counts captures from 0; a gap means dropped frames, not an error."""
    captured_ns: int
    """time.monotonic_ns() at capture: the origin of every latency figure."""
    pts_seconds: float | None = None
    """Position in the film, where the source has one."""
    name: str = ""
    """What to call this picture on screen: a file's name; empty for cameras and streams."""
    path: Path | None = None
    """The file that it comes from; None for cameras and streams, which cannot be asked again."""
    stands_in: bool = False
    """Looked at in the place of the source: what a unit has learned, or a moment."""
    wall_s: float | None = None
    """Seconds since 1970 at capture, of a camera's frame that is shown again; `captured_ns` then
    tells nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePlace:
    """Where a frame is found again."""

    seq: int
    """As in the Frame."""
    path: str | None = None
    """Its file; None for cameras and streams."""
    pts_seconds: float | None = None
    """Position in the film; None for pictures."""
    kept: int | None = None
    """Its number among the frames that were kept beside the film; None where it was not."""
    stand_in: str = ""
    """What it was called, where it stood in the place of the source."""
    wall_s: float | None = None
    """Of a camera: seconds since 1970 at capture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceStatus:
    """What a source is doing, in words fit for the screen. Holds no credentials."""

    state: Literal["opening", "live", "ended", "reconnecting", "failed"]
    message: str = ""
    """Why, and what happens next; empty while live."""
    since_ns: int = 0
    """time.monotonic_ns() at which this state began."""
    num_captured: int = 0
    """Frames that the source has delivered since it was opened."""
    captured_fps: float = 0.0
    """Running mean of the rate of capture, frames per second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A convolution, dense layer or attention that can be looked at."""

    index: int
    """Position in `engine.layers`, in order of execution."""
    name: str
    """As in `model.named_modules()`; a module used again has `#2`, `#3` ... appended."""
    kind: LayerKind
    num_units: int
    """Channels of a convolution, outputs of a dense layer, heads of attention."""
    map_size: tuple[int, int]
    """(height, width) of each unit's map; (1, 1) for a dense layer on flat features."""
    stride: tuple[float, float]
    """Input pixels (rows, columns) between neighbouring neurons."""
    receptive_field: tuple[int, int]
    """Input pixels (height, width) that a neuron can depend on, not clipped to the input."""
    field_start: tuple[float, float] | None = None
    """First input pixel (row, column) that the neuron at (0, 0) can depend on, negative where its
    field reaches into the padding; that of another lies (row, column) strides further on. None:
    each neuron can depend on the whole input."""
    activation: str = ""
    """Name of the activation function that directly follows, such as "relu"; empty where none
    does: there the tap "post" means "pre"."""
    reaches_input: bool = True
    """Whether a gradient can get from it to the input at all; not where the network rounds,
    compares or detaches on the way."""
    query: str = ""
    """Who asks at attention unless a position is chosen, such as "class token"; else empty."""
    name_in_model: str = ""
    """The name that the model gives it, where a rule gave it another; it selects the layer too."""
    group: str = ""
    """What the list of layers calls it together with its neighbours of the same group."""

    def field_at(self, position: tuple[int, int], input_size: tuple[int, int]) -> "Crop":
        """The part of the input that a neuron can depend on, in input pixels, not clipped.

        Args:
            position: (row, column) in the unit's map.
            input_size: (height, width) of the network's input.
        """
        if self.field_start is None:
            return Crop(top=0.0, left=0.0, height=input_size[0], width=input_size[1])
        return Crop(
            top=self.field_start[0] + position[0] * self.stride[0],
            left=self.field_start[1] + position[1] * self.stride[1],
            height=self.receptive_field[0],
            width=self.receptive_field[1],
        )


def units_of(layer: str) -> str:
    """Whose units a layer has: `NAME:tokens` shows those of NAME, at other places."""
    return layer.removesuffix(":tokens")


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervention:
    """A change to one unit of a layer, at every position: `value * scale + offset`.

    What comes after the layer computes with the changed value, as after a forward hook on the
    layer's module that returns it.
    """

    layer: str
    """Name of the layer."""
    unit: int
    scale: float = 1.0
    """0 knocks the unit out, 2 doubles it."""
    offset: float = 0.0
    """With a scale of 0 the value that the unit is held at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a backward pass starts while something else is looked at."""

    layer: str
    unit: int
    position: tuple[int, int] | None = None
    """(row, column) in the unit's map; None: see `Selection.seed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What is asked of the network for one frame. None means the default, named per field."""

    layer: str | None = None
    """Name of the selected layer; default: the last one with a map."""
    unit: int | None = None
    """Unit of that layer; default: 0."""
    position: tuple[int, int] | None = None
    """(row, column) in the unit's map. Given, the seed is that one neuron; at attention the map is
    what the patch there attends to, and the seed is as `seed` says."""
    seed: Seed | None = None
    """Where the backward pass starts; default: "max"."""
    rule: Rule = "guided"
    tap: Tap = "pre"
    """Where the values of the selected layer, and of `origin`'s, are taken."""
    origin: Origin | None = None
    """Where the backward pass starts; default: at the selected unit and position."""
    backward: bool = True
    """Whether a backward picture is wanted; without it, and without `gradients`, the backward pass
    is not computed, and `Result.backprop_B3HW` is zero."""
    gradients: bool = False
    """Whether `Result.grads_BCHW` is wanted."""
    beside: str | None = None
    """Name of a layer whose maps are wanted too, as `Result.beside_BCHW`."""
    class_index: int | None = None
    """Class that the CAM explains; default: the top-scoring class of each picture, or of the
    region."""
    cam: str = "grad-cam"
    """Name of a registered CAM method, or of one that explains by the attention of all layers."""
    cam_layer: str | None = None
    """Layer at which the CAM is taken; default: the last one with a map."""
    region: tuple[int, int, int, int] | None = None
    """(top, left, height, width) in pixels of a dense output: the class scores are the means over
    it, and one pixel is a region of height and width 1; default: the whole output."""
    interventions: tuple[Intervention, ...] = ()
    """Changes to units, made before anything is explained; of two for one unit the last counts."""
    fit: Fit = "crop"

    def change_of(self, layer: str, unit: int) -> Intervention | None:
        """What is done to a unit; None where it is left alone."""
        return next(
            (
                change
                for change in reversed(self.interventions)
                if (units_of(change.layer), change.unit) == (units_of(layer), unit)
            ),
            None,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A rectangle of a picture, such as what the network sees of the source, in that one's pixels.

    It reaches beyond a letterboxed picture: `top` or `left` is then negative, and bottom or right
    lies beyond the last row or column.
    """

    top: float
    left: float
    height: float
    width: float

    def reaches_beyond(self, size: tuple[int, int]) -> bool:
        """Whether part of it lies outside a picture of (height, width), by half a pixel or more."""
        bottom, right = self.top + self.height, self.left + self.width
        return min(self.top, self.left, size[0] - bottom, size[1] - right) <= -0.5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Result:
    """All that one run of the step computed. Raw numbers, on the engine's device."""

    scores_BK: Tensor
    """float32, the network's output before any softmax; of a dense output its mean over the
    selected region."""
    maps_BCHW: Tensor
    """Output of the selected layer; a dense layer has H = W = 1."""
    cam_BHW: Tensor
    """float32 [B, H, W] at the resolution of the CAM layer, or of the grid that attention is over;
    not negative, not scaled."""
    backprop_B3HW: Tensor
    """Signed, with respect to the preprocessed input, at the network's input size; with as many
    channels as that has, whatever the name says."""
    class_index_B: Tensor
    """int64: the class that the CAM explains."""
    position_B2: Tensor
    """int64: (row, column) of the seed; for the seeds "map" and "activation" of the maximum."""
    value_B: Tensor
    """float32: the selected unit's value at `position_B2`."""
    health_B: Tensor
    """int64 bit set of `Health`; 0 where all is well."""
    selection: Selection
    """The selection that was computed, with its defaults filled in."""
    form: Form
    grads_BCHW: Tensor | None = None
    """What the backward pass brings to each neuron of the selected layer, in the shape of
    `maps_BCHW`; zero above the pass's start. None unless `Selection.gradients`."""
    beside_BCHW: Tensor | None = None
    """Output of the layer `Selection.beside`; None without one."""
    untouched_scores_BK: Tensor | None = None
    """float32: the scores without the selection's interventions; None where it has none."""
    dense_BKHW: Tensor | None = None
    """The scores of each class at each pixel of the output, of which `scores_BK` are the means
    over the selected region; None for a network with one score a class."""
    labels_BHW: Tensor | None = None
    """int64: the best class of each pixel of the dense output; None where K = 1."""
    crop: Crop | None = None
    """Part of the picture that the network saw; None for preprocessed input."""
    input_BCHW: Tensor | None = None
    """float32, preprocessed: what the network saw. See `Engine.input_pictures`."""
    revision: int = 0
    """Of the session's selection; older than the session's own means stale."""
    seq: int = 0
    """Of the frame."""
    captured_ns: int = 0


NO_GRADIENT_PATH: Final = (
    "no gradient gets from this layer to the input: the network rounds, compares or detaches "
    "on the way"
)
"""What `Health.GRADIENT_ZERO` comes from where not `Layer.reaches_input`."""


class Health:
    """Bits of `Result.health_B`: what is wrong with the numbers, computed on the device."""

    MAPS_NAN = 1
    MAPS_INF = 2
    GRADIENT_ZERO = 4
    GRADIENT_NAN = 8
    GRADIENT_INF = 16
    UNIT_ZERO = 32
    """The selected unit's map is zero everywhere."""
    CAM_ZERO = 64
    ORIGIN_ZERO = 128
    """The map in which the backward pass starts is zero everywhere."""
    GRADS_ZERO = 256

    TEXTS = {  # noqa: RUF012 - a constant table, never written to
        MAPS_NAN: "the layer's activations hold NaN",
        MAPS_INF: "the layer's activations hold inf",
        GRADIENT_ZERO: "the gradient at the input is exactly zero",
        GRADIENT_NAN: "the gradient holds NaN",
        GRADIENT_INF: "the gradient holds inf",
        UNIT_ZERO: "this unit is zero everywhere",
        CAM_ZERO: "nothing at the CAM layer speaks for this class",
        ORIGIN_ZERO: "the unit at which the backward pass starts is zero everywhere",
        GRADS_ZERO: "no gradient reaches this layer",
    }

    @classmethod
    def texts(cls, bits: int) -> list[str]:
        """The sentences for a bit set, worst first."""
        return [text for bit, text in cls.TEXTS.items() if bits & bit]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """A finished canvas in host memory, on its way to the sinks."""

    canvas_HW3: ImageU8
    """uint8 BGR (as OpenCV shows and encodes it), C-contiguous; never written to again."""
    seq: int
    """Counts pictures from 0."""
    frame_seq: int
    """Of the source frame that it shows."""
    captured_ns: int
    """Of the source frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyEvent:
    """A key went down."""

    key: str
    """Its name: one lower-case character, or "left", "page-down", "f1", "escape", "space" ..."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PointerEvent:
    """The pointer moved, clicked or scrolled, in pixels of the canvas."""

    kind: Literal["move", "down", "double", "wheel", "leave"]
    x: int
    y: int
    button: Literal["left", "middle", "right", "none"] = "none"
    wheel_steps: int = 0
    """Positive away from the user (up)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResizeEvent:
    """The place to show pictures in now has this size; later pictures should match it."""

    height: int
    width: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedEvent:
    """The user closed the sink, or the display went away."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownEvent:
    """A picture is now before the user's eyes: the origin of rate shown and of latency."""

    seq: int
    """Of the picture."""
    captured_ns: int
    """Of the frame that it shows."""
    shown_ns: int
    """time.monotonic_ns() at which it was on the screen."""


Event: TypeAlias = KeyEvent | PointerEvent | ResizeEvent | ClosedEvent | ShownEvent
"""What a sink tells the runtime."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessUse:
    """What this process takes of the machine; the readers of streams are processes of their own."""

    num_cores: float = 0.0
    """Processor seconds per second."""
    memory_bytes: int = 0
    """Resident in main memory."""
    device_bytes: int = 0
    """Held by torch on the GPU; 0 without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Running means for the status line."""

    captured_fps: float = 0.0
    processed_fps: float = 0.0
    shown_fps: float = 0.0
    latency_ms: float = 0.0
    """From capture to screen."""
    num_dropped: int = 0
    """Frames captured and never processed."""
    frame_age_s: float = 0.0
    """Since the frame that is shown was captured."""
    stages_ms: dict[str, float] = field(default_factory=dict)
    """Mean time of each stage of the turn."""
    stages_cpu_ms: dict[str, float] = field(default_factory=dict)
    """Mean processor time of all threads of the process during each stage."""
    process: ProcessUse = field(default_factory=ProcessUse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What lies under the pointer; only the fields that its kind names are set."""

    kind: Literal[
        "layer",
        "unit",
        "position",
        "pair",
        "change",
        "start",
        "pixel",
        "top",
        "class",
        "moment",
        "rule",
        "pane",
        "none",
    ]
    pane: str = ""
    """Name of the pane it lies in."""
    layer: str | None = None
    """With "layer", "unit", "position", "pair", "change" and "start"."""
    unit: int | None = None
    """With "unit", "position", "pair", "change" and "start"."""
    place: int | None = None
    """With "top" and "moment": which of those of the unit that the page is about, 0 the best."""
    other_unit: int | None = None
    """With "pair"."""
    position: tuple[int, int] | None = None
    """(row, column) in the unit's map, with "position"; in the dense output, with "pixel"."""
    class_index: int | None = None
    """With "class"."""

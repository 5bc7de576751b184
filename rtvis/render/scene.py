"""What one canvas shows: numbers on the device, and words for the screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from torch import Tensor

from rtvis.data import Form, Frame, ImageU8, Layer, Rates, Result, SourceStatus
from rtvis.session import View


class Measured(Protocol):
    """What a page of the details pane had computed of a result; the page knows its kind."""

    @property
    def page_numbers(self) -> Tensor:
        """float64 [N], on the device: for its text (`Readout.page_numbers`)."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Memory:
    """What a page has gathered over the pictures so far: running means, earlier values."""

    key: str
    """Tells of what: two with the same key go on from each other."""
    tensors: Mapping[str, Tensor]
    """On the compositor's device; or in host memory, on the way back."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Half:
    """One of two that are compared. All tensors are on the compositor's device."""

    name: str
    """Of the network or the source, as the screen shows it."""
    image_HW3: Tensor | None
    """As `Scene.image_HW3`."""
    result: Result | None
    """Of one picture."""
    frame: Frame | None = None
    """Of the second of two inputs: where the picture comes from."""
    labels: tuple[str, ...] | None = None
    weights: Tensor | None = None
    """As `Scene.weights`."""
    trouble: str = ""
    """What is wrong with its source, such as "reconnecting": its picture is an old one."""
    note: str = ""
    """Why its maps cannot be shown; empty where they can."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pair:
    """Two that are compared: A and B on the screen."""

    first: Half
    second: Half
    same_classes: bool
    """Whether their scores can be subtracted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Binding:
    """One line of the help overlay, made from the table that also binds the keys."""

    keys: str
    """As shown: "u / o"."""
    text: str
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobShown:
    """Long work that goes on beside the turns."""

    key: object
    """What the loop calls it."""
    name: str
    share: float
    """What is done of it, 0..1."""
    left_s: float | None
    """Time that it still needs; None where nobody knows yet."""
    is_paused: bool = False
    is_chosen: bool = True
    """It is one of those that pausing and cancelling are about."""


Known: TypeAlias = Literal["missing", "loading", "growing", "held", "done"]
"""Of a picture that shows what a unit has learned: there is none; it is being looked for; it is
being made; that was stopped halfway; it is all there."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TopShown:
    """One of the inputs that excite a unit most."""

    crop_HW3: Tensor
    """uint8 RGB on the compositor's device: what the neuron saw of it."""
    back_HW3: Tensor | None = None
    """Likewise the backward picture from there."""
    value: float | None = None
    """Of the unit there."""
    name: str = ""
    """Of the input."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Learned:
    """What one unit has learned, as far as anybody knows."""

    layer: str
    unit: int
    optimized_HW3: Tensor | None = None
    """uint8 RGB on the compositor's device: the input made to excite it."""
    optimized: Known = "missing"
    share: float = 0.0
    """How much of that is done, 0..1."""
    value: float | None = None
    """What the unit says to it."""
    tops: tuple[TopShown, ...] = ()
    """Best first."""
    top: Known = "missing"
    back_rule: str = ""
    """Of the backward pictures."""
    note: str = ""
    """What would make the pictures that are missing."""
    follows: bool = False
    """It is of the unit under the pointer and not of the selected one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PatternShown:
    """What the units of a layer have learned, for the tiles of the grid."""

    layer: str
    tiles: Mapping[int, ImageU8]
    """Unit -> uint8 RGB [H, W, 3] in host memory, of those that are there."""
    is_loading: bool = False
    """More may come."""
    notes: tuple[str, ...] = ()
    """What would make those that are missing: in more words and in fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """What moments lie in: a film, a camera, or a picture in a file."""

    kind: Literal["film", "camera", "picture"]
    name: str
    path: Path | None = None
    """None for cameras and streams."""
    begun_ns: int = 0
    """Of a camera: time.monotonic_ns() of its first frame, where its time begins."""
    begun_wall_s: float = 0.0
    """The same on the wall: seconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MomentsShown:
    """The best moments of the selected unit so far."""

    apart_s: float
    """Two of them are never less than this from each other."""
    clips: Sequence[Clip]
    num_frames: int = 0
    """That the layer has seen."""
    since_s: float = 0.0
    """Wall clock of the first of them."""
    moments_NF: Tensor | None = None
    """float64 on the compositor's device, best first: value (-inf where there is none yet), index
    of the clip, seconds in it, row and column in the unit's map, number of the frame (-1 where
    there is none), and whether its picture is there. None before the first frame."""
    slot_N: Tensor | None = None
    """int64, on the device: which of the pictures."""
    picture_PHW3: Tensor | None = None
    """uint8 RGB, on the device: what the network saw, at its input's size."""
    pool_2: Tensor | None = None
    """int64, on the device: pictures that are kept, and how many were given up for want of room."""
    chosen: int = -1
    """Number of the frame that is looked at in the place of the source; -1 for none."""
    note: str = ""
    """Why nothing is counted now, or of what these are."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """Everything that the compositor needs for one canvas. Made anew each turn."""

    view: View
    layers: tuple[Layer, ...]
    image_HW3: Tensor | None = None
    """uint8 RGB, 0..255, on the compositor's device: the frame, uncropped. None before the
    first frame."""
    mean_rgb: tuple[int, int, int] = (128, 128, 128)
    """What the network sees around a letterboxed picture, 0..255."""
    result: Result | None = None
    """Of this frame and selection, or an older one with `stale_since_ns`. The first picture of
    a batch is drawn."""
    batch_index: int = 0
    pair: Pair | None = None
    """Both of two that are compared; `result` and `image_HW3` are then what `View.compared` asks
    to see of them."""
    maps_note: str = ""
    """Why maps and backward picture cannot be shown, though there is a result."""
    backward_note: str = ""
    """Why the backward picture alone cannot be shown."""
    weights: Tensor | None = None
    """The selected layer's own weights, in host memory; None where a page does not need them."""
    moments: MomentsShown | None = None
    """While their page is in sight."""
    measured: Measured | None = None
    """Made by the compositor for the page in sight."""
    labels: tuple[str, ...] | None = None
    network: str = ""
    source_name: str = ""
    """Without credentials."""
    picture_name: str = ""
    """Of the file that is shown, where the source has several."""
    source: SourceStatus = field(default_factory=lambda: SourceStatus(state="opening"))
    is_still: bool = False
    """A picture is looked at, not a film or camera; of two that are compared both are pictures."""
    rates: Rates = field(default_factory=Rates)
    device: str = "cpu"
    form: Form = "eager"
    compile_note: str = ""
    """ "compiling", or why there is no faster form; empty when there is nothing to say."""
    weights_note: str = ""
    rule_note: str = ""
    """Such as "guided is defined for ReLU; SiLU's gradients are clamped"."""
    error_note: str = ""
    """Why there is no result for this selection; shown in the grid pane."""
    learned: Learned | None = None
    """While it is in sight."""
    pattern: PatternShown | None = None
    """What stands in the place of the grid's maps; None where these do."""
    jobs: tuple[JobShown, ...] = ()
    """Long work beside the turns; without what only the selected unit needs."""
    now_ns: int = 0
    """time.monotonic_ns(): the origin of every age shown."""
    stale_since_ns: int = 0
    """Since when the network's panes show an old result; 0 when they are current."""
    bindings: tuple[Binding, ...] = ()
    """For the help overlay, in order; groups stay together."""
    recording_note: str = ""
    """Where a recording goes and how much of it there is."""

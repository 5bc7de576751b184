"""What the user has chosen: the only mutable state that a command can change."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Final, Literal, TypeAlias

from rtvis.choices import BackpropDisplay
from rtvis.data import Intervention, Selection, Side, Target
from rtvis.theme import Panes, Theme

MapPalette: TypeAlias = Literal["colour", "grey", "jet"]
"""Perceptual colours, none, or RT's (RT-11, RT-12)."""

CamStyle: TypeAlias = Literal["alpha", "blend"]
"""How a CAM lies over the picture: turbo with alpha from the value, or RT-23's fixed blend."""

Timing: TypeAlias = Literal["off", "stages", "all"]
"""What is shown of times: nothing, those of the stages of a turn, or also what they and the
process take of the processor and of memory (DVT-16)."""

PageName: TypeAlias = Literal[
    "unit", "learned", "moments", "dense", "changes", "histogram", "correlation"
]
"""What the details pane shows; each is a module of `rtvis.render.pages`."""

Pattern: TypeAlias = Literal["maps", "optimized", "top", "moments"]
"""What the tiles of the grid show of the units: what they do with this picture, or what they have
learned: the picture made to excite them, the crop of a data set that excites them most (DVT-34), or
that of this session."""

Beginning: TypeAlias = Literal["noise", "frame"]
"""Where the picture that is to excite a unit begins: at noise, or at what is shown (DV-21)."""

Compared: TypeAlias = Literal["off", "first", "second", "difference"]
"""What of two compared networks or inputs the large panes show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopInput:
    """One of the inputs of a data set that excite a unit most."""

    layer: str
    unit: int
    place: int
    """0 is the best."""


_PASSING: Final = {"passes": True}
"""Marks what nobody chose to see again: it is not saved with a view."""

_IN_SECTIONS: Final = {"has_section": True}
"""Marks what files give in a section of its own, a saved view too; no command changes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One consistent state of the user's choices, read once a turn."""

    selection: Selection = field(default_factory=Selection)
    canvas_size: tuple[int, int] = (800, 1280)
    """(height, width) of the canvas in pixels."""
    side: Side = "only"
    """Which source is shown; the loop sets it to what there is."""
    paused: bool = False
    """The picture is held while network and views keep running (RT-18)."""
    backward_shown: bool = True
    backprop_display: BackpropDisplay = "clipped"
    zoom: Literal["grid", "unit", "backprop"] = "grid"
    """What fills the large pane (DVT-33)."""
    page: PageName = "unit"
    """What the details pane shows."""
    compared: Compared = "off"
    """Which of two is shown; "off" where nothing is compared. The loop sets it to what there is."""
    column_shown: bool = False
    """On a canvas too narrow for it the right column stands there all the same."""
    theme: Theme = field(default_factory=Theme, metadata=_IN_SECTIONS)
    """Colours and sizes."""
    panes: Panes = field(default_factory=Panes, metadata=_IN_SECTIONS)
    """Which panes stand where."""
    ui_scale: float | None = None
    """Size of text and gaps, 0.75 to 3; None: by the canvas (DVT-97)."""
    panes_shown: bool = False
    """Outlines, names, places and sizes of all panes (DVT-47)."""
    pattern: Pattern = "maps"
    """What the grid's tiles show."""
    growing: bool = True
    """While what the selected unit has learned is in sight, the picture that excites it grows."""
    beginning: Beginning = "noise"
    """Where it begins."""
    log_counts: bool = False
    """Histograms show the logarithm of their counts."""
    palette: MapPalette = "colour"
    """Colours of the maps."""
    gamma: float = 1.0
    """Exponent of a map's share of its range (DVT-40)."""
    unit_boost: float = 0.0
    """How far each map is brought up to the full range by itself (DVT-41)."""
    cam_shown: bool = True
    cam_style: CamStyle = "alpha"
    """How the CAM lies over the picture."""
    num_top: int = 5
    """How many of the best classes are listed, 1 to 10."""
    classes_shown: bool = True
    """Whether the top classes have a pane (DVT-42)."""
    labels_shown: bool = True
    """Of a dense output the label picture lies over the input, and no CAM."""
    range_smoothed: bool = True
    """Colour ranges follow a running mean, so that a flickering maximum does not pulse."""
    timing: Timing = "off"
    help_shown: bool = False
    hint_shown: bool = True
    """The first-run line; gone after the first click."""
    cursor: Literal["layers", "grid"] = "grid"
    """Where the arrow keys act (DVT-30)."""
    grid_scroll: int = 0
    """First row of tiles shown."""
    layer_scroll: int = 0
    """First row of the layer list shown."""
    earlier_changes: tuple[tuple[Intervention, ...], ...] = field(default=(), metadata=_PASSING)
    """What `selection.interventions` was before each of the last changes, the newest last."""
    nudged: bool = field(default=False, metadata=_PASSING)
    """The last change was a small step of a strength: the next one belongs to it."""
    moment: int | None = field(default=None, metadata=_PASSING)
    """Number of the frame of the moment that is looked at in the place of the source."""
    top_input: TopInput | None = field(default=None, metadata=_PASSING)
    """The same of a data set's picture."""
    hover: Target = field(default_factory=lambda: Target(kind="none"), metadata=_PASSING)
    recording: bool = field(default=False, metadata=_PASSING)
    notice: str = field(default="", metadata=_PASSING)
    """A line for the user, such as where something was saved."""
    notice_is_warning: bool = field(default=False, metadata=_PASSING)


DISPLAY_FIELDS: Final = tuple(
    one.name
    for one in fields(View)
    if one.name != "selection" and not {*one.metadata} & {*_PASSING, *_IN_SECTIONS}
)
"""The user's choices beside the Selection: what a saved view holds."""


def settled(view: View) -> View:
    """The view without what passes, such as pointer and notice: as it opens after it was saved."""
    fresh = View()
    passing = [one.name for one in fields(View) if "passes" in one.metadata]
    return replace(view, **{name: getattr(fresh, name) for name in passing})


Command: TypeAlias = Callable[[View], View]
"""What a key or a click does: a pure function from one state to the next."""


class Session:
    """Holds the View. Any thread may apply commands; the engine thread reads once a turn."""

    def __init__(self, view: View | None = None) -> None:
        self._lock = threading.Lock()
        self._view = view if view is not None else View()
        self._revision = 0

    def read(self) -> tuple[View, int]:
        """The state and its revision, which grows with every change."""
        with self._lock:
            return self._view, self._revision

    def apply(self, command: Command) -> View:
        """Change the state by `command` and return it; the revision grows if it differs."""
        with self._lock:
            view = command(self._view)
            if view != self._view:
                self._view = view
                self._revision += 1
            return view

    def update(self, **changes: object) -> View:
        """Replace fields of the View by name."""
        return self.apply(lambda view: replace(view, **changes))  # type: ignore[arg-type]

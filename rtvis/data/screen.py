"""What goes to the screen, and what comes back from it."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rtvis.data.frames import ImageU8


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
    """The one that was pressed; with "move", "left" while that one is held."""
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

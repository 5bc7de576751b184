"""How far a run has come, and how it ended."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from rtvis.data import Rates, SourceStatus

Reason: TypeAlias = Literal["ended", "frames", "left", "closed", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run has come."""

    num_processed: int
    num_passed: int
    """Of `num_frames`. Frames that a film's own clock dropped count too, unless so many frames were
    asked for."""
    num_frames: int | None
    """In all, where that is known."""
    rates: Rates
    source: SourceStatus
    is_finishing: bool = False
    """The run is over, and a film is being finished."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a run ended."""

    reason: Reason
    """"ended": the source is over; "frames": as many as were asked for; "left": by the user;
    "closed": the window; "interrupted": Ctrl-C; "failed": the source or the film."""
    message: str = ""
    """Why, where it failed or the display went away."""
    unread: str = ""
    """What of the source could not be read, where it is over."""
    num_processed: int = 0
    num_faults: int = 0
    """Turns whose frame or selection could not be computed or drawn."""
    rates: Rates = field(default_factory=Rates)
    films: tuple[Path, ...] = ()
    """Films that were finished."""

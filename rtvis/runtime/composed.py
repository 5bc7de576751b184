"""What leaves a turn: a finished picture, and everything that it was made of."""

from dataclasses import dataclass

from rtvis.data import Frame, Picture, Result
from rtvis.render.readout import Readout
from rtvis.render.scene import Half, Memory
from rtvis.runtime.computing import Computed
from rtvis.runtime.drawn import Drawn
from rtvis.session import View


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Composed:
    """A finished picture, what lies where on it, and what it shows."""

    picture: Picture
    drawn: Drawn
    view: View
    """As it was drawn."""
    frame: Frame | None
    """None before the first one."""
    result: Result | None
    """On the device; older than the frame where that could not be computed."""
    second: Half | None
    """What it is compared with; None where that is nothing."""
    readout: Readout
    """The numbers of this very picture."""
    stale_s: float = 0.0
    """How old the numbers were while the selection could not be computed; else 0."""
    older: Computed | None = None
    """What they are of then."""
    memory: Memory | None = None
    """What the page in sight has gathered up to this picture, on the device."""

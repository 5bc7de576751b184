"""Where finished pictures go: the window, the film, and who must know what lies where on them."""

import time

from rtvis.runtime.composed import Composed
from rtvis.runtime.controller import Controller
from rtvis.runtime.first_unit import FirstUnit
from rtvis.runtime.recording import Recordings
from rtvis.runtime.shown import ShownMeter
from rtvis.sinks.base import Sink
from rtvis.slot import LatestSlot


class Delivery:
    """The engine thread gives pictures, the main thread shows them.

    Args:
        window: Shows them; without one they count as shown when they are finished.
        recordings: The film, while there is one.
        controller: Tells what lies under the pointer.
        first_unit: Looks at them before, for a unit to begin with.
    """

    def __init__(
        self,
        *,
        window: Sink | None,
        recordings: Recordings,
        controller: Controller,
        first_unit: FirstUnit | None = None,
    ) -> None:
        self._window = window
        self._recordings = recordings
        self._controller = controller
        self._first_unit = first_unit
        self._pictures: LatestSlot[Composed] = LatestSlot()
        self.shown = ShownMeter()

    @property
    def has_window(self) -> bool:
        """Whether there is a user to look at the last picture."""
        return self._window is not None

    def give(self, composed: Composed | None) -> None:
        """Hand on a picture, if there is one. On the engine thread."""
        if composed is None:
            return
        self._controller.drawn = composed.drawn
        if self._first_unit is not None:
            self._first_unit.look_at(composed)
        self._recordings.show(composed)
        if self._window is not None:
            self._pictures.put(composed)
            self._window.wake()
        else:
            self.shown.note(composed.picture.captured_ns, time.monotonic_ns())
            self.shown.read()

    def show_newest(self) -> None:
        """Show what was given last, unless that was done. On the main thread."""
        composed = self._pictures.take()
        if composed is not None and self._window is not None:
            self._window.show(composed.picture)

    def wake(self) -> None:
        """Make the main thread look at once. From any thread."""
        if self._window is not None:
            self._window.wake()

    def close(self) -> None:
        """Take no more pictures for the window. Safe to call twice."""
        self._pictures.close()

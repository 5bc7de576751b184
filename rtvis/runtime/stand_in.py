"""What is looked at in the place of the source's frames: an optimised picture, a moment."""

import time
from collections.abc import Callable
from dataclasses import replace

from rtvis.data import Fit, Frame
from rtvis.runtime.learning import Learning
from rtvis.runtime.moments import LiveMoments
from rtvis.runtime.turn import Turn
from rtvis.session import Session


class StandIns:
    """Puts a picture in the place of the source's frames, and takes it away.

    While one is there the picture is stretched: it was made for the network's input, all of it, and
    nothing else. Owned by the engine thread.

    Args:
        session: What the user wants to look at.
        turn: Looks at it.
        learning: Has optimised pictures; None where nothing is learned.
        moments: Has moments; None where nothing is counted.
        say: Tells the user something; the second argument: whether it is a warning.
    """

    def __init__(
        self,
        *,
        session: Session,
        turn: Turn,
        learning: Learning | None,
        moments: LiveMoments | None,
        say: Callable[[str, bool], None],
    ) -> None:
        self._session = session
        self._turn = turn
        self._learning = learning
        self._moments = moments
        self._say = say
        self._fit_before: Fit = "crop"
        """Before a picture stood in."""
        self._moment: int | None = None
        """The moment that stands in."""

    @property
    def is_there(self) -> bool:
        """Whether the source's frames are not looked at."""
        return self._turn.stand_in is not None

    def show_optimized(self) -> None:
        """Look at the optimised picture of the selected unit."""
        selection, learning = self._turn.selection, self._learning
        image = learning.image(selection) if learning is not None and selection else None
        if image is None or selection is None:
            self._say("there is no optimised picture of this unit to look at yet", False)
            return
        self._show(
            Frame(
                image_HW3=image.cpu().numpy().copy(),  # waits for a GPU, once for a key
                seq=self._turn.frame.seq if self._turn.frame is not None else 0,
                captured_ns=time.monotonic_ns(),
                name=f"optimised {selection.layer}:{selection.unit}",
            )
        )

    def follow(self) -> None:
        """Show the frame of the moment that the user has chosen, or the source again."""
        if self._moments is None:
            return
        wanted = self._session.read()[0].moment
        if wanted == self._moment:
            return
        if wanted is None:
            self.leave()
            return
        frame = self._moments.frame_of(wanted, self._turn.selection)
        if frame is None:
            self._session.update(moment=self._moment)
            self._say("the picture of this moment is gone", False)
            return
        self._moment = wanted
        self._show(frame)

    def leave(self) -> None:
        """Look at the source again."""
        self._turn.show_instead(None)
        if self._session.read()[0].selection.fit == "stretch":
            self._set_fit(self._fit_before)
        self._moment = None
        self._session.update(moment=None)
        self._say("the source again", False)

    def _show(self, frame: Frame) -> None:
        if not self.is_there:
            self._fit_before = self._session.read()[0].selection.fit
        self._set_fit("stretch")
        self._turn.show_instead(frame)

    def _set_fit(self, fit: Fit) -> None:
        self._session.apply(lambda view: replace(view, selection=replace(view.selection, fit=fit)))

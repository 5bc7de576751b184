"""What is looked at in the place of the source's frames: an optimised picture, one of a unit's best
inputs, a moment."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from rtvis.data import Fit, Frame
from rtvis.runtime.learning import Learning
from rtvis.runtime.moments import LiveMoments
from rtvis.runtime.turn import Turn
from rtvis.session import Session, TopInput

Chosen: TypeAlias = int | TopInput | None
"""A moment by the number of its frame, or one of a unit's best inputs."""


class StandIns:
    """Puts a picture in the place of the source's frames, and takes it away.

    What was made for the network's input, all of it and nothing else, is stretched while it is
    there; a picture of a data set is cropped, as the scan had it. Owned by the engine thread.

    Args:
        session: What the user wants to look at.
        turn: Looks at it.
        learning: Has optimised pictures, and finds best inputs.
        moments: Has moments.
        say: Tells the user something; the second argument: whether it is a warning.
    """

    def __init__(
        self,
        *,
        session: Session,
        turn: Turn,
        learning: Learning,
        moments: LiveMoments,
        say: Callable[[str, bool], None],
    ) -> None:
        self._session = session
        self._turn = turn
        self._learning = learning
        self._moments = moments
        self._say = say
        self._fit_before: Fit = "crop"
        """Before a picture stood in."""
        self._fit: Fit = "stretch"
        """Of what stands in."""
        self._chosen: Chosen = None
        """What the user chose to look at and was shown, if it is no optimised picture."""
        self._sought: TopInput | None = None
        """What is being read."""

    @property
    def is_there(self) -> bool:
        """Whether the source's frames are not looked at."""
        return self._turn.stand_in is not None

    def show_learned(self) -> None:
        """Look at what the tiles of the grid show of the selected unit: its optimised picture, or
        where these are best inputs or moments, the best of them."""
        view, _ = self._session.read()
        selection = self._turn.selection
        if view.zoom == "grid" and selection is not None and view.pattern == "top":
            top = TopInput(layer=selection.layer or "", unit=selection.unit or 0, place=0)
            self._session.update(top_input=top, moment=None)
        elif view.zoom == "grid" and view.pattern == "moments":
            self._show_best_moment()
        else:
            self._show_optimized()

    def _show_best_moment(self) -> None:
        best = self._moments.best_frame(self._turn.selection)
        if best is None:
            self._say("there is no moment of this unit to look at yet", False)
        else:
            self._session.update(moment=best, top_input=None)

    def _show_optimized(self) -> None:
        selection = self._turn.selection
        image = self._learning.image(selection) if selection is not None else None
        if image is None or selection is None:
            self._say("there is no optimised picture of this unit to look at yet", False)
            return
        self._show(
            Frame(
                image_HW3=image.cpu().numpy().copy(),  # waits for a GPU, once for a key
                seq=self._turn.frame.seq if self._turn.frame is not None else 0,
                captured_ns=time.monotonic_ns(),
                name=f"optimised {selection.layer}:{selection.unit}",
                stands_in=True,
            )
        )

    def follow(self) -> None:
        """Show what the user has chosen, or the source again."""
        view, _ = self._session.read()
        wanted: Chosen = view.moment if view.moment is not None else view.top_input
        if wanted == self._chosen:
            self._sought = None
        elif wanted is None:
            self.leave()
        elif isinstance(wanted, TopInput):
            self._seek(wanted)
        else:
            frame = self._moments.frame_of(wanted, self._turn.selection)
            self._show_chosen(wanted, frame, "stretch", "the picture of this moment is gone")

    def _seek(self, top: TopInput) -> None:
        """Show one of a unit's best inputs once it is read."""
        look_up = self._learning.look_up
        if self._sought != top:
            self._sought = top
            look_up.want_input(top)
        if not look_up.has_looked_for(top):
            return
        self._sought = None
        found = look_up.whole_input(top)
        frame = None
        if found is not None:
            frame = Frame(
                image_HW3=found.image_HW3,
                seq=self._turn.frame.seq if self._turn.frame is not None else 0,
                captured_ns=time.monotonic_ns(),
                name=found.name,
                stands_in=True,
            )
        self._show_chosen(top, frame, "crop", "")

    def _show_chosen(self, wanted: Chosen, frame: Frame | None, fit: Fit, gone: str) -> None:
        """Show it, or take the choice back where its picture is gone."""
        if frame is None:
            self._tell(self._chosen)
            if gone:
                self._say(gone, False)
            return
        self._chosen = wanted
        self._show(frame, fit)

    def leave(self) -> None:
        """Look at the source again."""
        was_there = self.is_there
        self._turn.show_instead(None)
        if was_there and self._session.read()[0].selection.fit == self._fit:
            self._set_fit(self._fit_before)
        self._chosen = self._sought = None
        self._tell(None)
        if was_there:
            self._say("the source again", False)

    def _tell(self, chosen: Chosen) -> None:
        """Let the View have what is looked at."""
        is_top = isinstance(chosen, TopInput)
        self._session.update(
            moment=None if is_top else chosen, top_input=chosen if is_top else None
        )

    def _show(self, frame: Frame, fit: Fit = "stretch") -> None:
        if not self.is_there:
            self._fit_before = self._session.read()[0].selection.fit
        self._fit = fit
        self._set_fit(fit)
        self._turn.show_instead(frame)

    def _set_fit(self, fit: Fit) -> None:
        self._session.apply(lambda view: replace(view, selection=replace(view.selection, fit=fit)))

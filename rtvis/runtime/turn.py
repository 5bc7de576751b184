"""One turn of the loop: newest frame, session, engine, compositor, one download."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from torch import Tensor

from rtvis.data import Frame, Selection
from rtvis.render.scene import Binding, Scene
from rtvis.runtime.compare import Rival
from rtvis.runtime.composed import Composed
from rtvis.runtime.computing import Computing
from rtvis.runtime.drawing import Drawing, Of, Submitted
from rtvis.runtime.figures import Figures
from rtvis.runtime.jobs import Traffic
from rtvis.runtime.looked_at import LookedAt
from rtvis.runtime.scene_making import SceneMaker
from rtvis.runtime.shown import ShownMeter
from rtvis.runtime.turn_parts import CompositorLike, EngineLike, LearningLike, MomentsLike
from rtvis.session import Session, View, settled
from rtvis.slot import LatestSlot
from rtvis.sources.base import Source
from rtvis.timing import StageClock

_TICK_NS: Final = 250_000_000
"""How often ages on the screen move on while nothing else changes."""


class Turn:
    """Decides what there is to do, and has it done. Owned by the engine thread.

    A turn computes when there is a new frame or another selection, draws when anything on screen
    has changed, and otherwise does nothing. A change of the view alone (hover, scroll, colours) is
    drawn before the next frame is computed: the user's input goes before the film's.

    On CUDA a picture travels while the next frame is computed: `run` then returns the picture
    before, unless there is nothing to compute.
    """

    def __init__(
        self,
        *,
        engine: EngineLike,
        compositor: CompositorLike,
        session: Session,
        source: Source,
        frames: LatestSlot[Frame],
        bindings: tuple[Binding, ...] = (),
        shown: ShownMeter | None = None,
        recording_note: Callable[[], str] = str,
        now_ns: Callable[[], int] = time.monotonic_ns,
        rival: Rival | None = None,
        moments: MomentsLike | None = None,
        settles: bool = False,
    ) -> None:
        """Take turns between these; nothing is looked at before `run` or `show`.

        Args:
            engine: Computes.
            compositor: Draws.
            session: What the user chose.
            source: What is said of it on screen.
            frames: Where it puts frames.
            bindings: Of keys, for the help.
            shown: When pictures were shown, for the status line.
            recording_note: What is said of the film.
            now_ns: The clock of captures.
            rival: What network and source are compared with.
            moments: Looks at each frame, and shows the best ones of the unit.
            settles: Nobody waits for pictures: each has all that is known of units.
        """
        self._session = session
        self._source = source
        self._now_ns = now_ns
        self._settles = settles
        self._overlaps = engine.device.type == "cuda"
        self._clock = StageClock(engine.device)
        self._looked = LookedAt(source, frames, now_ns=now_ns)
        self.computing = Computing(
            engine=engine,
            source=source,
            rival=rival,
            moments=moments,
            clock=self._clock,
            now_ns=now_ns,
        )
        self.figures = Figures(
            source=source,
            looked=self._looked,
            shown=shown if shown is not None else ShownMeter(),
            clock=self._clock,
            device=engine.device,
        )
        self._scenes = SceneMaker(
            engine=engine,
            source=source,
            looked=self._looked,
            computing=self.computing,
            figures=self.figures,
            rival=rival,
            moments=moments,
            bindings=bindings,
            recording_note=recording_note,
        )
        self._drawing = Drawing(compositor, self._clock)
        self._drawn_revision = -1
        self._drawn_state: tuple[object, ...] = ()
        self._drawn_ns = 0
        self._drew_first = False
        """The view was drawn before the frame that waits: once, not again."""
        self._submitted: Submitted | None = None

    @property
    def frame(self) -> Frame | None:
        """What is looked at."""
        return self._looked.frame

    @property
    def selection(self) -> Selection | None:
        """What was computed last, with its defaults filled in."""
        return self.computing.selection

    @property
    def picture(self) -> Tensor | None:
        """The frame that is looked at, on the device, uint8 [H, W, 3]."""
        return self.computing.image_HW3

    @property
    def stand_in(self) -> Frame | None:
        """What is looked at in the place of the source's frames; None while these are."""
        return self._looked.stand_in

    @property
    def composed(self) -> Composed | None:
        """The last picture, and what it shows."""
        return self._drawing.composed

    @property
    def num_faults(self) -> int:
        """Turns in which something could not be computed or drawn."""
        return self.computing.faults.num_faults + self._drawing.faults.num_faults

    def attend(self, learning: LearningLike) -> None:
        """Show what units have learned, too; called before the first turn, by who owns that."""
        self._scenes.learning = learning

    def show_instead(self, frame: Frame | None) -> None:
        """Look at this picture until None is given."""
        self._looked.show_instead(frame)

    def traffic(self) -> Traffic:
        """What waits to be done."""
        view, revision = self._session.read()
        new_choice = revision != self._drawn_revision or _asks(view) != self.computing.asked
        return self._looked.traffic(paused=view.paused, choice_waits=new_choice)

    def want_frame(self) -> None:
        """Take the next frame even while paused: the user stepped to another picture."""
        self._looked.wants_frame = True

    def leave_source(self) -> None:
        """Forget the frame and all that came of it: another source is shown now."""
        self._looked.leave()
        self.computing.forget()
        self._submitted = None

    def count_again(self) -> None:
        """Let what is on screen be a moment once more: all were forgotten."""
        if self.frame is not None:
            self.computing.count_again(self.frame)

    def run(self, *, wait_s: float = 0.0) -> Composed | None:
        """Do what there is to do, waiting up to `wait_s` for a frame.

        Returns:
            The newest finished picture, or None where nothing has changed.
        """
        before = self._submitted
        submitted = self._advance(wait_s if before is None else 0.0)
        if before is None and submitted is not None and not self._overlaps:
            return self._drawing.finish(submitted)
        self._submitted = submitted
        return self._drawing.finish(before) if before is not None else None

    def flush(self) -> Composed | None:
        """The picture that still travels, if there is one."""
        submitted, self._submitted = self._submitted, None
        return self._drawing.finish(submitted) if submitted is not None else None

    def settled(self) -> Composed | None:
        """The last picture without what passes, drawn for whoever saves it; nobody else sees it.

        Takes the place of what still travels: call `flush` before, and show that.
        """
        last = self.composed
        if last is None or (view := settled(last.view)) == last.view:
            return last
        submitted = self._begin(self._scene(view, now_ns=self._now_ns()))
        drawn = self._drawing.finish(submitted) if submitted is not None else None
        return drawn if drawn is not None else last

    def compute(self, frame: Frame, selection: Selection, revision: int) -> None:
        """Compute what stays to be seen where the next `show` asks for what cannot be computed.

        Args:
            frame: What the numbers are of; another one than `show` is given.
            selection: As `Computed.selection`.
            revision: As for `show`.
        """
        self.computing.compute(frame, selection, revision, fresh=True)

    def show(self, frame: Frame | None, view: View, revision: int, *, stale_s: float = 0.0) -> None:
        """Compute and draw exactly this into `composed`, whatever session and source say.

        Args:
            frame: None leaves what is there.
            view: What to draw, and its selection to compute.
            revision: Grows with every call that asks for something else.
            stale_s: How old what is shown shall be, if this cannot be computed.
        """
        self._settles = True
        fresh = frame is not None and frame is not self.frame
        self._looked.frame = frame if frame is not None else self.frame
        self._compute(view, revision, fresh=fresh, paused=False)
        now_ns = self._now_ns()
        if self.computing.stale_since_ns:
            self.computing.stale_since_ns = now_ns - round(1e9 * stale_s)
        submitted = self._draw(view, revision, now_ns=now_ns)
        if submitted is not None:
            self._drawing.finish(submitted)

    def _advance(self, wait_s: float) -> Submitted | None:
        """Compute and draw what has changed, and begin to download it."""
        view, revision = self._session.read()
        same_selection = _asks(view) == self.computing.asked
        if same_selection and revision != self._drawn_revision and not self._drew_first:
            self._drew_first = True  # once: a pointer that never rests must not stop the film
            return self._draw(view, revision)
        self._drew_first = False
        wait_s = wait_s if same_selection or self.frame is None else 0.0
        fresh = self._looked.take(paused=view.paused, wait_s=wait_s, clock=self._clock)
        if fresh:  # the wait may have been long: the newest choice counts
            view, revision = self._session.read()
        if self._compute(view, revision, fresh=fresh, paused=view.paused):
            computed = view.selection
            view, revision = self._session.read()
            # Drawn as computed: a selection made meanwhile is the next turn's.
            return self._draw(replace(view, selection=computed), revision)
        if revision != self._drawn_revision or self._has_changed(view):
            return self._draw(view, revision)
        return None

    def _compute(self, view: View, revision: int, *, fresh: bool, paused: bool) -> bool:
        """Compute what the View asks for, if that is anything new; whether it was."""
        asked = _asks(view)
        is_due = self.computing.is_due(asked, paused=paused) or fresh
        if self.frame is None or not is_due:
            return False
        self.computing.compute(self.frame, asked, revision, fresh=fresh)
        if fresh:
            self.figures.count()
        return True

    def _draw(self, view: View, revision: int, *, now_ns: int | None = None) -> Submitted | None:
        scene = self._scene(view, now_ns=self._now_ns() if now_ns is None else now_ns)
        self._drawn_revision = revision
        self._drawn_state = self._scenes.state
        self._drawn_ns = self._now_ns()
        return self._begin(scene)

    def _scene(self, view: View, *, now_ns: int) -> Scene:
        in_sight = self._drawing.units_in_sight
        return self._scenes.scene(view, now_ns=now_ns, units_in_sight=in_sight, whole=self._settles)

    def _begin(self, scene: Scene) -> Submitted | None:
        computed = self.computing
        return self._drawing.begin(
            scene,
            Of(
                view=scene.view,
                frame=self.frame,
                result=computed.result,
                second=computed.second,
                older=computed.older,
            ),
        )

    def _has_changed(self, view: View) -> bool:
        if self._scenes.state != self._drawn_state:
            return True
        ages = self.computing.stale_since_ns or view.timing != "off"
        ages = ages or self._source.status().state in {"opening", "reconnecting"}
        return bool(ages) and self._now_ns() - self._drawn_ns > _TICK_NS


def _asks(view: View) -> Selection:
    """What a view wants of the engine: no backward pass for a picture that is off (DVT-12)."""
    return replace(view.selection, backward=view.backward_shown)

"""One turn of the loop: newest frame, session, engine, compositor, one download."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from rtvis.data import Frame, Picture, Rates, Result, Selection
from rtvis.errors import RtvisError
from rtvis.render.layout import Layout
from rtvis.render.scene import (
    Binding,
    Half,
    Memory,
    Pair,
    Scene,
)
from rtvis.runtime.compare import Asked, Rival
from rtvis.runtime.composed import Composed
from rtvis.runtime.controller import Drawn
from rtvis.runtime.difference import Arranger
from rtvis.runtime.faults import Faults
from rtvis.runtime.jobs import Traffic
from rtvis.runtime.looked_at import LookedAt
from rtvis.runtime.shown import ShownMeter
from rtvis.runtime.turn_parts import (
    CompositorLike,
    EngineLike,
    LearningLike,
    MomentsLike,
    Travelling,
)
from rtvis.runtime.upload import upload
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from rtvis.sources.base import Source
from rtvis.timing import CURRENT_S, ProcessMeter, RateMeter, StageClock

IN_LOOP: Final = (RtvisError, RuntimeError, ValueError, MemoryError)
"""What a frame, a selection or a full device can cause; anything else is a fault of ours."""

_TICK_NS: Final = 250_000_000
"""How often ages on the screen move on while nothing else changes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Submitted:
    """A picture whose download has begun."""

    travelling: Travelling
    layout: Layout
    view: View
    frame: Frame | None
    result: Result | None
    second: Half | None
    memory: Memory | None
    stale_s: float


class Turn:
    """Holds what lasts from one turn to the next. Owned by the engine thread.

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
    ) -> None:
        self._rival = rival
        self.learning: LearningLike | None = None
        """Set by who owns it, before the first turn."""
        self.moments: MomentsLike | None = None
        """Set by who owns them, before the first turn."""
        self._second: Half | None = None
        """What the rival showed last."""
        self._arranger = Arranger()
        self._engine = engine
        self._compositor = compositor
        self._session = session
        self._source = source
        self._looked = LookedAt(source, frames, now_ns=now_ns)
        self._bindings = bindings
        self._shown = shown if shown is not None else ShownMeter()
        self._recording_note = recording_note
        self._now_ns = now_ns
        self._image_HW3: Tensor | None = None
        self._input_HW3: Tensor | None = None
        self._result: Result | None = None
        self._asked: Selection | None = None
        """The selection that was computed last, or tried."""
        self._stale_since_ns = 0
        self._drawn_revision = -1
        self._drawn_state: tuple[object, ...] = ()
        self._drawn_ns = 0
        self._num_pictures = 0
        self._submitted: _Submitted | None = None
        self._drew_first = False
        self._processed = RateMeter()
        self.clock = StageClock(engine.device)
        self._meter = ProcessMeter(engine.device)
        self.faults = Faults()
        self.draw_faults = Faults()
        self.num_processed = 0
        """Frames that went through the network."""
        self.rates = Rates()
        """The figures that were drawn last. Read by other threads."""
        self.composed: Composed | None = None
        """The last picture, and what it shows."""

    @property
    def frame(self) -> Frame | None:
        """What is looked at."""
        return self._looked.frame

    @property
    def selection(self) -> Selection | None:
        """What was computed last, with its defaults filled in."""
        return self._result.selection if self._result is not None else None

    @property
    def picture(self) -> Tensor | None:
        """The frame that is looked at, on the device, uint8 [H, W, 3]."""
        return self._image_HW3

    @property
    def stand_in(self) -> Frame | None:
        """What is looked at in the place of the source's frames; None while these are."""
        return self._looked.stand_in

    def show_instead(self, frame: Frame | None) -> None:
        """Look at this picture until None is given."""
        self._looked.show_instead(frame)

    def traffic(self) -> Traffic:
        """What waits to be done."""
        view, revision = self._session.read()
        new_choice = revision != self._drawn_revision or _asks(view) != self._asked
        return self._looked.traffic(paused=view.paused, choice_waits=new_choice)

    def want_frame(self) -> None:
        """Take the next frame even while paused: the user stepped to another picture."""
        self._looked.wants_frame = True

    def leave_source(self) -> None:
        """Forget the frame and all that came of it: another source is shown now."""
        self._looked.leave()
        self._image_HW3 = self._input_HW3 = None
        self._result = self._asked = self._submitted = self._second = None
        self._stale_since_ns = 0
        self.faults.clear()

    def run(self, *, wait_s: float = 0.0) -> Composed | None:
        """Do what there is to do, waiting up to `wait_s` for a frame.

        Returns:
            The newest finished picture, or None where nothing has changed.
        """
        before = self._submitted
        submitted = self._advance(wait_s if before is None else 0.0)
        if before is None and submitted is not None and self._engine.device.type != "cuda":
            return self._receive(submitted)
        self._submitted = submitted
        return self._receive(before) if before is not None else None

    def flush(self) -> Composed | None:
        """The picture that still travels, if there is one."""
        submitted, self._submitted = self._submitted, None
        return self._receive(submitted) if submitted is not None else None

    def show(self, frame: Frame | None, view: View, revision: int, *, stale_s: float = 0.0) -> None:
        """Compute and draw exactly this into `composed`, whatever session and source say.

        Args:
            frame: None leaves what is there.
            view: What to draw, and its selection to compute.
            revision: Grows with every call that asks for something else.
            stale_s: How old what is shown shall be, if this cannot be computed.
        """
        fresh = frame is not None and frame is not self.frame
        self._looked.frame = frame if frame is not None else self.frame
        news = self._rival is not None and self._rival.has_news(paused=False)
        if self.frame is not None and (fresh or news or _asks(view) != self._asked):
            self._compute(self.frame, _asks(view), revision, fresh=fresh)
        if self.learning is not None:
            self.learning.settle(view, self.selection)
        now_ns = self._now_ns()
        if self._stale_since_ns:
            self._stale_since_ns = now_ns - round(1e9 * stale_s)
        submitted = self._draw(view, revision, now_ns=now_ns)
        if submitted is not None:
            self._receive(submitted)

    def _advance(self, wait_s: float) -> _Submitted | None:
        """Compute and draw what has changed, and begin to download it."""
        view, revision = self._session.read()
        same_selection = self._asked is not None and _asks(view) == self._asked
        if same_selection and revision != self._drawn_revision and not self._drew_first:
            self._drew_first = True  # once: a pointer that never rests must not stop the film
            return self._draw(view, revision)
        self._drew_first = False
        wait_s = wait_s if same_selection or self.frame is None else 0.0
        fresh = self._looked.take(paused=view.paused, wait_s=wait_s, clock=self.clock)
        if fresh:  # the wait may have been long: the newest choice counts
            view, revision = self._session.read()
        news = self._rival is not None and self._rival.has_news(paused=view.paused)
        if self.frame is not None and (fresh or news or _asks(view) != self._asked):
            self._compute(self.frame, _asks(view), revision, fresh=fresh)
            computed = view.selection
            view, revision = self._session.read()
            # Drawn as computed: a selection made meanwhile is the next turn's.
            return self._draw(replace(view, selection=computed), revision)
        if revision != self._drawn_revision or self._has_changed(view):
            return self._draw(view, revision)
        return None

    def read_rates(self) -> Rates:
        """The figures for the status line, as of now."""
        self.rates = Rates(
            captured_fps=self._source.status().captured_fps,
            processed_fps=self._processed.rate(),
            shown_fps=self._shown.fps,
            latency_ms=self._shown.latency_ms,
            num_dropped=self._looked.num_dropped,
            frame_age_s=self._looked.age_s,
            stages_ms=self.clock.means_ms(),
            stages_cpu_ms=self.clock.cpu_means_ms(),
            process=self._meter.read(),
        )
        return self.rates

    def _compute(self, frame: Frame, selection: Selection, revision: int, *, fresh: bool) -> None:
        self._asked = selection
        try:
            if fresh or self._image_HW3 is None:
                with self.clock.stage("upload"):
                    uploaded = upload(frame, self._engine.device)
                    self._image_HW3, self._input_HW3 = uploaded.image_HW3, uploaded.input_HW3
            with self.clock.stage("network"):
                self._result, self._second = self._run(frame, selection, revision, fresh=fresh)
            self._count(frame, self._result)
        except IN_LOOP as error:
            self.faults.add(error)
            self._stale_since_ns = self._stale_since_ns or self._now_ns()
            if self._engine.device.type == "cuda":
                torch.cuda.empty_cache()
        else:
            self.faults.clear()
            self._stale_since_ns = 0
        if fresh:
            self.num_processed += 1
            self._processed.tick()

    def _count(self, frame: Frame, result: Result) -> None:
        """Let the frame be a moment, if it is the source's."""
        if self.moments is not None and not frame.stands_in:
            with self.clock.stage("moments"):
                self.moments.take(frame, self._source.name, result)

    def count_again(self) -> None:
        """Let what is on screen be a moment once more: all moments were forgotten, and of a still
        picture there comes no other frame."""
        if self.frame is None or self._result is None or self._stale_since_ns:
            return
        try:
            self._count(self.frame, self._result)
        except IN_LOOP as error:
            self.faults.add(error)

    def _run(
        self, frame: Frame, selection: Selection, revision: int, *, fresh: bool
    ) -> tuple[Result, Half | None]:
        image_HW3, input_HW3 = self._image_HW3, self._input_HW3
        assert image_HW3 is not None, "uploaded before"
        assert input_HW3 is not None, "uploaded with it"
        if self._rival is not None:
            asked = Asked(
                image_HW3=image_HW3,
                input_HW3=input_HW3,
                frame=frame,
                selection=selection,
                revision=revision,
                is_fresh=fresh,
            )
            return self._rival.run(self._engine, asked)
        result = self._engine.run(
            input_HW3,
            selection,
            seq=frame.seq,
            revision=revision,
            captured_ns=frame.captured_ns,
        )
        return result, None

    def _arranged(self, scene: Scene) -> Scene:
        """What the user wants to see of two that are compared."""
        rival, result = self._rival, self._result
        if rival is None:
            return scene
        name = (self.frame.name if self.frame is not None else "") or self._source.name
        names = rival.names(self._engine, name)
        first = Half(
            name=names[0],
            image_HW3=self._image_HW3,
            result=result,
            labels=scene.labels,
        )
        if self._second is not None:
            self._second = replace(self._second, trouble=rival.trouble)
        second = self._second or Half(
            name=names[1], image_HW3=None, result=None, trouble=rival.trouble
        )
        pair = Pair(first=first, second=second, same_classes=rival.same_classes(self._engine))
        layer = result.selection.layer if result is not None else None
        second_layer = rival.layer(self._engine, layer) if layer is not None else None
        networks = dict.fromkeys((scene.network, rival.network(self._engine)))
        sources = dict.fromkeys((scene.source_name, rival.source_name(self._source.name)))
        scene = replace(
            scene,
            network=" and ".join(networks),
            source_name=" and ".join(sources),
            # Of two pictures both names are below them.
            picture_name=scene.picture_name if len(sources) == 1 else "",
        )
        return self._arranger.arrange(scene, pair, second_layer=second_layer)

    def _draw(self, view: View, revision: int, *, now_ns: int | None = None) -> _Submitted | None:
        scene = Scene(
            view=view,
            layers=self._engine.layers,
            image_HW3=self._image_HW3,
            mean_rgb=self._engine.mean_rgb,
            result=self._result,
            weights=self._weights(view),
            labels=self._engine.labels,
            network=self._engine.network,
            source_name=self._source.name,
            picture_name=self.frame.name if self.frame is not None else "",
            source=self._source.status(),
            rates=self.read_rates(),
            device=str(self._engine.device),
            form=self._engine.form,
            compile_note=self._engine.compile_note,
            weights_note=self._engine.weights_note,
            error_note=self.faults.note,
            now_ns=self._now_ns() if now_ns is None else now_ns,
            stale_since_ns=self._stale_since_ns,
            bindings=self._bindings,
            recording_note=self._recording_note(),
        )
        scene = self._arranged(self._with_learned(scene))
        self._drawn_revision = revision
        self._drawn_state = self._state()
        self._drawn_ns = self._now_ns()
        try:
            with self.clock.stage("draw"):
                self._compositor.compose(scene)
                travelling = self._compositor.download()
        except IN_LOOP as error:
            self.draw_faults.add(error)
            return None
        layout = self._compositor.layout
        assert layout is not None, "a compositor has a layout once it has composed"
        return _Submitted(
            travelling=travelling,
            layout=layout,
            view=view,
            frame=self.frame,
            result=self._result,
            second=self._second,
            memory=self._compositor.memory,
            stale_s=(scene.now_ns - since_ns) / 1e9 if (since_ns := scene.stale_since_ns) else 0.0,
        )

    def _with_learned(self, scene: Scene) -> Scene:
        """What is known of the unit that this picture is about."""
        view, selection = scene.view, self.selection
        if self.moments is not None:
            scene = replace(
                scene,
                moments=self.moments.shown(view, selection),
                pattern=self.moments.pattern(view, selection, self._units_in_sight()),
            )
        if self.learning is None:
            return scene
        return replace(
            scene,
            learned=self.learning.shown(view, selection),
            pattern=scene.pattern or self.learning.pattern(view, selection),
            jobs=self.learning.jobs,
        )

    def _units_in_sight(self) -> range:
        """Whose tiles the last picture had."""
        layout = self._compositor.layout
        grid = layout.grid if layout is not None else None
        return range(grid.first, grid.last) if grid is not None else range(0)

    def _weights(self, view: View) -> Tensor | None:
        if view.page != "histogram" or self._result is None:
            return None
        layer = self._result.selection.layer
        return self._engine.weights(layer) if layer is not None else None

    def _receive(self, submitted: _Submitted) -> Composed | None:
        try:
            with self.clock.stage("download"):
                canvas_HW3 = submitted.travelling.wait()
                self._compositor.receive(submitted.travelling.readout())
        except IN_LOOP as error:
            self.draw_faults.add(error)
            return None
        frame, readout, second = submitted.frame, self._compositor.readout, submitted.second
        picture = Picture(
            canvas_HW3=canvas_HW3,
            seq=self._num_pictures,
            frame_seq=frame.seq if frame is not None else -1,
            captured_ns=frame.captured_ns if frame is not None else 0,
        )
        self._num_pictures += 1
        top = tuple(class_index for class_index, _ in readout.top)
        self.composed = Composed(
            picture=picture,
            drawn=Drawn(submitted.layout, top, readout),
            view=submitted.view,
            frame=frame,
            result=submitted.result,
            second=second if second is not None and second.result is not None else None,
            readout=readout,
            memory=submitted.memory,
            stale_s=submitted.stale_s,
        )
        return self.composed

    def _state(self) -> tuple[object, ...]:
        """What is on screen beside frame and View."""
        status = self._source.status()
        return (
            self._source.name,
            self._looked.age_s > CURRENT_S,
            status.state,
            status.message,
            self._engine.form,
            self._engine.compile_note,
            self.faults.note,
            self._recording_note(),
            self._rival.state if self._rival is not None else (),
            self.learning.state if self.learning is not None else (),
            self.moments.state if self.moments is not None else 0,
        )

    def _has_changed(self, view: View) -> bool:
        if self._state() != self._drawn_state:
            return True
        ages = self._stale_since_ns or self._source.status().state in {"opening", "reconnecting"}
        ages = ages or view.timing != "off"
        return bool(ages) and self._now_ns() - self._drawn_ns > _TICK_NS


def _asks(view: View) -> Selection:
    """What a view wants of the engine: no backward pass for a picture that is off (DVT-12)."""
    return replace(view.selection, backward=view.backward_shown)

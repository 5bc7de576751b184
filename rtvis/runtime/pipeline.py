"""The loop: frames in, pictures out, the user's events back in."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self, assert_never

from torch import Tensor

from rtvis.data import ClosedEvent, Event, Frame, Rates, ShownEvent
from rtvis.engine.device import make_current
from rtvis.plain import Plain
from rtvis.render.layout import Layout, layout
from rtvis.runtime.bindings import BINDINGS, Effect, KeyBinding, help_lines, key_of
from rtvis.runtime.compare import Rival
from rtvis.runtime.composed import Composed
from rtvis.runtime.controller import Controller
from rtvis.runtime.generate import Generate
from rtvis.runtime.growth import Grower
from rtvis.runtime.jobs import Jobs, step_timer
from rtvis.runtime.learning import NO_GRADIENTS, Learning
from rtvis.runtime.moments import LiveMoments, live_moments
from rtvis.runtime.notices import Notices
from rtvis.runtime.outcome import Progress, Reason, Summary
from rtvis.runtime.recording import Kept, Recordings
from rtvis.runtime.replay import Replay
from rtvis.runtime.saving import Saving
from rtvis.runtime.shelf import Shelf
from rtvis.runtime.shown import ShownMeter
from rtvis.runtime.stand_in import StandIns
from rtvis.runtime.steering import Steering
from rtvis.runtime.turn import Turn
from rtvis.runtime.turn_parts import CompositorLike, EngineLike
from rtvis.session import Session, View
from rtvis.sinks.base import Sink
from rtvis.slot import LatestSlot
from rtvis.sources.base import Source

_IDLE_S = 0.01
"""How long a turn waits for a frame: also how late it sees a change of the session."""
_BUSY_S = 0.0005
"""The same while the device is busy with a step of long work."""
_EVENTS_S = 0.05
"""How long the main thread waits for events; the engine thread wakes it for pictures."""
_STOP_LIMIT_S = 5.0


class Pipeline:
    """Runs source, engine, compositor and sinks against each other until one of them is over.

    `run` must be called on the main thread, which serves the window; the engine runs on a thread
    of its own. Source, engine and window belong to the caller, who closes them after the run.
    """

    def __init__(
        self,
        *,
        engine: EngineLike,
        source: Source,
        compositor: CompositorLike,
        session: Session | None = None,
        window: Sink | None = None,
        num_frames: int | None = None,
        loops: bool = False,
        folder: Path | None = None,
        bindings: tuple[KeyBinding, ...] = BINDINGS,
        setup: Mapping[str, Plain] | None = None,
        journals: bool = True,
        keeping: Kept | None = None,
        replay: Replay | None = None,
        rival: Rival | None = None,
        grower: Grower | None = None,
        shelf: Shelf | None = None,
        moments: LiveMoments | None = None,
    ) -> None:
        """Put the parts together; nothing starts before `run`.

        Args:
            engine: Computes.
            source: Not started yet.
            compositor: Draws.
            session: The user's choices; a fresh one unless given.
            window: Shows pictures and hands on what the user does. Without one the run ends with
                the source; with one the last picture stays until the user leaves.
            num_frames: End after so many frames.
            loops: The source begins again after its end: nobody knows how many frames will come.
            folder: Where films and saves that the user asks for go; default: the present one.
            bindings: Of keys and buttons.
            setup: Source and network as keys of a state (`rtvis.state.setup_of`), for what is
                saved.
            journals: Write beside each film what was chosen, if there is a setup.
            keeping: How frames of cameras are kept beside each film; None keeps none.
            replay: A recorded run, which decides what is shown; the user can only leave.
            rival: What network and source are compared with; the caller closes it.
            grower: Makes pictures that excite units; without one there are none but the shelf's.
            shelf: Where what units have learned is kept.
            moments: Keeps the best moments of every unit; default: with nothing in it yet.
        """
        self.session = session if session is not None else Session()
        self._engine = engine
        self._rival = rival
        self._source = source
        self._window = window
        self._num_frames = num_frames
        self._loops = loops
        folder = folder if folder is not None else Path()
        self._notices = Notices(self.session)
        self.recordings = Recordings(
            folder,
            self._notices.say,
            key=key_of("record", bindings),
            setup=setup if journals else None,
            keeping=keeping,
        )
        self._replay = replay
        self._replay_is_over = False
        self._num_replayed = 0
        self._frames: LatestSlot[Frame] = LatestSlot()
        self._pictures: LatestSlot[Composed] = LatestSlot()
        self._stop = threading.Event()
        self._save_wanted = threading.Event()
        self._forget_wanted = threading.Event()
        self._generating: queue.SimpleQueue[Generate] = queue.SimpleQueue()
        self._reason: Reason | None = None
        self._message = ""
        self._fault: BaseException | None = None
        self._shown = ShownMeter()
        self._last_rates = Rates()
        layers = engine.layers
        default = engine.resolve(replace(self.session.read()[0].selection, layer=None, unit=None))
        self._controller = Controller(
            self.session,
            layers=layers,
            default_layer=next(layer.index for layer in layers if layer.name == default.layer),
            cam_methods=engine.cam_methods,
            lay_out=self._lay_out,
            do=self._do,
            bindings=bindings,
        )
        self._turn = Turn(
            engine=engine,
            compositor=compositor,
            session=self.session,
            source=source,
            frames=self._frames,
            bindings=help_lines(bindings),
            rates=self._rates,
            recording_note=self.recordings.note,
            rival=rival,
        )
        self._jobs = Jobs(step_timer(engine.device))
        self._learning = Learning(
            layers=layers,
            device=engine.device,
            jobs=self._jobs,
            grower=grower if replay is None else None,
            shelf=shelf,
            say=self._notices.say,
            start=self._network_input,
            now_s=time.monotonic,
            why_not="a replay shows what the store has" if replay is not None else NO_GRADIENTS,
        )
        self._turn.learning = self._learning
        self._moments = moments if moments is not None else live_moments(engine)
        self._turn.moments = self._moments
        self._saving = Saving(
            folder, setup=setup or {}, moments=self._moments, say=self._notices.say
        )
        self._stand_ins = StandIns(
            session=self.session,
            turn=self._turn,
            learning=self._learning,
            moments=self._moments,
            say=self._notices.say,
        )
        self._steering = Steering(
            source=source,
            session=self.session,
            turn=self._turn,
            stand_ins=self._stand_ins,
            rival=rival,
            say=self._notices.say,
        )
        compared = self.session.read()[0].compared
        if (compared == "off") == (rival is not None):
            self.session.update(compared="first" if rival is not None else "off")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(self, path: Path, *, pace: Literal["live", "fast"] = "live") -> None:
        """Record the whole run to a film.

        Raises:
            SinkError: It cannot be written.
        """
        self.recordings.start(path, pace=pace)
        self.session.update(recording=True)

    def run(self, *, on_progress: Callable[[Progress], None] | None = None) -> Summary:
        """Run until the source is over, the user leaves, or Ctrl-C.

        Args:
            on_progress: Called on this thread about 20 times a second.

        Raises:
            BaseException: A fault of ours on the engine thread, after everything was closed.
        """
        thread = threading.Thread(target=self._loop, name="rtvis-engine", daemon=True)
        try:
            if self._rival is not None:
                self._rival.start()
            self._source.start(self._frames)
            self._steering.begin()
            thread.start()
            while not self._stop.is_set():
                self._serve()
                if on_progress is not None:
                    on_progress(self._progress())
        except KeyboardInterrupt:
            self._end("interrupted")
        finally:
            self._stop.set()
            if thread.ident is not None:
                thread.join(_STOP_LIMIT_S)
            self.recordings.stop()
            while on_progress is not None and self.recordings.is_finishing:
                on_progress(replace(self._progress(), is_finishing=True))
                time.sleep(_EVENTS_S)
            self.close()
        if on_progress is not None:
            on_progress(self._progress())
        if self._fault is not None:
            raise self._fault
        return self._summary()

    def save_now(self, parent: Path) -> Path:
        """Save what is shown in a new folder in `parent`; after `run`, or from its thread.

        Returns:
            The folder.

        Raises:
            SinkError: There is nothing to save yet, or it cannot be written.
        """
        return self._saving.save_now(self._turn.composed, self._about(), parent)

    def close(self) -> None:
        """Finish films and saves. Safe to call twice."""
        self._stop.set()
        self._frames.close()
        self._pictures.close()
        self.recordings.close()
        self._saving.close()
        self._learning.close()

    # Main thread

    def _serve(self) -> None:
        """Show the newest picture, and do what the user asks for."""
        if self._window is None:
            self._stop.wait(_EVENTS_S)
        else:
            composed = self._pictures.take()
            if composed is not None:
                self._window.show(composed.picture)
            for event in self._window.poll(_EVENTS_S):
                self._take(event)
            self._shown.read()
        if self.recordings.check():
            self.session.update(recording=False)
            if self._window is None:
                self._end("failed")
        self._notices.expire()

    def _take(self, event: Event) -> None:
        match event:
            case ShownEvent():
                self._shown.note(event.captured_ns, event.shown_ns)
            case ClosedEvent():
                self._end("closed", event.reason)
            case _ if self._replay is None:
                self._controller.handle(event)
            case _ if self._controller.asks_to_leave(event):
                self._end("left")
            case _:
                pass

    def _do(self, effect: Effect) -> None:
        match effect:
            case "leave":
                self._end("left")
            case "forget moments":
                self._forget_wanted.set()
            case "save":
                self._save_wanted.set()
            case "record":
                self.session.update(recording=self.recordings.toggle())
            case (
                "next picture" | "previous picture" | "switch source" | "optimised picture as input"
            ):
                self._steering.ask(effect)
            case "generate layer" | "generate all" | "next job" | "pause jobs" | "cancel jobs":
                self._generating.put(effect)
            case _:
                assert_never(effect)

    # Engine thread

    def _loop(self) -> None:
        try:
            make_current(self._engine.device)
            while not self._stop.is_set():
                self._one_turn()
        except BaseException as error:  # noqa: BLE001 - raised again on the main thread
            self._fault = error
        finally:
            self._stop.set()
            self._learning.stop()
            if self._window is not None:
                self._window.wake()

    def _network_input(self) -> Tensor | None:
        image_HW3 = self._turn.picture
        if image_HW3 is None:
            return None
        return self._engine.preprocess(image_HW3, fit=self.session.read()[0].selection.fit)

    def _one_turn(self) -> None:
        if self._replay is not None:
            self._replay_turn(self._replay)
            return
        self._steering.follow()
        # Before the slot is looked at: a frame put in between is found there.
        status = self._source.status()
        is_over = status.state in {"ended", "failed"}
        self._steering.tell(status)
        if self._forget_wanted.is_set():
            self._forget_wanted.clear()
            self._forget()
        self._stand_ins.follow()
        composed = self._turn.run(wait_s=self._work())
        self._deliver(composed)
        self._follow()
        if self._save_wanted.is_set():
            self._save_wanted.clear()
            self._saving.begin(self._turn.composed, self._about())
        self._saving.step()
        if self._num_frames is not None and self._turn.num_processed >= self._num_frames:
            self._deliver(self._turn.flush())
            self._end("frames")
        elif is_over and composed is None and self._window is None:
            status = self._source.status()
            failed = status.state == "failed"
            self._end("failed" if failed else "ended", status.message if failed else "")

    def _work(self) -> float:
        """Make a step of long work if nobody waits; returns how long to wait for a frame then."""
        if self._jobs.run(self._turn.traffic()):
            return 0.0
        return _BUSY_S if self._jobs.is_busy else _IDLE_S

    def _follow(self) -> None:
        view, _ = self.session.read()
        self._learning.follow(view, self._turn.selection)
        while not self._generating.empty():
            self._learning.do(self._generating.get(), self._turn.selection)

    def _forget(self) -> None:
        self._moments.clear()
        self._turn.count_again()
        self._notices.say("all moments are forgotten; counting begins anew", False)

    def _replay_turn(self, replay: Replay) -> None:
        if self._replay_is_over:
            self._stop.wait(_EVENTS_S)  # the last picture stays until the user leaves
            return
        goes_on = replay.step(self._turn)
        if goes_on:
            self._deliver(self._turn.composed)
            self._num_replayed += 1
        enough = self._num_frames is not None and self._num_replayed >= self._num_frames
        self._replay_is_over = enough or not goes_on
        if self._replay_is_over and (enough or self._window is None):
            self._end("frames" if enough else "ended")

    def _about(self) -> dict[str, Plain]:
        return {
            "network": self._engine.network,
            "weights": self._engine.weights_note or "pretrained",
            "source": self._source.name,
        }

    def _deliver(self, composed: Composed | None) -> None:
        if composed is None:
            return
        self._controller.drawn = composed.drawn
        self.recordings.show(composed)
        if self._window is not None:
            self._pictures.put(composed)
            self._window.wake()
        else:
            self._shown.note(composed.picture.captured_ns, time.monotonic_ns())
            self._shown.read()

    # Any thread

    def _lay_out(self, view: View) -> Layout:
        return layout(view, self._engine.layers, labels=self._engine.labels)

    def _end(self, reason: Reason, message: str = "") -> None:
        if self._reason is None:
            self._reason, self._message = reason, message
        self._stop.set()

    def _rates(self) -> Rates:
        """Called by the engine thread, which owns the meters; others read `_last_rates`."""
        self._last_rates = self._turn.rates(
            shown_fps=self._shown.fps, latency_ms=self._shown.latency_ms
        )
        return self._last_rates

    def _progress(self) -> Progress:
        total = None if self._loops else self._source.num_frames
        if self._replay is not None:
            total = self._replay.num_frames
        if self._num_frames is not None:
            total = self._num_frames if total is None else min(total, self._num_frames)
        passed = self._num_done
        if self._num_frames is None and self._replay is None and total is not None:
            passed = min(passed + self._last_rates.num_dropped, total)
        return Progress(
            num_processed=self._num_done,
            num_passed=passed,
            num_frames=total,
            rates=self._last_rates,
            source=self._source.status(),
        )

    @property
    def _num_done(self) -> int:
        """Frames of the source, or of the film that is shown again."""
        return self._turn.num_processed if self._replay is None else self._num_replayed

    def _summary(self) -> Summary:
        assert self._reason is not None
        message = self._message
        if self.recordings.faults:
            message = self.recordings.faults[0]
        return Summary(
            reason="failed" if self.recordings.faults and self._window is None else self._reason,
            message=message,
            num_processed=self._num_done,
            num_faults=self._turn.faults.num_faults + self._turn.draw_faults.num_faults,
            rates=self._last_rates,
            films=tuple(self.recordings.paths),
        )

"""A run: frames in, pictures out, the user's events back in."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, Self

from rtvis.data import ClosedEvent, Event, Frame, ShownEvent
from rtvis.plain import Plain
from rtvis.render.layout import layout
from rtvis.runtime.about_units import AboutUnits
from rtvis.runtime.bindings import BINDINGS, Effect, KeyBinding, help_lines, key_of
from rtvis.runtime.compare import Rival
from rtvis.runtime.controller import Controller
from rtvis.runtime.delivery import Delivery
from rtvis.runtime.engine_loop import EngineLoop
from rtvis.runtime.first_unit import FirstUnit
from rtvis.runtime.growth import Grower
from rtvis.runtime.known import MEMORY_BYTES
from rtvis.runtime.learning import NO_GRADIENTS
from rtvis.runtime.moments import LiveMoments, live_moments
from rtvis.runtime.notices import Notices
from rtvis.runtime.outcome import Progress, Reason, Summary
from rtvis.runtime.recording import Kept, Recordings
from rtvis.runtime.replay import Replay, ReplayTurns
from rtvis.runtime.run_end import RunEnd
from rtvis.runtime.saving import Saving
from rtvis.runtime.shelf import Shelf
from rtvis.runtime.steering import Steering
from rtvis.runtime.turn import Turn
from rtvis.runtime.turn_parts import CompositorLike, EngineLike
from rtvis.session import Session
from rtvis.sinks.base import Sink
from rtvis.slot import LatestSlot
from rtvis.sources.base import Source

_EVENTS_S: Final = 0.05
"""How long the main thread waits for events; the engine thread wakes it for pictures."""


class Pipeline:
    """Runs source, engine, compositor and sinks against each other until one of them is over.

    `run` must be called on the main thread, which serves the window; the engine runs on a thread
    of its own, `loop`. Source, engine and window belong to the caller, who closes them after the
    run.
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
        known_bytes: int = MEMORY_BYTES,
        moments: LiveMoments | None = None,
        seeks_unit: bool = False,
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
            known_bytes: What pictures of units may take in memory.
            moments: Keeps the best moments of every unit; default: with nothing in it yet.
            seeks_unit: Begin with the unit that answers most, if the session names none.
        """
        self.session = session if session is not None else Session()
        self._source = source
        self._window = window
        self._num_frames = num_frames
        self._loops = loops
        self._replay = replay
        self._run_end = RunEnd()
        self._notices = Notices(self.session)
        say, folder = self._notices.say, folder if folder is not None else Path()
        self.recordings = Recordings(
            folder,
            say,
            key=key_of("record", bindings),
            setup=setup if journals else None,
            keeping=keeping,
        )
        self.controller = _controller_of(self.session, engine, bindings=bindings, do=self._do)
        self.delivery = Delivery(
            window=window,
            recordings=self.recordings,
            controller=self.controller,
            first_unit=FirstUnit(self.session, self.controller) if seeks_unit else None,
        )
        frames: LatestSlot[Frame] = LatestSlot()
        moments = moments if moments is not None else live_moments(engine)
        turn = Turn(
            engine=engine,
            compositor=compositor,
            session=self.session,
            source=source,
            frames=frames,
            bindings=help_lines(bindings),
            shown=self.delivery.shown,
            recording_note=self.recordings.note,
            rival=rival,
            moments=moments,
            settles=window is None,
        )
        units = AboutUnits(
            engine=engine,
            session=self.session,
            turn=turn,
            grower=grower if replay is None else None,
            shelf=shelf,
            known_bytes=known_bytes,
            moments=moments,
            say=say,
            why_not="a replay shows what the store has" if replay is not None else NO_GRADIENTS,
        )
        self.loop = EngineLoop(
            engine=engine,
            source=source,
            frames=frames,
            rival=rival,
            turn=turn,
            steering=Steering(
                source=source,
                session=self.session,
                turn=turn,
                stand_ins=units.stand_ins,
                rival=rival,
                say=say,
            ),
            units=units,
            saving=Saving(folder, setup=setup or {}, moments=moments, say=say),
            delivery=self.delivery,
            run_end=self._run_end,
            num_frames=num_frames,
            replay=None
            if replay is None
            else ReplayTurns(
                replay,
                turn=turn,
                delivery=self.delivery,
                run_end=self._run_end,
                num_frames=num_frames,
            ),
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
        try:
            self.loop.start()
            while not self._run_end.is_over:
                self._serve()
                if on_progress is not None:
                    on_progress(self.progress())
        except KeyboardInterrupt:
            self._run_end.because("interrupted")
        finally:
            self._run_end.stop()
            self.loop.join()
            self.recordings.stop()
            while on_progress is not None and self.recordings.is_finishing:
                on_progress(replace(self.progress(), is_finishing=True))
                time.sleep(_EVENTS_S)
            self.close()
        if on_progress is not None:
            on_progress(self.progress())
        if self._run_end.fault is not None:
            raise self._run_end.fault
        return self._summary()

    def end(self, reason: Reason, message: str = "") -> None:
        """End the run. From any thread; the first reason counts."""
        self._run_end.because(reason, message)

    def progress(self) -> Progress:
        """How far the run has come."""
        done, rates, total = self.loop.num_done, self.loop.turn.figures.rates, self._num_frames
        passed = done
        if self._replay is not None:
            total = _least(total, self._replay.num_frames)
        elif not self._loops and self._source.num_frames is not None:
            total = _least(total, self._source.num_frames)
            if self._num_frames is None:
                passed = min(done + rates.num_dropped, self._source.num_frames)
        return Progress(
            num_processed=done,
            num_passed=passed,
            num_frames=total,
            rates=rates,
            source=self._source.status(),
        )

    def save_now(self, parent: Path) -> Path:
        """Save what is shown in a new folder in `parent`; after `run`, or from its thread.

        Returns:
            The folder.

        Raises:
            SinkError: There is nothing to save yet, or it cannot be written.
        """
        return self.loop.save_now(parent)

    def close(self) -> None:
        """Finish films and saves. Safe to call twice."""
        self._run_end.stop()
        self.delivery.close()
        self.recordings.close()
        self.loop.close()

    def _serve(self) -> None:
        """Show the newest picture, and do what the user asks for."""
        if self._window is None:
            self._run_end.wait(_EVENTS_S)
        else:
            self.delivery.show_newest()
            for event in self._window.poll(_EVENTS_S):
                self._take(event)
            self.delivery.shown.read()
        if self.recordings.check():
            self.session.update(recording=False)
            if self._window is None:
                self._run_end.because("failed")
        self._notices.expire()

    def _take(self, event: Event) -> None:
        match event:
            case ShownEvent():
                self.delivery.shown.note(event.captured_ns, event.shown_ns)
            case ClosedEvent():
                self._run_end.because("closed", event.reason)
            case _ if self._replay is None:
                self.controller.handle(event)
            case _ if self.controller.asks_to_leave(event):
                self._run_end.because("left")
            case _:
                pass

    def _do(self, effect: Effect) -> None:
        match effect:
            case "leave":
                self._run_end.because("left")
            case "record":
                self.session.update(recording=self.recordings.toggle())
            case _:
                self.loop.ask(effect)

    def _summary(self) -> Summary:
        reason, faults = self._run_end.reason, self.recordings.faults
        assert reason is not None
        turn, told = self.loop.turn, self._source.status().message
        return Summary(
            reason="failed" if faults and self._window is None else reason,
            message=faults[0] if faults else self._run_end.message,
            unread=f"{self._source.name}: {told}" if reason == "ended" and told else "",
            num_processed=self.loop.num_done,
            num_faults=turn.num_faults,
            rates=turn.figures.rates,
            films=tuple(self.recordings.paths),
        )


def _controller_of(
    session: Session,
    engine: EngineLike,
    *,
    bindings: tuple[KeyBinding, ...],
    do: Callable[[Effect], None],
) -> Controller:
    """Turns events into commands, for the engine's network."""
    layers = engine.layers
    default = engine.resolve(replace(session.read()[0].selection, layer=None, unit=None))
    return Controller(
        session,
        layers=layers,
        default_layer=next(layer.index for layer in layers if layer.name == default.layer),
        cam_methods=engine.cam_methods,
        lay_out=lambda view: layout(view, layers, labels=engine.labels),
        do=do,
        bindings=bindings,
    )


def _least(first: int | None, second: int) -> int:
    return second if first is None else min(first, second)

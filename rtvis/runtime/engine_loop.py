"""The engine thread: turn after turn, and between two of them what the user asked for."""

import threading
from pathlib import Path
from typing import Final, assert_never

from rtvis.data import Frame
from rtvis.engine.device import make_current
from rtvis.plain import Plain
from rtvis.runtime.about_units import AboutUnits
from rtvis.runtime.bindings import BetweenTurns
from rtvis.runtime.compare import Rival
from rtvis.runtime.delivery import Delivery
from rtvis.runtime.replay import ReplayTurns
from rtvis.runtime.run_end import RunEnd
from rtvis.runtime.saving import Saving
from rtvis.runtime.steering import Steering
from rtvis.runtime.turn import Turn
from rtvis.runtime.turn_parts import EngineLike
from rtvis.slot import LatestSlot
from rtvis.sources.base import Source

_STOP_LIMIT_S: Final = 5.0


class EngineLoop:
    """Runs turns on a thread of its own, which owns the engine and all that is given here.

    The main thread starts and joins it; any thread may `ask`.
    """

    def __init__(
        self,
        *,
        engine: EngineLike,
        source: Source,
        frames: LatestSlot[Frame],
        rival: Rival | None,
        turn: Turn,
        steering: Steering,
        units: AboutUnits,
        saving: Saving,
        delivery: Delivery,
        run_end: RunEnd,
        num_frames: int | None,
        replay: ReplayTurns | None,
    ) -> None:
        """Put the parts together; nothing starts before `start`.

        Args:
            engine: Computes.
            source: Not started yet.
            frames: Where it puts frames, and from where the turn takes them.
            rival: What network and source are compared with, not started yet.
            turn: Computes and draws one picture.
            steering: Steps and switches the source.
            units: What is known of units.
            saving: Takes snapshots.
            delivery: Takes finished pictures.
            run_end: When to stop; told when the source is over.
            num_frames: End after so many frames.
            replay: A recorded run, whose turns take the place of the live ones.
        """
        self._engine = engine
        self._source = source
        self.frames = frames
        self._rival = rival
        self.turn = turn
        self._steering = steering
        self.units = units
        self._saving = saving
        self._delivery = delivery
        self._run_end = run_end
        self._num_frames = num_frames
        self._replay = replay
        self._save_wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtvis-engine", daemon=True)

    @property
    def num_done(self) -> int:
        """Frames of the source, or of the film that is shown again."""
        return self.turn.figures.num_processed if self._replay is None else self._replay.num_done

    def ask(self, what: BetweenTurns) -> None:
        """Have this done before or after the next turn."""
        match what:
            case "save":
                self._save_wanted.set()
            case (
                "next picture" | "previous picture" | "switch source" | "optimised picture as input"
            ):
                self._steering.ask(what)
            case (
                "forget moments"
                | "generate layer"
                | "generate all"
                | "next job"
                | "pause jobs"
                | "cancel jobs"
            ):
                self.units.ask(what)
            case _:
                assert_never(what)

    def start(self) -> None:
        """Start the sources, and the thread."""
        if self._rival is not None:
            self._rival.start()
        self._source.start(self.frames)
        self._steering.begin()
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread, if it was started, as long as a turn can take."""
        if self._thread.ident is not None:
            self._thread.join(_STOP_LIMIT_S)

    def save_now(self, parent: Path) -> Path:
        """See `Pipeline.save_now`."""
        make_current(self._engine.device)
        self.turn.flush()
        return self._saving.save_now(self.turn.settled(), self._about(), parent)

    def close(self) -> None:
        """Finish saves, and write what was learned. Safe to call twice."""
        self.frames.close()
        self._saving.close()
        self.units.close()

    def one_turn(self) -> None:
        """What the thread does over and over."""
        if self._replay is not None:
            self._replay.one_turn()
            return
        self._steering.follow()
        # Before the slot is looked at: a frame put in between is found there.
        status = self._source.status()
        is_over = status.state in {"ended", "failed"}
        self._steering.tell(status)
        composed = self.turn.run(wait_s=self.units.before_turn())
        self._delivery.give(composed)
        self.units.after_turn()
        self._save()
        if self._num_frames is not None and self.turn.figures.num_processed >= self._num_frames:
            self._delivery.give(self.turn.flush())
            self._run_end.because("frames")
        elif is_over and composed is None and not self._delivery.has_window:
            self._end_with_source()

    def _run(self) -> None:
        try:
            make_current(self._engine.device)
            while not self._run_end.is_over:
                self.one_turn()
        except BaseException as error:  # noqa: BLE001 - raised again on the main thread
            self._run_end.fault = error
        finally:
            self._run_end.stop()
            self.units.stop()
            self._delivery.wake()

    def _save(self) -> None:
        """Begin a snapshot if the user asked for one, and go on with the one that was begun."""
        if self._save_wanted.is_set():
            self._save_wanted.clear()
            self._delivery.give(self.turn.flush())
            self._saving.begin(self.turn.settled(), self._about())
        self._saving.step()

    def _end_with_source(self) -> None:
        status = self._source.status()
        if status.state == "failed":
            self._run_end.because("failed", status.message)
        else:
            self._run_end.because("ended")

    def _about(self) -> dict[str, Plain]:
        return {
            "network": self._engine.network,
            "weights": self._engine.weights_note or "pretrained",
            "source": self._source.name,
        }

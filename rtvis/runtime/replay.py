"""A recorded run once more: each frame with what was chosen for it, as fast as it can be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from rtvis.data import Frame, FramePlace, Side
from rtvis.runtime.delivery import Delivery
from rtvis.runtime.journal import Moment, Older, SecondPlace, read_moments
from rtvis.runtime.run_end import RunEnd
from rtvis.runtime.stream_rival import StreamRival
from rtvis.runtime.turn import Turn
from rtvis.session import View
from rtvis.sources.again import FoundFrames

_HELD_S: Final = 0.05
"""How often it is looked whether the user has left the last picture."""


class Replay:
    """Goes through a journal. Owned by the engine thread once the run has begun."""

    def __init__(
        self,
        path: Path,
        *,
        find: Callable[[FramePlace, Side], Frame | None],
        resume: Callable[[tuple[float, float]], None],
        begin: View = View(),  # noqa: B008 - frozen
        rival: "ReplayedRival | None" = None,
    ) -> None:
        """Read the whole journal once, so that a damaged one is refused before anything starts.

        Args:
            path: Of the journal.
            find: The frame at a place of the stream or the files; None where it was not kept.
            resume: Makes the compositor draw the grid in a range once.
            begin: What the journal's first line differs from.
            rival: The second of two inputs.

        Raises:
            ConfigError: The journal is damaged.
        """
        self.num_frames = sum(1 for _ in read_moments(path))
        """Of the film."""
        self._moments = read_moments(path, begin)
        self._find = find
        self._resume = resume
        self._rival = rival
        self.num_missing = 0
        """Pictures with a frame that was not kept; the frame before it stood for it."""
        self._shown = Moment()
        self._revision = 0

    def step(self, turn: Turn) -> bool:
        """Let the turn compose the next frame of the film; False after the last.

        Raises:
            SourceError: A frame cannot be found again.
        """
        moment = next(self._moments, None)
        if moment is None:
            return False
        if moment is self._shown:
            return True
        before, self._shown = self._shown, moment
        self._revision += 1
        if moment.resume.colour_range is not None:
            self._resume(moment.resume.colour_range)
        is_whole = True
        if moment.second is not None and self._rival is not None:
            is_whole = self._rival.show(moment.second)
        place, side = moment.frame, moment.view.side
        if place is None or side != before.view.side:  # not yet anything, or of another source
            turn.leave_source()
        if moment.older is not None:
            is_whole = self._compute(moment.older, side, turn) and is_whole
        frame = self._find(place, side) if place is not None else None
        if not is_whole or (place is not None and frame is None):
            self.num_missing += 1
        turn.show(frame, moment.view, self._revision, stale_s=moment.stale_s)
        return True

    def _compute(self, older: Older, side: Side, turn: Turn) -> bool:
        """Compute what stays to be seen, unless that is there; False if its frame was not kept."""
        computed, place = turn.computing.computed, older.frame
        if computed is not None and computed.selection == older.selection:
            frame = computed.frame
            if (frame.seq, frame.stands_in) == (place.seq, bool(place.stand_in)):
                return True
        found = self._find(place, side)
        if found is not None:
            turn.compute(found, older.selection, self._revision)
        return found is not None


class ReplayTurns:
    """The turns of a run that is replayed: the journal decides what is shown, the user can only
    leave. Owned by the engine thread."""

    def __init__(
        self,
        replay: Replay,
        *,
        turn: Turn,
        delivery: Delivery,
        run_end: RunEnd,
        num_frames: int | None,
    ) -> None:
        """Replay into `delivery`.

        Args:
            replay: Not begun yet.
            turn: Computes and draws one picture.
            delivery: Takes finished pictures.
            run_end: Told when the film is over, unless a user looks at its last picture.
            num_frames: End after so many frames.
        """
        self._replay = replay
        self._turn = turn
        self._delivery = delivery
        self._run_end = run_end
        self._num_frames = num_frames
        self._is_over = False
        self.num_done = 0
        """Frames of the film that were shown again."""

    def one_turn(self) -> None:
        """Show the next frame of the film; after the last one that stays."""
        if self._is_over:
            self._run_end.wait(_HELD_S)
            return
        goes_on = self._replay.step(self._turn)
        if goes_on:
            self._delivery.give(self._turn.composed)
            self.num_done += 1
        enough = self._num_frames is not None and self.num_done >= self._num_frames
        self._is_over = enough or not goes_on
        if self._is_over and (enough or not self._delivery.has_window):
            self._run_end.because("frames" if enough else "ended")


class ReplayedRival(StreamRival):
    """The second of two inputs, as it was recorded."""

    def __init__(self, found: FoundFrames) -> None:
        """Compare with frames that `found` finds; closed with this."""
        super().__init__(found)
        self._found = found
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """What it was when the frame was shown."""
        return self._trouble

    def show(self, second: SecondPlace) -> bool:
        """Show this next; False where its frame was not kept.

        Raises:
            SourceError: It cannot be found again.
        """
        self._trouble = second.trouble
        frame = self._found.find(second.frame, "only")
        if frame is not None and frame is not self._frame:
            self._waiting = frame
        return frame is not None

"""A recorded run once more: each frame with what was chosen for it, as fast as it can be had."""

from collections.abc import Callable
from pathlib import Path

from rtvis.data import Frame, FramePlace, Side
from rtvis.runtime.compare import StreamRival
from rtvis.runtime.journal import Moment, SecondPlace, read_moments
from rtvis.runtime.turn import Turn
from rtvis.sources.again import FoundFrames


class Replay:
    """Goes through a journal. Owned by the engine thread once the run has begun."""

    def __init__(
        self,
        path: Path,
        *,
        find: Callable[[FramePlace, Side], Frame | None],
        resume: Callable[[tuple[float, float]], None],
        rival: "ReplayedRival | None" = None,
    ) -> None:
        """Read the whole journal once, so that a damaged one is refused before anything starts.

        Args:
            path: Of the journal.
            find: The frame at a place of the stream or the files; None where it was not kept.
            resume: Makes the compositor draw the grid in a range once.
            rival: The second of two inputs.

        Raises:
            ConfigError: The journal is damaged.
        """
        self.num_frames = sum(1 for _ in read_moments(path))
        """Of the film."""
        self._moments = read_moments(path)
        self._find = find
        self._resume = resume
        self._rival = rival
        self.num_missing = 0
        """Pictures with a frame that was not kept; the frame before it stood for it."""
        self._shown: Moment | None = None
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
        self._shown = moment
        self._revision += 1
        if moment.resume.colour_range is not None:
            self._resume(moment.resume.colour_range)
        is_whole = True
        if moment.second is not None and self._rival is not None:
            is_whole = self._rival.show(moment.second)
        place, side = moment.frame, moment.view.side
        if place is None:  # nothing yet, or not yet from another source
            turn.leave_source()
        frame = self._find(place, side) if place is not None else None
        if not is_whole or (place is not None and frame is None):
            self.num_missing += 1
        turn.show(frame, moment.view, self._revision, stale_s=moment.stale_s)
        return True


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

"""A recorded run once more: each frame with what was chosen for it, as fast as it can be had."""

from collections.abc import Callable
from pathlib import Path

from rtvis.data import Frame, FramePlace, Side
from rtvis.runtime.journal import Moment, read_moments
from rtvis.runtime.turn import Turn


class Replay:
    """Goes through a journal. Owned by the engine thread once the run has begun."""

    def __init__(
        self,
        path: Path,
        *,
        find: Callable[[FramePlace, Side], Frame],
        resume: Callable[[tuple[float, float]], None],
    ) -> None:
        """Read the whole journal once, so that a damaged one is refused before anything starts.

        Args:
            path: Of the journal.
            find: The frame at a place of the stream or the files.
            resume: Makes the compositor draw the grid in a range once.

        Raises:
            ConfigError: The journal is damaged.
        """
        self.num_frames = sum(1 for _ in read_moments(path))
        """Of the film."""
        self._moments = read_moments(path)
        self._find = find
        self._resume = resume
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
        place, side = moment.frame, moment.view.side
        if place is None:  # nothing yet, or not yet from another source
            turn.leave_source()
        frame = self._find(place, side) if place is not None else None
        turn.show(frame, moment.view, self._revision)
        return True

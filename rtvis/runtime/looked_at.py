"""Which frame is looked at: the source's newest, one that is held, or one that stands in."""

import time
from collections.abc import Callable

from rtvis.data import Frame
from rtvis.runtime.jobs import Traffic
from rtvis.slot import LatestSlot
from rtvis.sources.base import Source
from rtvis.timing import StageClock


class LookedAt:
    """Takes frames, and counts those that nobody took. Owned by the engine thread.

    Args:
        source: Puts frames into `frames`.
        frames: From where they are taken.
        now_ns: The clock of captures.
    """

    def __init__(
        self, source: Source, frames: LatestSlot[Frame], *, now_ns: Callable[[], int]
    ) -> None:
        self._source = source
        self._frames = frames
        self._now_ns = now_ns
        self.frame: Frame | None = None
        """What is looked at."""
        self.stand_in: Frame | None = None
        """In the place of the source's frames; None while these are looked at."""
        self._before: Frame | None = None
        """What was looked at when the stand-in came."""
        self.wants_frame = False
        """The next frame is taken even while paused."""
        self._dropped_while_paused = 0
        self._dropped_at_pause: int | None = None

    @property
    def age_s(self) -> float:
        """Since the frame was captured."""
        return (self._now_ns() - self.frame.captured_ns) / 1e9 if self.frame is not None else 0.0

    @property
    def num_dropped(self) -> int:
        """Frames that nobody took. One that comes while the user holds the picture is none."""
        return self._frames.num_dropped - self._dropped_in_pauses()

    def show_instead(self, frame: Frame | None) -> None:
        """Look at this picture until None is given."""
        if frame is not None and self.stand_in is None:
            self._before = self.frame
        self.stand_in = frame

    def leave(self) -> None:
        """Forget the frame: another source is looked at now."""
        self.frame = self.stand_in = self._before = None

    def take(self, *, paused: bool, wait_s: float, clock: StageClock) -> bool:
        """Look at the next frame if there is one; whether there was.

        Args:
            paused: The user holds the picture.
            wait_s: How long to wait for one.
            clock: Measures the wait.
        """
        if self.stand_in is not None or self._before is not None:
            return self._take_stand_in(wait_s)
        if paused and self.frame is not None and not self.wants_frame:
            if self._dropped_at_pause is None:
                self._dropped_at_pause = self._frames.num_dropped
            time.sleep(wait_s)
            return False
        if self._dropped_at_pause is not None and not paused:
            self._dropped_while_paused = self._dropped_in_pauses()
            self._dropped_at_pause = None
        with clock.stage("wait"):
            frame = self._frames.take(timeout_s=wait_s)
        if frame is None:
            return False
        self.wants_frame = False
        self.frame = frame
        return True

    def traffic(self, *, paused: bool, choice_waits: bool) -> Traffic:
        """What waits to be done.

        Args:
            paused: The user holds the picture.
            choice_waits: The user has chosen something that is not drawn yet.
        """
        if self.stand_in is not None or self._before is not None:
            return Traffic(choice_waits=choice_waits or self.frame is not self.stand_in)
        if paused and self.frame is not None:
            return Traffic(
                choice_waits=choice_waits,
                frame_waits=self.wants_frame and self._frames.is_full,
            )
        fps, frame = self._source.status().captured_fps, self.frame
        if frame is None or not fps:
            return Traffic(choice_waits=choice_waits, frame_waits=self._frames.is_full)
        next_frame_s = 1 / fps - (self._now_ns() - frame.captured_ns) / 1e9
        return Traffic(
            choice_waits=choice_waits,
            frame_waits=self._frames.is_full,
            # One that does not come is not waited for.
            next_frame_s=next_frame_s if next_frame_s > -2 / fps else None,
            period_s=1 / fps,
        )

    def _take_stand_in(self, wait_s: float) -> bool:
        """The frame that stands in, or after it the one that was there before: a still picture is
        given only once."""
        frame = self.stand_in
        if frame is None:
            frame, self._before = self._before, None
        if self.frame is frame:
            time.sleep(wait_s)
            return False
        self.frame = frame
        return True

    def _dropped_in_pauses(self) -> int:
        if self._dropped_at_pause is None:
            return self._dropped_while_paused
        return self._dropped_while_paused + self._frames.num_dropped - self._dropped_at_pause

"""One axis of times for all films, cameras and pictures that moments lie in.

Time is the film's own, or a camera's clock; pictures in files have none, and each of them is a
moment of its own. Frames of different clips are never one event.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from rtvis.data import Frame
from rtvis.render.scene import Clip
from rtvis.units.moments import Ranks

MAX_CLIPS: Final = 2**16
"""Films, cameras and pictures whose frames are counted; frames of more are not."""

SPAN: Final = 2**44
"""Microseconds (200 days) between the beginnings of two clips on the axis of times."""


class Clips:
    """Knows what was seen, and puts frames on the axis.

    Args:
        wall_s: The clock on the wall.
        now_ns: That of captures.
    """

    def __init__(self, *, wall_s: Callable[[], float], now_ns: Callable[[], int]) -> None:
        self._wall_s = wall_s
        self._now_ns = now_ns
        self.seen: list[Clip] = []
        """In the order in which they were first seen."""
        self._index_of: dict[str, int] = {}

    def when(self, frame: Frame, source: str) -> int | None:
        """A frame's place on the axis, in microseconds; None where it cannot be counted.

        Args:
            frame: What the source gave.
            source: The source's name.
        """
        name = str(frame.path.absolute()) if frame.path is not None else source
        index = self._index_of.get(name)
        if index is None:
            if len(self.seen) >= MAX_CLIPS:
                return None
            index = self._index_of[name] = len(self.seen)
            self.seen.append(self._new(frame, source))
        clip = self.seen[index]
        if frame.wall_s is not None:  # it is shown again
            at = max(round((frame.wall_s - clip.begun_wall_s) * 1e6), 0)
        elif frame.path is None:
            at = max(frame.captured_ns - clip.begun_ns, 0) // 1000
        else:
            at = round((frame.pts_seconds or 0.0) * 1e6)
        return index * SPAN + min(at, SPAN - 1)

    def at(self, when: int) -> tuple[Clip, float]:
        """The clip at a place of the axis, and the seconds in it."""
        index, at = divmod(when, SPAN)
        return self.seen[index], at / 1e6

    def put_back(self, clips: Sequence[Clip]) -> None:
        """Go on with clips of an earlier session, before the first frame."""
        assert not self.seen, "before the first frame"
        self.seen += clips
        # A camera is opened anew: its time begins once more.
        named = {str(clip.path): index for index, clip in enumerate(clips) if clip.path is not None}
        self._index_of |= named

    def _new(self, frame: Frame, source: str) -> Clip:
        if frame.path is not None:
            return Clip(
                kind="picture" if frame.pts_seconds is None else "film",
                name=frame.name or frame.path.name,
                path=frame.path.absolute(),
            )
        wall_s = frame.wall_s
        if wall_s is None:
            wall_s = self._wall_s() - (self._now_ns() - frame.captured_ns) / 1e9
        return Clip(kind="camera", name=source, begun_ns=frame.captured_ns, begun_wall_s=wall_s)


def clip_and_seconds(ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Int64 and float64 [N, U]: the clip, -1 where there is no moment, and the time in it."""
    clip_NU = torch.where(ranks.frame_NU >= 0, ranks.when_NU // SPAN, -1)
    return clip_NU, (ranks.when_NU % SPAN).double() / 1e6  # a plain quotient would be float32

"""The numbers of moments as the page of moments packs them, and their times in words."""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from rtvis.render.readout import Readout
from rtvis.render.scene import Clip

NUM_OF_POOL: Final = 2
"""Numbers that come first: pictures that are kept, and those that were given up."""

_FIELDS: Final = 7
"""Of a moment; see `MomentsShown.moments_NF`."""


class Moment(NamedTuple):
    """One of the numbers' rows on the host."""

    value: float
    clip: int
    seconds: float
    row: int
    column: int
    frame: int
    """-1 where there is none yet."""
    has_picture: bool


def moments_of(readout: Readout) -> tuple[Moment, ...]:
    """Those in the text, best first; empty places are left out."""
    numbers = readout.page_numbers[NUM_OF_POOL:]
    if readout.page != "moments":
        return ()
    rows = [numbers[i : i + _FIELDS] for i in range(0, len(numbers), _FIELDS)]
    return tuple(
        Moment(v, int(clip), s, int(row), int(column), int(frame), bool(has))
        for v, clip, s, row, column, frame, has in rows
        if frame >= 0
    )


def when(clips: Sequence[Clip], moment: Moment) -> str:
    """A moment's time, or its picture's name."""
    if moment.clip >= len(clips):
        return ""
    clip = clips[moment.clip]
    return time_in(clip, moment.seconds) or clip.name


def time_in(clip: Clip, seconds: float) -> str:
    """Of a film as 1:02.5, of a camera as 14:03:07; empty for a picture in a file."""
    if clip.kind == "picture":
        return ""
    if clip.kind == "camera":
        return time.strftime("%H:%M:%S", time.localtime(clip.begun_wall_s + seconds))
    tenths = int(seconds * 10 + 1e-6)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{tenths // 10:02}"
    return f"{minutes}:{tenths // 10:02}.{tenths % 10}"

"""What sources give: frames, where they are found again, and how the source is doing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

ImageU8: TypeAlias = npt.NDArray[np.uint8]
"""A picture in host memory, uint8, 0..255."""

ImageF32: TypeAlias = npt.NDArray[np.float32]
"""A picture in host memory, float32, 0..1."""

Side: TypeAlias = Literal["only", "stream", "files"]
"""Which of two sources is shown, the stream or the files beside it; "only" where there is one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """One picture from a source, uncropped."""

    image_HW3: ImageU8
    """uint8 RGB, 0..255, C-contiguous, in host memory: the engine makes the one upload."""
    precise_HW3: ImageF32 | None = None
    """The same picture as float32 RGB, 0..1, where the source has more than eight bits: it is what
    the network sees, while the screen has eight."""
    seq: int
    """Counts captures from 0; a gap means dropped frames, not an error."""
    captured_ns: int
    """time.monotonic_ns() at capture: the origin of every latency figure."""
    pts_seconds: float | None = None
    """Position in the film, where the source has one."""
    name: str = ""
    """What to call this picture on screen: a file's name; empty for cameras and streams."""
    path: Path | None = None
    """The file that it comes from; None for cameras and streams, which cannot be asked again."""
    stands_in: bool = False
    """Looked at in the place of the source: what a unit has learned, or a moment."""
    wall_s: float | None = None
    """Seconds since 1970 at capture, of a camera's frame that is shown again; `captured_ns` then
    tells nothing."""

    @property
    def is_still(self) -> bool:
        """A picture by itself, from a file or in the place of the source's frames."""
        return self.stands_in or (self.path is not None and self.pts_seconds is None)


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePlace:
    """Where a frame is found again."""

    seq: int
    """As in the Frame."""
    path: str | None = None
    """Its file; None for cameras and streams."""
    pts_seconds: float | None = None
    """Position in the film; None for pictures."""
    kept: int | None = None
    """Its number among the frames that were kept beside the film; None where it was not."""
    stand_in: str = ""
    """What it was called, where it stood in the place of the source."""
    wall_s: float | None = None
    """Of a camera: seconds since 1970 at capture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceStatus:
    """What a source is doing, in words fit for the screen. Holds no credentials."""

    state: Literal["opening", "live", "ended", "reconnecting", "failed"]
    message: str = ""
    """Why, and what happens next; empty while live."""
    since_ns: int = 0
    """time.monotonic_ns() at which this state began."""
    num_captured: int = 0
    """Frames that the source has delivered since it was opened."""
    captured_fps: float = 0.0
    """Running mean of the rate of capture, frames per second."""

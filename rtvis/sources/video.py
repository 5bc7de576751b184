"""A film in a file."""

import time
from pathlib import Path
from typing import Any

import cv2

from rtvis.data import ImageU8
from rtvis.errors import SourceError
from rtvis.sources.base import Pace, ThreadSource
from rtvis.sources.pixels import rgb_from_bgr
from rtvis.sources.retouch import Retouch

LATE_LIMIT_S = 1.0
"""A film later than this behind its clock (the program was stopped) sets the clock anew."""

_RUN_UP_S = 1.0
"""A jump aims so long before the wanted frame, and grabs the frames between."""
_SAME_S = 1e-6


class VideoSource(ThreadSource):
    """The frames of a film, turned as its metadata says.

    In pace "live" each comes at the time that the film gives it; frames already late are decoded
    and passed over, which a gap in `seq` shows. In pace "fast" all are given, each once.
    """

    def __init__(
        self,
        path: Path,
        *,
        loop: bool = False,
        pace: Pace = "live",
        name: str | None = None,
        start_seconds: float = 0.0,
        retouch: Retouch | None = None,
    ) -> None:
        """Open the film and decode its first frame.

        Args:
            path: A file that FFmpeg can read.
            loop: Begin again after the end, then from the film's own beginning.
            pace: See `rtvis.sources.base`.
            name: What to call it on screen; default: the file's name.
            start_seconds: Begin with the first frame at this time of the film or after it.
            retouch: Done to each frame.

        Raises:
            SourceError: It cannot be opened, its first frame cannot be decoded, or it ends before
                `start_seconds`.
        """
        self._path = path
        self._loop = loop
        self._capture = _open(path)
        if not self._capture.grab():
            self._capture.release()
            raise SourceError(
                f"{path}: no frame can be decoded, the file is damaged or incomplete; "
                "copy it again or convert it"
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._period_s = 1.0 / fps if 0.1 < fps < 1000.0 else 1.0 / 25.0
        self._start_s = self._go_to(start_seconds) if start_seconds > 0 else 0.0
        first = self._retrieve()
        if first is None:
            self._capture.release()
            raise SourceError(f"{path}: its first frame cannot be decoded; convert the film")
        self._first: ImageU8 | None = first
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        super().__init__(
            name or path.name,
            pace=pace,
            size=(first.shape[0], first.shape[1]),
            num_frames=max(count - self._before_start(), 1) if count > 0 else None,
            retouch=retouch,
        )

    def _run(self) -> None:
        image, self._first = self._first, None
        start_s = self._start_s
        while True:
            num_read = self._play(image, start_s)
            if self._stop.is_set():
                return
            if not self._loop or num_read == 0:
                break
            self._capture.release()
            try:
                self._capture = _open(self._path)
            except SourceError as error:
                self._set_state("failed", str(error))
                return
            image, start_s = None, 0.0
        expected = self._num_frames or 0
        if self._loop:
            expected += self._before_start()
        # Containers that hold no count give an estimate: a few frames short is no damage.
        is_short = num_read < 0.9 * expected - 2
        self._set_state(
            "ended",
            f"the file is damaged or incomplete: {num_read} of {expected} frames could be read"
            if is_short
            else "",
        )

    def _before_start(self) -> int:
        """Frames of the film before the one that it begins with."""
        return round(self._start_s / self._period_s)

    def _go_to(self, start_s: float) -> float:
        """Stand on the first frame at a time or after it, from the first frame; returns its time.

        Raises:
            SourceError: The film ends before.
        """
        pts_s = self._jump(start_s)
        if pts_s is None:  # no index, or no times to tell where it went: frame by frame
            self._capture.release()
            self._capture = _open(self._path)
            self._capture.grab()
            pts_s = self._position(-self._period_s)
        while pts_s < start_s - _SAME_S:
            if not self._capture.grab():
                self._capture.release()
                raise SourceError(
                    f"{self._path}: ends at {pts_s + self._period_s:.2f} s, before the start at "
                    f"{start_s:g} s; give an earlier one"
                )
            pts_s = self._position(pts_s)
        return pts_s

    def _jump(self, start_s: float) -> float | None:
        """Go to a little before a time; the time of the frame there, None if that failed."""
        if start_s < 2 * _RUN_UP_S:
            return None
        # Decoders land on a key frame, or a frame or two beside what they were asked for.
        if not self._capture.set(cv2.CAP_PROP_POS_MSEC, 1e3 * (start_s - _RUN_UP_S)):
            return None
        if not self._capture.grab():
            return None
        pts_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
        return pts_s if start_s - 10 * _RUN_UP_S < pts_s <= start_s else None

    def _play(self, image: ImageU8 | None, start_s: float) -> int:
        """Play to the end, from `image` if the capture stands on it. Returns frames read."""
        num_read = 0
        pts_s = start_s - self._period_s
        clock_s: float | None = None
        while not self._stop.is_set():
            if image is None and not self._capture.grab():
                break
            num_read += 1
            pts_s = self._position(pts_s)
            if self._pace == "live":
                now_s = time.monotonic()
                if clock_s is None or now_s - (clock_s + pts_s) > LATE_LIMIT_S:
                    clock_s = now_s - pts_s
                wait_s = clock_s + pts_s - now_s
                if wait_s < -self._period_s:
                    self._skip()
                    image = None
                    continue
                if wait_s > 0 and self._stop.wait(wait_s):
                    break
            image = self._retrieve() if image is None else image
            if image is None:
                self._skip()
            elif not self._deliver(image, pts_seconds=max(pts_s, 0.0), path=self._path):
                break
            image = None
        return num_read

    def _position(self, before_s: float) -> float:
        """The time in the film of the frame just grabbed; one period on where it has none."""
        pts_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
        # NaN fails the comparison too. A jump of over 10 s is a fault of the file.
        if before_s < pts_s < before_s + 10.0:
            return pts_s
        return before_s + self._period_s

    def _retrieve(self) -> ImageU8 | None:
        try:
            is_there, image = self._capture.retrieve()
        except cv2.error:
            return None
        return rgb_from_bgr(image) if is_there and image is not None else None

    def _release(self) -> None:
        self._capture.release()


def _open(path: Path) -> Any:  # cv2 has no types that mypy can follow here
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    except cv2.error:
        capture = None
    if capture is None or not capture.isOpened():
        raise SourceError(
            f"{path}: is neither a picture nor a film that can be read, or it is damaged; "
            "name a PNG, JPEG, MP4 or the like"
        )
    return capture

"""Films of the canvas, encoded on a thread of their own."""

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rtvis.closing import Closing
from rtvis.data import ClosedEvent, Event, ImageU8, Picture
from rtvis.errors import SinkError
from rtvis.sinks.disk import RESERVE_BYTES, free_bytes, try_to_write
from rtvis.sinks.writer_thread import PATIENCE_S, Pace, WriterThread, stuck

_LOG = logging.getLogger(__name__)

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Suffix -> codec; these encoders are part of every OpenCV wheel."""

_CHECK_EVERY = 25

_MOST_BEHIND_S = 1.0
"""A busy machine encodes fewer frames than the film wants, and what is missing adds up: a film of
ten minutes took a minute and a half to end."""


class Recorder(Closing):
    """Writes pictures to a film, beside its target first and under its name when it is whole.

    With pace "live" the film runs in real time: between two pictures the last one is repeated, and
    of two pictures within one frame time the later one wins; when the encoder falls behind pictures
    are dropped and counted. With pace "fast" each picture becomes one frame, and `show` waits for
    the encoder instead of dropping. The size is that of the first picture; others are scaled into
    it. Odd sizes gain a line of background, as encoders want even ones.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = 25.0,
        pace: Pace = "live",
        now_ns: Callable[[], int] = time.monotonic_ns,
        on_frame: Callable[[object], None] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Open a film; nothing is at `path` before it is finished.

        Args:
            path: Its suffix chooses the codec; an older file there is replaced at the end.
            fps: Frames per second, constant.
            pace: Real time, or picture by picture.
            now_ns: The clock of pace "live".
            on_frame: Called on the encoder's thread after each frame of the film, with what came
                to `show` beside its picture; must not raise.
            patience_s: How long `close` waits for the disk to take the next frame.

        Raises:
            SinkError: The suffix is unknown, or the folder cannot be written to.
        """
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in CODECS:
            how = f"as '{suffix}'" if suffix else "to a name without an ending"
            raise SinkError(
                f"{self.path}: films cannot be written {how}; "
                f"name it with one of {', '.join(CODECS)}"
            )
        if self.path.is_dir():
            raise SinkError(f"{self.path}: is a folder; name a film file")
        self._part = self.path.with_name(f".{self.path.stem}.part-{os.getpid()}{suffix}")
        try_to_write(self._part)
        if free_bytes(self.path.parent) < RESERVE_BYTES:
            raise SinkError(f"{self.path}: the disk is full; free some space or name another disk")
        self._codec = CODECS[suffix]
        self._fps = fps
        self._pace = pace
        self._now_ns = now_ns
        self._on_frame = on_frame
        self._patience_s = patience_s
        self._writer: WriterThread[tuple[Picture, int, float, object]] = WriterThread(
            self._encode, name="rtvis-recorder", pace=pace
        )
        self._woken = threading.Event()
        self._closed = False
        self._ended_at = 0, 0.0
        self._told = False
        self._is_whole = False
        self.fault = ""
        """Why the film ended early or does not exist; empty while all is well."""
        self.num_written = 0
        """Frames in the film so far."""
        self.omitted_s = 0.0
        """What the film lacks of real time, because the encoder was behind."""
        self._writer.start()

    @property
    def num_dropped(self) -> int:
        """Pictures that never got into the film because the encoder was behind."""
        return self._writer.num_dropped

    @property
    def duration_s(self) -> float:
        """Of the film so far."""
        return self.num_written / self._fps

    @property
    def exists(self) -> bool:
        """True once a finished film lies at `path`."""
        return self._closed and self._is_whole and self.path.exists()

    def note(self) -> str:
        """One short line for the screen: file, length, what was dropped."""
        dropped = f", {self.num_dropped} dropped" if self.num_dropped else ""
        omitted = f", {self.omitted_s:.0f} s left out" if self.omitted_s >= 1 else ""
        return f"{self.path.name} {self.duration_s:.0f} s{dropped}{omitted}"

    def show(self, picture: Picture, moment: object = None) -> None:
        """Hand the picture to the encoder, and what `on_frame` shall be told of it."""
        if not self._closed:
            self._writer.put((picture, self._now_ns(), time.monotonic(), moment))

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """One ClosedEvent if the film had to end early; see `Sink.poll`."""
        if timeout_s > 0 and not (self._writer.is_stopped or self._closed):
            self._woken.wait(timeout_s)
        self._woken.clear()
        if self.fault and not self._told:
            self._told = True
            return [ClosedEvent(reason=self.fault)]
        return []

    def wake(self) -> None:
        """Make a waiting `poll` return."""
        self._woken.set()

    def close(self) -> None:
        """Finish the film and give it its name.

        Waits for as long as the encoder goes on. Whatever went wrong is in `fault`; then either
        the film up to there lies at `path`, or nothing new does.
        """
        if self._closed:
            return
        self._ended_at = self._now_ns(), time.monotonic()
        self._closed = True
        if not self._writer.finish(lambda: self.num_written, patience_s=self._patience_s):
            self._fail(stuck(self._part))

    def _encode(self) -> None:
        film: _Film | None = None
        try:
            film = self._fill()
        except (cv2.error, OSError, _FilmError) as error:
            self._fail(str(error))
        finally:
            self._writer.stop_taking()
            try:
                if film is not None:
                    film.writer.release()
                    self._finish()
            except OSError as error:
                self._fail(error.strerror or str(error))
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
            self._woken.set()

    def _fill(self) -> "_Film | None":
        """Write frames until told to stop; returns the film, or None if no picture came."""
        film: _Film | None = None
        frame_s = 1 / self._fps
        while True:
            try:
                item = self._writer.get(frame_s if film is not None else None)
            except queue.Empty:
                assert film is not None
                if self._pace == "live":
                    self._repeat_until(film, self._now_ns())
                continue
            if item is None:
                if film is not None and self._pace == "live":
                    self._keep_time(film, *self._ended_at)
                if film is not None and self.num_written == 0:
                    self._write(film)
                return film
            picture, at_ns, put_s, moment = item
            if film is None:
                film = _Film(self._part, self._codec, self._fps, picture.canvas_HW3, at_ns)
                film.moment = moment
            if self._pace == "live":
                self._keep_time(film, at_ns, put_s)
            film.take(picture.canvas_HW3)
            film.moment = moment
            if self._pace == "fast":
                self._write(film)
            if self.fault:
                return film

    def _repeat_until(self, film: "_Film", at_ns: int) -> None:
        """Write the last picture for each frame time that ended before `at_ns`."""
        num_due = int((at_ns - film.started_ns) * self._fps / 1e9)
        while self.num_written < num_due and not self.fault:
            self._write(film)

    def _keep_time(self, film: "_Film", at_ns: int, put_s: float) -> None:
        """Repeat the last picture until `at_ns`, unless that was too long ago by now."""
        if time.monotonic() - put_s > _MOST_BEHIND_S:
            self._leave_out(film, at_ns)
        self._repeat_until(film, at_ns)

    def _leave_out(self, film: "_Film", at_ns: int) -> None:
        """Have no more than one frame due at `at_ns`."""
        missing_s = (at_ns - film.started_ns) / 1e9 - (self.num_written + 1) / self._fps
        if missing_s > 0:
            film.started_ns += round(missing_s * 1e9)
            self.omitted_s += missing_s

    def _write(self, film: "_Film") -> None:
        film.writer.write(film.image_HW3)
        self.num_written += 1
        if self._on_frame is not None:
            self._on_frame(film.moment)
        if (
            self.num_written % _CHECK_EVERY == 0
            and free_bytes(self.path.parent) < RESERVE_BYTES / 2
        ):
            self._fail("the disk is full: the film ends here")

    def _finish(self) -> None:
        num_readable = _count_frames(self._part)
        if num_readable < self.num_written:
            self._fail(
                f"only {num_readable} of {self.num_written} frames could be written "
                "(disk or quota full?); the film was removed"
            )
            self.num_written = 0
            return
        self._part.replace(self.path)
        self._is_whole = True

    def _fail(self, why: str) -> None:
        self.fault = f"{self.path}: {why}"
        _LOG.debug("recording failed: %s", self.fault)


class _FilmError(Exception):
    """OpenCV refuses to encode."""


class _Film:
    """An open encoder, and the picture that it would write next."""

    def __init__(
        self, path: Path, codec: str, fps: float, first_HW3: ImageU8, started_ns: int
    ) -> None:
        height, width = first_HW3.shape[:2]
        self._size = (height + height % 2, width + width % 2)
        self.started_ns = started_ns
        fourcc = cv2.VideoWriter.fourcc(*codec)
        self.writer: Any = cv2.VideoWriter(str(path), fourcc, fps, self._size[::-1])
        if not self.writer.isOpened():
            raise _FilmError(f"this OpenCV has no encoder for {codec}")
        self.image_HW3 = first_HW3
        self.moment: object = None
        """Of the picture in `image_HW3`."""
        self.take(first_HW3)

    def take(self, canvas_HW3: ImageU8) -> None:
        """Make this the picture to write, fitted to the size of the film."""
        height, width = canvas_HW3.shape[:2]
        full_height, full_width = self._size
        if height not in {full_height, full_height - 1} or width not in {
            full_width,
            full_width - 1,
        }:
            scale = min(full_height / height, full_width / width)
            height = max(1, min(full_height, round(height * scale)))
            width = max(1, min(full_width, round(width * scale)))
            canvas_HW3 = cv2.resize(canvas_HW3, (width, height), interpolation=cv2.INTER_AREA)
        if (height, width) != self._size:
            top, left = (full_height - height) // 2, (full_width - width) // 2
            full_HW3 = np.zeros((full_height, full_width, 3), np.uint8)
            full_HW3[top : top + height, left : left + width] = canvas_HW3
            canvas_HW3 = full_HW3
        self.image_HW3 = canvas_HW3


def _count_frames(path: Path) -> int:
    """Frames that a reader finds, without decoding them all."""
    film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not film.isOpened():
            return 0
        count = round(film.get(cv2.CAP_PROP_FRAME_COUNT))
        if count <= 0:  # Matroska without cues: grab is cheap, it does not convert
            count = 0
            while film.grab():
                count += 1
        return count
    finally:
        film.release()

"""Frames of a camera or stream, kept beside a film so that it can be computed again.

A zip of one picture a frame, named by its number: any program opens it, `rtvis.sources.kept` reads
it. PNG keeps every bit; JPEG is six times smaller and keeps what the eye sees.
"""

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.sinks.disk import RESERVE_BYTES, free_bytes, try_to_write
from rtvis.sinks.writer_thread import Pace, WriterThread, stuck

Keeping: TypeAlias = Literal["png", "jpeg"]
"""Without any loss, or without a visible one."""

_FLAGS: Final[dict[Keeping, list[int]]] = {
    # 1280x720 of a film, one core: level 1 takes 12 ms, the default 3 takes 19 and saves 4 %.
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
}
_SUFFIX: Final[dict[Keeping, str]] = {"png": ".png", "jpeg": ".jpg"}


class FrameKeeper:
    """Writes frames on a thread of its own, and gives the file its name once it is whole.

    With pace "live" a frame for which there is no room is dropped and counted; with pace "fast"
    `keep` waits for room.
    """

    def __init__(self, path: Path, *, keeping: Keeping, limit_bytes: int, pace: Pace) -> None:
        """Open the file; nothing is at `path` before it is finished.

        Args:
            path: An older file there is replaced at the end.
            keeping: How much of a frame is kept.
            limit_bytes: Of the file; later frames are not kept.
            pace: Real time, or frame by frame.

        Raises:
            SinkError: It cannot be written.
        """
        self.path = path
        self._part = path.with_name(f".{path.name}.part-{os.getpid()}")
        try_to_write(self._part)
        self._keeping: Keeping = keeping
        self._limit_bytes = limit_bytes
        self._writer: WriterThread[tuple[int, ImageU8]] = WriterThread(
            self._write, name="rtvis-frames", pace=pace
        )
        self._num_asked = 0
        self._is_whole = False
        self.num_bytes = 0
        """Written so far."""
        self.num_kept = 0
        self.fault = ""
        """Why later frames are not kept; empty while all is well."""
        self._writer.start()

    @property
    def num_dropped(self) -> int:
        """Frames that came while the disk or the encoder was behind."""
        return self._writer.num_dropped

    def note(self) -> str:
        """One short line for the screen: how much, what was dropped."""
        dropped = f", {self.num_dropped} dropped" if self.num_dropped else ""
        full = ", full" if self.fault else ""
        return f"frames {self.num_bytes / 1e6:.0f} MB{dropped}{full}"

    def keep(self, image_HW3: ImageU8) -> int | None:
        """Take a frame, which nobody writes to any more.

        Returns:
            Its number, or None where there was no room for it.
        """
        if self.fault or not self._writer.put((self._num_asked, image_HW3)):
            return None
        self._num_asked += 1
        return self._num_asked - 1

    def finish(self, *, keep: bool) -> None:
        """Close the file and give it its name, or remove it. Safe to call twice.

        Waits for as long as it goes on; where it got stuck, `fault` says so.
        """
        if not self._writer.finish(lambda: self.num_kept):
            self.fault = f"{self.path}: {stuck(self._part)}"
            return
        try:
            if keep and self.num_kept and self._is_whole:
                self._part.replace(self.path)
        except OSError as error:
            self.fault = f"{self.path}: not written ({error.strerror})"
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _write(self) -> None:
        try:
            with zipfile.ZipFile(self._part, "w", zipfile.ZIP_STORED) as file:
                while not self.fault and (item := self._writer.get()) is not None:
                    self._add(file, *item)
        except OSError as error:
            self.fault = f"{self.path}: the frames could not be kept ({error.strerror})"
        else:
            self._is_whole = True

    def _add(self, file: zipfile.ZipFile, number: int, image_HW3: ImageU8) -> None:
        bgr_HW3 = np.ascontiguousarray(image_HW3[:, :, ::-1])
        suffix = _SUFFIX[self._keeping]
        done, encoded = cv2.imencode(suffix, bgr_HW3, _FLAGS[self._keeping])
        assert done, f"{suffix} refuses {image_HW3.shape}"
        free = free_bytes(self.path.parent)
        if self.num_bytes + encoded.size > self._limit_bytes:
            self.fault = (
                f"{self.path}: full at {self.num_bytes / 1e9:.3g} GB, later frames are not kept; "
                "--keep-gb takes more"
            )
        elif free < RESERVE_BYTES + encoded.size:
            self.fault = f"{self.path}: the disk is full: later frames are not kept"
        else:
            file.writestr(f"{number:08d}{suffix}", encoded.data)
            self.num_bytes += encoded.size
            self.num_kept += 1

"""Pictures and frames of a data set, decoded ahead by threads and given in their order."""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import torch
from torch import Tensor

from rtvis.engine.networks.pictures import as_picture
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import SourceError
from rtvis.sources.pixels import decode_picture, read_file, rgb_from_bgr
from rtvis.threads import cpu_threads
from rtvis.units.growth import checksum_of, checksum_of_file
from rtvis.units.items import Files

_NICENESS: Final = 10
"""Of decoding threads. Measured with EfficientNet-Lite0 and JPEG files on two cores: 0.84 of what
decoding and computing could do together without it, 0.88 with it; 19 is no better."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One picture or frame, or what is to be said of a file."""

    file: int
    """Its index."""
    image: Tensor | None
    """The network's input, float32 [1, C, H, W], on a CPU; for other devices the picture, uint8
    [H, W, C]. None where it cannot be read, and at the end of a film."""
    pts_seconds: float | None = None
    """Of a frame."""
    error: str | None = None
    checksum: int = 0
    is_last: bool = True
    """Whether nothing more comes of its file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """How files become samples."""

    files: Files
    preprocessing: Preprocessing
    device: torch.device
    num_workers: int
    every_s: float = 0.0
    """Of a film no frame nearer than this to the last one; 0: all."""

    def samples(self, start: int = 0, *, start_frame: int = 0) -> Iterator[Sample]:
        """All from file `start` on, of which, if it is a film, the first frames are left out.

        Closing the iterator stops the threads.
        """
        stop = threading.Event()
        # As many waiting as keep every worker busy while a batch is computed.
        ready: queue.Queue[Future[Sample] | None] = queue.Queue(maxsize=4 * self.num_workers + 64)
        pool = ThreadPoolExecutor(
            self.num_workers, thread_name_prefix="rtvis-decode", initializer=_step_back
        )
        producer = threading.Thread(
            target=self._produce,
            args=(start, start_frame, pool, ready, stop),
            name="rtvis-read",
            daemon=True,
        )
        producer.start()
        try:
            while (future := ready.get()) is not None:
                yield future.result()
        finally:
            stop.set()
            while producer.is_alive():  # it may wait for room
                with contextlib.suppress(queue.Empty):
                    ready.get_nowait()
                producer.join(timeout=0.01)
            pool.shutdown(cancel_futures=True)

    def _produce(
        self,
        start: int,
        start_frame: int,
        pool: ThreadPoolExecutor,
        ready: "queue.Queue[Future[Sample] | None]",
        stop: threading.Event,
    ) -> None:
        def put(call: Callable[..., Sample], *arguments: Any) -> bool:
            if stop.is_set():
                return False
            ready.put(pool.submit(call, *arguments))
            return True

        try:
            for index in range(start, len(self.files)):
                if self.files.is_film_F[index]:
                    going = self._film(index, start_frame if index == start else 0, put)
                else:
                    going = put(self._picture, index)
                if not going:
                    return
        except BaseException as fault:  # noqa: BLE001 - it is raised where the samples are read
            failed: Future[Sample] = Future()
            failed.set_exception(fault)
            ready.put(failed)
        finally:
            ready.put(None)

    def _film(self, index: int, skipped: int, put: Callable[..., bool]) -> bool:
        """False if nobody wants any more."""
        path, frame, error = self.files.path(index), -1, None
        try:
            for frame, (image, pts_s) in enumerate(film_frames(path, every_s=self.every_s)):
                if frame >= skipped and not put(self._frame, index, image, pts_s):
                    return False
        except SourceError as fault:
            error = str(fault)
        if frame < 0 and error is None:
            error = f"{path}: no frame can be decoded; copy the film again or convert it"
        return put(self._end, index, error)

    def _end(self, index: int, error: str | None) -> Sample:
        checksum = checksum_of_file(self.files.path(index), is_film=True)
        return Sample(file=index, image=None, error=error, checksum=checksum)

    def _picture(self, index: int) -> Sample:
        path, checksum = self.files.path(index), 0
        try:
            data = read_file(path)
            checksum = checksum_of(data, is_film=False)
            image = self._prepared(decode_picture(data, path).best)
        except SourceError as fault:
            return Sample(file=index, image=None, error=str(fault), checksum=checksum)
        return Sample(file=index, image=image, checksum=checksum)

    def _frame(self, index: int, image: Any, pts_s: float) -> Sample:
        return Sample(
            file=index, image=self._prepared(rgb_from_bgr(image)), pts_seconds=pts_s, is_last=False
        )

    def _prepared(self, image_HW3: Any) -> Tensor:
        prep = self.preprocessing
        with cpu_threads(1):
            picture = as_picture(image_HW3, prep, torch.device("cpu"), name="the network")
            return prep.apply(picture) if self.device.type == "cpu" else picture


def _step_back() -> None:
    """Let the network's threads go before this one where cores are short.

    They wait for each other after every layer: one that has lost its core holds up all of them.
    """
    if sys.platform == "linux":  # where a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def film_frames(path: Path, *, every_s: float = 0.0) -> Iterator[tuple[Any, float]]:
    """The frames of a film, BGR as OpenCV decodes them, each with its time in seconds.

    Raises:
        SourceError: It cannot be opened.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise SourceError(f"{path}: is no film that can be read; convert it to MP4")
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        period_s = 1.0 / fps if 0.1 < fps < 1000.0 else 1.0 / 25.0
        before_s, given_s = -period_s, -float("inf")
        while capture.grab():
            pts_s = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
            if not before_s < pts_s < before_s + 10.0:  # NaN, or a fault of the file
                pts_s = before_s + period_s
            before_s = pts_s
            if pts_s < given_s + every_s - 1e-6:
                continue
            is_there, image = capture.retrieve()
            if is_there and image is not None:
                given_s = pts_s
                yield image, max(pts_s, 0.0)
    finally:
        capture.release()

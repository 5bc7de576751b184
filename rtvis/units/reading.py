"""Pictures and frames of a data set, decoded ahead by threads and given in their order."""

import contextlib
import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import torch
from torch import Tensor

from rtvis.engine.pictures import as_picture
from rtvis.engine.preprocess import Preprocessing
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
    in_turns_of: int = 0
    """0: decoding goes on all the time. Else so many are decoded, then given while nothing is
    decoded, and so on: for whoever needs all cores in between."""

    def samples(self, start: int = 0, *, start_frame: int = 0) -> Iterator[Sample]:
        """All from file `start` on, of which, if it is a film, the first frames are left out.

        Closing the iterator stops the threads.
        """
        stop, turns = threading.Event(), _Turns(self.in_turns_of)
        # As many waiting as keep every worker busy while a batch is computed.
        ready: queue.Queue[Future[Sample] | None] = queue.Queue(maxsize=4 * self.num_workers + 64)
        pool = ThreadPoolExecutor(
            self.num_workers, thread_name_prefix="rtvis-decode", initializer=_step_back
        )
        producer = threading.Thread(
            target=self._produce,
            args=(start, start_frame, pool, ready, turns, stop),
            name="rtvis-read",
            daemon=True,
        )
        producer.start()
        try:
            for some in self._blocks(ready, turns):
                yield from (future.result() for future in some)
        finally:
            stop.set()
            turns.end()
            while producer.is_alive():  # it may wait for room
                with contextlib.suppress(queue.Empty):
                    ready.get_nowait()
                producer.join(timeout=0.01)
            pool.shutdown(cancel_futures=True)

    def _blocks(
        self, ready: "queue.Queue[Future[Sample] | None]", turns: "_Turns"
    ) -> Iterator[list[Future[Sample]]]:
        """Samples in order, those of a turn together, when all of them are decoded."""
        size = max(1, self.in_turns_of)
        while True:
            turns.begin()
            some = list(itertools.islice(iter(ready.get, None), size))
            wait(some)
            yield some
            if len(some) < size:
                return

    def _produce(
        self,
        start: int,
        start_frame: int,
        pool: ThreadPoolExecutor,
        ready: "queue.Queue[Future[Sample] | None]",
        turns: "_Turns",
        stop: threading.Event,
    ) -> None:
        numbers = itertools.count()

        def put(call: Callable[..., Sample], index: int, *arguments: Any) -> bool:
            number = next(numbers)
            if self.files.is_film_F[index]:  # not ahead: frames are large before they are prepared
                turns.wait(number)
            if stop.is_set():
                return False
            ready.put(pool.submit(turns.call, number, call, index, *arguments))
            return True

        try:
            for index in range(start, len(self.files)):
                if self.files.is_film_F[index]:
                    going = self._film(index, start_frame if index == start else 0, put)
                else:
                    if self.in_turns_of:
                        _ask_for(self.files.path(index))
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


class _Turns:
    """Who may be decoded: the first so many, so many more with each turn, or all of them.

    Args:
        size: Of a turn; 0: all.
    """

    def __init__(self, size: int) -> None:
        self._size, self._is_open = size, not size
        self._allowed = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        """Another turn."""
        with self._changed:
            self._allowed += self._size
            self._changed.notify_all()

    def end(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def wait(self, number: int) -> None:
        """Come back when it is the turn of this number."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_open or number < self._allowed)

    def call(self, number: int, call: Callable[..., Sample], *arguments: Any) -> Sample:
        """What the call gives, made when it is the turn of this number."""
        self.wait(number)
        return call(*arguments)


def _step_back() -> None:
    """Let the network's threads go before this one where cores are short.

    They wait for each other after every layer: one that has lost its core holds up all of them.
    """
    if sys.platform == "linux":  # where a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _ask_for(path: Path) -> None:
    """Let the system read a file while nothing is decoded."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # who decodes it tells of it
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)


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

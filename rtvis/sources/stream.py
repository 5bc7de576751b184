"""A network stream or a webcam: read in a process of its own, watched, and opened anew.

    opening -> live -> reconnecting -> live -> ...        "ended" only for a film on a server

A decoder can hang in a read that never returns, crash on garbage, or wait half a minute for a
server that was stopped. So it runs in a child process (`stream_child`); when no frame comes for
`stale_s`, the child is killed and the stream opened by another one.
"""

import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from rtvis.sources.base import ThreadSource
from rtvis.sources.retouch import Retouch
from rtvis.sources.stream_process import ProcessGoneError, StreamProcess
from rtvis.sources.uri import Secret

_FEW = 5
"""A connection that gave fewer frames than this may belong to a slow camera."""

_MANY = 25
"""After this many it is known how slow it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamLimits:
    """How long to wait for what."""

    start_s: float = 20.0
    """For the reader process, on a machine that is busy compiling."""
    open_s: float = 8.0
    """For an answer, and then for the first frame."""
    stale_s: float = 3.0
    """For the next frame. Doubled, up to `stale_max_s`, for a stream that proves to be slow."""
    stale_max_s: float = 60.0
    retry_s: float = 0.5
    """Before the first attempt to connect again."""
    retry_soon_s: float = 1.0
    """Longest wait between attempts while the outage is young: back within 2 s of the server."""
    young_s: float = 180.0
    retry_max_s: float = 8.0
    """Longest wait later on."""


class Backoff:
    """How long to wait before each attempt of one outage: doubling, with jitter, capped."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self.num_tries = 0
        self._base_s = limits.retry_s
        self._began_s: float | None = None

    def reset(self) -> None:
        """The outage is over."""
        self.num_tries = 0
        self._base_s = self._limits.retry_s
        self._began_s = None

    def next_s(self, *, now_s: float, jitter: float) -> float:
        """The wait before the next attempt, in seconds.

        Args:
            now_s: Of a monotonic clock.
            jitter: 0..1, drawn anew each time: many viewers must not come back in step.
        """
        self._began_s = now_s if self._began_s is None else self._began_s
        self.num_tries += 1
        is_young = now_s - self._began_s < self._limits.young_s
        cap_s = self._limits.retry_soon_s if is_young else self._limits.retry_max_s
        wait_s = min(self._base_s, cap_s)
        self._base_s = min(wait_s * 2, self._limits.retry_max_s)
        return wait_s * (1.0 - 0.25 * jitter)


class LostError(Exception):
    """The stream was lost; the text says why. `hangs`: the reader must be killed."""

    def __init__(self, reason: str, *, hangs: bool = False) -> None:
        super().__init__(reason)
        self.hangs = hangs


class StreamSource(ThreadSource):
    """Frames of a network stream or webcam, always live: the newest wins, seq tells the gaps."""

    def __init__(
        self,
        target: Secret | int,
        *,
        name: str,
        camera_size: tuple[int, int] | None = None,
        limits: StreamLimits | None = None,
        retouch: Retouch | None = None,
    ) -> None:
        """Touch nothing yet: connecting begins with `start`.

        Args:
            target: The URI, with its credentials, or the number of a camera.
            name: What may be shown of it.
            camera_size: (height, width) to ask of a camera.
            limits: How long to wait.
            retouch: Done to each frame.
        """
        super().__init__(name, pace="live", size=None, num_frames=None, retouch=retouch)
        self._target = target
        self._camera_size = camera_size
        self._limits = limits or StreamLimits()
        self._backoff = Backoff(self._limits)
        self._patience_s = self._limits.stale_s
        self._first_s = 0.0
        self._process: StreamProcess | None = None
        self._process_lock = threading.Lock()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    if self._follow(self._reader()):
                        self._set_state("ended", "the film on the server is over")
                        return
                except LostError as lost:
                    reason, hangs = str(lost), lost.hangs
                except ProcessGoneError as gone:
                    reason, hangs = str(gone), True
                except OSError as error:  # No processes, descriptors or memory left.
                    reason, hangs = f"its reader cannot be started: {error.strerror}", True
                if hangs:
                    self._end_reader()
                if self._stop.is_set():
                    return
                wait_s = self._backoff.next_s(now_s=time.monotonic(), jitter=random.random())  # noqa: S311
                self._set_state("reconnecting", self._explain(reason))
                self._stop.wait(wait_s)
        finally:
            self._end_reader()

    def _explain(self, reason: str) -> str:
        count = self._backoff.num_tries
        return f"{reason}; trying again" + (f" ({count} times so far)" if count > 1 else "")

    def _reader(self) -> StreamProcess:
        """The reader process, started if there is none."""
        with self._process_lock:
            if self._process is not None:
                return self._process
            if self._stop.is_set():
                raise LostError("closed")
            self._process = StreamProcess()
        message = self._process.next(timeout_s=self._limits.start_s)
        if message is None:
            raise LostError("its reader does not start", hangs=True)
        return self._process

    def _end_reader(self) -> None:
        with self._process_lock:
            if self._process is not None:
                self._process.close()
                self._process = None

    def _follow(self, reader: StreamProcess) -> bool:
        """Open the target and deliver its frames. Returns True at the end of a film.

        Raises:
            LostError: It cannot be opened, or no frame comes any more.
            ProcessGoneError: The reader ended.
        """
        limits = self._limits
        target = self._target.reveal() if isinstance(self._target, Secret) else self._target
        reader.open(target, open_s=limits.open_s, read_s=self._patience_s, size=self._camera_size)
        num_frames = 0
        next_seq = 0
        # The child's own limit is a little shorter: what it can tell is better than killing it.
        patience_s = limits.open_s + 1.0
        deadline = time.monotonic() + patience_s
        while True:
            message = reader.next(timeout_s=deadline - time.monotonic())
            if self._stop.is_set():
                raise LostError("closed")
            if message is None:
                self._be_more_patient(num_frames)
                what = "no frame" if num_frames else "no picture"
                raise LostError(f"{what} for {patience_s:.0f} s", hangs=True)
            kind = message["is"]
            if kind == "lost":
                if message["why"] == "end":
                    return True
                if message["why"] == "read":
                    self._be_more_patient(num_frames)
                raise LostError(self._why_lost(message, num_frames, reader.clue()))
            if kind == "opened":
                self._num_frames = message["num_frames"]
                deadline = time.monotonic() + patience_s
            elif kind == "frame":
                self._skip(message["seq"] - next_seq)
                next_seq = message["seq"] + 1
                num_frames += 1
                self._give(reader, message, num_frames)
                patience_s = self._patience_s + 1.0
                deadline = time.monotonic() + patience_s

    def _give(self, reader: StreamProcess, message: dict[str, Any], num_frames: int) -> None:
        image = reader.copy_frame(message)
        self._size = (message["height"], message["width"])
        if num_frames == 1:
            self._backoff.reset()
            self._first_s = time.monotonic()
        elif num_frames == _MANY and (
            time.monotonic() - self._first_s < _MANY * self._limits.stale_s / 2
        ):
            self._patience_s = self._limits.stale_s
        self._deliver(image, captured_ns=message["captured_ns"], pts_seconds=message["pts_seconds"])

    def _be_more_patient(self, num_frames: int) -> None:
        """A few frames and then a pause: perhaps a camera with a frame in ten seconds."""
        if 0 < num_frames < _FEW:
            self._patience_s = min(self._patience_s * 2, self._limits.stale_max_s)

    def _why_lost(self, lost: dict[str, Any], num_frames: int, clue: str) -> str:
        is_opening = lost["why"] == "open"
        if lost["why"] == "size":
            return "it claims frames of an absurd size"
        if isinstance(self._target, int):
            what = "cannot be opened" if is_opening else "gives no more pictures"
            return (
                f"the camera {what}; is it plugged in, in no other program's hands, and is "
                f"{self._target} its number?"
            )
        patience_s = self._limits.open_s if is_opening else self._limits.stale_s
        if lost["silent_s"] > 0.9 * patience_s:
            return f"no {'answer' if is_opening else 'frame'} for {lost['silent_s']:.0f} s"
        if num_frames:
            return "the stream broke off"
        return clue or ("cannot be opened as a video stream" if is_opening else "it sends nothing")

    def _wake(self) -> None:
        with self._process_lock:
            if self._process is not None:
                self._process.kill()

"""What every source is to the rest of the program, and the thread that most of them share.

Who reads a source takes frames out of the LatestSlot given to `start`:

    with open_source("demo", pace="fast") as source:
        source.start(slot)
        while (frame := next_frame(source, slot)) is not None:
            ...

In pace "live" the newest frame wins; in pace "fast" a finite source waits before each frame until
the one before was taken, so each frame is taken exactly once. A still picture is given once: who
wants it again (another selection) keeps the frame.
"""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from rtvis.closing import Closing
from rtvis.data import Frame, ImageF32, ImageU8, Side, SourceStatus
from rtvis.errors import SourceError
from rtvis.slot import LatestSlot
from rtvis.sources.retouch import Retouch
from rtvis.timing import RateMeter

Pace: TypeAlias = Literal["live", "fast"]
"""By the clock of the film or camera, dropping what comes too fast; or every frame, at once."""

Move: TypeAlias = Literal["stepped", "switched", "none"]
"""What a step did: another picture is on its way, the files are shown now, or nothing."""

ONLY_ONE = "there is only one source; start with --files FOLDER to have pictures beside the stream"

JOIN_LIMIT_S = 5.0
"""How long `close` waits for the source's thread. Longer than any read of a local file."""


class Source(Protocol):
    """Something that frames come from. A context manager; leaving it closes it."""

    @property
    def name(self) -> str:
        """What to call it on screen. Holds no credentials."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of its frames where all have one that is known, else None."""

    @property
    def num_frames(self) -> int | None:
        """How many frames it has from its start on, without repetition; None for cameras and
        streams."""

    def start(self, slot: LatestSlot[Frame]) -> None:
        """Begin to put frames into `slot`. Called once."""

    def status(self) -> SourceStatus:
        """What it is doing. "ended" and "failed" are final: no frame is put after them."""

    @property
    def shown(self) -> Side:
        """Which of two sources frames come from now."""

    def step(self, count: int, *, held: Frame | None = None) -> Move:
        """Go `count` pictures on, or back if negative; from the stream, first to the files.

        Args:
            count: How many.
            held: What the user holds on the screen, to be shown again on the way back.
        """

    def switch(self, *, held: Frame | None = None) -> None:
        """Show the other source.

        Raises:
            SourceError: There is no other one; says why.
        """

    def close(self) -> None:
        """Stop, and free everything. Safe to call twice, and from another thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def next_frame(
    source: Source, slot: LatestSlot[Frame], *, timeout_s: float | None = None
) -> Frame | None:
    """The next frame; None once the source is over, the slot closed, or the time is up."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        # The status is read before the slot: a frame put in between is found there.
        is_over = source.status().state in {"ended", "failed"} or slot.is_closed
        frame = slot.take(timeout_s=0.0 if is_over else 0.05)
        if frame is not None or is_over:
            return frame
        if deadline is not None and time.monotonic() > deadline:
            return None


class ThreadSource(Closing):
    """A source whose frames are made by `_run` in a thread of its own."""

    def __init__(
        self,
        name: str,
        *,
        pace: Pace,
        size: tuple[int, int] | None = None,
        num_frames: int | None = None,
        retouch: Retouch | None = None,
    ) -> None:
        self._name = name
        self._retouch = retouch or Retouch()
        self._size = size
        self._num_frames = num_frames
        self._pace: Pace = pace
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._rate = RateMeter()
        self._status = SourceStatus(state="opening", since_ns=time.monotonic_ns())
        self._num_captured = 0
        self._seq = 0
        self._slot: LatestSlot[Frame] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """What to call it on screen."""
        return self._name

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width), where known."""
        return self._size

    @property
    def num_frames(self) -> int | None:
        """How many frames there are, where that is known."""
        return self._num_frames

    def start(self, slot: LatestSlot[Frame]) -> None:
        """Begin to put frames into `slot`."""
        assert self._thread is None, "a source is started once"
        assert not self._closed, "a closed source is not started"
        self._slot = slot
        self._thread = threading.Thread(
            target=self._guarded_run, name=f"rtvis source {self._name}", daemon=True
        )
        self._thread.start()

    def status(self) -> SourceStatus:
        """What it is doing."""
        with self._lock:
            return SourceStatus(
                state=self._status.state,
                message=self._status.message,
                since_ns=self._status.since_ns,
                num_captured=self._num_captured,
                captured_fps=self._rate.rate(),
            )

    @property
    def shown(self) -> Side:
        """There is only this one."""
        return "only"

    def step(self, count: int, *, held: Frame | None = None) -> Move:
        """Nothing to step through."""
        del count, held
        return "none"

    def switch(self, *, held: Frame | None = None) -> None:
        """There is only this one."""
        del held
        raise SourceError(ONLY_ONE)

    def close(self) -> None:
        """Stop the thread and free everything."""
        self._closed = True
        self._stop.set()
        self._wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_LIMIT_S)
            assert not thread.is_alive(), f"the thread of source {self._name} does not stop"
        if self._status.state not in {"ended", "failed"}:
            self._set_state("ended", "closed")
        self._release()

    def _run(self) -> None:
        """Make frames until there are no more or `_stop` is set."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Interrupt what `_run` may be waiting for, other than `_stop`."""

    def _release(self) -> None:
        """Free what is held. The thread has ended, or was never started."""

    def _guarded_run(self) -> None:
        try:
            self._run()
        except BaseException:
            # A fault of ours: shown, and raised into threading's hook with its traceback.
            self._set_state("failed", "this source failed; the log says where")
            raise

    def _set_state(
        self,
        state: Literal["opening", "live", "ended", "reconnecting", "failed"],
        message: str = "",
    ) -> None:
        """Change the status; since_ns moves only when the state does."""
        with self._lock:
            same = state == self._status.state
            since_ns = self._status.since_ns if same else time.monotonic_ns()
            self._status = SourceStatus(state=state, message=message, since_ns=since_ns)

    def _skip(self, count: int = 1) -> None:
        """Count frames that existed and were not delivered: a gap in `seq`."""
        self._seq += count

    def _deliver(
        self,
        image_HW3: ImageU8,
        *,
        precise_HW3: ImageF32 | None = None,
        captured_ns: int | None = None,
        pts_seconds: float | None = None,
        name: str = "",
        path: Path | None = None,
        message: str = "",
    ) -> bool:
        """Put a frame; in pace "fast", only once there is room. False if it was stopped."""
        assert self._slot is not None
        while self._pace == "fast" and not self._slot.wait_empty(timeout_s=0.1):
            if self._stop.is_set():
                return False
        if self._stop.is_set():
            return False
        captured_ns = time.monotonic_ns() if captured_ns is None else captured_ns
        image_HW3 = self._retouch.apply(image_HW3)
        if precise_HW3 is not None:
            precise_HW3 = self._retouch.apply_precise(precise_HW3)
        with self._lock:
            self._num_captured += 1
            self._rate.tick()
        if self._status.state != "live" or self._status.message != message:
            self._set_state("live", message)
        frame = Frame(
            image_HW3=image_HW3,
            precise_HW3=precise_HW3,
            seq=self._seq,
            captured_ns=captured_ns,
            pts_seconds=pts_seconds,
            name=name,
            path=path,
        )
        self._seq += 1
        self._slot.put(frame)
        return True

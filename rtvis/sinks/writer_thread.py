"""A thread that writes a file from a bounded queue, as fast or as slowly as the disk takes it."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Pace: TypeAlias = Literal["live", "fast"]
"""In real time, dropping what there is no room for; or one after the other, waiting for room."""

_QUEUE_SIZE: Final = 8
_LOOK_S: Final = 0.1
PATIENCE_S: Final = 30.0
"""How long a disk may take for one step of the writing."""


def stuck(part: Path) -> str:
    """Why a file is not there, of which the writer got stuck."""
    return f"the disk does not answer; what was written is in {part.name}"


class WriterThread(Generic[T]):
    """Runs `write` on a thread of its own, which takes with `get` what others `put`."""

    def __init__(self, write: Callable[[], None], *, name: str, pace: Pace) -> None:
        """Nothing runs before `start`.

        Args:
            write: Ends when `get` gives None, or earlier where it cannot go on; must not raise.
            name: Of the thread.
            pace: What `put` does where there is no room.
        """
        self._pace = pace
        self._queue: queue.Queue[T | None] = queue.Queue(_QUEUE_SIZE)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(write,), name=name, daemon=True)
        self.num_dropped = 0
        """Items that came while the writer was behind."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_stopped(self) -> bool:
        """True once nothing is taken any more."""
        return self._stopped.is_set()

    @property
    def is_empty(self) -> bool:
        """True when all that was put has been taken."""
        return self._queue.empty()

    def put(self, item: T) -> bool:
        """Hand an item over, which nobody writes to any more; False where it was not taken."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_S if self._pace == "fast" else 0)
            except queue.Full:
                if self._pace == "live":
                    self.num_dropped += 1
                    return False
            else:
                return True
        return False

    def get(self, timeout_s: float | None = None) -> T | None:
        """The next item, None when there will be no more. For the thread itself.

        Raises:
            queue.Empty: Nothing came in time.
        """
        return self._queue.get(timeout=timeout_s)

    def stop_taking(self) -> None:
        """Make `put` refuse from now on. For the thread itself, before it takes long to end."""
        self._stopped.set()

    def finish(self, num_done: Callable[[], int], *, patience_s: float = PATIENCE_S) -> bool:
        """Let what was put be written, and wait for that, as long as it goes on.

        Safe to call twice.

        Args:
            num_done: Steps that the writer has made: a busy machine is slow, not stuck.
            patience_s: How long one step may take.

        Returns:
            False if the writer got stuck.
        """
        is_told = False
        done, since_s = num_done(), time.monotonic()
        while self._thread.is_alive():
            if is_told:
                self._thread.join(_LOOK_S)
            else:
                with contextlib.suppress(queue.Full):
                    self._queue.put(None, timeout=_LOOK_S)
                    is_told = True
            if num_done() != done:
                done, since_s = num_done(), time.monotonic()
            elif time.monotonic() - since_s > patience_s:
                return False
        return True

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        finally:
            self._stopped.set()

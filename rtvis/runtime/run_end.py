"""That a run is over, and why."""

import threading

from rtvis.runtime.outcome import Reason


class RunEnd:
    """Where every thread looks whether to go on; the first reason that anybody gives counts."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self.reason: Reason | None = None
        self.message = ""
        """More about the reason; often empty."""
        self.fault: BaseException | None = None
        """Of ours, on the engine thread; raised again on the main one."""

    @property
    def is_over(self) -> bool:
        """Whether all threads are to stop."""
        return self._over.is_set()

    def because(self, reason: Reason, message: str = "") -> None:
        """End the run. From any thread."""
        if self.reason is None:
            self.reason, self.message = reason, message
        self._over.set()

    def stop(self) -> None:
        """Stop all threads; the reason is known, or none is asked for."""
        self._over.set()

    def wait(self, limit_s: float) -> None:
        """Until the run is over, but no longer than this."""
        self._over.wait(limit_s)

"""Faults that come back with every frame: logged in full once, then counted."""

import logging
from typing import Final

from rtvis.errors import RtvisError

_LOG = logging.getLogger(__name__)

IN_LOOP: Final = (RtvisError, RuntimeError, ValueError, MemoryError)
"""What a frame, a selection or a full device can cause; anything else is a fault of ours."""


class Faults:
    """Remembers the present fault of a loop. One owner."""

    def __init__(self) -> None:
        self._last = ""
        self._num_same = 0
        self.num_faults = 0
        """All faults so far."""

    @property
    def note(self) -> str:
        """The present fault in one line for the screen, with how often it came; or nothing."""
        times = f" ({self._num_same} times)" if self._num_same > 1 else ""
        return f"{self._last}{times}" if self._last else ""

    def add(self, error: BaseException) -> None:
        """Note a fault; only a new one is logged, with its trace unless the user caused it."""
        text = _one_line(error)
        self.num_faults += 1
        if text == self._last:
            self._num_same += 1
            return
        self._report_count()
        self._last, self._num_same = text, 1
        own = not isinstance(error, RtvisError)
        _LOG.error("%s", text, exc_info=error if own else None)

    def clear(self) -> None:
        """All is well again."""
        self._report_count()
        self._last, self._num_same = "", 0

    def _report_count(self) -> None:
        if self._num_same > 1:
            _LOG.error("%s: came %d times in a row", self._last, self._num_same)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "out of memory" in text.lower() or isinstance(error, MemoryError):
        return "out of memory: choose a smaller network, input size or --dtype float16"
    return text if isinstance(error, RtvisError) else f"{type(error).__name__}: {text[:300]}"

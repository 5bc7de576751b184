"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable

_PATIENCE_S = 60.0
"""For what a quiet machine does at once: tests run on busy ones, too."""


def wait_for(
    is_so: Callable[[], object], what: str = "what was to happen", *, limit_s: float = _PATIENCE_S
) -> float:
    """Seconds until `is_so()` was true; fails if that takes longer than `limit_s`."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_s < limit_s, f"not within {limit_s:g} s: {what}"
        time.sleep(0.002)
    return time.monotonic() - began_s

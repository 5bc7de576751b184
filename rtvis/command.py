"""What a command line asks for, once it is understood."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """Ready to run."""

    run: Callable[[], int]
    """Does it; returns the exit code."""
    debug: bool
    """Whether tracebacks and a log are wanted."""

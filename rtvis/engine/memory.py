"""Memory that was freed stays where the next frame wants it, and too little is said in words."""

import ctypes
import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from rtvis.errors import DeviceError

FoundT = TypeVar("FoundT")

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory() -> bool:
    """Stop glibc from giving large blocks back to the system between two frames.

    Every turn hands out the same tens of megabytes of activations. Mapped anew each time, their
    page faults took a quarter of the turn (ResNet50 on one core: 2.1 against 1.7 times the
    network alone for a shallow layer, 3.05 against 2.58 for the deepest).

    Returns:
        True where it was done: on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = {
        _M_MMAP_THRESHOLD: 32 << 20,  # the largest that glibc accepts
        _M_TRIM_THRESHOLD: 2_000_000_000,
        _M_TOP_PAD: 64 << 20,
        _M_ARENA_MAX: 1,  # the heaps of other threads are trimmed by a rule of their own
    }
    accepted = [mallopt(key, value) for key, value in settings.items()]
    return all(accepted)


def within_memory(call: Callable[[], FoundT], advice: str) -> FoundT:
    """What `call` gives, if the device has room for it.

    Args:
        call: What to do.
        advice: What is too small, and what would do.

    Raises:
        DeviceError: It has no room; all that the call took is free again.
    """
    try:
        return call()
    except torch.OutOfMemoryError:
        pass  # With the error go the frames of the call, which hold its tensors.
    torch.cuda.empty_cache()
    raise DeviceError(advice)

"""How many CPU cores there are for us, and how many threads an operation takes of them."""

import ctypes
import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPIN_COUNT = "4000"
"""Turns of libgomp's waiting loop, about a tenth of a millisecond. Measured with the default
network on two cores, frames per second alone and beside a program that keeps one core busy: 29.7
and 1.0 with libgomp's own 300,000 turns, 26.7 and 12.8 with these, 24.7 and 16.7 with 1,000."""


def spin_briefly() -> None:
    """Let OpenMP threads sleep soon at a barrier when the thread they wait for has no core.

    Has an effect before torch is imported only; what the user's environment says goes before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)


def num_cores() -> int:
    """Those that this process may use: the ones it may run on, and of these no more than its
    container's share of the processor comes to."""
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    share = container_share()
    return cores if share is None else max(1, min(cores, math.ceil(share)))


def container_share(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """How many cores' worth of time a container is given, as by `cpus` in a compose file;
    None without a limit.

    Args:
        root: Where control groups are seen; in a container its own one.
    """
    try:  # version 2: "150000 100000" or "max 100000", microseconds
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:  # version 1: -1 is no limit
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """The OpenMP runtime that torch brought into the process; None where it is another one."""
    try:
        library = ctypes.CDLL(None)
        library.omp_get_max_threads.restype = ctypes.c_int
        library.omp_set_num_threads.argtypes = [ctypes.c_int]
    except (AttributeError, OSError):
        return None
    return library


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Torch operations of this Python thread run on `count` CPU threads within the block.

    With 1 for small operations: a canvas, say, is a hundred of some 20 microseconds. Split over
    two threads each of them ends in a barrier that spins, and when another process (a decoder,
    the window, a compiler) has taken the second core, it spins for a whole time slice: 90 ms for a
    canvas instead of 4.5, measured on two busy cores. `torch.set_num_threads` would do the same
    but empties oneDNN's cache of convolutions each time.
    """
    library = _openmp()
    if library is None:
        yield
        return
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(count)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)

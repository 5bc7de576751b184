"""Where the time of a turn goes, and running rates."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from rtvis.data import ProcessUse

CURRENT_S: Final = 2.0
"""How long after the last frame a rate still means something (DVT-17)."""


class RateMeter:
    """Events per second over the last `window_s` seconds, or between the last two where these lie
    further apart. Not thread-safe: one owner."""

    def __init__(self, *, window_s: float = 2.0) -> None:
        self._window_ns = int(window_s * 1e9)
        self._ticks_ns: deque[int] = deque()

    def tick(self, now_ns: int | None = None) -> None:
        """Count one event, now unless `now_ns` (monotonic) says otherwise."""
        self._ticks_ns.append(time.monotonic_ns() if now_ns is None else now_ns)

    def rate(self, now_ns: int | None = None) -> float:
        """Mean rate; 0.0 until there were two events, and once the next one is long overdue."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        ticks = self._ticks_ns
        while len(ticks) > 2 and now_ns - ticks[0] > self._window_ns:
            ticks.popleft()
        if len(ticks) < 2:
            return 0.0
        span_ns = ticks[-1] - ticks[0]
        # With half a frame a second the last two are all there is to tell it from.
        if now_ns - ticks[-1] > max(self._window_ns, 2 * (ticks[-1] - ticks[-2])):
            return 0.0
        return (len(ticks) - 1) * 1e9 / span_ns if span_ns > 0 else 0.0


class StageClock:
    """Mean time of each named stage of a turn, in milliseconds.

    On a CPU it reads `perf_counter`. On CUDA it records events and reads those of the turn before,
    so that timing never waits for the device.
    """

    def __init__(self, device: torch.device, *, smoothing: float = 0.9) -> None:
        self._cuda = device.type == "cuda"
        self._smoothing = smoothing
        self._means_ms: dict[str, float] = {}
        self._cpu_means_ms: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._pending: dict[str, tuple[torch.cuda.Event, torch.cuda.Event]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed block as the stage `name`."""
        cpu_started = time.process_time()
        if not self._cuda:
            started = time.perf_counter()
            yield
            self._add(name, (time.perf_counter() - started) * 1e3)
            self._follow(self._cpu_means_ms, name, (time.process_time() - cpu_started) * 1e3)
            return
        pending = self._pending.get(name)
        if pending is not None and pending[1].query():  # type: ignore[no-untyped-call]
            self._add(name, pending[0].elapsed_time(pending[1]))
            pending = None
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        yield
        self._follow(self._cpu_means_ms, name, (time.process_time() - cpu_started) * 1e3)
        end.record()
        if pending is None:
            self._pending[name] = (start, end)

    def means_ms(self) -> dict[str, float]:
        """A copy of the running mean of every stage seen so far."""
        return dict(self._means_ms)

    def cpu_means_ms(self) -> dict[str, float]:
        """The same of the processor time that all threads of the process took meanwhile."""
        return dict(self._cpu_means_ms)

    def _add(self, name: str, value_ms: float) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1
        self._follow(self._means_ms, name, value_ms)

    def _follow(self, means_ms: dict[str, float], name: str, value_ms: float) -> None:
        # The plain mean of the first samples: the very first one is slow and would linger.
        share = max(1 / max(self._counts.get(name, 1), 1), 1 - self._smoothing)
        mean = means_ms.get(name, 0.0)
        means_ms[name] = mean + share * (value_ms - mean)


class ProcessMeter:
    """How much of the machine this process takes, read at most every `period_s`. One owner."""

    def __init__(self, device: torch.device, *, period_s: float = 0.5) -> None:
        self._device = device
        self._period_ns = int(period_s * 1e9)
        self._read_ns = time.monotonic_ns()
        self._cpu_s = time.process_time()
        self._use = ProcessUse(memory_bytes=_resident_bytes(), device_bytes=self._device_bytes())

    def read(self, now_ns: int | None = None) -> ProcessUse:
        """The newest figures; the processor's are a mean since those before."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        elapsed_ns = now_ns - self._read_ns
        if elapsed_ns < self._period_ns:
            return self._use
        cpu_s = time.process_time()
        self._use = ProcessUse(
            num_cores=(cpu_s - self._cpu_s) * 1e9 / elapsed_ns,
            memory_bytes=_resident_bytes(),
            device_bytes=self._device_bytes(),
        )
        self._read_ns, self._cpu_s = now_ns, cpu_s
        return self._use

    def _device_bytes(self) -> int:
        # A counter of torch's allocator on the host: nothing waits for the device.
        return torch.cuda.memory_reserved(self._device) if self._device.type == "cuda" else 0


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no Linux: the most that it ever was, in bytes on a Mac and else in KiB
        import resource  # not everywhere

        unit = 1 if sys.platform.startswith("darwin") else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return pages * os.sysconf("SC_PAGE_SIZE")

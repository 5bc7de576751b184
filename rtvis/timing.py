"""Where the time of a turn goes, and running rates."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class RateMeter:
    """Events per second over the last `window_s` seconds. Not thread-safe: one owner."""

    def __init__(self, *, window_s: float = 2.0) -> None:
        self._window_ns = int(window_s * 1e9)
        self._ticks_ns: deque[int] = deque()

    def tick(self, now_ns: int | None = None) -> None:
        """Count one event, now unless `now_ns` (monotonic) says otherwise."""
        self._ticks_ns.append(time.monotonic_ns() if now_ns is None else now_ns)

    def rate(self, now_ns: int | None = None) -> float:
        """Mean rate; 0.0 until two events lie within the window."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        ticks = self._ticks_ns
        while ticks and now_ns - ticks[0] > self._window_ns:
            ticks.popleft()
        if len(ticks) < 2:
            return 0.0
        span_ns = ticks[-1] - ticks[0]
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
        self._counts: dict[str, int] = {}
        self._pending: dict[str, tuple[torch.cuda.Event, torch.cuda.Event]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed block as the stage `name`."""
        if not self._cuda:
            started = time.perf_counter()
            yield
            self._add(name, (time.perf_counter() - started) * 1e3)
            return
        pending = self._pending.get(name)
        if pending is not None and pending[1].query():  # type: ignore[no-untyped-call]
            self._add(name, pending[0].elapsed_time(pending[1]))
            pending = None
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        yield
        end.record()
        if pending is None:
            self._pending[name] = (start, end)

    def means_ms(self) -> dict[str, float]:
        """A copy of the running mean of every stage seen so far."""
        return dict(self._means_ms)

    def _add(self, name: str, value_ms: float) -> None:
        # The plain mean of the first samples: the very first one is slow and would linger.
        count = self._counts[name] = self._counts.get(name, 0) + 1
        share = max(1 / count, 1 - self._smoothing)
        mean = self._means_ms.get(name, 0.0)
        self._means_ms[name] = mean + share * (value_ms - mean)

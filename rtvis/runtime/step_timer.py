"""What a step of long work takes, on the host or on a device that nobody waits for."""

import time
from typing import Protocol

import torch


class StepTimer(Protocol):
    """Tells what a step of a job took."""

    @property
    def is_busy(self) -> bool:
        """Whether the device still computes the last step."""
        ...

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def read_s(self) -> float | None:
        """Of the last step, once it is over; each only once."""
        ...


class HostTimer:
    """A step is over when the call returns."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._took_s: float | None = None

    @property
    def is_busy(self) -> bool:
        """Never."""
        return False

    def start(self) -> None:
        """A step begins."""
        self._began_s = time.perf_counter()

    def stop(self) -> None:
        """It is over."""
        self._took_s = time.perf_counter() - self._began_s

    def read_s(self) -> float | None:
        """What it took."""
        took_s, self._took_s = self._took_s, None
        return took_s


class CudaTimer:
    """A step is over when the device has done it; it is asked, and never waited for.

    What it took is the longer of the device's time and the host's: both keep frames waiting.
    """

    def __init__(self) -> None:
        self._host = HostTimer()
        self._pair: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
        self._start: torch.cuda.Event | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the last step is still being computed."""
        return self._pair is not None and not self._pair[1].query()  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """A step begins."""
        self._host.start()
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._start.record()

    def stop(self) -> None:
        """All of it is on its way to the device."""
        assert self._start is not None, "stopped after it was started"
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end.record()
        self._pair = (self._start, end)
        self._host.stop()

    def read_s(self) -> float | None:
        """What it took, once the device has done it."""
        if self._pair is None or self.is_busy:
            return None
        (start, end), self._pair = self._pair, None
        return max(float(start.elapsed_time(end)) / 1e3, self._host.read_s() or 0.0)


def step_timer(device: torch.device) -> StepTimer:
    """What measures the steps that are computed on a device."""
    return CudaTimer() if device.type == "cuda" else HostTimer()

"""What is asked of PyTorch around a capture, in which order, and what after one that failed.

Run with a recording stand-in for `torch.cuda`; what a GPU makes of it is in test_cuda.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from torch import Tensor

from rtvis.engine.compiled.cuda_capture import CudaCapture
from rtvis.engine.device import make_current

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE = torch.device("cuda", 1)


class Found(NamedTuple):
    value: Tensor


class Stream:
    def __init__(self, events: list[str], name: str) -> None:
        self._events, self.name = events, name

    def wait_stream(self, other: Stream) -> None:
        self._events.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked, in order."""
    events: list[str] = []
    invalid: list[bool] = []

    @contextmanager
    def within(name: str) -> Iterator[None]:
        events.append(f"{name} {{")
        try:
            yield
        finally:
            events.append("}")

    def stream(chosen: Stream) -> AbstractContextManager[None]:
        return within(chosen.name)

    def device(chosen: torch.device) -> AbstractContextManager[None]:
        return within(str(chosen))

    @contextmanager
    def graph(
        graph: Any, *, pool: tuple[int, int], stream: Stream, capture_error_mode: str
    ) -> Iterator[None]:
        events.append(f"capture in {pool} on {stream.name}, {capture_error_mode} {{")
        try:
            yield
        except RuntimeError:
            invalid.append(True)
            raise RuntimeError("the capture is invalid") from None
        events.append("}")

    class Graph:
        def replay(self) -> None:
            events.append("replay")

    def end(index: int, pool: tuple[int, int]) -> None:
        events.append(f"end of {pool} on {index}")
        if not invalid:
            raise RuntimeError("not currently recording")

    stand_ins = {
        "Stream": lambda device: Stream(events, "side"),
        "current_stream": lambda device: Stream(events, "main"),
        "graph_pool_handle": lambda: (0, 5),
        "is_current_stream_capturing": lambda: False,
        "synchronize": lambda device: events.append("wait"),
        "stream": stream,
        "device": device,
        "graph": graph,
        "CUDAGraph": Graph,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    return events


BEFORE = ["cuda:1 {", "side waits for main", "side {", "run", "}", "main waits for side"]


def test_a_capture_is_rehearsed_on_its_own_stream_of_its_own_device(events: list[str]) -> None:
    def run() -> Found:
        events.append("run")
        return Found(torch.ones(1))

    capture = CudaCapture(DEVICE)
    assert not capture.is_under_way()
    outcome, replay = capture(run)
    replay()
    assert outcome.value.item() == 1
    inside = ["side {", "capture in (0, 5) on side, thread_local {", "run", "}", "}"]
    assert events == [*BEFORE, *inside, "}", "replay"]


def test_after_a_capture_that_became_invalid_the_allocator_is_told(events: list[str]) -> None:
    def run() -> Found:
        events.append("run")
        if events.count("run") == 2:
            raise RuntimeError("operation not permitted when stream is capturing")
        return Found(torch.ones(1))

    with pytest.raises(RuntimeError, match="the capture is invalid"):
        CudaCapture(DEVICE)(run)
    inside = ["side {", "capture in (0, 5) on side, thread_local {", "run", "}"]
    assert events == [*BEFORE, *inside, "end of (0, 5) on 1", "wait", "}"]


def test_a_rehearsal_that_fails_begins_no_capture(events: list[str]) -> None:
    def run() -> Found:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        CudaCapture(DEVICE)(run)
    assert events == ["cuda:1 {", "side waits for main", "side {", "}", "main waits for side", "}"]


def test_only_a_cuda_device_captures() -> None:
    with pytest.raises(AssertionError, match="need a CUDA device"):
        CudaCapture(torch.device("cpu"))


def test_a_thread_is_told_which_gpu_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    make_current(torch.device("cpu"))
    make_current(DEVICE)
    assert chosen == [DEVICE]

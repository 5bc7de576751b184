"""What every sink must do, whatever it shows pictures on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rtvis.data import Picture
from rtvis.sinks.base import Sink
from rtvis.sinks.memory import MemorySink
from rtvis.sinks.recorder import Recorder
from rtvis.sinks.window import WindowSink
from tests.xvfb import Screen

Make = Callable[[], Sink]


@pytest.fixture(params=["memory", "recorder", pytest.param("window", marks=pytest.mark.window)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes sinks of one kind."""
    if request.param == "window":
        with Screen() as screen, pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISPLAY", screen.name)
            yield WindowSink
    elif request.param == "recorder":
        yield lambda: Recorder(tmp_path / "film.mp4")
    else:
        yield MemorySink


def picture(seq: int) -> Picture:
    canvas_HW3 = np.full((480, 640, 3), seq % 256, np.uint8)
    return Picture(canvas_HW3=canvas_HW3, seq=seq, frame_seq=seq, captured_ns=time.monotonic_ns())


def test_it_takes_pictures_and_closes_twice(make: Make) -> None:
    with make() as sink:
        for seq in range(5):
            sink.show(picture(seq))
            sink.poll(0.01)
        sink.close()
    sink.close()


def test_after_closing_it_does_nothing_and_raises_nothing(make: Make) -> None:
    sink = make()
    sink.close()
    sink.show(picture(0))
    assert sink.poll(0.05) == []
    sink.wake()


def test_show_returns_at_once_however_many_pictures_come(make: Make) -> None:
    with make() as sink:
        shown = picture(1)
        started_s = time.monotonic()
        for _ in range(300):
            sink.show(shown)
        assert time.monotonic() - started_s < 1.5


def test_poll_returns_when_its_time_is_up(make: Make) -> None:
    with make() as sink:
        drain(sink)
        started_s = time.monotonic()
        assert sink.poll(0.15) == []
        assert 0.1 <= time.monotonic() - started_s < 2


def test_wake_ends_a_waiting_poll_from_another_thread(make: Make) -> None:
    with make() as sink:
        drain(sink)
        timer = threading.Timer(0.1, sink.wake)
        timer.start()
        started_s = time.monotonic()
        sink.poll(20)
        assert time.monotonic() - started_s < 5
        timer.join()


def test_many_wakes_do_not_block(make: Make) -> None:
    with make() as sink:
        for _ in range(100_000):
            sink.wake()
        sink.poll(0.01)


def test_it_keeps_no_picture_alive_for_ever(make: Make) -> None:
    with make() as sink:
        if isinstance(sink, MemorySink):
            pytest.skip("keeping pictures is what it is for")
        shown = picture(3)
        before = np.array(shown.canvas_HW3)
        sink.show(shown)
        sink.poll(0.1)
        assert (shown.canvas_HW3 == before).all(), "a picture is never written to"


def drain(sink: Sink) -> None:
    """Let what opening causes (a first size, a pointer that enters) come and go."""
    until_s = time.monotonic() + 1.0
    while time.monotonic() < until_s and sink.poll(0.2):
        pass

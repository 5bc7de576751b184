"""The key 5: what a turn takes; and rates that hide when they mean nothing any more."""

import mmap
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from rtvis.data import KeyEvent, ProcessUse, Rates
from rtvis.render import bar_words
from rtvis.render.compositor import Compositor
from rtvis.render.scene import Scene
from rtvis.render.text import Font
from rtvis.render.times import HeldTimes, times_table
from rtvis.runtime.shown import ShownMeter
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from rtvis.timing import ProcessMeter, StageClock
from tests.nets_fake import CANVAS, LAYERS, FakeCompositor, FakeEngine, FakeSource, controller_of

CPU = torch.device("cpu")
RATES = Rates(
    captured_fps=25.0,
    processed_fps=24.0,
    shown_fps=23.0,
    latency_ms=40.0,
    stages_ms={"wait": 9.0, "upload": 0.25, "network": 20.0, "draw": 3.0},
    stages_cpu_ms={"wait": 0.5, "upload": 0.25, "network": 38.0},
    process=ProcessUse(num_cores=1.84, memory_bytes=700 * 2**20),
)


def scene_of(**changes: object) -> Scene:
    view = View(canvas_size=(700, 1200), timing="all")
    return replace(Scene(view=view, layers=LAYERS, rates=RATES), **changes)


def test_the_table_has_the_stages_their_sum_without_waiting_and_what_the_process_takes() -> None:
    assert times_table(RATES, "off") == ()
    assert times_table(RATES, "stages") == (
        ("", "ms"),
        ("wait", "9.0"),
        ("upload", "0.2"),
        ("network", "20.0"),
        ("draw", "3.0"),
        ("turn", "23.2"),
    )
    assert times_table(RATES, "all") == (
        ("", "ms", "CPU ms"),
        ("wait", "9.0", "0.5"),
        ("upload", "0.2", "0.2"),
        ("network", "20.0", "38.0"),
        ("draw", "3.0", "–"),
        ("turn", "23.2", "38.2"),
        ("processor", "", "1.8 cores"),
        ("memory", "", "700 MiB"),
    )
    on_gpu = replace(RATES, process=ProcessUse(device_bytes=3 * 2**30))
    assert times_table(on_gpu, "all")[-1] == ("on the GPU", "", "3072 MiB")


def test_the_table_is_held_for_half_a_second_unless_another_is_asked_for() -> None:
    held = HeldTimes()
    first = held.of(scene_of(now_ns=1_000_000_000))
    faster = replace(RATES, stages_ms={"network": 10.0})
    assert held.of(scene_of(now_ns=1_400_000_000, rates=faster)) == first
    assert held.of(scene_of(now_ns=1_500_000_000, rates=faster)) == times_table(faster, "all")
    off = scene_of(now_ns=1_500_000_001, view=View(timing="off"))
    assert held.of(off) == ()


def test_5_goes_from_nothing_to_times_to_all_and_round() -> None:
    session = Session(View())
    controller = controller_of(session)
    seen = []
    for _ in range(4):
        seen.append(session.read()[0].timing)
        controller.handle(KeyEvent(key="5"))
    assert seen == ["off", "stages", "all", "off"]


def test_the_table_lies_in_the_corner_of_the_large_pane_and_goes_without_a_trace() -> None:
    compositor = Compositor(CPU)

    def drawn(scene: Scene) -> np.ndarray:
        compositor.compose(scene)
        return compositor.download().wait()

    off = drawn(scene_of(view=View(canvas_size=(700, 1200))))
    shown = drawn(scene_of())
    changed_Y, changed_X = np.nonzero((shown != off).any(axis=2))
    assert compositor.layout is not None
    pane = compositor.layout.panes["grid"]
    metrics = compositor.layout.metrics
    line = metrics.row + metrics.pad // 2
    assert changed_Y.max() == pane.bottom - metrics.gap - line - metrics.gap - 1, (
        "notices fit below"
    )
    assert changed_X.max() == pane.right - metrics.gap - 1
    assert changed_Y.max() - changed_Y.min() + 1 == 8 * metrics.row + metrics.pad
    assert changed_X.min() > pane.left
    assert np.array_equal(drawn(scene_of(view=View(canvas_size=(700, 1200)))), off)


def test_processor_time_counts_every_thread_and_waiting_counts_none() -> None:
    clock = StageClock(CPU)
    with clock.stage("sleep"):
        time.sleep(0.05)
    with clock.stage("work"):
        until_s = time.thread_time() + 0.05
        while time.thread_time() < until_s:
            pass
    means_ms = clock.cpu_means_ms()
    assert means_ms["work"] >= 50
    assert means_ms["sleep"] < means_ms["work"]
    assert means_ms.keys() == clock.means_ms().keys()


def test_the_process_is_measured_over_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = ProcessMeter(CPU)
    start_ns = time.monotonic_ns()
    start_s = time.process_time()
    assert meter.read(start_ns) is meter.read(start_ns + 1)
    monkeypatch.setattr("rtvis.timing.time.process_time", lambda: start_s + 1.5)
    use = meter.read(start_ns + 1_000_000_000)
    # 1.5 processor seconds in one second, and what came before `start_ns`.
    assert use.num_cores == pytest.approx(1.5, abs=0.2)
    assert meter.read(start_ns + 1_400_000_000) is use


def test_memory_is_what_is_resident() -> None:
    before = ProcessMeter(CPU).read().memory_bytes
    size = 64 * 2**20
    with mmap.mmap(-1, size) as ballast:  # what is allocated may be memory that was freed before
        np.frombuffer(ballast, np.uint8)[:] = 1
        grown = ProcessMeter(CPU).read().memory_bytes - before
    assert size * 0.9 < grown < size * 1.5


# Rates that are out of date (DVT-17)


def text_of(rates: Rates, *, short: bool = False) -> str:
    return "".join(
        run.text for run in bar_words.rates(scene_of(rates=rates), Font(13), short=short)
    )


def test_rates_and_latency_hide_two_seconds_after_the_last_frame() -> None:
    assert "23.0" in text_of(replace(RATES, frame_age_s=2.0))
    assert "40" in text_of(replace(RATES, frame_age_s=2.0), short=True)
    assert text_of(replace(RATES, frame_age_s=2.01), short=True).count("–") == 2
    old = text_of(replace(RATES, frame_age_s=2.01, num_dropped=7))
    assert not any(figure in old for figure in ("25.0", "24.0", "23.0", "40"))
    assert old.count("–") == 3
    assert "7" in old, "what was dropped stays true"


def test_the_picture_is_drawn_once_more_when_its_rates_go_out_of_date() -> None:
    now_ns = [time.monotonic_ns()]
    compositor = FakeCompositor()
    frames = LatestSlot()
    source = FakeSource()
    source.start(frames)
    shown = ShownMeter()
    shown.fps = shown.latency_ms = 9.0
    turn = Turn(
        engine=FakeEngine(),
        compositor=compositor,
        session=Session(View(canvas_size=CANVAS)),
        source=source,
        frames=frames,
        shown=shown,
        now_ns=lambda: now_ns[0],
    )
    source.put()
    turn.run()
    assert turn.frame is not None
    for after_s, num_drawn in ((1.0, 1), (1.9, 1), (2.2, 2), (9.0, 2)):
        now_ns[0] = turn.frame.captured_ns + int(after_s * 1e9)
        turn.run()
        assert len(compositor.scenes) == num_drawn
    assert compositor.scenes[-1].rates.frame_age_s > 2

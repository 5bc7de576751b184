"""Rates and stage times, with clocks set by hand."""

import time

import pytest
import torch

from rtvis.timing import RateMeter, StageClock

MS = 1_000_000


def test_four_ticks_half_a_second_apart_are_two_a_second() -> None:
    meter = RateMeter(window_s=10)
    for at_ms in (0, 500, 1000, 1500):
        meter.tick(at_ms * MS)
    assert meter.rate(1500 * MS) == 2.0


def test_one_tick_is_no_rate() -> None:
    meter = RateMeter()
    assert meter.rate(0) == 0.0
    meter.tick(0)
    assert meter.rate(0) == 0.0


def test_ticks_older_than_the_window_are_forgotten() -> None:
    meter = RateMeter(window_s=1)
    for at_ms in (0, 10, 20, 2000, 2100):
        meter.tick(at_ms * MS)
    assert meter.rate(2100 * MS) == pytest.approx(10.0)
    assert meter.rate(60_000 * MS) == 0.0


def test_a_rate_slower_than_the_window_is_that_of_the_last_two_until_a_third_is_long_overdue() -> (
    None
):
    meter = RateMeter(window_s=2)
    for at_s in (0, 4, 12):
        meter.tick(at_s * 1000 * MS)
        expected = {0: 0.0, 4: 1 / 4, 12: 1 / 8}[at_s]
        assert meter.rate((at_s + 1) * 1000 * MS) == pytest.approx(expected)
    assert meter.rate(28_000 * MS) == pytest.approx(1 / 8)
    assert meter.rate(28_001 * MS) == 0.0


def test_ticks_at_the_same_instant_are_no_infinite_rate() -> None:
    meter = RateMeter()
    meter.tick(5)
    meter.tick(5)
    assert meter.rate(5) == 0.0


def test_a_stage_lasts_as_long_as_its_block() -> None:
    clock = StageClock(torch.device("cpu"))
    began_s = time.perf_counter()
    with clock.stage("sleep"):
        time.sleep(0.03)
    slept_s = time.perf_counter()
    with clock.stage("nothing"):
        pass
    ended_s = time.perf_counter()
    means = clock.means_ms()
    assert 30 <= means["sleep"] <= 1e3 * (slept_s - began_s)
    assert 0 < means["nothing"] <= 1e3 * (ended_s - slept_s)


def test_a_stage_has_the_mean_of_its_first_samples_and_then_follows_by_tenths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lasting_s = [0.030, 0.010, *[0.020] * 8, 0.120]
    instants = iter([each for i, s in enumerate(lasting_s) for each in (float(i), i + s)])
    monkeypatch.setattr("rtvis.timing.time.perf_counter", lambda: next(instants))
    clock = StageClock(torch.device("cpu"))
    seen = []
    for _ in lasting_s:
        with clock.stage("turn"):
            pass
        seen.append(clock.means_ms()["turn"])
    assert seen[:2] == pytest.approx([30, (30 + 10) / 2])
    assert seen[9] == pytest.approx(20)
    assert seen[10] == pytest.approx(0.9 * 20 + 0.1 * 120)

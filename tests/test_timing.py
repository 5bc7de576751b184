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


def test_ticks_at_the_same_instant_are_no_infinite_rate() -> None:
    meter = RateMeter()
    meter.tick(5)
    meter.tick(5)
    assert meter.rate(5) == 0.0


def test_a_stage_lasts_as_long_as_its_block() -> None:
    clock = StageClock(torch.device("cpu"))
    with clock.stage("sleep"):
        time.sleep(0.03)
    with clock.stage("nothing"):
        pass
    means = clock.means_ms()
    assert 30 <= means["sleep"] < 300
    assert means["nothing"] < 5


def test_the_mean_of_a_stage_moves_a_tenth_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter((0.0, 0.010, 1.0, 1.020))
    monkeypatch.setattr("rtvis.timing.time.perf_counter", lambda: next(instants))
    clock = StageClock(torch.device("cpu"))
    for _ in range(2):
        with clock.stage("turn"):
            pass
    assert clock.means_ms()["turn"] == pytest.approx(0.9 * 10 + 0.1 * 20)

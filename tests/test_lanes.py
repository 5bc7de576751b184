"""Batches go through lanes side by side, and come out in their order."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtvis.engine.compiled.unheld import UnheldRunner
from rtvis.units.lanes import in_lanes


def test_two_are_looked_at_at_once_and_come_out_in_order() -> None:
    both_are_here = threading.Barrier(2)

    def look(number: int) -> int:
        both_are_here.wait(timeout=30)
        time.sleep(0.002 * (number % 3))  # later ones are sometimes faster
        return number * number

    assert list(in_lanes(2, range(12), look)) == [(n, n * n) for n in range(12)]


def test_one_lane_is_the_callers_own_thread() -> None:
    found = list(in_lanes(1, range(3), lambda _: threading.current_thread()))
    assert found == [(n, threading.current_thread()) for n in range(3)]


def test_only_a_few_are_taken_ahead_and_none_after_closing() -> None:
    taken = []

    def given() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    passing = in_lanes(2, given(), lambda number: number)
    assert next(passing) == (0, 0)
    assert taken == [0, 1, 2, 3, 4], "two lanes, two ahead in each, and the one that came out"
    passing.close()
    assert len(taken) == 5
    assert not [each for each in threading.enumerate() if each.name.startswith("rtvis-lane")]


def test_what_fails_in_a_lane_fails_where_it_is_asked_for() -> None:
    passing = in_lanes(2, [4, 2, 0, 1], lambda number: 8 // number)
    assert [next(passing), next(passing)] == [(4, 2), (2, 4)]
    with pytest.raises(ZeroDivisionError):
        next(passing)


def test_what_is_no_artifact_is_told(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt2"
    damaged.write_bytes(b"no archive")
    with pytest.raises(RuntimeError, match=r"damaged\.pt2"):
        UnheldRunner(damaged)
    with pytest.raises(RuntimeError, match=r"gone\.pt2"):
        UnheldRunner(tmp_path / "gone.pt2")

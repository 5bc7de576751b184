"""Long work beside the film: when a job may make a step, and what it costs the film."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from rtvis.runtime.jobs import FREE_STEP_S, Jobs, Traffic
from rtvis.runtime.step_timer import HostTimer, step_timer

QUIET = Traffic()
"""A held picture: nothing waits, and no frame is expected."""


class Clock:
    """Time moves only where a test moves it; also the timer of the steps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.is_busy = False
        self._began_s = 0.0
        self._took_s: float | None = None

    def start(self) -> None:
        self._began_s = self.now_s

    def stop(self) -> None:
        self._took_s = self.now_s - self._began_s

    def read_s(self) -> float | None:
        took_s, self._took_s = (self._took_s, None) if not self.is_busy else (None, self._took_s)
        return took_s


class Work:
    """A generator of `num` steps of `step_s` seconds each that notes what was done to it."""

    def __init__(self, clock: Clock, step_s: float, num: int = 10**9) -> None:
        self.num_done = 0
        self.is_closed = False
        self._clock, self._step_s, self._num = clock, step_s, num

    def steps(self) -> Iterator[float]:
        try:
            for index in range(self._num):
                self._clock.now_s += self._step_s
                self.num_done += 1
                yield (index + 1) / self._num
        finally:
            self.is_closed = True


def made(share: float = 0.08) -> tuple[Clock, Jobs]:
    clock = Clock()
    return clock, Jobs(clock, share=share, now_s=lambda: clock.now_s)


def film(
    clock: Clock, jobs: Jobs, *, period_s: float, turn_s: float, seconds: float
) -> tuple[int, int]:
    """The loop with a stream of one frame each `period_s`; gives (frames captured, computed)."""
    next_s, waits = clock.now_s + period_s, False
    num_captured = num_computed = 0
    until_s = clock.now_s + seconds
    while clock.now_s < until_s:
        while next_s <= clock.now_s:  # one place: a frame that nobody took is lost
            waits, next_s, num_captured = True, next_s + period_s, num_captured + 1
        traffic = Traffic(frame_waits=waits, next_frame_s=next_s - clock.now_s, period_s=period_s)
        if jobs.run(traffic):
            continue
        if waits:
            clock.now_s += turn_s
            waits, num_computed = False, num_computed + 1
        else:
            clock.now_s = min(clock.now_s + 0.010, next_s)
    return num_captured, num_computed


def test_a_job_without_a_film_gets_all_the_time() -> None:
    clock, jobs = made()
    work = Work(clock, 0.030, 4)
    jobs.add("one", "work", work.steps())
    assert [jobs.run(QUIET) for _ in range(4)] == [True] * 4
    assert clock.now_s == pytest.approx(0.120)
    assert work.num_done == 4


def test_while_frames_wait_a_step_pays_for_itself_before_the_next_one() -> None:
    clock, jobs = made(share=0.08)
    work = Work(clock, 0.008)
    jobs.add("one", "work", work.steps())
    busy = Traffic(frame_waits=True, next_frame_s=0.0, period_s=0.04)
    assert jobs.run(busy)  # from 0 to 8 ms
    clock.now_s = 0.0999
    assert not jobs.run(busy)
    clock.now_s = 0.1001  # 8 ms / 8 % = 100 ms after it began
    assert jobs.run(busy)


def test_eight_hundredths_of_the_time_are_taken_where_frames_wait() -> None:
    clock = Clock()
    jobs = Jobs(clock, now_s=lambda: clock.now_s)
    jobs.add("one", "work", Work(clock, 0.020).steps())
    busy = Traffic(frame_waits=True, next_frame_s=0.0, period_s=0.04)
    assert jobs.run(busy)
    clock.now_s = 0.249
    assert not jobs.run(busy)
    clock.now_s = 0.251  # 20 ms / 8 % = 250 ms after it began
    assert jobs.run(busy)


def test_a_step_may_make_the_next_frame_late_by_half_the_time_between_two() -> None:
    clock, jobs = made()
    jobs.add("one", "work", Work(clock, 0.030).steps())
    assert jobs.run(QUIET)  # by now it is known to take 30 ms
    assert not jobs.run(Traffic(next_frame_s=0.0099, period_s=0.04))  # 20.1 ms late
    assert jobs.run(Traffic(next_frame_s=0.0101, period_s=0.04))  # 19.9 of 40


@pytest.mark.parametrize("step_s", [0.005, 0.020, 0.150])
def test_a_film_that_the_network_cannot_follow_keeps_nine_tenths_of_its_rate(step_s: float) -> None:
    clock, jobs = made()
    _, alone = film(clock, jobs, period_s=0.040, turn_s=0.050, seconds=60)
    assert alone == 1200  # one each 50 ms, from 40 ms on
    work = Work(clock, step_s)
    jobs.add("one", "work", work.steps())
    _, beside = film(clock, jobs, period_s=0.040, turn_s=0.050, seconds=60)
    assert beside >= 0.9 * alone
    share = work.num_done * step_s / 60
    # A step comes between two turns, not in the middle of one: 62.5 ms round up to 105.
    assert 0.045 <= share <= 0.08 + step_s / 60


def test_a_network_that_keeps_up_with_its_source_loses_no_frame_to_a_job() -> None:
    clock, jobs = made()
    work = Work(clock, 0.030)
    jobs.add("one", "work", work.steps())
    captured, computed = film(clock, jobs, period_s=0.040, turn_s=0.0245, seconds=60)
    assert captured - computed <= 1  # the last one
    # 15.5 ms are spare; one step of 30 ms makes a frame 14.5 ms late, the next frame makes that up:
    # at least one step for two frames.
    assert work.num_done >= 740


def test_a_step_longer_than_the_gap_between_frames_takes_its_share_and_no_more() -> None:
    clock, jobs = made()
    work = Work(clock, 0.150)  # eager, deep layer
    jobs.add("one", "work", work.steps())
    captured, computed = film(clock, jobs, period_s=0.040, turn_s=0.0245, seconds=60)
    assert work.num_done >= 30  # one each 150 ms / 8 % = 1.9 s
    assert computed >= 0.9 * captured


def test_a_choice_of_the_user_goes_before_every_job() -> None:
    clock, jobs = made()
    jobs.add("one", "work", Work(clock, 0.01).steps(), is_urgent=True)
    assert not jobs.run(Traffic(choice_waits=True))
    assert jobs.run(QUIET)


def test_what_was_clicked_makes_its_first_step_at_once_but_not_for_a_key_held_down() -> None:
    clock, jobs = made()
    busy = Traffic(frame_waits=True, next_frame_s=0.0, period_s=0.04)
    first, second, third = (Work(clock, 0.030) for _ in range(3))
    jobs.add("unit", "1", first.steps(), is_urgent=True)
    assert jobs.run(busy)
    clock.now_s += 0.040
    jobs.add("unit", "2", second.steps(), is_urgent=True)  # a key repeats after 40 ms
    assert first.is_closed
    assert not jobs.run(busy)
    clock.now_s += FREE_STEP_S - 0.071  # 299 ms after the first one began
    jobs.add("unit", "3", third.steps(), is_urgent=True)
    assert not jobs.run(busy)
    clock.now_s += 0.002
    assert jobs.run(busy)
    assert (first.num_done, second.num_done, third.num_done) == (1, 0, 1)


def test_the_urgent_job_goes_first_and_equals_take_turns() -> None:
    clock, jobs = made()
    works = {name: Work(clock, 0.01, 4) for name in ("old", "new", "clicked")}
    jobs.add("old", "old", works["old"].steps())
    for _ in range(2):
        jobs.run(QUIET)
    jobs.add("new", "new", works["new"].steps())
    jobs.add("clicked", "clicked", works["clicked"].steps(), is_urgent=True)
    for _ in range(5):  # the fifth finds that it is over
        jobs.run(QUIET)
    assert [work.num_done for work in works.values()] == [2, 0, 4]
    for _ in range(3):
        jobs.run(QUIET)
    # The newcomer does not catch up first: turn by turn.
    assert [work.num_done for work in works.values()] == [3, 2, 4]


def test_pause_holds_a_job_and_cancel_closes_it() -> None:
    clock, jobs = made()
    ended: list[str] = []
    work = Work(clock, 0.01)
    jobs.add("one", "work", work.steps(), on_end=ended.append)
    jobs.run(QUIET)
    jobs.pause("one")
    assert not jobs.run(QUIET)
    assert jobs.shown[0].is_paused
    jobs.pause("one", paused=False)
    assert jobs.run(QUIET)
    jobs.cancel("one")
    assert (work.num_done, work.is_closed, ended) == (2, True, ["cancelled"])
    assert "one" not in jobs
    assert not jobs.run(QUIET)
    jobs.cancel("one")  # over already
    assert ended == ["cancelled"]


def test_share_and_time_left_are_told_without_pauses() -> None:
    clock, jobs = made()
    jobs.add("one", "a layer", Work(clock, 0.5, 10).steps())
    jobs.run(QUIET)
    assert (jobs.shown[0].name, jobs.shown[0].share) == ("a layer", 0.1)
    assert jobs.shown[0].left_s is None  # nobody knows yet
    clock.now_s += 0.5  # turns of the film between the steps
    jobs.run(QUIET)
    # From the beginning of the first step to that of the second: 1 s, for which 0.2 was done.
    assert jobs.shown[0].left_s == pytest.approx(1.0 * 0.8 / 0.2)
    jobs.pause("one")
    clock.now_s += 1000
    jobs.pause("one", paused=False)
    jobs.run(QUIET)
    assert jobs.shown[0].left_s == pytest.approx(1.0 * 0.7 / 0.3)


def test_work_that_goes_on_where_it_was_left_counts_its_time_from_there() -> None:
    clock, jobs = made()
    steps = iter([0.6, 0.7, 0.8])

    def later() -> Iterator[float]:
        for share in steps:
            clock.now_s += 2.0
            yield share

    jobs.add("one", "work", later(), share=0.5)
    assert jobs.shown[0].share == 0.5
    jobs.run(QUIET)
    jobs.run(QUIET)
    assert jobs.shown[0].left_s == pytest.approx(2.0 * 0.3 / 0.2)


def test_a_job_that_ends_or_fails_is_told_and_the_others_go_on() -> None:
    clock, jobs = made()
    ended: list[str] = []

    def broken() -> Iterator[float]:
        yield 0.5
        raise ValueError("no such thing")

    jobs.add("bad", "bad", broken(), on_end=ended.append)
    jobs.add("good", "good", Work(clock, 0.01, 2).steps(), on_end=ended.append)
    for _ in range(5):
        jobs.run(QUIET)
    assert ended == ["failed", "done"]
    assert jobs.faults.note == "ValueError: no such thing"
    assert jobs.shown == ()


def test_closing_cancels_everything_and_may_be_done_twice() -> None:
    clock, jobs = made()
    works = [Work(clock, 0.01) for _ in range(3)]
    for index, work in enumerate(works):
        jobs.add(index, "work", work.steps())
        jobs.run(QUIET)
    jobs.close()
    jobs.close()
    assert all(work.is_closed for work in works if work.num_done)
    assert jobs.shown == ()


def test_no_step_begins_while_the_device_computes_the_last_one() -> None:
    clock, jobs = made()
    work = Work(clock, 0.01)
    jobs.add("one", "work", work.steps())
    clock.is_busy = True
    assert not jobs.run(QUIET)
    clock.is_busy = False
    assert jobs.run(QUIET)


def test_the_timer_of_the_host_tells_each_step_once() -> None:
    timer = step_timer(torch.device("cpu"))
    assert isinstance(timer, HostTimer)
    timer.start()
    timer.stop()
    took_s = timer.read_s()
    assert took_s is not None
    assert 0 <= took_s < 0.1
    assert timer.read_s() is None

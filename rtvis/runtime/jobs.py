"""Long work in the spare milliseconds of each turn.

A job is a generator that yields how much of it is done. The engine thread steps it between two
turns, so nothing needs a lock; closing the generator cancels it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from rtvis.render.scene import JobShown
from rtvis.runtime.faults import Faults
from rtvis.runtime.step_timer import StepTimer

STOLEN_SHARE: Final = 0.08
"""Of the time, what jobs take while frames wait: the video keeps 90 % of its rate, less 2 % for
caches that a job empties."""

LATE_SHARE: Final = 0.5
"""Of the time between two frames, how late a job may make the next one where the network keeps up.
Less than 1: a frame that is taken before the next one comes is not dropped."""

FREE_STEP_S: Final = 0.3
"""A job that the user has just asked for makes its first step at once, but not more often than
this: who holds an arrow key down looks at the film."""

Ending: TypeAlias = Literal["done", "cancelled", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What the loop would do if there were no jobs."""

    choice_waits: bool = False
    """The user has chosen something that is not drawn yet."""
    frame_waits: bool = False
    """A frame is there and not computed yet."""
    next_frame_s: float | None = None
    """Seconds until the next frame is expected; negative: overdue. None: none is expected."""
    period_s: float = 0.0
    """Between two frames."""


@dataclass(slots=True)
class _Job:
    """One generator and its bookkeeping."""

    key: object
    name: str
    steps: Iterator[float]
    is_urgent: bool
    on_end: Callable[[Ending], None]
    share: float = 0.0
    num_steps: int = 0
    last_step: int = -1
    """Its place among the steps of all jobs."""
    is_paused: bool = False
    expected_s: float = 0.0
    """Of a step; the first one is a surprise."""
    worked_s: float = 0.0
    """Wall-clock seconds since it began, pauses taken out."""
    share_before: float = 0.0
    """What was done when it began: of work that goes on where it was left."""
    since_s: float | None = None


class Jobs:
    """Steps generators when nobody waits. Owned by the engine thread.

    When a step runs:

    - never while a choice of the user waits;
    - at once where no frame is expected (a held or still picture), and where the next frame is not
      made later than `LATE_SHARE` of the time between two frames: a network that keeps up with its
      source goes on keeping up;
    - else, so that a job goes on beside a film that the network cannot follow, after the step
      before has paid for itself: one of 8 ms, at a share of 8 %, allows the next one 100 ms after
      it began.

    Urgent jobs (what the user has just clicked) go before all others; equals take turns.
    """

    def __init__(
        self,
        timer: StepTimer,
        *,
        share: float = STOLEN_SHARE,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timer = timer
        self._share = share
        self._now_s = now_s
        self._jobs: list[_Job] = []
        self._running: _Job | None = None
        """Whose step the timer measures."""
        self._begun_s = 0.0
        self._paid_s = float("-inf")
        """When the last step has paid for itself."""
        self._free_s = float("-inf")
        """When a first step was last made out of turn."""
        self.faults = Faults()
        self.num_steps = 0
        """Of all jobs so far."""

    def add(
        self,
        key: object,
        name: str,
        steps: Iterator[float],
        *,
        is_urgent: bool = False,
        share: float = 0.0,
        on_end: Callable[[Ending], None] = lambda _: None,
    ) -> None:
        """Begin a job, in place of one with the same key.

        Args:
            key: What to call it when it is paused or cancelled.
            name: What to call it on screen.
            steps: Yields the share that is done, 0..1.
            is_urgent: Goes before others, and makes its first step at once.
            share: What is done of it already.
            on_end: Called on this thread when it is over, however it ended.
        """
        self.cancel(key)
        self._jobs.append(
            _Job(key, name, steps, is_urgent, on_end, share=share, share_before=share)
        )

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not None

    @property
    def shown(self) -> tuple[JobShown, ...]:
        """For the screen, in the order in which they began."""
        return tuple(
            JobShown(
                key=job.key,
                name=job.name,
                share=job.share,
                left_s=self._left_s(job),
                is_paused=job.is_paused,
            )
            for job in self._jobs
        )

    def pause(self, key: object, *, paused: bool = True) -> None:
        """Hold a job, or let it go on; an unknown key is over already."""
        job = self._find(key)
        if job is not None:
            job.is_paused = paused
            job.since_s = None

    def cancel(self, key: object) -> None:
        """Close a job's generator; an unknown key is over already."""
        job = self._find(key)
        if job is not None:
            self._end(job, "cancelled")

    @property
    def is_busy(self) -> bool:
        """Whether a job waits for the device to finish its last step."""
        return bool(self._jobs) and self._timer.is_busy

    def close(self) -> None:
        """Cancel everything. Safe to call twice."""
        while self._jobs:
            self._end(self._jobs[-1], "cancelled")

    def run(self, traffic: Traffic) -> bool:
        """Make one step of one job, if nobody waits for anything else; whether one was made."""
        self._read_timer()
        job = self._next()
        if job is None or traffic.choice_waits or self._timer.is_busy:
            return False
        now_s = self._now_s()
        is_free = job.is_urgent and job.num_steps == 0 and now_s - self._free_s >= FREE_STEP_S
        if not (is_free or self._fits(job, traffic) or now_s >= self._paid_s):
            return False
        if is_free:
            self._free_s = now_s
        self._step(job, now_s)
        return True

    def _fits(self, job: _Job, traffic: Traffic) -> bool:
        if traffic.frame_waits:
            return False
        if traffic.next_frame_s is None:
            return True
        late_s = job.expected_s - traffic.next_frame_s
        return late_s <= LATE_SHARE * traffic.period_s

    def _next(self) -> _Job | None:
        """The job whose turn it is."""
        ready = [job for job in self._jobs if not job.is_paused]
        return min(ready, key=lambda job: (not job.is_urgent, job.last_step), default=None)

    def _step(self, job: _Job, now_s: float) -> None:
        if job.since_s is not None:
            job.worked_s += now_s - job.since_s
        job.since_s = now_s
        self._begun_s, self._running = now_s, job
        self._timer.start()
        try:
            job.share = next(job.steps)
        except StopIteration:
            self._end(job, "done")
        except Exception as error:  # noqa: BLE001 - a job's fault must not end the film
            self.faults.add(error)
            self._end(job, "failed")
        finally:
            self._timer.stop()
        job.num_steps += 1
        job.last_step = self.num_steps
        self.num_steps += 1
        self._read_timer()

    def _read_timer(self) -> None:
        took_s = self._timer.read_s()
        if took_s is None:
            return
        self._paid_s = max(self._paid_s, self._begun_s + took_s / self._share)
        if self._running is not None:
            known_s = self._running.expected_s
            # The longest of late: a step that is longer than thought makes a frame late.
            self._running.expected_s = max(took_s, 0.8 * known_s + 0.2 * took_s)

    def _left_s(self, job: _Job) -> float | None:
        done = job.share - job.share_before
        if done <= 0 or not job.worked_s:
            return None
        return job.worked_s * (1 - job.share) / done

    def _end(self, job: _Job, how: Ending) -> None:
        self._jobs.remove(job)
        close = getattr(job.steps, "close", None)
        if close is not None:
            close()
        job.on_end(how)

    def _find(self, key: object) -> _Job | None:
        return next((job for job in self._jobs if job.key == key), None)

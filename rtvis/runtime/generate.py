"""Pictures of many units: a layer's, or all there are, made one after the other as a job."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias, assert_never

from rtvis.counting import counted
from rtvis.data import Layer
from rtvis.render.scene import JobShown
from rtvis.runtime.growth import UNIT_JOB, Grower, Listener, take
from rtvis.runtime.jobs import Ending, Jobs
from rtvis.runtime.known import KnownUnit, Name

Generate: TypeAlias = Literal[
    "generate layer", "generate all", "next job", "pause jobs", "cancel jobs"
]
"""What is done with many units at once."""

CONFIRM_S: Final = 5.0
"""How soon a key must come again to mean yes."""


class ManyUnits:
    """Begins, holds and ends the making of many pictures (DV-53, DV-54).

    Args:
        layers: By name.
        jobs: Steps it.
        grower: Makes them.
        listener: Hears what becomes of them.
        is_made: Whether a picture is there already; such are made anew only after a second key.
        say: Tells the user something; the second argument: whether it is a warning.
        now_s: The clock.
    """

    def __init__(
        self,
        *,
        layers: Mapping[str, Layer],
        jobs: Jobs,
        grower: Grower | None,
        listener: Listener,
        is_made: Callable[[Name], bool],
        say: Callable[[str, bool], None],
        now_s: Callable[[], float],
    ) -> None:
        self._layers = layers
        self._jobs = jobs
        self._grower = grower
        self._listener = listener
        self._is_made = is_made
        self._say = say
        self._now_s = now_s
        self._asked: tuple[str, float] | None = None
        """What was asked once, and when: a second time means yes."""
        self._chosen: object = None
        """Key of the job that pausing and cancelling are about; None: all of them."""

    @property
    def jobs(self) -> tuple[JobShown, ...]:
        """For the screen, in the order in which they began; the one for the selected unit has a
        place of its own."""
        jobs = [job for job in self._jobs.shown if job.key != UNIT_JOB]
        if self._chosen not in [job.key for job in jobs]:
            return tuple(jobs)
        return tuple(replace(job, is_chosen=job.key == self._chosen) for job in jobs)

    def do(self, what: Generate, layer: str) -> None:
        """Carry out what the user asks for."""
        match what:
            case "generate layer":
                self._generate((layer,), what)
            case "generate all":
                self._generate(tuple(self._layers), what)
            case "pause jobs":
                self._pause()
            case "cancel jobs":
                self._cancel()
            case "next job":
                self._choose_next()
            case _:
                assert_never(what)

    def _generate(self, layers: tuple[str, ...], what: Generate) -> None:
        title = layers[0] if len(layers) == 1 else f"{len(layers)} layers"
        key = (what, layers)
        if self._grower is None:
            self._say("this network cannot be asked for gradients", True)
            return
        if key in self._jobs:
            self._say(f"{title}: pictures are being made", False)
            return
        names = [(each, unit) for each in layers for unit in range(self._layers[each].num_units)]
        missing = [name for name in names if not self._is_made(name)]
        question = ""
        if not missing:
            question = (
                f"all {len(names):,} pictures of {title} are made; the same again makes them anew"
            )
        elif what == "generate all":
            question = (
                f"{counted(len(missing), 'picture')} of {title} take long; the same again begins"
            )
        if question and not self._is_confirmed(what):
            self._say(f"{question} (within {CONFIRM_S:.0f} s)", False)
            return
        wanted = missing or names
        steps = self._many(self._grower, wanted, overwrite=not missing)
        self._jobs.add(key, title, steps, on_end=lambda how: self._ended(title, how))
        self._say(f"{title}: making {counted(len(wanted), 'picture')}", False)

    def _is_confirmed(self, what: str) -> bool:
        """Whether the same was asked a moment ago."""
        asked, self._asked = self._asked, (what, self._now_s())
        if asked is None or asked[0] != what or self._now_s() - asked[1] > CONFIRM_S:
            return False
        self._asked = None
        return True

    def _many(self, grower: Grower, names: Sequence[Name], *, overwrite: bool) -> Iterator[float]:
        for index, name in enumerate(names):
            if not overwrite and self._is_made(name):  # meanwhile, by a click
                continue
            made = KnownUnit()
            for grown in grower.grow(*name, start_13HW=None):
                take(made, grown, self._listener)
                yield (index + grown.share) / len(names)
                if grown.result is not None:
                    self._listener.finished(name, made, grown.result)

    def _ended(self, title: str, how: Ending) -> None:
        if how == "failed":
            self._say(f"{title}: {self._jobs.faults.note}", True)
        elif how == "done":
            self._say(f"{title}: all pictures are made", False)

    def _choose_next(self) -> None:
        """Pausing and cancelling are about the next job; behind the last one about all of them."""
        keys = [job.key for job in self.jobs]
        if len(keys) < 2:
            self._say("there are not several to choose from", False)
            return
        turn: list[object] = [*keys, None]
        now = self._chosen if self._chosen in keys else None
        self._chosen = turn[(turn.index(now) + 1) % len(turn)]

    def _cancel(self) -> None:
        jobs = self.jobs
        for job in jobs:
            if job.is_chosen:
                self._jobs.cancel(job.key)
        said = f"cancelled{_which(jobs)}; what is made stays"
        self._say(said if jobs else "nothing to cancel", False)

    def _pause(self) -> None:
        jobs = self.jobs
        chosen = [job for job in jobs if job.is_chosen]
        if not chosen:
            self._say("nothing is being made but the selected unit's picture", False)
            return
        paused = not all(job.is_paused for job in chosen)
        for job in chosen:
            self._jobs.pause(job.key, paused=paused)
        self._say(f"{'paused' if paused else 'going on'}{_which(jobs)}", False)


def _which(jobs: Sequence[JobShown]) -> str:
    """Which of several are chosen, as the end of a word about them."""
    chosen = [job for job in jobs if job.is_chosen]
    if len(jobs) < 2:
        return ""
    return f": {chosen[0].name}" if len(chosen) == 1 else f": all {len(chosen)}"

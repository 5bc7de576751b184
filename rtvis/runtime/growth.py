"""The picture of the selected unit grows: a job that goes on where it was left."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from torch import Tensor

from rtvis.runtime.jobs import Ending, Jobs
from rtvis.runtime.known import KnownUnit, KnownUnits, Name
from rtvis.session import Beginning

UNIT_JOB: Final = "unit"
"""Key of the job for the selected unit."""
_MAX_SUSPENDED: Final = 16
"""Half-grown pictures that go on where they were left."""

Growth: TypeAlias = tuple[Name, Beginning]
"""A picture that grows, and where it began."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grown:
    """A picture on its way."""

    draw: Callable[[], Tensor]
    """Gives the newest picture, uint8 RGB [H, W, 3] on the engine's device; asked only when it is
    to be seen."""
    share: float
    """How much is done, 0..1."""
    value: float | None = None
    """What the unit says to it, where the host knows that without waiting for the device."""
    result: object | None = None
    """With the last one: what the shelf keeps."""


class Grower(Protocol):
    """Makes pictures that excite units, step by step, and compiles nothing for it."""

    def grow(self, layer: str, unit: int, *, start_13HW: Tensor | None) -> Iterator[Grown]:
        """Steps of a few milliseconds each; the first one gives a picture.

        Args:
            layer: Its name.
            unit: Of the layer.
            start_13HW: Preprocessed input to begin with; None: noise.
        """
        ...


class Listener(Protocol):
    """Hears what becomes of pictures that grow."""

    def grew(self, *, first: bool) -> None:
        """A step was made; the first one of a picture is to be seen at once."""
        ...

    def finished(self, name: Name, unit: KnownUnit, result: object) -> None: ...
    def failed(self, name: Name, why: str) -> None: ...


def take(known: KnownUnit, grown: Grown, listener: Listener) -> None:
    """Take over a step."""
    first = not known.has_picture
    known.draw, known.share, known.value = grown.draw, grown.share, grown.value
    listener.grew(first=first)


class SelectedGrowth:
    """Grows one picture at a time; others wait, half-grown, to be selected again.

    Args:
        jobs: Steps it.
        grower: Makes it; None where the network cannot be asked for gradients.
        known: Where the pictures are.
        listener: Hears what becomes of them.
        start: The network's input that is shown now; None before the first frame.
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        grower: Grower | None,
        known: KnownUnits,
        listener: Listener,
        start: Callable[[], Tensor | None],
    ) -> None:
        self._jobs = jobs
        self._grower = grower
        self._known = known
        self._listener = listener
        self._start = start
        self._suspended: OrderedDict[Growth, Iterator[Grown]] = OrderedDict()
        self._now: Growth | None = None

    @property
    def name(self) -> Name | None:
        """Whose picture grows."""
        return self._now[0] if self._now is not None else None

    def want(self, growth: Growth | None) -> None:
        """Let this picture grow and no other; None: leave all as they are."""
        if self._grower is None or growth == self._now:
            return
        if self._now is not None:
            self._known.of(self._now[0]).picture()  # as it is left
            self._now = None
            self._jobs.cancel(UNIT_JOB)
        if growth is not None:
            self._begin(growth, self._grower)

    def forget(self, name: Name) -> None:
        """Nothing of this unit goes on where it was left."""
        for growth in [each for each in self._suspended if each[0] == name]:
            del self._suspended[growth]

    def close(self) -> None:
        """Leave all. Safe to call twice."""
        self.want(None)
        self._suspended.clear()

    def _begin(self, growth: Growth, grower: Grower) -> None:
        name, beginning = growth
        steps, known = self._suspended.pop(growth, None), self._known.of(name)
        if steps is None:
            start_13HW = self._start() if beginning == "frame" else None
            steps, known.share = grower.grow(*name, start_13HW=start_13HW), 0.0
        self._now = growth
        self._jobs.add(
            UNIT_JOB,
            f"{name[0]}:{name[1]}",
            self._growing(name, known, steps),
            is_urgent=True,
            share=known.share,
            on_end=lambda how: self._ended(name, how),
        )
        self._suspended[growth] = steps
        while len(self._suspended) > _MAX_SUSPENDED:
            self._suspended.popitem(last=False)

    def _growing(self, name: Name, known: KnownUnit, steps: Iterator[Grown]) -> Iterator[float]:
        """The job: cancelled halfway it leaves `steps` where they are, to go on later."""
        for grown in steps:
            take(known, grown, self._listener)
            if grown.result is not None:
                self._listener.finished(name, known, grown.result)
            yield grown.share

    def _ended(self, name: Name, how: Ending) -> None:
        if how == "cancelled":
            return
        self.forget(name)
        self._now = None
        if how == "failed":
            known = self._known.of(name)
            known.fault = self._jobs.faults.note  # not begun again by the next turn
            self._listener.failed(name, known.fault)

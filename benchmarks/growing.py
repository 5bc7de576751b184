"""What pictures that grow beside the film cost it, measured by turns within one run."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks import common
from benchmarks.common import median

PERIOD_S: Final = 3.0
"""How long a picture grows, or is held, before they change over."""
_SETTLE_S: Final = 0.5
"""Of each period, what does not count."""


@dataclass(slots=True)
class Tally:
    """Of all periods of one kind."""

    seconds: float = 0.0
    num_captured: int = 0
    num_processed: int = 0
    num_steps: int = 0

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Growing:
    """Lets a picture grow, and holds it, by turns; each time it grows another unit is clicked.

    Both are measured in one process and on the same film, a few seconds apart: a machine that is
    busy with other things slows both.
    """

    pipeline: Any
    source: Any
    tallies: dict[str, Tally] = field(default_factory=lambda: {"held": Tally(), "grows": Tally()})
    turns: list[int] = field(default_factory=list)
    """From each click to the first picture of the new unit."""
    _unit: int = 0
    _grows: bool = False
    _since_s: float = field(default_factory=time.monotonic)
    _begin: tuple[float, int, int, int] | None = None
    _drawn: list[tuple[int, bool]] = field(default_factory=list)
    """(unit, whether its picture was there) of each canvas since the click."""

    def note(self, scene: Any) -> None:
        """A canvas was composed."""
        learned = scene.learned
        if learned is None or scene.result is None:
            return
        self._drawn.append((learned.unit, learned.optimized_HW3 is not None))

    def look(self, num_processed: int) -> None:
        """Called about 20 times a second on the main thread, while it counts."""
        now_s = time.monotonic()
        counts = (
            now_s,
            self.source.status().num_captured,
            num_processed,
            self.pipeline.loop.units.learning.num_grown,
        )
        elapsed_s = now_s - self._since_s
        if self._begin is None and elapsed_s > _SETTLE_S:
            self._begin = counts
        if elapsed_s > PERIOD_S and self._begin is not None:
            self._add(counts)
            self._change_over()

    def _add(self, counts: tuple[float, int, int, int]) -> None:
        assert self._begin is not None
        tally = self.tallies["grows" if self._grows else "held"]
        gone = [after - before for after, before in zip(counts, self._begin, strict=True)]
        tally.seconds += gone[0]
        tally.num_captured += int(gone[1])
        tally.num_processed += int(gone[2])
        tally.num_steps += int(gone[3])

    def _change_over(self) -> None:
        from dataclasses import replace

        if self._grows:
            self._count_turns()
        self._grows = not self._grows
        self._since_s, self._begin = time.monotonic(), None
        if not self._grows:
            self.pipeline.session.update(growing=False)
            return
        self._unit += 1
        self._drawn.clear()
        unit = self._unit
        self.pipeline.session.apply(
            lambda view: replace(view, growing=True, selection=replace(view.selection, unit=unit))
        )

    def _count_turns(self) -> None:
        own = [there for unit, there in list(self._drawn) if unit == self._unit]
        if True in own:
            self.turns.append(own.index(True) + 1)


def rows_of(runs: dict[str, dict[str, Any]]) -> str:
    """A table of what `Growing` found in some runs."""
    head = (
        "beside a growing picture",
        "processed fps, held",
        "processed fps, grows",
        "ratio",
        "captured fps",
        "steps a second",
        "turns to the first picture",
    )
    rows = []
    for name, found in runs.items():
        held, grows = (found["growing"][kind] for kind in ("held", "grows"))
        if not held["seconds"] or not grows["seconds"]:
            continue
        rates = [each["num_processed"] / each["seconds"] for each in (held, grows)]
        turns = found["growing"]["turns"]
        rows.append(
            [
                name,
                f"{rates[0]:.1f}",
                f"{rates[1]:.1f}",
                f"{rates[1] / rates[0]:.3f}" if rates[0] else "-",
                f"{grows['num_captured'] / grows['seconds']:.1f}",
                f"{grows['num_steps'] / grows['seconds']:.1f}",
                f"median {median(turns):.0f}, most {max(turns)} of {len(turns)}" if turns else "-",
            ]
        )
    text = (
        f"\nA picture grows for {PERIOD_S:g} s and is held for as long, by turns, with the page of "
        "what was learned in sight; each time another unit is clicked.\n\n"
    )
    return text + common.table(head, rows)

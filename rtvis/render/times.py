"""What a turn takes, as a small table over the canvas (DVT-16)."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from rtvis.data import Rates
from rtvis.render.scene import Scene
from rtvis.session import Timing

Table: TypeAlias = tuple[tuple[str, ...], ...]
"""Rows of cells, the first row being the heads, the last cells of a row flush right."""

_HOLD_NS: Final = 500_000_000
_MIB: Final = 2**20


def times_table(rates: Rates, timing: Timing) -> Table:
    """The stages of a turn, with their sum, and what they and the process take beside time.

    The sum leaves out the stage in which the loop waits for a frame.
    """
    if timing == "off":
        return ()
    heads = ("", "ms", "CPU ms")
    rows = [
        (name, _ms(rates.stages_ms, name), _ms(rates.stages_cpu_ms, name))
        for name in rates.stages_ms
    ]
    turn = (
        "turn",
        *(
            f"{sum(value for name, value in means.items() if name != 'wait'):.1f}"
            for means in (rates.stages_ms, rates.stages_cpu_ms)
        ),
    )
    if timing == "stages":
        return tuple(row[:2] for row in (heads, *rows, turn))
    use = rates.process
    about = [
        ("processor", "", f"{use.num_cores:.1f} cores"),
        ("memory", "", f"{use.memory_bytes / _MIB:.0f} MiB"),
    ]
    if use.device_bytes:
        about.append(("on the GPU", "", f"{use.device_bytes / _MIB:.0f} MiB"))
    return (heads, *rows, turn, *about)


def _ms(means_ms: dict[str, float], name: str) -> str:
    return f"{means_ms[name]:.1f}" if name in means_ms else "–"


@dataclass(slots=True)
class HeldTimes:
    """The table that is shown: one that changed with each picture could not be read."""

    table: Table = ()
    timing: Timing = "off"
    made_ns: int = 0

    def of(self, scene: Scene) -> Table:
        """The table for a scene, at most half a second old."""
        timing = scene.view.timing
        if timing != self.timing or not 0 <= scene.now_ns - self.made_ns < _HOLD_NS:
            self.table = times_table(scene.rates, timing)
            self.timing, self.made_ns = timing, scene.now_ns
        return self.table

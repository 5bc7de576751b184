"""What `inputs.json` of a unit says: which inputs its pictures are of, the strongest first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rtvis.data import Crop, Rule
from rtvis.errors import ConfigError, StoreError
from rtvis.plain import from_plain, to_plain
from rtvis.units import names
from rtvis.units.store import Store

KINDS: Final = ("crop", "full", "gradient", "guided", "deconvnet")
"""The pictures of each input, in the order in which they are shown."""
EXPORTED: Final[tuple[Rule, ...]] = ("deconvnet", "gradient")
"""The backward pictures that are kept with all of their range, too: DVT has them (DVT-84)."""
_ABSOLUTE, _RELATIVE = 1e-3, 0.02
"""How far a value may be off that was computed again: half floats and other batches are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitInput:
    """One of a unit's strongest inputs."""

    item: int
    """Its number in the list of items."""
    name: str
    """The file's."""
    label: str | None
    pts_seconds: float | None
    """Of a frame of a film."""
    value: float
    """As the scan found it."""
    position: tuple[int, int]
    """(row, column) in the unit's map."""
    recomputed: float | None
    """The value when the pictures were made; None where it was not computed."""
    field: Crop
    """What the neuron can depend on, in pixels of the network's input; may reach beyond it."""
    source: Crop
    """The same in pixels of the picture, without padding."""
    picture_size: tuple[int, int]
    """(height, width)."""

    @property
    def is_reproduced(self) -> bool:
        """Whether the value came out again: else the picture or the network is another."""
        if self.recomputed is None:
            return True
        largest = max(abs(self.value), abs(self.recomputed))
        return abs(self.recomputed - self.value) <= _ABSOLUTE + _RELATIVE * largest


def as_json(inputs: Sequence[UnitInput]) -> list[Any]:
    """What the file holds."""
    return [to_plain(each) for each in inputs]


def read_inputs(store: Store, layer: str, unit: int) -> tuple[UnitInput, ...]:
    """A unit's inputs; none where no pictures were made.

    Raises:
        StoreError: The file is damaged.
    """
    plain = store.read_unit_json(layer, unit, names.INPUTS)
    if plain is None:
        return ()
    path = store.unit_path(layer, unit, names.INPUTS)
    if not isinstance(plain, list):
        raise StoreError(f"{path}: is no list; `rtvis units verify` finds all that is damaged")
    try:
        return tuple(from_plain(UnitInput, each, where=f"{path}: ") for each in plain)
    except ConfigError as fault:
        raise StoreError(str(fault)) from None


def are_of(inputs: Sequence[UnitInput], wanted: Sequence[tuple[int, float, Any]]) -> bool:
    """Whether inputs are those that a scan found: the same items with the same values."""
    return len(inputs) == len(wanted) and all(
        each.item == item and math.isclose(each.value, value, rel_tol=1e-6)
        for each, (item, value, _) in zip(inputs, wanted, strict=True)
    )

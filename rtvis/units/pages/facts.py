"""What a store knows of the units of a layer, as the pages need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from rtvis.data import Layer
from rtvis.units import names
from rtvis.units.contents import files_by_unit
from rtvis.units.store import Store
from rtvis.units.tracker import Top

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerFacts:
    """Of one layer."""

    layer: Layer
    top: Top | None
    statistics: Arrays
    """As `rtvis.units.statistics.Statistics`; empty without a scan."""
    selectivity: Arrays
    """As `rtvis.units.selectivity.Selectivity`; empty where no classes are known."""
    classes: tuple[str, ...]
    files: Mapping[int, Mapping[str, str]]
    """Of each unit: names of its files and their digests."""

    @property
    def units(self) -> tuple[int, ...]:
        """Those that there is something to tell of."""
        if self.top is not None:
            return tuple(range(self.layer.num_units))
        return tuple(sorted(self.files))

    def of(self, name: str, unit: int) -> Any:
        """One number of a unit's statistics; None where it is not known."""
        values = self.statistics.get(name)
        return None if values is None or unit >= len(values) else values[unit]

    def maximum(self, unit: int) -> float:
        """The largest value that a scan found; NaN without one."""
        if self.top is None or int(self.top.item_CN[unit, 0]) < 0:
            return float("nan")
        return float(self.top.values_CN[unit, 0])

    def selectivity_of(self, unit: int) -> float:
        """0..1; NaN where it is not known."""
        index_C = self.selectivity.get("index_C")
        return float("nan") if index_C is None else float(index_C[unit])

    def classes_of(self, unit: int) -> list[tuple[str, float]]:
        """The classes that it answers to most, with its mean answers."""
        found = self.selectivity.get("top_class_CN")
        if found is None:
            return []
        means = self.selectivity["top_mean_CN"][unit]
        return [
            (self.classes[index], float(mean))
            for index, mean in zip(found[unit].tolist(), means, strict=True)
            if 0 <= index < len(self.classes)
        ]

    def optimized(self, unit: int) -> tuple[str, ...]:
        """The names of its optimised pictures, those of the default preset first."""
        found = [
            name
            for name in self.files.get(unit, ())
            if name.startswith(f"{names.OPTIMIZED}_") and name.endswith(".png")
        ]
        first = f"{names.OPTIMIZED}_default_"
        return tuple(sorted(found, key=lambda name: (not name.startswith(first), name)))

    def driving(self, unit: int) -> tuple[str, ...]:
        """Of these, those that drive the unit up: what stands for it where one must."""
        return tuple(name for name in self.optimized(unit) if not names.mark_of(name))


def facts_of(store: Store, layer: Layer) -> LayerFacts:
    """What is known of a layer.

    Raises:
        StoreError: A file is damaged.
    """
    items = store.read_json(None, f"{names.ITEMS}.json")
    classes = items.get("classes", ()) if isinstance(items, dict) else ()
    return LayerFacts(
        layer=layer,
        top=store.read_top(layer.name),
        statistics=store.read_arrays(layer.name, names.STATISTICS) or {},
        selectivity=store.read_arrays(layer.name, names.SELECTIVITY) or {},
        classes=tuple(str(each) for each in classes),
        files=files_by_unit(store, layer.name),
    )

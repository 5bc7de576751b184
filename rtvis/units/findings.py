"""What a scan has found: all of it is added and merged exactly, whoever found which part."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.engine.reduced.forward import Reduced
from rtvis.units.arrays import Arrays, below
from rtvis.units.selectivity import ClassSums
from rtvis.units.statistics import UnitStatistics
from rtvis.units.tracker import Top, TopTracker


class Findings:
    """About T units, on a device: the best items, and if wanted statistics and class sums."""

    def __init__(
        self,
        top: TopTracker,
        statistics: UnitStatistics | None = None,
        classes: ClassSums | None = None,
    ) -> None:
        self.tracker = top
        self.statistics = statistics
        self.classes = classes

    @staticmethod
    def empty(
        num_units: int,
        num_top: int,
        *,
        with_statistics: bool = True,
        num_classes: int | None = None,
        device: torch.device | None = None,
    ) -> "Findings":
        """Nothing yet. `num_classes`: None without class sums."""
        return Findings(
            TopTracker(num_units, num_top, device=device),
            UnitStatistics(num_units, device) if with_statistics else None,
            None if num_classes is None else ClassSums(num_units, num_classes, device),
        )

    def add_items(self, reduced: Reduced, item_B: Tensor, label_B: Tensor) -> None:
        """Add pictures or frames to all but the best items.

        Args:
            reduced: On the device.
            item_B: int64; -1: a row without an item.
            label_B: int64, classes; -1 where it is not known.
        """
        if self.statistics is not None:
            self.statistics.update(reduced, item_B >= 0)
        if self.classes is not None:
            self.classes.update(reduced.values_BT, label_B.masked_fill(item_B < 0, -1))

    def add_hits(self, values_BT: Tensor, place_BT: Tensor, item_B: Tensor) -> None:
        """Add pictures or frames to the best items; see `TopTracker.update_packed`."""
        self.tracker.update_packed(values_BT, place_BT, item_B)

    def add(
        self, other: "Findings", *, first_item: int = 0, class_of_K: Tensor | None = None
    ) -> None:
        """Add what was found in other items: in any order, with the same result.

        Args:
            other: About the same units.
            first_item: The number here of what is item 0 there.
            class_of_K: int64: for each class there, which one it is here; None: the same.
        """
        top = other.tracker.top()
        item_CN = torch.where(top.item_CN < 0, -1, top.item_CN + first_item)
        self.tracker.add(replace(top, item_CN=item_CN))
        if self.statistics is not None and other.statistics is not None:
            self.statistics.add(other.statistics)
        if self.classes is not None and other.classes is not None:
            self.classes.add(other.classes, class_of_K)

    def to_arrays(self) -> Arrays:
        """All of it, as arrays of numbers."""
        top = self.tracker.top()
        arrays = {
            "top_values": top.values_CN.cpu().numpy(),
            "top_item": top.item_CN.cpu().numpy(),
            "top_position": top.position_CN2.cpu().numpy(),
        }
        for name, part in (("statistics", self.statistics), ("classes", self.classes)):
            if part is not None:
                arrays |= {f"{name}.{key}": value for key, value in part.to_arrays().items()}
        return arrays

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, npt.NDArray[Any]], device: torch.device | None = None
    ) -> "Findings":
        """What `to_arrays` gave; raises KeyError where something is missing."""
        top = Top(
            values_CN=torch.from_numpy(np.array(arrays["top_values"])),
            item_CN=torch.from_numpy(np.array(arrays["top_item"])),
            position_CN2=torch.from_numpy(np.array(arrays["top_position"])),
        )
        tracker = TopTracker(*top.item_CN.shape, device=device)
        tracker.add(top)
        statistics, classes = below(arrays, "statistics."), below(arrays, "classes.")
        return Findings(
            tracker,
            UnitStatistics.from_arrays(statistics, device) if statistics else None,
            ClassSums.from_arrays(classes, device) if classes else None,
        )

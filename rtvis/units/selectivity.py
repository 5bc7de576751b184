"""Which classes of pictures a unit answers to, where the classes are known.

The index is that of Morcos et al. 2018 ("On the importance of single directions for
generalization", eq. 1)::

    (m - r) / (m + r)

with m the mean answer to the class that it answers to most, and r the mean of its mean answers to
all other classes: 0 answers to all alike, 1 to one class alone. A unit's answer to a picture is
here the largest value of its map, and 0 where that is negative; Morcos et al. take the mean over
the map, behind a ReLU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.data import Layer
from rtvis.engine.reduced.forward import unit_slices
from rtvis.units.statistics import FRACTION_BITS, in_fixed_point

NUM_TOP: Final = 5
"""Classes that are named for each unit."""

MAX_BYTES: Final = 2**30
"""Of the sums: 8 bytes for each class and unit."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Selectivity:
    """Of the units of one layer, in host memory."""

    index_C: Tensor
    """float64, 0..1; NaN with fewer than two classes."""
    top_class_CN: Tensor
    """int64: the classes that the unit answers to most, strongest first; -1: no more classes."""
    top_mean_CN: Tensor
    """float64: its mean answers to these."""
    mean_C: Tensor
    """float64: the mean of its mean answers to all classes."""


class ClassSums:
    """Sums of the answers of T units to the pictures of each of K classes, on a device.

    K may grow: classes come up as a data set does.
    """

    def __init__(
        self, num_units: int, num_classes: int, device: torch.device | None = None
    ) -> None:
        self._total_KT = torch.zeros(num_classes, num_units, dtype=torch.int64, device=device)
        self._num_K = torch.zeros(num_classes, dtype=torch.int64, device=device)

    def update(self, values_BT: Tensor, label_B: Tensor) -> None:
        """Add pictures of known classes.

        Args:
            values_BT: The largest value of each unit's map. NaN counts as 0.
            label_B: int64; -1: passed over.
        """
        known_B1 = (label_B >= 0)[:, None]
        answer_BT = in_fixed_point(values_BT.relu()).masked_fill(~known_B1, 0)
        row_B = label_B.clamp(min=0)
        self._total_KT.index_add_(0, row_B, answer_BT)
        self._num_K.index_add_(0, row_B, known_B1.squeeze(1).to(torch.int64))

    def with_classes(self, num_classes: int) -> "ClassSums":
        """Itself with room for more classes."""
        more = num_classes - len(self._num_K)
        if more > 0:
            pad = torch.nn.functional.pad
            self._total_KT, self._num_K = (
                pad(self._total_KT, (0, 0, 0, more)),
                pad(self._num_K, (0, more)),
            )
        return self

    def add(self, other: "ClassSums", class_of_K: Tensor | None = None) -> None:
        """Add what another one gathered, of the same units and other pictures.

        Args:
            other: Of these classes or the first of them.
            class_of_K: int64: for each of the other's classes, which one it is here; None: the
                same.
        """
        device = self._total_KT.device
        if class_of_K is None:
            class_of_K = torch.arange(len(other._num_K))
            self.with_classes(len(other._num_K))
        class_of_K = class_of_K.to(device)
        self._total_KT.index_add_(0, class_of_K, other._total_KT.to(device))
        self._num_K.index_add_(0, class_of_K, other._num_K.to(device))

    def of_layers(self, layers: Sequence[Layer]) -> dict[str, Selectivity]:
        """For each layer by name; the units are those of the layers end to end."""
        return {
            name: selectivity(self._total_KT[:, units], self._num_K)
            for name, units in unit_slices(layers).items()
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it."""
        return {
            "class_total": self._total_KT.cpu().numpy(),
            "class_num": self._num_K.cpu().numpy(),
        }

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, npt.NDArray[Any]], device: torch.device | None = None
    ) -> "ClassSums":
        """What `to_arrays` gave; raises KeyError where something is missing."""
        new = ClassSums(0, 0)
        new._total_KT = torch.tensor(arrays["class_total"], device=device)
        new._num_K = torch.tensor(arrays["class_num"], device=device)
        return new


def selectivity(total_KC: Tensor, num_K: Tensor) -> Selectivity:
    """From the sums, in fixed point, and the numbers of pictures of each class."""
    seen = num_K.nonzero().squeeze(1)
    mean_KC = total_KC[seen].double() / 2.0**FRACTION_BITS / num_K[seen, None]
    mean_KC, seen = mean_KC.cpu(), seen.cpu()
    num_classes, num_units = mean_KC.shape
    count = min(NUM_TOP, num_classes)
    # Stable: of two equal means the earlier class ranks higher.
    sorted_KC, order_KC = mean_KC.sort(dim=0, descending=True, stable=True)
    top_class_CN = torch.full((num_units, NUM_TOP), -1, dtype=torch.int64)
    top_mean_CN = torch.zeros(num_units, NUM_TOP, dtype=torch.float64)
    top_class_CN[:, :count] = seen[order_KC[:count]].T
    top_mean_CN[:, :count] = sorted_KC[:count].T
    index_C = torch.full((num_units,), torch.nan, dtype=torch.float64)
    if num_classes > 1:
        most_C, rest_C = sorted_KC[0], sorted_KC[1:].mean(dim=0)
        index_C = ((most_C - rest_C) / (most_C + rest_C)).nan_to_num()
    return Selectivity(
        index_C=index_C,
        top_class_CN=top_class_CN,
        top_mean_CN=top_mean_CN,
        mean_C=mean_KC.mean(dim=0) if num_classes else torch.zeros(num_units, dtype=torch.float64),
    )

"""What each unit did over all pictures: mean, deviation, quantiles, how often it fires, if ever.

Sums are whole numbers (of 2**-24, of squares 2**-40), so that no order of pictures, batch or worker
changes a bit of them, and the statistics of two parts are those of the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.data import Layer
from rtvis.engine.compiled import kernels
from rtvis.engine.reduced.forward import Reduced, unit_slices
from rtvis.units.histogram import LARGEST_VALUE, NUM_BINS, Histogram

LEVELS: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Of the quantiles that are stored."""

FRACTION_BITS: Final = 24
LARGEST_MEAN: Final = 2.0**18
"""Of a picture's mean; larger ones count as this. 2**21 pictures fit into 64 bits."""

_SQUARE_BITS: Final = 40
_RECTIFIERS: Final = {"relu", "hardtanh", "gelu", "silu", "hardswish", "mish"}
_COUNTS: Final = ("num", "total", "square", "square_part", "positive", "fired")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Statistics:
    """Of the units of one layer, in host memory."""

    num_pictures_C: Tensor
    """int64: in which its values were finite numbers."""
    mean_C: Tensor
    """float64: of its values, over all pictures and places."""
    std_C: Tensor
    """float64: standard deviation, likewise (divided by their number, not one less)."""
    quantiles_CQ: Tensor
    """float64: of the largest values of pictures, at `LEVELS`; off by less than a bin."""
    low_C: Tensor
    """float64: the smallest of the largest values of pictures."""
    high_C: Tensor
    """float64: the largest value of all."""
    firing_places_C: Tensor
    """float64, 0..1: the share of all places at which it fires; see `Reduced.positive_BT`."""
    firing_pictures_C: Tensor
    """float64, 0..1: the share of pictures in which it fires anywhere."""
    is_dead_C: Tensor
    """bool: never fires where a rectifier follows; elsewhere has one value always."""
    histogram_CQ: Tensor
    """int32: of the largest values of pictures."""
    histogram_from_C: Tensor
    """float64: where the first bin begins."""
    histogram_width_C: Tensor
    """float64: of a bin."""


class UnitStatistics:
    """Gathers for T units, on a device."""

    def __init__(self, num_units: int, device: torch.device | None = None) -> None:
        self._counts = {
            name: torch.zeros(num_units, dtype=torch.int64, device=device) for name in _COUNTS
        }
        self._histogram = Histogram.empty(num_units, device)

    def update(self, reduced: Reduced, is_item_B: Tensor) -> None:
        """Add pictures; only those rows count for which `is_item_B`, and finite values."""
        if self._update_at_once(reduced, is_item_B):
            return
        counts_BT = reduced.values_BT.isfinite() & reduced.square_BT.isfinite()
        counts_BT &= is_item_B[:, None]
        if counts_BT.device.type == "cpu" and bool(counts_BT.all()):  # as nearly always
            self._update(reduced, None)
            self._counts["num"] += len(counts_BT)
            return
        zeroed = [part.masked_fill(~counts_BT, 0) for part in reduced]
        self._update(Reduced(*zeroed), counts_BT)
        self._counts["num"] += counts_BT.sum(dim=0)

    def _update_at_once(self, reduced: Reduced, is_item_B: Tensor) -> bool:
        """`update` in a seventh of the time, where `rtvis.engine.compiled.kernels` are ready and
        all values are finite, as nearly always; False where it cannot be done so."""
        library = kernels.library()
        parts = reduced.values_BT, reduced.mean_BT, reduced.square_BT, reduced.positive_BT
        if library is None or not all(
            part.device.type == "cpu" and part.is_contiguous() for part in parts
        ):
            return False
        values, means, squares, positives = (part.data_ptr() for part in parts)
        size = reduced.values_BT.shape
        low_T, high_T = torch.empty(2, size[1]).unbind()
        ends = low_T.data_ptr(), high_T.data_ptr()
        if not is_item_B.all() or not library.rtvis_ends(
            values, squares, *size, LARGEST_VALUE, *ends
        ):
            return False
        histogram = self._histogram
        histogram.stretch(low_T, high_T)
        library.rtvis_count(
            *(values, means, squares, positives, *size),
            *(LARGEST_VALUE, LARGEST_MEAN, 2.0**FRACTION_BITS, 2.0**_SQUARE_BITS),
            *(each.data_ptr() for each in histogram.bins),
            NUM_BINS,
            histogram.counts_TQ.data_ptr(),
            *(self._counts[name].data_ptr() for name in _COUNTS[1:]),
        )
        self._counts["num"] += size[0]
        return True

    def _update(self, reduced: Reduced, counts_BT: Tensor | None) -> None:
        square_BT = reduced.square_BT.double().clamp_(max=LARGEST_MEAN**2)
        whole_BT = square_BT.floor()
        part_BT = square_BT.sub_(whole_BT).mul_(2.0**_SQUARE_BITS).round_()
        # Sums of whole numbers below 2**53 are exact in float64, and need one conversion a unit.
        added = {
            "total": _in_steps(reduced.mean_BT).sum(dim=0),
            "square": whole_BT.sum(dim=0),
            "square_part": part_BT.sum(dim=0),
            "positive": reduced.positive_BT.sum(dim=0),
            "fired": (reduced.positive_BT > 0).sum(dim=0),
        }
        for name, value_T in added.items():
            self._counts[name] += value_T.to(torch.int64)
        self._histogram.update(reduced.values_BT, counts_BT)

    def add(self, other: "UnitStatistics") -> None:
        """Add what another one gathered, of the same units and other pictures."""
        for name, value in other._counts.items():
            self._counts[name] += value.to(self._counts[name].device)
        self._histogram.add(other._histogram)

    def of_layers(self, layers: Sequence[Layer]) -> dict[str, Statistics]:
        """The statistics of each layer by name; the units are those of the layers end to end."""
        slices = unit_slices(layers)
        return {layer.name: self._of(layer, slices[layer.name]) for layer in layers}

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it."""
        histogram = self._histogram
        held = self._counts | {
            "histogram": histogram.counts_TQ,
            "low": histogram.low_T,
            "high": histogram.high_T,
        }
        return {name: value.cpu().numpy() for name, value in held.items()}

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, npt.NDArray[Any]], device: torch.device | None = None
    ) -> "UnitStatistics":
        """What `to_arrays` gave; raises KeyError where something is missing."""
        held = {name: torch.tensor(value, device=device) for name, value in arrays.items()}
        new = UnitStatistics(len(held["num"]), device)
        new._counts = {name: held[name] for name in _COUNTS}
        new._histogram = Histogram(held["histogram"], held["low"], held["high"])
        return new

    def _of(self, layer: Layer, units: slice) -> Statistics:
        counts = {name: value[units].cpu().double() for name, value in self._counts.items()}
        histogram = self._histogram
        part = Histogram(
            histogram.counts_TQ[units].cpu(),
            histogram.low_T[units].cpu(),
            histogram.high_T[units].cpu(),
        )
        num_C = counts["num"]
        mean_C = counts["total"] / 2.0**FRACTION_BITS / num_C
        square_C = (counts["square"] + counts["square_part"] / 2.0**_SQUARE_BITS) / num_C
        std_C = (square_C - mean_C.square()).clamp(min=0).sqrt()
        num_places = layer.map_size[0] * layer.map_size[1]
        is_rectified = layer.activation in _RECTIFIERS
        is_constant_C = (part.low_T >= part.high_T) & (std_C <= 1e-5 * mean_C.abs() + 1e-6)
        bins = part.bins
        width_C = torch.exp2(bins.exponent_T.double())
        return Statistics(
            num_pictures_C=self._counts["num"][units].cpu(),
            mean_C=mean_C,
            std_C=std_C,
            quantiles_CQ=part.quantiles(LEVELS),
            low_C=part.low_T.double(),
            high_C=part.high_T.double(),
            firing_places_C=counts["positive"] / num_C / num_places,
            firing_pictures_C=counts["fired"] / num_C,
            is_dead_C=(counts["fired"] == 0 if is_rectified else is_constant_C) & (num_C > 0),
            histogram_CQ=part.counts_TQ,
            histogram_from_C=bins.first_T.double() * width_C,
            histogram_width_C=width_C,
        )


def in_fixed_point(value_BT: Tensor) -> Tensor:
    """int64, in units of 2 to the power of -`FRACTION_BITS`; NaN as 0."""
    return _in_steps(value_BT).nan_to_num().to(torch.int64)


def _in_steps(value_BT: Tensor) -> Tensor:
    """float64: the whole number of units nearest to each value."""
    clamped_BT = value_BT.double().clamp_(-LARGEST_MEAN, LARGEST_MEAN)
    return clamped_BT.mul_(2.0**FRACTION_BITS).round_()

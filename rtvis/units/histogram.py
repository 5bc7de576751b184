"""A histogram for each unit whose bins grow with its range, and which no order of values changes.

Bins are as wide as a power of two and begin at its multiples; the width is the smallest for which
`NUM_BINS` hold all values so far. When a value falls outside, neighbours are joined. So the bins
follow from smallest and largest value alone, and two histograms are added exactly.

A quantile is off by less than a bin's width, which is below 1/63 of the range of the values.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

NUM_BINS: Final = 128

_SMALLEST: Final = -30
"""Exponent of the narrowest bin, a billionth."""
_LARGEST_VALUE: Final = 2.0**32
"""Larger ones count as this one."""


class Bins(NamedTuple):
    """Where the bins of each unit lie."""

    exponent_T: Tensor
    """int64: a bin is 2 to the power of this wide."""
    first_T: Tensor
    """int64: the first bin begins at this many widths from zero."""


def bins_of(low_T: Tensor, high_T: Tensor) -> Bins:
    """The bins for values from `low_T` to `high_T` (float64); any where there are none yet."""
    is_empty_T = low_T > high_T
    low_T, high_T = low_T.masked_fill(is_empty_T, 0), high_T.masked_fill(is_empty_T, 0)
    _, exponent_T = torch.frexp((high_T - low_T) / NUM_BINS)
    # Of one value alone the narrowest: bins may be joined later, and never divided.
    exponent_T = torch.where(high_T > low_T, exponent_T.to(torch.int64) - 1, _SMALLEST)
    exponent_T = exponent_T.clamp(min=_SMALLEST)
    for _ in range(2):  # a range that begins within a bin may need one bin more than its length
        first_T, last_T = _bin_at(low_T, exponent_T), _bin_at(high_T, exponent_T)
        exponent_T = exponent_T + (last_T - first_T >= NUM_BINS)
    return Bins(exponent_T, _bin_at(low_T, exponent_T))


class Histogram:
    """Counts values of each of T units. 512 bytes a unit.

    Attributes:
        counts_TQ: int32.
        low_T: float64, smallest value; inf without one.
        high_T: float64, largest value; -inf without one.
    """

    def __init__(self, counts_TQ: Tensor, low_T: Tensor, high_T: Tensor) -> None:
        self.counts_TQ = counts_TQ
        self.low_T = low_T
        self.high_T = high_T

    @staticmethod
    def empty(num_units: int, device: torch.device | None = None) -> "Histogram":
        """Of no values."""
        ends_T = torch.full((num_units,), torch.inf, dtype=torch.float64, device=device)
        counts_TQ = torch.zeros(num_units, NUM_BINS, dtype=torch.int32, device=device)
        return Histogram(counts_TQ, ends_T, -ends_T)

    @property
    def bins(self) -> Bins:
        """Where they lie now."""
        return bins_of(self.low_T, self.high_T)

    def update(self, values_BT: Tensor, counts_BT: Tensor) -> None:
        """Add values, where `counts_BT` (bool)."""
        values_BT = values_BT.double().clamp(-_LARGEST_VALUE, _LARGEST_VALUE)
        low_T = values_BT.masked_fill(~counts_BT, torch.inf).amin(dim=0)
        high_T = values_BT.masked_fill(~counts_BT, -torch.inf).amax(dim=0)
        bins = self._stretch(low_T, high_T)
        values_BT = values_BT.masked_fill(~counts_BT, 0)
        place_BT = _bin_at(values_BT, bins.exponent_T) - bins.first_T
        place_BT = place_BT.clamp(0, NUM_BINS - 1)  # where nothing counts
        self.counts_TQ.scatter_add_(1, place_BT.T, counts_BT.T.to(torch.int32))

    def add(self, other: "Histogram") -> None:
        """Add another's values."""
        bins = self._stretch(other.low_T, other.high_T)
        self.counts_TQ += _moved(other.counts_TQ, other.bins, bins)

    def _stretch(self, low_T: Tensor, high_T: Tensor) -> Bins:
        """Make room for values from `low_T` to `high_T`."""
        before = self.bins
        self.low_T = torch.minimum(self.low_T, low_T)
        self.high_T = torch.maximum(self.high_T, high_T)
        after = self.bins
        moves_T = (before.exponent_T != after.exponent_T) | (before.first_T != after.first_T)
        if moves_T.device.type != "cpu":  # asking would cost more than moving all
            self.counts_TQ = _moved(self.counts_TQ, before, after)
            return after
        some = moves_T.nonzero().squeeze(1)
        if some.numel():
            old, new = (Bins(each[0][some], each[1][some]) for each in (before, after))
            self.counts_TQ[some] = _moved(self.counts_TQ[some], old, new)
        return after

    def quantiles(self, levels: tuple[float, ...]) -> Tensor:
        """float64 [T, levels]: values below which those shares of all lie; NaN without values."""
        bins = self.bins
        width_T = torch.exp2(bins.exponent_T.double())
        ends_TQ = self.counts_TQ.double().cumsum(dim=1)
        found = []
        for level in levels:
            wanted_T1 = level * ends_TQ[:, -1:]
            place_T1 = torch.searchsorted(ends_TQ, wanted_T1).clamp(max=NUM_BINS - 1)
            count_T1 = self.counts_TQ.gather(1, place_T1).double().clamp(min=1)
            inside_T1 = 1 - (ends_TQ.gather(1, place_T1) - wanted_T1) / count_T1
            steps_T = (bins.first_T[:, None] + place_T1 + inside_T1.clamp(0, 1)).squeeze(1)
            value_T = torch.minimum(torch.maximum(steps_T * width_T, self.low_T), self.high_T)
            found.append(value_T.masked_fill(self.low_T > self.high_T, torch.nan))
        return torch.stack(found, dim=1)


def _bin_at(value: Tensor, exponent_T: Tensor) -> Tensor:
    """int64: exact, for all that float32 can hold."""
    return torch.floor(value * torch.exp2(-exponent_T.double())).to(torch.int64)


def _moved(counts_TQ: Tensor, before: Bins, after: Bins) -> Tensor:
    """The counts in bins that are as wide or wider and reach at least as far."""
    steps_Q = torch.arange(NUM_BINS, device=counts_TQ.device)
    shift_T1 = (after.exponent_T - before.exponent_T).clamp(min=0)[:, None]
    place_TQ = ((before.first_T[:, None] + steps_Q) >> shift_T1) - after.first_T[:, None]
    # Out of bounds are empty bins alone.
    place_TQ = place_TQ.clamp(0, NUM_BINS - 1)
    return torch.zeros_like(counts_TQ).scatter_add_(1, place_TQ, counts_TQ)

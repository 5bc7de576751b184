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
LARGEST_VALUE: Final = 2.0**32
"""Larger ones count as this one."""


class Bins(NamedTuple):
    """Where the bins of each unit lie."""

    exponent_T: Tensor
    """int64: a bin is 2 to the power of this wide."""
    first_T: Tensor
    """int64: the first bin begins at this many widths from zero."""


def bins_of(low_T: Tensor, high_T: Tensor) -> Bins:
    """The bins for values from `low_T` to `high_T`; any where there are none yet."""
    is_empty_T, low_T, high_T = low_T > high_T, low_T.double(), high_T.double()
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
        low_T: float32, smallest value; inf without one.
        high_T: float32, largest value; -inf without one.
    """

    def __init__(self, counts_TQ: Tensor, low_T: Tensor, high_T: Tensor) -> None:
        self.counts_TQ = counts_TQ
        self.low_T = low_T
        self.high_T = high_T
        self._bins = bins_of(low_T, high_T)
        self._start_T = torch.arange(len(low_T), device=low_T.device) * NUM_BINS

    @staticmethod
    def empty(num_units: int, device: torch.device | None = None) -> "Histogram":
        """Of no values."""
        ends_T = torch.full((num_units,), torch.inf, device=device)
        counts_TQ = torch.zeros(num_units, NUM_BINS, dtype=torch.int32, device=device)
        return Histogram(counts_TQ, ends_T, -ends_T)

    @property
    def bins(self) -> Bins:
        """Where they lie now."""
        return self._bins

    def update(self, values_BT: Tensor, counts_BT: Tensor | None = None) -> None:
        """Add values (float32), where `counts_BT` (bool); None: all of them."""
        values_BT = values_BT.clamp(-LARGEST_VALUE, LARGEST_VALUE)
        low_BT = high_BT = values_BT
        ones_BT = torch.ones_like(values_BT, dtype=torch.int32)
        if counts_BT is not None:
            low_BT = values_BT.masked_fill(~counts_BT, torch.inf)
            high_BT = values_BT.masked_fill(~counts_BT, -torch.inf)
            values_BT = values_BT.masked_fill(~counts_BT, 0)
            ones_BT = counts_BT.to(torch.int32)
        self.stretch(low_BT.amin(dim=0), high_BT.amax(dim=0))
        # All of it exact in float32: scaling by a power of two, and the difference of two whole
        # numbers that are less than 128 apart.
        scale_T = torch.exp2(-self._bins.exponent_T.float())
        place_BT = (values_BT * scale_T).floor_() - self._bins.first_T.float()
        place_BT = place_BT.clamp_(0, NUM_BINS - 1).to(torch.int64) + self._start_T
        self.counts_TQ.view(-1).scatter_add_(0, place_BT.flatten(), ones_BT.flatten())

    def add(self, other: "Histogram") -> None:
        """Add another's values."""
        device = self.counts_TQ.device
        self.stretch(other.low_T.to(device), other.high_T.to(device))
        before = Bins(*(each.to(device) for each in other.bins))
        self.counts_TQ += _moved(other.counts_TQ.to(device), before, self._bins)

    def stretch(self, low_T: Tensor, high_T: Tensor) -> None:
        """Make room for values from `low_T` to `high_T`."""
        is_wider_T = (low_T < self.low_T) | (high_T > self.high_T)
        self.low_T = torch.minimum(self.low_T, low_T)
        self.high_T = torch.maximum(self.high_T, high_T)
        if is_wider_T.device.type != "cpu":  # asking would cost more than moving all
            before, self._bins = self._bins, bins_of(self.low_T, self.high_T)
            self.counts_TQ = _moved(self.counts_TQ, before, self._bins)
            return
        some = is_wider_T.nonzero().squeeze(1)
        if some.numel() == 0:
            return
        old = Bins(*(each[some] for each in self._bins))
        new = bins_of(self.low_T[some], self.high_T[some])
        moves = (old.exponent_T != new.exponent_T) | (old.first_T != new.first_T)
        for held, value in zip(self._bins, new, strict=True):
            held[some] = value
        old, new = (Bins(*(each[moves] for each in bins)) for bins in (old, new))
        self.counts_TQ[some[moves]] = _moved(self.counts_TQ[some[moves]], old, new)

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
            value_T = (steps_T * width_T).clamp(self.low_T.double(), self.high_T.double())
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

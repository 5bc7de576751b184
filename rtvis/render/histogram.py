"""How the values of a layer, of one of its units, and of its weights are distributed (DV-08, -09).

Values are counted where they are: on CUDA nothing waits, and a CPU counts with OpenCV, which is
ten times faster than torch there.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.render.display import TINY
from rtvis.render.map_panes import shown_maps
from rtvis.render.scene import Memory, Scene

NUM_COARSE: Final = 16
"""Bins of DV-08 and DV-09."""
NUM_FINE: Final = 64

_CHUNK: Final = 1 << 15
_MOST_WEIGHTS: Final = 1 << 23
"""Counted in 0.1 s, for which the picture stands still once."""
_NARROWS: Final = 1 / 12
"""How much of the way the scale of counts narrows each turn; it widens by half (`ColourRange`)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Distribution:
    """The values of one layer in one picture: what the grid shows, which may be gradients."""

    layer_N: Tensor
    """float32 [64]: number of the layer's finite values in each bin; what lies beyond the range
    is in the outermost ones."""
    unit_N: Tensor
    """float32 [64]: of the selected unit's values."""
    num_values: int
    """Of the layer, finite or not."""
    num_unit_values: int
    peak: Tensor
    """The largest share of a bin, of the layer's or of the unit's values, smoothed: a scalar. Of
    the layer's alone where the unit has one value, which would always be all."""
    weights: "WeightHistogram | None"
    page_numbers: Tensor
    """float64 [N]: low, high, exact zeros, dead units, values that are NaN, that are infinite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightHistogram:
    """A layer's weights, counted once."""

    counts: tuple[int, ...]
    """Of 16 bins of equal width from `low` to `high`, both included (DV-08)."""
    low: float
    high: float
    mean: float
    deviation: float
    """Standard deviation, of all weights."""
    num_weights: int
    step: int
    """1, or that only every so many weights were counted: they are more than eight million."""
    num_zeros: int
    num_not_finite: int
    """NaN or infinite, left out of all else."""

    @property
    def centres(self) -> tuple[float, ...]:
        """Middles of the bins."""
        step = (self.high - self.low) / NUM_COARSE
        return tuple(self.low + (i + 0.5) * step for i in range(NUM_COARSE))


def count_bins(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Number of finite values in each of 64 bins of equal width.

    Bin i holds low + i w <= x < low + (i + 1) w with w = (high - low) / 64; the last one holds
    `high` too, and values beyond the range are counted in the outermost bins.

    Args:
        values: Of any shape; the order does not matter.
        low: Lower end, a scalar on the same device.
        high: Upper end; where it is not above `low`, all values are in the first bin.

    Returns:
        float32 [64], on the device.
    """
    flat_N = in_memory_order(values).float()
    if flat_N.device.type == "cpu":
        counts_N = _count_host(flat_N, float(low), float(high), NUM_FINE)
        return torch.from_numpy(counts_N).float()
    return count_waitless(flat_N, low, high)


def count_waitless(flat_N: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`count_bins` on any device without waiting for it."""
    gain = NUM_FINE / (high - low).clamp(min=TINY)
    index_N = ((flat_N - low) * gain).floor_().clamp_(0, NUM_FINE - 1)
    # What is not finite has a bin of its own. Explicit ends: without them histc waits for the
    # smallest and largest value.
    index_N = torch.where(flat_N.isfinite(), index_N, float(NUM_FINE))
    counts = torch.histc(index_N, bins=NUM_FINE + 1, min=0, max=NUM_FINE + 1)
    return counts[:NUM_FINE]


def _count_host(flat_N: Tensor, low: float, high: float, num_bins: int) -> npt.NDArray[np.float64]:
    """Counts of finite values on a CPU, in pieces that stay in the processor's cache: 3 ms for a
    million values, where torch's histc takes 12."""
    values_N = flat_N.numpy()
    if not _all_finite(flat_N):
        values_N = values_N[np.isfinite(values_N)]
    counts_N = np.zeros(num_bins)
    gain = np.float32(num_bins / max(high - low, TINY))
    buffer_N = np.empty(min(_CHUNK, max(values_N.size, 1)), np.float32)
    for start in range(0, values_N.size, _CHUNK):
        piece_N = values_N[start : start + _CHUNK]
        index_N = buffer_N[: piece_N.size]
        np.subtract(piece_N, np.float32(low), out=index_N)
        np.multiply(index_N, gain, out=index_N)
        np.clip(index_N, 0, num_bins - 1, out=index_N)
        bytes_N = index_N.astype(np.uint8)
        counts_N += cv2.calcHist([bytes_N], [0], None, [num_bins], [0, num_bins]).ravel()
    return counts_N


def _all_finite(flat_N: Tensor) -> bool:
    """On a CPU; `isfinite` of each value takes ten times as long."""
    return flat_N.numel() == 0 or math.isfinite(float(flat_N.amin()) + float(flat_N.amax()))


def in_memory_order(values: Tensor) -> Tensor:
    """All values in one row, without a copy where they lie in memory without gaps."""
    if values.ndim == 3 and values.permute(1, 2, 0).is_contiguous():
        values = values.permute(1, 2, 0)
    return values.reshape(-1)


def coarse(counts_N: Tensor) -> Tensor:
    """The counts of 16 bins from those of 64."""
    return counts_N.view(NUM_COARSE, -1).sum(dim=1)


class HistogramGauge:
    """Counts the values of the shown layer; the scale of the counts follows a running mean."""

    def __init__(self, device: torch.device) -> None:
        self._is_host = device.type == "cpu"
        self._key: object = None
        self._peak: Tensor | None = None
        self._counted: tuple[Tensor, WeightHistogram] | None = None
        self._resumed: Memory | None = None

    @property
    def memory(self) -> Memory:
        """The scale of the counts. See `pages.page.RememberingGauge`."""
        tensors = {"peak": self._peak} if self._peak is not None else {}
        return Memory(key=str(self._key), tensors=tensors)

    def resume(self, memory: Memory) -> None:
        """Take the scale for that of the next picture."""
        self._resumed = memory

    def measure(self, scene: Scene, ends: tuple[Tensor, Tensor]) -> Distribution:
        """Count. See `pages.page.Gauge`."""
        result = scene.result
        assert result is not None, "a page measures results"
        maps_CHW = shown_maps(result, scene.batch_index)
        unit_HW = maps_CHW[min(result.selection.unit or 0, maps_CHW.shape[0] - 1)]
        layer_N, unit_N = (count_bins(each, *ends) for each in (maps_CHW, unit_HW))
        num, num_unit = maps_CHW.numel(), unit_HW.numel()
        peak = layer_N.amax() / num
        if num_unit > 1:
            peak = torch.maximum(peak, unit_N.amax() / num_unit)
        return Distribution(
            layer_N=layer_N,
            unit_N=unit_N,
            num_values=num,
            num_unit_values=num_unit,
            peak=self._follow(peak, scene),
            weights=self._weights(scene.weights),
            page_numbers=torch.stack([x.double() for x in (*ends, *self._facts(maps_CHW))]),
        )

    def _weights(self, weights: Tensor | None) -> WeightHistogram | None:
        """Counted when they are others than the last time."""
        if weights is None:
            return None
        if self._counted is None or self._counted[0].data_ptr() != weights.data_ptr():
            self._counted = weights, count_weights(weights)
        return self._counted[1]

    def _follow(self, peak: Tensor, scene: Scene) -> Tensor:
        assert scene.result is not None, "a page measures results"
        selection = scene.result.selection
        key = (
            scene.view.compared,
            selection.layer,
            selection.tap,
            selection.gradients,
            selection.unit,
        )
        old = self._peak
        if old is not None and key == self._key and scene.view.range_smoothed:
            peak = torch.lerp(old, peak, torch.where(peak > old, 0.5, _NARROWS))
        resumed, self._resumed = self._resumed, None
        if resumed is not None and resumed.key == str(key) and scene.view.range_smoothed:
            peak = resumed.tensors.get("peak", peak).to(peak)
        self._key, self._peak = key, peak
        return peak

    def _facts(self, maps_CHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Exact zeros, units without a value above zero, NaNs, infinite values: scalars."""
        highest_C = maps_CHW.amax(dim=(1, 2))
        num_dead = (highest_C <= 0).sum()  # NaN is not: such a unit is not dead but broken
        flat_N = in_memory_order(maps_CHW)
        if not self._is_host:
            return (flat_N == 0).sum(), num_dead, flat_N.isnan().sum(), flat_N.isinf().sum()
        numbers_N = flat_N.float().numpy()
        num_zeros = torch.tensor(flat_N.numel() - np.count_nonzero(numbers_N))
        none = torch.zeros(())
        if _all_finite(flat_N):
            return num_zeros, num_dead, none, none
        return num_zeros, num_dead, flat_N.isnan().sum(), flat_N.isinf().sum()


def count_weights(weights: Tensor) -> WeightHistogram:
    """The histogram of a layer's weights, which are in host memory."""
    flat_N = in_memory_order(weights.detach())
    step = -(-flat_N.numel() // _MOST_WEIGHTS)
    counted_N = flat_N[:: max(step, 1)].float()
    finite_N = counted_N
    if not _all_finite(counted_N):
        finite_N = counted_N[counted_N.isfinite()]
    empty = not finite_N.numel()
    low, high = (0.0, 0.0) if empty else (float(finite_N.amin()), float(finite_N.amax()))
    counts_N = _count_host(finite_N, low, high, NUM_COARSE)
    return WeightHistogram(
        counts=tuple(int(count) for count in counts_N),
        low=low,
        high=high,
        mean=0.0 if empty else float(finite_N.mean()),
        deviation=0.0 if empty else float(finite_N.std(correction=0)),
        num_weights=flat_N.numel(),
        step=step,
        num_zeros=finite_N.numel() - int(np.count_nonzero(finite_N.numpy())),
        num_not_finite=counted_N.numel() - finite_N.numel(),
    )

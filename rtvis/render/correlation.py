"""Which units of a layer rise and fall together (DVT's wish list, Q-19)."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from rtvis.data import Target
from rtvis.render.map_panes import shown_maps
from rtvis.render.scene import Memory, Scene

MOST_UNITS: Final = 512
"""Units in the matrix."""
NUM_LISTED: Final = 6
"""Most correlated units that are found, and as many of the most anticorrelated ones."""
NUM_FRAMES: Final = 64
"""Pictures that are looked back on where a map has too few positions."""
FEWEST_POSITIONS: Final = 16
FEWEST_SAMPLES: Final = 3

_HOST_BUDGET: Final = 1 << 27
_DEVICE_BUDGET: Final = 1 << 32
"""Multiplications of the matrix: 5 ms on one core, 0.2 ms on a GPU. Above it every second row and
column of the maps is looked at, or every third ..."""
_VALUES_SHARE: Final = 1 << 8
"""A value costs as much as so many multiplications: it is read, centred and scaled."""

_FOLLOWS: Final = 1 / 8
"""How much of the way the shown correlations go to those of a new picture."""
_STEP: Final = 128
"""The part of a large layer that is shown moves by so many units, not with each of them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Correlation:
    """Pearson's r between units of one layer."""

    matrix_CC: Tensor | None
    """float32, -1..1, of the units from `first` on; 0 with a unit that does not vary, NaN with one
    that is not finite. None while there are too few pictures."""
    first: int
    num_samples: int
    """Places, over all pictures that count, that each coefficient is computed from."""
    num_frames: int
    """0 where one picture has enough positions, else pictures so far."""
    step: int
    """Every so many rows and columns of the maps are used."""
    page_numbers: Tensor
    """float64 [N]: constant units, units that are not finite, state of the selected one (0 well,
    1 constant, 2 not finite), r under the pointer, then (unit, r) of `num_listed` most correlated
    and as many most anticorrelated units, best first; r is infinite where there is none left."""
    num_listed: int


def shown_units(num_units: int, unit: int) -> range:
    """The units in the matrix: all, or 512 neighbours among which the selected one is."""
    if num_units <= MOST_UNITS:
        return range(num_units)
    first = (unit // _STEP) * _STEP - (MOST_UNITS - _STEP) // 2
    first = min(max(first, 0), num_units - MOST_UNITS)
    return range(first, first + MOST_UNITS)


def standardise(samples_NC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Columns with mean 0 and norm 1, so that products of columns are Pearson's r.

    Args:
        samples_NC: float32, a row for each sample, a column for each unit.

    Returns:
        z_NC, zero in columns that do not vary and NaN in those with a value that is not finite;
        constant_C and broken_C, bool, which ones these are.
    """
    centred_NC = samples_NC - samples_NC.mean(dim=0)
    norm_C = torch.linalg.vector_norm(centred_NC, dim=0)
    broken_C = ~norm_C.isfinite()
    # Not by the norm: the mean of equal numbers is rounded, and what is left of them is not zero.
    constant_C = ~broken_C & (samples_NC.amax(dim=0) <= samples_NC.amin(dim=0))
    z_NC = centred_NC / norm_C.clamp(min=torch.finfo(torch.float32).tiny)
    return torch.where(constant_C, 0.0, z_NC), constant_C, broken_C


def every(map_size: tuple[int, int], num_units: int, budget: int) -> int:
    """Step through rows and columns at which a layer of so many units stays within the budget."""
    step = 1
    height, width = map_size
    cost = max(min(num_units, MOST_UNITS) ** 2, num_units * _VALUES_SHARE)
    while -(-height // step) * -(-width // step) * cost > budget:
        if step >= max(height, width):
            break
        step += 1
    return step


class CorrelationGauge:
    """Correlates the units of the shown layer once for each result."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._budget = _HOST_BUDGET if device.type == "cpu" else _DEVICE_BUDGET
        self._result: object = None
        self._layer_key: object = None
        self._seq = -1
        self._matrix_key: object = None
        self._row_key: object = None
        self._matrix_CC: Tensor | None = None
        self._row_C: Tensor | None = None
        self._frames_PC: list[Tensor] = []
        self._seen: tuple[Tensor, Tensor] = (torch.zeros(0), torch.zeros(0))
        self._num_samples = 0
        self._resumed: Memory | None = None

    @property
    def memory(self) -> Memory:
        """The running means, and the pictures that are looked back on. See
        `pages.page.RememberingGauge`."""
        tensors = {f"frame {index}": each for index, each in enumerate(self._frames_PC)}
        if self._matrix_CC is not None and self._row_C is not None and not self._frames_PC:
            tensors = {"matrix_CC": self._matrix_CC, "row_C": self._row_C}
        return Memory(key=str((self._matrix_key, self._row_key, self._layer_key)), tensors=tensors)

    def resume(self, memory: Memory) -> None:
        """Show the means that there were, or look back on the pictures that there were."""
        self._resumed = memory

    def measure(self, scene: Scene, ends: tuple[Tensor, Tensor]) -> Correlation:
        """Correlate. See `pages.page.Gauge`."""
        del ends
        result = scene.result
        assert result is not None, "a page measures results"
        maps_CHW = shown_maps(result, scene.batch_index)
        num_units, height, width = maps_CHW.shape
        unit = min(result.selection.unit or 0, num_units - 1)
        units = shown_units(num_units, unit)
        over_frames = height * width < FEWEST_POSITIONS
        step = 1 if over_frames else every((height, width), num_units, self._budget)
        if result is not self._result:
            self._result = result
            self._advance(scene, maps_CHW[:, ::step, ::step], unit, units, over_frames=over_frames)
        numbers_N, num_listed = self._numbers(scene.view.hover, unit, units)
        return Correlation(
            matrix_CC=self._matrix_CC,
            first=units.start,
            num_samples=self._num_samples,
            num_frames=len(self._frames_PC) if over_frames else 0,
            step=step,
            page_numbers=numbers_N,
            num_listed=num_listed,
        )

    def _advance(
        self, scene: Scene, maps_CHW: Tensor, unit: int, units: range, *, over_frames: bool
    ) -> None:
        """Take a new result in."""
        assert scene.result is not None, "a page measures results"
        chosen = scene.result.selection
        of = chosen.layer, chosen.tap, chosen.interventions, chosen.gradients, chosen.origin
        layer_key = scene.view.compared, of
        if layer_key != self._layer_key:
            self._frames_PC = []
        elif self._frames_PC and scene.result.seq == self._seq:
            self._frames_PC.pop()  # the same picture again, for another unit
        self._seq = scene.result.seq
        resumed, self._resumed = self._resumed, None
        samples_NC = maps_CHW.flatten(1).T.float()
        if over_frames:
            self._frames_PC = _earlier(resumed, layer_key, samples_NC) or self._frames_PC
            samples_NC = self._remember(samples_NC)
        self._num_samples = samples_NC.shape[0]
        if self._num_samples < FEWEST_SAMPLES:
            self._layer_key, self._matrix_CC, self._row_C = layer_key, None, None
            return
        z_NC, constant_C, broken_C = standardise(samples_NC)
        self._seen = constant_C, broken_C
        shown_NC = z_NC[:, units.start : units.stop]
        smoothed = scene.view.range_smoothed and not over_frames
        self._matrix_CC = _follow(
            self._matrix_CC if smoothed and (layer_key, units) == self._matrix_key else None,
            (shown_NC.T @ shown_NC).clamp_(-1, 1),
        )
        self._row_C = _follow(
            self._row_C if smoothed and (layer_key, unit) == self._row_key else None,
            (z_NC.T @ z_NC[:, unit]).clamp_(-1, 1),
        )
        self._layer_key = layer_key
        self._matrix_key, self._row_key = (layer_key, units), (layer_key, unit)
        if smoothed and resumed is not None and resumed.key == self.memory.key:
            self._matrix_CC = resumed.tensors["matrix_CC"].to(self._matrix_CC)
            self._row_C = resumed.tensors["row_C"].to(self._row_C)

    def _remember(self, samples_PC: Tensor) -> Tensor:
        """The last pictures' samples with these."""
        self._frames_PC = [*self._frames_PC[1 - NUM_FRAMES :], samples_PC.clone()]
        return torch.cat(self._frames_PC)

    def _numbers(self, hover: Target, unit: int, units: range) -> tuple[Tensor, int]:
        if self._matrix_CC is None or self._row_C is None:
            return torch.zeros(4, dtype=torch.float64, device=self._device), 0
        constant_C, broken_C = self._seen
        under = self._matrix_CC.new_zeros(())
        if hover.kind == "pair" and {hover.unit, hover.other_unit} <= set(units):
            row, column = units.index(hover.unit or 0), units.index(hover.other_unit or 0)
            under = self._matrix_CC[row, column]
        state = constant_C[unit] + 2 * broken_C[unit].int()
        parts = [torch.stack([constant_C.sum(), broken_C.sum(), state]).double()]
        parts.append(under.double().reshape(1))
        num_listed = min(NUM_LISTED, self._row_C.numel() - 1)
        out_C = constant_C | broken_C
        others_C = torch.arange(self._row_C.numel(), device=self._device) != unit
        for sign in (1.0, -1.0):
            asked_C = torch.where(~out_C & others_C, self._row_C * sign, -torch.inf)
            best = asked_C.topk(num_listed)
            parts.append(torch.stack([best.indices.double(), best.values * sign], 1).flatten())
        return torch.cat(parts), num_listed


def _earlier(resumed: Memory | None, layer_key: object, samples_PC: Tensor) -> list[Tensor]:
    """The pictures before the one that was shown last, if they are of the same layer."""
    if resumed is None or not resumed.key.endswith(f", {layer_key})"):
        return []
    frames_PC = [each.to(samples_PC) for each in resumed.tensors.values()]
    return frames_PC[:-1]


def _follow(old: Tensor | None, new: Tensor) -> Tensor:
    """A running mean that a NaN does not stay in."""
    if old is None:
        return new
    return torch.where(old.isnan(), new, torch.lerp(old, new, _FOLLOWS))

"""What is kept of an optimisation: numbers of each run, and pictures at three moments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rtvis.engine.turn.objectives import Objective


class Leader(NamedTuple):
    """Which neuron, or unit, of the layer has the largest value (the smallest, to minimise)."""

    index_B: Tensor
    """int64: (unit * height + row) * width + column; the unit alone where maps count whole."""
    is_target_B: Tensor


def leader(
    maps_BCHW: Tensor, objective: Objective, unit_B: Tensor, neuron: int, sign: float
) -> Leader:
    """Of the layer's maps; a whole layer has no target among its neurons.

    Args:
        maps_BCHW: The layer's output.
        objective: What counts of a map: for "mean" its mean, for "map" that of its squares.
        unit_B: The targets.
        neuron: row * width + column of the target's position.
        sign: -1 where the smallest leads.
    """
    if objective in {"neuron", "layer"}:
        batch, units, height, width = maps_BCHW.shape
        # In the order of memory, units last; read across it this takes ten times as long.
        flat_BN = maps_BCHW.permute(0, 2, 3, 1).reshape(batch, -1)
        place_B = flat_BN.argmax(dim=1) if sign > 0 else flat_BN.argmin(dim=1)
        here_B = torch.div(place_B, units, rounding_mode="floor")
        index_B = place_B % units * (height * width) + here_B
        target_B = unit_B * (height * width) + neuron
    else:
        values = maps_BCHW.square() if objective == "map" else maps_BCHW
        index_B = (values.mean(dim=(2, 3)) * sign).argmax(dim=1)
        target_B = unit_B
    is_target_B = index_B == target_B
    return Leader(index_B, torch.zeros_like(is_target_B) if objective == "layer" else is_target_B)


class Moment(NamedTuple):
    """A picture of each target, at the run that made it."""

    iteration_B: Tensor
    """int64; -1 where there is none."""
    value_B: Tensor
    x_BCHW: Tensor
    """As the network's input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one run of the network tells, on the device."""

    value_B: Tensor
    leader: Leader
    norm_B: Tensor
    """L2 norm of the parameters."""
    distance_B: Tensor
    """L2 distance from where they began."""
    std_B: Tensor
    """Their standard deviation."""


class Trace:
    """Collects runs, on the device, until somebody asks.

    Args:
        x_BCHW: The start.
        sign: -1 to minimise.
    """

    def __init__(self, x_BCHW: Tensor, sign: float) -> None:
        batch, device = len(x_BCHW), x_BCHW.device
        self._sign = sign
        self._runs: list[Run] = []
        nothing_B = torch.full((batch,), -1, device=device)
        worst_B = torch.full((batch,), -torch.inf * sign, device=device)
        self.best = Moment(nothing_B, worst_B, x_BCHW)
        self.majority = Moment(nothing_B, torch.zeros_like(worst_B), x_BCHW)
        self.last = self.best
        self.num_resets_B = torch.zeros_like(nothing_B)
        """How often a picture went back to its start because a number was none."""
        self.stopped_B = nothing_B
        """The run at which the gradient was exactly zero; -1: never."""

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Run, x_BCHW: Tensor, is_running_B: Tensor) -> None:
        """Take down a run.

        Args:
            run: Its numbers.
            x_BCHW: What the network saw, before it was moved about.
            is_running_B: Of which targets the run counts.
        """
        iteration = len(self._runs)
        self._runs.append(run)
        is_better_B = is_running_B & (run.value_B * self._sign > self.best.value_B * self._sign)
        self.best = _where(is_better_B, iteration, run.value_B, x_BCHW, self.best)
        is_first_B = is_running_B & run.leader.is_target_B & (self.majority.iteration_B < 0)
        self.majority = _where(is_first_B, iteration, run.value_B, x_BCHW, self.majority)
        self.last = _where(is_running_B, iteration, run.value_B, x_BCHW, self.last)

    def plain(self, lane: int, map_size: tuple[int, int], objective: Objective) -> dict[str, Any]:
        """The record of one target, as JSON has it. Waits for the device."""
        stopped = int(self.stopped_B[lane])
        runs = self._runs if stopped < 0 else self._runs[: stopped + 1]
        whole = objective not in {"neuron", "layer"}
        is_leader = _column(lane, [run.leader.is_target_B for run in runs])
        leaders = _column(lane, [run.leader.index_B for run in runs])
        numbers = {
            "value": [run.value_B for run in runs],
            "norm": [run.norm_B for run in runs],
            "distance": [run.distance_B for run in runs],
            "std": [run.std_B for run in runs],
        }
        found: dict[str, Any] = {
            "leader": [_place(index, map_size, whole=whole) for index in leaders],
            "is_leader": is_leader,
        }
        for name, each in numbers.items():
            found[name] = [_number(value) for value in _column(lane, each)]
        moments = {"best": self.best, "last": self.last, "majority": self.majority}
        if stopped >= 0:
            result = "grad 0 failure"
        else:
            result = "majority success" if any(is_leader) else "majority failure"
        return {
            "result": result,
            "resets": int(self.num_resets_B[lane]),
            "moments": {name: _moment(each, lane) for name, each in moments.items()},
            "runs": found,
        }


def _where(
    chosen_B: Tensor, iteration: int, value_B: Tensor, x_BCHW: Tensor, old: Moment
) -> Moment:
    return Moment(
        torch.where(chosen_B, iteration, old.iteration_B),
        torch.where(chosen_B, value_B, old.value_B),
        torch.where(chosen_B[:, None, None, None], x_BCHW, old.x_BCHW),
    )


def _moment(moment: Moment, lane: int) -> dict[str, Any] | None:
    iteration = int(moment.iteration_B[lane])
    if iteration < 0:
        return None
    return {"iteration": iteration, "value": _number(float(moment.value_B[lane]))}


def _place(index: int, map_size: tuple[int, int], *, whole: bool) -> list[int]:
    """[unit, row, column], or [unit] alone."""
    if whole:
        return [index]
    height, width = map_size
    unit, neuron = divmod(index, height * width)
    return [unit, *divmod(neuron, width)]


def _column(lane: int, values: Sequence[Tensor]) -> list[Any]:
    """Of each run one target's number: waits for the device once."""
    column: list[Any] = torch.stack([value_B[lane] for value_B in values]).tolist()
    return column


def _number(value: float) -> float | None:
    """None where it is none, as JSON knows no NaN."""
    return value if math.isfinite(value) else None

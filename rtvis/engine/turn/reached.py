"""What the network answers at one layer to many inputs at once, each with a unit of its own.

The turn of `rtvis.engine.turn.step` serves one selection with all that the screen shows. Here is
what optimising an input, or explaining many pictures at one layer, needs of it: the layer's maps,
and the gradient of an `Objective` at the input. One run of the network serves any number of
objectives and rules.

Where it comes from: `Step.reach` (the pieces of the turn), `Reach` (graphs that end at
the layer), `UntracedStep.reach` (autograd).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from rtvis.data import Layer, Rule
from rtvis.engine.flat.vjps import Thresholds
from rtvis.engine.joint.backward import RULE_THRESHOLDS
from rtvis.engine.turn.objectives import Objective, UnitSeed, assess
from rtvis.threads import cpu_threads

PullBack: TypeAlias = Callable[[UnitSeed | Tensor, Thresholds], Tensor]
"""From a gradient at the layer to the one at the input, by a rule."""


class Gradients(NamedTuple):
    """What one pass back gave, on the device."""

    value_B: Tensor
    """float32: the objective."""
    position_B2: Tensor
    """int64: (row, column) of the neuron; of the unit's maximum where none was asked for."""
    maps_BCHW: Tensor
    """Output of the layer, before its activation and before a batch norm that follows it."""
    grad_BCHW: Tensor
    """Gradient of each picture's objective at its preprocessed input."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reached:
    """The network has run up to a layer, and what the way back needs is kept."""

    layer: Layer
    maps_BCHW: Tensor
    """Output of the layer, as in `Gradients`."""
    pull_back: PullBack

    def gradients(
        self,
        *,
        unit_B: Tensor,
        position_B2: Tensor | None = None,
        objective: Objective = "neuron",
        rule: Rule = "gradient",
    ) -> Gradients:
        """The objective of each picture, and its gradient at the input. Never waits for a GPU.

        Args:
            unit_B: int64, on the maps' device: a unit for each picture, in range.
            position_B2: int64 (row, column) in the unit's map, negative for its maximum (the
                first of equals); None: the maximum for all.
            objective: See `rtvis.engine.turn.objectives`.
            rule: How ReLU passes gradients back.
        """
        if position_B2 is None:
            position_B2 = torch.full((len(unit_B), 2), -1, device=self.maps_BCHW.device)
        with torch.no_grad(), cpu_threads(1):
            found = assess(self.maps_BCHW, objective, unit_B, position_B2)
            tx, tg = (self.maps_BCHW.new_full((), each) for each in RULE_THRESHOLDS[rule])
            grad_BCHW = self.pull_back(found.seed, Thresholds(tx, tg))
        return Gradients(found.value_B, found.position_B2, self.maps_BCHW, grad_BCHW)

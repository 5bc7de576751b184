"""What is explained or maximised of a layer, as a number for each picture and its gradient there.

| objective | value | gradient at the layer |
|---|---|---|
| neuron | a[u, i, j] | 1 at (u, i, j) |
| mean | mean over i, j of a[u, i, j] | 1 / (H W) at u |
| map | half the mean of the squares of a[u] | a / (H W) at u |
| layer | half the mean of the squares of a | a / (C H W) |
| probability | softmax(a)[u] | p_u (delta_uk - p_k) |

with u the unit, i, j the position, p = softmax(a). "map" and "layer" are what DeepDream ascends
(Mordvintsev et al. 2015): whatever is there already gets more of it.
"""

from typing import Literal, NamedTuple, TypeAlias, assert_never

import torch
from torch import Tensor

from rtvis.engine.turn.readings import at_least_float32, position_and_value, unit_map

Objective: TypeAlias = Literal["neuron", "mean", "map", "layer", "probability"]


class UnitSeed(NamedTuple):
    """A gradient that is zero but for one unit of each picture."""

    unit_B: Tensor
    seed_BHW: Tensor

    def over_layer(self, maps_BCHW: Tensor) -> Tensor:
        """The same for all units, [B, C, H, W]."""
        index_B1HW = self.unit_B[:, None, None, None].expand(-1, 1, *maps_BCHW.shape[2:])
        return torch.zeros_like(maps_BCHW).scatter(1, index_B1HW, self.seed_BHW[:, None])


class Assessed(NamedTuple):
    """An objective and its gradient at the layer."""

    value_B: Tensor
    """float32."""
    position_B2: Tensor
    """int64: (row, column) of the neuron, of the unit's maximum where none was given."""
    seed: UnitSeed | Tensor
    """The gradient; [B, C, H, W] where it is not that of one unit."""


def assess(
    maps_BCHW: Tensor, objective: Objective, unit_B: Tensor, position_B2: Tensor
) -> Assessed:
    """The value of an objective and its gradient, without waiting for the device.

    Args:
        maps_BCHW: Output of the layer.
        objective: Which.
        unit_B: int64: a unit for each picture; "layer" takes it for the position alone.
        position_B2: int64 (row, column), negative for the spatial maximum, the first of equals.
    """
    map_BHW = unit_map(maps_BCHW, unit_B)
    row_B, column_B = position_B2.unbind(1)
    position_B2, value_B = position_and_value(map_BHW, row_B, column_B)
    height, width = map_BHW.shape[1:]
    match objective:
        case "neuron":
            return Assessed(value_B, position_B2, UnitSeed(unit_B, _neuron(map_BHW, position_B2)))
        case "mean":
            mean_B = at_least_float32(map_BHW).mean(dim=(1, 2)).float()
            share_BHW = torch.full_like(map_BHW, 1 / (height * width))
            return Assessed(mean_B, position_B2, UnitSeed(unit_B, share_BHW))
        case "map":
            energy_B = at_least_float32(map_BHW).square().mean(dim=(1, 2)).float() / 2
            return Assessed(energy_B, position_B2, UnitSeed(unit_B, map_BHW / (height * width)))
        case "layer":
            energy_B = at_least_float32(maps_BCHW).square().mean(dim=(1, 2, 3)).float() / 2
            return Assessed(energy_B, position_B2, maps_BCHW / maps_BCHW[0].numel())
        case "probability":
            share_BK = at_least_float32(maps_BCHW).flatten(1).softmax(dim=1)
            chosen_B1 = share_BK.gather(1, unit_B[:, None])
            is_chosen_BK = torch.zeros_like(share_BK).scatter(1, unit_B[:, None], 1.0)
            grads_BK = (chosen_B1 * (is_chosen_BK - share_BK)).to(maps_BCHW.dtype)
            return Assessed(chosen_B1.squeeze(1).float(), position_B2, grads_BK.view_as(maps_BCHW))
        case _:
            assert_never(objective)


def seed_of(map_BHW: Tensor, position_B2: Tensor, amount_B5: Tensor) -> Tensor:
    """The gradient of what a turn explains at the starting unit's map; see `rtvis.data.Seed`.

    Args:
        map_BHW: Of that unit.
        position_B2: int64: (row, column) of its neuron.
        amount_B5: See `ClickTensors`.
    """
    neuron, whole, active = (amount_B5[:, i, None, None].to(map_BHW.dtype) for i in range(3))
    return neuron * _neuron(map_BHW, position_B2) + whole + active * map_BHW


def _neuron(map_BHW: Tensor, position_B2: Tensor) -> Tensor:
    """1 at one place of each map, 0 elsewhere."""
    neuron_B = position_B2[:, 0] * map_BHW.shape[2] + position_B2[:, 1]
    places_S = torch.arange(map_BHW.shape[1] * map_BHW.shape[2], device=map_BHW.device)
    return (places_S == neuron_B[:, None]).to(map_BHW.dtype).view_as(map_BHW)

"""Changes to units as data: one gain and one offset for every unit of every layer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rtvis.data import Intervention
from rtvis.engine.joint.pieces import Facts


class Changes(NamedTuple):
    """What happens to each unit's value at its node: `value * gain + offset`."""

    gain_BT: Tensor
    offset_BT: Tensor


def pack_interventions(
    interventions: Sequence[Intervention], pieces: Facts, index_of: Mapping[str, int]
) -> Changes:
    """The tensors of some interventions, float64 in host memory.

    A node computes `s * own + t` where a batch norm is folded into the layer (`Site`), so that
    `own -> a * own + c` is `node -> a * node + (1 - a) * t + s * c`.

    Args:
        interventions: At most one for each unit.
        pieces: B of the result is their batch.
        index_of: Index of each layer by its name.
    """
    gain_T = torch.ones(pieces.num_units, dtype=torch.float64)
    offset_T = torch.zeros_like(gain_T)
    for change in interventions:
        site = pieces.sites[index_of[change.layer]]
        scale, shift = 1.0, 0.0
        if site.scale_C is not None and site.shift_C is not None:
            scale, shift = float(site.scale_C[change.unit]), float(site.shift_C[change.unit])
        place = site.first + change.unit
        gain_T[place] = change.scale
        offset_T[place] = (1 - change.scale) * shift + scale * change.offset
    return Changes(*(each.repeat(pieces.batch, 1) for each in (gain_T, offset_T)))

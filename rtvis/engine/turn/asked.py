"""What a turn is asked, as code paths and as data, and what it answers."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rtvis.data import Rule, Seed, Tap
from rtvis.engine.dense import corners
from rtvis.engine.joint.backward import RULE_THRESHOLDS

_SEED_COEFFICIENTS: dict[Seed, tuple[float, float, float]] = {
    # one neuron, the whole map, the map times its own values
    "max": (1.0, 0.0, 0.0),
    "map": (0.0, 1.0, 0.0),
    "activation": (0.0, 0.0, 1.0),
    "score": (0.0, 0.0, 0.0),  # no unit
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The part of a selection that decides which code runs; equal routes share a CUDA graph."""

    site: int
    """The layer that is looked at."""
    origin_site: int
    """The layer at which the backward pass starts."""
    frozen: bool
    """Whether it starts elsewhere than at what is looked at."""
    from_score: bool
    """Whether it starts at the score of the class instead."""
    tap: Tap
    backward: bool
    gradients: bool
    beside_site: int | None
    """A layer whose maps are wanted too."""
    cam_site: int
    cam: str
    changed_from: int | None
    """The lowest segment of the network in which units are changed; None where none are."""

    @property
    def intervened(self) -> bool:
        """Whether units are changed."""
        return self.changed_from is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Click:
    """The part of a selection that is data."""

    unit: int
    position: tuple[int, int] | None
    origin_unit: int
    origin_position: tuple[int, int] | None
    seed: Seed
    rule: Rule
    class_index: int | None
    region: tuple[int, int, int, int] | None
    """(top, left, height, width) in pixels of a dense output; None is all of it."""


class ClickTensors(NamedTuple):
    """A click on the device."""

    index_B7: Tensor
    """int64: unit, row, column (-1 for the maximum), the same of the backward pass's start, class
    (-1 for the top-scoring one)."""
    amount_B5: Tensor
    """float32: seed coefficients of neuron, map and activation, then tx and tg of the rule."""
    corners_B4: Tensor
    """int64: top, left, bottom, right of the region of a dense output; zeros without one."""
    gain_BT: Tensor
    """What interventions multiply each unit of each layer by, at its node."""
    offset_BT: Tensor
    """What they add then."""


def pack_click(
    click: Click, batch: int, output_size: tuple[int, int] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """`index_B7`, `amount_B5` and `corners_B4` of a click, in host memory.

    Args:
        click: What to pack.
        batch: B.
        output_size: (height, width) of the dense output; None without one.
    """
    place = click.position or (-1, -1)
    origin = click.origin_position or (-1, -1)
    class_index = -1 if click.class_index is None else click.class_index
    amounts = (*_SEED_COEFFICIENTS[click.seed], *RULE_THRESHOLDS[click.rule])
    return (
        torch.tensor([[click.unit, *place, click.origin_unit, *origin, class_index]] * batch),
        torch.tensor([amounts] * batch),
        torch.tensor([corners(click.region, output_size or (0, 0))] * batch),
    )


class Outcome(NamedTuple):
    """What one turn computes; the meaning of each field is in `rtvis.data.Result`."""

    scores_BK: Tensor
    maps_BCHW: Tensor
    cam_BHW: Tensor
    backprop_BCHW: Tensor
    class_index_B: Tensor
    position_B2: Tensor
    value_B: Tensor
    grads_BCHW: Tensor | None
    beside_BCHW: Tensor | None
    health_B: Tensor
    untouched_scores_BK: Tensor
    """Without the interventions; `scores_BK` itself where there are none."""
    dense_BKHW: Tensor | None
    labels_BHW: Tensor | None

"""What the network says of some inputs of units, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor

from rtvis.data import ImageU8, Layer, Rule
from rtvis.engine.engine import Engine
from rtvis.engine.networks.pictures import as_picture
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.render import display
from rtvis.sources.pixels import Decoded
from rtvis.units.items import Item
from rtvis.units.tracker import Top

RULES: Final[tuple[Rule, ...]] = ("gradient", "guided", "deconvnet")


class Wanted(NamedTuple):
    """One picture to be looked at for one unit."""

    unit: int
    item: int
    value: float
    position: tuple[int, int]


Group: TypeAlias = list[Wanted]
"""Those of whole units, as many as are looked at together."""


class ReadInput(NamedTuple):
    """An input as it was read."""

    wanted: Wanted
    item: Item
    picture: Decoded | None
    fault: str = ""
    """Why there is none."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen:
    """What the network says of one batch, in host memory."""

    inputs: list[ImageU8]
    """As the network saw them."""
    values: list[float] | None
    gradients: dict[Rule, Tensor]
    """[B, C, H, W] each."""

    @staticmethod
    def of(
        engine: Engine,
        layer: Layer,
        readable: Sequence[ReadInput],
        batch: int,
    ) -> "Seen":
        prep, device = engine.preprocessing, engine.device
        pictures = (
            as_picture(each.picture.best, prep, device, name=engine.network)
            for each in readable
            if each.picture is not None
        )
        x_BCHW = prep.apply_batch(pictures)
        images_BHW3 = _in_colours(x_BCHW, prep)
        if layer.kind == "attention":  # what its neurons are depends on who asks
            return Seen(inputs=images_BHW3, values=None, gradients={})
        num = len(x_BCHW)
        # Every batch has one size: the engine makes one form of the network for it.
        fill = [min(index, num - 1) for index in range(batch)]
        x_BCHW = x_BCHW[fill]
        unit_B = torch.tensor([readable[index].wanted.unit for index in fill], device=device)
        position_B2 = torch.tensor([readable[i].wanted.position for i in fill], device=device)
        reached = engine.reach(x_BCHW, layer=layer.name)
        rules = RULES if layer.reaches_input else ()
        found = {
            rule: reached.gradients(unit_B=unit_B, position_B2=position_B2, rule=rule)
            for rule in rules
        }
        maps_BCHW = reached.maps_BCHW[torch.arange(batch, device=device), unit_B]
        values_B = maps_BCHW[
            torch.arange(batch, device=device), position_B2[:, 0], position_B2[:, 1]
        ]
        return Seen(
            inputs=images_BHW3,
            values=values_B[:num].float().tolist(),
            gradients={rule: each.grad_BCHW[:num].float().cpu() for rule, each in found.items()},
        )


def wanted_of(top: Top, unit: int) -> list[Wanted]:
    values, items = top.values_CN[unit].tolist(), top.item_CN[unit].tolist()
    positions = top.position_CN2[unit].tolist()
    return [
        Wanted(unit=unit, item=item, value=value, position=(position[0], position[1]))
        for value, item, position in zip(values, items, positions, strict=True)
        if item >= 0
    ]


def _in_colours(x_BCHW: Tensor, prep: Preprocessing) -> list[ImageU8]:
    share_BCHW = prep.to_unit_range(x_BCHW)
    if share_BCHW.shape[1] != 3:  # a network of other channels shows the first
        share_BCHW = share_BCHW[:, :1].expand(-1, 3, -1, -1)
    bytes_BHW3 = display.to_bytes(share_BCHW.permute(0, 2, 3, 1)).contiguous().cpu().numpy()
    return list(bytes_BHW3)

"""What units do over many pictures: the range of each one's values, and which never do anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx

from rtvis.engine.layers import Site
from rtvis.engine.trace import FlatModel

_RECTIFIERS: Final = {"relu", "hardtanh", "gelu", "silu", "hardswish", "mish"}
"""Activations that a unit must get above zero to be heard behind them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Activity:
    """What a layer's units did."""

    low: float
    """Smallest value of the layer's own output, in front of any activation."""
    high: float
    dead_units: tuple[int, ...]
    """Never above zero behind the activation; without one that rectifies: always of one value."""
    is_rectified: bool
    """Which of the two."""


class Watcher:
    """Runs pictures through a flat graph and keeps the extremes of each unit."""

    def __init__(self, flat: FlatModel, sites: Sequence[Site], device: torch.device) -> None:
        """Put the graph's constants on the device.

        Args:
            flat: For one picture at a time. Not to be used elsewhere.
            sites: Layers with units of one value at each place: convolutions and dense layers.
            device: Where to compute.
        """
        module = flat.module
        for node in module.graph.find_nodes(op="get_attr"):
            name = str(node.target)
            setattr(module, name, getattr(module, name).to(device))
        self._sites = {site.node: site for site in sites if not site.is_rest}
        self._run = _Run(module, self)
        self._device = device
        self._extremes: dict[fx.Node, tuple[Tensor, Tensor]] = {}
        self._highest_behind: dict[fx.Node, Tensor] = {}

    def watch(self, x_1CHW: Tensor) -> None:
        """Add one picture, preprocessed."""
        with torch.inference_mode():
            self._run.run(x_1CHW.to(self._device))

    def activities(self) -> dict[str, Activity]:
        """What the units of each layer did so far, by the layer's name."""
        return {
            site.layer.name: self._activity(site)
            for node, site in self._sites.items()
            if node in self._extremes
        }

    def take(self, node: fx.Node, value: Tensor) -> None:
        """The value of a node, before it is freed."""
        site = self._sites.get(node)
        if site is None:
            return
        low_C, high_C = _by_unit(value, site).aminmax(dim=0)
        if node in self._extremes:
            old_low_C, old_high_C = self._extremes[node]
            low_C, high_C = torch.minimum(low_C, old_low_C), torch.maximum(high_C, old_high_C)
        self._extremes[node] = low_C, high_C
        if _is_rectified(site):
            assert site.activation is not None
            behind = site.activation.to(self._device)(value)
            highest_C = _by_unit(behind, site).amax(dim=0)
            old = self._highest_behind.get(node)
            self._highest_behind[node] = highest_C if old is None else highest_C.maximum(old)

    def _activity(self, site: Site) -> Activity:
        low_C, high_C = (each.double().cpu() for each in self._extremes[site.node])
        is_rectified = _is_rectified(site)
        # In this order NaN, which is neither, is not dead.
        is_dead_C = self._highest_behind[site.node].cpu() <= 0 if is_rectified else low_C == high_C
        ends_2C = torch.stack([low_C, high_C])
        if site.scale_C is not None and site.shift_C is not None:
            # The node's value has a batch norm in it, which the layer's own has not.
            scale_C, shift_C = site.scale_C.cpu(), site.shift_C.cpu()
            known = scale_C != 0
            ends_2C = ((ends_2C - shift_C) / scale_C)[:, known]
        low, high = (float(end) for end in ends_2C.aminmax()) if ends_2C.numel() else (0.0, 0.0)
        dead = tuple(is_dead_C.nonzero().flatten().tolist())
        return Activity(low=low, high=high, dead_units=dead, is_rectified=is_rectified)


class _Run(fx.Interpreter):
    """Shows each value to the watcher; the base class frees what nobody reads any more."""

    def __init__(self, module: fx.GraphModule, watcher: Watcher) -> None:
        super().__init__(module)
        self._watcher = watcher

    def run_node(self, n: fx.Node) -> Any:
        """One node's value."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self._watcher.take(n, value)
        return value


def _is_rectified(site: Site) -> bool:
    activation = site.activation
    if activation is None or activation.name not in _RECTIFIERS:
        return False
    arguments = activation.node.args
    # A clipped one that begins elsewhere lets negative values through.
    return activation.name != "hardtanh" or arguments[1:2] == (0,)


def _by_unit(value: Tensor, site: Site) -> Tensor:
    """[places, C] of [B, C, H, W] or [tokens, C]."""
    if site.layer.kind == "conv":
        return value.movedim(1, -1).reshape(-1, site.layer.num_units)
    return value.reshape(-1, site.layer.num_units)

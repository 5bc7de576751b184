"""What units do over many pictures: the range of each one's values and of the gradients that reach
them, and which never do anything."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx

from rtvis.data import Layer
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.layers.site import Site

RECTIFIERS: Final = {"relu", "hardtanh", "gelu", "silu", "hardswish", "mish"}
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
    gradients: tuple[float, float] | None
    """Smallest and largest gradient of each picture's top score at the layer's own output; None
    where none gets there."""


def by_unit(value: Tensor, layer: Layer) -> Tensor:
    """[places, C] of [B, C, H, W] of a convolution, or of [B, ..., C] of another layer."""
    if layer.kind == "conv":
        value = value.movedim(1, -1)
    return value.reshape(-1, layer.num_units)


class Extremes:
    """The extremes of each unit of some layers, picture by picture."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[Tensor, Tensor]] = {}
        self._highest_behind: dict[str, Tensor] = {}
        self._gradients: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, name: str, values_NC: Tensor, behind_NC: Tensor | None) -> None:
        """Add what a layer's units did at some places.

        Args:
            name: Of the layer.
            values_NC: In front of any activation.
            behind_NC: Behind one that rectifies; None without one.
        """
        low_C, high_C = values_NC.aminmax(dim=0)
        if name in self._ends:
            old_low_C, old_high_C = self._ends[name]
            low_C, high_C = torch.minimum(low_C, old_low_C), torch.maximum(high_C, old_high_C)
        self._ends[name] = low_C, high_C
        if behind_NC is not None:
            highest_C = behind_NC.amax(dim=0)
            old = self._highest_behind.get(name)
            self._highest_behind[name] = highest_C if old is None else highest_C.maximum(old)

    def add_gradient(self, name: str, grad_NC: Tensor) -> None:
        """Add the gradient at a layer's own output, at some places; waits for nothing."""
        low, high = grad_NC.aminmax()
        old_low, old_high = self._gradients.get(name, (low, high))
        self._gradients[name] = low.minimum(old_low), high.maximum(old_high)

    def activity(
        self, name: str, *, scale_C: Tensor | None = None, shift_C: Tensor | None = None
    ) -> Activity | None:
        """What they did so far; None if they were not seen.

        Args:
            name: Of the layer.
            scale_C: With `shift_C`: the values added were these times it, plus the other.
            shift_C: See there.
        """
        if name not in self._ends:
            return None
        low_C, high_C = (each.double().cpu() for each in self._ends[name])
        behind_C = self._highest_behind.get(name)
        # In this order NaN, which is neither, is not dead.
        is_dead_C = low_C == high_C if behind_C is None else behind_C.cpu() <= 0
        ends_2C = torch.stack([low_C, high_C])
        if scale_C is not None and shift_C is not None:
            scale_C, shift_C = scale_C.cpu(), shift_C.cpu()
            known = scale_C != 0
            ends_2C = ((ends_2C - shift_C) / scale_C)[:, known]
        low, high = (float(end) for end in ends_2C.aminmax()) if ends_2C.numel() else (0.0, 0.0)
        steepest = self._gradients.get(name)
        dead = tuple(is_dead_C.nonzero().flatten().tolist())
        return Activity(
            low=low,
            high=high,
            dead_units=dead,
            is_rectified=behind_C is not None,
            gradients=None if steepest is None else (float(steepest[0]), float(steepest[1])),
        )


def top_score_gradients(scores: Tensor, values: Sequence[Tensor]) -> list[Tensor | None]:
    """The plain gradient of the largest score at some values; None where it does not get to.

    Args:
        scores: Of any shape, as the network returned them.
        values: On the way to them, of a run with a graph of autograd's.
    """
    if not scores.requires_grad or not values:
        return [None] * len(values)
    reached = [value for value in values if value.requires_grad]
    grads = torch.autograd.grad(scores.max(), reached, allow_unused=True)
    found = dict(zip(map(id, reached), grads, strict=True))
    return [found.get(id(value)) for value in values]


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
        self._module = module
        self._device = device
        self._extremes = Extremes()

    def watch(self, x_1CHW: Tensor) -> None:
        """Add one picture, preprocessed."""
        run = _Run(self._module, self._sites)
        x_1CHW = x_1CHW.to(self._device).detach().requires_grad_()
        with torch.enable_grad():
            scores = run.run(x_1CHW)
        grads = top_score_gradients(scores, list(run.kept.values()))
        with torch.no_grad():
            for (node, value), grad in zip(run.kept.items(), grads, strict=True):
                self._add(self._sites[node], value, grad)

    def activities(self) -> dict[str, Activity]:
        """What the units of each layer did so far, by the layer's name."""
        found = {}
        for site in self._sites.values():
            # The node's value has a batch norm in it, which the layer's own has not.
            scales = {"scale_C": site.scale_C, "shift_C": site.shift_C}
            activity = self._extremes.activity(site.layer.name, **scales)
            if activity is not None:
                found[site.layer.name] = activity
        return found

    def _add(self, site: Site, value: Tensor, grad: Tensor | None) -> None:
        if grad is not None:
            grad_NC = by_unit(grad, site.layer)
            # The node's value is the layer's own times the scale of a batch norm.
            scaled_NC = grad_NC if site.scale_C is None else grad_NC * site.scale_C.to(grad_NC)
            self._extremes.add_gradient(site.layer.name, scaled_NC)
        behind_NC = None
        if _is_rectified(site):
            assert site.activation is not None
            behind_NC = by_unit(site.activation.to(self._device)(value), site.layer)
        self._extremes.add(site.layer.name, by_unit(value, site.layer), behind_NC)


class _Run(fx.Interpreter):
    """Keeps the values of some nodes; the base class frees what nobody reads any more."""

    def __init__(self, module: fx.GraphModule, nodes: Collection[fx.Node]) -> None:
        super().__init__(module)
        self._nodes = nodes
        self.kept: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """One node's value."""
        value = super().run_node(n)
        if n in self._nodes:
            self.kept[n] = value
        return value


def _is_rectified(site: Site) -> bool:
    activation = site.activation
    if activation is None or activation.name not in RECTIFIERS:
        return False
    arguments = activation.node.args
    # A clipped one that begins elsewhere lets negative values through.
    return activation.name != "hardtanh" or arguments[1:2] == (0,)

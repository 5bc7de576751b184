"""The activation function behind a layer: what the layer hands on, and how a seed gets through.

A layer's own value lies before its activation ("pre"); what the next layer reads lies behind it
("post", as in-place ReLU leaves a Caffe blob). Nothing but the seed of one unit ever has to pass
an activation here: the backward pass itself begins at the layer's own node.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from rtvis.engine.flat.vjps import VJPS, Thresholds, generic

aten = torch.ops.aten

_ACTIVATIONS = {
    aten.relu.default,
    aten.hardtanh.default,
    aten.gelu.default,
    aten.silu.default,
    aten.hardswish.default,
    aten.hardsigmoid.default,
    aten.leaky_relu.default,
    aten.elu.default,
    aten.mish.default,
    aten.softplus.default,
    aten.sigmoid.default,
    aten.tanh.default,
}


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """An elementwise function that alone reads a layer's value."""

    node: fx.Node
    """Its value has the elements of the layer's own, in the same order."""
    derivative: Callable[..., Tensor]
    """(g, before, after, tx, tg) -> the gradient in front of it; tensors of three axes."""
    scale_1C11: Tensor | None = None
    """Of a batch norm in between that could not be folded into the layer."""
    shift_1C11: Tensor | None = None

    def to(self, device: torch.device) -> "Activation":
        """With its constants on a device."""
        if self.scale_1C11 is None or self.shift_1C11 is None:
            return self
        return replace(
            self, scale_1C11=self.scale_1C11.to(device), shift_1C11=self.shift_1C11.to(device)
        )

    @property
    def name(self) -> str:
        """As ATen calls it: "relu", "hardtanh" (which ReLU6 is), "gelu" ..."""
        return str(self.node.target).split(".")[1]

    @property
    def reads_before(self) -> bool:
        """Whether its derivative needs its argument, and not its value alone."""
        return self.node.target not in {aten.relu.default, aten.hardtanh.default}

    def __call__(self, value: Tensor) -> Tensor:
        """The function of the layer's value."""
        if self.scale_1C11 is not None and self.shift_1C11 is not None:
            value = torch.addcmul(self.shift_1C11, value, self.scale_1C11)
        target: Any = self.node.target
        result: Tensor = target(value, *self.node.args[1:], **self.node.kwargs)
        return result

    def pass_back(
        self, g_BHW: Tensor, *, unit_B: Tensor, before: Tensor, after: Tensor, rule: Thresholds
    ) -> Tensor:
        """The gradient at one unit of the layer, from the one behind the activation, by a rule.

        Args:
            g_BHW: At the unit's map behind the activation.
            unit_B: int64: which unit that is.
            before: The layer's value there, in that shape; anything unless `reads_before`.
            after: The activation's.
            rule: Its two thresholds as tensors without axes.
        """
        if self.scale_1C11 is None or self.shift_1C11 is None:
            return self.derivative(g_BHW, before, after, rule.tx, rule.tg)
        scale_B11, shift_B11 = (
            each.flatten()[unit_B, None, None] for each in (self.scale_1C11, self.shift_1C11)
        )
        before = torch.addcmul(shift_B11, before, scale_B11)
        return self.derivative(g_BHW, before, after, rule.tx, rule.tg) * scale_B11


def activation_behind(node: fx.Node, constants: nn.Module) -> Activation | None:
    """The activation that reads `node`, itself, normalised or reshaped, if nothing else does.

    Args:
        node: Of a layer.
        constants: Holds the graph's constants by name.
    """
    affine: list[Tensor] = []
    while len(node.users) == 1:
        reader = next(iter(node.users))
        if reader.target in _ACTIVATIONS:
            return Activation(reader, _derivative(reader), *affine)
        if reader.target is not aten.reshape.default:
            norm = None if affine else _batch_norm(reader, constants)
            if norm is None:
                return None
            reader, *affine = norm
        node = reader
    return None


def _batch_norm(product: fx.Node, constants: nn.Module) -> tuple[fx.Node, Tensor, Tensor] | None:
    """Last node, scale and shift of a batch norm that `rtvis.engine.flat.fold` left."""
    if product.target is not aten.mul.Tensor or len(product.users) != 1:
        return None
    total = next(iter(product.users))
    if total.target is not aten.add.Tensor:
        return None
    found = []
    for node in (product, total):
        constant = node.args[1]
        if not isinstance(constant, fx.Node) or constant.op != "get_attr":
            return None
        value = getattr(constants, str(constant.target))
        if value.ndim != 4 or value.shape[0] != 1 or value.shape[2:] != (1, 1):
            return None
        found.append(value)
    return total, found[0], found[1]


def _derivative(node: fx.Node) -> Callable[..., Tensor]:
    keywords = tuple(sorted(node.kwargs.items()))
    return _traced(node.target, node.args[1:], keywords, node.all_input_nodes[0].meta["val"].dtype)


@functools.lru_cache(maxsize=64)
def _traced(
    target: Any, arguments: tuple[Any, ...], keywords: tuple[Any, ...], dtype: torch.dtype
) -> Callable[..., Tensor]:
    """`rtvis.engine.flat.vjps` as plain operations: autograd refuses inference tensors."""
    graph = fx.Graph()
    source = graph.placeholder("source")
    node = graph.call_function(target, (source, *arguments), dict(keywords))

    def call(g: Tensor, before: Tensor, after: Tensor, tx: Tensor, tg: Tensor) -> Tensor:
        vjp = VJPS.get(target, generic)
        return vjp(node, {source: before, node: after}, g, Thresholds(tx, tg))[0][1]

    with FakeTensorMode(), torch.autograd.set_multithreading_enabled(False):
        maps = [torch.empty(1, 2, 2, dtype=dtype) for _ in range(3)]
        thresholds = [torch.empty((), dtype=dtype) for _ in range(2)]
        return make_fx(call)(*maps, *thresholds)

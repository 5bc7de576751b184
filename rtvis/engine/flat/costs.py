"""What a network costs: parameters and multiply-adds of its layers, from the flat graph.

One multiply-add is a multiplication and the addition of its product; FLOPs, where these are counted
one by one, are twice that. Counted are convolutions and matrix products, those of attention among
them; biases, normalisation, activations and pooling are not.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from rtvis.data import Layer
from rtvis.engine.flat.trace import FlatModel

aten = torch.ops.aten

_PRODUCTS = {
    # target: position of the left matrix among the arguments
    aten.mm.default: 0,
    aten.bmm.default: 0,
    aten.addmm.default: 1,
    aten.baddbmm.default: 1,
}


def multiply_adds(node: fx.Node) -> int:
    """Of one node for the whole batch."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return 0
    if node.target is aten.convolution.default:
        source, weight, *_, is_transposed, _, _ = (_value(each) for each in node.args)
        # A transposed convolution spreads each input over a kernel; others gather each output.
        places = source if is_transposed else value
        return int(places.numel() * weight[0].numel())
    target: Any = node.target
    if target in _PRODUCTS:
        left = _value(node.args[_PRODUCTS[target]])
        return int(value.numel() * left.shape[-1])
    return 0


def all_multiply_adds(flat: FlatModel) -> int:
    """Of the network for the whole batch."""
    return sum(multiply_adds(node) for node in flat.module.graph.nodes)


def parameters_of(model: nn.Module, layer: Layer) -> dict[str, Tensor]:
    """The parameters of a layer's module itself, by name; empty for the second use of it, whose
    name (`conv#2`) is no module's."""
    name = layer.name_in_model or layer.name
    return {
        parameter: value.detach()
        for parameter, value in model.named_parameters()
        if name in {parameter, parameter.rpartition(".")[0]}
    }


def num_parameters(model: nn.Module) -> int:
    """Of all its modules; a tensor that several share counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _value(argument: Any) -> Any:
    return argument.meta["val"] if isinstance(argument, fx.Node) else argument

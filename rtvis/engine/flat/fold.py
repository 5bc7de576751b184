"""Fold what is constant in a flat graph: batch norm into convolutions, then all the rest.

Folding is done in float64 and rounded once. In float32 it flips ReLU masks near zero: up to
3e-2 at single pixels of a deep guided backprop, against 5e-15 when done so.
"""

import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import depends_on

aten = torch.ops.aten

_BATCH_NORMS = {
    # target: position of `training` among the arguments, None where there is none
    aten.native_batch_norm.default: 5,
    aten._native_batch_norm_legit.default: 5,
    aten._native_batch_norm_legit_no_training.default: None,
    aten.cudnn_batch_norm.default: 5,
    aten._batch_norm_no_update.default: None,
}

# A channel whose scale is this small beside the largest one is as good as cut off: its value
# before the batch norm cannot be had back from the value after it.
_SMALLEST_RELATIVE_SCALE = 1e-4


def fold_batch_norms(
    graph_module: fx.GraphModule,
    parameter_of: dict[fx.Node, str],
    masters: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Replace eval-mode batch norms by constants, inside the convolution before them if possible.

    Where the convolution has other readers, its weight is computed rather than stored, or a scale
    is too small to be undone, the batch norm becomes a multiplication and an addition.

    Returns:
        Convolution node's name -> (scale_C, shift_C), float64: what the node now computes is
        `scale * convolution + shift`.
    """
    graph = graph_module.graph
    affines: dict[str, tuple[Tensor, Tensor]] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in _BATCH_NORMS:
            continue
        training_at = _BATCH_NORMS[node.target]
        if training_at is not None and node.args[training_at]:
            continue  # of weights, to standardise them (NFNets): there is nothing to fold
        source: Any = node.args[0]
        if any(c is not None and c not in parameter_of for c in node.args[1:5]):
            continue
        scale_C, shift_C = _scale_and_shift(node, parameter_of, masters)
        conv = _foldable_convolution(source, node, parameter_of, scale_C)
        with graph.inserting_before(node):
            if conv is None:
                new = _as_affine(graph_module, node, source, scale_C.to(dtype), shift_C.to(dtype))
            else:
                constants: Sequence[Any] = conv.args[1:3]
                named = [None if c is None else parameter_of[c] for c in constants]
                new = _fold_into(graph_module, conv, named, masters, scale_C, shift_C, dtype)
                affines[new.name] = (scale_C, shift_C)
        for user in list(node.users):
            assert user.target is operator.getitem
            if user.args[1] == 0:
                user.replace_all_uses_with(new)
            graph.erase_node(user)
        graph.erase_node(node)
        if conv is not None:
            graph.erase_node(conv)
    graph.eliminate_dead_code()
    return affines


def _fold_into(
    graph_module: fx.GraphModule,
    conv: Any,
    named: Sequence[str | None],
    masters: Mapping[str, Tensor],
    scale_C: Tensor,
    shift_C: Tensor,
    dtype: torch.dtype,
) -> fx.Node:
    """The convolution that computes `scale * conv + shift`."""
    weight_name, bias_name = named
    assert weight_name is not None
    weight = masters[weight_name].double().cpu()
    weight = weight * scale_C.view(-1, *(1,) * (weight.ndim - 1))
    bias_C = shift_C
    if bias_name is not None:
        bias_C = shift_C + masters[bias_name].double().cpu() * scale_C
    new_weight = _constant(graph_module, f"folded_{conv.name}_weight", weight.to(dtype))
    new_weight.meta["parameter"] = weight_name
    new_bias = _constant(graph_module, f"folded_{conv.name}_bias", bias_C.to(dtype))
    arguments = (conv.args[0], new_weight, new_bias, *conv.args[3:])
    new = graph_module.graph.call_function(conv.target, arguments)
    new.meta = dict(conv.meta)
    return new


def _as_affine(
    graph_module: fx.GraphModule, norm: fx.Node, source: Any, scale_C: Tensor, shift_C: Tensor
) -> fx.Node:
    """A multiplication and an addition in the batch norm's place."""
    shape = (1, -1) + (1,) * (source.meta["val"].ndim - 2)
    scale = _constant(graph_module, f"{norm.name}_scale", scale_C.view(shape))
    shift = _constant(graph_module, f"{norm.name}_shift", shift_C.view(shape))
    product = graph_module.graph.call_function(aten.mul.Tensor, (source, scale))
    total = graph_module.graph.call_function(aten.add.Tensor, (product, shift))
    product.meta["val"] = total.meta["val"] = source.meta["val"]
    return total


def _scale_and_shift(
    node: fx.Node, parameter_of: dict[fx.Node, str], masters: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    def master(argument: Any) -> Tensor | None:
        return None if argument is None else masters[parameter_of[argument]].double().cpu()

    gamma, beta, mean, variance = (master(argument) for argument in node.args[1:5])
    assert mean is not None
    assert variance is not None
    eps = next(a for a in reversed(node.args) if isinstance(a, float))
    scale_C = (variance + eps).rsqrt()
    if gamma is not None:
        scale_C = scale_C * gamma
    shift_C = -mean * scale_C
    if beta is not None:
        shift_C = shift_C + beta
    return scale_C, shift_C


def _foldable_convolution(
    source: Any, norm: fx.Node, parameter_of: dict[fx.Node, str], scale_C: Tensor
) -> fx.Node | None:
    if not (
        isinstance(source, fx.Node)
        and source.target is aten.convolution.default
        and set(source.users) == {norm}
        and source.args[6] is False
        and source.args[1] in parameter_of
        and (source.args[2] is None or source.args[2] in parameter_of)
    ):
        return None
    magnitude_C = scale_C.abs()
    if bool((magnitude_C <= _SMALLEST_RELATIVE_SCALE * magnitude_C.max()).any()):
        return None
    return source


def _constant(graph_module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    graph_module.register_buffer(name, value)
    node = graph_module.graph.get_attr(name)
    node.meta["val"] = value
    return node


def fold_constants(
    graph_module: fx.GraphModule,
    inputs: Collection[fx.Node],
    parameter_of: dict[fx.Node, str],
    tensors: dict[str, Tensor],
) -> dict[str, str]:
    """Compute everything that does not depend on `inputs`; what is left are plain constants.

    Returns:
        Constant's name -> name of the one parameter with the most elements that it came from.
    """
    graph = graph_module.graph
    live = depends_on(graph, inputs)
    values, origins = _evaluate(graph_module, live, parameter_of, tensors)
    weight_names: dict[str, str] = {}
    made: dict[fx.Node, fx.Node] = {}
    first_live = next(node for node in graph.nodes if node in live and node.op != "placeholder")
    for node in list(graph.nodes):
        if node not in live and node.op != "output":
            continue
        for parent in [parent for parent in node.all_input_nodes if parent not in live]:
            if parent not in made:
                assert isinstance(values[parent], Tensor), f"{parent} is not a tensor"
                attribute = f"constant_{len(made)}"
                with graph.inserting_before(first_live):
                    made[parent] = _constant(graph_module, attribute, values[parent].detach())
                origin = origins[parent]
                if origin is not None:
                    weight_names[attribute] = origin
            node.replace_input_with(parent, made[parent])
    kept = {node.target for node in made.values()}
    for node in reversed(list(graph.nodes)):
        if node in live or node.op == "output" or node.users:
            continue
        if node.op == "get_attr" and node.target not in kept and hasattr(graph_module, node.target):
            delattr(graph_module, node.target)
        graph.erase_node(node)
    return weight_names


def _evaluate(
    graph_module: fx.GraphModule,
    live: Collection[fx.Node],
    parameter_of: dict[fx.Node, str],
    tensors: dict[str, Tensor],
) -> tuple[dict[fx.Node, Any], dict[fx.Node, str | None]]:
    """Values of the nodes outside `live`, and the parameter that each was mostly made from."""
    values: dict[fx.Node, Any] = {}
    origins: dict[fx.Node, str | None] = {}

    def resolve(argument: Any) -> Any:
        return fx.node.map_arg(argument, lambda node: values[node])

    for node in graph_module.graph.nodes:
        if node in live or node.op == "output":
            continue
        if node.op == "placeholder":
            values[node] = tensors[parameter_of[node]]
            origins[node] = parameter_of[node]
        elif node.op == "get_attr":
            values[node] = getattr(graph_module, str(node.target))
            origins[node] = node.meta.get("parameter")
        else:
            values[node] = node.target(*resolve(node.args), **resolve(node.kwargs))
            named = [p for p in node.all_input_nodes if origins.get(p) is not None]
            biggest = max(named, key=lambda p: _numel(values[p]), default=None)
            origins[node] = None if biggest is None else origins[biggest]
    return values, origins


def _numel(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else 0

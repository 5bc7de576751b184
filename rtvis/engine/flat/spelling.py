"""One spelling of each operation in a graph, however torch and the model have written it."""

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import fx

from rtvis.engine.flat.graph import SOFTMAXES

aten = torch.ops.aten

NodeOp: TypeAlias = Callable[..., Any]

# Functionalisation writes every view as a copy; the plain view is cheaper and means the same
# where nothing is mutated. `reshape` instead of `view`, which breaks under channels_last.
_VIEW_OPS: dict[NodeOp, NodeOp] = {
    aten.view_copy.default: aten.reshape.default,
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,
    aten._reshape_copy.default: aten.reshape.default,
    aten.t_copy.default: aten.t.default,
    aten.permute_copy.default: aten.permute.default,
    aten.transpose_copy.int: aten.transpose.int,
    aten.expand_copy.default: aten.expand.default,
    aten.slice_copy.Tensor: aten.slice.Tensor,
    aten.select_copy.int: aten.select.int,
    aten.squeeze_copy.dim: aten.squeeze.dim,
    aten.squeeze_copy.dims: aten.squeeze.dims,
    aten.squeeze_copy.default: aten.squeeze.default,
    aten.unsqueeze_copy.default: aten.unsqueeze.default,
    aten.split_copy.Tensor: aten.split.Tensor,
    aten.split_with_sizes_copy.default: aten.split_with_sizes.default,
    aten.unbind_copy.int: aten.unbind.int,
    aten.alias_copy.default: aten.alias.default,
    aten.detach_copy.default: aten.detach.default,
}

_IDENTITIES = {aten.alias.default, aten.clone.default, aten.lift_fresh_copy.default}

# Constants that are made like some value, and what they are filled with.
_FILLED: dict[Any, float | None] = {
    aten.new_zeros.default: 0,
    aten.new_ones.default: 1,
    aten.new_full.default: None,
    aten.zeros_like.default: 0,
    aten.ones_like.default: 1,
}


def spell_without_writing(graph: fx.Graph) -> None:
    """Remove what training alone needs, and what writes over a value, as far as that can be."""
    _spell_rrelu(graph)
    _remove_mutations(graph)
    _spell_in_place(graph)


def _spell_rrelu(graph: fx.Graph) -> None:
    """A randomised leaky ReLU is a leaky ReLU of the mean slope, outside of training."""
    for node in graph.find_nodes(op="call_function", target=aten.rrelu_with_noise.default):
        x, _noise, low, high, training = (*node.args, 0.125, 1 / 3, False)[:5]
        if not training:
            node.target, node.args, node.kwargs = aten.leaky_relu.default, (x, (low + high) / 2), {}


def _remove_mutations(graph: fx.Graph) -> None:
    """Drop the copies into buffers with which functionalisation ends a graph."""
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and node.target is aten.copy_.default and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _spell_in_place(graph: fx.Graph) -> None:
    """Spell what writes over a value that nobody else reads without writing.

    Functionalising leaves such operations where torch's own code is made of them: `rms_norm` adds
    its epsilon in place.
    """
    for node in graph.nodes:
        target: Any = node.target
        schema: Any = getattr(target, "_schema", None)
        if schema is None or not schema.is_mutable or node.kwargs.get("out") is not None:
            continue
        packet = getattr(aten, target.overloadpacket.__name__.removesuffix("_"), None)
        plain = getattr(packet, target._overloadname, None)
        over: Any = node.args[0] if node.args else None
        if plain is None or plain is target or not isinstance(over, fx.Node):
            continue
        made_by: Any = getattr(over.target, "_schema", None)
        is_fresh = made_by is not None and not any(each.alias_info for each in made_by.returns)
        if is_fresh and set(over.users) == {node}:
            node.target = plain


def canonicalise(graph: fx.Graph) -> None:
    """Spell every view as a view and every ReLU and clipped ReLU one way."""
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        node.target = _VIEW_OPS.get(node.target, node.target)
        if node.target in _IDENTITIES or _is_plain_copy(node):
            node.replace_all_uses_with(node.args[-1])
            graph.erase_node(node)
            continue
        if node.target in _FILLED:
            # Of the value that it is called on it takes shape and dtype only: then it is constant.
            value = node.meta["val"]
            fill = node.args[2] if node.target is aten.new_full.default else _FILLED[node.target]
            node.target, node.args = aten.full.default, (list(value.shape), fill)
            node.kwargs = {"dtype": value.dtype}
        rectifier = _rectifier(node)
        if rectifier is not None:
            node.target, node.args = rectifier
            node.kwargs = {}


def _is_plain_copy(node: fx.Node) -> bool:
    """Whether a node writes all of one value over another of the same shape and dtype."""
    if node.target is not aten.copy.default:
        return False
    inputs = node.all_input_nodes
    if len(inputs) != 2:
        return False
    over, value = (argument.meta["val"] for argument in inputs)
    return bool(over.shape == value.shape and over.dtype == value.dtype)


def name_operands(graph: fx.Graph) -> None:
    """Give what backward passes and interventions take hold of nodes of its own."""
    _name_switches(graph)
    _name_weights(graph)


def _name_switches(graph: fx.Graph) -> None:
    """Give every max-pool a node for its switches: the backward pass reads them."""
    for node in list(graph.nodes):
        if node.target is not aten.max_pool2d_with_indices.default:
            continue
        if not any(user.args[1] == 1 for user in node.users):
            with graph.inserting_after(node):
                switches = graph.call_function(operator.getitem, (node, 1))
            switches.meta["val"] = node.meta["val"][1]


def _name_weights(graph: fx.Graph) -> None:
    """Give every product that a softmax goes into as it is an operand of its own.

    An intervention on the attention changes that; the softmax's backward pass goes on reading
    what the softmax computed.
    """
    for node in list(graph.nodes):
        if node.target is not aten.bmm.default:
            continue
        for operand in node.all_input_nodes:
            if operand.target in SOFTMAXES:
                with graph.inserting_before(node):
                    shape = list(operand.meta["val"].shape)
                    copy_of = graph.call_function(aten.reshape.default, (operand, shape))
                copy_of.meta["val"] = operand.meta["val"]
                node.replace_input_with(operand, copy_of)


def _rectifier(node: fx.Node) -> tuple[NodeOp, tuple[Any, ...]] | None:
    """The canonical (target, args) of a node that is some spelling of ReLU or a clipped ReLU."""
    args = node.args
    if node.target is aten.clamp_min.default and args[1] == 0:
        return aten.relu.default, (args[0],)
    if node.target is aten.clamp.default:
        low = args[1] if len(args) > 1 else node.kwargs.get("min")
        high = args[2] if len(args) > 2 else node.kwargs.get("max")
        if low == 0 and high is None:
            return aten.relu.default, (args[0],)
        if low is not None and high is not None:
            return aten.hardtanh.default, (args[0], low, high)
    if node.target is aten.maximum.default:
        for value, other in (args, args[::-1]):
            if _is_zero_constant(other):
                return aten.relu.default, (value,)
    return None


def _is_zero_constant(node: Any) -> bool:
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return False
    if node.target in {aten.zeros.default, aten.zeros_like.default}:
        return True
    value_at = {aten.full.default: 1, aten.full_like.default: 1, aten.scalar_tensor.default: 0}
    target: Any = node.target
    return target in value_at and bool(node.args[value_at[target]] == 0)

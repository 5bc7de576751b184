"""Small questions about a graph."""

import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

SOFTMAXES = {aten._softmax.default, aten._safe_softmax.default}


_FLAT = {
    aten.ceil.default,
    aten.detach.default,
    aten.floor.default,
    aten.round.decimals,
    aten.round.default,
    aten.sgn.default,
    aten.sign.default,
    aten.trunc.default,
}
"""Operations whose derivative is zero wherever there is one."""


def input_of(graph: fx.Graph) -> fx.Node:
    """The graph's first input."""
    x: fx.Node = next(node for node in graph.nodes if node.op == "placeholder")
    return x


def depends_on(graph: fx.Graph, roots: Iterable[fx.Node]) -> set[fx.Node]:
    """`roots` and every node whose value depends on one of them."""
    reached = set(roots)
    for node in graph.nodes:
        if any(parent in reached for parent in node.all_input_nodes):
            reached.add(node)
    return reached


def reached_by_gradients(graph: fx.Graph, x: fx.Node) -> set[fx.Node]:
    """Every node from which a gradient can get to `x` at all: not past a comparison or a step."""
    reached = {x}
    for node in graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and not value.is_floating_point():
            continue
        if node.target not in _FLAT and any(each in reached for each in node.all_input_nodes):
            reached.add(node)
    return reached


def pair(value: Any) -> tuple[int, int]:
    """(rows, columns) of an argument that counts pixels: one number, or one for each axis."""
    if isinstance(value, int):
        return value, value
    return int(value[0]), int(value[-1])


def is_getitem(node: fx.Node) -> bool:
    """True for the node that takes one output of an operation with several."""
    return node.op == "call_function" and node.target is operator.getitem

"""Small questions about a graph."""

import operator
from collections.abc import Iterable

from torch import fx


def depends_on(graph: fx.Graph, roots: Iterable[fx.Node]) -> set[fx.Node]:
    """`roots` and every node whose value depends on one of them."""
    reached = set(roots)
    for node in graph.nodes:
        if any(parent in reached for parent in node.all_input_nodes):
            reached.add(node)
    return reached


def is_getitem(node: fx.Node) -> bool:
    """True for the node that takes one output of an operation with several."""
    return node.op == "call_function" and node.target is operator.getitem

"""Where to cut the network: places at which a single activation is live."""

from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten

_FIRST_SHARES = 0.04, 0.14
"""Of all multiplications, below the first cuts: ResNet50's stem is 0.03, with two blocks 0.14."""


def choose_cuts(
    order: list[fx.Node], x: fx.Node, scores: fx.Node, num_segments: int
) -> list[fx.Node]:
    """Nodes that split the arithmetic into about equal shares, each alone live after it."""
    position = {node: i for i, node in enumerate(order)}
    last_use = {n: max((position.get(u, len(order)) for u in n.users), default=-1) for n in order}
    work = 0.0
    done: dict[fx.Node, float] = {}
    alone: list[fx.Node] = []
    open_nodes: set[fx.Node] = set()
    for i, node in enumerate(order):
        work += arithmetic(node)
        open_nodes = {n for n in open_nodes if last_use[n] > i}
        if last_use[node] > i:
            open_nodes.add(node)
        if len(open_nodes) == 1:
            (only,) = open_nodes
            usable = isinstance(only.meta["val"], Tensor) and only not in (x, scores)
            if usable and only not in done:
                done[only] = work
                alone.append(only)
    # The first pieces are small: the layers that people look at first are the cheapest to explain.
    first = _FIRST_SHARES[: max(1, num_segments // 3)]
    rest = max(1, num_segments - len(first))
    shares = [*first, *(first[-1] + (1 - first[-1]) * k / rest for k in range(1, rest))]
    cuts: list[fx.Node] = []
    for share in shares[: num_segments - 1]:
        nearest = min(alone, key=lambda n: abs(done[n] - work * share), default=None)
        if nearest is not None and nearest not in cuts:
            cuts.append(nearest)
    return sorted(cuts, key=position.__getitem__)


def arithmetic(node: fx.Node) -> float:
    """Multiplications of a convolution or matrix product; nothing else counts."""
    value = node.meta["val"]
    if node.target is aten.convolution.default:
        weight: Any = node.args[1]
        return float(value.numel() * weight.meta["val"][0].numel())
    if node.target in {aten.addmm.default, aten.mm.default, aten.bmm.default}:
        left = node.all_input_nodes[-2].meta["val"]
        return float(value.numel() * int(left.shape[-1]))
    return 0.0

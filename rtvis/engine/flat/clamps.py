"""Activations that put numbers between two ends: what our kernels for a CPU do in passing."""

import math
from typing import Any, Final

import torch
from torch import fx

aten = torch.ops.aten

_ENDS: Final[dict[Any, tuple[float, float]]] = {
    aten.relu.default: (0.0, math.inf),
    aten.hardtanh.default: (-1.0, 1.0),
}
"""Between what they put numbers unless their arguments say else."""


def is_clamp(node: fx.Node) -> bool:
    """Whether a node is such an activation."""
    return node.target in _ENDS


def clamp_ends(node: fx.Node) -> tuple[float, float]:
    """Between what a clamp puts numbers."""
    given: Any = node.args[1:]
    ends = [*given, *_ENDS[node.target][len(given) :]]
    return float(ends[0]), float(ends[1])

"""Layers that have no maps over a picture: what is not shown, so that it can be said."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import fx

from rtvis.engine.trace import FlatModel

aten = torch.ops.aten

_MOST_NAMED: Final = 5


def skipped_layers(flat: FlatModel) -> tuple[tuple[str, int], ...]:
    """(name, axes) of each convolution over one axis or three; those over two are layers.

    The gradients go through them as through any operation; they are only not looked at.
    """
    return tuple(_skipped(flat))


def _skipped(flat: FlatModel) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for node in flat.module.graph.nodes:
        if node.op != "call_function" or node.target is not aten.convolution.default:
            continue
        weight: Any = node.args[1]
        num_axes = node.meta["val"].ndim - 2
        if num_axes == 2 or not isinstance(weight, fx.Node):
            continue
        name = flat.weight_names.get(str(weight.target), node.name).rpartition(".")[0]
        if (name or node.name) not in seen:
            seen.add(name or node.name)
            yield name or node.name, num_axes


def skipped_note(skipped: Sequence[tuple[str, int]]) -> str:
    """One line about them; empty where nothing is skipped."""
    if not skipped:
        return ""
    texts = [f"{name} ({axes}d)" for name, axes in skipped[:_MOST_NAMED]]
    more = f" and {len(skipped) - _MOST_NAMED} more" if len(skipped) > _MOST_NAMED else ""
    count = f"{len(skipped)} convolutions" if len(skipped) > 1 else "1 convolution"
    return f"not shown: {count} without maps over the picture: {', '.join(texts)}{more}"

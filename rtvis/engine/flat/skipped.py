"""Layers that have no maps over a picture: what is not shown, so that it can be said."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import torch
from torch import fx

from rtvis.engine.flat.trace import FlatModel

aten = torch.ops.aten

_MOST_NAMED: Final = 5


def skipped_layers(
    flat: FlatModel, shown: Collection[str], batch: int
) -> tuple[tuple[str, str], ...]:
    """(name, why) of each convolution that is no layer.

    It goes over one axis or three, or through parts of a picture one by one. The gradients go
    through it as through any operation; it is only not looked at.

    Args:
        flat: The network.
        shown: Names of its layers.
        batch: Pictures that it takes.
    """
    return tuple(_skipped(flat, shown, batch))


def _skipped(flat: FlatModel, shown: Collection[str], batch: int) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for node in flat.module.graph.nodes:
        if node.op != "call_function" or node.target is not aten.convolution.default:
            continue
        weight: Any = node.args[1]
        num_pictures, _, *size = node.meta["val"].shape
        is_whole = len(size) == 2 and num_pictures == batch
        if is_whole or not isinstance(weight, fx.Node) or weight.op != "get_attr":
            continue
        parameter = flat.weight_names.get(str(weight.target), "")
        name = parameter.rpartition(".")[0] or node.name
        if name not in seen and name not in shown:
            seen.add(name)
            yield name, f"{len(size)}d" if len(size) != 2 else f"{num_pictures // batch} parts"


def skipped_note(skipped: Sequence[tuple[str, str]]) -> str:
    """One line about them; empty where nothing is skipped."""
    if not skipped:
        return ""
    texts = [f"{name} ({why})" for name, why in skipped[:_MOST_NAMED]]
    more = f" and {len(skipped) - _MOST_NAMED} more" if len(skipped) > _MOST_NAMED else ""
    count = f"{len(skipped)} convolutions" if len(skipped) > 1 else "1 convolution"
    return f"not shown: {count} without maps over the picture: {', '.join(texts)}{more}"

"""Constants on the device, each once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, fx

from rtvis.engine.joint.pieces import Piece
from rtvis.engine.layers.site import Site


def place_constants(modules: Sequence[fx.GraphModule], device: torch.device) -> None:
    """Put constants on the device, one that several modules share only once."""
    placed: dict[int, tuple[Tensor, Tensor]] = {}  # with the original, so that no id is reused
    for module in modules:
        for name, constant in list(module.named_buffers()):
            if id(constant) not in placed:
                layout = torch.channels_last if constant.ndim == 4 else torch.preserve_format
                placed[id(constant)] = constant, constant.to(device, memory_format=layout)
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, placed[id(constant)][1])


def no_gradient(backward: Piece, device: torch.device) -> Tensor:
    """What enters the topmost segment that runs: nothing. Never written to."""
    example = backward.examples[backward.inputs.index("g")]
    zeros = torch.empty_strided(example.shape, example.stride(), dtype=example.dtype, device=device)
    return zeros.zero_()


class Affine(NamedTuple):
    """How a node's value and gradient become those of its layer, before the batch norm."""

    inverse_1C11: Tensor
    offset_1C11: Tensor
    scale_1C11: Tensor
    shift_1C11: Tensor


def affine_of(site: Site, dtype: torch.dtype, device: torch.device) -> Affine | None:
    """Of the batch norm that was folded into a layer; None where there is none."""
    if site.scale_C is None or site.shift_C is None:
        return None
    columns = (1 / site.scale_C, -site.shift_C / site.scale_C, site.scale_C, site.shift_C)
    return Affine(*(each.to(device, dtype).view(1, -1, 1, 1) for each in columns))

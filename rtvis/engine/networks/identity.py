"""What a network is, so that what was computed with it is never taken for another's."""

import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from rtvis.engine.networks.network import Network
from rtvis.engine.networks.preprocess import Preprocessing


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Two networks that are equal in all of this give equal numbers for equal pictures."""

    network: str
    """Its name."""
    weights: str
    """BLAKE2b of every parameter and buffer with its name, shape and type: 40 hex digits."""
    preprocessing: Preprocessing
    """What is done to a picture; the size of the input is part of it."""


def identity_of(network: Network) -> Identity:
    """What a loaded network is; it reads all weights: 0.1 s for a hundred megabytes."""
    return Identity(
        network=network.name,
        weights=weights_digest(network.model),
        preprocessing=network.preprocessing,
    )


def weights_digest(model: nn.Module) -> str:
    """BLAKE2b of a model's state, whatever the order of its modules and the device: 40 digits."""
    digest = hashlib.blake2b(digest_size=20)
    for name, value in sorted(model.state_dict().items()):
        if not isinstance(value, torch.Tensor):  # a module may keep anything as its "extra state"
            continue
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()

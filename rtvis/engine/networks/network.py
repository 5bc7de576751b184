"""A network as it is once it is loaded."""

from dataclasses import dataclass, field

from torch import nn

from rtvis.engine.networks.layer_rules import LayerRules
from rtvis.engine.networks.preprocess import Preprocessing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network:
    """A model, ready to be looked into, and what goes with it."""

    model: nn.Module
    """In eval mode, on the CPU; returns one tensor, [B, K] or [B, K, H, W]."""
    name: str
    """What to call it on screen."""
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    """Names of the classes, one for each; None if nobody knows them."""
    weights_note: str
    """What the screen must say about the weights, such as "random weights"; often empty."""
    layer_rules: LayerRules = field(default_factory=LayerRules)
    """Which layers are shown, and what they are called."""
    only_batch: int | None = None
    """The only number of pictures that it takes at once; None: any."""

"""What can be told of a network's layers without explaining anything: traced, or run as it is."""

from typing import Protocol

import torch
from torch import Tensor

from rtvis.data import Layer
from rtvis.engine.flat.costs import all_multiply_adds, multiply_adds
from rtvis.engine.flat.trace import UntraceableError, flatten
from rtvis.engine.layers.activity import Activity, Watcher
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.networks.layer_rules import apply_rules
from rtvis.engine.networks.network import Network
from rtvis.engine.untraced.activity import CalledWatcher, called_multiply_adds
from rtvis.engine.untraced.called import CalledModel, find_called_layers


class Look(Protocol):
    """A network, looked at."""

    note: str
    """What must be said of how it was looked at; often empty."""
    layers: tuple[Layer, ...]
    """Without the class and register tokens of a layer, which are none of their own here."""
    total: int
    """Multiply-adds of all it does for one picture."""

    def multiply_adds(self, layer: Layer) -> int:
        """Those of a layer for one picture."""

    def watch(self, x_1CHW: Tensor) -> None:
        """Run one picture, preprocessed, through it."""

    def activities(self) -> dict[str, Activity]:
        """What the units of layers did so far, by the layer's name."""


def look_into(network: Network, device: torch.device) -> Look:
    """The network traced, or run as it is where it cannot be traced.

    Raises:
        NetworkError: It fails on inputs of its size.
    """
    try:
        return _TracedLook(network, device)
    except UntraceableError as fault:
        return _CalledLook(network, device, fault.reason)


class _TracedLook:
    def __init__(self, network: Network, device: torch.device) -> None:
        prep, name = network.preprocessing, f"network '{network.name}'"
        flat = flatten(network.model, torch.empty(1, prep.num_channels, *prep.size), name=name)
        found = apply_rules(find_layers(flat, 1), network.layer_rules, name=network.name)
        sites = [site for site in found if not site.is_rest]
        self.note = ""
        self.layers = tuple(site.layer for site in sites)
        self.total = all_multiply_adds(flat)
        self._multiply_adds = {site.layer.name: multiply_adds(site.node) for site in sites}
        watched = [site for site in sites if site.layer.kind in {"conv", "dense"}]
        watcher = Watcher(flat, watched, device)
        self.watch, self.activities = watcher.watch, watcher.activities

    def multiply_adds(self, layer: Layer) -> int:
        return self._multiply_adds[layer.name]


class _CalledLook:
    def __init__(self, network: Network, device: torch.device, reason: str) -> None:
        prep, name = network.preprocessing, f"network '{network.name}'"
        with torch.inference_mode(mode=False):
            model = CalledModel(network.model, device, torch.float32, name=name)
            example = torch.empty(1, prep.num_channels, *prep.size, device=device)
            found = find_called_layers(model, example)
            noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
            by_call, self.total = called_multiply_adds(model, noise.to(device))
        sites = apply_rules(found, network.layer_rules, name=network.name) if found else ()
        sites = tuple(site for site in sites if not site.is_rest)
        self.note = (
            f"not traceable ({reason}): layers are the modules that it calls, run as they are; "
            "attention and what its code multiplies itself are no layers"
        )
        self.layers = tuple(site.layer for site in sites)
        # A layer that is called for other pictures only costs nothing for this one.
        self._multiply_adds = {site.layer.name: by_call.get(site.call, 0) for site in sites}
        watcher = CalledWatcher(model, sites, device)
        self.watch, self.activities = watcher.watch, watcher.activities

    def multiply_adds(self, layer: Layer) -> int:
        return self._multiply_adds[layer.name]

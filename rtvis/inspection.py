"""What `rtvis inspect` tells of a network: its layers, what they cost, and what they do."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from rtvis.data import Layer
from rtvis.engine.device import prepare_device
from rtvis.engine.flat.costs import num_parameters, parameters_of
from rtvis.engine.layers.activity import Activity
from rtvis.engine.looks import look_into
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.pictures import Image, as_picture
from rtvis.errors import NetworkError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerFacts:
    """One layer."""

    layer: Layer
    num_parameters: int
    """Of its module; none for the second use of one."""
    multiply_adds: int
    """For one picture; see `rtvis.engine.flat.costs`."""
    parameter_range: tuple[float, float] | None
    """Smallest and largest parameter; None without any."""
    activity: Activity | None
    """What its units did over the pictures; None without pictures, and for attention."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Inspection:
    """A network."""

    network: str
    weights_note: str
    input_shape: tuple[int, int, int]
    """(channels, height, width)."""
    layers: tuple[LayerFacts, ...]
    num_parameters: int
    """Of all modules, normalisation among them."""
    multiply_adds: int
    """For one picture, the products of attention among them."""
    num_pictures: int
    note: str = ""
    """What must be said of how it was looked at; often empty."""

    @property
    def other_parameters(self) -> int:
        """Those that belong to no layer: of normalisation, embeddings, hidden layers."""
        return self.num_parameters - sum(facts.num_parameters for facts in self.layers)

    @property
    def other_multiply_adds(self) -> int:
        """Those of no layer."""
        return self.multiply_adds - sum(facts.multiply_adds for facts in self.layers)

    def as_plain(self) -> dict[str, Any]:
        """Plain values for JSON; what is not a finite number is null."""
        channels, height, width = self.input_shape
        return {
            "network": self.network,
            "weights": self.weights_note,
            "input": {"channels": channels, "height": height, "width": width},
            "parameters": self.num_parameters,
            "other_parameters": self.other_parameters,
            "multiply_adds": self.multiply_adds,
            "other_multiply_adds": self.other_multiply_adds,
            "flops": 2 * self.multiply_adds,
            "pictures": self.num_pictures,
            "note": self.note,
            "layers": [_plain_layer(facts, self.multiply_adds) for facts in self.layers],
        }


class Inspector:
    """Looks into a network, then at what it does with pictures.

    One that cannot be traced is run as it is; `Inspection.note` says so.

    Raises:
        NetworkError: The network fails on inputs of its size, or has no layers.
    """

    def __init__(self, network: Network, *, device: torch.device, tf32: bool = False) -> None:
        prepare_device(device, tf32=tf32)
        self._network = network
        self._device = device
        self._look = look_into(network, device)
        if not self._look.layers:
            raise NetworkError(
                f"network '{network.name}' has no convolution and no dense layer to tell about"
            )
        self._num_pictures = 0

    def watch(self, image: Image) -> None:
        """Run one picture through the network.

        Raises:
            RtvisError: It is no picture, or the network's channels cannot be had from it.
        """
        prep = self._network.preprocessing
        picture = as_picture(image, prep, self._device, name=self._network.name)
        self._look.watch(prep.apply(picture))
        self._num_pictures += 1

    def facts(self) -> Inspection:
        """All that is known by now."""
        model, activities = self._network.model, self._look.activities()
        prep = self._network.preprocessing
        layers = []
        for layer in self._look.layers:
            own = parameters_of(model, layer)
            layers.append(
                LayerFacts(
                    layer=layer,
                    num_parameters=sum(value.numel() for value in own.values()),
                    multiply_adds=self._look.multiply_adds(layer),
                    parameter_range=_range(own.values()),
                    activity=activities.get(layer.name),
                )
            )
        return Inspection(
            network=self._network.name,
            weights_note=self._network.weights_note,
            input_shape=(prep.num_channels, *prep.size),
            layers=tuple(layers),
            num_parameters=num_parameters(model),
            multiply_adds=self._look.total,
            num_pictures=self._num_pictures,
            note=self._look.note,
        )


def _range(tensors: Iterable[torch.Tensor]) -> tuple[float, float] | None:
    ends = [(float(each.min()), float(each.max())) for each in tensors if each.numel()]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def _plain_layer(facts: LayerFacts, total: int) -> dict[str, Any]:
    layer, activity = facts.layer, facts.activity
    plain: dict[str, Any] = {
        "name": layer.name,
        "name_in_model": layer.name_in_model or layer.name,
        "group": layer.group,
        "kind": layer.kind,
        "units": layer.num_units,
        "map_size": list(layer.map_size),
        "stride": list(layer.stride),
        "receptive_field": list(layer.receptive_field),
        "activation": layer.activation,
        "gradient_reaches_input": layer.reaches_input,
        "parameters": facts.num_parameters,
        "multiply_adds": facts.multiply_adds,
        "share": facts.multiply_adds / total if total else 0.0,
        "parameter_range": _finite(facts.parameter_range),
    }
    if activity is not None:
        plain["value_range"] = _finite((activity.low, activity.high))
        plain["gradient_range"] = _finite(activity.gradients)
        plain["dead_units"] = list(activity.dead_units)
        plain["dead_means"] = "never above zero" if activity.is_rectified else "constant"
    return plain


def _finite(ends: tuple[float, float] | None) -> list[float | None] | None:
    return None if ends is None else [end if math.isfinite(end) else None for end in ends]

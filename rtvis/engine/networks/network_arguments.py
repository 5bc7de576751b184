"""What a `NetworkConfig` says, as `load_network` and `rtvis.load` want to be told."""

from typing import TypedDict

from rtvis.config_network import NetworkConfig
from rtvis.engine.networks.layer_rules import LayerRules, layer_rules


class NetworkArguments(TypedDict):
    """Keyword arguments behind the network's name; `load_network` tells what each means."""

    weights: str | None
    labels: str | None
    size: tuple[int, int] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    repeat_channels: bool
    output: str | None
    trust_pickle: bool
    model_config: str | None
    layers: LayerRules


def network_arguments(config: NetworkConfig, *, hides_layers: bool = True) -> NetworkArguments:
    """The arguments with which the network that is wanted is loaded.

    Args:
        config: What flags and files say.
        hides_layers: As `--layers` says; False where that chooses among the layers later, by their
            numbers among all.
    """
    rules = layer_rules(config)
    return NetworkArguments(
        weights=config.weights,
        labels=config.labels,
        size=config.size,
        mean=config.mean,
        std=config.std,
        repeat_channels=config.repeat_channels,
        output=config.output,
        trust_pickle=config.trust_pickle,
        model_config=config.model_config,
        layers=rules if hides_layers else rules.hiding_nothing(),
    )

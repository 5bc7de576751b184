"""What the flags want to be compared: opened, beside the network and the source themselves."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rtvis.config import Config
from rtvis.config_network import NetworkConfig
from rtvis.errors import ConfigError

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rtvis.engine.engine import Engine
    from rtvis.runtime.compare import Rival
    from rtvis.runtime.stream_rival import StreamRival

SECOND_NAMES: Final = "second"
"""The value of --compare-stream that means the second name of each line of a list."""


def compares_networks(config: Config) -> bool:
    """Whether two networks are asked for.

    Raises:
        ConfigError: And two inputs as well.
    """
    wanted = config.compare
    networks = wanted.compare_network is not None or wanted.compare_weights is not None
    if networks and wanted.compare_stream is not None:
        flag = "--compare-network" if wanted.compare_network is not None else "--compare-weights"
        raise ConfigError(
            f"--compare-stream: cannot be used with {flag}; compare inputs or networks"
        )
    return networks


def second_config(config: Config) -> Config:
    """The config of the second network: what the flags say of the first is not true of another."""
    wanted, other = config.network, config.compare
    if other.compare_network is None:
        second = replace(wanted, weights=other.compare_weights)
    else:
        second = NetworkConfig(
            network=other.compare_network,
            weights=other.compare_weights,
            size=wanted.size,
            repeat_channels=wanted.repeat_channels,
            trust_pickle=wanted.trust_pickle,
        )
    return replace(config, network=second)


@contextlib.contextmanager
def opened_second(config: Config, *, loop: bool) -> "Iterator[StreamRival | None]":
    """The second input, where one is asked for; opened before any network is loaded."""
    wanted = config.input
    compared = config.compare.compare_stream
    if compared is None:
        yield None
        return
    is_list = compared == SECOND_NAMES
    first = wanted.files if wanted.files is not None else wanted.stream
    if wanted.replay is not None:
        from rtvis.cli.replay import found_frames
        from rtvis.runtime.replay import ReplayedRival

        second = first if is_list else compared
        with found_frames(config, second, None) as found, ReplayedRival(found) as replayed:
            yield replayed
        return
    from rtvis.runtime.stream_rival import StreamRival
    from rtvis.sources import open_source
    from rtvis.state import resume_of

    source = open_source(
        first if is_list else compared,
        loop=loop or compared == "demo",
        pace=wanted.pace,
        match=None if is_list else wanted.match,
        mirror=wanted.mirror,
        stretch_contrast=wanted.stretch_contrast,
        column=1 if is_list else 0,
    )
    name = resume_of(config.sections).second_name
    with StreamRival(source, pace=wanted.pace, name=name) as rival:
        yield rival


def rival_of(second: "Engine | None", stream: "StreamRival | None") -> "Rival | None":
    """What is compared with the first network and source; None for nothing."""
    if second is None:
        return stream
    from rtvis.runtime.network_rival import NetworkRival

    second.check_takes_pictures()
    return NetworkRival(second)

"""`rtvis units scan --engine ray`: its flags, the cluster, and what its actors are told."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rtvis.errors import ConfigError
from rtvis.options import number_option, option

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.engine.networks.network import Network
    from rtvis.units.cluster import Cluster
    from rtvis.units.cluster_actor import ActorPlan
    from rtvis.units.scan import ScanSettings, ScanState
    from rtvis.units.scan_store import How


def _share(value: object) -> float:
    number = float(str(value))
    if not 0 < number < math.inf or (number > 1 and number != int(number)):
        raise ValueError(value)
    return number


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterOptions:
    """Where a scan runs that one process is not enough for."""

    engine: Literal["process", "ray"] = option(
        "where to scan: in this process, or on a Ray cluster (needs rtvis[cluster])",
        default="process",
    )
    ray_address: str | None = option(
        "of the cluster, or auto: the one of this machine; default: start one for the scan",
        metavar="HOST:PORT",
        expects="HOST:PORT, or auto",
    )
    actors: int | None = number_option(
        "processes that hold the network; default: what the cluster has room for, here 1 or one "
        "for each GPU",
        1,
    )
    actor_gpus: float | None = option(
        "for each actor; default: 1 on a GPU",
        metavar="SHARE",
        parse=_share,
        expects="a share such as 0.5, or whole GPUs",
    )
    actor_cpus: int | None = number_option(
        "for each actor, on a CPU its threads; default: as many threads as one process has, on a "
        "cluster three quarters of a machine; 1 on a GPU",
        1,
    )


@contextlib.contextmanager
def cluster_of(
    options: ClusterOptions,
    *,
    device: str,
    num_decoders: int | None,
    is_debug: bool,
    messages: "Console",
) -> Iterator["Cluster | None"]:
    """The cluster that is wanted; None where one process is.

    Raises:
        RtvisError: It cannot be had.
    """
    if options.engine == "process":
        given = [
            flag
            for flag, value in (
                ("--ray-address", options.ray_address),
                ("--actors", options.actors),
                ("--actor-gpus", options.actor_gpus),
                ("--actor-cpus", options.actor_cpus),
            )
            if value is not None
        ]
        if given:
            raise ConfigError(f"{given[0]}: is for --engine ray; add that, or leave it out")
        yield None
        return
    from rtvis.units.cluster import Wanted, connected

    wanted = Wanted(
        num_actors=options.actors,
        gpus=options.actor_gpus,
        cpus=options.actor_cpus,
        num_decoders=num_decoders,
    )
    what = "starting Ray" if options.ray_address is None else f"joining {options.ray_address}"
    with contextlib.ExitStack() as held:
        with messages.status(what):
            cluster = held.enter_context(
                connected(options.ray_address, device=device, wanted=wanted, is_quiet=not is_debug)
            )
        yield cluster


def plan_of(
    cluster: "Cluster",
    network: "Network",
    load: "partial[Network]",
    *,
    layers: tuple[str, ...],
    how: "How",
    settings: "ScanSettings",
    state: "ScanState",
) -> "ActorPlan":
    """What every actor is told.

    Args:
        cluster: Where they run.
        network: As it was loaded here.
        load: How it was loaded.
        layers: Patterns.
        how: To compute.
        settings: What is looked for.
        state: Of the scan.
    """
    from rtvis.engine.networks.identity import identity_of
    from rtvis.units.cluster_actor import ActorPlan
    from rtvis.units.spans import span_size

    prep = network.preprocessing
    size = span_size(
        len(state.ledger.files) - state.ledger.num_files,
        batch=how.batch,
        picture_bytes=4 * prep.num_channels * prep.size[0] * prep.size[1],
        num_actors=cluster.num_actors,
    )
    return ActorPlan(
        load=partial(load.func, *map(_anywhere, load.args), **_found_anywhere(load)),
        identity=identity_of(network),
        layers=layers,
        device=how.device,
        dtype=how.dtype,
        tf32=how.tf32,
        batch=how.batch,
        is_compiled=how.form == "compiled",
        num_threads=cluster.cpus,
        settings=settings,
        with_classes=state.findings.classes is not None,
        span_size=size,
        node=cluster.node,
    )


def _found_anywhere(load: "partial[Network]") -> dict[str, object]:
    return {name: _anywhere(value) for name, value in load.keywords.items()}


def _anywhere(value: object) -> object:
    """The same for processes with another working folder: `net.py:Net` with its whole path."""
    if not isinstance(value, str):
        return value
    head, colon, tail = value.partition(":")
    path = Path(head).expanduser()
    return f"{path.absolute()}{colon}{tail}" if path.suffix and path.is_file() else value

"""A Ray cluster: one on this machine for as long as it is wanted, or one that runs already."""

import contextlib
import importlib
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from rtvis.errors import ConfigError, DeviceError
from rtvis.leaving import interrupts_held, leaving_at_once
from rtvis.threads import num_cores
from rtvis.units.cluster_folder import own_folder

LOOPBACK: Final = "127.0.0.1"

_MOST_MEMORY: Final = 4 * 2**30
"""Of the objects of a cluster on this machine; never more than a quarter of what it has."""

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what it will be, and else a warning
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """How the work should be spread; None: what suits the cluster."""

    num_actors: int | None = None
    """That hold the network."""
    gpus: float | None = None
    """For each of them: a fraction of one, or whole ones."""
    cpus: int | None = None
    """For each of them; on a CPU its number of threads."""
    num_decoders: int | None = None
    """Tasks that decode at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A cluster that this program is connected to."""

    ray: Any
    """The module."""
    node: str
    """Ray's name of the machine that this program runs on."""
    is_own: bool
    """Whether it ends with this program."""
    device: str
    """cpu or cuda."""
    num_actors: int
    gpus: float
    cpus: int
    num_decoders: int


@contextlib.contextmanager
def connected(
    address: str | None, *, device: str, wanted: Wanted, is_quiet: bool = True
) -> Iterator[Cluster]:
    """A cluster to scan with.

    Args:
        address: Of one that runs, `auto` for that of this machine; None: start one here, which
            nobody else can reach, and end it behind the block.
        device: auto, cpu or cuda.
        wanted: How to spread the work.
        is_quiet: Ray's own messages go to its files alone.

    Raises:
        ConfigError: Ray is not installed, or the cluster has too little.
        DeviceError: There is no cluster, or it does not let us in.
    """
    if address is not None and "://" in address:
        raise ConfigError(
            f"--ray-address {address}: give HOST:PORT or auto, on a machine of the cluster; "
            "`ray job submit` runs the command there from outside"
        )
    changes = dict(_QUIET)
    if address is None:
        # Read when ray is imported: its sockets then listen at the loopback address alone.
        changes["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        changes |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with contextlib.ExitStack() as leaving:
        leaving.enter_context(_environment(changes))
        if is_quiet:
            leaving.enter_context(_environment({"RAY_BACKEND_LOG_LEVEL": "fatal"}))
        ray = imported_ray()
        _read_credentials()
        if is_quiet:
            _silence()
        leaving.callback(ray.shutdown)
        if address is None:
            yield _started(ray, device, wanted, leaving, is_quiet=is_quiet)
        else:
            yield _joined(ray, address, device, wanted, is_quiet=is_quiet)


def imported_ray() -> Any:
    """Ray with Ray Data.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        with leaving_at_once():
            import ray
            import ray.data  # noqa: F401
    except ModuleNotFoundError as fault:
        raise ConfigError(
            f'--engine ray: needs Ray Data ({fault.name} is missing); pip install "rtvis[cluster]"'
        ) from None
    return ray


def _read_credentials() -> None:
    """Ray reads its mode and token once in a process; a second cluster has others."""
    with contextlib.suppress(ImportError, AttributeError):  # a later Ray: its first one works
        raylet: Any = importlib.import_module("ray._raylet")
        raylet.Config.initialize("")  # as Ray itself does where it changes the mode
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _silence() -> None:
    """What Ray has to say is in its files; errors come back as exceptions."""
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _without_stderr(is_quiet: bool) -> Iterator[None]:
    """For Ray's C++, which writes there how it was told to be quiet."""
    if not is_quiet:
        yield
        return
    sys.stderr.flush()
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _started(
    ray: Any, device: str, wanted: Wanted, leaving: contextlib.ExitStack, *, is_quiet: bool
) -> Cluster:
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = _device(device, num_gpus)
    gpus = _gpus(wanted, device)
    num_actors = wanted.num_actors or (max(1, int(num_gpus / gpus)) if gpus else 1)
    cpus = wanted.cpus or (1 if gpus else torch.get_num_threads())
    num_decoders = wanted.num_decoders or num_cores()
    if num_actors * gpus > num_gpus:
        raise _too_little(f"{num_actors} actors with {gpus:g} GPUs each", f"{num_gpus} GPUs")
    folder = leaving.enter_context(own_folder("rtvis units scan --engine ray"))
    leaving.callback(ray.shutdown)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # A KeyboardInterrupt in there is lost, and the scan would just begin.
    with _without_stderr(is_quiet), interrupts_held():
        ray.init(
            address="local",
            # Logical ones: threads and decoders share the cores as they would in one process, and
            # a decoder never waits for an actor to end.
            num_cpus=num_actors * cpus + num_decoders,
            num_gpus=num_gpus,
            object_store_memory=min(_MOST_MEMORY, memory // 4),
            include_dashboard=False,
            log_to_driver=not is_quiet,
            logging_level=logging.CRITICAL if is_quiet else logging.INFO,
            _temp_dir=str(folder / "ray"),
        )
    if ray.util.get_node_ip_address() != LOOPBACK:
        raise DeviceError(
            "--engine ray: Ray would listen to the network, for something has imported it before "
            "rtvis; run the scan in a process of its own, or give --ray-address"
        )
    return Cluster(
        ray=ray,
        node=ray.get_runtime_context().get_node_id(),
        is_own=True,
        device=device,
        num_actors=num_actors,
        gpus=gpus,
        cpus=cpus,
        num_decoders=num_decoders,
    )


def _joined(ray: Any, address: str, device: str, wanted: Wanted, *, is_quiet: bool) -> Cluster:
    try:
        with _without_stderr(is_quiet), interrupts_held():
            ray.init(
                address=address,
                log_to_driver=not is_quiet,
                logging_level=logging.CRITICAL if is_quiet else logging.INFO,
            )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
        first = str(fault).strip().partition("\n")[0]
        raise DeviceError(
            f"--ray-address {address}: {first}; is Ray {ray.__version__} running there, and is "
            "RAY_AUTH_TOKEN that of the cluster?"
        ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    total = {key: sum(node.get(key, 0.0) for node in nodes) for key in ("CPU", "GPU")}
    device = _device(device, int(total["GPU"]))
    gpus = _gpus(wanted, device)
    smallest = min((int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1), default=0)
    cpus = wanted.cpus or (1 if gpus else max(1, smallest * 3 // 4))
    fitting = sum(_num_fitting(node, cpus, gpus) for node in nodes)
    num_actors = wanted.num_actors or max(1, fitting)
    num_decoders = wanted.num_decoders or max(1, int(total["CPU"]) - num_actors * cpus)
    # Ray would wait for more machines, and say nothing.
    if num_actors > fitting or total["CPU"] < num_actors * cpus + 1:
        raise _too_little(
            f"{num_actors} actors with {cpus} CPUs and {gpus:g} GPUs each, and a CPU to decode",
            f"{total['CPU']:g} CPUs and {total['GPU']:g} GPUs on {len(nodes)} machines",
        )
    return Cluster(
        ray=ray,
        node=ray.get_runtime_context().get_node_id(),
        is_own=False,
        device=device,
        num_actors=num_actors,
        gpus=gpus,
        cpus=cpus,
        num_decoders=num_decoders,
    )


def _num_fitting(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    """How many actors a machine has room for."""
    num = int(node.get("CPU", 0.0)) // cpus
    if gpus >= 1:
        return min(num, int(node.get("GPU", 0.0) // gpus))
    # Ray never divides an actor over two GPUs.
    return min(num, int(node.get("GPU", 0.0)) * int(1 / gpus)) if gpus else num


def _device(device: str, num_gpus: int) -> str:
    if device == "auto":
        return "cuda" if num_gpus else "cpu"
    kind = torch.device(device).type
    if kind == "cuda" and not num_gpus:
        raise DeviceError(f"--device {device}: the cluster has no GPU; --device cpu goes without")
    return kind


def _gpus(wanted: Wanted, device: str) -> float:
    if device == "cuda":
        return wanted.gpus or 1.0
    if wanted.gpus:
        raise ConfigError(
            f"--actor-gpus {wanted.gpus:g}: the network runs on the CPU; --device cuda, or leave "
            "it out"
        )
    return 0.0


def _too_little(wanted: str, found: str) -> ConfigError:
    return ConfigError(
        f"--engine ray: the cluster has {found}, too little for {wanted}; lower --actors, "
        "--actor-cpus or --actor-gpus"
    )

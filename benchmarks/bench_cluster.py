"""The same scan in one process and on Ray, on this machine: pictures a second, and what starting
costs.

    python -m benchmarks.bench_cluster --actors 1,2

On a machine whose cores one process fills already Ray can only lose: it shows by how much. Not
compiled, so that every actor is ready at once; one thread for each.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import common
from benchmarks.bench_scan import write_jpegs
from rtvis.cli.units.scan_ray import plan_of
from rtvis.engine.device import resolve_device
from rtvis.engine.networks.models import Network, load_network
from rtvis.engine.reduced.step import ReducedStep, default_batch, reduced_step
from rtvis.units.cluster import Cluster, Wanted, connected
from rtvis.units.cluster_scan import scan_on_cluster
from rtvis.units.data_set import find_files
from rtvis.units.items import Files
from rtvis.units.scan import Progress, ScanSettings, ScanState, scan
from rtvis.units.scan_store import How


class Pace(NamedTuple):
    """How one scan went."""

    whole: float
    """Pictures a second, from the first to the last moment of the pass."""
    going: float
    """The same from when the first ones were told of."""
    first_s: float
    """Until then: with Ray its actors load the network meanwhile."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every network that the flags name; the exit code."""
    parser = argparse.ArgumentParser(prog="bench_cluster", description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", default="tf_efficientnet_lite0")
    parser.add_argument("--actors", default="1,2", help="numbers of them, separated by commas")
    parser.add_argument("--files", type=int, default=512, help="JPEG files of 500x375")
    parser.add_argument("--repeats", type=int, default=2)
    common.add_common_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.files, arguments.repeats = min(arguments.files, 24), 1
    return common.measure_networks("bench_cluster", _measure, arguments)


def _measure(name: str, arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    device = resolve_device(arguments.device)
    load = partial(load_network, name)
    network = load()
    step = reduced_step(network, device=device, compiled=False)
    facts = common.machine_facts(device)
    paces: dict[str, list[Pace]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_jpegs(Path(folder), arguments.files)
        files = find_files(folder)
        counts = [int(each) for each in arguments.actors.split(",")]
        # Once: Ray keeps its token for the life of a process, and a second cluster has another.
        with _cluster(device.type, max(counts)) as cluster:
            for _ in range(arguments.repeats):
                paces.setdefault("one process", []).append(_alone(network, step, files))
                for count in counts:
                    label = f"Ray, {count} actor{'s' if count > 1 else ''}"
                    common.say(label)
                    some = replace(cluster, num_actors=count)
                    paces.setdefault(label, []).append(_on_ray(network, load, step, files, some))
    step.close()
    label = network.name.rpartition("/")[2]  # no path of this machine
    common.publish(
        f"scan on Ray: {label}, {device.type}",
        _told(facts, paces, files),
        device=device,
        arguments=arguments,
    )


def _told(facts: str, paces: dict[str, list[Pace]], files: Files) -> str:
    own = common.median([pace.going for pace in paces["one process"]])
    rows = []
    for what, some in paces.items():
        going = common.median([pace.going for pace in some])
        numbers = (common.median([pace.whole for pace in some]), going)
        first_s = common.median([pace.first_s for pace in some])
        rows.append(
            [what, *(f"{each:.1f}" for each in numbers), f"**{going / own:.2f}**", f"{first_s:.1f}"]
        )
    num_repeats = len(paces["one process"])
    head = ("what", "pictures/s, all of it", "once it goes", "by one process", "s until it goes")
    return (
        f"{facts}- {len(files)} JPEG files of 500x375, eager, one thread for each process and as "
        f"many tasks that decode as there are cores; median of {num_repeats}; Ray itself runs "
        f"already\n\n{common.table(head, rows)}"
    )


def _alone(network: Network, step: ReducedStep, files: Files) -> Pace:
    state = ScanState.empty(files, step, ScanSettings())
    return _pace(lambda: scan(step, state, network.preprocessing, num_workers=2))


def _cluster(kind: str, num_actors: int) -> AbstractContextManager[Cluster]:
    share = min(1.0, torch.cuda.device_count() / num_actors) if kind == "cuda" else None
    return connected(None, device=kind, wanted=Wanted(num_actors=num_actors, gpus=share))


def _on_ray(
    network: Network,
    load: partial[Network],
    step: ReducedStep,
    files: Files,
    cluster: Cluster,
) -> Pace:
    kind, state = step.device.type, ScanState.empty(files, step, ScanSettings())
    how = How(form="eager", batch=default_batch(kind), dtype="float32", device=kind)
    plan = plan_of(
        cluster, network, load, layers=("*",), how=how, settings=state.settings, state=state
    )
    return _pace(lambda: scan_on_cluster(cluster, plan, state))


def _pace(begin: Callable[[], Iterator[Progress]]) -> Pace:
    began_s = time.perf_counter()
    first_s, num_first, progress = 0.0, 0, None
    for progress in begin():
        if not first_s:
            first_s, num_first = time.perf_counter() - began_s, progress.num_items
    assert progress is not None, "there are files"
    seconds = time.perf_counter() - began_s
    whole = progress.num_items / seconds
    num_behind = progress.num_items - num_first
    going = num_behind / (seconds - first_s) if num_behind else whole  # all came at once
    return Pace(whole, going, first_s)


if __name__ == "__main__":
    sys.exit(main())

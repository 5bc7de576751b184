"""`rtvis units scan`: the best items of every unit, in one pass over a data set."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rtvis.cli.units.chosen import root_of
from rtvis.cli.units.scan_options import ScanConfig, ScanOptions
from rtvis.cli.units.scan_pass import ScanPass
from rtvis.cli.units.scan_ray import cluster_of
from rtvis.command import Command
from rtvis.config_network import NetworkConfig
from rtvis.errors import ConfigError, SourceError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.paths import path_of

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.engine.networks.network import Network
    from rtvis.units.items import Files


_DESCRIPTION = (
    "Show every picture of a data set to a network, once, and keep of every unit of the chosen "
    "layers the pictures and places where it is strongest, with statistics. What was stopped goes "
    "on with the same command, and new data are added to what is there."
)
_EPILOG = "example: rtvis units scan --network resnet50 --data pictures/ --layers 'layer4.*'"


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    config = parse_config(ScanConfig, words, prog=prog, description=_DESCRIPTION, epilog=_EPILOG)
    if config.scan.data is None:
        raise ConfigError("--data is missing; give a folder of pictures, a list, a film, or demo")
    return Command(run=lambda: _run(config), debug=config.scan.debug)


def _run(config: ScanConfig) -> int:
    """Scan; returns the exit code.

    Raises:
        RtvisError: The network, the data or the store cannot be had.
    """
    from rich.console import Console

    messages = Console(stderr=True, highlight=False)
    import_torch()
    from rtvis.engine.networks.identity import identity_of
    from rtvis.units.scan_store import forget
    from rtvis.units.store import open_store

    options, load = config.scan, _loader(config.network)
    # Before the network, for it is quick to find out that a folder is missing.
    found = _found(options, messages)
    with messages.status(f"loading {config.network.network}"):
        network = load()
    if options.dump is not None:
        return _dump(config, network, found, path_of(options.dump), messages)
    store = open_store(root_of(options.store), identity_of(network))
    with (
        store.writing("rtvis units scan") as writer,
        cluster_of(
            config.cluster,
            device=options.device,
            num_decoders=options.workers,
            is_debug=options.debug,
            messages=messages,
        ) as cluster,
    ):
        if options.restart:
            forget(store, writer)
        scan_pass = ScanPass(
            config=config,
            network=network,
            load=load,
            store=store,
            writer=writer,
            cluster=cluster,
            messages=messages,
        )
        code = scan_pass.run(found)
    if options.crops:
        from rtvis.cli.units.crops import CropsConfig, CropsOptions, run_crops

        crops = CropsOptions(
            store=options.store, device=options.device, dtype=options.dtype, tf32=options.tf32
        )
        return run_crops(CropsConfig(crops=crops, network=config.network))
    return code


def _found(options: ScanOptions, messages: "Console") -> "Files":
    import numpy as np

    from rtvis.units.data_set import find_files

    assert options.data is not None, "looked at by `parse`"
    with messages.status(f"looking at {options.data}"):
        found = find_files(options.data, labels=options.classes)
    if options.pictures is None:
        return found
    return found.take(np.arange(min(options.pictures, len(found))))


def _dump(
    config: ScanConfig, network: "Network", files: "Files", out: Path, messages: "Console"
) -> int:
    from rich.progress import track

    import rtvis.methods  # noqa: F401 - registers the CAM methods
    from rtvis.engine.engine import Engine
    from rtvis.units.dump import dump

    patterns = config.network.layers or ()
    if len(patterns) != 1 or out.suffix != ".npy":
        raise ConfigError("--dump FILE.npy takes one layer by name: --layers NAME")
    if config.cluster.engine != "process":
        raise ConfigError("--dump: is written by one process; leave --engine ray out")
    options, num_failed = config.scan, 0
    with Engine(
        network, device=options.device, dtype=options.dtype, tf32=options.tf32, compile="off"
    ) as engine:
        passing = dump(engine, patterns[0], files, out)
        for error in track(
            passing,
            "dumping",
            len(files),
            console=messages,
            transient=True,
            disable=not messages.is_terminal,
        ):
            if error:
                num_failed += 1
                messages.print(f"rtvis: {error}", markup=False, soft_wrap=True)
    if num_failed == len(files):
        raise SourceError(f"none of {num_failed} pictures can be read")
    failed = f", {num_failed} of them unreadable: NaN" if num_failed else ""
    messages.print(f"{out}: {len(files)} pictures{failed}", markup=False, soft_wrap=True)
    return DONE


def _loader(wanted: NetworkConfig) -> "partial[Network]":
    from rtvis.engine.networks.models import load_network
    from rtvis.engine.networks.network_arguments import network_arguments

    # Which layers are scanned is chosen later: their numbers are those among all.
    return partial(load_network, wanted.network, **network_arguments(wanted, hides_layers=False))

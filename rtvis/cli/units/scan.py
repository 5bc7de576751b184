"""`rtvis units scan`: the best items of every unit, in one pass over a data set."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from rtvis.choices import DtypeName
from rtvis.cli.units.chosen import root_of
from rtvis.cli.units.scan_ray import ClusterOptions, cluster_of, plan_of
from rtvis.command import Command
from rtvis.config_network import NetworkConfig
from rtvis.errors import ConfigError, RtvisError, SourceError, StoreError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import (
    debug_option,
    device_option,
    dtype_option,
    number_option,
    option,
    seconds_option,
    store_option,
)
from rtvis.paths import path_of

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.data import Layer
    from rtvis.engine.models import Network
    from rtvis.engine.reduced_step import ReducedStep
    from rtvis.units.cluster import Cluster
    from rtvis.units.items import Files
    from rtvis.units.scan import Progress, ScanSettings, ScanState
    from rtvis.units.scan_store import How
    from rtvis.units.store import Store
    from rtvis.units.writer import StoreWriter

WORTH_COMPILING: Final = 500
"""Files; with fewer, compiling takes longer than it saves."""

_DESCRIPTION = (
    "Show every picture of a data set to a network, once, and keep of every unit of the chosen "
    "layers the pictures and places where it is strongest, with statistics. What was stopped goes "
    "on with the same command, and new data are added to what is there."
)
_EPILOG = "example: rtvis units scan --network resnet50 --data pictures/ --layers 'layer4.*'"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanOptions:
    """What to scan, and for what."""

    data: str | None = option(
        "a folder with all below it, a list (.txt, .csv: picture, class), a glob, a film, or demo",
        metavar="DATA",
        expects="a folder, a list, a glob or a film",
    )
    top: int = number_option("the N strongest items of each unit", 1, 1000, default=9)
    classes: str | None = option(
        "a CSV file with picture and class; or none; default: of the list, or names of folders",
        metavar="FILE",
        expects="a CSV file, or none",
    )
    statistics: bool = option("mean, quantiles, firing and dead units", default=True)
    min_distance: float = seconds_option(
        "in films: between two of a unit's strongest moments", default=1.0
    )
    every: float = seconds_option(
        "in films: look at no frame nearer than this to the one before", default=0.0
    )
    store: str | None = store_option()
    crops: bool = option("then make pictures and pages, as `rtvis units crops` does", default=False)
    restart: bool = option("forget what earlier scans have left in the store", default=False)
    save_every: float = seconds_option("store the state of the scan so often", default=60.0)
    batch: int | None = number_option("pictures at once; default: 4 on a CPU, 128 on a GPU", 1)
    workers: int | None = number_option(
        "threads that decode, with Ray tasks; default: one for each core", 1
    )
    device: str = device_option()
    dtype: DtypeName = dtype_option()  # noqa: RUF009
    compile_: Literal["auto", "off"] = option(
        "auto: wait for the compiled form where there is enough to do", default="auto"
    )
    dump: str | None = option(
        "no scan: the activations of one layer (--layers NAME) for every picture, as one array",
        metavar="FILE.npy",
        expects="a file that ends in .npy",
    )
    pictures: int | None = number_option("the first N files alone", 1)
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanConfig:
    """All of it."""

    scan: ScanOptions = field(default_factory=ScanOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    network: NetworkConfig = field(default_factory=NetworkConfig)


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
    import numpy as np

    from rtvis.engine.identity import identity_of
    from rtvis.units.data_set import find_files
    from rtvis.units.store import open_store

    options = config.scan
    assert options.data is not None
    # Before the network, for it is quick to find out that a folder is missing.
    with messages.status(f"looking at {options.data}"):
        found = find_files(options.data, labels=options.classes)
    if options.pictures is not None:
        found = found.take(np.arange(min(options.pictures, len(found))))
    with messages.status(f"loading {config.network.network}"):
        network = _loader(config.network)()
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
            from rtvis.units.scan_store import forget

            forget(store, writer)
        code = _scan(config, network, found, store, writer, cluster, messages)
    if options.crops:
        from rtvis.cli.units.crops import CropsConfig, CropsOptions, run_crops

        crops = CropsOptions(store=options.store, device=options.device, dtype=options.dtype)
        return run_crops(CropsConfig(crops=crops, network=config.network))
    return code


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
    with Engine(network, device=options.device, dtype=options.dtype, compile="off") as engine:
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
    from rtvis.engine.models import load_network
    from rtvis.engine.network_arguments import network_arguments

    # Which layers are scanned is chosen later: their numbers are those among all.
    return partial(load_network, wanted.network, **network_arguments(wanted, hides_layers=False))


def _scan(
    config: ScanConfig,
    network: "Network",
    found: "Files",
    store: "Store",
    writer: "StoreWriter",
    cluster: "Cluster | None",
    messages: "Console",
) -> int:
    from rtvis.units.names import TOP
    from rtvis.units.scan_store import (
        forget,
        ordered_files,
        read_state,
        write_results,
        write_state,
    )

    options = config.scan
    files = ordered_files(store, found)
    step, settings, name, how = _prepared(config, network, files, store, cluster, messages)
    state = read_state(store, name, files, step, settings)
    if state.ledger.num_items:
        done = f"{state.ledger.num_files} of {len(files)} files are done"
        messages.print(f"goes on in {store.folder}: {done}", markup=False, soft_wrap=True)
    passing = _passing(config, network, step, state, how, cluster, messages)
    try:
        _passed(passing, state, messages, writer, name, how, options.save_every)
    except (KeyboardInterrupt, RtvisError):
        _keep(writer, name, state, how, messages)
        raise
    finally:
        step.close()
    if state.ledger.num_files and len(state.ledger.errors) == state.ledger.num_files:
        if not any(store.path(layer.name, TOP).exists() for layer in store.layers()):
            forget(store, writer)  # else these names would bar the store to other data
        last = list(state.ledger.errors.values())[-1]
        raise SourceError(f"none of {state.ledger.num_files} files can be read; the last: {last}")
    write_state(writer, name, state, how)
    write_results(writer, step.layers, state)
    for line in _summary(state, step.layers, how, store.folder):
        messages.print(line, markup=False, soft_wrap=True)
    return DONE


def _prepared(
    config: ScanConfig,
    network: "Network",
    files: "Files",
    store: "Store",
    cluster: "Cluster | None",
    messages: "Console",
) -> tuple["ReducedStep", "ScanSettings", str, "How"]:
    """The pass, what it looks for, the name of its state, and how it computes."""
    from rtvis.engine.device import resolve_device, resolve_dtype
    from rtvis.engine.reduced_step import default_batch, reduced_step
    from rtvis.units.scan import ScanSettings
    from rtvis.units.scan_store import How, classes_are_summed, read_how, state_name

    options = config.scan
    dtype = resolve_dtype(options.dtype)
    device = resolve_device(options.device if cluster is None else "cpu")
    at = device.type if cluster is None else cluster.device
    settings = ScanSettings(
        num_top=options.top,
        min_distance_s=options.min_distance,
        every_s=options.every,
        with_statistics=options.statistics,
    )

    def step_of(*, batch: int | None, compiled: bool) -> "ReducedStep":
        compiled = compiled and cluster is None  # else by the actors; here it is only looked at
        with messages.status("preparing the network" + (", compiling" if compiled else "")):
            return reduced_step(
                network,
                layers=tuple(config.network.layers or ("*",)),
                device=device,
                dtype=dtype,
                batch=batch or default_batch(at),
                compiled=compiled,
            )

    def form_of(step: "ReducedStep", *, compiled: bool) -> str:
        if cluster is None or step.form == "untraced":
            return step.form
        return "compiled" if compiled else "eager"

    pays = len(files) >= WORTH_COMPILING or bool(files.is_film_F.any())
    compiled = options.compile_ == "auto" and pays
    step = step_of(batch=options.batch, compiled=compiled)
    with_classes = classes_are_summed(files, step, settings)
    name = state_name(step.layers, settings, with_classes=with_classes)
    before = read_how(store, name)
    form = form_of(step, compiled=compiled)
    if before is not None and (before.form, before.batch) != (form, step.batch):
        step.close()
        compiled = before.form == "compiled"
        step = step_of(batch=before.batch, compiled=compiled)
        form = form_of(step, compiled=compiled)
    how = How(form=form, batch=step.batch, dtype=options.dtype, device=at)
    if before is not None and before != how:
        raise StoreError(
            f"{store.folder}: the scan was begun {before.form} in {before.dtype} on "
            f"{before.device}, and now it would be {how.form} in {how.dtype} on {how.device}; go "
            "on with what it was, or --restart"
        )
    if step.note:
        messages.print(step.note, markup=False, soft_wrap=True)
    return step, settings, name, how


def _passing(
    config: ScanConfig,
    network: "Network",
    step: "ReducedStep",
    state: "ScanState",
    how: "How",
    cluster: "Cluster | None",
    messages: "Console",
) -> Iterator["Progress"]:
    """The scan, in this process or on a cluster."""
    if cluster is None:
        from rtvis.units.scan import scan

        num_workers = config.scan.workers or os.cpu_count() or 1
        return scan(step, state, network.preprocessing, num_workers=num_workers)
    from rtvis.units.cluster_scan import scan_on_cluster

    plan = plan_of(
        cluster,
        network,
        _loader(config.network),
        layers=tuple(config.network.layers or ("*",)),
        how=how,
        settings=state.settings,
        state=state,
    )
    note = partial(messages.print, markup=False, soft_wrap=True)
    return scan_on_cluster(cluster, plan, state, on_note=note)


def _passed(
    passing: Iterator["Progress"],
    state: "ScanState",
    messages: "Console",
    writer: "StoreWriter",
    name: str,
    how: "How",
    save_every_s: float,
) -> None:
    """Run the scan to its end, with a bar, storing its state now and then."""
    from rtvis.units.scan_store import write_state

    saved_s = time.monotonic()
    try:
        for _ in _shown(passing, messages):
            if time.monotonic() - saved_s >= save_every_s:
                write_state(writer, name, state, how)
                saved_s = time.monotonic()
    finally:
        passing.close()  # type: ignore[attr-defined]


def _keep(
    writer: "StoreWriter", name: str, state: "ScanState", how: "How", messages: "Console"
) -> None:
    from rtvis.units.scan_store import write_state

    try:
        write_state(writer, name, state, how)
    except StoreError:
        return  # the one that is raised already says it
    messages.print(
        f"stopped after {state.ledger.num_files} files; the same command goes on from here",
        soft_wrap=True,
    )


def _shown(passing: Iterator["Progress"], messages: "Console") -> Iterator["Progress"]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("scanning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[errors]}"),
    )
    with Bar(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("", total=None, rate="", errors="")
        for progress in passing:
            if progress.last_error:
                messages.print(f"rtvis: {progress.last_error}", markup=False, soft_wrap=True)
            failed = progress.num_errors
            bar.update(
                task,
                total=progress.total_files,
                completed=progress.num_files,
                rate=f"{progress.num_items:,} items, {progress.items_per_s:.1f}/s",
                errors=f"{failed} unreadable" if failed else "",
            )
            yield progress


def _summary(
    state: "ScanState", layers: "tuple[Layer, ...]", how: "How", folder: Path
) -> Iterator[str]:
    ledger, num_units = state.ledger, sum(layer.num_units for layer in layers)
    failed = len(ledger.errors)
    unreadable = f", {failed} of them unreadable (see items.json)" if failed else ""
    yield f"{ledger.num_files} files, {ledger.num_items} items{unreadable}"
    dead = ""
    if state.findings.statistics is not None:
        found = state.findings.statistics.of_layers(layers).values()
        dead = f", {sum(int(each.is_dead_C.sum()) for each in found)} of them dead"
    yield f"{len(layers)} layers, {num_units} units{dead}; {how.form}, batch {how.batch}"
    yield f"in {folder}"

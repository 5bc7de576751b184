"""`rtvis units crops`: pictures of the inputs that excite each unit most, and of what in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from rtvis.choices import DtypeName
from rtvis.cli.units.bars import by_layer
from rtvis.cli.units.chosen import chosen_layers, root_of
from rtvis.command import Command
from rtvis.config_network import NetworkConfig
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import (
    debug_option,
    device_option,
    dtype_option,
    number_option,
    option,
    store_option,
    tf32_option,
)
from rtvis.threads import num_cores

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.engine.engine import Engine
    from rtvis.engine.networks.network import Network
    from rtvis.units.pictures import PicturesProgress
    from rtvis.units.store import Store

_DESCRIPTION = (
    "Of each unit that `rtvis units scan` has been through, cut what its neuron saw out of its "
    "strongest inputs, mark that in the full pictures, and show what in it excited the unit: "
    "gradient, guided backpropagation and deconvnet. What is there already is passed over."
)
_EPILOG = "example: rtvis units crops --network resnet50 --layers 'layer4.*'"
_MOST_WARNINGS: Final = 10
_WORTH_COMPILING: Final = 128
"""Units; for fewer the pictures are there before anything is compiled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CropsOptions:
    """What to make."""

    unit: int | None = number_option("of this unit alone", 0)
    force: bool = option("make them anew where they are there", default=False)
    pages: bool = option("write the HTML pages, too", default=True)
    store: str | None = store_option()
    batch: int | None = number_option("pictures at once; default: 9 on a CPU, 72 on a GPU", 1)
    device: str = device_option()
    dtype: DtypeName = dtype_option()  # noqa: RUF009
    tf32: bool = tf32_option()
    compile_: Literal["auto", "off"] = option(
        "auto: with many units the compiled form takes over as soon as it is ready", default="auto"
    )
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class CropsConfig:
    """All of it."""

    crops: CropsOptions = field(default_factory=CropsOptions)
    network: NetworkConfig = field(default_factory=NetworkConfig)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    config = parse_config(CropsConfig, words, prog=prog, description=_DESCRIPTION, epilog=_EPILOG)
    return Command(run=lambda: run_crops(config), debug=config.crops.debug)


def run_crops(config: CropsConfig) -> int:
    """Make the pictures and pages that are asked for; returns the exit code.

    Raises:
        RtvisError: The network or the store cannot be had, or nothing was scanned.
    """
    from rich.console import Console

    messages = Console(stderr=True, highlight=False)
    import_torch()
    with messages.status(f"loading {config.network.network}"):
        network = _network(config)
    store, layers = _scanned(network, config)
    with _engine(network, store, layers, config) as engine:
        return _make(engine, store, layers, config, messages)


def _scanned(network: "Network", config: CropsConfig) -> tuple["Store", list[str]]:
    """The store, and those of its layers that are meant and were scanned.

    Raises:
        RtvisError: There are none.
    """
    from rtvis.engine.networks.identity import identity_of
    from rtvis.errors import StoreError
    from rtvis.units.store import open_store

    options = config.crops
    store = open_store(root_of(options.store), identity_of(network))
    if not store.layers():
        raise StoreError(f"{store.folder}: nothing was scanned into it; `rtvis units scan` does")
    chosen = chosen_layers(store, config.network.layers)
    scanned = [name for name in chosen if store.read_top(name) is not None]
    if not scanned:
        raise StoreError(f"{store.folder}: none of its layers was scanned; `rtvis units scan` does")
    if options.unit is not None:
        scanned = _with_unit(store, scanned, options.unit)
    return store, scanned


def _make(
    engine: "Engine",
    store: "Store",
    scanned: Sequence[str],
    config: CropsConfig,
    messages: "Console",
) -> int:
    from rtvis.units import names
    from rtvis.units.pages import write_pages
    from rtvis.units.pictures import make_pictures

    options = config.crops
    with store.writing("rtvis units crops") as writer:
        making = make_pictures(
            engine,
            store,
            writer,
            scanned,
            batch=engine.batch_size,
            units=None if options.unit is None else (options.unit,),
            force=options.force,
            num_workers=num_cores(),
        )
        num_warnings = _told(making, messages)
        if options.pages:
            for _ in by_layer(write_pages(store, writer, scanned), messages):
                pass
    if num_warnings > _MOST_WARNINGS:
        messages.print(f"rtvis: {num_warnings} warnings in all", markup=False)
    where = store.path(None, names.PAGE) if options.pages else f"in {store.folder}"
    messages.print(str(where), markup=False, soft_wrap=True)
    return DONE


def _with_unit(store: "Store", layers: Sequence[str], unit: int) -> list[str]:
    """Those of the layers that have a unit of that number.

    Raises:
        SelectionError: None has.
    """
    from rtvis.errors import SelectionError

    count_of = {layer: store.layer(layer).num_units for layer in layers}
    found = [layer for layer in layers if unit < count_of[layer]]
    if not found:
        most = max(count_of.values())
        raise SelectionError(f"--unit {unit}: the units of these layers are 0 to {most - 1}")
    return found


def _network(config: CropsConfig) -> "Network":
    from rtvis.engine.networks.models import load_network
    from rtvis.engine.networks.network_arguments import network_arguments

    wanted = config.network
    # Which layers are wanted is chosen later: their numbers are those among all.
    return load_network(wanted.network, **network_arguments(wanted, hides_layers=False))


def _engine(
    network: "Network", store: "Store", layers: Sequence[str], config: CropsConfig
) -> "Engine":
    from rtvis.engine.device import resolve_device
    from rtvis.engine.engine import Engine

    options = config.crops
    device = resolve_device(options.device)
    batch = options.batch or (9 if device.type == "cpu" else 72)
    num_units = 1 if options.unit is not None else 0
    num_units = num_units or sum(store.layer(name).num_units for name in layers)
    return Engine(
        network,
        device=options.device,
        dtype=options.dtype,
        tf32=options.tf32,
        compile=options.compile_ if num_units >= _WORTH_COMPILING else "off",
        batch_size=batch,
    )


def _told(making: "Iterator[PicturesProgress]", messages: "Console") -> int:
    """Run it with a bar, telling of what comes up; returns the number of warnings."""
    num_warnings = 0
    for progress in by_layer(making, messages):
        for warning in progress.warnings:
            num_warnings += 1
            if num_warnings <= _MOST_WARNINGS:
                messages.print(f"rtvis: {warning}", markup=False, soft_wrap=True)
    return num_warnings


__all__ = ["CropsConfig", "CropsOptions", "parse", "run_crops"]

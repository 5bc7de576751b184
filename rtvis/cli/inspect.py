"""`rtvis inspect NETWORK`: layers, what they cost and what they do, as a table or JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rtvis.command import Command
from rtvis.config_network import NetworkConfig
from rtvis.errors import SourceError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import debug_option, device_option, number_option, option, tf32_option

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console
    from rich.table import Table

    from rtvis.inspection import Inspection, Inspector, LayerFacts

COMMAND: Final = "inspect"
"""The word that begins its command line."""

_WIDE: Final = 400
"""Columns; more than any table needs."""

_DESCRIPTION = (
    "Tell of a network's layers: kind, units, maps, receptive fields, parameters and multiply-adds "
    "(one multiplication with its addition; FLOPs are twice that), and with --data what their "
    "units do over the pictures of a folder, and which never do anything."
)
_EPILOG = "The network comes first: rtvis inspect resnet50 --weights random --data pictures/"


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectOptions:
    """What to tell."""

    data: str | None = option(
        "run the pictures of this folder (or glob) through it: value ranges and dead units",
        metavar="FOLDER",
        expects="a folder or a glob of pictures",
    )
    pictures: int | None = number_option("the first N pictures alone", 1)
    json_: bool = option("JSON instead of a table", default=False)
    device: str = device_option()
    tf32: bool = tf32_option()
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectConfig:
    """All of it."""

    inspect: InspectOptions = field(default_factory=InspectOptions)
    network: NetworkConfig = field(default_factory=NetworkConfig)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first word asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    named = words[:1] and not words[0].startswith("-")
    flags = ["--network", *words] if named else list(words)
    config = parse_config(
        InspectConfig,
        flags,
        prog=f"{prog} {COMMAND} NETWORK",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    return Command(run=lambda: _run(config), debug=config.inspect.debug)


def _run(config: InspectConfig) -> int:
    """Print what is asked for; returns the exit code.

    Raises:
        RtvisError: The network or the pictures cannot be had.
    """
    from rich.console import Console

    messages = Console(stderr=True, highlight=False)
    import_torch()
    inspection = _inspected(config, messages)
    if config.inspect.json_:
        print(json.dumps(inspection.as_plain(), indent=1, allow_nan=False))
    else:
        # A narrow terminal folds the lines; rich would cut numbers short.
        console = Console(width=_WIDE, highlight=False, markup=False)
        console.print(_table(inspection))
        for line in _summary(inspection):
            console.print(line, soft_wrap=True)
    sys.stdout.flush()
    return DONE


def _inspected(config: InspectConfig, messages: "Console") -> "Inspection":
    from rtvis.engine.device import resolve_device
    from rtvis.engine.networks.models import load_network
    from rtvis.engine.networks.network_arguments import network_arguments
    from rtvis.inspection import Inspector
    from rtvis.stills.files import list_inputs

    wanted, options = config.network, config.inspect
    device = resolve_device(options.device)
    # Before the network, for it is quick to find out that a folder is missing.
    paths = list_inputs([options.data])[: options.pictures] if options.data is not None else []
    with messages.status(f"loading {wanted.network}"):
        network = load_network(wanted.network, **network_arguments(wanted))
        inspector = Inspector(network, device=device, tf32=options.tf32)
    _watch(inspector, [str(path) for path in paths], messages)
    return inspector.facts()


def _watch(inspector: "Inspector", paths: Sequence[str], messages: "Console") -> None:
    """Show the pictures to the network; those that cannot be read are told and passed over."""
    from rich.progress import track

    from rtvis.sources.pixels import read_picture

    num_failed, last = 0, ""
    for path in track(
        paths, "watching", console=messages, transient=True, disable=not messages.is_terminal
    ):
        try:
            image_HW3 = read_picture(path).best
        except SourceError as fault:
            num_failed, last = num_failed + 1, str(fault)
            messages.print(f"rtvis: {fault}", markup=False, soft_wrap=True)
            continue
        inspector.watch(image_HW3)
    if paths and num_failed == len(paths):
        raise SourceError(f"none of {num_failed} pictures can be read; the last: {last}")


def _table(inspection: "Inspection") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    with_names = any(facts.layer.name_in_model for facts in inspection.layers)
    with_groups = any(facts.layer.group for facts in inspection.layers)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", *["in the model"] * with_names, *["group"] * with_groups, "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("units", "map", "stride", "field", "parameters", "multiply-adds", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("parameters from .. to", justify="right", no_wrap=True)
    if inspection.num_pictures:
        table.add_column("values from .. to", justify="right", no_wrap=True)
        table.add_column("gradients from .. to", justify="right", no_wrap=True)
        table.add_column("dead", justify="right", no_wrap=True)
    for facts in inspection.layers:
        layer = facts.layer
        table.add_row(
            layer.name,
            *[layer.name_in_model or layer.name] * with_names,
            *[layer.group] * with_groups,
            layer.kind,
            str(layer.num_units),
            "{}x{}".format(*layer.map_size),
            "{:g}x{:g}".format(*layer.stride),
            "{}x{}".format(*layer.receptive_field),
            f"{facts.num_parameters:,}",
            f"{facts.multiply_adds:,}",
            f"{_share(facts.multiply_adds, inspection.multiply_adds):.1%}",
            _range(facts.parameter_range),
            *_activity_cells(facts),
        )
    return table


def _activity_cells(facts: "LayerFacts") -> tuple[str, ...]:
    activity = facts.activity
    if activity is None:
        return ()
    num_dead = len(activity.dead_units)
    first = ", ".join(map(str, activity.dead_units[:3])) + (", ..." if num_dead > 3 else "")
    return (
        _range((activity.low, activity.high)),
        _range(activity.gradients),
        f"{num_dead} ({first})" if num_dead else "0",
    )


def _summary(inspection: "Inspection") -> list[str]:
    channels, height, width = inspection.input_shape
    note = f", {inspection.weights_note}" if inspection.weights_note else ""
    lines = [
        f"{inspection.network}{note}: input {channels}x{height}x{width}, "
        f"{inspection.num_parameters:,} parameters ({_short(inspection.num_parameters)}), "
        f"{inspection.multiply_adds:,} multiply-adds ({_short(inspection.multiply_adds)}; "
        "FLOPs are twice that)"
    ]
    if inspection.note:
        lines.append(inspection.note)
    if inspection.other_parameters or inspection.other_multiply_adds:
        lines.append(
            f"not in the table: {inspection.other_parameters:,} parameters (normalisation, "
            f"embeddings ...), {inspection.other_multiply_adds:,} multiply-adds"
        )
    cut_off = [f.layer.name for f in inspection.layers if not f.layer.reaches_input]
    if cut_off:
        names = ", ".join(cut_off[:3]) + (", ..." if len(cut_off) > 3 else "")
        layers = _count(len(cut_off), "layer")
        lines.append(
            f"no gradient gets to the input from {layers} ({names}): the network "
            "rounds, compares or detaches below"
        )
    if inspection.num_pictures:
        dead = sum(len(f.activity.dead_units) for f in inspection.layers if f.activity is not None)
        lines.append("gradients are those of each picture's top score at the layer's own output")
        lines.append(
            f"{_count(inspection.num_pictures, 'picture')}: {_count(dead, 'dead unit')}, that is "
            "never above zero behind a ReLU (or its kin), or of one value everywhere where none "
            "follows"
        )
    return lines


def _range(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.4g} .. {ends[1]:.4g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _share(part: int, total: int) -> float:
    return part / total if total else 0.0


def _short(number: int) -> str:
    """`25.56 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)


__all__ = ["COMMAND", "parse"]

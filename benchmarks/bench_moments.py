"""What the best moments of every unit cost a turn, at the layer with the most units.

    python -m benchmarks.bench_moments
    python -m benchmarks.bench_moments --networks resnet50

Frame to canvas (upload, turn, drawing 1280x800, download) of a film that goes on, timed in turn
with the same without moments.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

import rtvis.methods  # noqa: F401 - registers the CAM methods
from benchmarks import common
from benchmarks.common import Comparison, say
from benchmarks.turns import film_pictures, film_turn
from rtvis.data import Layer, Selection
from rtvis.engine.device import resolve_device
from rtvis.engine.engine import Engine
from rtvis.runtime.moments import live_moments
from rtvis.session import View

_SEEN_BEFORE = 100
"""Frames that moments have looked at when measuring begins: the first ones are kept by every
unit, and that is over after seconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every network that the flags name; the exit code."""
    return common.measure_networks("bench_moments", _measure, _parse(argv))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_moments", description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", default="resnet50,tf_efficientnet_lite0")
    parser.add_argument("--repeats", type=int, default=60, help="pairs per row")
    common.add_common_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repeats = min(arguments.repeats, 2)
    return arguments


def _measure(name: str, arguments: argparse.Namespace) -> None:
    torch.manual_seed(0)
    network = common.load_to_time(name)
    device = resolve_device(arguments.device)
    facts = common.machine_facts(device)
    with Engine(
        network, device=str(device), dtype=arguments.dtype, compile=arguments.compile
    ) as engine:
        if arguments.compile == "auto":
            say(f"{network.name}: compiling; the second time the artifacts are there")
            engine.wait_compiled()
        layer = max(engine.layers, key=lambda each: (each.num_units, each.map_size[0]))
        rows = [
            [what, *common.comparison_cells(found)]
            for what, found in _rows(engine, layer, arguments)
        ]
        form = engine.form
    text = (
        f"- {layer.name}: {layer.num_units} units of {layer.map_size[0]}x{layer.map_size[1]}, "
        f"{network.weights_note or 'pretrained weights'}, form {form}\n"
        "- frame to canvas with moments, by the same without them just before it; "
        f"{_SEEN_BEFORE} frames were seen before\n\n"
    )
    label = network.name.rpartition("/")[2]  # no path of this machine
    common.publish(
        f"moments: {label}, {arguments.dtype}, {device.type}",
        f"{facts}{text}{common.table(common.COMPARISON_HEAD, rows)}",
        device=device,
        arguments=arguments,
    )


def _rows(
    engine: Engine, layer: Layer, arguments: argparse.Namespace
) -> list[tuple[str, Comparison]]:
    images = film_pictures(4 if arguments.quick else 32)
    off = View(selection=Selection(layer=layer.name, unit=0), canvas_size=(800, 1280))
    views = {
        "counted, not in sight": off,
        "page of moments": replace(off, page="moments"),
        "page and tiles of moments": replace(off, page="moments", pattern="moments"),
    }
    rows = []
    for what, view in views.items():
        say(f"{engine.network}: {what}")
        found = common.compare(
            film_turn(engine, images, off),
            film_turn(engine, images, view, moments=live_moments(engine)),
            device=engine.device,
            repeats=arguments.repeats,
            burst=10 if engine.device.type == "cuda" and not arguments.quick else 1,
            warmups=2 if arguments.quick else _SEEN_BEFORE,
        )
        rows.append((what, found))
    return rows


if __name__ == "__main__":
    sys.exit(main())

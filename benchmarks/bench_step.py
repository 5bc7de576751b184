"""The engine's turn beside the network alone and beside what people do today.

    python -m benchmarks.bench_step --networks resnet50,vgg16 --repeats 30
    python -m benchmarks.bench_step --device cuda --dtype float16

Every figure is a ratio: a candidate and the compiled network by itself are timed in turn.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any, Final, get_args

import torch

import rtvis.engine.steps as steps_module
import rtvis.methods  # noqa: F401 - registers the CAM methods
from benchmarks import common
from benchmarks.alone import Alone, network_alone
from benchmarks.clicks import switching_cost
from benchmarks.common import Call, Comparison, say
from benchmarks.peers import SeparateCalls, peers_installed
from benchmarks.turns import (
    chosen_layers,
    eager_turn,
    live_unit,
    picture,
    piece_calls,
    rendered_turn,
    step_of,
    transfers,
    turn,
)
from rtvis.data import Intervention, Layer, Origin, Selection
from rtvis.engine.device import resolve_device
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import Network
from rtvis.session import PageName, View

CANVAS_SIZE = (800, 1280)
CANVAS: Final[dict[str, Any]] = {"canvas_size": CANVAS_SIZE, "hint_shown": False}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One call to time."""

    key: str
    """For the conclusions; empty where they do not name it."""
    what: str
    call: Call
    is_slow: bool = False
    """Peers: a third of the repeats."""
    beside: Call | None = None
    """What it is compared with; None: the network alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every network that the flags name; the exit code."""
    arguments = _parse(argv)
    if arguments.segments:
        steps_module.NUM_SEGMENTS = arguments.segments
    return common.measure_networks("bench_step", _measure, arguments)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_step", description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", default="resnet50,tf_efficientnet_lite0,vgg16")
    parser.add_argument("--repeats", type=int, default=30, help="pairs per row")
    parser.add_argument("--segments", type=int, default=0, help="backward pieces to aim at")
    parser.add_argument(
        "--layers", default="", help="default: a shallow, a middle, the deepest, a dense one"
    )
    parser.add_argument("--clicks", type=int, default=20, help="random selections")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="rows, such as 'frame to canvas*'"
    )
    common.add_common_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.repeats, arguments.clicks = min(arguments.repeats, 2), min(arguments.clicks, 2)
    return arguments


def _measure(name: str, arguments: argparse.Namespace) -> None:
    torch.manual_seed(0)
    network = common.load_to_time(name)
    device = resolve_device(arguments.device)
    facts = common.machine_facts(device)
    say(f"{network.name}: tracing")
    with Engine(
        network, device=str(device), dtype=arguments.dtype, compile=arguments.compile
    ) as engine:
        if arguments.compile == "auto":
            say(f"{network.name}: compiling; the second time the artifacts are there")
            if not engine.wait_compiled():
                say(f"{network.name}: NOT COMPILED: {engine.compile_note}")
        body = _report(network, engine, arguments)
    height, width = engine.input_size
    label = network.name.rpartition("/")[2]  # no path of this machine
    common.publish(
        f"step: {label}, {width}x{height}, {arguments.dtype}, {device.type}",
        f"{facts}{body}",
        device=device,
        arguments=arguments,
    )


def _report(network: Network, engine: Engine, arguments: argparse.Namespace) -> str:
    x_BCHW = engine.preprocess(picture()).to(engine.dtype)
    x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
    say(f"{network.name}: compiling the network alone")
    alone = network_alone(network.model, x_BCHW, compiling=arguments.compile == "auto")
    burst = 10 if engine.device.type == "cuda" and not arguments.quick else 1
    rows: list[list[str]] = []
    pane_rows: list[list[str]] = []
    found: dict[str, Comparison] = {}
    baseline_ms: list[float] = []
    for row in _rows(network, engine, alone, x_BCHW, arguments):
        if not fnmatch(row.what, arguments.only):
            continue
        say(f"{network.name}: {row.what}")
        repeats = max(2, arguments.repeats // 3) if row.is_slow else arguments.repeats
        comparison = common.compare(
            row.beside or alone.best,
            row.call,
            device=engine.device,
            repeats=repeats,
            burst=burst,
            # A route is captured as a CUDA graph after a few turns.
            warmups=6 if engine.device.type == "cuda" else 2,
        )
        cells = [row.what, *common.comparison_cells(comparison)]
        if row.beside is None:
            rows.append(cells)
            baseline_ms += comparison.baseline_ms
        else:
            pane_rows.append(cells)
        if row.key:
            found[row.key] = comparison
    if baseline_ms:
        rows.insert(0, _baseline_row(alone, baseline_ms))
    switching = switching_cost(engine, x_BCHW, num_clicks=arguments.clicks)
    pieces = step_of(engine).pieces
    facts = [
        f"batch 1, {len(pieces.segments)} backward pieces, {len(engine.layers)} layers, "
        f"{network.weights_note or 'pretrained weights'}, form {engine.form}",
        f"each sample is {burst} calls in a row; ratio is to the baseline call just before it",
        *_conclusions(found),
        "frame to canvas is upload, preprocessing, turn, drawing 1280x800 and download; the peers "
        "run eagerly, without any of that (captum sees ReLU modules only: on others its guided "
        "backprop is the plain gradient, at the same cost)",
        f"{arguments.clicks} random clicks, first frame by the median of the next 8 of the same "
        f"selection: worst {switching.worst_first:.2f}, median {switching.median_first:.2f}; "
        f"worst later frame {switching.worst_later:.2f}",
    ]
    text = "\n".join(f"- {fact}" for fact in facts)
    tables = [common.table(common.COMPARISON_HEAD, rows)] if rows else []
    if pane_rows:
        head = ("beside the panes of the start", *common.COMPARISON_HEAD[1:])
        tables.append(common.table(head, pane_rows))
    return "\n".join((f"{text}\n", *tables)) + _transfers(engine)


def _baseline_row(alone: Alone, baseline_ms: list[float]) -> list[str]:
    return [
        f"the network alone: {alone.name}",
        f"{common.median(baseline_ms):.3g}",
        common.spread(baseline_ms, 3),
        "**1.00**",
        "",
        str(len(baseline_ms)),
    ]


def _rows(
    network: Network,
    engine: Engine,
    alone: Alone,
    x_BCHW: torch.Tensor,
    arguments: argparse.Namespace,
) -> Iterator[Row]:
    """Made one by one, so that a peer's copy of the network is gone before the next one's."""
    for name, call in alone.others.items():
        yield Row(key="", what=f"the network alone: {name}", call=call)
    for name, call in piece_calls(engine, x_BCHW).items():
        yield Row(key=f"piece {name}", what=f"piece {name}", call=call)
    layers = chosen_layers(engine, arguments.layers.split(",") if arguments.layers else [])
    units = {depth: live_unit(engine, x_BCHW, layer) for depth, layer in layers.items()}
    image_HW3 = picture()
    for depth, layer in layers.items():
        selection = Selection(layer=layer.name, unit=units[depth])
        at = _place(depth, layer)
        yield Row(key=f"turn {depth}", what=f"turn, {at}", call=turn(engine, x_BCHW, selection))
        yield Row(
            key=f"rendered {depth}",
            what=f"frame to canvas, {at}",
            call=rendered_turn(engine, image_HW3, View(selection=selection, **CANVAS)),
        )
    deepest = layers.get("deepest", list(layers.values())[-1])
    changes = tuple(Intervention(layer=deepest.name, unit=unit, scale=0.0) for unit in range(3))
    yield Row(
        key="",
        what=f"turn with 3 units knocked out, {deepest.name}",
        call=turn(engine, x_BCHW, Selection(layer=deepest.name, interventions=changes)),
    )
    yield from _pane_rows(engine, layers, units)
    for depth, layer in layers.items():
        yield Row(
            key=f"eager {depth}",
            what=f"turn not compiled, {_place(depth, layer)}",
            call=eager_turn(engine, x_BCHW, Selection(layer=layer.name, unit=units[depth])),
        )
    if arguments.no_peers or not peers_installed():
        return
    convolutions = [depth for depth, layer in layers.items() if layer.kind == "conv"]
    for depth in dict.fromkeys((*convolutions[:1], *convolutions[-1:])):
        for tuned in (False, True):
            yield _peer_row(network, engine, x_BCHW, depth, layers[depth], units[depth], tuned)


def _pane_rows(engine: Engine, layers: dict[str, Layer], units: dict[str, int]) -> Iterator[Row]:
    """A layer in the middle looked at, with the backward pass from the deepest unit.

    First with the panes of the start; beside that with gradients in the grid, both boosts, and one
    page of the details pane after another.
    """
    if not {"middle", "deepest"} <= layers.keys():
        return
    origin = Origin(layer=layers["deepest"].name, unit=units["deepest"])
    flat = [layer.name for layer in engine.layers if layer.map_size == (1, 1)]
    plain = Selection(
        layer=layers["middle"].name, unit=units["middle"], seed="activation", origin=origin
    )
    everything = replace(plain, gradients=True)
    image_HW3 = picture()
    start = rendered_turn(engine, image_HW3, View(selection=plain, **CANVAS))
    yield Row(key="", what="frame to canvas, panes: those of the start", call=start)
    for page in get_args(PageName):
        beside = flat[-1] if flat and page == "dense" else None
        view = View(
            selection=replace(everything, beside=beside), page=page, gamma=0.5, unit_boost=0.5,
            **CANVAS,
        )  # fmt: skip
        yield Row(
            key=f"panes {page}",
            what=f"frame to canvas, panes: everything, {page}",
            call=rendered_turn(engine, image_HW3, view),
            beside=start,
        )


def _place(depth: str, layer: Layer) -> str:
    return layer.name if depth == layer.name else f"{depth}: {layer.name}"


def _peer_row(
    network: Network,
    engine: Engine,
    x_BCHW: torch.Tensor,
    depth: str,
    layer: Layer,
    unit: int,
    tuned: bool,
) -> Row:
    peers = SeparateCalls(
        network.model,
        layer=layer.name.partition("#")[0],
        unit=unit,
        cam_layer=engine.default_cam_layer.name.partition("#")[0],
        tuned=tuned,
        like=x_BCHW,
    )
    how = "no weight gradients" if tuned else "as they come"
    return Row(
        key=f"peers {'tuned ' * tuned}{depth}",
        what=f"hook, pytorch-grad-cam, captum, {how}, {_place(depth, layer)}",
        call=lambda: peers(x_BCHW),
        is_slow=True,
    )


def _conclusions(found: dict[str, Comparison]) -> Iterator[str]:
    for key, rendered in found.items():
        kind, _, depth = key.partition(" ")
        if kind != "rendered":
            continue
        text = (
            f"{depth}, frame to canvas: {rendered.ratio:.2f}, that is {1 / rendered.ratio:.2f} of "
            f"the network's own frame rate, {1e3 / common.median(rendered.candidate_ms):.1f} fps"
        )
        for tuned, name in (("", "separate calls"), ("tuned ", "without weight gradients")):
            peers = found.get(f"peers {tuned}{depth}")
            if peers is not None:
                text += f"; {peers.ratio / rendered.ratio:.1f} times faster than {name}"
        yield text
    pages = [
        f"{page} {comparison.ratio:.2f}"
        for key, comparison in found.items()
        if (page := key.removeprefix("panes ")) != key
    ]
    if pages:
        yield (
            "gradients in the grid, both boosts and a page of details, beside the panes of the "
            f"start: {', '.join(pages)}"
        )


def _transfers(engine: Engine) -> str:
    if engine.device.type != "cuda":
        return ""
    rows = []
    for what, (call, num_bytes) in transfers(engine.device, CANVAS_SIZE).items():
        times = [common.time_ms(call, engine.device, burst=10) for _ in range(23)][3:]
        typical = common.median(times)
        speed = f"{num_bytes / typical / 1e6:.1f}"
        rows.append([what, f"{typical:.3f}", common.spread(times, 3), speed])
    return "\n" + common.table(("transfer", "ms", "IQR", "GB/s"), rows)


if __name__ == "__main__":
    sys.exit(main())

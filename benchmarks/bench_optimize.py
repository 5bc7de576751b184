"""Optimised inputs: do they drive units further than pictures do, and what does a step cost?

python -m benchmarks.bench_optimize [--quick] [--network NAME] [--units 50] [--preset default]

Processor seconds and ratios are what counts here: they hold on a busy machine too.
"""

import argparse
import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from benchmarks import common
from rtvis.data import ImageU8
from rtvis.engine.engine import Engine
from rtvis.engine.models import load_network
from rtvis.engine.zoo import DEFAULT_NETWORK
from rtvis.sources.pixels import read_image
from rtvis.units.optimize import optimize
from rtvis.units.presets import PRESETS, preset
from rtvis.units.sheet import contact_sheet
from rtvis.units.targets import Targets

SAMPLES = Path(__file__).parent.parent / "sample_images"
SKIMAGE = ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "retina", "cat")


class Reached(NamedTuple):
    """How far one unit was driven."""

    layer: str
    unit: int
    at_start: float
    optimised: float
    """At the neuron in the middle."""
    best_crop: float
    """Largest of all positions of all crops."""


def main() -> None:
    """Measure, and publish the tables."""
    parser = argparse.ArgumentParser(prog="bench_optimize", description=__doc__.partition("\n")[0])
    common.add_common_flags(parser)
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--units", type=int, default=50)
    parser.add_argument("--layers", nargs="*", help="that the units are of; default: five")
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--preset", default="default", choices=tuple(PRESETS))
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--sheet", type=Path, help="picture to write, a row for each layer")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.units, arguments.crops, arguments.batch = 5, 6, 1
    network = load_network(arguments.network, weights=arguments.weights)
    with Engine(network, device=arguments.device, dtype=arguments.dtype, compile="off") as engine:
        chosen = _targets(engine, arguments.units, arguments.layers)
        reached, seconds = _drive(engine, chosen, arguments)
        body = _told(engine, reached, seconds, arguments)
        common.publish(
            f"Optimised inputs, {engine.network}, preset {arguments.preset}",
            body,
            device=engine.device,
            arguments=arguments,
        )
        body = _costs(engine, network.model, arguments)
        common.publish(
            f"What a step of optimising costs, {engine.network}",
            body,
            device=engine.device,
            arguments=arguments,
        )


def _targets(engine: Engine, num_units: int, names: list[str] | None) -> list[Targets]:
    """Random units of layers from all depths, the last one among them."""
    chance = random.Random(0)
    layers = [layer for layer in engine.layers if layer.reaches_input]
    if not names:
        places = np.linspace(len(layers) * 0.2, len(layers) - 1, 5).round().astype(int)
        names = [layers[place].name for place in dict.fromkeys(places.tolist())]
    sizes = {layer.name: layer.num_units for layer in layers}
    each = max(num_units // len(names), 1)
    return [
        Targets(layer=name, units=tuple(sorted(chance.sample(range(sizes[name]), each))))
        for name in names
    ]


def _drive(
    engine: Engine, chosen: list[Targets], arguments: argparse.Namespace
) -> tuple[list[Reached], float]:
    """What each unit reaches, and processor seconds for each picture."""
    recipe, reached, seconds = preset(arguments.preset), [], 0.0
    cells: list[tuple[str, ImageU8]] = []
    if arguments.quick:
        recipe = preset("dvt-class") if arguments.preset == "default" else recipe
    for targets in chosen:
        common.say(f"{targets.layer}: {len(targets.units)} units")
        if arguments.compile == "auto" and not arguments.quick:
            engine.compile_reach(targets.layer, arguments.batch)
        began_s = time.process_time()
        found = []
        for progress in optimize(engine, targets, recipe, batch=arguments.batch):
            found += progress.finished
        seconds += time.process_time() - began_s
        cells += [(f"{each.unit} {targets.layer}", each.image_HW3) for each in found]
        if arguments.sheet is not None:
            sheet_HW3 = contact_sheet(cells, columns=len(targets.units), side=144)
            cv2.imwrite(str(arguments.sheet), sheet_HW3[:, :, ::-1])
        best_U = _best_of_crops(engine, targets, arguments.crops, arguments.batch)
        for each, best in zip(found, best_U.tolist(), strict=True):
            values = each.record["runs"]["value"]
            reached.append(Reached(targets.layer, each.unit, values[0], each.value, best))
    return reached, seconds / len(reached)


def _best_of_crops(engine: Engine, targets: Targets, num_crops: int, batch: int) -> torch.Tensor:
    """[U]: the largest value of each unit over all crops and positions."""
    unit_U = torch.tensor(targets.units, device=engine.device)
    best_U = torch.full((len(unit_U),), -torch.inf, device=engine.device)
    crops = _crops(num_crops)
    while some := list(itertools.islice(crops, batch)):
        some += [some[-1]] * (batch - len(some))
        x_BCHW = torch.cat([engine.preprocess(each) for each in some])
        maps_BCHW = engine.reach(x_BCHW, layer=targets.layer).maps_BCHW
        values_BU = maps_BCHW.index_select(1, unit_U).float().amax(dim=(2, 3))
        best_U = torch.maximum(best_U, values_BU.amax(dim=0))
    return best_U


def _crops(count: int) -> Iterator[ImageU8]:
    """Random squares, of 30 to 100 % of the shorter side, of photographs and films."""
    chance, pictures = random.Random(1), list(_pictures())
    for _ in range(count):
        image_HW3 = chance.choice(pictures)
        height, width = image_HW3.shape[:2]
        side = round(min(height, width) * chance.uniform(0.3, 1.0))
        top, left = chance.randint(0, height - side), chance.randint(0, width - side)
        yield np.ascontiguousarray(image_HW3[top : top + side, left : left + side])


def _pictures() -> Iterator[ImageU8]:
    for path in sorted(SAMPLES.iterdir()):
        if path.suffix in {".jpg", ".png"}:
            yield read_image(path)
        elif path.suffix == ".mp4":
            yield from _frames(path)
    try:
        from skimage import data
    except ImportError:
        common.say("no scikit-image here: its pictures are left out")
        return
    for name in SKIMAGE:
        try:
            image = np.asarray(getattr(data, name)())
        except Exception:  # noqa: BLE001 - some are not in the wheel, and nothing is downloaded
            continue
        if image.ndim == 3 and image.shape[2] >= 3:
            yield np.ascontiguousarray(image[:, :, :3])


def _frames(path: Path) -> Iterator[ImageU8]:
    film = cv2.VideoCapture(str(path))
    for number in range(10_000):
        got, image = film.read()
        if not got:
            break
        if number % 5 == 0:
            yield np.ascontiguousarray(image[:, :, ::-1])
    film.release()


def _told(
    engine: Engine, reached: list[Reached], seconds: float, arguments: argparse.Namespace
) -> str:
    rows = []
    for layer in dict.fromkeys(each.layer for each in reached):
        some = [each for each in reached if each.layer == layer]
        rows.append([f"`{layer}`", *_row(some)])
    rows.append(["**all**", *_row(reached)])
    head = (
        *("layer", "units", "rose", "beat the best crop", "median at start", "median optimised"),
        *("median best crop", "median optimised by best crop"),
    )
    facts = common.machine_facts(engine.device)
    recipe = preset(arguments.preset)
    return (
        f"{facts}- {arguments.crops} crops; {recipe.iterations} runs for each picture, "
        f"{arguments.batch} at once; {seconds:.1f} processor seconds a picture\n\n"
        + common.table(head, rows)
        + "\nThe value of the optimised picture is that of the middle neuron in its last run, "
        "which sees the picture unmoved; that of crops the largest over all positions.\n"
    )


def _row(some: list[Reached]) -> list[str]:
    rose = sum(each.optimised > each.at_start for each in some)
    beat = sum(each.optimised > each.best_crop for each in some)
    # A ratio means something where both are positive, as the best of many crops nearly always is.
    ratios = [each.optimised / each.best_crop for each in some if each.best_crop > 0]
    return [
        str(len(some)),
        str(rose),
        str(beat),
        f"{common.median([each.at_start for each in some]):.2f}",
        f"{common.median([each.optimised for each in some]):.2f}",
        f"{common.median([each.best_crop for each in some]):.2f}",
        f"{common.median(ratios):.1f}",
    ]


def _costs(engine: Engine, model: torch.nn.Module, arguments: argparse.Namespace) -> str:
    """Processor time of a run and its gradient, against autograd on the model."""
    batch, layer = arguments.batch, engine.layers[-1].name
    x_BCHW = torch.randn(batch, 3, *engine.input_size, device=engine.device)
    unit_B = torch.arange(batch, device=engine.device) % engine.num_classes

    def by_autograd() -> None:
        leaf = x_BCHW.clone().requires_grad_()
        with torch.enable_grad():
            scores_BK = model(leaf)
        torch.autograd.grad(scores_BK.gather(1, unit_B[:, None]).sum(), leaf)

    def ours() -> None:
        engine.neuron_gradients(x_BCHW, layer=layer, unit_B=unit_B)

    repeats = 1 if arguments.quick else 7
    model = model.to(engine.device)
    times = {
        "autograd on the model": _cpu_ms(by_autograd, repeats),
        "eager": _cpu_ms(ours, repeats),
    }
    if arguments.compile == "auto" and not arguments.quick:
        engine.compile_reach(layer, batch)
        times["compiled"] = _cpu_ms(ours, repeats)
    base = times["autograd on the model"]
    rows = [[name, f"{ms / batch:.1f}", f"**{ms / base:.2f}**"] for name, ms in times.items()]
    return (
        f"{common.machine_facts(engine.device)}- `{layer}`, {batch} pictures at once, smallest of "
        f"{repeats}\n\n" + common.table(("what", "processor ms a picture", "ratio"), rows)
    )


def _cpu_ms(call: Callable[[], None], repeats: int) -> float:
    call()
    found = []
    for _ in range(repeats):
        began_s = time.process_time()
        call()
        found.append((time.process_time() - began_s) * 1e3)
    return min(found)


if __name__ == "__main__":
    main()

"""Optimised inputs: do they drive units further than pictures do, and what does a step cost?

python -m benchmarks.bench_optimize [--quick] [--network NAME] [--units 50] [--preset default]

One random unit of each layer, from the first to the last, or as many layers as there are units. The
results of a run that was stopped are kept beside the table, and the same command goes on.

Processor seconds and ratios are what counts here: they hold on a busy machine too.
"""

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import common
from benchmarks.real_crops import best_of_crops
from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import load_network
from rtvis.units.optimize import optimize
from rtvis.units.optimized import Optimized
from rtvis.units.presets import PRESETS, preset
from rtvis.units.recipe import Recipe
from rtvis.units.targets import Targets

NUM_NOISES = 10
"""Other random starts that a unit is to leave behind."""
SHUT = 1e-6
"""A unit is shut if its values for all noises differ by less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """How far one unit was driven."""

    network: str
    """Its identity: name and weights."""
    preset: str
    iterations: int
    layer: str
    unit: int
    is_shut: bool
    """No noise changes it: the ReLUs in front of it are shut, or training has switched it off."""
    at_start: float
    best_noise: float
    """Largest of `NUM_NOISES` other random starts."""
    optimised: float
    """At the neuron in the middle, of the picture in eight bits as its PNG has it."""
    seconds: float
    """Of a processor."""

    @property
    def key(self) -> tuple[str, str, int, str, int]:
        """What is not measured twice."""
        return self.network, self.preset, self.iterations, self.layer, self.unit


def main() -> None:
    """Measure, and publish the tables."""
    arguments = _parse()
    network = load_network(arguments.network, weights=arguments.weights)
    compiled = arguments.compile == "auto" and not arguments.quick
    with Engine(
        network,
        device=arguments.device,
        dtype=arguments.dtype,
        compile="auto" if compiled else "off",
    ) as engine:
        if compiled:
            common.say("compiling")
            engine.wait_compiled()
        reached = list(_drive(engine, _chosen(engine, arguments.units), arguments))
        best, words = best_of_crops(
            network, arguments.crops, device=engine.device, compiled=compiled
        )
        common.publish(
            f"Optimised inputs, {engine.network}, preset {arguments.preset}",
            _told(engine, reached, best, words),
            device=engine.device,
            arguments=arguments,
        )
        common.publish(
            f"What a step of optimising costs, {engine.network}",
            _costs(engine, network.model, arguments),
            device=engine.device,
            arguments=arguments,
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_optimize", description=__doc__.partition("\n")[0])
    common.add_common_flags(parser)
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--units", type=int, default=50)
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--preset", default="default", choices=tuple(PRESETS))
    parser.add_argument("--batch", type=int, default=8, help="of the table of costs")
    parser.add_argument("--kept", type=Path, help="JSON lines, one for each unit that is done")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.units, arguments.crops, arguments.batch = min(arguments.units, 5), 6, 1
    return arguments


def _chosen(engine: Engine, num_units: int) -> list[tuple[str, int]]:
    """(layer, unit): a random one of each of so many layers, evenly from the first to the last;
    with more units than layers several of each."""
    chance = random.Random(0)
    # A scan, which tells of the crops, leaves attention out.
    able = (layer for layer in engine.layers if layer.reaches_input)
    layers = [layer for layer in able if layer.kind != "attention"]
    found: list[tuple[str, int]] = []
    while len(found) < num_units:
        count = min(num_units - len(found), len(layers))
        places = np.linspace(0, len(layers) - 1, count).round().astype(int).tolist()
        some = [(layers[at].name, chance.randrange(layers[at].num_units)) for at in places]
        found += [each for each in some if each not in found]
    return found


def _drive(
    engine: Engine, chosen: Sequence[tuple[str, int]], arguments: argparse.Namespace
) -> Iterator[Reached]:
    """What each unit reaches; each is written down as soon as it is known."""
    recipe = preset(arguments.preset)
    if arguments.quick:
        recipe = dataclasses.replace(recipe, iterations=12, plain_last=2)
    kept = {each.key: each for each in _read(arguments.kept)}
    network = f"{engine.network} {engine.identity.weights[:8]}"
    for number, (layer, unit) in enumerate(chosen):
        key = network, arguments.preset, recipe.iterations, layer, unit
        if key not in kept:
            kept[key] = _driven(engine, layer, unit, recipe, arguments.preset, network)
            if arguments.kept is not None:
                with arguments.kept.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(dataclasses.asdict(kept[key])) + "\n")
        found = kept[key]
        common.say(
            f"{number + 1} of {len(chosen)}: {layer} {unit}, {found.best_noise:.2f} to "
            f"{found.optimised:.2f} in {found.seconds:.0f} s"
        )
        yield found


def _read(path: Path | None) -> list[Reached]:
    if path is None or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Reached(**json.loads(line)) for line in lines]


def _driven(
    engine: Engine, layer: str, unit: int, recipe: Recipe, name: str, network: str
) -> Reached:
    targets = Targets(layer=layer, units=(unit,))
    noises = []
    for seed in range(1, NUM_NOISES + 1):
        steps = optimize(engine, targets, recipe, seed=seed)
        noises.append(float(next(steps).values()))
        steps.close()
    began_s = time.process_time()
    *_, last = optimize(engine, targets, recipe)
    (found,) = last.finished
    seconds = time.process_time() - began_s
    return Reached(
        network=network,
        preset=name,
        iterations=recipe.iterations,
        layer=layer,
        unit=unit,
        is_shut=max(noises) - min(noises) < SHUT,
        at_start=found.record["runs"]["value"][0],
        best_noise=max(noises),
        optimised=_in_eight_bits(engine, found),
        seconds=seconds,
    )


def _in_eight_bits(engine: Engine, found: Optimized) -> float:
    """The value that the picture has when it is read again from a file."""
    picture_HW3 = engine.input_pictures(torch.from_numpy(found.x_CHW)[None])[0]
    x_BCHW = engine.preprocess(picture_HW3.cpu().numpy(), fit="stretch")
    row, column = found.position
    maps_BCHW = engine.reach(x_BCHW, layer=found.layer.name).maps_BCHW
    return float(maps_BCHW[0, found.unit, row, column])


def _told(
    engine: Engine, reached: Sequence[Reached], best: dict[str, list[float]], crops: str
) -> str:
    pairs = [(each, best[each.layer][each.unit]) for each in reached]
    rose = sum(each.optimised > max(each.at_start, each.best_noise) for each in reached)
    beat = sum(each.optimised > crop for each, crop in pairs)
    # A ratio means something where both are positive, as the best of many crops nearly always is.
    ratios = [each.optimised / crop for each, crop in pairs if crop > 0]
    seconds = [each.seconds for each in reached]
    head = ("unit", f"best of {NUM_NOISES} noises", "optimised", "best crop", "by best crop")
    return (
        f"{common.machine_facts(engine.device)}- {crops}\n"
        f"- {reached[0].iterations} runs a picture, one picture at a time, the step "
        f"{engine.form}: {common.median(seconds):.1f} processor seconds each in the middle, "
        f"{max(seconds):.1f} at most\n\n"
        f"**{rose} of {len(reached)} rose** above their start and above {NUM_NOISES} other random "
        f"starts; **{beat} of {len(reached)} beat the best crop**; optimised by best crop "
        f"{common.median(ratios):.2f} in the middle, quartiles {common.spread(ratios, 2)}.\n\n"
        + common.table(head, (_row(each, crop) for each, crop in pairs))
        + "\nAn optimised picture counts in eight bits, as its PNG has it, and at the middle "
        "neuron alone; a crop with the largest value of all places of the map. Shut: all noises "
        "give one value, so that no gradient leads away from them.\n"
    )


def _row(found: Reached, crop: float) -> list[str]:
    is_above = found.optimised > crop
    ratio = f"{found.optimised / crop:.2f}" if crop > 0 else ("above" if is_above else "below")
    return [
        f"`{found.layer}` {found.unit}{' (shut)' if found.is_shut else ''}",
        *(f"{value:.2f}" for value in (found.best_noise, found.optimised, crop)),
        f"**{ratio}**" if is_above else ratio,
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

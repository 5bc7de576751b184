"""What a click costs: the first frame after it beside the frames that follow."""

import random
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.common import median, time_ms
from rtvis.data import Selection
from rtvis.engine.engine import Engine
from rtvis.registry import CAM_METHODS


class Switching(NamedTuple):
    """Ratios to the median of the frames that follow with the same selection."""

    worst_first: float
    median_first: float
    worst_later: float
    """On CUDA this holds the capture of a graph, a few turns after the click."""


def switching_cost(
    engine: Engine, x_BCHW: Tensor, *, num_clicks: int, num_later: int = 8
) -> Switching:
    """Random selections over layers, units, positions, classes, rules, seeds and CAM methods.

    Each first frame is compared with its own selection's others, for a deep layer costs more than
    a shallow one however it was reached.
    """
    rng = random.Random(0)
    firsts, laters = [], []
    for _ in range(num_clicks):
        selection = _random_selection(rng, engine)
        times = [_run_ms(engine, x_BCHW, selection) for _ in range(1 + num_later)]
        usual = median(times[1:])
        firsts.append(times[0] / usual)
        laters.append(max(times[1:]) / usual)
    return Switching(max(firsts), median(firsts), max(laters))


def _run_ms(engine: Engine, x_BCHW: Tensor, selection: Selection) -> float:
    device: torch.device = engine.device
    return time_ms(lambda: engine.run(x_BCHW, selection), device)


def _random_selection(rng: random.Random, engine: Engine) -> Selection:
    layer = rng.choice(engine.layers)
    height, width = layer.map_size
    position = (rng.randrange(height), rng.randrange(width))
    return Selection(
        layer=layer.name,
        unit=rng.randrange(layer.num_units),
        position=rng.choice((None, position)),
        seed=rng.choice(("max", "map", "activation")),
        rule=rng.choice(("gradient", "guided", "deconvnet")),
        class_index=rng.choice((None, rng.randrange(engine.num_classes))),
        cam=rng.choice(sorted(CAM_METHODS)),
    )

"""The way to a layer and back by graphs: what is copied where, with a capture that is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rtvis.engine.graphs import TURNS_BEFORE_CAPTURE
from rtvis.engine.reach_graphs import MAX_SITES, GraphReach
from rtvis.engine.step import Step
from tests.nets import EverySpelling, engine_of, seeded

SIZE = (40, 48)


class FakeCapture:
    """Runs all of it again into the same tensors, as a replay does; counts replays."""

    def __init__(self) -> None:
        self.num_captured = 0
        self.num_replayed = 0
        self.error: RuntimeError | None = None

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        if self.error is not None:
            raise self.error
        found = run().clone()
        self.num_captured += 1

        def replay() -> None:
            found.copy_(run())
            self.num_replayed += 1

        return found, replay


@pytest.fixture(scope="module")
def step() -> Step:
    step = engine_of(seeded(EverySpelling), size=SIZE)._steps[1]
    assert isinstance(step, Step)
    return step


def picture(seed: int) -> Tensor:
    x_BCHW = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
    return x_BCHW.contiguous(memory_format=torch.channels_last)


def gradient(reached, unit: int) -> tuple[float, Tensor]:
    found = reached.gradients(unit_B=torch.tensor([unit]), objective="mean", rule="guided")
    return float(found.value_B), found.grad_BCHW


@torch.no_grad()
def test_replays_give_what_a_plain_run_gives_for_other_pictures_and_units(step: Step) -> None:
    capture = FakeCapture()
    graphs, site = GraphReach(step, capture), step.pieces.sites[2]
    for seed in range(TURNS_BEFORE_CAPTURE + 4):
        unit, x_BCHW = seed % site.layer.num_units, picture(seed)
        value, grad = gradient(graphs.run(x_BCHW, site), unit)
        plain_value, plain_grad = gradient(step.reach(x_BCHW, site), unit)
        assert value == plain_value
        assert torch.equal(grad, plain_grad)
        assert grad.abs().max() > 0
    assert (capture.num_captured, capture.num_replayed) == (2, 8), "four turns, there and back"


@torch.no_grad()
def test_what_is_handed_out_does_not_change_with_the_next_run(step: Step) -> None:
    graphs, site = GraphReach(step, FakeCapture()), step.pieces.sites[2]
    for seed in range(TURNS_BEFORE_CAPTURE + 1):
        graphs.run(picture(seed), site)
    first = graphs.run(picture(50), site)
    _, grad = gradient(first, 1)
    maps, held = first.maps_BCHW.clone(), grad.clone()
    second = graphs.run(picture(51), site)
    gradient(second, 1)
    assert torch.equal(first.maps_BCHW, maps)
    assert torch.equal(grad, held)
    # The way back of the first picture is still its own, though its graph has gone on.
    assert torch.equal(gradient(first, 1)[1], held)
    assert not torch.equal(gradient(second, 1)[1], held)


@torch.no_grad()
def test_a_few_layers_are_kept_and_one_that_cannot_be_captured_runs_plainly(step: Step) -> None:
    capture = FakeCapture()
    graphs = GraphReach(step, capture)
    sites = step.pieces.sites[: MAX_SITES + 1]
    for site in sites:
        for seed in range(TURNS_BEFORE_CAPTURE + 1):
            graphs.run(picture(seed), site)
    assert list(graphs._sites) == [site.layer.index for site in sites[1:]]
    capture.error = RuntimeError("operation not permitted when stream is capturing")
    site = step.pieces.sites[MAX_SITES + 1]
    for seed in range(TURNS_BEFORE_CAPTURE + 3):
        value, _ = gradient(graphs.run(picture(seed), site), 0)
        assert value == gradient(step.reach(picture(seed), site), 0)[0]
    assert site.layer.index not in graphs._sites


@torch.no_grad()
def test_a_way_back_that_cannot_be_captured_runs_plainly(step: Step) -> None:
    capture = FakeCapture()
    graphs, site = GraphReach(step, capture), step.pieces.sites[2]
    for seed in range(TURNS_BEFORE_CAPTURE + 1):
        graphs.run(picture(seed), site)
    capture.error = RuntimeError("operation not permitted when stream is capturing")
    for seed in (60, 61):
        _, grad = gradient(graphs.run(picture(seed), site), 1)
        assert torch.equal(grad, gradient(step.reach(picture(seed), site), 1)[1])

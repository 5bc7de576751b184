"""Who asks at attention: with any seed, as a start that is kept, and as the screen says it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import inks
import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from rtvis.data import Intervention, Origin, Selection
from rtvis.engine.layers.attention import Attention
from rtvis.engine.layers.queries import default_queries
from rtvis.errors import SelectionError
from rtvis.render.compositor import Compositor
from rtvis.render.layer_words import details, layer_facts
from rtvis.render.scene import Scene
from tests.nets import engine_of, seeded
from tests.references import one_thread  # noqa: F401 - a fixture
from tests.test_attention import (
    GRID,
    SIDE,
    apart,
    attended,
    attention_layers,
    build,
    class_token,
    engine_for,
    random_input,
    swin,
)
from tests.test_compositor import LAYERS, compositor, part, pixels, result_for, scene_for
from tests.test_screen_words import READOUT

__all__ = ["compositor"]  # a fixture

ATTENTION = (
    replace(LAYERS[0], kind="attention", map_size=(8, 8), query="class token", name="attn"),
    LAYERS[1],
)


@pytest.mark.parametrize("seed", ["map", "activation", "score"])
def test_a_chosen_patch_asks_whatever_the_seed_is(seed: str) -> None:
    """At a convolution a position is the neuron that the pass starts at, and no seed counts."""
    x = random_input().requires_grad_()
    with attended() as matrices:
        scores = build(class_token)(x)
    asked_S = matrices[1][0, 1, 1 + GRID * 1 + 2, 1:]
    value = {
        "map": asked_S.sum(),
        "activation": (asked_S * asked_S.detach()).sum(),
        "score": scores[0, 3],
    }[seed]
    (expected,) = torch.autograd.grad(value, x)
    selection = Selection(
        layer="blocks.1.attn", unit=1, position=(1, 2), seed=seed, class_index=3, rule="gradient"
    )  # type: ignore[arg-type]
    found = engine_for(class_token).run(x.detach(), selection)
    assert apart(found.maps_BCHW[0, 1].flatten(), asked_S) < 1e-9
    assert apart(found.backprop_B3HW, expected) < 1e-9


@pytest.mark.parametrize(
    ("layer", "position"),
    [("blocks.0.attn", (0, 1)), ("blocks.0.attn", None), ("blocks.1.attn", (3, 0))],
)
def test_a_start_that_is_kept_keeps_who_asked(layer: str, position: tuple[int, int] | None) -> None:
    x = random_input().requires_grad_()
    with attended() as matrices:
        build(class_token)(x)
    (expected,) = torch.autograd.grad(matrices[0][0, 1, 1 + GRID * 2 + 3, 1:].max(), x)
    origin = Origin(layer="blocks.0.attn", unit=1, position=(2, 3))
    selection = Selection(layer=layer, unit=2, position=position, origin=origin, rule="gradient")
    found = engine_for(class_token).run(x.detach(), selection)
    assert apart(found.backprop_B3HW, expected) < 1e-9
    query = 0 if position is None else 1 + GRID * position[0] + position[1]
    looked_at = matrices[int(layer[7])][0, 2, query, 1:]
    assert apart(found.maps_BCHW[0, 2].flatten(), looked_at) < 1e-9


def test_a_head_that_is_knocked_out_is_so_in_every_window() -> None:
    x = random_input()

    def change(index: int, matrix: Tensor) -> Tensor:
        scale = torch.ones(matrix.shape[1], 1, 1, dtype=torch.float64)
        if index == 1:
            scale[1] = 0.0
        return matrix * scale

    with attended(change), torch.no_grad():
        scores = build(swin)(x)
    out = Intervention(layer="layers.0.blocks.1.attn", unit=1, scale=0.0)
    found = engine_for(swin).run(x, Selection(layer=out.layer, interventions=(out,)))
    assert apart(found.scores_BK, scores.float()) < 1e-6
    assert not found.maps_BCHW[0, 1].any()
    assert found.maps_BCHW[0, 0].all()


class Pooled(nn.Module):
    """One learned query gathers all patches, as in a pooling head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 8, stride=8)
        self.key = nn.Linear(6, 6)
        self.ask = nn.Parameter(torch.randn(1, 1, 6))
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).mT
        weights = (self.ask @ self.key(patches).mT).softmax(-1)
        return self.fc((weights @ patches)[:, 0])


def test_one_learned_query_is_the_one_there_is_and_has_no_rollout() -> None:
    engine = engine_of(seeded(Pooled), SIDE)
    (layer,) = attention_layers(engine)
    assert (layer.query, layer.map_size, layer.num_units) == ("the one there is", (GRID, GRID), 1)
    with pytest.raises(SelectionError, match=r"rollout .* gathers tokens by other queries at"):
        engine.resolve(Selection(cam="rollout"))
    assert "legrad" in engine.cam_methods


def cait() -> nn.Module:
    return timm.models.Cait(
        img_size=SIDE, patch_size=8, embed_dim=24, depth=1, num_heads=3, num_classes=5,
        depth_token_only=1,
    )  # fmt: skip


def test_a_class_token_that_only_the_last_layers_have_is_told() -> None:
    engine = engine_of(build(cait), SIDE, dtype="float64")
    for cam in ("rollout", "legrad"):
        with pytest.raises(SelectionError, match="with the class token in some layers only"):
            engine.resolve(Selection(cam=cam))


@pytest.mark.parametrize(
    ("nowhere", "expected"), [((0,), (0,)), ((), (0, 1, 2, 3, 4)), ((0, 1, 2), (0, 1, 2, 3, 4))]
)
def test_where_the_scores_read_no_token_the_class_token_asks_or_all_do(
    nowhere: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """Of several tokens that lie nowhere it is not known which one is the class token."""
    attention = Attention(
        num_heads=1, num_windows=1, num_queries=5, num_keys=5, heads_first=False,
        keys_first=False, same_tokens=True, query_of=None, nowhere=nowhere,
    )  # fmt: skip
    site: Any = SimpleNamespace(
        attention=attention, is_rest=False, node=SimpleNamespace(name="softmax")
    )
    assert default_queries([site], {}, 1) == {"softmax": expected}


# On the screen


def scene_at(position: tuple[int, int] | None, **changes: object) -> Scene:
    """A head that is looked at, and the patch that asks."""
    result = result_for()
    selection = replace(result.selection, layer="attn", position=position)
    result = replace(result, selection=selection)
    return scene_for(result=result, layers=ATTENTION, **changes)


def test_the_details_of_a_head_say_who_asks() -> None:
    assert dict(details(scene_at(None), ATTENTION[0], READOUT))["query"] == "class token"
    assert dict(details(scene_at((4, 1)), ATTENTION[0], READOUT))["query"] == "row 4, column 1"
    assert "query" not in dict(details(scene_for(), LAYERS[0], READOUT))
    wide = replace(ATTENTION[0], map_size=(8, 12), num_units=3)
    assert layer_facts(wide) == "attention  ·  3 heads over 8×12  ·  stride 4"


def test_the_patch_that_asks_is_framed_in_the_enlarged_head(compositor: Compositor) -> None:
    canvas_HW = pixels(compositor, scene_at((6, 1), backward_shown=False))
    plan = compositor.layout
    assert plan is not None
    unit, cell = plan.images["unit"], plan.neuron((6, 1))
    ys, xs = np.nonzero(part(canvas_HW, unit) == inks.SELECTED)
    assert abs((ys.min() + ys.max()) / 2 + unit.top - (cell.top + cell.bottom) / 2) <= 2
    assert abs((xs.min() + xs.max()) / 2 + unit.left - (cell.left + cell.right) / 2) <= 2
    without = pixels(compositor, scene_at(None, backward_shown=False))
    assert not (part(without, unit) == inks.SELECTED).any()


@pytest.mark.parametrize(("cam", "is_above_floor"), [("rollout", True), ("legrad", False)])
def test_the_picture_shows_of_rollout_how_far_it_lies_above_its_least(
    compositor: Compositor, cam: str, is_above_floor: bool
) -> None:
    cam_BHW = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(1))
    cam_BHW -= cam_BHW.amin()
    canvases = []
    for floor in (0.0, 0.5):
        result = replace(result_for(), cam_BHW=cam_BHW + floor)
        result = replace(result, selection=replace(result.selection, cam=cam))
        canvas_HW = pixels(compositor, scene_for(result=result, cam_shown=True))
        assert compositor.layout is not None
        canvases.append(part(canvas_HW, compositor.layout.images["input"]))
    assert np.array_equal(*canvases) == is_above_floor

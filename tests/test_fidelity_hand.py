"""A network that fits on paper, finite differences, every spelling of ReLU, real pictures."""

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

import rtvis
from rtvis.data import Health, Rule, Seed, Selection
from rtvis.engine.engine import Engine
from rtvis.sources.pixels import read_image
from tests.nets import HAND_PICTURE, EverySpelling, HandNet, engine_of, seeded
from tests.references import (
    UNIT_SEEDS,
    fingerprint,
    one_thread,  # noqa: F401 - a fixture
    reference_backprop,
    reference_maps,
    relative_error,
)

RULES = get_args(Rule)
SEEDS = UNIT_SEEDS
ZERO = [[0.0, 0.0], [0.0, 0.0]]


@pytest.fixture(scope="module")
def hand() -> Engine:
    return engine_of(HandNet().eval(), 2, dtype="float64")


@pytest.fixture(scope="module")
def spelled() -> tuple[nn.Module, Engine, Tensor]:
    model = seeded(EverySpelling)
    x = torch.randn(1, 3, 48, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    engine = engine_of(model, (48, 40), dtype="float64")
    return copy.deepcopy(model).double(), engine, x


def picture(hand: Engine, **selection: object) -> list[list[list[float]]]:
    result = hand.run(HAND_PICTURE.double(), Selection(**selection))  # type: ignore[arg-type]
    rows: list[list[list[float]]] = result.backprop_B3HW[0].tolist()
    return rows


def test_maps_and_scores_of_the_paper_net(hand: Engine) -> None:
    result = hand.run(HAND_PICTURE.double(), Selection(layer="conv2", unit=1))
    assert result.maps_BCHW.tolist() == [[[[1.0, -3.0], [5.0, 0.0]], [[1.0, 9.0], [-5.0, 0.0]]]]
    assert result.scores_BK.tolist() == [[-1.0, 5.5]]
    assert result.position_B2.tolist() == [[0, 1]]
    assert result.value_B.tolist() == [9.0]
    assert result.class_index_B.tolist() == [1]
    dense = hand.run(HAND_PICTURE.double(), Selection(layer="fc", unit=0))
    assert dense.maps_BCHW.tolist() == [[[[-1.0]], [[5.5]]]]


def test_the_three_rules_at_one_neuron_where_they_differ(hand: Engine) -> None:
    # v0 = h0 - h1 at (0, 1), where u0 = -1 and u1 = 3: h0 is shut, h1 open. What arrives is
    # (1, -1). Gradient: only h1 passes, -1 * d u1 / d b = -2. Guided: h0 is shut, -1 is negative.
    # Deconvnet: only 1 is positive, and passes although h0 is shut: d u0 = (1, -1, 0).
    at = {"layer": "conv2", "unit": 0, "position": (0, 1)}
    assert picture(hand, rule="gradient", **at) == [ZERO, ZERO, [[0.0, -2.0], [0.0, 0.0]]]
    assert picture(hand, rule="guided", **at) == [ZERO, ZERO, ZERO]
    assert picture(hand, rule="deconvnet", **at) == [
        [[0.0, 1.0], [0.0, 0.0]],
        [[0.0, -1.0], [0.0, 0.0]],
        ZERO,
    ]


def test_a_gradient_of_exactly_zero_is_reported(hand: Engine) -> None:
    selection = Selection(layer="conv2", unit=0, position=(0, 1), rule="guided")
    result = hand.run(HAND_PICTURE.double(), selection)
    assert int(result.health_B[0]) & Health.GRADIENT_ZERO
    selection = Selection(layer="conv2", unit=0, position=(0, 0), rule="guided")
    assert not int(hand.run(HAND_PICTURE.double(), selection).health_B[0]) & Health.GRADIENT_ZERO


def test_the_seed_map_starts_everywhere_with_weight_one(hand: Engine) -> None:
    # (1, -1) arrives at every pixel; u1 > 0 in the upper row, u0 > 0 in the left column. At
    # (1, 1) both are exactly 0, and 0 does not pass.
    assert picture(hand, layer="conv2", unit=0, seed="map", rule="gradient") == [
        [[1.0, 0.0], [1.0, 0.0]],
        [[-1.0, 0.0], [-1.0, 0.0]],
        [[-2.0, -2.0], [0.0, 0.0]],
    ]


def test_the_seed_activation_weights_each_place_with_its_own_value(hand: Engine) -> None:
    # The pictures above, times v0 = [[1, -3], [5, 0]].
    assert picture(hand, layer="conv2", unit=0, seed="activation", rule="gradient") == [
        [[1.0, 0.0], [5.0, 0.0]],
        [[-1.0, 0.0], [-5.0, 0.0]],
        [[-2.0, 6.0], [0.0, 0.0]],
    ]


def test_the_seed_max_is_the_neuron_with_the_largest_value(hand: Engine) -> None:
    # v0 is largest at (1, 0), where only h0 is open.
    assert picture(hand, layer="conv2", unit=0, rule="gradient") == [
        [[0.0, 0.0], [1.0, 0.0]],
        [[0.0, 0.0], [-1.0, 0.0]],
        ZERO,
    ]


def test_ties_of_the_maximum_go_to_the_first(hand: Engine) -> None:
    x = HAND_PICTURE.double()
    x[0, :, 1, 1] = x[0, :, 1, 0]  # the pixel with v0 = 5 twice
    result = hand.run(x, Selection(layer="conv2", unit=0))
    assert result.maps_BCHW[0, 0].tolist() == [[1.0, -3.0], [5.0, 5.0]]
    assert result.position_B2.tolist() == [[1, 0]]


def test_the_gradient_of_a_dense_unit(hand: Engine) -> None:
    # s0 = p0 - p1, each the mean over 4 pixels: 1/4 and -1/4 arrive at v0 and v1 where they are
    # positive. At (0, 0) both: h0 gets 1/4 + 1/4, h1 -1/4 - 3/4, both open: (1/2, -1/2, -2).
    # At (0, 1) only v1: h1 gets -3/4: b gets -3/2. At (1, 0) only v0: h0 gets 1/4.
    assert picture(hand, layer="fc", unit=0, rule="gradient") == [
        [[0.5, 0.0], [0.25, 0.0]],
        [[-0.5, 0.0], [-0.25, 0.0]],
        [[-2.0, -1.5], [0.0, 0.0]],
    ]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # The gradient of s0 is 1/4 where v0 > 0, -1/4 where v1 > 0; the means are 1/8 and -1/8:
        # (v0 - v1) / 8 = (0, -12, 10, 0) / 8.
        ("grad-cam", [[0.0, 0.0], [1.25, 0.0]]),
        # Place by place: (1 - 1) / 4, -9 / 4, 5 / 4, 0.
        ("hirescam", [[0.0, 0.0], [1.25, 0.0]]),
        # Without the negative gradients: 1 / 4, 0, 5 / 4, 0.
        ("layercam", [[0.25, 0.0], [1.25, 0.0]]),
        # sum(v0) = 3, alpha = 1 / (2 + 3 / 4) = 4 / 11 at two places: weight 2 / 11; v1 has none.
        ("grad-cam++", [[2 / 11, 0.0], [10 / 11, 0.0]]),
    ],
)
def test_the_cams_of_the_paper_net(hand: Engine, method: str, expected: list[list[float]]) -> None:
    result = hand.run(HAND_PICTURE.double(), Selection(cam=method, class_index=0))
    assert result.selection.cam_layer == "conv2"
    torch.testing.assert_close(result.cam_BHW[0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("layer", ["stem", "grouped", "dilated", "wide", "shared", "hidden", "fc"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_spelling_of_relu_gets_the_rule(
    spelled: tuple[nn.Module, Engine, Tensor], layer: str, rule: Rule, seed: Seed
) -> None:
    model, engine, x = spelled
    for unit in [1, 4]:
        expected = reference_backprop(model, x, layer, unit, rule=rule, seed=seed)
        selection = Selection(layer=layer, unit=unit, rule=rule, seed=seed)
        assert relative_error(engine.run(x, selection).backprop_B3HW, expected) < 1e-9


def test_a_layer_that_is_used_twice_is_listed_twice(
    spelled: tuple[nn.Module, Engine, Tensor],
) -> None:
    model, engine, x = spelled
    names = [layer.name for layer in engine.layers]
    assert names.index("shared#2") == names.index("shared") + 1
    for name in ["shared", "shared#2"]:
        _scores, maps = reference_maps(model, x, name)
        result = engine.run(x, Selection(layer=name, unit=2))
        assert relative_error(result.maps_BCHW, maps) < 1e-9
        expected = reference_backprop(model, x, name, 2, rule="guided")
        assert relative_error(result.backprop_B3HW, expected) < 1e-9


@pytest.mark.parametrize("layer", ["grouped", "wide", "fc"])
def test_the_gradient_agrees_with_finite_differences(
    spelled: tuple[nn.Module, Engine, Tensor], layer: str
) -> None:
    # The network is linear between its kinks: a step this small meets none, and the central
    # difference is exact but for rounding.
    _model, engine, x = spelled
    position = (0, 0) if layer == "fc" else (3, 4)
    selection = Selection(layer=layer, unit=3, position=position, rule="gradient")
    gradient = engine.run(x, selection).backprop_B3HW
    generator = torch.Generator().manual_seed(17)
    for _ in range(5):
        direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        step = 1e-7 * direction
        above, below = (
            engine.run(x + sign * step, selection).maps_BCHW[0, 3, position[0], position[1]]
            for sign in (1, -1)
        )
        difference = float(above - below) / 2e-7
        slope = float((gradient * direction).sum())
        assert abs(slope) > 1e-4
        assert difference == pytest.approx(slope, rel=1e-6)


def test_a_flipped_picture_gives_the_flipped_backward_picture() -> None:
    # 1x1 kernels do not know left from right.
    engine = engine_of(HandNet().eval(), 2, dtype="float64")
    selection = Selection(layer="conv2", unit=0, rule="gradient")
    straight = engine.run(HAND_PICTURE.double(), selection)
    flipped = engine.run(HAND_PICTURE.double().flip(-1), selection)
    assert straight.backprop_B3HW.abs().max() > 0
    assert torch.equal(flipped.backprop_B3HW, straight.backprop_B3HW.flip(-1))
    assert torch.equal(flipped.cam_BHW, straight.cam_BHW.flip(-1))
    assert not torch.equal(flipped.backprop_B3HW, straight.backprop_B3HW)


def test_in_place_relus_and_the_users_hooks_survive() -> None:
    model = seeded(EverySpelling)
    calls: list[str] = []
    model.get_submodule("stem").register_forward_hook(lambda *_: calls.append("hook"))
    before = fingerprint(model)
    engine = engine_of(model, 32)
    for layer in engine.layers:
        engine.run(torch.randn(1, 3, 32, 32), Selection(layer=layer.name))
    assert fingerprint(model) == before
    del calls[:]
    model(torch.randn(1, 3, 32, 32))
    assert calls == ["hook"]


PICTURES = {
    "coffee.jpg": "espresso",
    "camera.png": "tripod",
    "flower.jpg": "daisy",
    "china.jpg": "palace",
    "chelsea.png": "cat",
}


def test_real_pictures_with_the_embedded_weights_are_what_they_show(
    request: pytest.FixtureRequest,
) -> None:
    engine = rtvis.load(device="cpu", compile="off")
    assert engine.labels is not None
    folder = request.config.rootpath / "sample_images"
    for name, label in PICTURES.items():
        result = engine.run(read_image(folder / name))
        found = engine.labels[int(result.class_index_B[0])]
        assert label in found, f"{name}: {found}"
        assert result.cam_BHW.max() > 0
    espresso = engine.run(read_image(folder / "coffee.jpg")).scores_BK.softmax(1).max()
    assert 0.9 < float(espresso) < 0.99
    engine.close()

"""The backward picture of a class's score: of any network, and of a region of a dense output."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from rtvis.data import Health, Intervention, Origin, Rule, Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SelectionError
from tests.nets import DenseNet, EverySpelling, engine_of, seeded
from tests.references import (
    RuledActivations,
    as_maps,
    one_thread,  # noqa: F401 - a fixture
    relative_error,
    tapped,
)

SIZE = (20, 28)
REGIONS = [None, (3, 5, 1, 1), (4, 6, 7, 11)]
LAYERS = {DenseNet: ["stem", "bottom", "up"], EverySpelling: ["stem", "wide", "shared#2", "hidden"]}


@pytest.fixture(scope="module", params=[DenseNet, EverySpelling])
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Engine]:
    model = seeded(request.param).double()
    return model, engine_of(model, SIZE, dtype="float64")


@pytest.fixture
def x() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, *SIZE, generator=generator, dtype=torch.float64)


def reference(
    model: nn.Module,
    x: Tensor,
    layer: str,
    *,
    rule: Rule = "gradient",
    region: tuple[int, int, int, int] | None = None,
    class_index: int | None = None,
) -> tuple[Tensor, Tensor]:
    """By autograd: the gradient of the score at the input, and at a layer."""
    x = x.clone().requires_grad_()
    with RuledActivations(rule), tapped(model, layer.partition("#")[0]) as outputs:
        output = model(x)
    if output.ndim == 4:
        top, left, height, width = region or (0, 0, *output.shape[2:])
        output = output[:, :, top : top + height, left : left + width].mean(dim=(2, 3))
    class_B = output.argmax(dim=1) if class_index is None else torch.tensor([class_index] * len(x))
    chosen = output.gather(1, class_B[:, None]).sum()
    at_input, at_layer = torch.autograd.grad(
        chosen, (x, outputs[int(layer.partition("#")[2] or 1) - 1])
    )
    return at_input, as_maps(at_layer)


@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("class_index", [None, 2])
def test_it_is_the_gradient_of_the_class_s_score_on_the_untouched_model(
    case: tuple[nn.Module, Engine],
    x: Tensor,
    rule: Rule,
    region: tuple[int, int, int, int] | None,
    class_index: int | None,
) -> None:
    model, engine = case
    if region is not None and engine.output_size is None:
        region, x = None, x * 2  # another picture instead of another region
    selection = Selection(
        layer=engine.layers[1].name,
        unit=1,
        seed="score",
        rule=rule,
        region=region,
        class_index=class_index,
    )
    expected, _ = reference(
        model, x, engine.layers[1].name, rule=rule, region=region, class_index=class_index
    )
    assert expected.any()
    found = engine.run(x, selection)
    assert relative_error(found.backprop_B3HW, expected) < 1e-9
    unit = engine.run(x, Selection(layer=selection.layer, unit=1, rule=rule, region=region))
    assert torch.equal(found.maps_BCHW, unit.maps_BCHW)
    assert relative_error(unit.backprop_B3HW, expected) > 1e-2


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_what_it_brings_to_every_layer_can_be_looked_at(
    case: tuple[nn.Module, Engine], x: Tensor, rule: Rule
) -> None:
    model, engine = case
    for layer in LAYERS[type(model)]:
        _, expected = reference(model, x, layer, rule=rule)
        selection = Selection(layer=layer, seed="score", rule=rule, gradients=True)
        found = engine.run(x, selection).grads_BCHW
        assert found is not None
        assert expected.any()
        assert relative_error(found, expected) < 1e-9


def test_a_pixel_s_picture_lies_in_what_that_pixel_sees_and_nowhere_else(x: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    engine = engine_of(model.eval().double(), SIZE, dtype="float64")
    picture = engine.run(x, Selection(seed="score", region=(10, 14, 1, 1))).backprop_B3HW
    elsewhere = picture.clone()
    elsewhere[:, :, 8:13, 12:17] = 0  # two convolutions of 3x3
    assert picture.any()
    assert not elsewhere.any()


def test_changed_units_count(x: Tensor) -> None:
    model = seeded(EverySpelling).double()
    engine = engine_of(model, SIZE, dtype="float64")
    change = Intervention(layer="wide", unit=2, scale=0.0, offset=0.5)
    selection = Selection(seed="score", rule="gradient", class_index=1, interventions=(change,))
    found = engine.run(x, selection).backprop_B3HW

    def held(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, 2] = 0.5
        return output

    untouched, _ = reference(model, x, "stem", class_index=1)
    handle = model.get_submodule("wide").register_forward_hook(held)
    try:
        expected, _ = reference(model, x, "stem", class_index=1)
    finally:
        handle.remove()
    assert relative_error(found, expected) < 1e-9
    assert relative_error(found, untouched) > 1e-3


def test_a_unit_that_is_zero_does_not_matter_to_it_and_a_neuron_comes_first(x: Tensor) -> None:
    engine = engine_of(seeded(EverySpelling).double(), SIZE, dtype="float64")
    dead = Intervention(layer="stem", unit=0, scale=0.0, offset=0.0)
    selection = Selection(layer="stem", unit=0, seed="score", interventions=(dead,))
    bits = int(engine.run(x, selection).health_B[0])
    assert bits & Health.ORIGIN_ZERO == 0
    at = {"layer": "wide", "unit": 3, "position": (1, 2)}
    by_class = engine.run(x, Selection(**at, seed="score")).backprop_B3HW
    assert torch.equal(by_class, engine.run(x, Selection(**at)).backprop_B3HW)


def test_it_and_a_start_elsewhere_exclude_one_another(case: tuple[nn.Module, Engine]) -> None:
    engine = case[1]
    origin = Origin(layer=engine.layers[0].name, unit=0)
    with pytest.raises(SelectionError, match=r"'score'.*leave out one of them"):
        engine.resolve(Selection(seed="score", origin=origin))

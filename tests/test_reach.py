"""Gradients of many pictures at once, each with a unit of its own, against plain autograd."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.data import Rule, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.turn.objectives import Objective
from rtvis.errors import RtvisError, SelectionError
from tests.nets import (
    HAND_PICTURE,
    BranchingNet,
    DenseNet,
    EverySpelling,
    HandNet,
    engine_of,
    seeded,
)
from tests.references import RuledActivations, relative_error, tapped

SIZE = (40, 44)
LAYERS = ["stem", "grouped", "dilated", "wide", "shared#2", "up", "hidden", "fc"]
UNITS = [0, 3, 1, 2, 5]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(EverySpelling).double()


@pytest.fixture(scope="module")
def engine(model: nn.Module) -> Engine:
    return engine_of(model, size=SIZE, dtype="float64")


@pytest.fixture(scope="module")
def x() -> Tensor:
    torch.manual_seed(3)
    return torch.randn(5, 3, *SIZE, dtype=torch.float64)


def outputs_of(model: nn.Module, x: Tensor, layer: str, rule: Rule) -> tuple[Tensor, Tensor]:
    """The input, and what a layer (or its second call) returns for it, with a graph."""
    x = x.detach().clone().requires_grad_()
    name, _, use = layer.partition("#")
    outputs: list[Tensor] = []
    module = model.get_submodule(name)
    handle = module.register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
    try:
        with torch.enable_grad(), RuledActivations(rule):
            model(x)
    finally:
        handle.remove()
    output = outputs[int(use or 1) - 1]
    return x, output if output.ndim == 4 else output[:, :, None, None]


def value_of(maps: Tensor, objective: Objective, unit: int, place: tuple[int, int]) -> Tensor:
    """The objective of one picture as the definition says, [C, H, W] to a number."""
    values: dict[Objective, Callable[[], Tensor]] = {
        "neuron": lambda: maps[unit][place],
        "mean": maps[unit].mean,
        "map": lambda: maps[unit].square().mean() / 2,
        "layer": lambda: maps.square().mean() / 2,
        "probability": lambda: maps.flatten().softmax(0)[unit],
    }
    return values[objective]()


def by_autograd(
    model: nn.Module,
    x: Tensor,
    layer: str,
    *,
    objective: Objective = "neuron",
    rule: Rule = "gradient",
    units: list[int],
    places: list[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """Values and gradients, one picture after the other."""
    values, grads = [], []
    for i, (unit, place) in enumerate(zip(units, places, strict=True)):
        leaf, maps = outputs_of(model, x[i : i + 1], layer, rule)
        with RuledActivations(rule):
            value = value_of(maps[0], objective, unit, place)
            (grad,) = torch.autograd.grad(value, leaf)
        values.append(value.detach())
        grads.append(grad)
    return torch.stack(values), torch.cat(grads)


def maxima(maps_BCHW: Tensor, units: list[int]) -> list[tuple[int, int]]:
    width = maps_BCHW.shape[3]
    at = [int(maps[unit].argmax()) for maps, unit in zip(maps_BCHW, units, strict=True)]
    return [divmod(place, width) for place in at]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("layer", LAYERS)
def test_each_picture_has_its_own_unit_at_its_maximum(
    engine: Engine, model: nn.Module, x: Tensor, layer: str, batch: int
) -> None:
    """One picture goes through the pieces of a turn, five through the way to this layer alone."""
    units = UNITS[-batch:]
    found = engine.neuron_gradients(x[:batch], layer=layer, unit_B=torch.tensor(units))
    places = maxima(found.maps_BCHW, units)
    values, grads = by_autograd(model, x[:batch], layer, units=units, places=places)
    assert found.position_B2.tolist() == [list(place) for place in places]
    assert torch.allclose(found.value_B.double(), values, rtol=1e-6)
    assert relative_error(found.grad_BCHW, grads) < 1e-10


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize("layer", ["wide", "up"])
def test_rules_and_given_positions(
    engine: Engine, model: nn.Module, x: Tensor, layer: str, rule: Rule, batch: int
) -> None:
    units, places = UNITS[:batch], [(1, 2), (0, 0), (2, 1), (1, 1), (0, 2)][:batch]
    found = engine.neuron_gradients(
        x[:batch],
        layer=layer,
        unit_B=torch.tensor(units),
        position_B2=torch.tensor(places),
        rule=rule,
    )
    values, grads = by_autograd(model, x[:batch], layer, rule=rule, units=units, places=places)
    assert torch.allclose(found.value_B.double(), values, rtol=1e-6)
    assert relative_error(found.grad_BCHW, grads) < 1e-10


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(
    ("layer", "objective"),
    [
        *(("wide", each) for each in ("mean", "map", "layer")),
        *(("fc", each) for each in get_args(Objective)),
    ],
)
def test_objectives_of_maps_layers_and_classes(
    engine: Engine, model: nn.Module, x: Tensor, layer: str, objective: Objective, batch: int
) -> None:
    units, places = UNITS[:batch], [(0, 0)] * batch
    found = engine.neuron_gradients(
        x[:batch],
        layer=layer,
        unit_B=torch.tensor(units),
        position_B2=torch.zeros(batch, 2, dtype=torch.int64),
        objective=objective,
    )
    values, grads = by_autograd(
        model, x[:batch], layer, objective=objective, units=units, places=places
    )
    assert torch.allclose(found.value_B.double(), values, rtol=1e-6)
    assert relative_error(found.grad_BCHW, grads) < 1e-10


def test_hand_net_by_hand() -> None:
    """v0 at (1, 0) is h0 - h1 = (r - g) - 0: u1 = -1 there does not pass its ReLU."""
    engine = engine_of(seeded(HandNet), size=2)
    found = engine.neuron_gradients(HAND_PICTURE, layer="conv2", unit_B=torch.tensor([0]))
    assert found.value_B.tolist() == [5.0]
    assert found.position_B2.tolist() == [[1, 0]]
    expected = torch.zeros(1, 3, 2, 2)
    expected[0, :, 1, 0] = torch.tensor([1.0, -1.0, 0.0])
    assert torch.equal(found.grad_BCHW, expected)


def test_one_run_serves_several_rules(engine: Engine, x: Tensor) -> None:
    reached = engine.reach(x, layer="wide")
    unit_B = torch.tensor(UNITS)
    grads = [reached.gradients(unit_B=unit_B, rule=rule).grad_BCHW for rule in get_args(Rule)]
    for rule, grad in zip(get_args(Rule), grads, strict=True):
        alone = engine.neuron_gradients(x, layer="wide", unit_B=unit_B, rule=rule)
        assert torch.equal(alone.grad_BCHW, grad)
    assert not torch.equal(grads[0], grads[1])
    assert not torch.equal(grads[1], grads[2])


def test_nothing_above_the_layer_is_computed(model: nn.Module, x: Tensor) -> None:
    engine = engine_of(model, size=SIZE, dtype="float64")
    engine.neuron_gradients(x[:1], layer="stem", unit_B=torch.tensor([0]))
    step = engine._steps.of(1)
    shortened = step._shortened[0]  # type: ignore[union-attr]
    calls = [n for n in shortened.module.graph.nodes if n.op == "call_function"]
    whole = step.pieces.forward.module.graph.nodes  # type: ignore[union-attr]
    assert 0 < len(calls) < len([n for n in whole if n.op == "call_function"]) / 2


def test_pieces_and_the_way_to_one_layer_agree_with_a_turn(x: Tensor) -> None:
    engine = engine_of(seeded(EverySpelling), size=SIZE)
    one = x[:1].float()
    result = engine.run(one, Selection(layer="wide", unit=2, rule="guided"))
    single = engine.neuron_gradients(one, layer="wide", unit_B=torch.tensor([2]), rule="guided")
    assert relative_error(single.grad_BCHW, result.backprop_B3HW) < 1e-6
    assert torch.equal(single.maps_BCHW, result.maps_BCHW)


def test_an_untraced_network_gives_the_same(x: Tensor) -> None:
    model = seeded(BranchingNet).double()
    engine = engine_of(model, size=SIZE, dtype="float64")
    assert "not traceable" in engine.compile_note
    for objective in get_args(Objective):
        layer = "inner.fc" if objective == "probability" else "inner.conv2"
        found = engine.neuron_gradients(
            x, layer=layer, unit_B=torch.tensor([0, 1, 1, 0, 1]), objective=objective
        )
        units = [0, 1, 1, 0, 1]
        places = maxima(found.maps_BCHW, units)
        values, grads = by_autograd(
            model, x, layer, objective=objective, units=units, places=places
        )
        assert torch.allclose(found.value_B.double(), values, rtol=1e-6)
        assert relative_error(found.grad_BCHW, grads) < 1e-10
    pictures = set()
    for rule in ("gradient", "guided", "deconvnet"):
        units = torch.tensor([0])
        single = engine.neuron_gradients(x[:1], layer="inner.fc", unit_B=units, rule=rule)
        turn = engine.run(x[:1], Selection(layer="inner.fc", unit=0, rule=rule))
        assert relative_error(single.grad_BCHW, turn.backprop_B3HW) < 1e-9
        pictures.add(float(turn.backprop_B3HW.double().square().sum()))
    assert len(pictures) == 3, "each rule another picture"


@pytest.mark.parametrize("batch", [1, 2])
def test_a_network_with_a_dense_output(batch: int) -> None:
    model = seeded(DenseNet).double()
    engine = engine_of(model, size=(16, 20), dtype="float64")
    x = torch.randn(batch, 3, 16, 20, dtype=torch.float64)
    units = [1, 3][:batch]
    found = engine.neuron_gradients(x, layer="head", unit_B=torch.tensor(units))
    _, grads = by_autograd(model, x, "head", units=units, places=maxima(found.maps_BCHW, units))
    assert relative_error(found.grad_BCHW, grads) < 1e-10


class TokenNet(nn.Module):
    """Patches, one self-attention that weighs them, and scores from their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.qkv = nn.Linear(8, 24)
        self.up = nn.Linear(8, 12)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        batch, count, _ = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, 2, 4).permute(2, 0, 3, 1, 4)
        weights = (qkv[0] @ qkv[1].transpose(-2, -1) / 2).softmax(dim=-1)
        tokens = tokens + (weights @ qkv[2]).transpose(1, 2).reshape(batch, count, 8)
        return self.fc(F.gelu(self.up(tokens)).mean(dim=1))


def test_tokens_and_attention_agree_between_both_ways() -> None:
    """A dense layer on tokens and the attention itself: the map's gradient goes back to its rows.

    The pieces of a turn are checked against autograd elsewhere.
    """
    engine = engine_of(seeded(TokenNet).double(), size=(12, 16), dtype="float64")
    x = torch.randn(3, 3, 12, 16, dtype=torch.float64)
    names = [layer.name for layer in engine.layers if layer.map_size != (1, 1)]
    kind_of = {layer.name: layer.kind for layer in engine.layers if layer.name in names}
    assert {*kind_of.values()} == {"conv", "dense", "attention"}
    for name in names:
        for objective in ("neuron", "mean", "map"):
            together = engine.neuron_gradients(
                x, layer=name, unit_B=torch.tensor([0, 1, 1]), objective=objective
            )
            # All that a query attends to sums to 1, so the mean says nothing: rounding is left.
            says_nothing = kind_of[name] == "attention" and objective == "mean"
            assert (together.grad_BCHW.abs().max() < 1e-15) == says_nothing
            for i, unit in enumerate([0, 1, 1]):
                alone = engine.neuron_gradients(
                    x[i : i + 1], layer=name, unit_B=torch.tensor([unit]), objective=objective
                )
                if says_nothing:
                    assert alone.grad_BCHW.abs().max() < 1e-15
                else:
                    assert relative_error(alone.grad_BCHW, together.grad_BCHW[i : i + 1]) < 1e-10
                assert torch.allclose(alone.value_B, together.value_B[i : i + 1])
    with_layer = engine.neuron_gradients(
        x, layer=names[-1], unit_B=torch.zeros(3, dtype=torch.int64), objective="layer"
    )
    assert with_layer.grad_BCHW.abs().max() > 0


class WithClassToken(TokenNet):
    """The same with a token in front that has no place in the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(len(x), 1, 8), tokens), dim=1)
        return self.fc(F.gelu(self.up(tokens)).mean(dim=1))


@pytest.mark.parametrize("make", [TokenNet, WithClassToken])
def test_a_token_s_gradient_is_that_of_its_own_row_and_column(make: type[TokenNet]) -> None:
    model = seeded(make).double()
    engine = engine_of(model, size=(12, 16), dtype="float64")
    x = torch.randn(2, 3, 12, 16, dtype=torch.float64)
    unit_B, place_B2 = torch.tensor([2, 5]), torch.tensor([[0, 3], [2, 1]])
    found = engine.neuron_gradients(x, layer="up", unit_B=unit_B, position_B2=place_B2)
    x.requires_grad_()
    with tapped(model, "up") as outputs:
        model(x)
    tokens_BTC = outputs[0][:, -12:]  # three rows of four
    (expected,) = torch.autograd.grad(tokens_BTC[0, 3, 2] + tokens_BTC[1, 9, 5], x)
    assert relative_error(found.grad_BCHW, expected) < 1e-10


@pytest.mark.apart
@pytest.mark.timeout(600)
def test_a_compiled_way_gives_the_same(tmp_path: object) -> None:
    engine = engine_of(seeded(EverySpelling), size=SIZE)
    x = torch.randn(4, 3, *SIZE)
    unit_B = torch.tensor([0, 1, 2, 3])
    eager = engine.neuron_gradients(x, layer="wide", unit_B=unit_B)
    with engine:
        assert engine.compile_reach("wide", 4, timeout_s=500)
        compiled = engine.neuron_gradients(x, layer="wide", unit_B=unit_B)
    assert relative_error(compiled.grad_BCHW, eager.grad_BCHW) < 1e-5
    assert relative_error(compiled.maps_BCHW, eager.maps_BCHW) < 1e-5


def test_bad_input_is_told(engine: Engine, x: Tensor) -> None:
    with pytest.raises(SelectionError, match="nearest is 'stem'"):
        engine.neuron_gradients(x, layer="stm", unit_B=torch.zeros(5, dtype=torch.int64))
    with pytest.raises(RtvisError, match=r"takes \[batch, 3, 40, 44\]"):
        engine.reach(x[:, :, :20], layer="stem")
    units = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(SelectionError, match=r"no unit 99; its units are 0 to"):
        engine.neuron_gradients(x, layer="stem", unit_B=torch.tensor([0, 0, 0, 0, 99]))
    height, width = engine.layers[0].map_size
    for place in ([height, 0], [0, width], [0, -1]):
        place_B2 = torch.tensor([[-1, -1]] * 4 + [place])
        with pytest.raises(SelectionError, match=r"is outside the .* maps of layer 'stem'"):
            engine.neuron_gradients(x, layer="stem", unit_B=units, position_B2=place_B2)
    corner_B2 = torch.tensor([[height - 1, width - 1]] * 5)
    found = engine.neuron_gradients(x, layer="stem", unit_B=units, position_B2=corner_B2)
    assert torch.equal(found.position_B2, corner_B2)


def test_the_model_is_left_as_it_was(model: nn.Module, x: Tensor) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    engine = engine_of(model, size=SIZE, dtype="float64")
    engine.neuron_gradients(x, layer="wide", unit_B=torch.tensor(UNITS))
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks for module in model.modules())

"""A changed unit has the effect that a forward hook has which changes it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from rtvis.data import Health, Intervention, Rule, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.flat.trace import flatten
from rtvis.engine.joint.pieces import Piece
from rtvis.engine.turn.runners import Runners
from rtvis.errors import SelectionError
from tests.nets import EverySpelling, engine_of, seeded
from tests.references import (
    one_thread,  # noqa: F401 - a fixture
    reference_backprop,
    reference_cam_inputs,
    reference_maps,
    relative_error,
)
from tests.test_attention import build, class_token, engine_for, random_input
from tests.test_fidelity import NETS

pytestmark = pytest.mark.apart

RULES = get_args(Rule)
CHOSEN = ["resnet18", "mobilenet_v2", "densenet121", "alexnet"]


@contextmanager
def hooked(model: nn.Module, interventions: Sequence[Intervention]) -> Iterator[None]:
    """The model with forward hooks that do what the interventions say."""

    def hook_of(change: Intervention) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            changed = output.clone()
            changed[:, change.unit] = output[:, change.unit] * change.scale + change.offset
            return changed

        return hook

    handles = [
        model.get_submodule(change.layer).register_forward_hook(hook_of(change))
        for change in interventions
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Case:
    """A network, its engine in float64, and what is changed in it."""

    def __init__(self, name: str) -> None:
        net = NETS[name]
        self.model = net.make().double()
        self.engine = engine_of(self.model, net.size, dtype="float64")
        self.layers = net.layers
        shallow, middle, deep, dense = net.layers
        self.changes = (
            Intervention(layer=shallow, unit=1, scale=0.0),
            Intervention(layer=shallow, unit=3, scale=2.0),
            Intervention(layer=middle, unit=2, scale=0.0, offset=1.5),
            Intervention(layer=deep, unit=4, scale=-0.5, offset=0.25),
            Intervention(layer=dense, unit=5, scale=0.5, offset=3.0),
        )
        torch.manual_seed(1)
        self.x = torch.randn(1, 3, net.size, net.size, dtype=torch.float64)


@pytest.fixture(scope="module", params=CHOSEN)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.mark.parametrize("depth", range(4), ids=["shallow", "middle", "deep", "dense"])
def test_scores_and_maps_equal_what_a_forward_hook_gives(case: Case, depth: int) -> None:
    selection = Selection(layer=case.layers[depth], unit=0, interventions=case.changes)
    result = case.engine.run(case.x, selection)
    with hooked(case.model, case.changes):
        scores, maps = reference_maps(case.model, case.x, case.layers[depth])
    untouched, _ = reference_maps(case.model, case.x, case.layers[depth])
    assert result.untouched_scores_BK is not None
    assert relative_error(result.scores_BK.double(), scores) < 1e-6
    assert relative_error(result.maps_BCHW, maps) < 1e-9
    assert relative_error(result.untouched_scores_BK.double(), untouched) < 1e-6
    assert relative_error(scores, untouched) > 1e-3


@pytest.mark.parametrize("depth", range(1, 4), ids=["middle", "deep", "dense"])
def test_what_lies_below_the_lowest_change_is_not_computed_again(
    case: Case, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowest = case.layers[depth]
    changes = tuple(c for c in case.changes if c.layer in case.layers[depth:])
    layer = next(each for each in case.engine.layers if each.name == lowest)
    segments = case.engine._steps.of(1).pieces.segments
    first = next(i for i, s in enumerate(segments) if any(t.layer == layer for t in s.sites))
    run, ran = Runners.run, []

    def noted(self: Runners, piece: Piece, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ran.append(piece.name)
        return run(self, piece, values)

    monkeypatch.setattr(Runners, "run", noted)
    result = case.engine.run(case.x, Selection(layer=lowest, unit=4, interventions=changes))
    expected = [f"intervened_{index}" for index in range(first, len(segments))]
    assert [name for name in ran if name.startswith("intervened")] == expected
    assert first > 0
    with hooked(case.model, changes):
        scores, maps = reference_maps(case.model, case.x, lowest)
        picture = reference_backprop(case.model, case.x, lowest, 4, rule="guided")
    assert relative_error(result.scores_BK.double(), scores) < 1e-6
    assert relative_error(result.maps_BCHW, maps) < 1e-9
    assert relative_error(result.backprop_B3HW, picture) < 1e-9


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("depth", range(4), ids=["shallow", "middle", "deep", "dense"])
def test_the_backward_picture_equals_autograd_behind_the_hooks(
    case: Case, depth: int, rule: Rule
) -> None:
    layer, unit = case.layers[depth], 4
    selection = Selection(layer=layer, unit=unit, rule=rule, interventions=case.changes)
    found = case.engine.run(case.x, selection).backprop_B3HW
    with hooked(case.model, case.changes):
        expected = reference_backprop(case.model, case.x, layer, unit, rule=rule)
    assert relative_error(found, expected) < 1e-9


@pytest.mark.parametrize("depth", range(3), ids=["shallow", "middle", "deep"])
def test_a_cam_equals_grad_cam_behind_the_hooks(case: Case, depth: int) -> None:
    layer = case.layers[depth]
    selection = Selection(cam_layer=layer, class_index=5, interventions=case.changes)
    found = case.engine.run(case.x, selection).cam_BHW
    with hooked(case.model, case.changes):
        maps, grads = reference_cam_inputs(case.model, case.x, layer, 5)
    expected = (grads.mean(dim=(2, 3), keepdim=True) * maps).sum(1).relu()
    assert torch.allclose(found.double(), expected, rtol=1e-6, atol=1e-6 * float(expected.max()))


def test_a_unit_that_is_knocked_out_is_zero_and_passes_nothing_down(case: Case) -> None:
    shallow = case.layers[0]
    out = Intervention(layer=shallow, unit=1, scale=0.0)
    result = case.engine.run(case.x, Selection(layer=shallow, unit=1, interventions=(out,)))
    assert not result.maps_BCHW[:, 1].any()
    assert not result.backprop_B3HW.any()
    assert result.maps_BCHW[:, 0].any()


# Where a batch norm is folded into the layer, its node holds what the norm makes of the value.
# None of the nets above has one: a scale of zero in each of their norms forbids it.


def folded_net() -> nn.Module:
    net = seeded(EverySpelling)
    scale_C = torch.tensor([0.9, -1.1, 0.3, 2.0, -0.4, 1.7, 0.05, 1.0])
    net.norm.weight.copy_(scale_C)  # type: ignore[union-attr,operator]
    return net


BEFORE_NORM = (
    Intervention(layer="stem", unit=0, scale=0.0),
    Intervention(layer="stem", unit=1, scale=2.0),
    Intervention(layer="stem", unit=2, scale=0.0, offset=1.5),
    Intervention(layer="stem", unit=4, scale=-0.5, offset=0.25),
    Intervention(layer="wide", unit=3, scale=0.0),
)


def test_units_before_a_folded_batch_norm_change_as_behind_a_forward_hook() -> None:
    model = folded_net().double()
    flat = flatten(model, torch.zeros(1, 3, 32, 32, dtype=torch.float64), name="net")
    assert len(flat.affines) == 1, "or this test would test nothing"
    engine = engine_of(model, 32, dtype="float64")
    torch.manual_seed(2)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    result = engine.run(x, Selection(layer="stem", unit=1, interventions=BEFORE_NORM))
    with hooked(model, BEFORE_NORM):
        scores, maps = reference_maps(model, x, "stem")
        backprop = reference_backprop(model, x, "stem", 1, rule="guided")
    untouched, _ = reference_maps(model, x, "stem")
    assert relative_error(result.scores_BK.double(), scores) < 1e-6
    assert relative_error(result.maps_BCHW, maps) < 1e-9
    assert relative_error(result.backprop_B3HW, backprop) < 1e-9
    assert relative_error(scores, untouched) > 1e-3


def test_a_unit_before_a_folded_batch_norm_is_knocked_out_to_exactly_zero() -> None:
    # In float32, where `offset + value / scale` leaves 1e-8 of it.
    engine = engine_of(folded_net(), 32)
    out = tuple(Intervention(layer="stem", unit=unit, scale=0.0) for unit in range(7))
    result = engine.run(torch.randn(1, 3, 32, 32), Selection(layer="stem", interventions=out))
    assert not result.maps_BCHW[:, :7].any()
    assert result.maps_BCHW[:, 7].any()
    assert int(result.health_B) & Health.UNIT_ZERO


@pytest.mark.parametrize("name", ["blocks.0.mlp.fc1", "blocks.0.mlp.fc1:tokens"])
def test_a_unit_of_tokens_is_changed_at_every_token_as_behind_a_hook(name: str) -> None:
    model, engine = build(class_token), engine_for(class_token)
    x, changes = random_input(), (Intervention(layer=name, unit=5, scale=3.0, offset=0.5),)
    earlier = Intervention(layer="blocks.0.mlp.fc1", unit=5, scale=9.0)  # the same unit
    result = engine.run(x, Selection(layer=name, interventions=(earlier, *changes)))

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[..., 5] = output[..., 5] * 3.0 + 0.5
        return changed

    untouched = model(x)
    handle = model.get_submodule("blocks.0.mlp.fc1").register_forward_hook(hook)
    scores = model(x)
    handle.remove()
    assert result.selection.interventions == changes
    assert relative_error(result.scores_BK.double(), scores) < 1e-6
    assert relative_error(scores, untouched) > 1e-3


def test_without_interventions_there_are_no_scores_to_compare_with(case: Case) -> None:
    result = case.engine.run(case.x, Selection())
    assert result.untouched_scores_BK is None


def test_what_does_nothing_changes_nothing(case: Case) -> None:
    same = Intervention(layer=case.layers[1], unit=0)
    plain, result = (
        case.engine.run(case.x, Selection(interventions=changes)) for changes in ((), (same,))
    )
    assert torch.allclose(plain.scores_BK, result.scores_BK, atol=1e-6)
    assert relative_error(result.backprop_B3HW, plain.backprop_B3HW) < 1e-9


def test_of_two_changes_to_a_unit_the_last_one_counts(case: Case) -> None:
    layer = case.layers[0]
    first = Intervention(layer=layer, unit=2, scale=7.0)
    last = Intervention(layer=layer, unit=2, scale=0.0, offset=1.0)
    result = case.engine.run(case.x, Selection(layer=layer, interventions=(first, last)))
    assert torch.allclose(result.maps_BCHW[:, 2], torch.ones_like(result.maps_BCHW[:, 2]))
    assert result.selection.interventions == (last,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Intervention(layer="nowhere", unit=0), "there is no layer 'nowhere'"),
        (Intervention(layer="conv1", unit=64), "layer 'conv1' has no unit 64; its units are 0 to"),
        (Intervention(layer="conv1", unit=0, scale=float("nan")), "both must be finite"),
        (Intervention(layer="conv1", unit=0, offset=float("inf")), "both must be finite"),
    ],
)
def test_an_impossible_change_is_refused_in_words(change: Intervention, words: str) -> None:
    engine: Engine = Case("resnet18").engine
    with pytest.raises(SelectionError, match=words.replace("(", r"\(")):
        engine.run(torch.zeros(1, 3, 64, 64), Selection(interventions=(change,)))

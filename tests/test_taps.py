"""Before and behind the activation, a start of the backward pass elsewhere, gradients at layers."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.data import Health, Intervention, Origin, Rule, Seed, Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SelectionError
from tests.nets import engine_of, seeded
from tests.references import UNIT_SEEDS, RuledActivations, one_thread, relative_error, seed_value  # noqa: F401

SIZE = (20, 24)


class TapNet(nn.Module):
    """One layer of each kind of neighbour: norm and ReLU, SiLU, a sum, ReLU6 after a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1, self.act1 = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
        self.conv2, self.act2 = nn.Conv2d(6, 6, 3, padding=1), nn.SiLU()
        self.conv3 = nn.Conv2d(6, 6, 1)
        self.conv4, self.act4 = nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()
        self.fc1, self.act5 = nn.Linear(8, 7), nn.ReLU6()
        self.fc2 = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.norm1(self.conv1(x)))
        x = x + self.conv3(self.act2(self.conv2(x)))
        x = self.act4(self.conv4(x)).mean(dim=(2, 3))
        return self.fc2(self.act5(self.fc1(x)))


BEHIND = {"conv1": "act1", "conv2": "act2", "conv4": "act4", "fc1": "act5"}
ALIVE = 5
"""A unit of fc1 that ReLU6 lets through for both pictures."""
LAYERS = ["conv1", "conv2", "conv3", "conv4", "fc1", "fc2"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(TapNet).double()


@pytest.fixture(scope="module")
def engine(model: nn.Module) -> Engine:
    return engine_of(model, size=SIZE, dtype="float64")


@pytest.fixture(scope="module")
def x() -> Tensor:
    torch.manual_seed(3)
    return torch.randn(2, 3, *SIZE, dtype=torch.float64)


def run_with_taps(
    model: nn.Module, x: Tensor, names: list[str], rule: Rule
) -> tuple[Tensor, list[Tensor]]:
    """The input, and the outputs of modules, with a graph that follows the rule."""
    x = x.detach().clone().requires_grad_()
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            outputs[name] = output

        return hook

    def clamp(_module: nn.Module, grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(g.clamp(min=0) for g in grads)

    handles = [model.get_submodule(n).register_forward_hook(keep(n)) for n in names]
    if rule != "gradient":  # smooth activations: what arrives is clamped
        smooth = [m for m in model.modules() if isinstance(m, nn.SiLU)]
        handles += [m.register_full_backward_pre_hook(clamp) for m in smooth]
    try:
        with RuledActivations(rule):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return x, [outputs[name] for name in names]


def as_maps(value: Tensor) -> Tensor:
    return value if value.ndim == 4 else value[:, :, None, None]


def module_of(layer: str, tap: str) -> str:
    return BEHIND.get(layer, layer) if tap == "post" else layer


def test_layers_know_what_follows_them(engine: Engine) -> None:
    found = {layer.name: layer.activation for layer in engine.layers}
    assert found == {
        "conv1": "relu", "conv2": "silu", "conv3": "", "conv4": "relu", "fc1": "hardtanh", "fc2": ""
    }  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
def test_maps_behind_the_activation_are_its_module_s_output(
    model: nn.Module, engine: Engine, x: Tensor, layer: str
) -> None:
    _, (want,) = run_with_taps(model, x, [module_of(layer, "post")], "gradient")
    result = engine.run(x, Selection(layer=layer, unit=2, tap="post"))
    assert relative_error(result.maps_BCHW, as_maps(want.detach())) < 1e-12
    assert relative_error(engine.run(x).cam_BHW, result.cam_BHW) == 0, "the tap is not the CAM's"


@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize("seed", UNIT_SEEDS)
@pytest.mark.parametrize("layer", ["conv1", "conv4", "fc1"])
def test_a_seed_behind_relu_passes_it_by_the_rule(
    model: nn.Module, engine: Engine, x: Tensor, layer: str, seed: Seed, rule: Rule
) -> None:
    source, (output,) = run_with_taps(model, x, [BEHIND[layer]], rule)
    alive = int((as_maps(output).amax(dim=(2, 3)) > 0.05).all(dim=0).nonzero()[0])
    value_B = seed_value(as_maps(output), alive, seed=seed)
    (want,) = torch.autograd.grad(value_B.sum(), source)
    result = engine.run(x, Selection(layer=layer, unit=alive, tap="post", seed=seed, rule=rule))
    assert relative_error(result.backprop_B3HW, want) < 1e-11


@pytest.mark.parametrize("rule", get_args(Rule))
def test_a_seed_behind_a_smooth_activation_takes_its_slope(
    model: nn.Module, engine: Engine, x: Tensor, rule: Rule
) -> None:
    source, (output,) = run_with_taps(model, x, ["act2"], rule)
    (want,) = torch.autograd.grad(output[:, 3, 5, 7].sum(), source)
    where = Selection(layer="conv2", unit=3, position=(5, 7), tap="post", rule=rule)
    assert relative_error(engine.run(x, where).backprop_B3HW, want) < 1e-11


@pytest.mark.parametrize("tap", ["pre", "post"])
@pytest.mark.parametrize("shown", ["conv1", "conv2", "conv3", "conv4"])
def test_gradients_of_a_frozen_start_at_every_layer_below_it(
    model: nn.Module, engine: Engine, x: Tensor, shown: str, tap: str
) -> None:
    names = [module_of("fc1", tap), module_of(shown, tap)]
    source, (top, below) = run_with_taps(model, x, names, "gradient")
    want_input, want = torch.autograd.grad(top[:, ALIVE].sum(), [source, below])
    selection = Selection(
        layer=shown, unit=1, tap=tap, rule="gradient", gradients=True,
        origin=Origin(layer="fc1", unit=ALIVE),
    )  # fmt: skip
    result = engine.run(x, selection)
    assert result.grads_BCHW is not None
    assert relative_error(result.grads_BCHW, want) < 1e-11
    assert relative_error(result.backprop_B3HW, want_input) < 1e-11


def test_browsing_leaves_the_frozen_backward_picture_as_it_is(engine: Engine, x: Tensor) -> None:
    start = Origin(layer="conv4", unit=5, position=(2, 3))
    free = engine.run(x, Selection(layer="conv4", unit=5, position=(2, 3)))
    for layer in LAYERS:
        for gradients in (False, True):
            selection = Selection(layer=layer, unit=0, origin=start, gradients=gradients)
            frozen = engine.run(x, selection)
            assert relative_error(frozen.backprop_B3HW, free.backprop_B3HW) < 1e-12
            assert (frozen.grads_BCHW is not None) == gradients


@pytest.mark.parametrize("tap", ["pre", "post"])
def test_at_the_start_the_gradient_is_the_seed(engine: Engine, x: Tensor, tap: str) -> None:
    chosen = Selection(layer="conv2", unit=3, seed="activation", tap=tap, gradients=True)
    result = engine.run(x, chosen)
    assert result.grads_BCHW is not None
    assert torch.equal(result.grads_BCHW[:, 3], result.maps_BCHW[:, 3])
    assert result.grads_BCHW[:, :3].abs().max() == 0
    assert result.grads_BCHW[:, 4:].abs().max() == 0


def test_above_the_start_there_is_no_gradient_and_the_result_says_so(
    engine: Engine, x: Tensor
) -> None:
    start = Origin(layer="conv2", unit=3)
    for layer in ("conv4", "fc2"):
        result = engine.run(x, Selection(layer=layer, unit=0, origin=start, gradients=True))
        assert result.grads_BCHW is not None
        assert result.grads_BCHW.shape == result.maps_BCHW.shape
        assert result.grads_BCHW.abs().max() == 0
        assert (result.health_B & Health.GRADS_ZERO == Health.GRADS_ZERO).all()


def test_a_dead_start_is_named_and_a_live_unit_beside_it_is_not(engine: Engine, x: Tensor) -> None:
    off = Intervention(layer="conv4", unit=2, scale=0.0, offset=-1.0)
    start = Origin(layer="conv4", unit=2)
    chosen = Selection(
        layer="conv1", unit=1, tap="post", seed="activation", origin=start, interventions=(off,)
    )
    health = int(engine.run(x[:1], chosen).health_B)
    assert health & Health.ORIGIN_ZERO
    assert health & Health.GRADIENT_ZERO
    assert not health & Health.UNIT_ZERO


def test_changed_units_are_seen_behind_the_activation(
    model: nn.Module, engine: Engine, x: Tensor
) -> None:
    change = Intervention(layer="conv1", unit=1, scale=0.0, offset=0.7)
    result = engine.run(x, Selection(layer="conv1", unit=1, tap="post", interventions=(change,)))
    norm = model.get_submodule("norm1")
    value = torch.zeros(1, 6, 1, 1, dtype=torch.float64)
    value[0, 1] = 0.7
    want = F.relu(norm(value))[0, 1, 0, 0].detach()
    assert torch.allclose(result.maps_BCHW[:, 1], want.expand(2, 18, 22), rtol=1e-12)


def test_tokens_have_both_taps_and_gradients() -> None:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    vit = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=5
    )
    vit = vit.eval().double()
    engine = engine_of(vit, size=(32, 32), dtype="float64")
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    names = ["blocks.0.mlp.act", "blocks.1.mlp.fc2"]
    source, (below, top) = run_with_taps(vit, x, names, "gradient")
    want_input, want = torch.autograd.grad(top[:, 1 + 4 * 2 + 1, 6].sum(), [source, below])
    chosen = Selection(
        layer="blocks.0.mlp.fc1", unit=7, tap="post", rule="gradient", gradients=True,
        origin=Origin(layer="blocks.1.mlp.fc2", unit=6, position=(2, 1)),
    )  # fmt: skip
    result = engine.run(x, chosen)
    want_maps = below.detach()[:, 1:].transpose(1, 2).reshape(1, 96, 4, 4)
    want_grads = want[:, 1:].transpose(1, 2).reshape(1, 96, 4, 4)
    assert result.grads_BCHW is not None
    assert relative_error(result.maps_BCHW, want_maps) < 1e-11
    assert relative_error(result.grads_BCHW, want_grads) < 1e-11
    assert relative_error(result.backprop_B3HW, want_input) < 1e-11


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin(layer="conv9", unit=0), "no layer 'conv9'"),
        (Origin(layer="conv1", unit=6), "no unit 6"),
        (Origin(layer="conv1", unit=0, position=(18, 0)), "outside the 18x22 maps"),
    ],
)
def test_a_start_that_does_not_exist_is_refused(engine: Engine, origin: Origin, text: str) -> None:
    with pytest.raises(SelectionError, match=text):
        engine.resolve(Selection(origin=origin))


def test_without_a_backward_picture_the_rest_is_the_same_and_no_backward_piece_runs(
    engine: Engine, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = engine.run(x, Selection(layer="conv4", unit=2))
    step = engine._steps.of(2)
    for segment in step.pieces.segments:
        monkeypatch.delitem(step.runners._runners, segment.backward.name)
        monkeypatch.delitem(step.runners._runners, segment.tapped.name)
    spare = engine.run(x, Selection(layer="conv4", unit=2, backward=False))
    assert torch.equal(spare.maps_BCHW, full.maps_BCHW)
    assert torch.equal(spare.cam_BHW, full.cam_BHW)
    assert not spare.backprop_B3HW.any()
    assert not (spare.health_B & Health.GRADIENT_ZERO).any(), "it was not asked for"

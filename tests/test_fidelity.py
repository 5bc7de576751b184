"""Backward pictures, maps and scores of whole networks equal independent references.

Correctness is proved in float64, to 1e-9 of the largest value: against a reference written with
`autograd.Function` for every network, and against captum where captum sees the activations
(it hooks `nn.ReLU` modules only; on ReLU6 its guided backprop is silently the plain gradient).
float32 is judged by its distance to the float64 reference: 1e-4, or where float32 itself is worse
conditioned, about as far as the peer's own float32.

Weights are random but seeded, with batch norms that hold scales of both signs and of zero, so
that every network that torchvision builds is tested without a download. EfficientNet-Lite0 has
its real weights.
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import pytest
import torch
import torchvision
from torch import Tensor, nn

from rtvis.data import Rule, Seed, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import load_network
from tests.nets import engine_of, seeded
from tests.references import (
    UNIT_SEEDS,
    captum_backprop,
    fingerprint,
    one_thread,  # noqa: F401 - a fixture
    reference_backprop,
    reference_maps,
    relative_error,
)

pytestmark = pytest.mark.apart

RULES = get_args(Rule)
SEEDS = UNIT_SEEDS
DEPTHS = ["shallow", "middle", "deep", "dense"]
models = torchvision.models


def lite0() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights."""
    return load_network("tf_efficientnet_lite0").model.requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network to test with, and the layers at which it is looked into."""

    make: Callable[[], nn.Module]
    size: int
    layers: tuple[str, str, str, str]
    """Shallow (the second convolution: one ReLU below), middle, deep, dense."""


NETS = {
    "vgg16": Net(
        make=lambda: seeded(models.vgg16),
        size=64,
        layers=("features.2", "features.12", "features.28", "classifier.6"),
    ),
    "alexnet": Net(
        make=lambda: seeded(models.alexnet),
        size=96,
        layers=("features.3", "features.6", "features.10", "classifier.1"),
    ),
    "resnet18": Net(
        make=lambda: seeded(models.resnet18),
        size=80,
        layers=("layer1.0.conv1", "layer2.0.downsample.0", "layer4.1.conv2", "fc"),
    ),
    "resnet50": Net(
        make=lambda: seeded(models.resnet50),
        size=64,
        layers=("layer1.0.conv1", "layer3.0.conv2", "layer4.2.conv3", "fc"),
    ),
    "squeezenet1_1": Net(
        # Its classifier is a convolution: there is no dense layer.
        make=lambda: seeded(models.squeezenet1_1),
        size=80,
        layers=(
            "features.3.squeeze",
            "features.6.expand3x3",
            "features.12.squeeze",
            "classifier.1",
        ),
    ),
    "efficientnet_lite0": Net(
        make=lite0,
        size=64,
        layers=("blocks.0.0.conv_dw", "blocks.2.1.conv_pwl", "conv_head", "classifier"),
    ),
    "mobilenet_v2": Net(
        make=lambda: seeded(models.mobilenet_v2),
        size=64,
        layers=(
            "features.1.conv.1",
            "features.7.conv.1.0",
            "features.18.0",
            "classifier.1",
        ),
    ),
    "googlenet": Net(
        make=lambda: seeded(lambda: models.googlenet(aux_logits=False, init_weights=False)),
        size=64,
        layers=("conv2.conv", "inception4b.branch2.1.conv", "inception5b.branch4.1.conv", "fc"),
    ),
    "densenet121": Net(
        make=lambda: seeded(models.densenet121),
        size=64,
        layers=(
            "features.denseblock1.denselayer1.conv1",
            "features.transition2.conv",
            "features.denseblock4.denselayer16.conv2",
            "classifier",
        ),
    ),
    "inception_v3": Net(
        make=lambda: seeded(lambda: models.inception_v3(aux_logits=False, init_weights=False)),
        size=112,  # 2x2 maps at the end
        layers=(
            "Conv2d_2a_3x3.conv",
            "Mixed_6b.branch7x7dbl_3.conv",
            "Mixed_7c.branch_pool.conv",
            "fc",
        ),
    ),
}
SEEN_BY_CAPTUM = ["vgg16", "alexnet", "resnet18", "resnet50", "squeezenet1_1"]
"""The first names of NETS: pytest groups tests by the index of a parameter."""
assert list(NETS)[: len(SEEN_BY_CAPTUM)] == SEEN_BY_CAPTUM


class Case:
    """One network in two precisions with an engine for each, made when first asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.net = NETS[name]
        self.model = self.net.make()
        self.fingerprint = fingerprint(self.model)
        generator = torch.Generator().manual_seed(11)
        size = self.net.size
        self.x64 = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
        self._references: dict[tuple[object, ...], Tensor] = {}

    @functools.cached_property
    def model64(self) -> nn.Module:
        return copy.deepcopy(self.model).double()

    @functools.cached_property
    def engine64(self) -> Engine:
        return engine_of(self.model, self.net.size, dtype="float64")

    @functools.cached_property
    def engine32(self) -> Engine:
        return engine_of(self.model, self.net.size, dtype="float32")

    def layer(self, depth: str) -> str:
        return self.net.layers[DEPTHS.index(depth)]

    def unit(self, depth: str) -> int:
        """The unit with the strongest answer anywhere to the first picture: never a silent one."""
        _scores, maps = self.maps(depth)
        return int(maps[0].amax(dim=(1, 2)).argmax())

    def maps(self, depth: str) -> tuple[Tensor, Tensor]:
        layer = self.layer(depth)
        if ("maps", layer) not in self._references:
            scores, maps = reference_maps(self.model64, self.x64[:1], layer)
            self._references["scores", layer], self._references["maps", layer] = scores, maps
        return self._references["scores", layer], self._references["maps", layer]

    def reference(self, depth: str, rule: Rule) -> Tensor:
        key = (depth, rule)
        if key not in self._references:
            self._references[key] = reference_backprop(
                self.model64, self.x64[:1], self.layer(depth), self.unit(depth), rule=rule
            )
        return self._references[key]


@functools.lru_cache(maxsize=1)
def case_of(name: str) -> Case:
    """The case last asked for is kept; tests are grouped by network."""
    return Case(name)


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


every_net = pytest.mark.parametrize("case", list(NETS), indirect=True, scope="module")
captum_nets = pytest.mark.parametrize("case", SEEN_BY_CAPTUM, indirect=True, scope="module")


def backprop(engine: Engine, x: Tensor, selection: Selection) -> Tensor:
    return engine.run(x, selection).backprop_B3HW


@every_net
def test_layers_are_the_modules_that_run_in_the_order_in_which_they_run(case: Case) -> None:
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in case.model64.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    case.model64(case.x64[:1])
    for handle in handles:
        handle.remove()
    assert [layer.name for layer in case.engine64.layers] == ran


@every_net
@pytest.mark.parametrize("depth", DEPTHS)
def test_maps_and_scores_equal_what_a_hook_sees(case: Case, depth: str) -> None:
    scores, maps = case.maps(depth)
    result = case.engine64.run(case.x64[:1], Selection(layer=case.layer(depth)))
    assert relative_error(result.maps_BCHW, maps) < 1e-9
    assert result.scores_BK.dtype == torch.float32
    assert relative_error(result.scores_BK, scores) < 1e-6
    assert relative_error(result.maps_BCHW.flip(1), maps) > 1e-3


@every_net
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("rule", RULES)
def test_backprop_equals_the_autograd_reference_in_float64(
    case: Case, depth: str, rule: Rule
) -> None:
    reference = case.reference(depth, rule)
    selection = Selection(layer=case.layer(depth), unit=case.unit(depth), rule=rule)
    ours = backprop(case.engine64, case.x64[:1], selection)
    assert ours.dtype == torch.float64
    assert relative_error(ours, reference) < 1e-9


@every_net
@pytest.mark.parametrize("depth", ["middle", "deep", "dense"])
def test_another_unit_or_another_rule_gives_another_picture(case: Case, depth: str) -> None:
    # The control of the test above: it would not pass by comparing something with itself.
    layer, unit = case.layer(depth), case.unit(depth)
    num_units = next(each.num_units for each in case.engine64.layers if each.name == layer)
    other = Selection(layer=layer, unit=(unit + 1) % num_units, rule="gradient")
    reference = case.reference(depth, "gradient")
    assert relative_error(backprop(case.engine64, case.x64[:1], other), reference) > 1e-2
    for rule in ["guided", "deconvnet"]:
        ours = backprop(case.engine64, case.x64[:1], Selection(layer=layer, unit=unit, rule=rule))
        assert relative_error(ours, reference) > 1e-2


@every_net
@pytest.mark.parametrize("seed", [*SEEDS, "position"])
def test_every_seed_equals_the_autograd_reference_in_float64(case: Case, seed: str) -> None:
    layer, unit = case.layer("middle"), case.unit("middle")
    height, width = case.maps("middle")[1].shape[2:]
    position = (height - 1, width // 3) if seed == "position" else None
    kind: Seed = "max" if seed == "position" else seed  # type: ignore[assignment]
    for rule in ["gradient", "guided"]:
        reference = reference_backprop(
            case.model64, case.x64[:1], layer, unit, rule=rule, seed=kind, position=position
        )
        selection = Selection(layer=layer, unit=unit, rule=rule, seed=kind, position=position)
        result = case.engine64.run(case.x64[:1], selection)
        assert relative_error(result.backprop_B3HW, reference) < 1e-9
        if position is not None:
            assert result.position_B2.tolist() == [list(position)]


@captum_nets
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("rule", RULES)
def test_backprop_equals_captum_in_float64(case: Case, depth: str, rule: Rule) -> None:
    layer, unit = case.layer(depth), case.unit(depth)
    peer = captum_backprop(case.model64, case.x64[:1], layer, unit, rule=rule)
    selection = Selection(layer=layer, unit=unit, rule=rule)
    assert relative_error(backprop(case.engine64, case.x64[:1], selection), peer) < 1e-9


@every_net
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("rule", RULES)
def test_float32_is_as_close_to_float64_as_the_peer_is(case: Case, depth: str, rule: Rule) -> None:
    layer, unit = case.layer(depth), case.unit(depth)
    truth = case.reference(depth, rule)
    x32 = case.x64[:1].float()
    selection = Selection(layer=layer, unit=unit, rule=rule)
    ours = backprop(case.engine32, x32, selection)
    assert ours.dtype == torch.float32
    error = relative_error(ours, truth)
    if error > 1e-4:
        peer_of = captum_backprop if case.name in SEEN_BY_CAPTUM else reference_backprop
        peer = peer_of(case.model, x32, layer, unit, rule=rule)
        assert error <= 3 * relative_error(peer, truth)


@every_net
def test_a_batch_is_its_pictures_one_by_one(case: Case) -> None:
    layer = case.layer("middle")
    selection = Selection(layer=layer, unit=case.unit("middle"), cam_layer=layer)
    together = engine_of(case.model, case.net.size, dtype="float64", batch=2)
    both = together.run(case.x64, selection)
    for index in range(2):
        alone = case.engine64.run(case.x64[index : index + 1], selection)
        for field in ["scores_BK", "maps_BCHW", "cam_BHW", "backprop_B3HW"]:
            tolerance = 1e-6 if field == "scores_BK" else 1e-9
            one = getattr(both, field)[index : index + 1]
            assert relative_error(one, getattr(alone, field)) < tolerance
        assert both.class_index_B[index] == alone.class_index_B[0]
        assert both.position_B2[index].tolist() == alone.position_B2[0].tolist()
    assert relative_error(both.backprop_B3HW[:1], both.backprop_B3HW[1:]) > 1e-2


@every_net
def test_the_users_model_is_the_same_to_the_bit_afterwards(case: Case) -> None:
    # Two engines have read this model by now, and if not, here they do.
    for engine, x in [(case.engine32, case.x64[:1].float()), (case.engine64, case.x64[:1])]:
        for depth, rule in zip(DEPTHS, [*RULES, "guided"], strict=True):
            engine.run(x, Selection(layer=case.layer(depth), rule=rule))
        engine.close()
    assert fingerprint(case.model) == case.fingerprint

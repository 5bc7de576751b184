"""Attention: each head as a unit, who asks as data, and the methods that explain by it."""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import rtvis.methods
from rtvis.data import Intervention, Layer, Origin, Selection
from rtvis.engine import steps as steps_module
from rtvis.engine.engine import Engine
from rtvis.engine.flat.trace import flatten
from rtvis.engine.joint import cam_site
from rtvis.engine.joint.build import build_pieces
from rtvis.engine.layers import find_attention
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.networks.models import Network
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import SelectionError
from rtvis.render.display import above_floor
from rtvis.stills.batch import Stills
from rtvis.stills.requests import CamRequest
from tests.nets import CamNet, engine_of, seeded
from tests.references import (
    RuledActivations,
    one_thread,  # noqa: F401 - a fixture
    relative_error,
    tapped,
)

SIDE = 32
GRID = 4
TINY = {"img_size": SIDE, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


def class_token() -> nn.Module:
    return timm.models.VisionTransformer(**TINY, num_classes=5, act_layer=nn.ReLU)


def class_and_registers() -> nn.Module:
    return timm.models.VisionTransformer(**TINY, num_classes=5, reg_tokens=2)


def registers_only() -> nn.Module:
    return timm.models.VisionTransformer(
        **TINY, num_classes=5, reg_tokens=2, class_token=False, global_pool="avg"
    )


def of_torchvision() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=SIDE,
        patch_size=8,
        num_layers=2,
        num_heads=3,
        hidden_dim=24,
        mlp_dim=32,
        num_classes=5,
    )


def swin() -> nn.Module:
    return timm.models.SwinTransformer(
        img_size=SIDE,
        patch_size=2,
        window_size=4,
        embed_dim=12,
        depths=(2, 1),
        num_heads=(2, 3),
        num_classes=5,
    )


def pvt() -> nn.Module:
    return timm.models.PyramidVisionTransformerV2(
        depths=(1, 1, 1, 1),
        embed_dims=(8, 8, 8, 8),
        num_heads=(1, 2, 2, 2),
        sr_ratios=(4, 2, 1, 1),
        mlp_ratios=(2, 2, 2, 2),
        num_classes=5,
    )


NAMES: dict[Callable[[], nn.Module], tuple[str, str]] = {
    class_token: ("blocks.0.attn", "blocks.1.attn"),
    class_and_registers: ("blocks.0.attn", "blocks.1.attn"),
    registers_only: ("blocks.0.attn", "blocks.1.attn"),
    of_torchvision: (
        "encoder.layers.encoder_layer_0.self_attention",
        "encoder.layers.encoder_layer_1.self_attention",
    ),
}
READ = {class_token: [0], class_and_registers: [0], of_torchvision: [0]}
READ[registers_only] = list(range(2, 18))
"""The tokens that the scores are computed from."""
NUM_OTHERS = {class_token: 1, class_and_registers: 3, registers_only: 2, of_torchvision: 1}


def build(make: Callable[[], nn.Module]) -> nn.Module:
    """The network, random but seeded, in float64; heads attend to this and that, not to all."""
    torch.manual_seed(0)
    model = make().eval().double()
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=False)
        if parameter.ndim > 1:
            parameter.normal_(0.0, 2.0 * parameter[0].numel() ** -0.5)
    return model


@contextmanager
def attended(change: Callable[[int, Tensor], Tensor] | None = None) -> Iterator[list[Tensor]]:
    """Collects what every softmax weighs tokens by; `change(index, matrix)` may replace it."""
    matrices: list[Tensor] = []

    def keep(logits: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
        matrix = torch.softmax(logits, dim, dtype)
        if change is not None:
            matrix = change(len(matrices), matrix)
        matrices.append(matrix)
        return matrix

    def attend(q: Tensor, k: Tensor, v: Tensor, *_: object, **__: object) -> Tensor:
        return keep(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "softmax", keep)
        patch.setattr(F, "scaled_dot_product_attention", attend)
        yield matrices


def apart(ours: Tensor, reference: Tensor) -> float:
    """Largest difference over the reference's largest value."""
    return relative_error(ours.reshape(1, -1), reference.detach().reshape(1, -1))


def random_input(side: int = SIDE, batch: int = 1) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, side, side, dtype=torch.float64)


@functools.cache
def engine_for(make: Callable[[], nn.Module], side: int = SIDE) -> Engine:
    """One for all tests, in float64."""
    return engine_of(build(make), side, dtype="float64")


def attention_layers(engine: Engine) -> list[Layer]:
    return [layer for layer in engine.layers if layer.kind == "attention"]


@pytest.fixture(scope="module", params=list(NAMES), ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest) -> tuple[Callable[[], nn.Module], nn.Module, Engine]:
    model = build(request.param)
    return request.param, model, engine_for(request.param)


class ByHand(nn.Module):
    """Four pixels that attend to each other by their value v alone: softmax(c v_i v_j) v_j.

    The mean over what the pixels gather is the score of class 0.
    """

    def forward(self, x_B1HW: Tensor) -> Tensor:
        v_BT1 = x_B1HW[:, :1].flatten(2).mT
        gathered_BT1 = (v_BT1 @ v_BT1.mT).softmax(-1) @ v_BT1
        return torch.cat((gathered_BT1.mean(1), -gathered_BT1.mean(1)), dim=1)


class HandNet(nn.Module):
    """`ByHand` behind a convolution that takes the first channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 1, 1, bias=False)
        self.attend = ByHand()
        with torch.no_grad():
            self.stem.weight.copy_(torch.tensor([1.0, 0.0, 0.0])[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(self.stem(x))


def test_four_pixels_worked_out_by_hand() -> None:
    """Pixels 0, ln 2, 0, ln 4 in units where ln 2 * ln 2 is not needed: pixel 0 is zero, so it
    attends to all alike; pixel 1, made 1, attends by exp(v)."""
    engine = engine_of(HandNet().eval().double(), 2, dtype="float64")
    (layer,) = attention_layers(engine)
    assert (layer.name, layer.num_units, layer.map_size) == ("attention", 1, (2, 2))
    x = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    x[0, 0] = torch.tensor([[0.0, 1.0], [0.0, math.log(2)]])
    first = engine.run(x, Selection(layer=layer.name, position=(0, 0))).maps_BCHW
    assert first.tolist() == [[[[0.25, 0.25], [0.25, 0.25]]]]
    # exp of 0, 1, 0, ln 2 is 1, e, 1, 2.
    total = 4 + math.e
    second = engine.run(x, Selection(layer=layer.name, position=(0, 1)))
    expected = [[1 / total, math.e / total], [1 / total, 2 / total]]
    assert torch.allclose(second.maps_BCHW[0, 0], torch.tensor(expected, dtype=torch.float64))
    assert second.position_B2.tolist() == [[0, 1]]  # what it attends to most: itself


def test_heads_show_what_the_tokens_that_the_scores_read_attend_to(case) -> None:
    make, model, engine = case
    x = random_input()
    with attended() as matrices, torch.no_grad():
        model(x)
    others = NUM_OTHERS[make]
    for name, matrix in zip(NAMES[make], matrices, strict=True):
        asked_CT = matrix[0, :, READ[make]].mean(dim=1)
        maps = engine.run(x, Selection(layer=name)).maps_BCHW[0]
        rest = engine.run(x, Selection(layer=f"{name}:tokens")).maps_BCHW[0]
        assert maps.shape == (3, GRID, GRID)
        assert apart(maps.flatten(1), asked_CT[:, others:]) < 1e-9
        assert apart(rest.flatten(1), asked_CT[:, :others]) < 1e-9
        assert torch.allclose(maps.sum((1, 2)) + rest.sum((1, 2)), torch.ones(3).double())


def test_a_position_asks_for_what_its_patch_attends_to(case) -> None:
    make, model, engine = case
    x = random_input()
    with attended() as matrices, torch.no_grad():
        model(x)
    others = NUM_OTHERS[make]
    for row, column in ((0, 0), (2, 1), (3, 3)):
        found = engine.run(x, Selection(layer=NAMES[make][1], unit=2, position=(row, column)))
        expected_CS = matrices[1][0, :, others + GRID * row + column, others:]
        assert apart(found.maps_BCHW[0].flatten(1), expected_CS) < 1e-9
        # The seed is the patch that it attends to most.
        most = int(expected_CS[2].argmax())
        assert found.position_B2.tolist() == [[most // GRID, most % GRID]]
        assert float(found.value_B) == pytest.approx(float(expected_CS[2, most]), rel=1e-6)
    # Of the class and register tokens each can ask, too.
    last = others - 1
    found = engine.run(x, Selection(layer=f"{NAMES[make][1]}:tokens", position=(0, last)))
    assert apart(found.maps_BCHW[0, :, 0], matrices[1][0, :, last, :others]) < 1e-9


def test_attention_stands_between_the_dense_layers_of_its_block(case) -> None:
    make, _model, engine = case
    names = [layer.name for layer in engine.layers if not layer.name.endswith(":tokens")]
    for name in NAMES[make]:
        before, after = ("in_proj", "out_proj") if make is of_torchvision else ("qkv", "proj")
        at = names.index(name)
        assert names[at - 1 : at + 2] == [f"{name}.{before}", name, f"{name}.{after}"]


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
@pytest.mark.parametrize("start", ["max", "map", "activation", (1, 2)], ids=str)
def test_the_gradient_of_a_head_is_that_of_autograd(rule: str, start: object) -> None:
    model = build(class_token)
    engine = engine_for(class_token)
    x = random_input().requires_grad_()
    with RuledActivations(rule), attended() as matrices:
        model(x)
    position = start if isinstance(start, tuple) else None
    query = 0 if position is None else 1 + GRID * position[0] + position[1]
    for index, matrix in enumerate(matrices):
        map_S = matrix[0, 1, query, 1:]
        if start == "map":
            value = map_S.sum()
        elif start == "activation":
            value = (map_S * map_S.detach()).sum()
        else:
            value = map_S.max()
        (expected,) = torch.autograd.grad(value, x, retain_graph=True)
        seed = start if isinstance(start, str) else None
        selection = Selection(
            layer=NAMES[class_token][index], unit=1, rule=rule, seed=seed, position=position
        )
        ours = engine.run(x.detach(), selection).backprop_B3HW
        assert apart(ours, expected) < 1e-9


def test_the_mean_of_all_queries_has_the_mean_gradient() -> None:
    model = build(registers_only)
    engine = engine_for(registers_only)
    x = random_input().requires_grad_()
    with attended() as matrices:
        model(x)
    asked_S = matrices[0][0, 0, 2:, 2:].mean(dim=0)
    (expected,) = torch.autograd.grad(asked_S.max(), x)
    selection = Selection(layer="blocks.0.attn", unit=0, rule="gradient")
    assert apart(engine.run(x.detach(), selection).backprop_B3HW, expected) < 1e-9


def test_a_head_scaled_or_knocked_out_is_one_whose_attention_is() -> None:
    model = build(class_token)
    engine = engine_for(class_token)
    x = random_input().requires_grad_()

    def change(index: int, matrix: Tensor) -> Tensor:
        scale = torch.ones(3, 1, 1, dtype=torch.float64)
        if index == 0:
            scale[2], scale[0] = 0.0, 1.5
        return matrix * scale

    with attended(change) as matrices:
        scores = model(x)
    changes = (
        Intervention(layer="blocks.0.attn", unit=2, scale=0.0),
        Intervention(layer="blocks.0.attn", unit=0, scale=1.5),
    )
    selection = Selection(layer="blocks.0.attn", rule="gradient", interventions=changes)
    ours = engine.run(x.detach(), selection)
    assert apart(ours.scores_BK, scores.detach().float()) < 1e-6
    assert not ours.maps_BCHW[0, 2].any()
    assert apart(ours.maps_BCHW[0, 0].flatten(), matrices[0][0, 0, 0, 1:]) < 1e-9
    (expected,) = torch.autograd.grad(matrices[0][0, 0, 0, 1:].max(), x, retain_graph=True)
    assert apart(ours.backprop_B3HW, expected) < 1e-9
    # What lies below a changed head reads its own softmax still.
    (expected,) = torch.autograd.grad(matrices[1][0, 0, 0, 1:].max(), x, retain_graph=True)
    above = Selection(layer="blocks.1.attn", rule="gradient", interventions=changes)
    assert apart(engine.run(x.detach(), above).backprop_B3HW, expected) < 1e-9
    (expected,) = torch.autograd.grad(scores[0, 3], matrices[0], retain_graph=True)
    sensitivity = expected[0].relu().mean(dim=(0, 1))
    (last,) = torch.autograd.grad(scores[0, 3], matrices[1])
    sensitivity = (sensitivity + last[0].relu().mean(dim=(0, 1))) / 2
    found = engine.run(
        x.detach(), Selection(cam="legrad", class_index=3, interventions=changes)
    ).cam_BHW
    # The gradient is taken behind the change: with respect to what the values are weighed by.
    assert apart(found.flatten(), sensitivity[1:].float()) < 1e-6


def test_the_gradient_at_a_head_is_shown_for_the_query_that_is() -> None:
    model = build(class_token)
    engine = engine_for(class_token)
    x = random_input()
    with attended() as matrices:
        score = model(x.requires_grad_())[0, 1]
    (grad,) = torch.autograd.grad(score, matrices[1])
    classifier = engine.layers[-1]
    selection = Selection(
        layer="blocks.1.attn",
        rule="gradient",
        gradients=True,
        origin=Origin(layer=classifier.name, unit=1),
    )
    found = engine.run(x.detach(), selection).grads_BCHW
    assert found is not None
    assert apart(found[0].flatten(1), grad[0, :, 0, 1:]) < 1e-9


def test_windows_are_put_back_in_their_place() -> None:
    """The windows' places are read off the model: each token is found again by its values."""
    model = build(swin)
    engine = engine_for(swin)
    x = random_input()
    layers = attention_layers(engine)
    assert [layer.name for layer in layers] == [
        "layers.0.blocks.0.attn",
        "layers.0.blocks.1.attn",
        "layers.1.blocks.0.attn",
    ]
    assert [layer.map_size for layer in layers] == [(16, 16), (16, 16), (8, 8)]
    for index, layer in enumerate(layers[:2]):
        place_WN = _window_places(model, layer.name, x)
        with attended() as matrices, torch.no_grad():
            model(x)
        matrix_WCQT = matrices[index]
        mean_CHW = torch.zeros(2, 256, dtype=torch.float64)
        for window, place_N in enumerate(place_WN):
            mean_CHW[:, place_N] = matrix_WCQT[window].mean(dim=1)
        found = engine.run(x, Selection(layer=layer.name)).maps_BCHW[0]
        assert apart(found.flatten(1), mean_CHW) < 1e-9
        for row, column in ((0, 0), (5, 9), (15, 15)):
            window, query = (place_WN == 16 * row + column).nonzero()[0].tolist()
            expected_CS = torch.zeros(2, 256, dtype=torch.float64)
            expected_CS[:, place_WN[window]] = matrix_WCQT[window, :, query]
            selection = Selection(layer=layer.name, position=(row, column))
            found = engine.run(x, selection).maps_BCHW[0]
            assert apart(found.flatten(1), expected_CS) < 1e-9


def _window_places(model: nn.Module, layer: str, x: Tensor) -> Tensor:
    """[W, N]: where on the grid of 16x16 each token of each window comes from."""
    seen: dict[str, Tensor] = {}
    block = model.get_submodule(layer.rpartition(".")[0])
    handles = [
        block.norm1.register_forward_hook(lambda *a: seen.update(grid=a[2].detach())),
        block.attn.register_forward_pre_hook(lambda _, a: seen.update(windows=a[0].detach())),
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    grid, windows = seen["grid"].reshape(256, -1), seen["windows"]
    distance = torch.cdist(windows.flatten(0, 1), grid)
    assert distance.min(dim=1).values.max() < 1e-6
    return distance.argmin(dim=1).reshape(windows.shape[:2])


def test_a_gradient_through_windows_is_that_of_autograd() -> None:
    model = build(swin)
    engine = engine_for(swin)
    x = random_input().requires_grad_()
    place_WN = _window_places(model, "layers.0.blocks.1.attn", x.detach())
    with attended() as matrices:
        model(x)
    window, query = (place_WN == 16 * 5 + 9).nonzero()[0].tolist()
    (expected,) = torch.autograd.grad(matrices[1][window, 1, query].max(), x)
    selection = Selection(layer="layers.0.blocks.1.attn", unit=1, position=(5, 9), rule="gradient")
    assert apart(engine.run(x.detach(), selection).backprop_B3HW, expected) < 1e-9


@pytest.mark.parametrize("most_distances", [2**22, 3])
def test_where_keys_are_fewer_than_queries_the_nearest_query_asks(
    most_distances: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_attention, "_MOST_DISTANCES", most_distances)
    model = build(pvt)
    engine = engine_for(pvt, 64)
    x = random_input(64)
    layer = attention_layers(engine)[0]
    assert (layer.name, layer.map_size) == ("stages.0.blocks.0.attn", (4, 4))
    with attended() as matrices, torch.no_grad():
        model(x)
    mean_S = matrices[0][0, 0].mean(dim=0)
    assert matrices[0].shape[2:] == (256, 16)
    found = engine.run(x, Selection(layer=layer.name)).maps_BCHW[0, 0]
    assert apart(found.flatten(), mean_S) < 1e-9
    found = engine.run(x, Selection(layer=layer.name, position=(1, 2))).maps_BCHW[0, 0]
    # Key (1, 2) lies amid the queries in rows 4 to 7 and columns 8 to 11: one of the inner four.
    middle = [16 * row + column for row in (5, 6) for column in (9, 10)]
    errors = [float((matrices[0][0, 0, q] - found.flatten()).abs().max()) for q in middle]
    assert min(errors) < 1e-9


@pytest.mark.parametrize("only_map", [None, "patch_embed.proj"])
def test_the_map_for_a_cam_is_looked_for_from_the_top_with_few_values_in_memory(
    only_map: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of all segments are the matrices of every attention."""
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(**{**TINY, "depth": 6}, num_classes=5).eval().double()
    x = random_input()
    flat = flatten(model, x, name="a ViT")
    sites = find_layers(flat, 1)
    kept: list[set[str]] = []

    class Values(cam_site._Values):
        def __init__(self, module: torch.fx.GraphModule, names: set[str]) -> None:
            kept.append(names)
            super().__init__(module, names)

    monkeypatch.setattr(cam_site, "_Values", Values)
    if only_map is not None:
        monkeypatch.setattr(cam_site, "_is_map", lambda site: site.layer.name == only_map)
    pieces = build_pieces(flat, sites, num_segments=24)
    assert pieces is not None
    read = {name for segment in pieces.segments for name in segment.tapped.inputs}
    assert len(kept) == (1 if only_map is None else 2)
    assert len(kept[0]) < len(read) / 3
    if only_map is None:
        return
    assert kept[0] | kept[1] == read
    found = cam_site.late_gradients(flat, sites, pieces.segments, pieces.sizes)
    stem = next(site for site in sites if site.layer.name == only_map)
    noise = cam_site._noise(torch.empty(1, 3, SIDE, SIDE, dtype=torch.float64))
    with tapped(model, only_map) as outputs:
        scores_BK = model(noise.requires_grad_())
    mix_BK = cam_site._noise(scores_BK)
    (expected,) = torch.autograd.grad(scores_BK, outputs[0], mix_BK)
    assert apart(found[stem.node.name], expected) < 1e-9


def test_rollout_is_the_product_of_all_layers(case) -> None:
    make, model, engine = case
    x = random_input()
    with attended() as matrices, torch.no_grad():
        model(x)
    product = np.eye(len(matrices[0][0, 0]))
    for matrix in matrices:
        mixed = 0.5 * matrix[0].mean(dim=0).numpy() + 0.5 * np.eye(len(product))
        product = mixed / mixed.sum(axis=1, keepdims=True) @ product
    expected = product[READ[make]].mean(axis=0)[NUM_OTHERS[make] :]
    found = engine.run(x, Selection(cam="rollout")).cam_BHW
    assert found.shape == (1, GRID, GRID)
    assert np.abs(found.flatten().numpy() - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("class_index", [None, 4])
def test_legrad_is_the_positive_gradient_at_all_attention(case, class_index: int | None) -> None:
    make, model, engine = case
    x = random_input().requires_grad_()
    with attended() as matrices:
        scores = model(x)
    score = scores[0].max() if class_index is None else scores[0, class_index]
    grads = torch.autograd.grad(score, matrices)
    expected = torch.stack([g[0].relu().mean(dim=(0, 1)) for g in grads]).mean(dim=0)
    found = engine.run(x.detach(), Selection(cam="legrad", class_index=class_index)).cam_BHW
    assert found.shape == (1, GRID, GRID)
    assert apart(found.flatten(), expected[NUM_OTHERS[make] :]) < 1e-6


def test_two_pictures_at_once_are_explained_as_each_alone() -> None:
    model = build(class_and_registers)
    x = random_input(batch=2)
    both = engine_of(model, SIDE, dtype="float64", batch=2)
    alone = engine_for(class_and_registers)
    for cam in ("rollout", "legrad"):
        selection = Selection(layer="blocks.1.attn", unit=1, position=(1, 1), cam=cam)
        together = both.run(x, selection)
        for index in range(2):
            single = alone.run(x[index : index + 1], selection)
            assert apart(together.maps_BCHW[index], single.maps_BCHW[0]) < 1e-9
            assert apart(together.backprop_B3HW[index], single.backprop_B3HW[0]) < 1e-9
            assert apart(together.cam_BHW[index], single.cam_BHW[0]) < 1e-6


def test_rollout_of_two_tokens_by_hand() -> None:
    """A1 = [[1, 0], [.5, .5]], A2 = [[0, 1], [1, 0]]: A1' = [[1, 0], [.25, .75]] and
    A2' = [[.5, .5], [.5, .5]], so that A2' A1' has the rows (.625, .375)."""
    first = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    second = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    rollout = rtvis.methods.ATTENTION_METHODS["rollout"].explain
    found = rollout([first, second], [], torch.tensor([[1.0, 0.0]]))
    assert found.tolist() == [[0.625, 0.375]]


def test_legrad_of_two_layers_by_hand() -> None:
    """Means over queries of the positive part: (1, 1) and (0, 3); over layers (.5, 2)."""
    first = torch.tensor([[[[2.0, -4.0], [0.0, 2.0]]]])
    second = torch.tensor([[[[-1.0, 6.0], [-1.0, -1.0]]]])
    legrad = rtvis.methods.ATTENTION_METHODS["legrad"].explain
    assert legrad([], [first, second], torch.ones(1, 2)).tolist() == [[0.5, 2.0]]


def test_methods_that_cannot_explain_a_network_are_refused_with_the_reason() -> None:
    plain = engine_of(seeded(CamNet), SIDE)
    assert not {"rollout", "legrad"} & set(plain.cam_methods)
    with pytest.raises(SelectionError, match=r"rollout .*no attention.*use one of .*grad-cam"):
        plain.resolve(Selection(cam="rollout"))
    windowed = engine_for(swin)
    with pytest.raises(SelectionError, match=r"legrad .*within 16 windows at 'layers.0.blocks.0"):
        windowed.resolve(Selection(cam="legrad"))
    several = engine_for(pvt, 64)
    with pytest.raises(SelectionError, match=r"rollout .*several grids: 4x4, 2x2"):
        several.resolve(Selection(cam="rollout"))
    with pytest.raises(SelectionError, match=r"unknown CAM method 'rolout'.*'rollout'"):
        plain.resolve(Selection(cam="rolout"))
    with pytest.raises(SelectionError, match=r"is attention.*rollout"):
        engine_for(class_token).resolve(Selection(cam_layer="blocks.0.attn"))


def test_layers_and_readout_say_who_asks() -> None:
    """The class token, a mean over the patches, or the mean of all where the scores read all."""
    queries = {}
    for make in (class_token, registers_only, swin):
        layers = {layer.name: layer for layer in engine_for(make).layers}
        queries[make] = next(layer.query for layer in layers.values() if layer.query)
        assert layers["patch_embed.proj"].query == ""
    assert list(queries.values()) == ["class token", "mean of 16", "mean of all"]


def test_what_is_shown_of_rollout_is_how_far_it_lies_above_its_least() -> None:
    cam = torch.tensor([[2.0, 3.0], [2.5, 2.0]])
    assert above_floor(cam, "rollout").tolist() == [[0.0, 1.0], [0.5, 0.0]]
    assert above_floor(cam, "legrad") is cam
    assert above_floor(cam, "grad-cam") is cam


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_compiled_form_computes_what_the_eager_form_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_module, "NUM_SEGMENTS", 2)
    model = build(class_and_registers).float()
    eager = engine_of(model, SIDE)
    x = random_input().float()
    with engine_of(model, SIDE, compile="auto", cache_dir=tmp_path) as compiled:
        assert compiled.wait_compiled(500), compiled.compile_note
        for layer in attention_layers(eager):
            for position in (None, (0, layer.map_size[1] - 1)):
                selection = Selection(
                    layer=layer.name, unit=1, position=position, rule="guided", cam="legrad"
                )
                ours, reference = compiled.run(x, selection), eager.run(x, selection)
                assert ours.form == "compiled"
                assert apart(ours.maps_BCHW, reference.maps_BCHW) < 1e-5
                assert apart(ours.cam_BHW, reference.cam_BHW) < 1e-4
                assert apart(ours.backprop_B3HW, reference.backprop_B3HW) < 1e-4
        changes = (Intervention(layer="blocks.0.attn", unit=1, scale=0.0),)
        selection = Selection(cam="rollout", interventions=changes)
        ours, reference = compiled.run(x, selection), eager.run(x, selection)
        assert apart(ours.cam_BHW, reference.cam_BHW) < 1e-5
        assert apart(ours.scores_BK, reference.scores_BK) < 1e-5


def test_stills_take_the_methods_that_explain_by_attention(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(
        model=class_token().eval(),
        name="tiny",
        preprocessing=Preprocessing(size=(SIDE, SIDE)),
        labels=None,
        weights_note="",
    )
    stills = Stills(network, device="cpu")
    source = tmp_path / "in.png"
    cv2.imwrite(str(source), np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    request = CamRequest(method="rollout", num_top=1)
    (outcome,) = stills.gradcam(
        [source], [tmp_path / "out.png"], request, raw_outputs=[tmp_path / "out.npz"]
    )
    assert [path.name for path in outcome.written] == ["out_0.png"]
    with np.load(tmp_path / "out.npz") as raw:
        assert raw["cam_NHW"].shape == (1, GRID, GRID)
        assert raw["layer"] == ""
    request = CamRequest(method="rollout", layer="patch_embed.proj")
    with pytest.raises(SelectionError, match="leave out the layer 'patch_embed"):
        list(stills.gradcam([source], [source], request))

"""Models that cannot be traced are run as they are, and explained just as the others."""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.data import Health, Intervention, Origin, Result, Rule, Seed, Selection, Tap
from rtvis.engine import steps as steps_module
from rtvis.engine.engine import Engine
from rtvis.engine.flat.trace import UntraceableError, flatten
from rtvis.engine.untraced.called import CalledModel, find_called_layers
from rtvis.errors import NetworkError, SelectionError
from tests.nets import BranchingNet, EverySpelling, HandNet, engine_of, seeded
from tests.references import (
    fingerprint,
    one_thread,  # noqa: F401 - a fixture
    relative_error,
    tapped,
)


class EveryActivation(nn.Module):
    """One convolution after the other, each with another activation behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Callable[[Tensor], Tensor]] = [
            *(nn.GELU(), nn.SiLU(), nn.SiLU(inplace=True), nn.Hardswish(inplace=True)),
            *(nn.LeakyReLU(0.2, inplace=True), nn.ELU(), nn.SELU(inplace=True), nn.CELU(0.5)),
            *(nn.Mish(), nn.Softplus(), nn.RReLU().eval(), nn.Sigmoid(), nn.Tanh()),
            *(nn.ReLU6(inplace=True), nn.Hardtanh(-0.5, 0.5, inplace=True)),
            lambda x: torch.maximum(x, torch.zeros_like(x)),
            lambda x: torch.max(torch.zeros(()), x),
            lambda x: x.clamp_min_(0),
            lambda x: torch.clip(x, -0.3, 2.0),
            lambda x: F.hardtanh_(x, 0.0, 3.0),
            lambda x: F.relu_(x) + x,  # x has been written over
        ]
        self.prelu = nn.PReLU()
        count = len(self.made) + 1
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3) for i in range(count))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        for conv, activation in zip(self.convs, (*self.made, self.prelu), strict=True):
            x = activation(conv(x) * 3)
        return self.fc(x.mean((2, 3)))


class Wavering(nn.Module):
    """Its control flow depends on the picture, and so does which of its layers are called.

    It writes over its input, counts its calls in a buffer, and stops gradients for nobody.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bright = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 5, 3, padding=1, stride=2)
        self.fc = nn.Linear(5, 4)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        is_bright = x.mean().item() > 0
        x *= 2
        x = F.relu(self.stem(x))
        if is_bright:
            x = x + torch.relu(self.bright(x))
        return self.fc(F.silu(self.last(x), inplace=True).mean((2, 3)))


class WithLstm(nn.Module):
    """Reads the rows of its maps as a sequence, as Sequencer does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, stride=4)
        self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.mix = nn.Linear(8, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)  # [B, H, W, C]
        rows = self.lstm(x.flatten(0, 1))[0].unflatten(0, x.shape[:2])
        return self.fc((x + self.mix(rows)).mean((1, 2)))


def vit() -> nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=48, depth=2, embed_dim=24, num_heads=2, num_classes=7
    )


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "by hand": (HandNet, 6),
    "every spelling": (EverySpelling, 48),
    "every activation": (EveryActivation, 60),
    "tokens": (vit, 48),
}


@pytest.fixture(scope="module", params=NETS)
def pair(request: pytest.FixtureRequest) -> tuple[Engine, Engine]:
    """A network's engine, and the one that it would have if it could not be traced."""
    make, size = NETS[request.param]
    model = seeded(make).double()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps_module, "flatten", refuse)
        untraced = engine_of(model, size, dtype="float64")
        if request.param == "every spelling":
            untraced._steps.of(2)  # made later, it would be a traced one
    return engine_of(model, size, dtype="float64"), untraced


def refuse(*_: object, **__: object) -> None:
    raise UntraceableError("here", "because the test says so")


def picture(engine: Engine, *, mean: float = 0.0, batch: int = 1) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, *engine.input_size, dtype=torch.float64) + mean


def assert_same(ours: Result, theirs: Result) -> None:
    for field in ("scores_BK", "maps_BCHW", "cam_BHW", "backprop_B3HW", "value_B"):
        wanted, found = getattr(theirs, field), getattr(ours, field)
        assert found.dtype == wanted.dtype
        # Scores, CAM and value are float32.
        small = 1e-6 if wanted.dtype == torch.float32 else 1e-9
        largest = float(wanted.abs().max())
        assert float((found.double() - wanted.double()).abs().max()) <= small * largest, field
    assert torch.equal(ours.position_B2, theirs.position_B2)
    assert torch.equal(ours.class_index_B, theirs.class_index_B)
    assert torch.equal(ours.health_B, theirs.health_B)


def test_it_has_the_same_layers_as_the_traced_one(pair) -> None:
    traced, untraced = pair
    # Attention is no module's output.
    shown = [each for each in traced.layers if each.kind != "attention"]
    assert [replace(each, index=0) for each in untraced.layers] == [
        replace(each, index=0) for each in shown
    ]
    assert untraced.default_cam_layer.name == traced.default_cam_layer.name
    assert untraced.num_classes == traced.num_classes


@pytest.mark.parametrize("rule", get_args(Rule))
def test_every_rule_and_seed_gives_what_the_traced_one_gives(pair, rule: Rule) -> None:
    traced, untraced = pair
    x = picture(traced, batch=1)
    seeds = itertools.cycle(get_args(Seed))
    changed_pictures = 0
    for layer, seed in zip(untraced.layers, seeds, strict=False):
        cam_layer = layer.name if layer.map_size[0] > 1 else None
        selection = Selection(
            layer=layer.name, unit=1, rule=rule, seed=seed, cam_layer=cam_layer, class_index=1
        )
        ours, theirs = untraced.run(x, selection), traced.run(x, selection)
        assert_same(ours, theirs)
        changed_pictures += int(bool(theirs.backprop_B3HW.any()))
    assert changed_pictures > len(traced.layers) / 2, "zeros prove nothing"


def test_positions_batches_and_changed_units_too(pair) -> None:
    traced, untraced = pair
    x = picture(traced, batch=2 if traced.network == "EverySpelling" else 1)
    maps = [each for each in untraced.layers if each.map_size[0] > 1]
    below, layer = maps[0], maps[len(maps) // 2]
    changes = (
        Intervention(layer=below.name, unit=1, scale=0.0, offset=0.7),
        Intervention(layer=layer.name, unit=0, scale=2.0),
        Intervention(layer=traced.layers[-1].name, unit=0, offset=3.0),
    )
    names = {each.name for each in traced.layers}
    for name in sorted(names):
        if f"{name}#2" in names:  # called twice, and changed at the first call alone
            changes += tuple(Intervention(layer=name, unit=u, scale=0.5) for u in range(2, 8))
    row, column = layer.map_size[0] - 1, layer.map_size[1] // 2
    selection = Selection(
        layer=layer.name, position=(row, column), rule="gradient", interventions=changes
    )
    ours, theirs = untraced.run(x, selection), traced.run(x, selection)
    assert_same(ours, theirs)
    assert ours.untouched_scores_BK is not None
    assert theirs.untouched_scores_BK is not None
    assert relative_error(ours.untouched_scores_BK, theirs.untouched_scores_BK) < 1e-6
    assert relative_error(ours.untouched_scores_BK, theirs.scores_BK) > 1e-2


@pytest.mark.parametrize("tap", get_args(Tap))
def test_a_frozen_origin_and_gradients_behind_activations_too(pair, tap: Tap) -> None:
    traced, untraced = pair
    x = picture(traced)
    layers = [each for each in traced.layers if each.kind != "attention"]
    origin = Origin(layer=layers[-2].name, unit=1)
    num_seen = 0
    for layer in layers:
        selection = Selection(
            layer=layer.name, unit=1, rule="guided", tap=tap, origin=origin, gradients=True
        )
        ours, theirs = untraced.run(x, selection), traced.run(x, selection)
        assert_same(ours, theirs)
        assert ours.grads_BCHW is not None
        assert theirs.grads_BCHW is not None
        largest = float(theirs.grads_BCHW.abs().max())
        assert float((ours.grads_BCHW - theirs.grads_BCHW).abs().max()) <= 1e-9 * largest
        num_seen += largest > 0
    assert num_seen > 0
    maps = [each for each in untraced.layers if each.map_size[0] > 1]
    corner = (maps[-1].map_size[0] - 1, 0)
    neuron = Origin(layer=maps[-1].name, unit=1, position=corner)
    selection = Selection(layer=maps[0].name, position=(0, 1), origin=neuron, rule="gradient")
    assert_same(untraced.run(x, selection), traced.run(x, selection))


def test_a_dense_output_is_explained_region_by_region(monkeypatch: pytest.MonkeyPatch) -> None:
    model = seeded(Segmenter).double()
    traced = engine_of(model, 12, dtype="float64")
    monkeypatch.setattr(steps_module, "flatten", refuse)
    untraced = engine_of(model, 12, dtype="float64")
    assert untraced.output_size == traced.output_size == (12, 12)
    assert untraced.default_cam_layer == traced.default_cam_layer
    selection = Selection(layer="down", unit=1, region=(2, 3, 4, 1), rule="gradient")
    ours, theirs = (each.run(picture(traced), selection) for each in (untraced, traced))
    assert_same(ours, theirs)
    assert ours.dense_BKHW is not None
    assert theirs.dense_BKHW is not None
    assert ours.labels_BHW is not None
    assert theirs.labels_BHW is not None
    assert relative_error(ours.dense_BKHW, theirs.dense_BKHW) < 1e-9
    assert torch.equal(ours.labels_BHW, theirs.labels_BHW)


class Segmenter(nn.Module):
    """Scores for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.down(x)))


@pytest.fixture(scope="module")
def wavering() -> Iterator[tuple[nn.Module, Engine]]:
    model = seeded(Wavering).double()
    before = fingerprint(model)
    yield model, engine_of(model, 12, dtype="float64", compile="auto")
    assert fingerprint(model) == before, "the user's model was changed"


def test_it_says_why_it_is_not_traced_and_compiles_nothing(wavering) -> None:
    engine = wavering[1]
    assert engine.compile_note == (
        "by autograd, not traceable: its control flow depends on the values in a "
        "tensor (.item(), if tensor: ...)"
    )
    assert engine.form == engine.run(picture(engine)).form == "eager"
    assert not engine.wait_compiled(0)


class Looking(nn.Module):
    """Scales its scores by what some Python code makes of its maps."""

    def __init__(self, look: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.look = look

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x.mean((2, 3)) * self.look(x)


IN_PYTHON = "its control flow depends on the values in a tensor"


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (lambda x: float(x.detach().numpy().max()), IN_PYTHON),
        (lambda x: float(np.asarray(x.detach()).max()), IN_PYTHON),
        (lambda x: x.amax().tolist(), IN_PYTHON),
        (lambda x: 2.0 if torch.equal(x, x.clamp(min=-1.0)) else 3.0, IN_PYTHON),
        (lambda x: len((x > 0).nonzero()), IN_PYTHON),
        (lambda x: x[x > 0].mean(), "sizes of its tensors depend on the values"),
        (lambda x: torch.unique(x.detach().round()).numel(), "sizes of its tensors depend"),
    ],
    ids=["numpy", "asarray", "tolist", "equal", "nonzero", "mask", "unique"],
)
def test_whatever_looks_at_values_is_run_as_it_is(
    look: Callable[[Tensor], Any], reason: str
) -> None:
    model = seeded(lambda: Looking(look))
    engine = engine_of(model, 8)
    assert engine.compile_note.startswith(f"by autograd, not traceable: {reason}")
    assert engine.layers[0].receptive_field == (3, 3), "it is recorded all the same"
    seen = set()
    for scale in (0.1, 1.0, 5.0):
        x = scale * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
        result = engine.run(x)
        assert relative_error(result.scores_BK, model(x)) < 1e-5
        seen.add(float(look(model.conv(x))))
    assert len(seen) > 1, "what it looks at must make a difference"


def test_a_branch_of_torch_s_own_is_not_traced() -> None:
    def look(x: Tensor) -> Tensor:
        return torch.cond(x.mean() > 0, lambda x: x.sum() * 2, lambda x: x.sum() * 3, (x,))

    with pytest.raises(UntraceableError, match=r"it branches by torch\.cond"):
        flatten(seeded(lambda: Looking(look)), torch.empty(1, 3, 8, 8))


@pytest.mark.parametrize("mean", [-0.5, 0.5], ids=["dark", "bright"])
@pytest.mark.parametrize("layer", ["stem", "last", "fc"])
def test_both_ways_through_the_model_have_the_slopes_of_finite_differences(
    wavering, mean: float, layer: str
) -> None:
    engine = wavering[1]
    x = picture(engine, mean=mean)
    direction = torch.randn_like(x)
    result = engine.run(x, Selection(layer=layer, unit=2, rule="gradient"))
    row, column = result.position_B2[0].tolist()
    values = []
    for step in (1e-6, -1e-6):
        private = seeded(Wavering).double()
        with torch.no_grad(), tapped(private, layer) as outputs:
            private(x + step * direction)
        output = outputs[0] if outputs[0].ndim == 4 else outputs[0][:, :, None, None]
        values.append(float(output[0, 2, row, column]))
    slope = (values[0] - values[1]) / 2e-6
    assert slope != 0
    assert float((result.backprop_B3HW * direction).sum()) == pytest.approx(slope, rel=1e-5)
    assert relative_error(result.scores_BK.double(), seeded(Wavering).double()(x.clone())) < 1e-6


@pytest.mark.parametrize("class_index", [0, 1, 3])
def test_the_cam_is_that_of_autograd_behind_a_hook(wavering, class_index: int) -> None:
    engine = wavering[1]
    x = picture(engine, mean=0.5)
    model = seeded(Wavering).double()
    with tapped(model, "bright") as outputs:
        scores = model(x.clone().requires_grad_().clone())
    (grads,) = torch.autograd.grad(scores[0, class_index], outputs[0])
    expected = (grads.mean((2, 3), keepdim=True) * outputs[0]).sum(1).relu()
    found = engine.run(x, Selection(cam_layer="bright", class_index=class_index))
    assert found.class_index_B.tolist() == [class_index]
    assert float((found.cam_BHW.double() - expected.detach()).abs().max()) < 1e-6
    assert found.cam_BHW.any() or class_index == 0


def test_a_layer_that_is_not_called_for_a_picture_is_zero_and_said_to_be(wavering) -> None:
    engine = wavering[1]
    assert [layer.name for layer in engine.layers] == ["stem", "bright", "last", "fc"]
    selection = Selection(layer="bright", unit=1)
    dark, bright = (engine.run(picture(engine, mean=mean), selection) for mean in (-0.5, 0.5))
    assert dark.maps_BCHW.shape == bright.maps_BCHW.shape == (1, 6, 12, 12)
    assert bright.maps_BCHW.any()
    assert bright.backprop_B3HW.any()
    assert not dark.maps_BCHW.any()
    assert not dark.backprop_B3HW.any()
    bits = Health.UNIT_ZERO | Health.GRADIENT_ZERO
    assert int(dark.health_B) & bits == bits
    assert not int(bright.health_B) & bits


class ThreeWays(nn.Module):
    """Calls one layer for bright pictures alone, another for dark ones, none for those between."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bright, self.dark, self.last = (nn.Conv2d(3, 3, 1) for _ in range(4))
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean().item()
        x = F.relu(self.stem(x))
        if mean > 0.2:
            x = self.bright(x)
        if mean < -0.2:
            x = self.dark(x)
        return self.fc(self.last(x).mean((2, 3)))


def test_layers_of_dark_and_of_bright_pictures_stand_where_they_are_called() -> None:
    model = seeded(ThreeWays)
    engine = engine_of(model, 12)
    first, *some, before, last = (layer.name for layer in engine.layers)
    assert (first, {*some}, len(some), before, last) == (
        ("stem", {"bright", "dark"}, 2, "last", "fc")
    )
    for mean, called in ((-0.5, "dark"), (0.5, "bright")):
        x = picture(engine, mean=mean).float()
        with tapped(model, called) as outputs, torch.no_grad():
            model(x)
        found = engine.run(x, Selection(layer="stem", beside=called)).beside_BCHW
        assert found is not None
        assert relative_error(found, outputs[0]) < 1e-6


def test_an_lstm_passes_gradients_and_its_rows_stay_a_map() -> None:
    model = seeded(WithLstm).double()
    engine = engine_of(model, (16, 24), dtype="float64")
    assert "which writes over its input" in engine.compile_note
    in_float32 = engine_of(seeded(WithLstm), (16, 24))
    assert "it has an LSTM" in in_float32.compile_note
    assert in_float32.layers == engine.layers
    mix = next(layer for layer in engine.layers if layer.name == "mix")
    assert mix.map_size == (4, 6)
    x = picture(engine).requires_grad_()
    with tapped(model, "mix") as outputs:
        model(x)
    (expected,) = torch.autograd.grad(outputs[0][0, 3, 2, 1], x)
    selection = Selection(layer="mix", unit=1, position=(3, 2), rule="gradient")
    result = engine.run(x.detach(), selection)
    assert relative_error(result.maps_BCHW, outputs[0].detach().permute(0, 3, 1, 2)) < 1e-9
    assert relative_error(result.backprop_B3HW, expected) < 1e-9


class OfManyShapes(nn.Module):
    """Layers that return three to five dimensions; rows are fewer than columns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=(3, 2), padding=1)
        self.volume = nn.Conv3d(1, 1, 3, padding=1)
        self.line = nn.Conv1d(6, 6, 3, padding=1)
        self.rows, self.windows, self.blocks, self.tokens = (nn.Linear(6, 6) for _ in range(4))
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.volume(self.conv(x)[:, None])[:, 0]
        h = self.line(h.flatten(2)).reshape(h.shape).permute(0, 2, 3, 1)
        h = self.rows(h)  # [B, 4, 12, 6]
        h = self.windows(h.reshape(-1, 2, 12, 6))
        h = self.blocks(h.reshape(x.shape[0], 2, 2, 12, 6))
        return self.fc(self.tokens(h.reshape(x.shape[0], -1, 6)).mean(1))


@pytest.mark.parametrize("batch", [1, 2])
def test_where_nothing_can_be_recorded_a_layer_s_places_follow_from_what_it_returns(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CalledModel, "record", lambda *_: ())
    model = CalledModel(OfManyShapes().eval(), torch.device("cpu"), torch.float32, name="net")
    sites = find_called_layers(model, torch.zeros(batch, 3, 12, 24))
    found = {one.layer.name: (one.layer.map_size, one.layer.stride) for one in sites}
    in_picture, nowhere = ((4, 12), (3.0, 2.0)), ((1, 48), (12.0, 24.0))
    assert found == {  # neither a volume nor a line has rows and columns of the picture
        "conv": in_picture,
        "rows": in_picture,
        "windows": nowhere,
        "blocks": nowhere,
        "tokens": nowhere,
        "fc": ((1, 1), (12.0, 24.0)),
    }


class Failing(BranchingNet):
    """Fails for bright pictures, in its own words."""

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 10:
            raise ValueError("too bright\nto look at")
        return super().forward(x)


def test_a_model_that_fails_on_a_picture_is_reported_in_one_line_and_left_clean() -> None:
    model = Failing().eval()
    before = fingerprint(model)
    engine = engine_of(model, 4)
    with pytest.raises(NetworkError, match=r"fails on a 1x3x4x4 input: too bright$"):
        engine.run(torch.full((1, 3, 4, 4), 20.0))
    assert engine.run(torch.zeros(1, 3, 4, 4)).scores_BK.isfinite().all()
    assert fingerprint(model) == before


class Shrinking(nn.Module):
    """Looks at a part of the picture whose size depends on it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = 4 if x.amax() > 100 else 8
        return self.conv(x[:, :, :size, :size]).mean((2, 3))


def test_maps_whose_size_depends_on_the_picture_are_refused_in_words() -> None:
    engine = engine_of(Shrinking().eval(), 8)
    assert engine.run(torch.zeros(1, 3, 8, 8)).maps_BCHW.shape == (1, 2, 8, 8)
    words = "layer 'conv' returns (1, 2, 4, 4) for this picture, which makes no 8x8 maps"
    with pytest.raises(NetworkError, match=re.escape(words)):
        engine.run(torch.full((1, 3, 8, 8), 200.0))


def test_attention_is_said_to_be_missing_and_why(wavering) -> None:
    engine = wavering[1]
    assert "attention is not shown, as this network is not traceable" in engine.skipped_note
    assert "control flow depends on the values" in engine.skipped_note
    assert not {"rollout", "legrad"} & set(engine.cam_methods)
    with pytest.raises(SelectionError, match=r"rollout cannot .* it is not traceable, and atten"):
        engine.resolve(Selection(cam="rollout"))
    with pytest.raises(SelectionError, match=r"no layer 'attn'.*attention is not shown, as this"):
        engine.resolve(Selection(layer="attn"))


def test_the_header_says_that_attention_is_missing_where_there_is_some() -> None:
    class Looking(Wavering):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.MultiheadAttention(4, 2)

    note = engine_of(seeded(Looking), 12).compile_note
    assert note.startswith("by autograd, no attention, not traceable: its control flow")


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "from torch import nn\n\n\n"
        "class Mine(nn.Module):\n"
        "    pretrained_cfg = {'input_size': (3, 32, 32)}\n\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 4, 3)\n"
        "        self.fc = nn.Linear(4, 3)\n\n"
        "    def forward(self, x):\n"
        "        x = self.conv(x).relu()\n"
        "        if x.mean() > 0.1:\n"
        "            x = 2 * x\n"
        "        return self.fc(x.mean((2, 3)))\n"
    )
    return f"{tmp_path}/mine.py:Mine"


def test_the_list_of_layers_says_what_is_not_among_them(mine: str, capsys) -> None:
    from rtvis import cli

    assert cli.main(["--network", mine, "--device", "cpu", "--list", "layers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["layer", "conv", "fc", "#"]
    assert "attention is not shown" in lines[-1]


def test_the_program_records_such_a_model_and_says_so(mine: str, tmp_path: Path, capsys) -> None:
    from rtvis import cli

    film = tmp_path / "out.mp4"
    code = cli.main(
        [
            *("--network", mine, "--pace", "fast", "--frames", "3"),
            *("--view", "none", "--record", str(film), "--layer", "conv", "--unit", "2"),
            *("--canvas", "480x800", "--device", "cpu"),
        ]
    )
    assert code == 0
    assert film.stat().st_size > 1000
    said = "rtvis: explained by autograd, not traceable: its control flow depends on the values"
    assert said in capsys.readouterr().err

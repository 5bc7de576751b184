"""`rtvis inspect`: what networks cost and what their units do, against hand-worked numbers."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from rtvis import cli
from rtvis.engine.networks.layer_rules import LayerRules
from rtvis.engine.networks.models import Network, load_network
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.inspection import Inspection, Inspector
from tests.nets import HAND_PICTURE, HandNet, tensor_of

CPU = torch.device("cpu")


class Costly(nn.Module):
    """One of each: plain, grouped and strided, transposed convolution, batch norm, dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 8, 3, padding=1, stride=2, groups=2, bias=False)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.fc = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.plain(x)))
        return self.fc(self.up(self.grouped(x)).mean((2, 3)))


def inspector_of(
    model: nn.Module, size: tuple[int, int], *, rules: LayerRules | None = None
) -> Inspector:
    network = Network(
        model=model.eval(),
        name="net",
        preprocessing=Preprocessing(size=size, resize=min(size)),
        labels=None,
        weights_note="",
        layer_rules=rules or LayerRules(),
    )
    return Inspector(network, device=CPU)


def watched(model: nn.Module, *inputs: Tensor) -> Inspection:
    inspector = inspector_of(model, (inputs[0].shape[2], inputs[0].shape[3]))
    for x_1CHW in inputs:
        inspector._look.watch(x_1CHW)
    return inspector.facts()


# Costs


def test_parameters_and_multiply_adds_are_those_worked_out_by_hand() -> None:
    facts = inspector_of(Costly(), (6, 8)).facts()
    assert [(f.layer.name, f.num_parameters, f.multiply_adds) for f in facts.layers] == [
        ("plain", 4 * 3 * 9 + 4, 6 * 8 * 4 * 3 * 9),
        ("grouped", 8 * 2 * 9, 3 * 4 * 8 * 2 * 9),  # two of four channels each, half the size
        ("up", 8 * 2 * 4 + 2, 3 * 4 * 8 * 2 * 4),  # each input is spread over 2 units, 2x2 places
        ("fc", 2 * 5 + 5, 2 * 5),
    ]
    assert facts.other_parameters == 8, "scale and shift of the batch norm"
    assert facts.num_parameters == 112 + 144 + 66 + 15 + 8
    assert facts.multiply_adds == 5184 + 1728 + 768 + 10
    assert facts.other_multiply_adds == 0
    assert facts.input_shape == (3, 6, 8)


def test_resnet50_costs_what_is_published() -> None:
    facts = Inspector(load_network("resnet50", weights="random"), device=CPU).facts()
    assert facts.num_parameters == 25_557_032
    assert facts.multiply_adds == 4_089_184_256
    assert facts.layers[0].layer.receptive_field == (7, 7)


def test_attention_counts_its_two_products() -> None:
    network = load_network("timm/test_vit", weights="random")
    facts = Inspector(network, device=CPU).facts()
    model = network.model
    tokens, width = (160 // 16) ** 2 + 1, model.embed_dim
    # Queries with keys, then weights with values: heads * T * T * (width / heads), twice a block.
    products = 2 * len(model.blocks) * tokens * tokens * width
    dense = sum(f.multiply_adds for f in facts.layers if f.layer.kind in {"conv", "dense"})
    assert facts.multiply_adds - dense == products
    assert facts.num_parameters == sum(p.numel() for p in model.parameters())
    assert not any(":tokens" in f.layer.name for f in facts.layers)


class Products(nn.Module):
    """A transposed convolution whose kernel is wider than its stride, and a batch of products."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 2, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.up(x).flatten(2)[:, :, :30].unflatten(2, (5, 6))  # [1, 2, 5, 6]
        left, right = rows[0], rows[0].transpose(1, 2)
        return torch.baddbmm(left.new_zeros(2, 5, 5), left, right).mean((1, 2))[None]


def test_each_input_of_a_transposed_convolution_is_spread_and_products_with_a_sum_count() -> None:
    facts = inspector_of(Products(), (4, 5)).facts()
    assert facts.layers[0].multiply_adds == 4 * 5 * 3 * 2 * 9, "not 9x11, the places it makes"
    assert facts.other_multiply_adds == 2 * 5 * 5 * 6


class Shared(nn.Module):
    """Uses one convolution twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x).relu()).mean((2, 3))


def test_a_layer_that_is_used_twice_costs_twice_and_has_its_parameters_once() -> None:
    facts = inspector_of(Shared(), (4, 4)).facts()
    assert [(f.layer.name, f.num_parameters) for f in facts.layers] == [("conv", 84), ("conv#2", 0)]
    assert facts.multiply_adds == 2 * 16 * 3 * 27
    assert facts.num_parameters == 84
    assert facts.layers[1].parameter_range is None


def test_hidden_layers_count_among_the_rest_and_renamed_ones_keep_their_parameters() -> None:
    rules = LayerRules(exclude="up", rename={"plain": "first"}, group={"first": "body"})
    facts = inspector_of(Costly(), (6, 8), rules=rules).facts()
    assert [f.layer.name for f in facts.layers] == ["first", "grouped", "fc"]
    assert facts.layers[0].num_parameters == 112
    assert facts.other_parameters == 8 + 66
    assert facts.other_multiply_adds == 768
    plain = facts.as_plain()["layers"][0]
    assert (plain["name"], plain["name_in_model"], plain["group"]) == ("first", "plain", "body")


def test_the_range_of_parameters_is_over_weights_and_biases() -> None:
    facts = inspector_of(HandNet(), (2, 2)).facts()
    assert [f.parameter_range for f in facts.layers] == [(-1, 2), (-1, 3), (-1, 2)]


# What units do


def test_value_ranges_are_of_the_layers_own_output() -> None:
    facts = watched(HandNet(), HAND_PICTURE)
    ranges = [(f.activity.low, f.activity.high) for f in facts.layers if f.activity is not None]
    # u0, u1 span -1..5; v0, v1 -5..9; the scores are -1 and 5.5.
    assert ranges == [(-1, 5), (-5, 9), (-1, 5.5)]
    more = watched(HandNet(), HAND_PICTURE, 2 * HAND_PICTURE)
    first = more.layers[0].activity
    assert first is not None
    assert (first.low, first.high) == (-2, 10), "r - g doubles; 2 b - 1 does not quite"


def test_gradient_ranges_are_those_of_the_top_score() -> None:
    facts = watched(HandNet(), HAND_PICTURE)
    ranges = [f.activity.gradients for f in facts.layers if f.activity is not None]
    # s1 = 2 p1 + 0.5 is the top one; of the four places v1 is above zero at two: 2 / 4. There h1
    # counts three times, and h0, above zero at one of them, is taken away.
    assert ranges == [(-0.5, 1.5), (0.0, 0.5), (0.0, 1.0)]


def test_gradient_ranges_are_those_at_the_layers_own_output_over_all_pictures() -> None:
    torch.manual_seed(0)
    model = Costly().eval()
    model.norm.weight.data.fill_(7.0)  # behind the layer: its output counts seven times
    pictures = [torch.randn(1, 3, 6, 8) for _ in range(3)]
    expected = []
    for picture in pictures:
        own = model.plain(picture)
        scores = model.fc(model.up(model.grouped(F.relu(model.norm(own)))).mean((2, 3)))
        expected.append(torch.autograd.grad(scores.max(), own)[0])
    all_of_them = torch.cat(expected)
    ends = float(all_of_them.min()), float(all_of_them.max())
    assert ends != (float(expected[2].min()), float(expected[2].max()))
    activity = watched(model, *pictures).layers[0].activity
    assert activity is not None
    assert activity.gradients == pytest.approx(ends, rel=1e-4)


class CutOff(nn.Module):
    """Nobody hears of the layer `silent`."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.silent(x).detach().mean((2, 3)))


def test_a_layer_that_no_gradient_gets_to_has_no_range_of_them() -> None:
    cut_off = watched(CutOff(), HAND_PICTURE).layers[0]
    assert cut_off.activity is not None
    assert cut_off.activity.gradients is None
    assert cut_off.activity.high > cut_off.activity.low


class Dying(nn.Module):
    """Unit 1 of the first layer never gets above zero, unit 0 of the second is always 3."""

    def __init__(self, activation: nn.Module, *, bias: float = -50.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.activation = activation
        self.second = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.first.weight.copy_(tensor_of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])[..., None, None])
            self.first.bias.copy_(tensor_of([0, bias, 0]))
            self.norm.weight.copy_(tensor_of([2, 4, -1]))
            self.second.weight.copy_(tensor_of([[0, 0, 0], [1, 1, 1]])[..., None, None])
            self.second.bias.copy_(tensor_of([3, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.activation(self.norm(self.first(x)))).mean((2, 3))


@pytest.mark.parametrize(
    ("activation", "rectified"),
    [
        (nn.ReLU(), True),
        (nn.ReLU6(), True),
        (nn.GELU(), True),
        (nn.SiLU(), True),
        (nn.Hardswish(), True),
        (nn.LeakyReLU(), False),
        (nn.Hardtanh(), False),
        (nn.Sigmoid(), False),
        (nn.Identity(), False),
    ],
)
def test_a_unit_is_dead_behind_a_rectifier_when_it_never_gets_above_zero(
    activation: nn.Module, rectified: bool
) -> None:
    torch.manual_seed(0)
    facts = watched(Dying(activation), torch.randn(1, 3, 5, 5), torch.randn(1, 3, 5, 5))
    first, second = (f.activity for f in facts.layers)
    assert first is not None
    assert second is not None
    assert first.is_rectified == rectified
    assert first.dead_units == ((1,) if rectified else ())
    assert (second.dead_units, second.is_rectified) == ((0,), False), "constant, without a ReLU"
    # The convolution's own values: normalised ones would be twice to four times as large.
    assert first.low < -47
    assert first.low > -53.5


def test_a_unit_that_wakes_up_for_one_picture_is_not_dead() -> None:
    asleep = torch.full((1, 3, 2, 2), -1.0)
    awake = asleep.clone()
    awake[0, 1, 0, 0] = 60.0
    torch.manual_seed(0)
    dead = [
        facts.layers[0].activity.dead_units
        for facts in (
            watched(Dying(nn.ReLU()), asleep),
            watched(Dying(nn.ReLU()), asleep, awake, asleep),
        )
        if facts.layers[0].activity is not None
    ]
    # Unit 2 has a negative scale behind it, so that -1 becomes 1.
    assert dead == [(0, 1), (0,)]


@pytest.mark.parametrize(
    ("activation", "rectifies"),
    [
        (nn.SiLU(), True), (nn.Hardswish(), True), (nn.Mish(), True), (nn.Hardtanh(0.0, 2.0), True),
        (nn.Hardtanh(), False), (nn.Sigmoid(), False),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, nn.Module) else "",
)  # fmt: skip
def test_a_unit_is_dead_below_zero_only_behind_what_lets_nothing_of_that_through(
    activation: nn.Module, rectifies: bool
) -> None:
    facts = watched(Dying(activation), torch.randn(1, 3, 4, 4))
    activity = facts.layers[0].activity
    assert activity is not None
    assert activity.is_rectified == rectifies


def test_what_is_no_number_is_null_in_json_and_nobody_is_dead_of_it() -> None:
    picture = torch.randn(1, 3, 2, 2)
    picture[0, 1, 0, 0] = torch.nan
    plain = watched(Dying(nn.ReLU()), picture).as_plain()
    json.dumps(plain, allow_nan=False)
    assert plain["layers"][0]["dead_units"] == []
    assert plain["layers"][0]["value_range"] == [None, None]


def test_the_users_model_is_left_as_it_was() -> None:
    model = HandNet().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    watched(model, HAND_PICTURE)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training
    assert not any(module._forward_hooks for module in model.modules())


class Branching(nn.Module):
    """A model that branches on what it sees."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.inner(x)
        return scores if x.mean() > -1e6 else -scores


@pytest.mark.parametrize(
    "model",
    [Costly(), Dying(nn.ReLU()), Dying(nn.ReLU6()), Dying(nn.GELU()), Dying(nn.Hardtanh())],
    ids=["costly", "ReLU", "ReLU6", "GELU", "hardtanh"],
)
def test_a_model_that_cannot_be_traced_tells_the_same_as_a_traced_one(model: nn.Module) -> None:
    pictures = torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(0)).split(1)
    traced, called = watched(model, *pictures), watched(Branching(model).eval(), *pictures)
    assert traced.note == ""
    assert "control flow depends on the values" in called.note
    assert called.multiply_adds == traced.multiply_adds > 0
    assert called.num_parameters == traced.num_parameters
    for ours, theirs in zip(called.layers, traced.layers, strict=True):
        assert ours.layer.name == f"inner.{theirs.layer.name}"
        assert ours.layer.map_size == theirs.layer.map_size
        assert ours.layer.receptive_field == theirs.layer.receptive_field
        assert ours.multiply_adds == theirs.multiply_adds > 0
        assert ours.num_parameters == theirs.num_parameters
        assert ours.parameter_range == theirs.parameter_range
        assert ours.activity is not None
        assert theirs.activity is not None
        assert ours.activity.dead_units == theirs.activity.dead_units
        assert ours.activity.is_rectified == theirs.activity.is_rectified
        assert (ours.activity.low, ours.activity.high) == pytest.approx(
            (theirs.activity.low, theirs.activity.high), rel=1e-4
        )
        assert ours.activity.gradients == pytest.approx(theirs.activity.gradients, rel=1e-4)


def test_products_that_no_module_computes_count_in_all_also_when_untraced() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            rows_24 = self.conv(x)[0].flatten(1)  # 2 units, 4 places
            gram_22 = rows_24 @ rows_24.T
            return gram_22.mean(0, keepdim=True) * (1.0 if x.mean() > -1e6 else 2.0)

    facts = watched(Product(), torch.randn(1, 3, 2, 2))
    assert facts.layers[0].multiply_adds == 4 * 2 * 3
    assert facts.multiply_adds == 4 * 2 * 3 + 2 * 2 * 4


# The command


FILE = """
import torch
from tests.test_inspect import Costly

def make():
    torch.manual_seed(0)
    return Costly()
"""

OTHERS = """
from torch import nn
from tests.test_inspect import CutOff

def cut_off():
    return CutOff()

def wide():
    return nn.Sequential(nn.Conv2d(3, 4, (3, 5), stride=(1, 2)), nn.ReLU(), nn.Flatten(),
                         nn.Linear(4 * 6 * 6, 2))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(FILE)
    (tmp_path / "net.yaml").write_text("size: [12, 16]\nlayers: {rename: {fc: head}}")
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_has_a_line_a_layer_and_the_totals(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", "net.py:make", "--data", "pictures", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.strip()]
    plain = next(row for row in rows if row[0] == "plain")
    assert plain[:8] == ["plain", "plain", "conv", "4", "12x16", "1x1", "3x3", "112"]
    assert plain[8:10] == ["20,736", "67.5%"]
    assert next(row for row in rows if row[0] == "head")[1] == "fc"
    assert "net.py:make: input 3x12x16, 345 parameters" in out
    assert "30,730 multiply-adds (30.73 k; FLOPs are twice that)" in out
    assert "3 pictures: " in out


def test_rows_go_before_columns_and_layers_behind_a_detached_value_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "others.py").write_text(OTHERS)
    flags = ["--size", "8x16", "--device", "cpu"]
    assert cli.main(["inspect", "others.py:wide", *flags]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert next(row for row in rows if row[0] == "0")[2:6] == ["4", "6x6", "1x2", "3x5"]
    assert cli.main(["inspect", "others.py:cut_off", *flags]) == 0
    told = capsys.readouterr().out
    assert "no gradient gets to the input from 1 layer (fc): the network rounds, " in told


def test_what_a_picture_of_sixteen_bits_has_beyond_eight_is_seen(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranges = []
    for grey in (1028, 1100):  # both are 4 in eight bits
        cv2.imwrite(str(here / "deep.png"), np.full((12, 16, 3), grey, np.uint16))
        assert cli.main(["inspect", "net.py:make", "--json", "--data", "deep.png"]) == 0
        ranges.append(json.loads(capsys.readouterr().out)["layers"][0]["value_range"])
    assert ranges[0] != ranges[1]


def test_json_says_the_same_and_nothing_else_is_on_standard_output(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--json", "--data", "pictures/*.png", "--pictures", "2", "--device", "cpu"]
    assert cli.main(["inspect", "net.py:make", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 345
    assert found["flops"] == 2 * found["multiply_adds"] == 2 * 30_730
    assert found["pictures"] == 2
    assert found["input"] == {"channels": 3, "height": 12, "width": 16}
    layer = found["layers"][0]
    assert layer["share"] == pytest.approx(20_736 / 30_730)
    assert layer["activation"] == "relu"
    assert layer["dead_means"] == "never above zero"
    assert layer["value_range"][0] < layer["value_range"][1]
    assert layer["gradient_range"][0] < layer["gradient_range"][1]
    assert cli.main(["inspect", "--network", "net.py:make", "--json", "--size", "8"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"]["height"] == 8
    assert "value_range" not in found["layers"][0]


def test_a_picture_that_cannot_be_read_is_told_and_passed_over(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "pictures" / "1.png").write_bytes(b"no picture")
    command = ["inspect", "net.py:make", "--json", "--data", "pictures"]
    assert cli.main(command) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["pictures"] == 2
    assert "1.png: cannot be decoded" in captured.err
    for path in (here / "pictures").iterdir():
        path.write_bytes(b"no picture")
    assert cli.main(command) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "none of 3 pictures can be read" in captured.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["restnet50"], 1, "unknown network 'restnet50'; nearest is 'resnet50'"),
        (["net.py:make", "--data", "gone"], 1, "gone: there is no such file or folder"),
        (["net.py:make", "--dta", "x"], 2, "--dta: unknown flag; nearest is '--data'"),
        (["net.py:make", "--pictures", "0"], 2, "--pictures: '0' cannot be used; give a whole"),
        (["net.py:make", "--size", "wide"], 2, "--size: 'wide' cannot be used; give a side"),
        (["net.py:make", "pictures"], 2, "'pictures' belongs to no flag"),
        (["net.py:make", "--layers", "x*"], 1, "no layer of net.py:make fits 'x*'"),
    ],
)
def test_bad_input_is_one_line_and_not_zero(
    words: list[str], code: int, text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_the_help_of_the_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["inspect", "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "inspect NETWORK" in out
    assert "--data FOLDER" in out
    assert "--stream" not in out

"""Models of one's own: exported programs, the YAML beside them, and rules for their layers."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import rtvis
import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis import cli
from rtvis.config_network import NetworkConfig
from rtvis.data import Intervention, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.layer_rules import LayerRules, layer_rules, layers_that_fit
from rtvis.engine.networks.models import Network, load_network
from rtvis.engine.networks.network_arguments import network_arguments
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import ConfigError, NetworkError, SelectionError
from rtvis.option_values import patterns, renaming
from rtvis.render.grid import Rect
from rtvis.render.strip import lay_strip


class Stages(nn.Module):
    """Two stages of convolutions with dotted names, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.stage = nn.ModuleList(
            nn.ModuleDict({"conv": nn.Conv2d(4, 4, 3, padding=1), "down": nn.Conv2d(4, 4, 1)})
            for _ in range(2)
        )
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for block in self.stage:
            x = (block["conv"](x) + block["down"](x)).relu()
        return self.fc(x.mean((2, 3)))


NAMES = ["stem", "stage.0.conv", "stage.0.down", "stage.1.conv", "stage.1.down", "fc"]

FILE = """
import torch
from tests.test_own_models import Stages

def make():
    torch.manual_seed(0)
    return Stages()
"""

PICTURE_HW3 = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its weights and a picture, which is the working one."""
    (tmp_path / "net.py").write_text(FILE)
    torch.manual_seed(1)
    save_file(Stages().state_dict(), tmp_path / "trained.safetensors")
    Image.fromarray(PICTURE_HW3).save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stages(rules: LayerRules) -> Engine:
    torch.manual_seed(0)
    network = Network(
        model=Stages().eval(),
        name="stages",
        preprocessing=Preprocessing(size=(16, 16), resize=16),
        labels=None,
        weights_note="",
        layer_rules=rules,
    )
    return Engine(network, device="cpu", compile="off")


def names_of(engine: Engine) -> list[str]:
    return [layer.name for layer in engine.layers]


# Rules for layers


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (LayerRules(), NAMES),
        (LayerRules(include="*conv"), ["stage.0.conv", "stage.1.conv"]),
        (LayerRules(exclude=("*down", "fc")), ["stem", "stage.0.conv", "stage.1.conv"]),
        (LayerRules(include=("stage.?.*",), exclude="stage.1*"), NAMES[1:3]),
        (
            LayerRules(rename={"stage.*.*": "{2} of {1}", "fc": "head"}),
            ["stem", "conv of 0", "down of 0", "conv of 1", "down of 1", "head"],
        ),
        # The first pattern that fits, and a brace that no star fills.
        (LayerRules(include="s*", rename={"stem": "{1}", "s*": "S{1}"}), ["{1}", *["S"] * 4]),
        (LayerRules(include="stem", rename={"st?*": "{1}!"}), ["m!"]),  # ? is no star
    ],
)
def test_layers_are_chosen_and_named_by_patterns(rules: LayerRules, expected: list[str]) -> None:
    if expected[-1] == "S":
        expected = ["{1}", *("S" + name.removeprefix("s") for name in NAMES[1:5])]
    with stages(rules) as engine:
        assert names_of(engine) == expected
        assert [layer.index for layer in engine.layers] == list(range(len(expected)))


def test_what_is_computed_does_not_depend_on_which_layers_are_shown() -> None:
    selection = Selection(layer="stage.1.conv", unit=2, rule="gradient", cam_layer="stage.1.conv")
    changed = (Intervention(layer="stage.1.conv", unit=1, scale=0.0, offset=0.5),)
    with stages(LayerRules()) as whole, stages(LayerRules(include="stage.1.*")) as part:
        for interventions in ((), changed):
            chosen = Selection(
                layer=selection.layer,
                unit=2,
                rule="gradient",
                cam_layer=selection.cam_layer,
                interventions=interventions,
            )
            expected, found = whole.run(PICTURE_HW3, chosen), part.run(PICTURE_HW3, chosen)
            assert expected.backprop_B3HW.abs().max() > 0
            for name in ("scores_BK", "maps_BCHW", "cam_BHW", "backprop_B3HW", "position_B2"):
                torch.testing.assert_close(
                    getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-6
                )


def test_both_names_of_a_layer_select_it() -> None:
    with stages(LayerRules(rename={"stage.*.conv": "conv {1}"})) as engine:
        for name in ("conv 1", "stage.1.conv"):
            change = Intervention(layer=name, unit=0, scale=2.0)
            result = engine.run(
                PICTURE_HW3, Selection(layer=name, cam_layer=name, interventions=(change,))
            )
            assert result.selection.layer == result.selection.cam_layer == "conv 1"
            assert result.selection.interventions[0].layer == "conv 1"
        with pytest.raises(SelectionError, match="nearest is 'conv 1'"):
            engine.resolve(Selection(layer="conv 11"))
        with pytest.raises(SelectionError, match=r"nearest is 'stage\.1\.conv'"):
            engine.resolve(Selection(layer="stage.1.conw"))


class Twice(nn.Module):
    """Uses one convolution twice, and has tokens beside its grid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.other = nn.Conv2d(3, 3, 1)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.other(self.conv(self.conv(x).relu())).mean((2, 3)))


def test_a_layer_that_is_used_twice_keeps_its_number_and_tokens_go_where_their_layer_goes() -> None:
    network = Network(
        model=Twice().eval(),
        name="twice",
        preprocessing=Preprocessing(size=(8, 8)),
        labels=None,
        weights_note="",
        layer_rules=LayerRules(rename={"conv": "edges"}, exclude="other"),
    )
    with Engine(network, device="cpu", compile="off") as engine:
        assert names_of(engine) == ["edges", "edges#2", "fc"]
    known = ["conv", "conv#2", "conv#3", "conv1", "qkv:tokens", "a[0]"]
    for pattern, fitting in {
        "conv": known[:3],
        "conv#2": ["conv#2"],
        "con?": known[:3],
        "conv*": known[:4],
        "*#*": ["conv#2", "conv#3"],
        "qkv": ["qkv:tokens"],
        "a[0]": ["a[0]"],
    }.items():
        assert layers_that_fit([pattern], known, name="twice") == tuple(fitting), pattern
    assert layers_that_fit(["conv*", "!conv#2"], known, name="t") == ("conv", "conv#3", "conv1")
    assert layers_that_fit(["!conv"], known, name="t") == ("conv1", "qkv:tokens", "a[0]")
    rules = LayerRules(include="blocks.0.*", rename={"blocks.*.attn.qkv": "qkv {1}"})
    with rtvis.load(
        "timm/test_vit", weights="random", layers=rules, device="cpu", compile="off"
    ) as engine:
        assert all(name.startswith(("blocks.0.", "qkv 0")) for name in names_of(engine))
        assert {"qkv 0", "qkv 0:tokens"} <= set(names_of(engine))
        result = engine.run(PICTURE_HW3, Selection(layer="blocks.0.mlp.fc2"))
    with rtvis.load("timm/test_vit", weights="random", device="cpu", compile="off") as whole:
        expected = whole.run(PICTURE_HW3, Selection(layer="blocks.0.mlp.fc2"))
    torch.testing.assert_close(result.backprop_B3HW, expected.backprop_B3HW, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (
            LayerRules(include="stages.1*"),
            "no layer of stages fits 'stages.1*'; nearest is 'stage.1*'",
        ),
        (LayerRules(exclude="stages.*"), "fits 'stages.*'; nearest is 'stage.*'"),
        (LayerRules(rename={"sten": "x"}), "fits 'sten'; nearest is 'stem'"),
        (LayerRules(exclude="*"), "hides all 6 layers of stages"),
        (LayerRules(include="fc"), "no convolution over rows and columns and no map"),
        (LayerRules(rename={"*": "x"}), "'stem' and 'stage.0.conv' would both be 'x'"),
        (LayerRules(rename={"stem": "fc"}), "'stem' and 'fc' would both be 'fc'"),
    ],
)
def test_rules_that_cannot_be_followed_are_told(rules: LayerRules, text: str) -> None:
    with pytest.raises(NetworkError) as caught:
        stages(rules)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flags_that_choose_layers_replace_what_the_file_chooses() -> None:
    file = LayerRules(include="s*", exclude="*down", rename={"fc": "head"}, group={"s*": "body"})
    assert LayerRules(exclude="fc").or_else(file) == LayerRules(
        exclude="fc", rename={"fc": "head"}, group={"s*": "body"}
    )
    assert LayerRules(rename={"stem": "x"}).or_else(file) == LayerRules(
        include="s*", exclude="*down", rename={"stem": "x"}, group={"s*": "body"}
    )


def test_class_and_register_tokens_are_not_shown_without_their_layer() -> None:
    rules = LayerRules(include=("*:tokens", "patch_embed.*"))
    with rtvis.load(
        "timm/test_vit", weights="random", layers=rules, device="cpu", compile="off"
    ) as engine:
        assert names_of(engine) == ["patch_embed.proj"]


def test_groups_head_the_strip_of_layers() -> None:
    with stages(LayerRules(group={"stage.*.*": "stage {1}", "fc": "head"})) as engine:
        assert [layer.group for layer in engine.layers] == ["", *["stage 0"] * 2, *["stage 1"] * 2,
                                                            "head"]  # fmt: skip
        strip = lay_strip(
            engine.layers, Rect(0, 0, 100, 2000), measure=len, row_height=10, pad=1, gap=1, scroll=0
        )
    headings = [chip.text for chip in strip.chips if chip.layer is None]
    assert headings == ["16×16  rf 3", "stage 0  16×16", "stage 1  16×16", "head  1×1"]


def test_flags_and_keys_give_the_same_rules() -> None:
    written = NetworkConfig(
        layers=patterns("stage*, !*down"),
        rename_layers=renaming("stage.*.conv=conv {1},fc=head"),
        group_layers=renaming({"stage.0*": "first"}),
    )
    assert layer_rules(written) == LayerRules(
        include=("stage*",),
        exclude=("*down",),
        rename={"stage.*.conv": "conv {1}", "fc": "head"},
        group={"stage.0*": "first"},
    )
    for broken in ("a", "=b", "a=", ["ab", 3]):
        with pytest.raises((ValueError, TypeError)):
            renaming(broken)
    for broken in ("", "a,,b", 3, [3]):
        with pytest.raises((ValueError, TypeError)):
            patterns(broken)


def test_every_argument_of_a_network_is_what_its_flag_says() -> None:
    wanted = NetworkConfig(
        weights="random",
        labels="names.txt",
        size=(16, 24),
        mean=(0.25,),
        std=(0.5,),
        repeat_channels=True,
        output="out",
        trust_pickle=True,
        model_config="none",
        layers=("stage*",),
        rename_layers=(("fc", "head"),),
    )
    assert network_arguments(wanted) == {
        "weights": "random",
        "labels": "names.txt",
        "size": (16, 24),
        "mean": (0.25,),
        "std": (0.5,),
        "repeat_channels": True,
        "output": "out",
        "trust_pickle": True,
        "model_config": "none",
        "layers": LayerRules(include=("stage*",), rename={"fc": "head"}),
    }
    assert {"name", *network_arguments(wanted)} == {*inspect.signature(load_network).parameters}
    later = network_arguments(wanted, hides_layers=False)
    assert later["layers"] == LayerRules(rename={"fc": "head"})


def test_the_program_lists_and_selects_layers_by_the_names_that_flags_give(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--network", "net.py:make", "--size", "16", "--device", "cpu", "--compile", "off"]
    rules = ["--layers", "!*down", "--rename-layers", "stage.*.conv=block {1}"]
    rules += ["--group-layers", "stage*=body"]
    assert cli.main([*flags, *rules, "--list", "layers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("receptive field  in the model  group")
    assert lines[2].split()[:2] == ["block", "0"]
    assert lines[2].split()[-2:] == ["stage.0.conv", "body"]
    assert len(lines) == 5
    run = [*flags, *rules, "--view", "none", "--stream", "picture.png", "--pace", "fast"]
    run += ["--record", "out.mp4", "--layer"]
    assert cli.main([*run, "block 1"]) == 0
    assert cli.main([*run, "stage.1.conv"]) == 0
    assert cli.main([*run, "stage.1.down"]) == 2
    assert "there is no layer 'stage.1.down'" in capsys.readouterr().err
    assert cli.main([*flags, "--layers", "stage9", "--list", "layers"]) == 1
    assert "no layer of net.py:make fits 'stage9'" in capsys.readouterr().err


# The YAML beside the weights


YAML = """
labels: [cat, dog, elk]
size: [16, 20]
resize: 18
interpolation: bicubic
mean: [0.1, 0.2, 0.3]
std: 0.5
layers:
  exclude: "*down"
  rename: {stem: first}
  group: {"stage*": body}
"""


def test_a_yaml_beside_the_weights_says_how_the_network_is_used(here: Path) -> None:
    (here / "trained.yaml").write_text(YAML)
    network = load_network("net.py:make", weights="trained.safetensors")
    prep = network.preprocessing
    assert (prep.size, prep.resize, prep.interpolation) == ((16, 20), 18, "bicubic")
    assert (prep.mean, prep.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert network.labels == ("cat", "dog", "elk")
    with Engine(network, device="cpu", compile="off") as engine:
        assert names_of(engine) == ["first", "stage.0.conv", "stage.1.conv", "fc"]
        assert [layer.group for layer in engine.layers] == ["", "body", "body", ""]
        assert engine.layers[0].map_size == (16, 20)


def test_what_is_asked_for_wins_over_the_yaml_and_that_over_the_weights(here: Path) -> None:
    torch.manual_seed(1)
    metadata = {"labels": json.dumps(["a", "b", "c"]), "mean": "0.9", "std": "0.25"}
    save_file(Stages().state_dict(), here / "trained.safetensors", metadata)
    (here / "trained.yml").write_text(
        "labels: names.txt\nsize: 20\nmean: 0.4\nlayers: {exclude: fc, rename: {stem: s}}"
    )
    (here / "names.txt").write_text("cat\ndog\nelk\n")
    found = load_network("net.py:make", weights="trained.safetensors")
    assert found.labels == ("cat", "dog", "elk")
    assert found.preprocessing.size == (20, 20)
    assert (found.preprocessing.mean, found.preprocessing.std) == ((0.4,) * 3, (0.25,) * 3)
    asked = load_network(
        "net.py:make",
        weights="trained.safetensors",
        size=24,
        mean=[0.7],
        labels=["x", "y", "z"],
        layers=LayerRules(include="stem"),
    )
    assert asked.labels == ("x", "y", "z")
    assert asked.preprocessing.size == (24, 24)
    assert asked.preprocessing.mean == (0.7,) * 3
    assert asked.layer_rules == LayerRules(include="stem", rename={"stem": "s"})


def test_the_yaml_is_found_beside_the_network_or_named_or_left_alone(here: Path) -> None:
    (here / "net.yaml").write_text("size: 12")
    (here / "other.yaml").write_text("size: 14")
    assert load_network("net.py:make").preprocessing.size == (12, 12)
    (here / "trained.yaml").write_text("mean: 0.5")
    weights = "trained.safetensors"
    beside = load_network("net.py:make", weights=weights).preprocessing
    assert (beside.size, beside.mean) == ((224, 224), (0.5, 0.5, 0.5))
    named = load_network("net.py:make", weights=weights, model_config="other.yaml")
    assert named.preprocessing.size == (14, 14)
    without = load_network("net.py:make", weights=weights, model_config="none")
    assert without.preprocessing == Preprocessing()


def test_a_library_network_takes_the_size_and_the_layers_of_the_yaml_beside_its_weights(
    here: Path,
) -> None:
    source = load_network("timm/test_vit", weights="random").model
    save_file(source.state_dict(), here / "vit.safetensors")
    (here / "vit.yaml").write_text("size: 160\nlayers: {include: 'blocks.1.*'}")
    network = load_network("timm/test_vit", weights="vit.safetensors")
    assert network.preprocessing.size == (160, 160)
    assert network.layer_rules.include == "blocks.1.*"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lables: [a]", "m.yaml: lables: unknown key; nearest is 'labels'"),
        ("lables: [a]", "if this file is not for rtvis, pass --model-config none"),
        ("size: big", "m.yaml: size: 'big' cannot be used; give a whole number or a list of 2"),
        ("size: 0", "m.yaml: size: 0 cannot be used; give numbers from 1"),
        ("size: [8, 8, 8]", "m.yaml: size: [8, 8, 8] cannot be used"),
        ("interpolation: cubic", "unknown value 'cubic'; nearest is 'bicubic'"),
        ("layers: {exlude: fc}", "m.yaml: layers.exlude: unknown key; nearest is 'exclude'"),
        ("layers: {rename: fc}", "m.yaml: layers.rename: 'fc' cannot be used; give `key: value`"),
        ("layers: fc", "m.yaml: layers: 'fc' cannot be used; give `key: value` lines"),
        ("crop: 1.5", "m.yaml: crop: 1.5 cannot be used; give the share of the picture"),
        ("crop: 0.5\nresize: 9", "m.yaml: crop: resize says the same; keep one of them"),
        ("range: [5, 5]", "m.yaml: range: (5.0, 5.0) cannot be used; give what white is, or"),
        ("mean: mean.bin", "m.yaml: mean: 'mean.bin' cannot be used; give numbers, or a .npy"),
        ("mean: gone.npy", "m.yaml: mean: gone.npy cannot be read: No such file"),
        ("mean: [1, 2]", "m.yaml: mean is (1.0, 2.0), but 3 numbers for 0..1 would do"),
        ("channels: 1\norder: bgr", "m.yaml: order: bgr needs 3 channels, and the network has 1"),
        ("size: 8\nsize: 9", "m.yaml: size: given twice; keep one of them"),
        ("- a", "m.yaml: a model config is `key: value` lines"),
        ("{", "m.yaml:1: not valid YAML"),
    ],
)
def test_faults_in_the_yaml_are_one_line_with_file_and_key(
    text: str, message: str, here: Path
) -> None:
    (here / "m.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_network("net.py:make", model_config="m.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_yaml_that_was_asked_for_is_told(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot read it: No such file"):
        load_network("net.py:make", model_config="gone.yaml")


def expected_input(image_HW3: np.ndarray, *, scale: float, mean: list[float]) -> Tensor:
    x_HW3 = torch.from_numpy(image_HW3).double() * scale - torch.tensor(mean, dtype=torch.double)
    return x_HW3.permute(2, 0, 1)[None].float()


def scores_with(text: str, folder: Path) -> tuple[Tensor, nn.Module]:
    """Scores of the file's network for the picture, and the model as it is in the file."""
    (folder / "m.yaml").write_text(f"size: 16\nresize: 16\n{text}")
    network = load_network("net.py:make", model_config="m.yaml")
    with Engine(network, device="cpu", compile="off") as engine:
        scores_1K = engine.run(PICTURE_HW3).scores_BK
    return scores_1K, load_network("net.py:make", model_config="none").model


def test_value_range_mean_and_deviation_are_those_that_the_network_was_trained_with(
    here: Path,
) -> None:
    # 0..255 with means as Caffe's: x = p - mean.
    found, model = scores_with("range: 255\nmean: [123, 117, 104]", here)
    x = expected_input(PICTURE_HW3, scale=1.0, mean=[123, 117, 104])
    torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-3)
    # -1..1 and nothing subtracted: x = p / 127.5 - 1.
    found, model = scores_with("range: [-1, 1]", here)
    x = expected_input(PICTURE_HW3, scale=1 / 127.5, mean=[1, 1, 1])
    torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-5)


def test_a_bgr_network_sees_bgr_and_its_backward_picture_is_rgb(here: Path) -> None:
    text = "range: 255\norder: bgr\nmean: [104, 117, 123]\nstd: [1, 2, 4]"
    found, model = scores_with(text, here)
    x = expected_input(PICTURE_HW3[:, :, ::-1].copy(), scale=1.0, mean=[104, 117, 123])
    x = (x / torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)).requires_grad_()
    torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-3)
    network = load_network("net.py:make", model_config="m.yaml")
    with Engine(network, device="cpu", compile="off") as engine:
        assert engine.layers[1].receptive_field == (5, 5)
        selection = Selection(layer="stem", unit=1, position=(4, 5), rule="gradient")
        result = engine.run(PICTURE_HW3, selection)
    (expected,) = torch.autograd.grad(model.stem(x)[0, 1, 4, 5], x)
    torch.testing.assert_close(result.backprop_B3HW.flip(1), expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(result.backprop_B3HW, expected)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_mean_picture_is_subtracted_pixel_by_pixel(here: Path, order: str) -> None:
    mean_HW3 = np.random.default_rng(5).uniform(60, 180, (20, 22, 3)).astype(np.float32)
    np.save(here / "mean.npy", mean_HW3)
    found, model = scores_with(f"range: 255\norder: {order}\nmean: mean.npy\nstd: 2", here)
    centre_HW3 = mean_HW3[2:18, 3:19]
    seen_HW3 = PICTURE_HW3[:, :, ::-1] if order == "bgr" else PICTURE_HW3
    x = torch.from_numpy((seen_HW3 - centre_HW3) / 2).permute(2, 0, 1)[None].contiguous()
    torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-3)
    np.save(here / "mean.npy", mean_HW3[:10])
    with pytest.raises(ConfigError, match=r"mean.npy has the shape \[3, 10, 22\]; \[3, 16, 16\]"):
        load_network("net.py:make", model_config="m.yaml")


def test_crop_and_channels_are_read(here: Path) -> None:
    (here / "m.yaml").write_text("size: 224\ncrop: 0.875\nrepeat_channels: true")
    prep = load_network("net.py:make", model_config="m.yaml").preprocessing
    assert prep.resize == 256
    assert prep.repeats_channels


# Weights of every kind


@pytest.mark.parametrize(
    "write",
    [
        lambda state: save_file(state, "w.safetensors"),
        lambda state: torch.save(state, "w.pt"),
        lambda state: torch.save({"state_dict": state, "epoch": 3}, "w.pth"),
    ],
)
def test_a_factory_gets_its_weights_and_their_yaml_from_any_kind_of_file(
    write: Callable[[dict[str, Tensor]], None], here: Path
) -> None:
    torch.manual_seed(8)
    state = Stages().state_dict()
    write(state)
    (here / "w.yaml").write_text("size: 16")
    weights = next(path.name for path in here.glob("w.*") if path.suffix != ".yaml")
    network = load_network("net.py:make", weights=weights)
    assert network.preprocessing.size == (16, 16)
    loaded = network.model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())

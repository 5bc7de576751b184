"""Which of a model's outputs is explained, how one is named, and what is said if there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rtvis
from rtvis.cli.stills import gradcam_main, guided_backprop_main
from rtvis.config import Config
from rtvis.data import Selection
from rtvis.engine.networks import zoo
from rtvis.engine.networks.models import load_network, wrap
from rtvis.engine.networks.outputs import choose_scores
from rtvis.errors import ConfigError, NetworkError
from rtvis.flags import parse_config

pytestmark = pytest.mark.apart

FLAT = torch.tensor([[1.0, 2.0, 3.0]])
DENSE = torch.arange(24.0).reshape(1, 2, 3, 4)
MAP = torch.arange(12.0).reshape(1, 3, 4)
TOKENS = torch.zeros(1, 5, 7)
VIDEO = torch.zeros(1, 2, 3, 4, 4)


class Named(NamedTuple):
    boxes: Tensor
    scores: Tensor


@dataclass
class Fields:
    extra: Tensor | None
    dense: Tensor


class Plain:
    """An object with attributes and nothing else."""

    def __init__(self) -> None:
        self.depth = MAP
        self._hidden = FLAT


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (FLAT, FLAT),
        (DENSE, DENSE),
        (FLAT[:, :, None, None], FLAT),
        (MAP, MAP[:, None]),
        ({"out": DENSE, "aux": DENSE + 1}, DENSE),
        ({"aux": DENSE + 1, "out": DENSE}, DENSE),
        ({"out": DENSE, "class": FLAT}, FLAT),  # scores of the picture go first
        ({"features": [DENSE, DENSE + 1], "logits": FLAT}, FLAT),
        ({"places": FLAT.long(), "found": FLAT + 1}, FLAT + 1),  # whole numbers are no scores
        ({"scores": FLAT + 1, "logits": FLAT}, FLAT),
        ({"aux": FLAT + 1, "pred": FLAT}, FLAT),
        ((TOKENS, DENSE), DENSE),
        ([DENSE + 1, DENSE], DENSE + 1),
        (Named(boxes=TOKENS, scores=FLAT), FLAT),
        (Fields(extra=None, dense=DENSE), DENSE),
        (Plain(), MAP[:, None]),
    ],
)
def test_scores_are_found_flat_ones_first_then_dense_ones(given: object, expected: Tensor) -> None:
    # (3, 4) is in proportion to the 30x40 input: a map; (5, 7) is not.
    assert torch.equal(choose_scores(given, "net", input_size=(30, 40)), expected)


@pytest.mark.parametrize(
    ("given", "output", "expected"),
    [
        ({"out": DENSE, "aux": DENSE + 1}, "aux", DENSE + 1),
        ((FLAT, FLAT + 1), "1", FLAT + 1),
        ([FLAT, {"side": [DENSE, DENSE + 2]}], "1.side.1", DENSE + 2),
        ({"a.b": FLAT, "a": {"b": FLAT + 1}}, "a.b", FLAT),  # a key with a dot of its own
        ({3: FLAT}, "3", FLAT),
        (Named(boxes=DENSE, scores=FLAT), "boxes", DENSE),
        (Named(boxes=DENSE, scores=FLAT), "0", DENSE),
        (Fields(extra=FLAT, dense=DENSE), "dense", DENSE),
        (Plain(), "depth", MAP[:, None]),
        ({"value": FLAT[0], "logits": FLAT}, "value", FLAT[0][:, None]),
        ({"tokens": TOKENS, "logits": FLAT}, "tokens", TOKENS[:, None]),  # as it was asked for
    ],
)
def test_an_output_is_chosen_by_key_field_or_index(
    given: object, output: str, expected: Tensor
) -> None:
    assert torch.equal(choose_scores(given, "net", output=output), expected)


@pytest.mark.parametrize(
    ("given", "output", "words"),
    [
        (
            {"out": DENSE, "aux": FLAT},
            "ou",
            "net has no output 'ou'; nearest is 'out'; there are: out (1x2x3x4), aux (1x3)",
        ),
        (
            [FLAT, {"side": [DENSE]}],
            "1.side.1",
            "nearest is '1.side.0'; there are: 0 (1x3), 1.side",
        ),
        (Named(boxes=DENSE, scores=FLAT), "2", "there are: boxes (1x2x3x4), scores (1x3)"),
        (FLAT, "out", "net has no output 'out'; it returns a float32 tensor of shape (1, 3)"),
        ({"video": VIDEO}, "video", "its output 'video' is a float32 tensor of shape (1, 2, 3, 4"),
        ({"mask": DENSE.long()}, "mask", "a int64 tensor of shape (1, 2, 3, 4), not scores"),
        ({"a": {"b": FLAT}}, "a", "its output 'a' is a dict with b, not scores"),
        (Plain(), "_hidden", "has no output '_hidden'"),
    ],
)
def test_a_wrong_key_names_the_outputs_that_there_are(
    given: object, output: str, words: str
) -> None:
    with pytest.raises(NetworkError, match=re.escape(words)) as caught:
        choose_scores(given, "net", output=output)
    assert "\n" not in str(caught.value)


def test_a_field_of_a_named_tuple_is_not_listed_by_its_index_again() -> None:
    with pytest.raises(NetworkError, match=r"there are: boxes \(1x2x3x4\), scores \(1x3\)$"):
        choose_scores(Named(boxes=DENSE, scores=FLAT), "net", output="2")


@pytest.mark.parametrize("given", [VIDEO, TOKENS, {"mask": DENSE.long()}, {}, None])
def test_what_holds_no_scores_is_refused_in_one_line(given: object) -> None:
    with pytest.raises(NetworkError, match="holds no scores; rtvis needs one tensor") as caught:
        choose_scores(given, "net", input_size=(30, 40))
    assert "\n" not in str(caught.value)


OWN = '''
import torch
from torch import nn

class Two(nn.Module):
    """A dense output under one key and scores under another."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.mask = nn.Conv2d(6, 4, 1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        h = torch.relu(self.stem(x))
        return {"mask": self.mask(h), "more": {"scores": self.fc(h.mean((2, 3)))}}
'''


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path / 'own.py'}:Two"


def test_an_own_model_s_outputs_are_explained_one_or_the_other(own: str) -> None:
    picture = torch.rand(1, 3, 12, 16)
    flat = rtvis.load(own, size=(12, 16), compile="off", device="cpu")
    assert (flat.num_classes, flat.output_size) == (5, None)
    dense = rtvis.load(own, size=(12, 16), output="mask", compile="off", device="cpu")
    assert (dense.num_classes, dense.output_size) == (4, (12, 16))
    model = dense._network.model.inner
    expected = model(picture)
    torch.testing.assert_close(flat.run(picture).scores_BK, expected["more"]["scores"])
    found = dense.run(picture, Selection(region=(2, 3, 1, 1)))
    torch.testing.assert_close(found.scores_BK, expected["mask"][:, :, 2, 3])
    with pytest.raises(NetworkError, match=r"Two.* has no output 'masks'; nearest is 'mask'"):
        rtvis.load(own, size=(12, 16), output="masks", compile="off", device="cpu")


def test_the_yaml_beside_a_network_says_which_output_unless_a_flag_does(own: str) -> None:
    Path(own.removesuffix(".py:Two") + ".yaml").write_text("size: 12\noutput: mask\n")
    picture = torch.randn(1, 3, 12, 12)
    with torch.no_grad():
        given = load_network(own).model.inner(picture)
        assert torch.equal(load_network(own).model(picture), given["mask"])
        asked = load_network(own, output="more.scores").model(picture)
    assert torch.equal(asked, given["more"]["scores"])


def test_the_mode_and_the_names_of_a_wrapped_model_are_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout())
    wrapped = wrap(model, "0")
    assert [name for name, _ in wrapped.named_modules()] == ["", "0", "1"]
    wrapped.eval()
    assert not model.training
    again = wrap(wrapped, "1")
    assert again is not wrapped
    assert again.inner is model
    assert wrap(again) is again


@pytest.mark.parametrize(
    ("text", "expected"), [("3,5", (3, 5, 1, 1)), ("3,5,7,9", (3, 5, 7, 9)), ([1, 2], (1, 2, 1, 1))]
)
def test_a_region_is_a_pixel_or_a_rectangle(
    text: Any, expected: tuple[int, ...], tmp_path: Path
) -> None:
    if isinstance(text, str):
        argv = ["--region", text, "--output", "aux"]
    else:
        (tmp_path / "c.yaml").write_text(f"region: {text}\noutput: aux\n")
        argv = ["--config", str(tmp_path / "c.yaml")]
    config = parse_config(Config, argv, prog="rtvis", description="")
    assert config.selection.region == expected
    assert config.network.output == "aux"


@pytest.mark.parametrize("text", ["3", "3,5,7", "3,5,0,1", "a,b", "-1,2"])
def test_another_region_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--region: .* give row and column such as 30,50"):
        parse_config(Config, [f"--region={text}"], prog="rtvis", description="")


# torchvision's segmentation and detection models


def test_the_list_of_networks_has_the_segmentation_and_detection_models() -> None:
    groups = zoo.names()
    assert "fcn_resnet50" in groups["torchvision, segmentation"]
    assert "lraspp_mobilenet_v3_large" in groups["torchvision, segmentation"]
    detection = "torchvision, detection: the scores that boxes are chosen by"
    assert "fasterrcnn_resnet50_fpn" in groups[detection]
    assert zoo.find("FCN_ResNet50").name == "fcn_resnet50"
    assert zoo.find("torchvision/ssd300_vgg16").name == "ssd300_vgg16"


def test_a_segmentation_model_by_name_has_its_labels_and_its_own_scores() -> None:
    network = load_network("lraspp_mobilenet_v3_large", weights="random", size=(48, 64))
    assert network.labels is not None
    assert network.labels[:2] == ("__background__", "aeroplane")
    assert network.preprocessing.mean == (0.485, 0.456, 0.406)
    engine = rtvis.Engine(network, device="cpu", compile="off")
    picture = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        expected = network.model.inner(picture)["out"]
    result = engine.run(picture, Selection(region=(10, 20, 1, 1), class_index=7))
    assert result.dense_BKHW is not None
    torch.testing.assert_close(result.dense_BKHW, expected, rtol=1e-3, atol=1e-4)
    assert engine.default_cam_layer.name == "classifier.cbr.0"


def test_an_output_of_a_segmentation_model_by_name_is_chosen_from_all_that_it_returns() -> None:
    name = "lraspp_mobilenet_v3_large"
    network = load_network(name, weights="random", size=(48, 64), output="out")
    picture = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(network.model(picture), network.model.inner(picture)["out"])
    with pytest.raises(NetworkError, match=r"has no output 'aux'.*there are: out \(1x21x48x64\)"):
        load_network(name, weights="random", size=(48, 64), output="aux")


def by_hand(model: Any, picture: Tensor) -> Tensor:
    """The best class score of any anchor over the finest level's places, with plain loops."""
    levels = list(model.backbone(picture).values())
    if hasattr(model, "rpn"):
        maps = [each.max(dim=1, keepdim=True).values for each in model.rpn.head(levels)[0]]
    else:
        scores = model.head.classification_head(levels)[0]
        maps, first = [], 0
        for level, count in zip(
            levels, model.anchor_generator.num_anchors_per_location(), strict=True
        ):
            height, width = level.shape[2:]
            part = scores[first : first + height * width * count]
            first += height * width * count
            rows = [
                part[place * count : (place + 1) * count].max(dim=0).values
                for place in range(height * width)
            ]
            maps.append(torch.stack(rows, dim=1).reshape(1, -1, height, width))
        assert first == len(scores)
    height, width = maps[0].shape[2:]
    best = torch.full_like(maps[0], -torch.inf)
    for row in range(height):
        for column in range(width):
            for each in maps:
                at = each[:, :, row * each.shape[2] // height, column * each.shape[3] // width]
                best[:, :, row, column] = best[:, :, row, column].maximum(at)
    return best


@pytest.mark.parametrize(
    ("name", "size", "num_classes"),
    [
        ("ssdlite320_mobilenet_v3_large", 160, 91),
        pytest.param("fasterrcnn_mobilenet_v3_large_320_fpn", 128, 1, marks=pytest.mark.slow),
        pytest.param("fcos_resnet50_fpn", 128, 91, marks=pytest.mark.slow),
        pytest.param("retinanet_resnet50_fpn", 128, 91, marks=pytest.mark.slow),
        pytest.param("ssd300_vgg16", 300, 91, marks=pytest.mark.slow),
        pytest.param("maskrcnn_resnet50_fpn", 128, 1, marks=pytest.mark.slow),
    ],
)
def test_of_a_detection_model_the_scores_that_boxes_are_chosen_by_are_explained(
    name: str, size: int, num_classes: int
) -> None:
    network = load_network(name, weights="random", size=size)
    inner: Any = network.model.inner
    generator = torch.Generator().manual_seed(1)
    for module in inner.modules():  # with the weights of a fresh one, all scores are nearly equal
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    engine = rtvis.Engine(network, device="cpu", compile="off")
    picture = torch.randn(1, 3, size, size, generator=generator)
    result = engine.run(picture, Selection(region=(1, 1, 1, 1), cam="layercam"))
    with torch.no_grad():
        expected = by_hand(inner, picture)
    assert (expected - expected.transpose(2, 3)).abs().max() > 0.1, "places differ"
    assert result.dense_BKHW is not None
    assert expected.shape[1] == num_classes
    near = {"rtol": 1e-3, "atol": 0.02 * float(expected.std())}
    torch.testing.assert_close(result.dense_BKHW, expected, **near)
    torch.testing.assert_close(result.scores_BK, expected[:, :, 1, 1], **near)
    assert engine.default_cam_layer.name.startswith("backbone.")
    assert torch.isfinite(result.cam_BHW).all()


def test_the_names_of_one_class_too_few_are_refused(own: str) -> None:
    with pytest.raises(NetworkError, match=r"has 3 labels, but own.py:Two has 4 classes"):
        load_network(own, size=12, output="mask", labels=list("abc"))


def test_the_stills_scripts_choose_an_output_and_a_region(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    assert cv2.imwrite("in.png", pixels_HW3[:, :, ::-1])
    argv = ["-i", "in.png", "-o", "o.png", "-n", own, "--size", "12x16", "--device", "cpu"]
    of_region = ["--network-output", "mask", "--region", "2,3,4,5"]
    of_region += ["--class", "1", "--layer", "stem"]
    assert gradcam_main([*argv, *of_region, "--raw", "cam.npz"]) == 0
    dense = rtvis.load(own, size=(12, 16), output="mask", compile="off", device="cpu")
    region = (2, 3, 4, 5)
    expected = dense.run(pixels_HW3, Selection(region=region, class_index=1, cam_layer="stem"))
    elsewhere = dense.run(pixels_HW3, Selection(class_index=1))
    with np.load("cam.npz") as raw:
        np.testing.assert_allclose(raw["scores_K"], expected.scores_BK[0], rtol=1e-5)
        np.testing.assert_allclose(raw["cam_NHW"], expected.cam_BHW, rtol=1e-4, atol=1e-7)
        assert not np.allclose(raw["scores_K"], elsewhere.scores_BK[0], rtol=1e-3)
    assert guided_backprop_main([*argv, "--network-output", "mask", "--raw", "back.npz"]) == 0
    with np.load("back.npz") as raw:
        assert raw["scores_K"].shape == (4,)
    capsys.readouterr()
    assert gradcam_main([*argv, "--network-output", "masks"]) == 1
    assert "has no output 'masks'; nearest is 'mask'" in capsys.readouterr().err
    assert gradcam_main([*argv, "--network-output", "mask", "--region", "9,9,9,9"]) == 1
    assert "region" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gradcam_main([*argv, "--region", "3"])
    assert "3: give row and column such as 30,50" in capsys.readouterr().err

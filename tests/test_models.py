"""Networks by name or file: model, weights, preprocessing and labels; or one clear line."""

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from rtvis.engine.networks import hub, zoo
from rtvis.engine.networks.labels import imagenet_labels, read_labels
from rtvis.engine.networks.model_config import from_config
from rtvis.engine.networks.models import Network, downloads_weights, load_network, names, wrap
from rtvis.engine.networks.outputs import choose_scores
from rtvis.engine.networks.preprocess import Cover
from rtvis.errors import NetworkError, WeightsError

SAMPLES = Path(__file__).parents[1] / "sample_images"


@pytest.fixture(scope="module")
def default() -> Network:
    return load_network()


def fault(*args: str, **options: object) -> str:
    with pytest.raises(NetworkError) as caught:
        load_network(*args, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The default network


@pytest.mark.parametrize(
    ("picture", "expected", "at_least"),
    [
        ("coffee.jpg", {"espresso"}, 0.93),
        ("camera.png", {"tripod"}, 0.92),
        ("chelsea.png", {"tiger cat", "Egyptian cat"}, 0.35),
        ("flower.jpg", {"daisy"}, 0.3),
        ("china.jpg", {"palace"}, 0.25),
    ],
)
def test_the_embedded_weights_see_what_is_in_the_pictures(
    default: Network, picture: str, expected: set[str], at_least: float
) -> None:
    image_HW3 = np.asarray(Image.open(SAMPLES / picture).convert("RGB")).copy()
    input_13HW = default.preprocessing.apply(torch.from_numpy(image_HW3))
    with torch.no_grad():
        scores_K = default.model(input_13HW).softmax(dim=1)[0]
    best = int(scores_K.argmax())
    assert default.labels is not None
    assert default.labels[best] in expected
    assert scores_K[best] > at_least


def test_the_default_is_ready_in_eval_mode_with_its_own_preprocessing(default: Network) -> None:
    prep = default.preprocessing
    assert not default.model.training
    assert default.weights_note == ""
    assert (prep.size, prep.resize, prep.interpolation) == ((224, 224), 256, "bicubic")
    assert prep.mean == prep.std == (0.5, 0.5, 0.5)
    assert sum(parameter.numel() for parameter in default.model.parameters()) == 4_652_008


# Names


@pytest.mark.parametrize("alias", zoo.KERAS_NAMES)
def test_the_keras_names_are_known_in_any_case(alias: str) -> None:
    entry = zoo.find(alias)
    assert zoo.find(alias.upper()) == zoo.find(alias.lower()) == entry
    known = {
        "torchvision": torchvision.models.list_models(module=torchvision.models),
        "timm": timm.list_models(),
        "rtvis": ["nasnet_mobile"],
    }
    assert entry.name in known[entry.origin]


def test_there_are_the_thirteen_names_of_the_keras_networks() -> None:
    assert len(zoo.KERAS_NAMES) == 13


@pytest.mark.parametrize(
    ("name", "origin", "own"),
    [
        ("ResNet18", "torchvision", "resnet18"),
        ("timm/resnet18", "timm", "resnet18"),
        ("TorchVision/VGG11", "torchvision", "vgg11"),
        ("mobilenetv3_small_100", "timm", "mobilenetv3_small_100"),
        ("timm/ResNet50.A1_in1k", "timm", "resnet50.a1_in1k"),
        ("TF_EfficientNet_Lite0", "timm", "tf_efficientnet_lite0"),
    ],
)
def test_names_find_their_library(name: str, origin: str, own: str) -> None:
    assert zoo.find(name) == zoo.Entry(origin=origin, name=own)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("restnet50", "'resnet50'"),
        ("Xceptoin", "'Xception'"),
        ("torchvision/alexnett", "'alexnet'"),
        ("resnet50.a1_in1kk", "'resnet50.a1_in1k'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    text = fault(name)
    assert text.startswith("unknown ")
    assert f"nearest is {nearest}" in text


def test_networks_for_films_and_optical_flow_are_not_offered() -> None:
    assert fault("raft_large").startswith("unknown network 'raft_large'")
    assert fault("r3d_18").startswith("unknown network 'r3d_18'")


def test_the_list_has_every_group_and_every_name_in_it_is_found() -> None:
    groups = names()
    assert list(groups) == [
        "default",
        "Keras names",
        "torchvision",
        "torchvision, segmentation",
        "torchvision, detection: the scores that boxes are chosen by",
        "timm",
    ]
    assert len(groups["torchvision"]) > 70
    assert len(groups["timm"]) > 1000
    for group in groups.values():
        for name in group[::50]:
            zoo.find(name)


# Building


@pytest.mark.parametrize(
    ("name", "size", "num_parameters"),
    [
        # Published counts; NASNet-Mobile's own is built from the large one's cells.
        ("NASNetMobile", 224, 5_289_978),
        ("MobileNetV2", 224, 3_504_872),
        ("GoogLeNet", 224, 6_624_904),
        ("InceptionV3", 299, 23_834_568),
        ("squeezenet1_1", 224, 1_235_496),
    ],
)
def test_networks_are_the_published_ones_and_return_one_tensor(
    name: str, size: int, num_parameters: int
) -> None:
    network = load_network(name, weights="random")
    assert network.weights_note == "random weights"
    assert network.preprocessing.size == (size, size)
    assert sum(p.numel() for p in network.model.parameters()) == num_parameters
    assert network.labels == imagenet_labels(1000)
    with torch.no_grad():
        assert network.model(torch.zeros(1, 3, size, size)).shape == (1, 1000)


def test_random_weights_are_the_same_at_every_start_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = load_network("squeezenet1_1", weights="random").model.state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = load_network("squeezenet1_1", weights="random").model.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_preprocessing_follows_the_library() -> None:
    by_torchvision = load_network("resnet50", weights="random").preprocessing
    assert (by_torchvision.resize, by_torchvision.interpolation) == (232, "bilinear")
    assert by_torchvision.mean == (0.485, 0.456, 0.406)
    by_timm = load_network("timm/test_resnet", weights="random").preprocessing
    assert (by_timm.size, by_timm.resize) == ((160, 160), 168)  # 160 / 0.95, rounded down


def test_crop_share_and_mode_are_read_as_timm_reads_them() -> None:
    config = {"input_size": (3, 224, 224), "crop_pct": 0.95}
    assert from_config({"input_size": (3, 32, 48)}, name="net").size == (32, 48)
    assert from_config({"input_size": [32, 48]}, name="net").size == (32, 48), "rows go first"
    assert from_config(config, name="net").resize == 235  # 224 / 0.95 = 235.8
    squash = from_config(config | {"crop_mode": "squash"}, name="net")
    assert squash.resize == (235, 235)
    with pytest.raises(NetworkError, match="net: crop_pct is 0, but a number above 0"):
        from_config({"crop_pct": 0}, name="net")
    with pytest.raises(NetworkError, match=r"net: input_size is 'big', but \(3, height, width\)"):
        from_config({"input_size": "big"}, name="net")


def test_size_mean_and_std_can_be_given() -> None:
    network = load_network(
        "squeezenet1_1", weights="random", size=(128, 192), mean=[0.5], std=[0.1, 0.2, 0.3]
    )
    prep = network.preprocessing
    assert (prep.size, prep.resize) == ((128, 192), Cover(146, 219))  # 256 / 224 of each side
    assert (prep.mean, prep.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    assert "std is [0.0]" in fault("squeezenet1_1", weights="random", std=[0.0])
    assert "size 0x9" in fault("squeezenet1_1", weights="random", size=(0, 9))


def test_a_transformer_is_built_for_the_size_that_is_asked_for() -> None:
    network = load_network("timm/test_vit", weights="random", size=96)
    assert network.model(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)
    assert "square" in fault("vit_b_16", weights="random", size=(64, 96))


@pytest.mark.parametrize(("name", "side"), [("vit_h_14", 518), ("vit_b_32", 224)])
def test_a_transformer_is_built_for_the_size_of_its_own_preprocessing(name: str, side: int) -> None:
    with torch.device("meta"):  # the largest has 633 M parameters
        built = zoo.build(zoo.find(f"torchvision/{name}"))
    assert built.preprocessing.size == (side, side)
    assert built.model(torch.empty(1, 3, side, side, device="meta")).shape == (1, 1000)


def test_the_features_of_a_network_without_classes_stand_for_scores() -> None:
    network = load_network("timm/eva02_tiny_patch14_224", weights="random", size=56)
    assert network.model(torch.zeros(1, 3, 56, 56)).shape == (1, 192)
    assert network.labels is not None
    assert len(network.labels) == 192
    assert network.labels[:2] == ("feature 0", "feature 1")


# Pretrained weights of the libraries


def test_a_site_that_cannot_be_reached_is_told_in_seconds_with_what_would_do() -> None:
    for name, site in (("resnet18", "download.pytorch.org"), ("timm/resnet18", "huggingface.co")):
        started_s = time.monotonic()
        text = fault(name)
        assert time.monotonic() - started_s < 5
        assert text.startswith(f"resnet18: its pretrained weights cannot be had from {site} (")
        assert "--weights FILE" in text


@pytest.fixture
def silent_site() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/weights.pth"


def test_a_site_that_never_answers_does_not_hang_the_start(
    silent_site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_PROBE_S", 0.3)
    started_s = time.monotonic()
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 \(.*--weights FILE"):
        hub._probe(silent_site, "net")
    assert time.monotonic() - started_s < 2


@pytest.fixture
def torch_home(tmp_path: Path) -> Iterator[Path]:
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(before)


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_torchvisions_own_loader_fills_in_what_its_hub_holds(name: str, torch_home: Path) -> None:
    source = torchvision.models.get_model(
        name, weights=None, **({"init_weights": False} if name == "googlenet" else {})
    )
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    torch.save(source.state_dict(), torch_home / Path(url).name)
    assert downloads_weights(name, None)
    network = load_network(name)
    assert network.weights_note == ""
    loaded = network.model.state_dict()
    for key, value in source.state_dict().items():
        if not key.startswith("aux"):
            assert torch.equal(loaded[key], value), key


def test_timms_own_loader_fills_in_what_its_hub_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source = timm.create_model("test_resnet.r160_in1k", pretrained=False)
    commit = hashlib.sha1(b"a commit").hexdigest()
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    save_file(source.state_dict(), folder / "snapshots" / commit / "model.safetensors")
    network = load_network("test_resnet.r160_in1k")
    loaded = network.model.state_dict()
    for key, value in source.state_dict().items():
        assert torch.equal(loaded[key], value), key
    assert network.preprocessing.size == (160, 160)


def test_only_library_weights_are_downloads() -> None:
    assert not downloads_weights("tf_efficientnet_lite0", None)
    assert not downloads_weights("resnet50", "random")
    assert not downloads_weights("model.py:make", None)
    assert "no library offers" in fault("NASNetMobile")


# Models of one's own

HEAD = "import torch\nfrom torch import nn\n"

SMALL = HEAD + (
    "class Net(nn.Module):\n"
    "    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.conv = nn.Conv2d(3, 4, 3)\n"
    "        self.fc = nn.Linear(4, 2)\n"
    "    def forward(self, x):\n"
    "        return self.fc(self.conv(x).relu().mean((2, 3)))\n"
)


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "my_model.py"
        path.write_text(text)
        return path

    return write


Own = Callable[[str], Path]


def test_a_factory_in_a_file_makes_the_network(own: Own) -> None:
    path = own(SMALL + "def make():\n    return Net().train()\nready = Net()\n")
    for attribute in ("Net", "make", "ready"):
        network = load_network(f"{path}:{attribute}", size=32)
        assert network.name == f"my_model.py:{attribute}"
        assert not network.model.training
        assert network.labels is None
        assert network.preprocessing.size == (32, 32)
        assert [name for name, _ in network.model.named_modules()] == ["", "conv", "fc"]


def test_an_own_model_may_import_its_neighbours(own: Own, tmp_path: Path) -> None:
    (tmp_path / "rtvis_test_parts.py").write_text(SMALL)
    path = own("from rtvis_test_parts import Net\n")
    assert load_network(f"{path}:Net", size=16).model(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


def test_an_own_model_says_how_it_wants_its_pictures_and_what_its_classes_are(own: Own) -> None:
    path = own(
        SMALL + "def make():\n"
        "    net = Net()\n"
        "    net.pretrained_cfg = dict(input_size=(3, 48, 64), mean=(.1, .2, .3),\n"
        "        std=(.4, .5, .6), interpolation='bicubic', crop_pct=0.5,\n"
        "        label_names=['cat', 'dog'])\n"
        "    return net\n"
    )
    network = load_network(f"{path}:make")
    prep = network.preprocessing
    assert (prep.size, prep.resize, prep.interpolation) == ((48, 64), Cover(96, 128), "bicubic")
    assert (prep.mean, prep.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert network.labels == ("cat", "dog")


def test_weights_metadata_beats_the_model_and_flags_beat_both(own: Own, tmp_path: Path) -> None:
    path = own(
        SMALL + "def make():\n    net = Net()\n    net.labels = ['a', 'b']\n    return net\n"
    )
    name, weights = f"{path}:make", str(tmp_path / "w.safetensors")
    state = load_network(name, size=16).model.state_dict()
    metadata = {"labels": json.dumps(["cat", "dog"]), "input_size": "[3, 24, 24]", "mean": "0.25"}
    save_file(state, weights, metadata)
    network = load_network(name, weights=weights)
    assert network.labels == ("cat", "dog")
    assert network.preprocessing.size == (24, 24)
    assert network.preprocessing.mean == (0.25, 0.25, 0.25)
    assert network.weights_note == "weights w.safetensors"
    given = load_network(name, weights=weights, size=30, mean=[0.5], labels=["x", "y"])
    assert given.labels == ("x", "y")
    assert given.preprocessing.size == (30, 30)
    assert given.preprocessing.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_the_first_convolution_tells_how_many_channels_there_are(own: Own, channels: int) -> None:
    path = own(SMALL.replace("Conv2d(3,", f"Conv2d({channels},"))
    prep = load_network(f"{path}:Net", size=8).preprocessing
    assert prep.num_channels == len(prep.mean) == len(prep.std) == channels
    assert (prep.mean[0] == 0.5) == (channels != 3)


@pytest.mark.parametrize(
    ("text", "attribute", "message"),
    [
        (SMALL, "Nett", "my_model.py has no 'Nett'; nearest is 'Net'"),
        (SMALL + "x = 3\n", "x", ":x is of type int, not a function or class"),
        ("def make(:\n", "make", "my_model.py:1: invalid syntax"),
        ("import not_there_at_all\n", "make", ":1: ModuleNotFoundError: No module named"),
        ("def make():\n    return 1 / 0\n", "make", ":2: ZeroDivisionError: division by zero"),
        (
            "def make():\n    return {}\n",
            "make",
            ":make returns an object of type dict, not a torch.nn.Module",
        ),
        ("def make(depth):\n    pass\n", "make", "TypeError: make() missing 1 required"),
    ],
)
def test_faults_in_an_own_file_are_one_line_with_their_place(
    text: str, attribute: str, message: str, own: Own
) -> None:
    assert message in fault(f"{own(text)}:{attribute}")


def test_missing_files_and_factories_are_named(tmp_path: Path, own: Own) -> None:
    assert "there is no such file" in fault(f"{tmp_path}/none.py:make")
    assert "which factory?" in fault(str(own(SMALL)))
    assert "there is no such file" in fault(str(tmp_path / "none.pt"))


def test_a_network_that_fails_on_its_input_says_so(own: Own) -> None:
    assert "fails on a 1x3x2x2 input" in fault(f"{own(SMALL)}:Net", size=2)


def test_a_pickled_model_needs_trust(tmp_path: Path) -> None:
    path = str(tmp_path / "whole.pt")
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.save(model, path)
    assert "--trust-pickle" in fault(path, size=8)
    network = load_network(path, size=8, trust_pickle=True)
    picture_13HW = torch.rand(1, 3, 8, 8)
    assert torch.equal(network.model(picture_13HW), model.eval()(picture_13HW))
    torch.save(model.state_dict(), path)
    assert "not a whole model" in fault(path)


def test_an_exported_program_is_a_network_of_its_own_size(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    path = str(tmp_path / "whole.pt2")
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3, 8, 8),)), path)
    assert "--trust-pickle" in fault(path, size=8)
    network = load_network(path, trust_pickle=True)
    assert network.preprocessing.size == (8, 8)
    picture_13HW = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(network.model(picture_13HW), model(picture_13HW))
    assert not network.model.training
    assert "exported for inputs of 8x8, not 9x9" in fault(path, size=9, trust_pickle=True)
    Path(path).write_text("no program")
    assert "not an exported program" in fault(path, trust_pickle=True)


# Outputs


class Pair(NamedTuple):
    extra: Tensor
    scores: Tensor


class Giving(nn.Module):
    def __init__(self, give: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.give = give

    def forward(self, x: Tensor) -> object:
        return self.give(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize(
    "give",
    [
        lambda s: {"logits": s, "loss": s.sum()},
        lambda s: {"features": s + 1, "out": s},
        lambda s: {"loss": s.sum(), "anything": s},
        lambda s: (s, s + 1),
        lambda s: [s],
        lambda s: (None, s),
        lambda s: ({"logits": s}, s + 1),
        lambda s: Pair(extra=s.sum(), scores=s),
        lambda s: s[:, :, None, None],
    ],
)
def test_scores_are_chosen_from_whatever_a_model_returns(
    give: Callable[[Tensor], object],
) -> None:
    model = Giving(give).eval()
    wrapped = wrap(model)
    picture_13HW = torch.rand(1, 3, 5, 5)
    expected_12 = model.conv(picture_13HW).mean((2, 3))
    torch.testing.assert_close(wrapped(picture_13HW), expected_12)


def test_a_wrapped_model_keeps_its_names_and_stays_as_it_was() -> None:
    model = Giving(lambda s: {"logits": s}).eval()
    wrapped = wrap(model)
    assert [name for name, _ in wrapped.named_modules()] == ["", "conv"]
    assert list(wrapped.state_dict()) == list(model.state_dict())
    assert not wrapped.training
    assert wrap(wrapped) is wrapped
    tensors = {key: value + 1 for key, value in wrapped.state_dict().items()}
    moved = torch.func.functional_call(wrapped, tensors, (torch.zeros(1, 3, 2, 2),))
    torch.testing.assert_close(moved[0], model.conv.bias + 1)
    assert isinstance(model(torch.zeros(1, 3, 2, 2)), dict)


def test_a_dict_model_from_a_file_becomes_one_that_returns_scores(own: Own) -> None:
    path = own(
        SMALL.replace("return self.fc", "return dict(logits=self.fc").replace("3)))", "3))))")
    )
    network = load_network(f"{path}:Net", size=16)
    assert network.model(torch.zeros(1, 3, 16, 16)).shape == (1, 2)
    assert [name for name, _ in network.model.named_modules()] == ["", "conv", "fc"]


@pytest.mark.parametrize(
    ("give", "what"),
    [
        (lambda s: {"loss": s.sum()}, "returns a dict with loss, which holds no scores"),
        (lambda s: None, "returns a NoneType"),
        (lambda s: (1, "two"), "returns a tuple of int, str"),
        (lambda s: s[:, :, None, None, None].expand(-1, -1, 4, 4, 4), "shape (1, 2, 4, 4, 4)"),
        (lambda s: s.argmax(1, keepdim=True), "a int64 tensor of shape (1, 1)"),
    ],
)
def test_a_model_without_scores_is_refused(give: Callable[[Tensor], object], what: str) -> None:
    output = Giving(give)(torch.zeros(1, 3, 2, 2))
    with pytest.raises(NetworkError) as caught:
        choose_scores(output, "net")
    assert what in str(caught.value)


# Labels


def test_imagenet_labels_need_no_network() -> None:
    labels = imagenet_labels(1000)
    assert labels is not None
    assert (labels[0], labels[281], labels[967], labels[999]) == (
        "tench",
        "tabby",
        "espresso",
        "toilet tissue",
    )
    with_background = imagenet_labels(1001)
    assert with_background is not None
    assert with_background[:2] == ("background", "tench")
    larger = imagenet_labels(21843)
    assert larger is not None
    assert len(larger) == 21843
    assert imagenet_labels(37) is None


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\n\n",
        "\ufeffcat\r\ndog",
        '["cat", "dog"]',
        '{"1": "dog", "0": "cat"}',
        '{"0": ["n02121808", "cat"], "1": ["n02084071", "dog"]}',
    ],
)
def test_label_files_of_every_common_kind_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text(text, encoding="utf-8")
    assert read_labels(str(path)) == ("cat", "dog")


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\n")
    text = fault("squeezenet1_1", weights="random", labels=str(path))
    assert text == f"{path}: has 2 labels, but squeezenet1_1 has 1000 classes"
    path.write_text("")
    assert "holds no labels" in fault("squeezenet1_1", weights="random", labels=str(path))
    path.write_text('["cat"')
    assert "labels.txt:1: not valid JSON" in fault(
        "squeezenet1_1", weights="random", labels=str(path)
    )
    path.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in fault("squeezenet1_1", weights="random", labels=str(path))
    path.unlink()
    assert "cannot read labels" in fault("squeezenet1_1", weights="random", labels=str(path))

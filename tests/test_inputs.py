"""Networks with any number of channels and any input size, and pictures of every kind."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import rtvis
import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis import cli
from rtvis.cli.stills import gradcam_main, guided_backprop_main
from rtvis.config_network import NetworkConfig
from rtvis.data import Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks import zoo
from rtvis.engine.networks.inputs import Inputs
from rtvis.engine.networks.models import Network, load_network
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import NetworkError, RtvisError
from rtvis.flags import parse_config
from rtvis.render import display
from rtvis.render.compositor import Compositor
from rtvis.render.grid import Rect
from rtvis.render.panes import draw_backprop
from rtvis.render.scene import Scene
from rtvis.session import View
from rtvis.sources.pixels import read_image


class AnyChannels(nn.Module):
    """LeNet's shape for any number of channels and any size from 6x6: MNIST's nets and others."""

    def __init__(self, num_channels: int, *, num_classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv2d(num_channels, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.relu(self.second(x))
        return self.fc(x.mean(dim=(2, 3)))


FILE = """
from tests.test_inputs import AnyChannels
import torch

def mnist():
    torch.manual_seed(0)
    model = AnyChannels(1)
    model.default_cfg = dict(input_size=(1, 28, 28), mean=(0.1307,), std=(0.3081,), crop_pct=1.0)
    return model

def wide():
    torch.manual_seed(0)
    model = AnyChannels(3)
    model.default_cfg = dict(input_size=(3, 256, 512), crop_pct=1.0)
    return model

def six():
    torch.manual_seed(0)
    return AnyChannels(6)
"""


def engine_with(num_channels: int, size: tuple[int, int], *, repeats: bool = False) -> Engine:
    torch.manual_seed(num_channels)
    half = (0.5,) * num_channels
    network = Network(
        model=AnyChannels(num_channels).eval(),
        name="net",
        preprocessing=Preprocessing(
            size=size,
            resize=min(size),
            mean=half,
            std=half,
            num_channels=num_channels,
            repeats_channels=repeats,
        ),
        labels=None,
        weights_note="",
    )
    return Engine(network, device="cpu", compile="off")


NOISE_HW3 = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
SIZE = NOISE_HW3.shape[:2]


# Pictures


@pytest.mark.parametrize(
    "spelled",
    [
        torch.from_numpy,
        lambda p: p.astype(np.uint16) * 257,
        lambda p: torch.from_numpy(p.astype(np.uint16) * 257),
        lambda p: p.astype(np.float32) / 255,
        lambda p: p / 255.0,
        lambda p: torch.from_numpy(p) / 255,
        lambda p: (torch.from_numpy(p) / 255).double(),
        lambda p: np.dstack([p, np.full(SIZE, 7, np.uint8)]),  # an alpha that is almost clear
        lambda p: p[:, ::-1][:, ::-1],  # negative strides that lead nowhere
    ],
)
def test_a_picture_is_the_same_picture_in_every_type(
    spelled: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.generic] | Tensor],
) -> None:
    with engine_with(3, SIZE) as engine:
        expected_13HW = (torch.from_numpy(NOISE_HW3).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
        torch.testing.assert_close(
            engine.preprocess(spelled(NOISE_HW3)), expected_13HW, rtol=0, atol=1e-6
        )


def test_sixteen_bits_keep_what_eight_would_lose() -> None:
    # 1000 / 65535 is 3.89 of 255: as uint8 it would be 4, an error of 0.0004.
    deep_HW = np.full((8, 12), 1000, np.uint16)
    with engine_with(1, SIZE) as engine:
        expected = (1000 / 65535 - 0.5) / 0.5
        torch.testing.assert_close(
            engine.preprocess(deep_HW), torch.full((1, 1, 8, 12), expected), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(64, 90), (11, 300)])
def test_float_pictures_are_resized_as_torchvision_resizes_float_tensors(
    kind: str, shape: tuple[int, int]
) -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as reference

    image_HW3 = torch.rand(*shape, 3)
    prep = Preprocessing(size=(16, 16), resize=16, interpolation=kind)  # type: ignore[arg-type]
    rows, columns = prep.resized_size(*shape)
    expected_3HW = reference.resize(
        image_HW3.permute(2, 0, 1), [rows, columns], InterpolationMode(kind), antialias=True
    )
    expected_3HW = reference.center_crop(expected_3HW, [16, 16]).clamp(0, 1)
    given_3HW = prep.to_unit_range(prep.apply(image_HW3 * 255))[0]
    torch.testing.assert_close(given_3HW, expected_3HW, rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", [(8, 12), (8, 12, 1)])
def test_a_grey_picture_shows_its_grey_to_every_network(form: tuple[int, ...]) -> None:
    grey = np.full(form, 51, np.uint8)  # 0.2, that is (0.2 - 0.5) / 0.5 = -0.6
    for channels in (1, 3):
        with engine_with(channels, SIZE) as engine:
            input_1CHW = engine.preprocess(grey)
        expected = torch.full((1, channels, 8, 12), -0.6)
        torch.testing.assert_close(input_1CHW, expected, rtol=0, atol=1e-6)


def test_a_grey_network_sees_the_luminance_of_colours() -> None:
    # 0.299 200 + 0.587 100 + 0.114 50 = 124.2, which is 124 in eight bits.
    colour_HW3 = np.broadcast_to(np.array([200, 100, 50], np.uint8), (8, 12, 3))
    with engine_with(1, SIZE) as engine:
        from_uint8 = engine.preprocess(colour_HW3)
        from_float = engine.preprocess(colour_HW3 / 255.0)
    assert from_uint8.shape == (1, 1, 8, 12)
    torch.testing.assert_close(from_uint8[0, 0, 3, 3], torch.tensor((124 / 255 - 0.5) / 0.5))
    torch.testing.assert_close(from_float[0, 0, 3, 3], torch.tensor((124.2 / 255 - 0.5) / 0.5))


@pytest.mark.parametrize(
    ("picture", "text"),
    [
        (np.zeros((8, 12, 2), np.uint8), "shape [8, 12, 2] is none; give [height, width] grey"),
        (np.zeros((3, 8, 12), np.uint8), "shape [3, 8, 12] is none"),
        (np.zeros((0, 12, 3), np.uint8), "shape [0, 12, 3] is none"),
        (np.zeros(5, np.uint8), "shape [5] is none"),
        (np.zeros((8, 12, 3), np.int32), "type int32 is not supported; use uint8, uint16 or"),
        (np.zeros((8, 12, 3), "U1"), "is not supported; use uint8, uint16 or float"),
        (torch.zeros(8, 12, 3, dtype=torch.int64), "type int64 is not supported"),
        (NOISE_HW3.astype(np.float32), "has values from 0 to 255; they must lie in 0..1"),
        (np.full((8, 12, 3), np.nan), "has values from nan to nan"),
        (torch.zeros(1, 3, 9, 12), "preprocessed input has shape (1, 3, 9, 12); net takes"),
        (np.zeros((1, 1, 8, 12), np.float32), "has shape (1, 1, 8, 12); net takes [batch, 3, 8"),
        ([], "the sequence is empty"),
        (["a.png"], "must be a numpy array or a tensor, not a str"),
    ],
)
def test_what_is_no_picture_is_told_in_one_line(picture: object, text: str) -> None:
    with engine_with(3, SIZE) as engine, pytest.raises(RtvisError) as caught:
        engine.run(picture)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_of_many_types_run_together_and_as_preprocessed_numpy() -> None:
    with engine_with(3, SIZE) as engine:
        together = engine.run([NOISE_HW3, NOISE_HW3 / 255.0, NOISE_HW3.astype(np.uint16) * 257])
        alone = engine.run(NOISE_HW3).scores_BK
        torch.testing.assert_close(together.scores_BK, alone.expand(3, -1), rtol=0, atol=1e-5)
        ready = engine.preprocess(NOISE_HW3).numpy()
        assert torch.equal(engine.run(ready).scores_BK, alone)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_deep_picture_files_reach_the_network(tmp_path: Path, dtype: type) -> None:
    factor = 257 if dtype is np.uint16 else 1
    for suffix in (".png", ".tif"):
        path = tmp_path / f"deep{suffix}"
        assert cv2.imwrite(str(path), NOISE_HW3.astype(dtype)[:, :, ::-1] * factor)
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert stored.dtype == dtype, "the file has as many bits"
        assert np.array_equal(read_image(path), NOISE_HW3)


# Channels


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_a_network_with_other_channels_takes_pictures_of_its_own(channels: int) -> None:
    own_HWC = np.random.default_rng(1).integers(0, 256, (*SIZE, channels), dtype=np.uint8)
    with engine_with(channels, SIZE) as engine:
        expected = (torch.from_numpy(own_HWC).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
        torch.testing.assert_close(engine.preprocess(own_HWC), expected, rtol=0, atol=1e-6)
        larger_HWC = np.random.default_rng(2).integers(0, 256, (31, 40, channels), dtype=np.uint8)
        resized_1CHW = engine.preprocess(larger_HWC)
        with pytest.raises(RtvisError, match=f"net takes {channels} channels, and pictures have 3"):
            engine.run(NOISE_HW3)
        with pytest.raises(RtvisError, match="--repeat-channels to give it red, green, blue"):
            engine.check_takes_pictures()
    with engine_with(1, SIZE) as grey:
        alone = [grey.preprocess(larger_HWC[:, :, c]) for c in range(channels)]
    torch.testing.assert_close(resized_1CHW, torch.cat(alone, dim=1), rtol=0, atol=1e-5)


def test_channels_are_repeated_only_when_asked() -> None:
    with engine_with(6, SIZE, repeats=True) as engine:
        engine.check_takes_pictures()
        input_16HW = engine.preprocess(NOISE_HW3)
        assert torch.equal(input_16HW[:, :3], input_16HW[:, 3:])
    with engine_with(4, SIZE, repeats=True) as engine:
        input_14HW = engine.preprocess(NOISE_HW3)
        assert torch.equal(input_14HW[:, 3], input_14HW[:, 0])
        assert not torch.equal(input_14HW[:, 1], input_14HW[:, 0])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_the_backward_picture_has_the_networks_channels_and_autograds_numbers(
    channels: int,
) -> None:
    with engine_with(channels, (10, 14)) as engine:
        x_1CHW = torch.randn(1, channels, 10, 14, requires_grad=True)
        selection = Selection(layer="second", unit=2, rule="gradient", position=(1, 4))
        result = engine.run(x_1CHW.detach(), selection)
        model = engine._network.model
        maps = model.second(F.max_pool2d(F.relu(model.first(x_1CHW)), 2))
        (expected,) = torch.autograd.grad(maps[0, 2, 1, 4], x_1CHW)
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(result.backprop_B3HW, expected, rtol=1e-4, atol=1e-6)
    for name, show in display.BACKPROP_DISPLAYS.items():
        shown = show(result.backprop_B3HW[0])
        assert shown.shape[0] == (
            3 if channels == 3 and name in {"clipped", "raw", "positive"} else 1
        ), name
        assert shown.shape[1:] == (10, 14)
        assert 0 <= shown.min() < shown.max() <= 1


def inputs_with(mean: tuple[float, ...]) -> Inputs:
    num_channels = len(mean)
    network = Network(
        model=AnyChannels(num_channels).eval(),
        name="net",
        preprocessing=Preprocessing(
            size=SIZE, num_channels=num_channels, mean=mean, std=(0.5,) * num_channels
        ),
        labels=None,
        weights_note="",
    )
    return Inputs(network, torch.device("cpu"))


def test_the_colour_around_a_picture_is_the_mean_of_each_channel() -> None:
    assert inputs_with((0.2, 0.4, 0.6)).mean_rgb == (51, 102, 153)
    assert inputs_with((0.8,)).mean_rgb == (204, 204, 204)


def test_of_several_pictures_the_crop_is_that_of_the_first() -> None:
    inputs = inputs_with((0.5, 0.5, 0.5))
    wide, tall = (np.zeros(size, np.uint8) for size in ((100, 300, 3), (400, 200, 3)))
    for first, second in ((wide, tall), (tall, wide)):
        _, crop = inputs.of([first, second], "crop")
        assert crop == inputs.of(first, "crop")[1] != inputs.of(second, "crop")[1]


def test_channels_that_are_no_colours_are_shown_as_their_mean() -> None:
    gradient_411 = torch.tensor([4.0, -2.0, 1.0, 1.0]).view(4, 1, 1)  # mean 1
    gradient_412 = torch.cat([gradient_411, -2 * gradient_411], dim=2)  # means 1 and -2
    torch.testing.assert_close(
        display.raw(gradient_412),
        torch.tensor([[[0.75, 0.0]]]),  # 1 / 4 + 1/2, -2 / 4 + 1/2
    )
    # Of positive parts: (4 + 0 + 1 + 1) / 4 = 1.5 and (0 + 4 + 0 + 0) / 4 = 1.
    torch.testing.assert_close(display.positive(gradient_412), torch.tensor([[[1.0, 2 / 3]]]))


def test_a_mean_for_each_of_many_channels_can_be_given_as_a_flag() -> None:
    from rtvis.config import Config

    config = parse_config(Config, ["--mean", "0.1,0.2,0.3,0.4"], prog="p", description="")
    assert config.network.mean == (0.1, 0.2, 0.3, 0.4)
    assert NetworkConfig().mean is None


# Whole programs: a MNIST-like network and one of 256x512


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(FILE)
    (tmp_path / "pictures").mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NETS = [("mnist", 1, (28, 28)), ("wide", 3, (256, 512))]


@pytest.mark.parametrize(("factory", "channels", "size"), NETS)
def test_it_runs_in_the_live_program(
    factory: str, channels: int, size: tuple[int, int], here: Path
) -> None:
    flags = ["--network", f"net.py:{factory}", "--compile", "off", "--device", "cpu"]
    flags += ["--view", "none", "--stream", "pictures", "--pace", "fast", "--record", "out.mp4"]
    assert cli.main(flags) == 0
    film = cv2.VideoCapture("out.mp4")
    pictures = []
    while True:
        read, picture = film.read()
        if not read:
            break
        pictures.append(picture)
    film.release()
    assert len(pictures) == 2
    # More than a background: the backward picture lies in the left column's lowest third.
    assert pictures[-1][560:740, 20:240].std() > 2


@pytest.mark.parametrize(("factory", "channels", "size"), NETS)
def test_it_is_explained_in_stills_and_from_python(
    factory: str, channels: int, size: tuple[int, int], here: Path
) -> None:
    network = ["-n", f"net.py:{factory}", "--device", "cpu", "-i", "pictures/0.png"]
    assert gradcam_main([*network, "-o", "cam", "--raw", "cam.npz"]) == 0
    drawn = cv2.imread("cam_0.png")
    assert drawn is not None
    assert drawn.shape == (64, 96, 3)
    for shown in ("raw", "normblur") if factory == "mnist" else ("positive",):
        options = ["-o", f"{shown}.png", "--raw", "b.npz", "--display", shown]
        assert guided_backprop_main([*network, *options]) == 0
        drawn = cv2.imread(f"{shown}.png")
        assert drawn is not None
        assert drawn.shape == (*size, 3)
        assert drawn.std() > 0.5
    with np.load("b.npz") as numbers:
        assert numbers["backprop_CHW"].shape == (channels, *size)
        assert np.abs(numbers["backprop_CHW"]).max() > 0
    with rtvis.load(f"net.py:{factory}", device="cpu", compile="off") as engine:
        result = engine.run(np.asarray(Image.open("pictures/0.png")))
        assert result.backprop_B3HW.shape == (1, channels, *size)
        assert engine.layers[0].map_size == size
        assert engine.layers[1].map_size == (size[0] // 2, size[1] // 2)


def test_six_channels_are_refused_by_programs_until_they_are_told_what_to_do(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = ["--network", "net.py:six", "--size", "32", "--compile", "off", "--device", "cpu"]
    live += ["--view", "none", "--stream", "pictures", "--pace", "fast", "--record", "out.mp4"]
    assert cli.main(live) == 1
    assert "net.py:six takes 6 channels, and pictures have 3" in capsys.readouterr().err
    assert not Path("out.mp4").exists()
    assert cli.main([*live, "--repeat-channels"]) == 0
    still = ["-n", "net.py:six", "--size", "32", "--device", "cpu", "-i", "pictures/0.png"]
    assert guided_backprop_main([*still, "-o", "b.png"]) == 1
    assert "takes 6 channels" in capsys.readouterr().err
    assert guided_backprop_main([*still, "-o", "b.png", "--repeat-channels"]) == 0


# Sizes


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_resnet"])
def test_a_library_network_is_explained_at_another_size(name: str) -> None:
    with rtvis.load(name, weights="random", size=(96, 128), device="cpu", compile="off") as engine:
        result = engine.run(NOISE_HW3)
    assert result.backprop_B3HW.shape == (1, 3, 96, 128)
    assert result.backprop_B3HW.abs().max() > 0


def test_a_size_that_a_network_cannot_take_is_told_with_its_own_reason() -> None:
    with pytest.raises(NetworkError, match="takes square inputs only, not 64x96"):
        load_network("vit_b_16", weights="random", size=(64, 96))
    with pytest.raises(NetworkError, match=r"divisible by patch .*; its own size is 160x160"):
        load_network("timm/test_vit4", weights="random", size=(100, 101))
    with pytest.raises(NetworkError, match=r"cannot be built: .*partition size 7"):
        load_network("maxvit_t", weights="random", size=(192, 224))


def test_maxvit_is_built_for_the_size_that_is_asked_for() -> None:
    with torch.device("meta"):
        model = zoo.build(zoo.find("maxvit_t"), size=(448, 448)).model
        assert model(torch.empty(1, 3, 448, 448)).shape == (1, 1000)


def test_of_an_input_of_two_pictures_both_gradients_are_shown_side_by_side(tmp_path: Path) -> None:
    first_3HW, second_3HW = torch.zeros(3, 4, 5), torch.zeros(3, 4, 5)
    first_3HW[0, 1, 2], second_3HW[2, 3, 4] = 2.0, -4.0
    both_3HW = display.side_by_side(torch.cat([first_3HW, second_3HW]))
    assert both_3HW.shape == (3, 4, 10)
    assert torch.equal(both_3HW[:, :, :5], first_3HW)
    assert torch.equal(both_3HW[:, :, 5:], second_3HW)
    for channels in (1, 3, 4, 12):
        other_CHW = torch.rand(channels, 4, 5)
        assert display.side_by_side(other_CHW) is other_CHW
    # On the screen: red a little up in the left half, blue down in the right one, grey elsewhere.
    canvas_HW = torch.zeros(4, 10, dtype=torch.int32)
    six_CHW = torch.cat([first_3HW, second_3HW])
    draw_backprop(canvas_HW, Rect(0, 0, 4, 10), six_CHW, how="raw")
    words_HW = canvas_HW.numpy()
    shown_HW3 = np.stack([(words_HW >> shift) & 0xFF for shift in (16, 8, 0)], axis=2)
    # Divided by max(2, 4 * 2) = 8, plus 1/2.
    assert np.abs(shown_HW3[1, 2] - [191, 128, 128]).max() <= 1
    assert np.abs(shown_HW3[3, 9] - [128, 128, 0]).max() <= 1
    assert np.abs(np.delete(shown_HW3.reshape(40, 3), [12, 39], axis=0) - 128).max() <= 1


def test_the_pane_and_the_script_give_two_pictures_the_room_of_two(tmp_path: Path) -> None:
    with engine_with(6, SIZE, repeats=True) as engine:
        result = engine.run(NOISE_HW3, Selection(layer="second", unit=1))
        scene = Scene(view=View(), layers=engine.layers, result=result)
        compositor = Compositor(engine.device)
        compositor.compose(scene)
    assert compositor.layout is not None
    image = compositor.layout.images["backprop"]
    assert image.width / image.height == pytest.approx(2 * SIZE[1] / SIZE[0], rel=0.03)

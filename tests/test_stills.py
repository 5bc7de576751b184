"""gradcam.py and guided_backprop.py: what they write, and what they say when they cannot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtvis.cli.stills import gradcam_main, guided_backprop_main
from rtvis.data import Crop, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import load_network
from rtvis.errors import SelectionError, SinkError, SourceError
from rtvis.render import display
from rtvis.sources.pixels import read_image
from rtvis.stills.batch import Stills
from rtvis.stills.draw import draw_cam
from rtvis.stills.files import list_inputs, numbered, plan_outputs, write_all
from rtvis.stills.requests import CamRequest, class_of
from tests.nets import DenseNet, HandNet, engine_of, seeded

ROOT = Path(__file__).resolve().parent.parent

FACTORY = """
from tests.nets import EverySpelling, seeded

def make():
    return seeded(EverySpelling)
"""

Main = Callable[[list[str]], int]


@pytest.fixture
def net(tmp_path: Path) -> list[str]:
    """Arguments that name a small network of six classes, which loads fast."""
    (tmp_path / "own.py").write_text(FACTORY)
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\nelk\nfox\n")
    named = f"{tmp_path / 'own.py'}:make"
    return ["-n", named, "--labels", str(tmp_path / "labels.txt"), "--size", "32"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return save_picture(tmp_path / "in.png")


def save_picture(path: Path, *, seed: int = 0, size: tuple[int, int] = (40, 50)) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


def image_at(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_gradcam_writes_the_top_two_classes_at_the_pictures_size(
    tmp_path: Path, picture: Path, net: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw.npz"
    out = tmp_path / "out"
    code = gradcam_main(["-i", str(picture), "-o", str(out), "--raw", str(raw), *net])
    assert code == 0
    assert {"out_0.png", "out_1.png", "raw.npz"} <= set(files_in(tmp_path))
    assert image_at(tmp_path / "out_0.png").shape == (40, 50, 3)
    with np.load(raw) as numbers:
        scores_K, cams = numbers["scores_K"], numbers["cam_NHW"]
        assert numbers["class_index_N"].tolist() == np.argsort(-scores_K)[:2].tolist()
        assert cams.dtype == np.float32
        assert cams.min() >= 0
        assert str(numbers["layer"]) == "up"  # the last convolution that runs
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path / 'out_0.png'}: ")


def test_a_letterboxed_still_is_what_the_engine_sees_letterboxed(
    tmp_path: Path, net: list[str]
) -> None:
    wide = save_picture(tmp_path / "wide.png", size=(20, 40))
    raws = {}
    for fit in ("crop", "letterbox"):
        raw, out = str(tmp_path / f"{fit}.npz"), str(tmp_path / fit)
        code = gradcam_main(["-i", str(wide), "-o", out, "--raw", raw, "--fit", fit, *net])
        assert code == 0
        raws[fit] = dict(np.load(raw))
    # 40 columns into 32: 20 of 40 rows of the view are the picture.
    assert raws["letterbox"]["crop_top_left_height_width"].tolist() == [-10, 0, 40, 40]
    assert not np.array_equal(raws["crop"]["scores_K"], raws["letterbox"]["scores_K"])
    from rtvis.engine.engine import Engine
    from rtvis.engine.networks.models import load_network
    from rtvis.sources.pixels import read_image

    engine = Engine(load_network(net[1], size=(32, 32)), device="cpu", compile="off")
    expected = engine.run(read_image(wide), Selection(fit="letterbox"))
    scores_K = expected.scores_BK[0].numpy()
    np.testing.assert_allclose(raws["letterbox"]["scores_K"], scores_K, rtol=1e-5, atol=1e-6)


def test_the_cams_of_the_two_classes_are_those_that_the_engine_gives(
    tmp_path: Path, picture: Path
) -> None:
    from rtvis.engine.networks.models import load_network
    from rtvis.sources.pixels import read_image

    (tmp_path / "own.py").write_text(FACTORY)
    network = load_network(f"{tmp_path / 'own.py'}:make", size=(32, 32))
    stills = Stills(network, device="cpu")
    raw = tmp_path / "raw.npz"
    request = CamRequest(method="layercam", layer="wide", num_top=3)
    (outcome,) = stills.gradcam([picture], [tmp_path / "o.png"], request, raw_outputs=[raw])
    assert [path.name for path in outcome.written] == ["o_0.png", "o_1.png", "o_2.png"]
    with np.load(raw) as numbers:
        for rank in range(3):
            class_index = int(numbers["class_index_N"][rank])
            selection = Selection(cam="layercam", cam_layer="wide", class_index=class_index)
            expected = stills.engine.run(read_image(picture), selection).cam_BHW[0]
            np.testing.assert_array_equal(numbers["cam_NHW"][rank], expected.numpy())
        assert np.abs(numbers["cam_NHW"][0] - numbers["cam_NHW"][1]).max() > 0
    stills.close()


def test_a_picture_stays_untouched_where_there_is_no_evidence_and_is_dimmed_where_cut_off() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    crop = Crop(top=0, left=10, height=20, width=20)
    cam_HW = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    drawn = draw_cam(image, crop, cam_HW, "overlay")
    assert drawn.shape == (20, 40, 3)
    assert drawn[:, 10:15].min() == drawn[:, 10:15].max() == 200  # seen, no evidence
    assert 0 < drawn[:, :10].min() == drawn[:, :10].max() < 150
    assert 0 < drawn[:, 30:].min() == drawn[:, 30:].max() < 150
    # Turbo's upper end is a dark red, and OpenCV's order is blue, green, red.
    blue, green, red = drawn[10, 29].astype(int)
    assert red > 100 > max(blue, green)


def test_blend_is_seven_tenths_of_the_picture_and_three_of_jet() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    whole = Crop(top=0, left=0, height=8, width=8)
    drawn = draw_cam(image, whole, torch.tensor([[1.0, 1.0], [1.0, 1.0]]), "blend")
    # JET ends at (128, 0, 0) in RGB: 0.7 * 100 + 0.3 * 128 = 108.4 red, 70 green and blue.
    assert drawn[4, 4].tolist() == [70, 70, 108]


def test_heat_only_shows_no_picture() -> None:
    whole = Crop(top=0, left=0, height=8, width=8)
    cam_HW = torch.tensor([[0.0, 1.0], [0.5, 0.2]])
    dark, bright = (
        draw_cam(np.full((8, 8, 3), value, np.uint8), whole, cam_HW, "heat") for value in (0, 255)
    )
    np.testing.assert_array_equal(dark, bright)
    assert len(np.unique(dark.reshape(-1, 3), axis=0)) > 4


def test_classes_by_name_and_number_in_the_order_given(
    tmp_path: Path, picture: Path, net: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["-i", str(picture), "-o", str(tmp_path / "o"), "--class", "Fox", "--class", "1", *net]
    assert gradcam_main(args) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "fox (5)" in first
    assert "bee (1)" in second
    assert not (tmp_path / "o_2.png").exists()


def test_convindex_counts_convolutions_from_the_end(
    tmp_path: Path, picture: Path, net: list[str]
) -> None:
    names = []
    for index in ["-1", "-2", "0"]:
        raw = tmp_path / f"{index}.npz"
        out = ["-o", str(tmp_path / "o"), "--raw", str(raw)]
        assert gradcam_main(["-i", str(picture), *out, "--convindex", index, *net]) == 0
        with np.load(raw) as numbers:
            names.append(str(numbers["layer"]))
    assert names == ["up", "shared#2", "stem"]


def test_guided_backprop_writes_the_pictures_of_its_displays(
    tmp_path: Path, picture: Path, net: list[str]
) -> None:
    for shown in ["clipped", "raw", "gray", "norm", "normblur", "positive"]:
        out, raw = tmp_path / f"{shown}.png", tmp_path / f"{shown}.npz"
        args = ["--layer", "wide", "--unit", "3", "--display", shown, "--raw", str(raw)]
        assert guided_backprop_main(["-i", str(picture), "-o", str(out), *args, *net]) == 0
        with np.load(raw) as numbers:
            gradient = torch.from_numpy(numbers["backprop_CHW"])
            assert str(numbers["rule"]) == "guided"
        assert gradient.abs().max() > 0
        expected = display.BACKPROP_DISPLAYS[shown](gradient)  # type: ignore[index]
        bgr = expected.expand(3, -1, -1).flip(0).permute(1, 2, 0) * 255
        np.testing.assert_allclose(image_at(out), bgr.numpy(), atol=0.51)


def test_without_a_unit_the_strongest_of_each_picture_is_taken(
    tmp_path: Path, net: list[str]
) -> None:
    folder = tmp_path / "pictures"
    paths = [save_picture(folder / f"{i}.png", seed=i) for i in range(5)]
    from rtvis.engine.networks.models import load_network
    from rtvis.sources.pixels import read_image

    args = ["-i", str(folder), "-o", str(tmp_path / "o"), "--raw", str(tmp_path / "raw")]
    assert guided_backprop_main([*args, "--layer", "wide", "--batch-size", "2", *net]) == 0
    (tmp_path / "other.py").write_text(FACTORY)
    network = load_network(f"{tmp_path / 'other.py'}:make", size=(32, 32))
    engine = Stills(network, device="cpu").engine
    units = set()
    for path in paths:
        with np.load(tmp_path / "raw" / f"{path.stem}.npz") as numbers:
            unit, backprop = int(numbers["unit"]), numbers["backprop_CHW"]
        maps = engine.run(read_image(path), Selection(layer="wide")).maps_BCHW[0]
        assert unit == int(maps.amax(dim=(1, 2)).argmax())
        alone = engine.run(read_image(path), Selection(layer="wide", unit=unit))
        np.testing.assert_allclose(backprop, alone.backprop_B3HW[0].numpy(), atol=1e-6)
        units.add(unit)
    assert len(units) > 1, "every picture has the same unit: the test proves nothing"


def test_a_class_is_explained_from_the_classifier(
    tmp_path: Path, picture: Path, net: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw.npz"
    args = ["-i", str(picture), "-o", str(tmp_path / "o.png"), "--raw", str(raw)]
    assert guided_backprop_main([*args, "--class", "dog", "--rule", "gradient", *net]) == 0
    with np.load(raw) as numbers:
        assert (str(numbers["layer"]), int(numbers["unit"])) == ("fc", 3)
        assert float(numbers["value"]) == pytest.approx(float(numbers["scores_K"][3]))
    assert "dog (3)" in capsys.readouterr().out


def test_a_region_of_a_dense_output_is_explained_by_its_class_s_gradient(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(FACTORY.replace("EverySpelling", "DenseNet"))
    raw, out = tmp_path / "raw.npz", str(tmp_path / "o.png")
    net = ["-n", f"{tmp_path / 'own.py'}:make", "--size", "20x28"]
    args = ["-i", str(picture), "-o", out, "--raw", str(raw), "--rule", "gradient", *net]
    network = load_network(f"{tmp_path / 'own.py'}:make", size=(20, 28))
    with Engine(network, device="cpu", compile="off") as engine:
        x = engine.preprocess(read_image(picture)).requires_grad_()
    for named, class_index in (([], None), (["--class", "2"], 2)):
        assert guided_backprop_main([*args, "--region", "4,6,7,11", *named]) == 0
        scores_K = seeded(DenseNet)(x)[0, :, 4:11, 6:17].mean(dim=(1, 2))
        wanted = int(scores_K.argmax()) if class_index is None else class_index
        (expected,) = torch.autograd.grad(scores_K[wanted], x)
        with np.load(raw) as numbers:
            np.testing.assert_allclose(numbers["backprop_CHW"], expected[0], atol=1e-6)
            np.testing.assert_allclose(numbers["value"], scores_K[wanted].item(), rtol=1e-4)
            assert int(numbers["class_index"]) == wanted
        assert f"class {wanted} at (4, 6), 7x11 pixels" in capsys.readouterr().out
    assert guided_backprop_main([*args, "--region", "19,0,2,1"]) == 1
    assert "does not lie inside the 20x28 output" in capsys.readouterr().err


@pytest.mark.parametrize("named_by", ["folder", "glob", "names"])
def test_several_pictures_of_several_sizes_in_batches(
    tmp_path: Path, net: list[str], named_by: str
) -> None:
    folder = tmp_path / "pictures"
    sizes = [(40, 50), (64, 33), (40, 50), (32, 90), (35, 35)]
    paths = [save_picture(folder / f"p{i}.png", seed=i, size=s) for i, s in enumerate(sizes)]
    inputs = {
        "folder": [str(folder)],
        "glob": [str(folder / "*.png")],
        "names": [str(path) for path in paths],
    }
    out = tmp_path / "out"
    args = ["-i", *inputs[named_by], "-o", str(out), "--raw", str(tmp_path / "raw")]
    assert gradcam_main([*args, "--batch-size", "2", *net]) == 0
    assert files_in(out) == [f"p{i}_{rank}.png" for i in range(5) for rank in range(2)]
    for index, size in enumerate(sizes):
        assert image_at(out / f"p{index}_1.png").shape == (*size, 3)


def test_a_picture_in_a_batch_is_explained_as_it_is_alone(tmp_path: Path, net: list[str]) -> None:
    folder = tmp_path / "pictures"
    for index in range(3):
        save_picture(folder / f"{index}.png", seed=index, size=(40, 50 + 9 * index))
    args = ["-i", str(folder), "-o", str(tmp_path / "o"), "--raw", str(tmp_path / "raw")]
    assert gradcam_main([*args, "--batch-size", "2", *net]) == 0
    for name in ["1", "2"]:  # from a full batch and from one that had to be filled up
        args = ["-i", str(folder / f"{name}.png"), "-o", str(tmp_path / "one")]
        assert gradcam_main([*args, "--raw", str(tmp_path / "one.npz"), *net]) == 0
        with (
            np.load(tmp_path / "one.npz") as one,
            np.load(tmp_path / "raw" / f"{name}.npz") as many,
        ):
            assert one["class_index_N"].tolist() == many["class_index_N"].tolist()
            assert one["cam_NHW"].max() > 0
            np.testing.assert_allclose(many["cam_NHW"], one["cam_NHW"], rtol=1e-4, atol=1e-7)


def test_grey_sixteen_bit_and_turned_pictures_are_read_as_they_are_meant(
    tmp_path: Path, net: list[str]
) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:, :30] = 255
    cv2.imwrite(str(tmp_path / "grey.png"), upright[:, :, 0])
    cv2.imwrite(str(tmp_path / "deep.png"), upright.astype(np.uint16) * 257)
    turned = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)
    jpeg = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    # An APP1 segment whose one tag, 0x0112, says 6: to be turned 90 degrees clockwise.
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    inputs = [str(tmp_path / name) for name in ["grey.png", "deep.png", "turned.jpg"]]
    raw = tmp_path / "raw"
    assert gradcam_main(["-i", *inputs, "-o", str(tmp_path / "o"), "--raw", str(raw), *net]) == 0
    scores = [np.load(raw / f"{name}.npz")["scores_K"] for name in ["grey", "deep", "turned"]]
    # Eight bits are rounded after the resize, sixteen are not.
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3)
    np.testing.assert_allclose(scores[2], scores[0], rtol=2e-2, atol=2e-2)
    assert image_at(tmp_path / "o" / "turned_0.png").shape == (40, 60, 3)


BAD = [
    (["-i", "nowhere.png"], "nowhere.png: there is no such file"),
    (["-i", "*.nothing"], "matches no file"),
    (["-i", "empty.png"], "empty.png: the file is empty"),
    (["-i", "text.png"], "text.png: cannot be decoded"),
    (["--method", "gradcamp"], "unknown CAM method 'gradcamp'; nearest is 'grad-cam"),
    (["--layer", "wid"], "no layer 'wid'; nearest is 'wide'"),
    (["--layer", "fc"], "'fc' is dense"),
    (["--convindex", "-9"], "has 7 convolutions and none with the index -9; choose -7 to 6"),
    (["--class", "foxx"], "has no class 'foxx'; nearest is 'fox'"),
    (["--class", "6"], "no class 6"),
    (["--top-k", "7"], "top 7 classes of 6"),
    (["--device", "cpuu"], "unknown device 'cpuu'"),
    (["--raw", "in.png/raw.npz"], "cannot be written"),
    (["-o", "in.png/sub/out"], "cannot be written"),
    (["-o", "/proc/rtvis/out"], "/proc/rtvis: cannot be written"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(args) for args, _ in BAD])
def test_a_users_fault_is_one_line_and_exit_code_one_and_leaves_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    net: list[str],
    args: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_picture(tmp_path / "in.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    before = files_in(tmp_path)
    defaults = [] if "-i" in args else ["-i", "in.png"]
    defaults += [] if "-o" in args else ["-o", "out"]
    assert gradcam_main([*defaults, *args, *net]) == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gradcam.py: ")
    assert message in lines[0]
    assert captured.out == ""
    assert [f for f in files_in(tmp_path) if "__pycache__" not in f] == before


BAD_UNITS = [
    (["--layer", "wide", "--unit", "12"], "layer 'wide' has no unit 12; its units are 0 to 11"),
    (["--layer", "wide", "--position", "99", "0"], "position (99, 0) is outside"),
    (["--layer", "Wide"], "no layer 'Wide'; nearest is 'wide'"),
    (["--class", "gnu"], "has no class 'gnu'"),
]


@pytest.mark.parametrize(
    ("args", "message"), BAD_UNITS, ids=[" ".join(args) for args, _ in BAD_UNITS]
)
def test_unknown_units_positions_and_layers_are_named(
    tmp_path: Path,
    picture: Path,
    capsys: pytest.CaptureFixture[str],
    net: list[str],
    args: list[str],
    message: str,
) -> None:
    out = tmp_path / "out.png"
    assert guided_backprop_main(["-i", str(picture), "-o", str(out), *args, *net]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()


WRONG_USAGE: list[tuple[Main, list[str]]] = [
    (gradcam_main, []),
    (gradcam_main, ["-i", "x.png", "--top-k", "0"]),
    (gradcam_main, ["-i", "x.png", "--overlay", "--heat-only"]),
    (gradcam_main, ["-i", "x.png", "--size", "1x2x3"]),
    (gradcam_main, ["-i", "x.png", "--layer", "a", "--convindex", "1"]),
    (guided_backprop_main, ["-i", "x.png", "--rule", "guidd"]),
    (guided_backprop_main, ["-i", "x.png", "--display", "colour"]),
    (guided_backprop_main, ["-i", "x.png", "--class", "cat", "--layer", "fc"]),
    (guided_backprop_main, ["-i", "x.png", "--region", "1,2", "--unit", "3"]),
    (guided_backprop_main, ["-i", "x.png", "--region", "1,2", "--seed", "map"]),
    (guided_backprop_main, ["-i", "x.png", "--seed", "score", "--layer", "fc"]),
]


@pytest.mark.parametrize(("main", "args"), WRONG_USAGE, ids=[" ".join(a) for _, a in WRONG_USAGE])
def test_wrong_usage_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str], main: Main, args: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert ".py --help` shows all flags" in said


def test_one_bad_picture_of_many_does_not_stop_the_others(
    tmp_path: Path, net: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    for index in range(3):
        save_picture(folder / f"{index}.png", seed=index)
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    out = tmp_path / "out"
    assert guided_backprop_main(["-i", str(folder), "-o", str(out), *net]) == 1
    assert files_in(out) == ["0.png", "2.png"]
    error = capsys.readouterr().err
    assert "1.png: cannot be decoded" in error
    assert "1 of 3 pictures could not be read" in error


def test_the_input_is_never_replaced(
    tmp_path: Path, picture: Path, net: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = picture.read_bytes()
    assert guided_backprop_main(["-i", str(picture), "-o", str(picture), *net]) == 1
    assert picture.read_bytes() == before
    assert "is the input itself" in capsys.readouterr().err


def test_nor_is_an_input_that_comes_later(
    tmp_path: Path, net: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    for name in ("a.png", "a_0.png"):
        save_picture(folder / name)
    before = (folder / "a_0.png").read_bytes()
    assert gradcam_main(["-i", str(folder), "-o", str(folder), *net]) == 1
    assert f"{folder / 'a_0.png'}: is the input itself" in capsys.readouterr().err
    assert files_in(folder) == ["a.png", "a_0.png"]
    assert (folder / "a_0.png").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch-size", "x"], "--batch-size: x: give a whole number from 1"),
        (["--top-k", "0"], "--top-k: 0: give a whole number from 1"),
        (["--size", "1x2x3"], "--size: 1x2x3: give a side such as 224, or height and"),
        (["--size", "axb"], "--size: axb: give a side such as 224, or height and"),
        (["--region", "a"], "--region: a: give row and column such as 30,50"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_one_that_can(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        gradcam_main(["-i", "a.png", *flags])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_picture_that_cannot_be_finished_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    write_bytes = Path.write_bytes

    def write_some(self: Path, data: bytes) -> int:
        if data == b"second":  # the disk is full in the middle of it
            write_bytes(self, data[:3])
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_some)
    full = r"b\.png: cannot be written \(No space left on device\); free some space"
    with pytest.raises(SinkError, match=full):
        write_all({tmp_path / "a.png": b"first", tmp_path / "b.png": b"second"})
    assert files_in(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_written_files_have_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    write_all({tmp_path / "a": b"1"})
    (tmp_path / "b").write_bytes(b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_outputs_are_named_after_the_output_or_after_the_inputs(tmp_path: Path) -> None:
    one, same, other = Path("x/one.png"), Path("x/one.jpg"), Path("y/one.png")
    new = str(tmp_path / "new")
    assert plan_outputs([one], "out") == [Path("out.png")]
    assert plan_outputs([one], "out.jpg") == [Path("out.jpg")]
    assert plan_outputs([one], "net.v2") == [Path("net.v2.png")]
    assert plan_outputs([one], str(tmp_path)) == [tmp_path / "one.png"]
    assert plan_outputs([one], "folder/") == [Path("folder/one.png")]
    assert plan_outputs([one, same], new) == [
        tmp_path / "new" / "one.png.png",
        tmp_path / "new" / "one.jpg.png",
    ]
    assert len(set(plan_outputs([one, other], new))) == 2
    assert numbered(Path("out.jpg"), 1) == Path("out_1.jpg")
    save_picture(tmp_path / "a.png")
    with pytest.raises(SinkError, match="is a file, and 2 pictures need a folder"):
        plan_outputs([one, same], str(tmp_path / "a.png"))


def test_inputs_are_listed_once_and_in_order(tmp_path: Path) -> None:
    for name in ["p10.png", "p2.png"]:
        save_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    names = [p.name for p in list_inputs([str(tmp_path / "p10.png"), str(tmp_path)])]
    assert names == ["p10.png", "p2.png"]
    assert [p.name for p in list_inputs([str(tmp_path)])] == ["p2.png", "p10.png"]
    (tmp_path / "list.txt").write_text("p10.png 1\n\np2.png 0\np10.png 1\n")
    assert [p.name for p in list_inputs([str(tmp_path / "list.txt")])] == ["p10.png", "p2.png"]
    with pytest.raises(SourceError, match=r"notes.txt: this list names no picture"):
        list_inputs([str(tmp_path / "notes.txt")])


def test_labels_with_several_names_answer_to_each() -> None:
    labels = ("tabby, tabby cat", "Egyptian cat")
    engine = engine_of(HandNet().eval(), 2, labels=labels)
    assert class_of("Tabby Cat", engine) == 0
    assert class_of("tabby", engine) == 0
    assert class_of("egyptian cat", engine) == 1
    assert class_of("1", engine) == 1
    with pytest.raises(SelectionError, match="nearest is 'egyptian cat'"):
        class_of("egyptian ct", engine)
    with pytest.raises(SelectionError, match=r"names .* are not known"):
        class_of("tabby", engine_of(HandNet().eval(), 2))


@pytest.mark.parametrize("script", ["gradcam.py", "guided_backprop.py"])
def test_help_is_there_at_once_without_torch(script: str) -> None:
    began_s = time.monotonic()
    code = (
        "import runpy, sys\n"
        "try:\n"
        f"    runpy.run_path({script!r}, run_name='__main__')\n"
        "finally:\n"
        "    print('torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - began_s < 5
    assert done.stderr.strip() == "False"
    for group in ["files:", "network:", "what is explained:", "how it is drawn:", "--device"]:
        assert group in done.stdout


def test_the_script_runs_as_a_program_and_its_results_can_be_piped(
    tmp_path: Path, picture: Path, net: list[str]
) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "gradcam.py", "-i", str(picture), "-o", str(out), "--top-k", "1", *net],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{out}_0.png: ")
    assert done.stdout.count("\n") == 1
    assert image_at(tmp_path / "out_0.png").shape == (40, 50, 3)


def test_ctrl_c_leaves_within_a_second_and_half_a_picture_is_never_left(
    tmp_path: Path, net: list[str]
) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for index in range(3000):
        assert cv2.imwrite(str(pictures / f"{index:04d}.bmp"), pixels)
    program = subprocess.Popen(
        [sys.executable, "guided_backprop.py", "-i", str(pictures), "-o", str(out), *net],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline(), "the first picture is there"
    program.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, errors = program.communicate(timeout=30)
    assert time.monotonic() - sent < 1
    assert program.returncode == 130
    assert errors == "guided_backprop.py: interrupted\n"
    written = list(out.iterdir())
    assert 0 < len(written) < 3000
    assert all(image_at(path).shape for path in written)

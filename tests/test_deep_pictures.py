"""Pictures of more than eight bits: the network sees all of them, the screen eight."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtvis import cli
from rtvis.api import load
from rtvis.cli.stills import gradcam_main, guided_backprop_main
from rtvis.data import Frame
from rtvis.slot import LatestSlot
from rtvis.sources import open_source, read_image
from rtvis.sources.base import next_frame
from rtvis.sources.pixels import read_picture
from tests.workplace import write_workplace

SMALL = ("--network", "net.py:Net", "--size", "32", "--device", "cpu")
LIVE = (*SMALL, "--compile", "off", "--view", "none", "--pace", "fast")


def deep(seed: int = 0) -> np.ndarray:
    """RGB of 16 bits in which eight bits see nothing but one grey: 32768 to 32900."""
    values = np.random.default_rng(seed).integers(32768, 32900, (32, 32, 3))
    return values.astype(np.uint16)


def write(path: Path, image_HW3: np.ndarray) -> None:
    assert cv2.imwrite(str(path), image_HW3[:, :, ::-1])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_workplace(tmp_path)
    write(tmp_path / "deep.png", deep())
    write(tmp_path / "other.png", deep(1))
    (tmp_path / "both.yaml").write_text("display: {compared: difference}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".float.tif", ".hdr"])
def test_a_file_s_numbers_are_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    exact_HW3 = deep() / np.float32(65535)
    floats = suffix in {".float.tif", ".hdr"}
    write(path, exact_HW3.astype(np.float32) if floats else deep())
    picture = read_picture(path)
    assert picture.precise_HW3 is not None
    assert picture.precise_HW3.dtype == np.float32
    assert picture.image_HW3.dtype == np.uint8
    # Radiance files share one exponent among the channels: 1 part in 256.
    most = 1 / 256 if suffix == ".hdr" else 1e-7
    assert np.abs(picture.precise_HW3 - exact_HW3).max() <= most
    if suffix != ".hdr":
        assert set(np.unique(picture.image_HW3)) == {128}, "eight bits see one grey"
        assert len(np.unique(picture.precise_HW3)) > 100
    np.testing.assert_array_equal(read_image(path), picture.image_HW3)


def test_what_is_brighter_than_white_or_no_number_is_cut_off(tmp_path: Path) -> None:
    values = np.array([[[-1.0, 0.0, 0.25], [1.0, 7.0, np.nan]]], np.float32)
    write(tmp_path / "a.tif", values)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.precise_HW3 is not None
    assert picture.precise_HW3.tolist() == [[[0.0, 0.0, 0.25], [1.0, 1.0, 0.0]]]
    assert picture.image_HW3.tolist() == [[[0, 0, 64], [255, 255, 0]]]


def test_eight_bits_stay_eight(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.full((4, 5, 3), 7, np.uint8))
    picture = read_picture(tmp_path / "a.png")
    assert picture.precise_HW3 is None
    assert picture.best is picture.image_HW3


def test_mirror_and_contrast_are_done_to_all_bits(here: Path) -> None:
    slot: LatestSlot[Frame] = LatestSlot()
    with open_source("deep.png", mirror="on", stretch_contrast=True) as source:
        source.start(slot)
        frame = next_frame(source, slot)
    assert frame is not None
    assert frame.precise_HW3 is not None
    exact_HW3 = deep()[:, ::-1].astype(np.float64) - deep().min()
    np.testing.assert_allclose(
        frame.precise_HW3, exact_HW3 / (deep().max() - deep().min()), atol=1e-4
    )


def expected_scores(image_HW3: np.ndarray) -> torch.Tensor:
    with load("net.py:Net", size=(32, 32), device="cpu", compile="off") as engine:
        scores_K = engine.run(image_HW3).scores_BK[0]
        flat_K = engine.run(np.full((32, 32, 3), 128, np.uint8)).scores_BK[0]
    assert not torch.allclose(scores_K, flat_K, atol=1e-6), "it can be told from the grey"
    return scores_K


@pytest.mark.parametrize("run", [gradcam_main, guided_backprop_main])
def test_the_stills_scripts_show_the_network_all_bits(
    here: Path, run: Callable[[list[str]], int]
) -> None:
    assert run(["-i", "deep.png", "-o", "out.png", *SMALL, "--raw", "out.npz"]) == 0
    with np.load(here / "out.npz") as raw:
        np.testing.assert_allclose(raw["scores_K"], expected_scores(deep()), rtol=0, atol=1e-7)


def test_the_live_program_shows_the_network_all_bits_and_saves_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = ("--stream", "deep.png", "--compare-stream", "other.png", "--config", "both.yaml")
    assert cli.main([*LIVE, *inputs, "--save", "out"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    first, second = np.load(folder / "raw.npz"), "second.scores_BK"
    for name, seed in (("scores_BK", 0), (second, 1)):
        np.testing.assert_allclose(first[name][0], expected_scores(deep(seed)), rtol=0, atol=1e-6)
    for name, seed in (("frame.png", 0), ("second.png", 1)):
        saved = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
        assert saved is not None
        np.testing.assert_array_equal(saved[:, :, ::-1], deep(seed))
    assert cli.main([*LIVE, "--state", str(folder), "--save", "again"]) == 0
    again = np.load(Path(capsys.readouterr().out.strip()) / "raw.npz")
    for name in ("maps_BCHW", "second.maps_BCHW"):
        np.testing.assert_array_equal(first[name], again[name])

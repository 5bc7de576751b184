"""Exports of a store: as it is, and under the names that other tools look for."""

import errno
import subprocess
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtvis import filing
from rtvis.cli import main
from rtvis.data import Crop, Layer
from rtvis.engine.networks.identity import Identity
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.filing import encode_npz
from rtvis.units import names
from rtvis.units.crops import BEYOND, ZERO, Window, cut
from rtvis.units.montage import montage
from rtvis.units.store import Store, open_store
from rtvis.units.tracker import Top
from rtvis.units.unit_inputs import UnitInput, as_json
from rtvis.units.writer import StoreWriter, encoded, json_bytes

CONV = Layer(
    index=4,
    name="conv1",
    kind="conv",
    num_units=12,
    map_size=(16, 16),
    stride=(2.0, 2.0),
    receptive_field=(24, 24),
    field_start=(-2.0, -2.0),
)
DENSE = Layer(
    index=5,
    name="fc#2",
    kind="dense",
    num_units=3,
    map_size=(1, 1),
    stride=(32.0, 32.0),
    receptive_field=(32, 32),
)
NUM_INPUTS = 9
OF_OLD, IN_THE_CORNER = 7, 8
"""Ranks of an input whose backward pictures are those of an older store, and of one whose field
begins in the padding."""


def filled(red: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    image_HW3 = np.zeros((*size, 3), dtype=np.uint8)
    image_HW3[..., 0] = red
    return image_HW3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "units", Preprocessing(size=(32, 32)))


def store_in(root: Path, prep: Preprocessing) -> Store:
    store = open_store(root, Identity(network="net", weights="0" * 40, preprocessing=prep))
    with store.writing("a test") as writer:
        writer.write_json(None, f"{names.ITEMS}.json", {"classes": ["cat", "dog"]})
        writer.write_files(None, {f"{names.ITEMS}_scan_01.npz": b"only for the next scan"})
        for layer in (CONV, DENSE):
            writer.write_layer(layer)
            size = layer.num_units, NUM_INPUTS
            top = Top(
                values_CN=torch.ones(size),
                item_CN=torch.zeros(size, dtype=torch.int64),
                position_CN2=torch.zeros(*size, 2, dtype=torch.int32),
            )
            writer.write_top(layer.name, top)
            _write_unit(writer, layer, 2)
    return store


def _write_unit(writer: StoreWriter, layer: Layer, unit: int) -> None:
    inputs, images = [], {}
    for rank in range(NUM_INPUTS):
        field = layer.field_at((0, 0) if rank == IN_THE_CORNER else (3, 5), (32, 32))
        window = Window(
            top=int(field.top),
            left=int(field.left),
            height=int(field.height),
            width=int(field.width),
        )
        inputs.append(
            UnitInput(
                item=100 + rank,
                name=f"pictures/{rank}.jpg",
                label={0: "dog", 2: "bird"}.get(rank),  # birds have gone from the classes
                pts_seconds=None,
                value=9.5 - rank,
                position=(3, 5) if layer.kind == "conv" else (0, 0),
                recomputed=None,
                field=field,
                source=Crop(top=0, left=0, height=10, width=10),
                picture_size=(64, 64),
            )
        )
        grey = filled(0)
        grey[:] = 128
        images[names.ranked("crop", rank)] = cut(filled(20 * rank + 60), window)
        for kind in ("gradient", "guided", "deconvnet"):
            images[names.ranked(kind, rank)] = cut(filled(255), window)  # to be looked at
        for kind in ("gradient", "deconvnet"):
            kept_as = kind if rank == OF_OLD else f"{kind}_raw"
            # Red is what deconvnet says, blue what the gradient does.
            grey[10:14, 12:16] = (255, 128, 128) if kind == "deconvnet" else (128, 128, 255)
            images[names.ranked(kept_as, rank)] = cut(grey, window, beyond=ZERO)
    writer.write_pictures(layer.name, unit, images)
    json = {names.INPUTS: json_bytes(as_json(inputs))}
    writer.write_unit(layer.name, unit, json)
    optimized = {names.optimized("default", seed, ".png"): filled(200 + seed) for seed in (0, 1)}
    writer.write_pictures(layer.name, unit, optimized)


def export(store: Store, target: Path, *flags: str) -> int:
    """The exit code of the command."""
    return main(["units", "export", str(store.folder), "--output", str(target), *flags])


def red_of(path: Path, row: int = 0, column: int = 0) -> int:
    image_HW3 = cv2.imread(str(path))
    assert image_HW3 is not None, path
    return int(image_HW3[row, column, 2])


def test_units_have_the_names_of_crop_max_patches(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert export(store, target, "--form", "units") == 0
    folder = target / "conv1" / "unit_0002"
    kinds = ("maxim", "deconv", "deconvnorm", "backprop", "backpropnorm")
    expected = {f"{kind}_{rank:03d}.png" for kind in kinds for rank in range(NUM_INPUTS)}
    assert {path.name for path in folder.iterdir()} == expected | {"info.txt"}
    image_HW3 = cv2.imread(str(folder / "maxim_000.png"))
    assert image_HW3 is not None
    assert image_HW3.shape == (24, 24, 3), "a field of 24 pixels, which the store has enlarged"
    # Red, green and blue of (120, 0, 0) go into the network as -0.063, -2.036 and -1.804: twice
    # 2.036 is the whole scale, and zero its middle.
    maxim_HW3 = cv2.imread(str(folder / "maxim_003.png"))
    assert maxim_HW3 is not None
    assert np.abs(maxim_HW3[12, 12] - np.array([14.5, 0, 123.6])).max() < 5
    # The gradient is grey but for 4x4 pixels at (10, 12); the field begins at (4, 8).
    for rank in (0, OF_OLD):
        norm_HW3 = cv2.imread(str(folder / f"deconvnorm_00{rank}.png"))
        assert norm_HW3 is not None
        assert norm_HW3[7, 5].min() > 220
        assert norm_HW3[1, 1].max() < 20
        assert abs(red_of(folder / f"backprop_00{rank}.png", 1, 1) - 128) < 3
        assert red_of(folder / f"deconv_00{rank}.png", 7, 5) > 220
        assert abs(red_of(folder / f"backprop_00{rank}.png", 7, 5) - 128) < 20
    # That field begins at (-2, -2): the padding has no gradient, and the pixels are at (12, 14).
    norm_HW3 = cv2.imread(str(folder / f"deconvnorm_00{IN_THE_CORNER}.png"))
    assert norm_HW3 is not None
    assert norm_HW3[13, 15].min() > 220
    assert norm_HW3[:2].max() < 20
    assert abs(red_of(folder / f"deconv_00{IN_THE_CORNER}.png", 0, 0) - 128) < 3
    maxim_HW3 = cv2.imread(str(folder / f"maxim_00{IN_THE_CORNER}.png"))
    assert maxim_HW3 is not None
    assert (maxim_HW3[:2] == 128).all(), "padding is zero"
    assert (maxim_HW3[:, :2] == 128).all()
    assert maxim_HW3[2:, 2:, 1].max() < 4, "(220, 0, 0): green is the least of all"
    assert (folder / "info.txt").read_text().splitlines()[:2] == [
        "# is_conv val image_idx image_class i(if is_conv) j(if is_conv) filename",
        "1 9.5 100 1 3 5 pictures/0.jpg",
    ]
    dense = target / "fc=232" / "unit_0002" / "info.txt"
    assert dense.read_text().splitlines()[1:4] == [
        "0 9.5 100 1 pictures/0.jpg",
        "0 8.5 101 -1 pictures/1.jpg",
        "0 7.5 102 -1 pictures/2.jpg",
    ]
    # Of 60 comes -1.090, which is 0.268 of the scale below its middle.
    assert abs(red_of(target / "fc=232" / "unit_0002" / "maxim_000.png") - 59) < 5


def test_each_channel_of_an_exported_input_is_divided_by_its_own_deviation(tmp_path: Path) -> None:
    prep = Preprocessing(size=(32, 32), mean=(0.0, 0.5, 0.25), std=(0.5, 0.25, 0.5))
    assert export(store_in(tmp_path / "units", prep), tmp_path / "out", "--form", "units") == 0
    maxim_HW3 = cv2.imread(str(tmp_path / "out" / "conv1" / "unit_0002" / "maxim_003.png"))
    assert maxim_HW3 is not None
    # (120, 0, 0) goes into the network as 0.941, -2 and -0.5, and 4 is the whole scale: of that
    # they are 0.235, -0.5 and -0.125 from its middle. The channels of a file are blue, green, red.
    assert np.abs(maxim_HW3[12, 12] - np.array([95.6, 0, 187.5])).max() < 1.5


def test_montages_have_the_names_of_the_viewer(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert export(store, target, "--form", "montages", "--layers", "conv1") == 0
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert found == {
        "regularized_opt/conv1/conv1_0002_montage.jpg",
        "regularized_opt/conv1/whole_layer.jpg",
        "max_im/conv1/conv1_0002.jpg",
        "max_deconv/conv1/conv1_0002.jpg",
    }
    blocks = target / "regularized_opt/conv1/conv1_0002_montage.jpg"
    image_HW3 = cv2.imread(str(blocks))
    assert image_HW3 is not None
    # 3 pictures of 32 pixels with 2 lines between them, 2 such blocks with 2 pixels between them.
    assert image_HW3.shape == (2 * 98 + 2, 2 * 98 + 2, 3)
    assert abs(red_of(blocks, 116, 16) - 200) < 6, "the first one in the lower left block"
    assert abs(red_of(blocks, 116, 16 + 33) - 201) < 6
    assert red_of(blocks, 16, 16) < 60, "nothing above it"
    # 12 units: 4 rows and columns of 100 pixels, divided by 4; unit 2 is its third.
    whole = target / "regularized_opt/conv1/whole_layer.jpg"
    image_HW3 = cv2.imread(str(whole))
    assert image_HW3 is not None
    assert image_HW3.shape == (400, 400, 3)
    assert abs(red_of(whole, 50, 250) - 200) < 6
    assert abs(red_of(whole, 50, 50) - BEYOND[0]) < 6, "of unit 0 there is none"
    best = target / "max_im/conv1/conv1_0002.jpg"
    image_HW3 = cv2.imread(str(best))
    assert image_HW3 is not None
    assert image_HW3.shape == (3 * 96 + 2, 3 * 96 + 2, 3)
    assert abs(red_of(best, 48, 97 + 48) - 80) < 6, "the second strongest right of the first"
    assert abs(red_of(best, 97 + 48, 48) - 120) < 6, "the fourth below it"


def test_of_several_optimised_inputs_the_first_lies_first_in_the_block_that_is_shown(
    store: Store, tmp_path: Path
) -> None:
    """The lower left of 2x2 blocks of 3x3 pictures with 1 and 2 pixels between."""
    reds = {seed: 60 * seed + 60 for seed in (0, 1, 2)}
    with store.writing("a test") as writer:
        images = {names.optimized("default", s, ".png"): filled(red) for s, red in reds.items()}
        writer.write_pictures("conv1", 2, images)
    assert export(store, tmp_path / "out", "--form", "montages") == 0
    path = tmp_path / "out" / "regularized_opt" / "conv1" / "conv1_0002_montage.jpg"
    image_HW3 = cv2.imread(str(path))
    assert image_HW3 is not None
    middle = image_HW3.shape[0] // 2
    found = [int(image_HW3[middle + 17, column, 2]) for column in (16, 16 + 33, 16 + 66)]
    assert np.abs(np.array(found) - list(reds.values())).max() < 6


def test_channels_are_one_picture_a_unit(store: Store, tmp_path: Path) -> None:
    assert export(store, tmp_path / "out", "--form", "channels", "--layers", "conv1") == 0
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [tmp_path / "out" / "layer_4" / "2.png"]
    assert red_of(files[0]) == 200


def test_an_input_that_drives_a_unit_down_does_not_stand_for_it(
    store: Store, tmp_path: Path
) -> None:
    down = names.optimized("dv-down-0e0380", 0, ".png")
    with store.writing("a test") as writer:
        writer.write_pictures("conv1", 3, {down: filled(90)})
    for form, name in (("channels", "3.png"), ("montages", "conv1_0003_montage.jpg")):
        assert export(store, tmp_path / form, "--form", form, "--layers", "conv1") == 0
        assert not list((tmp_path / form).rglob(name))


def test_runs_have_the_names_and_pictures_of_optimize_image(store: Store, tmp_path: Path) -> None:
    x_3HW = np.zeros((3, 32, 32), dtype=np.float32)
    x_3HW[0, :16], x_3HW[0, 16:] = 2.0, -1.0
    stem = names.optimized("dvt-a", 3, "")
    record = {"preset": "dvt-a", "seed": 3, "value": 7.5}
    with store.writing("a test") as writer:
        writer.write_unit(
            "conv1",
            2,
            {
                f"{stem}.png": encoded("a.png", filled(9)),
                f"{stem}.npz": encode_npz({"x": x_3HW, "best": x_3HW}),
                f"{stem}.json": json_bytes(record),
            },
        )
    assert export(store, tmp_path / "out", "--form", "runs", "--layers", "conv1") == 0
    folder = tmp_path / "out" / "dvt-a"
    found = {path.name.removeprefix("opt_conv1_0002_3_") for path in folder.iterdir()}
    assert found == {"best_X.jpg", "best_Xpm.jpg", "info.txt", "info_big.npz"}
    image_HW3 = cv2.imread(str(folder / "opt_conv1_0002_3_best_X.jpg"))
    assert image_HW3 is not None
    # x / (2 * 2) + 1/2: 1 above, 1/4 below, and zero, as green is, is mid-grey.
    red, green = image_HW3[..., 2].astype(int), image_HW3[..., 1].astype(int)
    assert abs(red[4, 4] - 255) < 6
    assert abs(red[28, 4] - 64) < 6
    assert abs(green[4, 4] - 128) < 10
    assert "value: 7.5" in (folder / "opt_conv1_0002_3_info.txt").read_text()
    with np.load(folder / "opt_conv1_0002_3_info_big.npz") as arrays:
        np.testing.assert_array_equal(arrays["best"], x_3HW)


def test_the_whole_store_goes_into_a_folder_or_a_zip(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["units", "pages", str(store.folder)]) == 0
    target = tmp_path / "copy"
    assert export(store, target, "--layers", "conv1") == 0
    assert not list(target.rglob("*_scan_*"))
    assert "fc" not in (target / names.PAGE).read_text()
    assert (target / "conv1" / "0002.html").is_file()
    for folder in (target, target / "conv1"):
        subprocess.run(["sha256sum", "--check", "--quiet", names.SUMS], cwd=folder, check=True)
    assert main(["units", "verify", str(target)]) == 0
    assert export(store, tmp_path / "all.zip") == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        listed = set(archive.namelist())
    assert {"all/index.html", "all/fc=232/0002/crop_00.jpg", "all/store.json"} <= listed
    capsys.readouterr()
    assert export(store, target) == 1
    assert f"{target}: is there already" in capsys.readouterr().err
    (target / "mine.txt").write_text("mine")
    assert export(store, target, "--force", "--layers", "fc*") == 0
    assert (target / "mine.txt").read_text() == "mine", "what is not ours stays"
    assert export(store, store.folder / "copy") == 1
    assert "lies in the store" in capsys.readouterr().err
    assert export(store, store.folder.parent, "--force") == 1
    assert "holds the store" in capsys.readouterr().err
    assert main(["units", "export", str(store.folder)]) == 2
    assert "--output is missing" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert export(store, tmp_path / "file" / "below") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*")), "no halves"


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """What goes, and where it goes to: `a` is in both, `b/c` in the first alone."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, text in ((source, "new"), (target, "old")):
        folder.mkdir()
        (folder / "a").write_text(text)
    (source / "b").mkdir()
    (source / "b" / "c").write_text("new")
    (target / "mine").write_text("old")
    return source, target


def test_files_are_moved_over_those_of_the_same_names(two_folders: tuple[Path, Path]) -> None:
    source, target = two_folders
    filing.move_all(source, target)
    assert contents(target) == {"a": "new", "b/c": "new", "mine": "old"}


@pytest.mark.parametrize("fault", ["folder", "file", "full"])
def test_a_move_that_fails_in_the_middle_leaves_all_as_it_was(
    two_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    source, target = two_folders
    if fault == "folder":
        (target / "b" / "c").mkdir(parents=True)
    elif fault == "file":
        (target / "b").write_text("old")
    else:
        rename = Path.rename

        def failing(path: Path, goal: Path) -> Path:
            if goal == target / "b" / "c":
                raise OSError(errno.ENOSPC, "No space left on device", str(goal))
            return rename(path, goal)

        monkeypatch.setattr(Path, "rename", failing)
    before = contents(source), contents(target)
    folders = {path for path in target.rglob("*") if path.is_dir()}
    with pytest.raises(OSError, match=r"directory|exists|space"):
        filing.move_all(source, target)
    assert (contents(source), contents(target)) == before
    assert {path for path in target.rglob("*") if path.is_dir()} == folders


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_where_there_is_nothing_to_export_nothing_is_made(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.writing("a test") as writer:
        writer.remove(CONV.name, 2)
    for target in (tmp_path / "out", tmp_path / "out.zip"):
        assert export(store, target, "--form", "channels", "--layers", "conv1") == 1
        told = capsys.readouterr().err
        assert "has no optimised inputs (`rtvis units optimize` makes them) of these layers" in told
        assert not target.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_montage_centres_what_is_smaller_and_shrinks_what_is_larger() -> None:
    small, wide = filled(200, (2, 2)), filled(100, (4, 16))
    whole = montage([small, wide, small], columns=2, tile=(4, 8), padding=1)
    assert whole.shape == (9, 17, 3)
    assert whole[1, 3, 0] == whole[2, 4, 0] == 200
    assert whole[0, 3, 0] == whole[1, 2, 0] == 28
    assert (whole[1:3, 9:17, 0] == 100).all(), "half as large in the middle of its tile"
    assert whole[6, 3, 0] == 200

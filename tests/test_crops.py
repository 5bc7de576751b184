"""Pictures of the inputs that excite a unit most: the right part, and what in it excites."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.cli import main
from rtvis.data import Crop, ImageU8, Layer, Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SourceError, StoreError
from rtvis.runtime.store_shelf import StoreShelf
from rtvis.units import names
from rtvis.units.crops import (
    BEYOND,
    MARK,
    ZERO,
    Window,
    canvas_of,
    cut,
    field_window,
    in_source,
    marked,
)
from rtvis.units.data_set import find_files
from rtvis.units.items import Item, Items
from rtvis.units.pictures import make_pictures
from rtvis.units.source_pictures import SourcePictures
from rtvis.units.store import Store, open_store
from rtvis.units.tracker import Top
from rtvis.units.unit_inputs import UnitInput, are_of, read_inputs
from tests.nets import engine_of, seeded

LAYER = Layer(
    index=0,
    name="conv",
    kind="conv",
    num_units=1,
    map_size=(8, 8),
    stride=(4.0, 4.0),
    receptive_field=(6, 8),
    field_start=(-1.0, -2.0),
)


def test_a_field_lies_at_its_start_and_strides_further() -> None:
    assert field_window(LAYER, (0, 0), (32, 32)) == Window(top=-1, left=-2, height=6, width=8)
    assert field_window(LAYER, (3, 1), (32, 32)) == Window(top=11, left=2, height=6, width=8)
    whole = Layer(
        index=0,
        name="fc",
        kind="dense",
        num_units=1,
        map_size=(1, 1),
        stride=(32.0, 24.0),
        receptive_field=(32, 24),
    )
    assert field_window(whole, (0, 0), (32, 24)) == Window(top=0, left=0, height=32, width=24)


def test_a_field_between_pixels_is_rounded_outwards() -> None:
    """From -0.5 to 5.5 are the pixels from -1 to 5; from 3.5 to 9.5 those from 3 to 9."""
    half = replace(LAYER, field_start=(-0.5, -0.5), receptive_field=(6, 6))
    assert field_window(half, (0, 1), (32, 32)) == Window(top=-1, left=3, height=7, width=7)


def test_a_field_as_large_as_the_input_is_drawn_with_its_padding_and_a_larger_one_is_not() -> None:
    """All crops of a layer have one size, wherever their neurons lie."""
    as_large = Window(top=-4, left=-4, height=32, width=33)
    assert canvas_of(as_large, (32, 32)) == Window(top=-4, left=0, height=32, width=32)


@pytest.mark.parametrize(
    ("value", "again", "is_so"),
    [
        (10.0, 10.19, True),  # 0.2 and a thousandth
        (10.0, 10.22, False),
        (10.0, 9.8, True),
        (10.0, 9.7, False),
        (0.0, 0.001, True),
        (0.0, 0.0015, False),
        (-10.0, 10.0, False),
    ],
)
def test_a_value_comes_out_again_if_it_is_off_by_two_per_cent_or_a_thousandth_at_most(
    value: float, again: float, is_so: bool
) -> None:
    """DVT-87."""
    found = UnitInput(
        item=0,
        name="a.jpg",
        label=None,
        pts_seconds=None,
        value=value,
        position=(0, 0),
        recomputed=again,
        field=Crop(top=0, left=0, height=3, width=3),
        source=Crop(top=0, left=0, height=3, width=3),
        picture_size=(32, 32),
    )
    assert found.is_reproduced == is_so
    assert replace(found, recomputed=None).is_reproduced
    # Pictures are of what the scan found as long as that has the same items and values.
    five = replace(found, value=5.0)
    assert are_of([five], [(0, 5.0000005, None)])
    assert not are_of([five], [(0, 5.00005, None)])
    assert not are_of([five], [(1, 5.0, None)])


def test_a_crop_is_that_part_enlarged_and_padding_is_told() -> None:
    image_HW3 = np.zeros((32, 32, 3), dtype=np.uint8)
    image_HW3[..., 0], image_HW3[..., 1] = np.arange(32)[:, None], np.arange(32)
    inside = cut(image_HW3, Window(top=11, left=2, height=6, width=8))
    assert inside.shape == (72, 96, 3), "12 times as large, so that the longer side has 96"
    assert inside[0, 0].tolist() == [11, 2, 0]
    assert inside[71, 95].tolist() == [16, 9, 0]
    assert inside[12, 11].tolist() == [12, 2, 0]
    corner = cut(image_HW3, Window(top=-1, left=-2, height=6, width=8))
    assert corner.shape == inside.shape
    assert corner[11, 95].tolist() == list(BEYOND)
    assert corner[12, 23].tolist() == list(BEYOND)
    assert corner[12, 24].tolist() == [0, 0, 0]
    assert corner[71, 95].tolist() == [4, 5, 0]
    assert cut(image_HW3, Window(top=-1, left=-2, height=6, width=8), beyond=ZERO)[0, 0, 0] == 128
    # A field larger than the input is drawn as the input, with what lies outside it told.
    large = cut(image_HW3, Window(top=-30, left=-10, height=40, width=32))
    assert large.shape == (96, 96, 3)
    assert large[3 * 9, 29].tolist() == list(BEYOND), "its columns are -10 to 22"
    assert large[3 * 9, 30].tolist() == [9, 0, 0]
    assert large[3 * 9, 95].tolist() == [9, 21, 0]
    assert large[3 * 10, 95].tolist() == list(BEYOND), "its rows end at 10"


def test_a_field_is_found_again_in_the_source() -> None:
    # The network sees rows 10 to 74 and columns 20 to 116 of the source in 32 x 32: 2 and 3 each.
    crop = Crop(top=10, left=20, height=64, width=96)
    field = Window(top=-1, left=4, height=6, width=8)
    assert in_source(field, (32, 32), crop) == Crop(top=10, left=32, height=10, width=24)
    image_HW3 = np.zeros((640, 480, 3), dtype=np.uint8)
    shown = marked(image_HW3, Crop(top=100, left=60, height=40, width=20))
    assert shown.shape == (320, 240, 3), "half as large"
    is_marked = (shown == MARK).all(axis=2)
    rows, columns = is_marked.any(axis=1).nonzero()[0], is_marked.any(axis=0).nonzero()[0]
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (48, 71, 28, 41)
    assert not is_marked[55, 35], "the inside is left as it is"
    edge = marked(image_HW3, Crop(top=0, left=0, height=640, width=480))
    assert (edge[0] == MARK).all()
    assert (edge[-1] == MARK).all()


class Tiny(nn.Module):
    """Two convolutions with strides and padding on one side only, and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.second = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(F.pad(x, (0, 1, 0, 1))))
        return self.fc(F.relu(self.second(x)).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engine_of(seeded(Tiny), (32, 32), batch=4) as made:
        yield made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures in two classes, one of them wide."""
    rng = np.random.default_rng(3)
    for number in range(5):
        size = (40, 70) if number == 3 else (48, 48)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        folder = tmp_path / "data" / ("a" if number < 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return tmp_path / "data"


def scanned(engine: Engine, data: Path, root: Path) -> tuple[Store, dict[str, Top]]:
    """A store as a scan leaves it, found by brute force: the best two pictures of each unit."""
    files = find_files(data)
    num = len(files)
    items = Items(
        files=files,
        num_items_D=np.ones(num, dtype=np.int64),
        checksum_D=np.zeros(num, dtype=np.int64),
    )
    tops: dict[str, Top] = {}
    with SourcePictures() as source:
        images = [torch.from_numpy(source.read(items[i]).image_HW3) for i in range(num)]
    x_BCHW = engine.preprocessing.apply_batch(images)
    for layer in engine.layers:
        maps = torch.cat([engine.reach(x[None], layer=layer.name).maps_BCHW for x in x_BCHW])
        values, place = maps.flatten(2).max(dim=2)
        best, item = values.T.topk(2, dim=1)
        place = place.T.gather(1, item)
        width = maps.shape[3]
        position = torch.stack([place // width, place % width], dim=2).int()
        tops[layer.name] = Top(values_CN=best, item_CN=item, position_CN2=position)
    store = open_store(root, engine.identity)
    with store.writing("a test") as writer:
        writer.write_arrays(None, names.ITEMS_ARRAYS, items.to_arrays())
        for layer in engine.layers:
            writer.write_layer(layer)
            writer.write_top(layer.name, tops[layer.name])
    return store, tops


def made(engine: Engine, store: Store, layers: list[str], **how: bool) -> list[str]:
    """Make all pictures; returns the warnings."""
    with store.writing("a test") as writer:
        steps = list(make_pictures(engine, store, writer, layers, batch=4, **how))
    assert steps[-1].num_done == steps[-1].num_units
    return [warning for step in steps for warning in step.warnings]


def decoded(store: Store, layer: str, unit: int, name: str) -> ImageU8:
    image = store.read_picture(layer, unit, name)
    assert image is not None
    return image


def test_the_whole_picture_of_a_best_input_gives_the_scans_value_again(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    store, tops = scanned(engine, pictures, tmp_path)
    made(engine, store, ["second"])
    shelf = StoreShelf(tmp_path, lambda: engine.identity, engine.layers, preset_name="default")
    inputs = read_inputs(store, "second", 3)
    for place in (0, 1):
        found = shelf.whole_input("second", 3, place)
        assert found.name == inputs[place].name
        assert found.image_HW3.shape[:2] == inputs[place].picture_size
        selection = Selection(layer="second", unit=3, tap="pre")
        again = engine.run(torch.from_numpy(found.image_HW3), selection)
        value = float(tops["second"].values_CN[3, place])
        assert float(again.value_B) == pytest.approx(value, rel=1e-5)
    with pytest.raises(StoreError, match="unit 3 of second has no top input 3; `rtvis units scan`"):
        shelf.whole_input("second", 3, 2)
    (pictures / inputs[0].name).unlink()
    with pytest.raises(SourceError, match=inputs[0].name):
        shelf.whole_input("second", 3, 0)


def test_a_units_pictures_are_those_of_its_neuron(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    store, tops = scanned(engine, pictures, tmp_path)
    assert made(engine, store, ["second"]) == []
    top, unit = tops["second"], 3
    kinds = ("crop", "full", "gradient", "guided", "deconvnet", "gradient_raw", "deconvnet_raw")
    expected = sorted([names.ranked(kind, rank) for kind in kinds for rank in (0, 1)])
    assert list(store.unit_files("second", unit)) == sorted([*expected, names.INPUTS])
    inputs = read_inputs(store, "second", unit)
    assert [each.value for each in inputs] == top.values_CN[unit].tolist()
    best = inputs[0]
    item = int(top.item_CN[unit, 0])
    assert best.name == ["a/0.png", "a/1.png", "b/2.png", "b/3.png", "b/4.png"][item]
    assert best.label == best.name[0]
    assert best.recomputed == pytest.approx(best.value, rel=1e-4)
    row, column = best.position
    # 3 places of stride 2 and 3 pixels each, one place of padding: 7 pixels from -2 on.
    assert (best.field.top, best.field.left) == (-2 + 4 * row, -2 + 4 * column)
    assert (best.field.height, best.field.width) == (7, 7)

    with SourcePictures() as source:
        place = Item(
            index=0, path=pictures / best.name, name="", label=None, frame=None, pts_seconds=None
        )
        x_1CHW = engine.preprocessing.apply(torch.from_numpy(source.read(place).image_HW3))
    field = Window(top=-2 + 4 * row, left=-2 + 4 * column, height=7, width=7)
    saw = engine.preprocessing.to_unit_range(x_1CHW)[0].permute(1, 2, 0).numpy()
    crop = cut((saw * 255 + 0.5).astype(np.uint8), field)
    shown = decoded(store, "second", unit, "crop_00.jpg")
    assert shown.shape == crop.shape == (98, 98, 3)
    assert np.abs(shown.astype(int) - crop).mean() < 4, "but for what JPEG takes away"

    model = engine._network.model
    x_1CHW = x_1CHW.clone().requires_grad_(True)
    maps = model.second(F.relu(model.first(F.pad(x_1CHW, (0, 1, 0, 1)))))
    assert maps[0, unit, row, column].item() == pytest.approx(best.value, rel=1e-4)
    maps[0, unit, row, column].backward()
    assert x_1CHW.grad is not None
    gradient_3HW = x_1CHW.grad[0]
    share_3HW = gradient_3HW / (2 * gradient_3HW.abs().max()) + 0.5
    if gradient_3HW.max() < -gradient_3HW.min():
        assert share_3HW.min() == 0
    expected_HW3 = (share_3HW.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    expected_crop = cut(expected_HW3, field, beyond=ZERO)
    shown = decoded(store, "second", unit, "gradient_raw_00.jpg")
    assert np.abs(shown.astype(int) - expected_crop).mean() < 4
    other = decoded(store, "second", (unit + 1) % 5, "gradient_raw_00.jpg")
    assert np.abs(other.astype(int) - expected_crop).mean() > 8, "another unit has another one"
    # What is looked at is clipped at four times the root mean square, of the neuron's field alone.
    seen_3HW = gradient_3HW[:, max(field.top, 0) :, max(field.left, 0) :]
    seen_3HW = seen_3HW[
        :, : field.top + 7 - max(field.top, 0), : field.left + 7 - max(field.left, 0)
    ]
    root_mean_square = seen_3HW.square().mean().sqrt()
    share_3HW = (gradient_3HW / (8 * root_mean_square) + 0.5).clamp(0, 1)
    expected_crop = cut((share_3HW.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8), field)
    shown = decoded(store, "second", unit, "gradient_00.jpg")
    assert np.abs(shown.astype(int) - expected_crop).mean() < 4


def test_rules_differ_and_scores_see_the_whole_input(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    store, _ = scanned(engine, pictures, tmp_path)
    assert made(engine, store, ["fc"]) == []
    best = read_inputs(store, "fc", 0)[0]
    assert best.field == Crop(top=0, left=0, height=32, width=32)
    parts = [decoded(store, "fc", 0, f"{kind}_00.jpg") for kind in ("gradient", "guided")]
    assert parts[0].shape == (96, 96, 3)
    assert np.abs(parts[0].astype(int) - parts[1]).mean() > 2


def test_what_is_there_is_passed_over_until_the_scan_finds_better(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    store, tops = scanned(engine, pictures, tmp_path)
    with store.writing("a test") as writer:
        making = make_pictures(engine, store, writer, ["second"], batch=4)
        next(making)
        next(making)
        making.close()  # stopped after the first two units; what waits to be written is written
    assert [bool(store.unit_files("second", unit)) for unit in range(5)] == [1, 1, 1, 1, 0]
    before = store.unit_path("second", 0, "crop_00.jpg").stat().st_mtime_ns
    with store.writing("a test") as writer:
        steps = list(make_pictures(engine, store, writer, ["second"], batch=4))
    assert (steps[0].num_skipped, steps[-1].num_done) == (4, 5)
    assert store.unit_path("second", 0, "crop_00.jpg").stat().st_mtime_ns == before
    top = tops["second"]
    unit = int((top.values_CN[:, 0] - top.values_CN[:, 1]).argmax())
    top.item_CN[unit] = top.item_CN[unit].flip(0)
    top.position_CN2[unit] = top.position_CN2[unit].flip(0)
    with store.writing("a test") as writer:
        writer.write_top("second", top)
        steps = list(make_pictures(engine, store, writer, ["second"], batch=4))
    assert steps[0].num_skipped == 4
    warnings = [warning for step in steps for warning in step.warnings]
    assert len(warnings) == 2, "the values are those of the other picture"
    assert f"second:{unit}: " in warnings[0]
    assert "the picture or the network is another now" in warnings[0]


def test_a_picture_that_has_gone_is_told_and_the_others_are_made(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    store, tops = scanned(engine, pictures, tmp_path)
    gone = int(tops["second"].item_CN[1, 0])
    files = find_files(pictures)
    files.path(gone).unlink()
    warnings = made(engine, store, ["second"])
    assert all(files.names[gone] in warning for warning in warnings)
    assert len(warnings) == int((tops["second"].item_CN == gone).sum())
    assert len(read_inputs(store, "second", 1)) == 1


def test_layers_that_were_not_scanned_are_refused(
    engine: Engine, pictures: Path, tmp_path: Path
) -> None:
    store = open_store(tmp_path, engine.identity)
    message = r"nothing was scanned into it; `rtvis units scan`"
    with store.writing("a test") as writer, pytest.raises(StoreError, match=message):
        next(make_pictures(engine, store, writer, ["second"]))
    store, _ = scanned(engine, pictures, tmp_path)
    store.path("fc", names.TOP).unlink()
    with store.writing("a test") as writer:
        with pytest.raises(StoreError, match="layer 'fc' was not scanned"):
            list(make_pictures(engine, store, writer, ["fc"]))
        with pytest.raises(StoreError, match="nothing of a layer 'secund'; nearest is 'second'"):
            list(make_pictures(engine, store, writer, ["secund"]))


def test_crops_show_the_network_all_the_bits_that_a_scan_saw(tmp_path: Path) -> None:
    """In eight bits 1.366 came out again as 1.491, and the picture was called another one."""
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.full((8, 8, 3), 1000, dtype=np.uint16))
    item = Item(index=0, path=path, name="", label=None, frame=None, pts_seconds=None)
    with SourcePictures() as source:
        picture = source.read(item)
    assert picture.best.dtype == np.float32
    assert float(picture.best[0, 0, 0]) == pytest.approx(1000 / 65535)
    assert picture.image_HW3[0, 0].tolist() == [4, 4, 4]
    assert picture.num_bytes == 8 * 8 * 3 * (1 + 4)


def test_a_frame_of_a_film_is_found_by_its_time(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for number in range(60):
        writer.write(np.full((48, 64, 3), 4 * number, dtype=np.uint8))
    writer.release()

    def item(index: int, pts_s: float) -> Item:
        return Item(index=index, path=path, name="", label=None, frame=index, pts_seconds=pts_s)

    with SourcePictures() as source:
        for number in (40, 3, 59, 41, 0):
            image_HW3 = source.read(item(number, number / 25)).image_HW3
            assert abs(float(image_HW3.mean()) - 4 * number) < 2
        with pytest.raises(SourceError, match=r"has no frame at 9.000 s any more"):
            source.read(item(99, 9.0))
    assert math.isclose(image_HW3.mean(), 0, abs_tol=2)


NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    )
"""


def test_a_scan_goes_on_to_pictures_and_pages_and_the_store_is_whole(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(NET)
    network = ["--network", f"{tmp_path / 'net.py'}:make", "--size", "32", "--device", "cpu"]
    root = ["--store", str(tmp_path / "units")]
    crops = ["units", "crops", *network, *root]
    assert main([*crops, "--layers", "0"]) == 1
    assert "nothing was scanned into it; `rtvis units scan` does" in capsys.readouterr().err
    scan = ["units", "scan", *network, *root, "--data", str(pictures), "--layers", "0"]
    assert main([*scan, "--top", "3", "--crops"]) == 0
    (folder,) = (tmp_path / "units").iterdir()
    assert (folder / "0" / "0003" / "guided_02.jpg").is_file()
    assert (folder / "0" / "0003.html").is_file()
    assert (folder / "index.html").is_file()
    capsys.readouterr()
    assert main([*crops, "--layers", "0"]) == 0
    said = capsys.readouterr().err
    assert "warning" not in said
    assert "" not in said.splitlines(), "no bar where nobody sees one"
    assert main([*crops, "--unit", "4"]) == 2
    assert "--unit 4: the units of these layers are 0 to 3" in capsys.readouterr().err
    assert main([*crops, "--layers", "5"]) == 2
    assert "no layer of" in capsys.readouterr().err
    assert main(["units", "verify", *root]) == 0

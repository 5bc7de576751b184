"""`rtvis units optimize`: files, stores, what is never overwritten, studies, bad input."""

import json
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtvis.cli import main
from rtvis.units import names
from rtvis.units.sheet import contact_sheet
from rtvis.units.store import find_stores
from rtvis.units.study import _remove_study


@pytest.fixture
def network(tmp_path: Path) -> str:
    """A network of the user's own: two convolutions and three classes on 16x16 pictures."""
    file = tmp_path / "own.py"
    file.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn

            def make():
                torch.manual_seed(0)
                return nn.Sequential(
                    nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1),
                    nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
                )
            """
        )
    )
    return f"{file}:make"


def run(network: str, *flags: str) -> int:
    common = ("--network", network, "--size", "16", "--device", "cpu")
    return main(["units", "optimize", *common, "--set", "iterations=6,jitter=2", *flags])


def test_pictures_numbers_and_records_go_to_a_folder(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(network, "--layer", "2", "--units", "0,2-3", "--out", str(out)) == 0
    pictures = sorted(out.glob("*.png"))
    assert [path.name.split("_")[1] for path in pictures] == ["0000", "0002", "0003"]
    assert cv2.imread(str(pictures[0])).shape == (16, 16, 3)
    record = json.loads(pictures[1].with_suffix(".json").read_text())
    assert record["layer"] == "2"
    assert record["unit"] == 2
    assert record["position"] == [8, 8]
    assert record["recipe"]["iterations"] == 6
    assert record["preset"].startswith("default-")  # for it was changed
    assert len(record["runs"]["value"]) == 6
    with np.load(pictures[1].with_suffix(".npz"), allow_pickle=False) as arrays:
        assert arrays["x"].shape == (3, 16, 16)
    assert "3 optimised inputs" in capsys.readouterr().out


def test_nothing_is_overwritten_without_force(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--layer", "2", "--out", str(tmp_path / "out"))
    assert run(network, *flags, "--units", "1") == 0
    (picture,) = (tmp_path / "out").glob("*.png")
    picture.write_bytes(b"precious")
    capsys.readouterr()
    assert run(network, *flags, "--units", "1") == 1
    error = capsys.readouterr().err
    assert "is there already; --force makes it anew" in error
    assert run(network, *flags, "--units", "0-1") == 0  # the other one is made
    assert "1 are there already" in capsys.readouterr().err
    assert picture.read_bytes() == b"precious"
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert run(network, *flags, "--units", "1", "--force") == 0
    assert picture.read_bytes() != b"precious"


def test_a_store_gets_them_unit_by_unit(network: str, tmp_path: Path) -> None:
    flags = ("--store", str(tmp_path / "stores"), "--units", "0-2", "--seed", "4")
    assert run(network, *flags, "--set", "iterations=192") == 0  # as the preset says: its name
    (store,) = find_stores(tmp_path / "stores")
    assert [layer.name for layer in store.layers()] == ["6"]
    for unit in range(3):
        picture = store.read_picture("6", unit, names.optimized("default", 4, ".png"))
        assert picture is not None
        assert picture.shape == (16, 16, 3)
        record = store.read_unit_json("6", unit, names.optimized("default", 4, ".json"))
        values = record["runs"]["value"]
        assert values[-1] > values[0]
    assert main(["units", "verify", "--store", str(tmp_path / "stores")]) == 0


def test_going_on_from_an_earlier_result_and_from_a_picture(network: str, tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert run(network, "--layer", "2", "--out", str(first)) == 0
    (array,) = first.glob("*.npz")
    (earlier,) = first.glob("*.json")
    again = tmp_path / "again"
    plain = ("--set", "iterations=6,plain_last=6")
    assert run(network, "--layer", "2", *plain, "--out", str(again), "--start", str(array)) == 0
    (later,) = again.glob("*.json")
    before, after = (json.loads(path.read_text())["runs"]["value"] for path in (earlier, later))
    assert after[0] == pytest.approx(before[-1], rel=1e-2, abs=1e-3)
    assert after[-1] > before[-1]
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.full((32, 32, 3), 128, np.uint8))
    third = tmp_path / "third"
    assert run(network, "--layer", "2", "--out", str(third), "--start", str(picture)) == 0
    (record,) = third.glob("*.json")
    assert json.loads(record.read_text())["start"] == "picture"


def test_a_study_makes_every_combination(network: str, tmp_path: Path) -> None:
    out = tmp_path / "study"
    grid = ("--study", "lr=0.05,0.2 rotation=0,10", "--every", "4")
    assert run(network, "--layer", "2", "--units", "random:2", *grid, "--out", str(out)) == 0
    meta = json.loads((out / "meta.json").read_text())
    assert meta["parameters"] == {"lr": [0.05, 0.2], "rotation": [0.0, 10.0]}
    shown = meta["visualizations"]
    assert len(shown) == 2 * 2 * 2 * 2  # combinations, units, after 4 and after 6 runs
    assert {(each["lr"], each["rotation"]) for each in shown} == {
        (0.05, 0.0),
        (0.05, 10.0),
        (0.2, 0.0),
        (0.2, 10.0),
    }
    assert {each["epoch"] for each in shown} == {4, 6}
    assert all((out / each["path"]).is_file() for each in shown)
    assert all(each["module_name"] == "2" for each in shown)
    assert cv2.imread(str(out / "sheet.png")).shape[0] > 4 * 160  # a row for each combination
    page = (out / "index.html").read_text()
    told = page.partition('id="study">')[2].partition("</script>")[0]
    assert json.loads(told) == {key: meta[key] for key in ("parameters", "visualizations")}
    assert "2 · lr 0.05, 0.2 · rotation 0, 10 · seed 0" in page
    assert run(network, "--layer", "2", *grid, "--out", str(out)) == 1  # it is there already
    (out / "mine.jpg").write_text("mine")
    fewer = ("--study", "lr=0.1", "--every", "4", "--force")
    assert run(network, "--layer", "2", "--units", "0", *fewer, "--out", str(out)) == 0
    meta = json.loads((out / "meta.json").read_text())
    wanted = {each["path"] for each in meta["visualizations"]} | {"mine.jpg"}
    assert {path.name for path in out.glob("*.jpg")} == wanted, "none of the study before is left"
    assert len(wanted) == 2 + 1
    meta["visualizations"].append({"path": "../outside.jpg"})
    (out / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "outside.jpg").write_text("")
    _remove_study(out)
    assert [path.name for path in out.iterdir()] == ["mine.jpg"]
    assert (tmp_path / "outside.jpg").exists()


def test_a_sheet_has_each_picture_below_its_name() -> None:
    red, blue = np.zeros((2, 10, 10, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = contact_sheet([("one", red), ("two", blue)], columns=2, side=50)
    assert sheet.shape == (50 + 22 + 12, 2 * 56 + 6, 3)
    assert sheet[60, 30].tolist() == [255, 0, 0]
    assert sheet[60, 90].tolist() == [0, 0, 255]
    assert sheet[6:28, 6:56].max() > 150  # its name


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--preset", "dvt-e"), "there is no preset 'dvt-e'; nearest is"),
        (("--set", "learning=1"), "--set: learning: unknown key"),
        (("--set", "lr=fast"), "--set: lr"),
        (("--set", "parametrisation=fourier,decay=0.1"), "decay acts on pixels"),
        (("--units", "9"), "has no unit 9"),
        (("--units", "5-2"), "the last comes before the first"),
        (("--units", "0,2-1"), "--units 2-1: the last comes before the first"),
        (("--units", "0-99999999999"), "has no unit 99999999999; its units are 0 to 2"),
        (("--units", "some"), "--units"),
        (("--layer", "nine"), "no layer of"),
        (("--position", "99,0"), "outside"),
        (("--start", "nowhere.png"), "nowhere.png"),
        (("--study", "lr=1,2"), "name a folder with --out"),
        (("--minimise", "--set", "objective=layer"), "can only be maximised"),
        (("--set", "objective=probability", "--layer", "2"), "has maps"),
    ],
)
def test_bad_input_is_told_in_a_line(
    network: str,
    tmp_path: Path,
    flags: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = () if "--study" in flags else ("--out", str(tmp_path / "out"))
    assert run(network, *where, *flags) in {1, 2}
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error
    assert not list(tmp_path.glob("out/*"))


def test_a_result_that_drives_down_says_so_in_its_name(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(network, "--out", str(out), "--units", "1", "--minimise") == 0
    (picture,) = out.glob("*.png")
    assert "_default-down-" in picture.name
    assert "1 optimised input, " in capsys.readouterr().out


def test_a_start_that_is_not_there_is_told_without_its_number(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.npz"
    assert run(network, "--out", str(tmp_path / "out"), "--start", str(start)) == 1
    error = capsys.readouterr().err
    assert "start.npz: there is no such file; name the .npz of a result" in " ".join(error.split())


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 cut off"])
def test_a_start_that_holds_no_input_is_told_in_a_line(
    network: str, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.npz"
    start.write_bytes(data)
    assert run(network, "--out", str(tmp_path / "out"), "--start", str(start)) == 1
    assert f"{start}: holds no optimised input" in capsys.readouterr().err
    with start.open("wb") as file:
        np.save(file, np.zeros((3, 16, 16), np.float32))
    assert run(network, "--out", str(tmp_path / "out"), "--start", str(start)) == 1
    assert f"{start}: holds no optimised input (one array" in capsys.readouterr().err
    np.savez(start, x=np.zeros((3, 8, 8), np.float32))
    assert run(network, "--out", str(tmp_path / "out"), "--start", str(start)) == 1
    assert "a start of shape (1, 3, 8, 8) is not" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_seldom_meant_is_told(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weak = ("--preset", "dvt-a", "--set", "iterations=3,blur_radius=0.2,sizes=[[0,8],[2,16]]")
    flags = ("--layer", "2", "--position", "0,0", *weak, "--out", str(tmp_path / "out"))
    assert run(network, *flags) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "below 0.3 a blur does next to nothing" in told
    assert "the middle is 8,8" in told


def test_a_picture_may_be_larger_than_the_networks_input(network: str, tmp_path: Path) -> None:
    """The middle neuron moves with it."""
    out = tmp_path / "out"
    assert run(network, "--size", "24x40", "--layer", "2", "--out", str(out)) == 0
    (picture,) = out.glob("*.png")
    assert cv2.imread(str(picture)).shape == (24, 40, 3)
    record = json.loads(picture.with_suffix(".json").read_text())
    assert record["size"] == [24, 40]
    assert record["position"] == [12, 20]


def test_a_network_with_a_fixed_size_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fixed.py"
    file.write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), "
        "nn.Linear(2 * 8 * 8, 3))\n"
    )
    flags = ("--network", f"{file}:make", "--size", "16", "--out", str(tmp_path / "out"))
    assert main(["units", "optimize", *flags]) == 1
    assert "16x16" in capsys.readouterr().err

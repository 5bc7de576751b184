"""`rtvis units ls|verify|rm|export|pages`: stores looked at and tidied up from the command line."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtvis import filing
from rtvis.cli import main
from rtvis.data import Layer
from rtvis.engine.networks.identity import Identity
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.units import names, sums
from rtvis.units.store import Store, open_store
from rtvis.units.tracker import Top
from rtvis.units.verify import verify

CONV = Layer(
    index=0,
    name="stem.conv",
    kind="conv",
    num_units=3,
    map_size=(8, 8),
    stride=(2.0, 2.0),
    receptive_field=(3, 3),
)
DENSE = Layer(
    index=1,
    name="head#2",
    kind="dense",
    num_units=2,
    map_size=(1, 1),
    stride=(16.0, 16.0),
    receptive_field=(16, 16),
)


def made_store(root: Path, network: str = "tiny", digit: str = "a") -> Store:
    """A store with two layers, one unit of which has pictures."""
    prep = Preprocessing(size=(16, 16))
    store = open_store(root, Identity(network=network, weights=digit * 40, preprocessing=prep))
    with store.writing("a test") as writer:
        for layer in (CONV, DENSE):
            writer.write_layer(layer)
        top = Top(
            values_CN=torch.tensor([[3.0, 2.0], [1.0, 0.5], [-1.0, -2.0]]),
            item_CN=torch.tensor([[0, 1], [1, 0], [1, 0]]),
            position_CN2=torch.zeros(3, 2, 2, dtype=torch.int32),
        )
        writer.write_top(CONV.name, top)
        grey_HW3 = np.full((16, 16, 3), 128, dtype=np.uint8)
        name = names.optimized("default", 0, ".png")
        writer.write_pictures(CONV.name, 1, {name: grey_HW3, "crop_00.jpg": grey_HW3})
        writer.write_unit(CONV.name, 1, {names.INPUTS: b"[]"})
    return store


def test_ls_tells_of_stores_and_of_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, other = made_store(tmp_path), made_store(tmp_path, "small", "b")
    (other.folder / names.STORE).write_text("{")
    assert main(["units", "ls", "--store", str(tmp_path), "--json"]) == 0
    small, tiny = json.loads(capsys.readouterr().out)
    assert tiny["store"] == "tiny-aaaaaaaa"
    assert (tiny["network"], tiny["layers"], tiny["input"]) == ("tiny", 2, "16x16")
    assert tiny["bytes"] == store.num_bytes()
    assert "is damaged" in small["note"]
    assert main(["units", "ls", "tiny", "--store", str(tmp_path), "--json"]) == 0
    conv, dense = json.loads(capsys.readouterr().out)
    assert conv == {
        "layer": "stem.conv",
        "folder": "stem.conv",
        "units": 3,
        "top_inputs": 2,
        "units_with_pictures": 1,
        "units_optimised": 1,
        "bytes": store.num_bytes("stem.conv"),
    }
    assert (dense["folder"], dense["top_inputs"], dense["units_with_pictures"]) == (
        "head=232",
        0,
        0,
    )
    assert main(["units", "ls", "--store", str(tmp_path)]) == 0
    assert "tiny-aaaaaaaa" in capsys.readouterr().out
    assert main(["units", "ls", str(store.folder)]) == 0  # a store's own folder will do
    assert "stem.conv" in capsys.readouterr().out


def test_ls_counts_the_top_inputs_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scan for nine of a data set of two."""
    store = made_store(tmp_path)
    item_CN = torch.full((3, 9), -1)
    item_CN[0, 0], item_CN[2, :2] = 1, torch.tensor([1, 0])
    top = Top(
        values_CN=torch.where(item_CN < 0, -torch.inf, 1.0),
        item_CN=item_CN,
        position_CN2=torch.zeros(3, 9, 2, dtype=torch.int32),
    )
    with store.writing("a test") as writer:
        writer.write_top(CONV.name, top)
    assert main(["units", "ls", "tiny", "--store", str(tmp_path), "--json"]) == 0
    conv, _ = json.loads(capsys.readouterr().out)
    assert conv["top_inputs"] == 2


def test_a_store_that_is_not_meant_is_not_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--store", str(tmp_path)]
    assert main(["units", "verify", *root]) == 1
    assert "holds no store; `rtvis units scan` makes one" in capsys.readouterr().err
    made_store(tmp_path)
    made_store(tmp_path, "tiny", "b")
    assert main(["units", "ls", "tiny", *root]) == 1
    assert "several stores; name one of tiny-aaaaaaaa, tiny-bbbbbbbb" in capsys.readouterr().err
    assert main(["units", "ls", "tyni-aaaaaaaa", *root]) == 1
    assert "has no store 'tyni-aaaaaaaa'; nearest is 'tiny-aaaaaaaa'" in capsys.readouterr().err
    assert main(["units", "rm", *root]) == 2
    assert "name a store" in capsys.readouterr().err
    assert main(["units", "rm", "tiny", "small"]) == 2
    assert "'small' is one name too many" in capsys.readouterr().err


def test_verify_names_what_is_changed_missing_or_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = made_store(tmp_path)
    root = ["--store", str(tmp_path)]
    assert main(["units", "verify", *root]) == 0
    assert f"{store.folder}: 7 files, all as they were written" in capsys.readouterr().out
    crop = store.unit_path(CONV.name, 1, "crop_00.jpg")
    data = bytearray(crop.read_bytes())
    data[len(data) // 2] ^= 1  # one bit
    crop.write_bytes(bytes(data))
    store.path(CONV.name, names.TOP).unlink()
    store.path(DENSE.name, names.LAYER).unlink()
    (store.folder / "note.txt").write_text("mine")
    assert main(["units", "verify", "tiny", *root]) == 1
    told = capsys.readouterr().out
    assert f"{crop}: is not as it was written: its checksum is another" in told
    assert f"{store.path(CONV.name, names.TOP)}: is missing" in told
    assert f"{store.path(DENSE.name, names.LAYER)}: is missing" in told
    assert f"{store.folder}/note.txt: is in no list of checksums" in told
    assert "8 files, 4 of them damaged or missing" in told


def test_a_lost_list_of_checksums_is_looked_for_twice_and_not_for_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made_store(tmp_path)
    with store.writing("a test") as writer:
        for unit in range(2, 30):
            writer.write_unit(CONV.name, unit, {"inputs.json": b"[]"})
    store.path(CONV.name, names.SUMS).unlink()
    num_read = 0
    read = sums.read_sums

    def counted(folder: Path) -> dict[str, str]:
        nonlocal num_read
        num_read += 1
        return read(folder)

    monkeypatch.setattr(sums, "read_sums", counted)
    wrong = [checked for checked in verify(store) if checked.fault]
    assert len(wrong) > 28
    assert {checked.fault for checked in wrong} == {"is in no list of checksums"}
    assert num_read == 2 * 3, "of the store and its two layers"


def test_nothing_is_removed_without_a_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made_store(tmp_path)
    rm = ["units", "rm", "tiny", "--store", str(tmp_path)]
    assert main(rm) == 2
    assert "Nobody is there to ask; give --yes" in capsys.readouterr().err
    for answer in ("", "\n", "no\n", "yesterday\n"):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)
        assert main(rm) == 0
        assert "Remove" in capsys.readouterr().err
        assert store.layers() == (CONV, DENSE)
    terminal = io.StringIO("y\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    assert main(rm) == 0
    assert list(tmp_path.iterdir()) == []


def test_verify_finds_no_fault_with_what_is_being_written(tmp_path: Path) -> None:
    """Of a file written twice the checksums are in the journal alone, until the writer ends."""
    store = made_store(tmp_path)
    with store.writing("a test") as writer:
        writer.write_files(CONV.name, {"new": b"1"})
        writer.write_files(CONV.name, {"new": b"2"})
        assert [checked.path for checked in verify(store) if checked.fault] == []
        store.path(CONV.name, "new").write_bytes(b"3")
        assert [checked.path.name for checked in verify(store) if checked.fault] == ["new"]


def test_a_removed_units_page_goes_with_its_checksum(tmp_path: Path) -> None:
    store = made_store(tmp_path)
    with store.writing("a test") as writer:
        for unit in (0, 1):
            writer.write_changed(CONV.name, {names.unit_page(unit): b"page"})
    with store.writing("a test") as writer:
        writer.remove(CONV.name, 1)
    assert not store.path(CONV.name, names.unit_page(1)).exists()
    assert store.read_bytes(CONV.name, names.unit_page(0)) == b"page"
    assert all(not checked.fault for checked in verify(store))


def test_a_unit_is_removed_from_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made_store(tmp_path)
    write_all = filing.write_all
    gone = store.unit_path(CONV.name, 1)

    def full_until_removed(files: dict[Path, bytes], **how: object) -> None:
        if gone.exists():
            raise OSError(28, "No space left on device", str(next(iter(files))))
        write_all(files, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(filing, "write_all", full_until_removed)
    with store.writing("a test") as writer:
        writer.remove(CONV.name, 1)
    assert store.unit_files(CONV.name, 1) == ()
    assert all(not checked.fault for checked in verify(store))


def test_rm_removes_a_unit_or_layers_and_what_is_left_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = made_store(tmp_path)
    root = ["--store", str(tmp_path)]
    rm = ["units", "rm", "tiny", "--yes", *root]
    assert main([*rm, "--layers", "stem*", "--unit", "1"]) == 0
    assert store.unit_files(CONV.name, 1) == ()
    assert main([*rm, "--layers", "stem*", "--unit", "1"]) == 2
    assert "no pictures of unit 1" in capsys.readouterr().err
    assert main([*rm, "--layers", "hed"]) == 2
    assert "no layer of" in capsys.readouterr().err
    assert main([*rm, "--layers", "head"]) == 0
    assert store.layers() == (CONV,)
    assert main(["units", "verify", *root]) == 0
    with store.writing("rtvis units scan"):
        assert main(rm) == 1
        assert "rtvis units scan (process" in capsys.readouterr().err
    assert main(rm) == 0
    assert not store.folder.exists()

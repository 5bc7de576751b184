"""The store of what units have learned: whole files, checksums, one writer, room on the disk."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import CamNet, HandNet, seeded

from rtvis import filing
from rtvis.data import Layer
from rtvis.engine.networks.identity import Identity, weights_digest
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import StoreError
from rtvis.units import names, sums
from rtvis.units.cache import PictureCache
from rtvis.units.lock import holder, locked
from rtvis.units.store import Store, default_root, find_stores, folder_name, open_store
from rtvis.units.tracker import Top

IDENTITY = Identity(network="TinyNet", weights="12ab" * 10, preprocessing=Preprocessing())
LAYER = Layer(
    index=3,
    name="block#2.Conv",
    kind="conv",
    num_units=4,
    map_size=(7, 9),
    stride=(2.0, 2.0),
    receptive_field=(5, 5),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path, IDENTITY)


def test_names_of_layers_become_folders_and_back() -> None:
    assert names.folder_of("layer4.2.conv1") == "layer4.2.conv1"
    assert names.folder_of("conv#2") == "conv=232"
    assert names.folder_of("Conv") == "Conv~1"
    assert names.folder_of("mixedA.B") == "mixedA.B~60"  # the letters 5 and 6 counted from 0
    every = ["conv", "CONV", "a/b", "..", ".", "", "é.", "x:tokens", "aux.conv", "NUL", "com1.x"]
    every += ["index.html", "Index.html", "store.json", "-rf", "a b", "100%", "=", "~", "a=2e"]
    folders = [names.folder_of(name) for name in every]
    assert [names.name_of(folder) for folder in folders] == every
    for folder in folders:
        assert all(
            letter.isascii() and (letter.isalnum() or letter in "._-=~") for letter in folder
        )
        assert folder.casefold().split(".")[0] not in {"con", "aux", "nul", "com1"}
        assert not folder.endswith(".")
        assert folder not in {names.STORE, names.PAGE}
    assert len({folder.casefold() for folder in folders}) == len(every), "Conv and conv are two"


def test_a_long_name_is_cut_and_stays_apart_from_its_like() -> None:
    one, other = names.folder_of("x" * 300), names.folder_of("x" * 299)
    assert one != other
    assert len(one) <= 200
    assert names.name_of(one) is None


def test_what_is_written_is_read_again(store: Store) -> None:
    values_CN = np.array([[3.5, -np.inf], [1.0, 0.5]], dtype=np.float32)
    gradient_HW3 = np.zeros((16, 16, 3), dtype=np.uint8)
    gradient_HW3[:8] = (255, 0, 0)
    with store.writing("a test") as writer:
        writer.write_layer(LAYER)
        writer.write_arrays(LAYER.name, names.TOP, {"values_CN": values_CN})
        writer.write_pictures(LAYER.name, 130, {"opt.png": gradient_HW3})
        writer.write_unit(LAYER.name, 130, {"opt.json": b'{"seed": 7}'})
    again = open_store(store.folder.parent, IDENTITY)
    assert again.layers() == (LAYER,)
    assert again.layer(LAYER.name) == LAYER
    arrays = again.read_arrays(LAYER.name, names.TOP)
    assert arrays is not None
    assert arrays["values_CN"].tolist() == values_CN.tolist()
    picture = again.read_picture(LAYER.name, 130, "opt.png")
    assert picture is not None
    assert picture[0, 0].tolist() == [255, 0, 0], "red is red: RGB in, RGB out"
    assert again.read_unit_json(LAYER.name, 130, "opt.json") == {"seed": 7}
    assert again.unit_files(LAYER.name, 130) == ("opt.json", "opt.png")
    assert again.unit_files(LAYER.name, 131) == ()
    assert again.read_arrays(LAYER.name, names.STATISTICS) is None
    assert (store.folder / "block=232.Conv~20" / "0130" / "opt.png").is_file()
    size = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    assert again.num_bytes() == size > 500
    assert [each.folder for each in find_stores(store.folder.parent)] == [store.folder]
    with pytest.raises(StoreError, match=r"nothing of a layer 'block2.Conv'; nearest is 'block#2"):
        again.layer("block2.Conv")


def test_the_strongest_inputs_are_read_as_they_were_found(store: Store) -> None:
    top = Top(
        values_CN=torch.tensor([[3.5, 1.25], [-torch.inf, -torch.inf]]),
        item_CN=torch.tensor([[2**31 - 1, 7], [-1, -1]]),
        position_CN2=torch.tensor([[[3, 4], [0, 6]], [[0, 0], [0, 0]]], dtype=torch.int32),
    )
    with store.writing("a test") as writer:
        writer.write_top(LAYER.name, top)
        writer.write_arrays("other", names.TOP, {"values_CN": np.zeros((1, 1))})
    found = store.read_top(LAYER.name)
    assert found is not None
    for name in ("values_CN", "item_CN", "position_CN2"):
        there, here = getattr(found, name), getattr(top, name)
        assert there.dtype == here.dtype
        assert torch.equal(there, here)
    assert store.read_top("nothing") is None
    with pytest.raises(StoreError, match=r"top.npz: is damaged"):
        store.read_top("other")


def test_looking_at_a_store_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "root", IDENTITY)
    assert store.identity is None
    assert store.layers() == ()
    assert store.read_bytes(None, names.STORE) is None
    assert store.num_bytes() == 0
    assert find_stores(tmp_path / "root") == ()
    assert not (tmp_path / "root").exists()


def test_the_default_place_follows_the_desktops_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_root() == Path("/data/rtvis/units")
    assert folder_name(IDENTITY) == "TinyNet-12ab12ab~11"


def test_weights_have_a_digest_of_names_shapes_and_numbers() -> None:
    net, same, other = seeded(CamNet), seeded(CamNet), seeded(CamNet, seed=1)
    assert weights_digest(net) == weights_digest(same)
    assert weights_digest(net) != weights_digest(other)
    assert weights_digest(net) == weights_digest(net.to(memory_format=torch.channels_last))
    changed = HandNet()
    before = weights_digest(changed)
    with torch.no_grad():
        changed.fc.bias[0] += 1e-6
    assert weights_digest(changed) != before
    assert len(before) == 40


def test_another_networks_store_is_refused_with_what_differs(store: Store) -> None:
    with store.writing("a test"):
        pass
    small = replace(IDENTITY, preprocessing=Preprocessing(size=(160, 192)))
    with pytest.raises(
        StoreError,
        match=r"TinyNet-12ab12ab.*preprocessing.size \[224, 224\] there "
        r"and \[160, 192\] here; name another --store",
    ):
        open_store(store.folder.parent, small)
    other = replace(IDENTITY, weights="12ab12ab" + "0" * 32)  # the same folder by its first digits
    with pytest.raises(StoreError, match=r"weights 12ab12ab12ab.* there and 12ab12ab0000"):
        open_store(store.folder.parent, other)


def test_a_stores_own_folder_names_it_too(store: Store) -> None:
    """What a scan says at its end is given to the next one, and makes no store within the store."""
    with store.writing("a test"):
        pass
    assert open_store(store.folder, IDENTITY).folder == store.folder
    with pytest.raises(StoreError, match="is another network's"):
        open_store(store.folder, replace(IDENTITY, network="another"))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / folder_name(IDENTITY)
    folder.mkdir()
    (folder / "thesis.doc").write_text("mine")
    with pytest.raises(StoreError, match=r"is no store of rtvis: it has thesis.doc"):
        open_store(tmp_path, IDENTITY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged; `rtvis units verify`"),
        ("[]", "names no format"),
        ('{"format": true}', "names no format"),
        ('{"format": 2}', "of format 2, of a later rtvis; this one reads up to 1"),
        ('{"format": 1}', "store.json: .*cannot be used"),
        ('{"format": 1, "identity": {"network": 3}}', "store.json: network: 3 cannot be used"),
        ('{"format": 1, "identity": {"network": "x"}}', "weights is missing"),
    ],
)
def test_a_damaged_store_says_so(store: Store, text: str, message: str) -> None:
    store.folder.mkdir()
    (store.folder / names.STORE).write_text(text)
    with pytest.raises(StoreError, match=message):
        open_store(store.folder.parent, IDENTITY)


def test_damaged_files_say_so(store: Store) -> None:
    with store.writing("a test") as writer:
        writer.write_arrays("conv", names.TOP, {"a": np.arange(100)})
        writer.write_unit("conv", 0, {"crop_00.jpg": b"no picture", "empty.jpg": b""})
    path = store.path("conv", names.TOP)
    whole = path.read_bytes()
    for part in (b"", whole[:20], whole[:-30]):
        path.write_bytes(part)
        with pytest.raises(StoreError, match=r"top.npz: is damaged"):
            store.read_arrays("conv", names.TOP)
    np.save(path.with_suffix(".npy"), np.array([{}], dtype=object), allow_pickle=True)
    path.with_suffix(".npy").rename(path)
    with pytest.raises(StoreError, match=r"top.npz: is damaged"):  # a pickle is never opened
        store.read_arrays("conv", names.TOP)
    for name in ("crop_00.jpg", "empty.jpg"):
        with pytest.raises(StoreError, match=f"{name}: is damaged"):
            store.read_picture("conv", 0, name)


def test_the_list_of_checksums_is_the_systems_own(store: Store) -> None:
    with store.writing("a test") as writer:
        writer.write_unit("conv", 7, {"a.png": b"1234"})
        writer.write_files("conv", {"b": b"5"})
        writer.write_files("conv", {"b": b"6"})
    folder = store.path("conv")
    lines = (folder / names.SUMS).read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["0007/a.png", "b"]
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", names.SUMS],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stdout) == (0, "0007/a.png: OK\nb: OK\n")
    assert not (folder / names.JOURNAL).exists()
    with store.writing("a test") as writer:
        writer.remove("conv", 7)
    assert list(sums.read_sums(folder)) == ["b"]
    assert not store.unit_path("conv", 7).exists()
    with store.writing("a test") as writer:
        writer.remove("conv")
    assert not folder.exists()
    assert sorted(path.name for path in store.folder.iterdir()) == [names.SUMS, names.STORE]


def test_two_writers_at_once_is_an_error_that_names_the_first(store: Store) -> None:
    with store.writing("rtvis units scan") as writer:
        assert store.writer() is not None
        again = open_store(store.folder.parent, IDENTITY)
        message = rf"rtvis units scan \(process {os.getpid()} on .*is writing to it; wait"
        with pytest.raises(StoreError, match=message), again.writing("rtvis units optimize"):
            pass
        writer.write_arrays("conv", names.TOP, {"a": np.ones(1)})
        assert again.read_arrays("conv", names.TOP) == {"a": 1.0}, "readers are not held up"
    assert store.writer() is None
    assert not (store.folder / names.LOCK).exists()
    with again.writing("rtvis units optimize"):
        pass


def write_and_die(folder: str) -> None:
    """In a child: be killed when the first of two files has its name."""
    store = open_store(Path(folder), IDENTITY)
    with store.writing("a scan") as writer:
        writer.write_files("conv", {"a": b"first", "b": b"first"})
        writer.flush()
        rename = Path.replace

        def replace_and_die(self: Path, target: Path) -> Path:
            rename(self, target)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        Path.replace = replace_and_die  # type: ignore[method-assign,assignment]
        writer.write_files("conv", {"b": b"second", "c": b"new"})


def test_a_writer_that_is_killed_leaves_whole_files_and_no_lock(tmp_path: Path) -> None:
    code = "import sys, test_store; test_store.write_and_die(sys.argv[1])"
    child = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=Path(__file__).parent, timeout=60, check=False
    )
    assert child.returncode == -signal.SIGKILL
    store = open_store(tmp_path, IDENTITY)
    assert (store.folder / names.LOCK).exists()
    assert store.writer() is None, "nobody holds it"
    folder = store.path("conv")
    assert list(folder.glob(".*.part")) != []
    assert store.read_bytes("conv", "b") == b"second"
    assert store.read_bytes("conv", "c") is None
    with store.writing("the next scan") as writer:
        writer.write_files("conv", {"d": b"more"})
    assert list(folder.glob(".*")) == []
    known = sums.read_sums(folder)
    assert sorted(known) == ["a", "b", "d"]
    assert all(sums.digest_of_file(folder / name) == known[name] for name in known)


def test_a_journal_is_settled_by_what_the_files_hold(tmp_path: Path) -> None:
    old, new, other = (sums.digest_of(data) for data in (b"old", b"new", b"other"))
    before = dict.fromkeys(("before", "after", "damaged", "lost"), old)
    sums.write_sums({tmp_path: before})
    sums.append(tmp_path, dict.fromkeys(("before", "after", "damaged", "never"), new))
    with (tmp_path / names.JOURNAL).open("a") as file:
        file.write(other[:30])  # torn
    sums.append(tmp_path, {"late": new})
    for name, data in {"before": b"old", "after": b"new", "damaged": b"x", "late": b"new"}.items():
        (tmp_path / name).write_bytes(data)
    expected = {"before": old, "after": new, "damaged": old, "lost": old, "late": new}
    assert sums.settled(tmp_path) == expected


def test_a_writer_on_another_machine_is_waited_for(store: Store) -> None:
    with store.writing("a test"):
        found = json.loads((store.folder / names.LOCK).read_text())
    elsewhere = found | {"host": "node7", "kernel": "another", "pid": 42, "what": "a scan"}
    (store.folder / names.LOCK).write_text(json.dumps(elsewhere))
    with (
        pytest.raises(StoreError, match=r"a scan \(process 42 on node7.*or if it is gone remove"),
        store.writing("a test"),
    ):
        pass
    assert (store.folder / names.LOCK).exists(), "its lock is not ours to remove"
    (store.folder / names.LOCK).write_text("garbage of a machine that went down")
    with store.writing("a test"):
        pass


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow over 64 KiB: the system refuses as on a full disk, in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_and_nothing_is_lost(store: Store, small_files: None) -> None:
    with store.writing("a scan") as writer:
        writer.write_files("conv", {"a": b"old", "b": b"old"})
    with (
        pytest.raises(StoreError, match=r"conv/b: cannot be written \(.*what was written before"),
        store.writing("a scan") as writer,
    ):
        writer.write_files("conv", {"a": b"new", "b": b"x" * 100_000})
    assert store.read_bytes("conv", "a") == b"old"
    assert store.read_bytes("conv", "b") == b"old"
    assert sorted(path.name for path in store.path("conv").iterdir()) == [names.SUMS, "a", "b"]
    with store.writing("a scan") as writer:  # there is room again
        writer.write_files("conv", {"a": b"new"})
    assert store.read_bytes("conv", "a") == b"new"


def test_a_journal_grows_wholly_or_not_at_all(tmp_path: Path, small_files: None) -> None:
    for number in range(700):  # of 77 bytes with the newline before the second and later ones
        sums.append(tmp_path, {f"{number:08d}": "0" * 64})
    before = (tmp_path / names.JOURNAL).read_bytes()
    with pytest.raises(OSError, match="File too large"):
        sums.append(tmp_path, {f"{number:08d}": "0" * 64 for number in range(700)})
    assert (tmp_path / names.JOURNAL).read_bytes() == before
    assert len(sums.read_journal(tmp_path)) == 700


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    store = open_store(tmp_path / "root", IDENTITY)
    with (
        pytest.raises(StoreError, match=r"cannot be made .*name another --store"),
        store.writing("a scan"),
    ):
        pass


def test_a_lock_that_is_given_back_between_looking_and_locking_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removes the file as it ends: who has opened that one by then takes another."""
    path = tmp_path / names.LOCK
    real, times = os.open, []

    def opened(name: object, *how: object, **also: object) -> int:
        found = real(name, *how, **also)  # type: ignore[arg-type]
        if name == path and not times:
            times.append(found)
            path.unlink()
        return found

    monkeypatch.setattr(os, "open", opened)
    with locked(path, "a test"):
        monkeypatch.undo()
        assert times, "it was opened"
        assert path.exists()
        assert holder(path) is not None


def test_pictures_are_kept_up_to_a_number_of_bytes(store: Store) -> None:
    image_HW3 = np.full((10, 10, 3), 200, dtype=np.uint8)  # 300 bytes
    with store.writing("a test") as writer:
        for unit in range(4):
            writer.write_pictures("conv", unit, {"a.png": image_HW3})
        writer.write_pictures("conv", 9, {"a.png": np.zeros((40, 40, 3), dtype=np.uint8)})
    store.cache = PictureCache(max_bytes=900)
    first = store.read_picture("conv", 0, "a.png")
    assert store.read_picture("conv", 0, "a.png") is first
    store.read_picture("conv", 1, "a.png")
    store.read_picture("conv", 2, "a.png")
    assert store.cache.num_bytes == 900
    assert store.read_picture("conv", 0, "a.png") is first, "used again, so the newest"
    store.read_picture("conv", 3, "a.png")
    assert store.read_picture("conv", 0, "a.png") is first
    assert store.cache.num_bytes == 900
    big = store.read_picture("conv", 9, "a.png")
    assert big is not None
    assert big.nbytes == 4800
    assert store.cache.num_bytes == 900, "one that is larger than all is not kept"
    with store.writing("a test") as writer:
        writer.write_pictures("conv", 0, {"a.png": image_HW3 // 2})
    changed = store.read_picture("conv", 0, "a.png")
    assert changed is not None
    assert changed[0, 0, 0] == 100, "a picture that was replaced is read again"
    store.unit_path("conv", 5, "a.png").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"a\.png: cannot be read \(Is a directory\)"):
        store.read_picture("conv", 5, "a.png")


def test_an_npz_that_is_damaged_anywhere_is_told_in_one_way(tmp_path: Path) -> None:
    data = filing.encode_npz({"a": np.arange(99, dtype=np.float32)})
    path = tmp_path / "a.npz"
    begins = 30 + len("a.npy") + int.from_bytes(data[28:30], "little")
    entry = data.index(b"PK\x01\x02")
    packed = data[:begins] + b"\xff" * 20 + data[begins + 20 :]
    locked = data[: entry + 8] + bytes([data[entry + 8] | 1]) + data[entry + 9 :]
    for wrong in (b"", b"text", data[:50], data[:-30], packed, locked):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"."):
            filing.read_npz(path)
    path.write_bytes(data)
    np.testing.assert_array_equal(filing.read_npz(path)["a"], np.arange(99))
    with pytest.raises(FileNotFoundError):
        filing.read_npz(tmp_path / "b.npz")

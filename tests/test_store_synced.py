"""What a store has on the disk when the power is cut: a name never comes before its content."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rtvis.data import Layer
from rtvis.engine.networks.identity import Identity
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import StoreError
from rtvis.units import names
from rtvis.units.store import Store, open_store

LAYER = Layer(
    index=1,
    name="conv",
    kind="conv",
    num_units=4,
    map_size=(4, 4),
    stride=(1.0, 1.0),
    receptive_field=(3, 3),
)
OTHER = replace(LAYER, index=2, name="dense")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    prep = Preprocessing(size=(32, 32))
    store = open_store(tmp_path, Identity(network="net", weights="0" * 40, preprocessing=prep))
    with store.writing("a test") as writer:
        writer.write_layer(LAYER)
        writer.write_files("conv", {"a": b"old"})
    return store


class Disk:
    """Notes what is brought to the disk and what gets a name, in order; paths within the store."""

    def __init__(self, folder: Path) -> None:
        self.events: list[tuple[str, str]] = []
        self.fault: OSError | None = None
        self._folder = folder
        self._replace = Path.replace

    def fsync(self, descriptor: int) -> None:
        if self.fault is not None:
            raise self.fault
        self._note("synced", Path(f"/proc/self/fd/{descriptor}").readlink())

    def replace(self, path: Path, target: Path) -> Path:
        self._note("named", target)
        return self._replace(path, target)

    def _note(self, what: str, path: Path) -> None:
        name = path.relative_to(self._folder).as_posix()
        if name.endswith(".part"):  # `conv/.a.0123abcd.part` is to be `conv/a`
            folder, _, part = name.rpartition("/")
            name = f"{folder}/{part[1:].rsplit('.', 2)[0]}".lstrip("/")
        self.events.append((what, name))

    def names(self, what: str) -> list[str]:
        return [name for event, name in self.events if event == what]

    def last(self, what: str, name: str) -> int:
        return max(at for at, event in enumerate(self.events) if event == (what, name))


@pytest.fixture
def disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(store.folder)
    monkeypatch.setattr(os, "fsync", disk.fsync)

    def replace(path: Path, target: Path) -> Path:
        return disk.replace(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    return disk


def test_no_file_has_its_name_before_its_content_and_its_checksum_are_on_the_disk(
    store: Store, disk: Disk
) -> None:
    with store.writing("a test") as writer:
        writer.write_layers([LAYER, OTHER], {"conv": {"a": b"new", "b": b"1"}, "dense": {"c": b""}})
        written = {"conv/layer.json", "dense/layer.json", "conv/a", "conv/b", "dense/c"}
        journals = {names.JOURNAL, f"conv/{names.JOURNAL}", f"dense/{names.JOURNAL}"}
        assert set(disk.names("synced")) == written | journals
        assert len(disk.names("synced")) == 8, "each of them once"
        first_name = disk.events.index(("named", disk.names("named")[0]))
        assert first_name == 8, "all files of all layers wait together"
        assert set(disk.names("named")) == written
    for folder in (".", "conv", "dense"):
        sums = Path(folder, names.SUMS).as_posix()
        assert disk.last("synced", sums) < disk.last("named", sums) < disk.last("synced", folder)
        files = [name for name in written if Path(name).parent == Path(folder)]
        for name in files:
            synced = disk.events.index(("synced", folder))
            assert disk.last("named", name) < synced < disk.last("named", sums)


def test_what_the_disk_refuses_gets_no_name_and_the_next_writer_goes_on(
    store: Store, disk: Disk
) -> None:
    disk.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(StoreError, match=r"conv/a: cannot be written \(No space left on device"),
        store.writing("a test") as writer,
    ):
        writer.write_files("conv", {"a": b"new"})
    assert store.read_bytes("conv", "a") == b"old"
    assert not list(store.folder.rglob("*.part"))
    disk.fault = None
    with store.writing("a test") as writer:
        writer.write_files("conv", {"a": b"new"})
    assert store.read_bytes("conv", "a") == b"new"


def test_pages_and_pictures_of_units_wait_for_no_disk_and_an_empty_page_is_written_again(
    store: Store, disk: Disk
) -> None:
    with store.writing("a test") as writer:
        writer.write_unit("conv", 3, {"crop_00.jpg": b"picture"}, synced=False)
        assert writer.write_changed("conv", {"0003.html": b"page"}) == 1
        assert disk.names("synced") == []
        store.path("conv", "0003.html").write_bytes(b"")
        assert writer.write_changed("conv", {"0003.html": b"page"}) == 1
        assert writer.write_changed("conv", {"0003.html": b"page"}) == 0
    assert store.read_bytes("conv", "0003.html") == b"page"


def test_a_file_system_that_syncs_no_folders_is_no_fault(
    store: Store, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files_alone(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", files_alone)
    with store.writing("a test") as writer:
        writer.write_files("conv", {"a": b"new"})
    assert store.read_bytes("conv", "a") == b"new"

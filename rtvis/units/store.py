"""What the units of one network have learned: a folder, which `docs/units.md` describes.

Reading needs no lock and never waits: a file is whole or not there. To write, be the one writer::

    store = open_store(root, engine.identity)
    with store.writing("rtvis units scan") as writer:
        writer.write_layer(layer)
        writer.write_top(layer.name, top)
        writer.write_arrays(layer.name, names.STATISTICS, {"mean_C": mean_C})
        writer.write_pictures(layer.name, 130, {names.ranked("crop", 0): image_HW3})
    store.read_arrays(layer.name, names.STATISTICS)
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from rtvis.data import ImageU8, Layer
from rtvis.engine.networks.identity import Identity
from rtvis.errors import ConfigError, StoreError, did_you_mean
from rtvis.plain import from_plain
from rtvis.units import names
from rtvis.units.cache import PictureCache
from rtvis.units.lock import Writer, holder, locked
from rtvis.units.store_files import damaged, num_bytes_in, read_bytes, read_json, read_npz
from rtvis.units.store_owner import about, check_is_of, identity_in
from rtvis.units.tracker import Top
from rtvis.units.writer import GONE, StoreWriter, remove_folder


def default_root() -> Path:
    """Where stores are unless `--store` says otherwise: `$XDG_DATA_HOME/rtvis/units`, or the
    platform's usual place.

    Read here and not in `cli`, so that the Python API and the window share it.
    """
    root = os.environ.get("XDG_DATA_HOME")
    if root:
        return Path(root) / "rtvis" / "units"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "rtvis" / "units"
    return Path.home() / ".local" / "share" / "rtvis" / "units"


def open_store(
    root: Path | None, identity: Identity, *, cache: PictureCache | None = None
) -> "Store":
    """The store of a network below `root`; nothing is made before something is written.

    Args:
        root: Default: `default_root()`; the store's own folder will do too.
        identity: As `Engine.identity` gives it.
        cache: For its pictures; default: one of its own.

    Raises:
        StoreError: What is there is another network's, a later format, or damaged.
    """
    root = root or default_root()
    # A store's own folder is what a scan says at its end, and what people give to the next one.
    folder = root if (root / names.STORE).is_file() else root / folder_name(identity)
    store = Store(folder, cache=cache)
    check_is_of(folder, identity)
    store.wanted = identity
    return store


def find_stores(root: Path) -> tuple["Store", ...]:
    """All stores below `root`, or `root` itself where it is one, by name."""
    if (root / names.STORE).is_file():
        return (Store(root),)
    if not root.is_dir():
        return ()
    return tuple(Store(path.parent) for path in sorted(root.glob(f"[!.]*/{names.STORE}")))


def remove_store(store: "Store") -> None:
    """Remove all of it.

    Raises:
        StoreError: Somebody writes to it, or a file cannot be removed.
    """
    with locked(store.folder / names.LOCK, "its removal"):
        remove_folder(store.folder)
    for path in store.folder.parent.glob(f"{GONE}*"):  # of one that was killed
        shutil.rmtree(path, ignore_errors=True)


def folder_name(identity: Identity) -> str:
    """`resnet50-1a2b3c4d`."""
    return names.folder_of(f"{identity.network}-{identity.weights[:8]}")


class Store:
    """Reads one folder. Any thread may do so while another process writes.

    Args:
        folder: It need not exist.
        cache: For its pictures.
    """

    def __init__(self, folder: Path, *, cache: PictureCache | None = None) -> None:
        self.folder = folder
        self.cache = cache or PictureCache()
        self.wanted: Identity | None = None
        """What the first writer puts into a new store."""

    @property
    def identity(self) -> Identity | None:
        """Whose it is; None where nothing has been written yet.

        Raises:
            StoreError: A later format, or damaged.
        """
        return identity_in(self.folder)

    def layers(self) -> tuple[Layer, ...]:
        """The layers that it knows something of, in order of execution.

        Raises:
            StoreError: A layer's file is damaged.
        """
        found = []
        for path in self.folder.glob(f"[!.]*/{names.LAYER}"):
            plain = read_json(path)
            try:
                found.append(from_plain(Layer, plain, where=f"{path}: "))
            except ConfigError as fault:
                raise StoreError(str(fault)) from None
        return tuple(sorted(found, key=lambda layer: layer.index))

    def layer(self, name: str) -> Layer:
        """One of them.

        Raises:
            StoreError: It knows nothing of that layer, with the nearest that it knows.
        """
        layers = {layer.name: layer for layer in self.layers()}
        if name in layers:
            return layers[name]
        near = did_you_mean(name, layers)
        raise StoreError(f"{self.folder}: has nothing of a layer '{name}'{near}")

    def path(self, layer: str | None, name: str = "") -> Path:
        """Where a file of a layer is, or with None one of the whole store."""
        folder = self.folder if layer is None else self.folder / names.folder_of(layer)
        return folder / name

    def unit_path(self, layer: str, unit: int, name: str = "") -> Path:
        """Where a file of a unit is."""
        return self.path(layer, names.unit(unit)) / name

    def unit_files(self, layer: str, unit: int) -> tuple[str, ...]:
        """The names of a unit's files, in alphabetical order."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = (path.name for path in self.unit_path(layer, unit).iterdir())
            return tuple(sorted(name for name in found if not name.startswith(".")))
        return ()

    def read_bytes(self, layer: str | None, name: str) -> bytes | None:
        """A file as it is; None where there is none.

        Raises:
            StoreError: It cannot be read.
        """
        return read_bytes(self.path(layer, name))

    def read_json(self, layer: str | None, name: str) -> Any:
        """What a JSON file holds; None where there is none.

        Raises:
            StoreError: It cannot be read, or is damaged.
        """
        return read_json(self.path(layer, name))

    def read_arrays(self, layer: str | None, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays of an npz file; None where there is none.

        Raises:
            StoreError: It cannot be read, or is damaged.
        """
        return read_npz(self.path(layer, name))

    def read_top(self, layer: str) -> Top | None:
        """The strongest inputs of a layer's units; None where no scan has been there.

        Raises:
            StoreError: The file cannot be read, or is damaged.
        """
        arrays = self.read_arrays(layer, names.TOP)
        if arrays is None:
            return None
        try:
            return Top(**{one.name: torch.from_numpy(arrays[one.name]) for one in fields(Top)})
        except KeyError:
            raise damaged(self.path(layer, names.TOP)) from None

    def read_unit_json(self, layer: str, unit: int, name: str) -> Any:
        """What a JSON file of a unit holds; None where there is none. Raises as `read_json`."""
        return read_json(self.unit_path(layer, unit, name))

    def read_unit_arrays(
        self, layer: str, unit: int, name: str
    ) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays of an npz file of a unit. Raises as `read_arrays`."""
        return read_npz(self.unit_path(layer, unit, name))

    def read_picture(self, layer: str, unit: int, name: str) -> ImageU8 | None:
        """A unit's picture as uint8 RGB [H, W, 3], not to be written to; None where there is none.

        It is kept in `cache`, so that browsing back and forth decodes nothing twice.

        Raises:
            StoreError: It cannot be read, or is damaged.
        """
        return self.cache.read(self.unit_path(layer, unit, name))

    def num_bytes(self, layer: str | None = None) -> int:
        """The size of all files, or of those of a layer."""
        return num_bytes_in(self.path(layer))

    def writer(self) -> Writer | None:
        """Who writes to it now, if anybody."""
        return holder(self.folder / names.LOCK)

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[StoreWriter]:
        """Be the one who writes to it.

        Args:
            what: The program, for the message that another one gets: "rtvis units scan".

        Raises:
            StoreError: Another one writes, the place cannot be written to, the disk is full, or
                a new store is opened without a network.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot be made ({error.strerror}); name another --store"
            ) from None
        with locked(self.folder / names.LOCK, what) as before:
            writer = StoreWriter(self.folder)
            if before is not None:
                writer.settle_all()
            if self.identity is None:
                assert self.wanted is not None, "a new store is opened by open_store()"
                writer.write_json(None, names.STORE, about(self.wanted))
            with writer:
                yield writer

"""Where optimised inputs are written: a store, or a folder. Nothing there is replaced unasked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rtvis import filing
from rtvis.errors import StoreError
from rtvis.plain import to_plain
from rtvis.units import names
from rtvis.units.optimized import Optimized, files_of
from rtvis.units.presets import PRESETS
from rtvis.units.recipe import Recipe
from rtvis.units.store import Store
from rtvis.units.writer import StoreWriter, encoded


class Output(Protocol):
    """Takes results as they come."""

    def find(self, layer: str, unit: int, label: str, seed: int) -> Path | None:
        """The picture that is there already; None where there is none."""
        ...

    def write(self, found: Optimized, label: str, seed: int) -> Path:
        """Write picture, numbers and record, all or nothing; returns the picture's place."""
        ...


def label_of(
    preset: str, recipe: Recipe, *, position: tuple[int, int] | None = None, start: str = ""
) -> str:
    """What files call a recipe: the preset's name, with a digest behind it where that was changed,
    and between them what it does where that is not to drive a unit up.

    Args:
        preset: Name of the preset.
        recipe: What became of it.
        position: Where it is not the middle one.
        start: Which picture it begins at, if any.
    """
    if recipe == PRESETS.get(preset) and position is None and not start:
        return preset
    plain = json.dumps([to_plain(recipe), position, start], sort_keys=True)
    mark = names.DOWN if recipe.direction == "minimise" else ""
    mark = names.WHOLE if recipe.objective == "layer" else mark
    return names.label(preset, mark, hashlib.blake2b(plain.encode(), digest_size=3).hexdigest())


class FolderOutput:
    """`LAYER_0130_PRESET_SEED.png`, `.npz` and `.json` in one folder.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, layer: str, unit: int, label: str, seed: int) -> Path | None:
        """The picture that is there already; None where there is none."""
        path = self._path(layer, unit, label, seed)
        return path if path.exists() else None

    def write(self, found: Optimized, label: str, seed: int) -> Path:
        """Write picture, numbers and record, all or nothing; returns the picture's place.

        Raises:
            StoreError: They cannot be written.
        """
        path = self._path(found.layer.name, found.unit, label, seed)
        self.write_files(
            {path.with_name(f"{path.stem}{suffix}"): data for suffix, data in _files(found).items()}
        )
        return path

    @staticmethod
    def write_files(files: Mapping[Path, bytes]) -> None:
        """Write files, all or none of them.

        Raises:
            StoreError: They cannot be written.
        """
        path = next(iter(files))
        try:
            for folder in {path.parent for path in files}:
                folder.mkdir(parents=True, exist_ok=True)
            filing.write_all(files)
        except OSError as error:
            name = error.filename or path
            raise StoreError(f"{name}: cannot be written ({error.strerror})") from None

    def _path(self, layer: str, unit: int, label: str, seed: int) -> Path:
        parts = (names.folder_of(layer), names.unit(unit), names.folder_of(label), str(seed))
        return self._folder / f"{'_'.join(parts)}.png"


class StoreOutput:
    """The units' folders of a store.

    Args:
        store: Which.
        writer: Of that store.
    """

    def __init__(self, store: Store, writer: StoreWriter) -> None:
        self._store, self._writer = store, writer
        self._described: set[str] = set()

    def find(self, layer: str, unit: int, label: str, seed: int) -> Path | None:
        """The picture that is there already; None where there is none."""
        path = self._store.unit_path(layer, unit, names.optimized(label, seed, ".png"))
        return path if path.exists() else None

    def write(self, found: Optimized, label: str, seed: int) -> Path:
        """Write picture, numbers and record, all or nothing; returns the picture's place.

        Raises:
            StoreError: They cannot be written.
        """
        layer = found.layer.name
        if layer not in self._described:
            self._writer.write_layer(found.layer)
            self._described.add(layer)
        files = {
            names.optimized(label, seed, suffix): data for suffix, data in _files(found).items()
        }
        self._writer.write_unit(layer, found.unit, files)
        return self._store.unit_path(layer, found.unit, names.optimized(label, seed, ".png"))


@contextmanager
def storing(store: Store, what: str) -> Iterator[StoreOutput]:
    """Be the one who writes to a store.

    Args:
        store: Which.
        what: The program, for the message that another writer gets.

    Raises:
        StoreError: Another one writes, or nothing can be written there.
    """
    with store.writing(what) as writer:
        yield StoreOutput(store, writer)


def _files(found: Optimized) -> dict[str, bytes]:
    return {".png": encoded("x.png", found.image_HW3), **files_of(found)}

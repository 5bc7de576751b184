"""The one who writes to a store: files that are whole or not there, and their checksums."""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rtvis import filing
from rtvis.data import ImageU8, Layer
from rtvis.errors import StoreError
from rtvis.plain import to_plain
from rtvis.units import names, sums
from rtvis.units.tracker import Top

JPEG_QUALITY = 90
GONE = ".gone-"
"""How the names of folders begin that are being removed."""


class StoreWriter:
    """Writes to the folder of a store; made by `Store.writing`, which holds the lock.

    Every method raises a StoreError when a file cannot be written, such as on a full disk: what
    was there before is there still, and no half of anything.

    Args:
        folder: The store's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._touched: dict[Path, dict[str, str]] = {}
        self._unsynced: set[Path] = set()
        """Folders within, in which files got names that are perhaps not on the disk yet."""

    def __enter__(self) -> "StoreWriter":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the checksums in place."""
        try:
            self.flush()
        except StoreError:
            # The journal holds them still, and the first error says what is wrong.
            if error is None:
                raise

    def write_layer(self, layer: Layer) -> None:
        """Say what a layer is; a store tells of those only that this was done for."""
        self.write_layers([layer], {})

    def write_layers(
        self, layers: Iterable[Layer], files: Mapping[str, Mapping[str, bytes]]
    ) -> None:
        """Say what some layers are, and write files of each: all or nothing of it.

        What waits for the disk waits together: for many layers this is faster than one by one.

        Args:
            layers: Which.
            files: By layer's name, as `write_files` takes them.
        """
        # In the list of the whole store, which misses it if the layer's folder is lost.
        told = {_described(layer.name): json_bytes(to_plain(layer)) for layer in layers}
        by_folder = {self.folder: told}
        for name, some in files.items():
            by_folder[self.folder / names.folder_of(name)] = dict(some)
        self._write(by_folder, synced=True)

    def write_json(self, layer: str | None, name: str, plain: Any) -> None:
        """A JSON file of a layer, or with None of the whole store."""
        self.write_files(layer, {name: json_bytes(plain)})

    def write_arrays(
        self, layer: str | None, name: str, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """An npz file of a layer, or with None of the whole store."""
        self.write_files(layer, {name: filing.encode_npz(arrays)})

    def write_top(self, layer: str, top: Top) -> None:
        """The strongest inputs of a layer's units."""
        arrays = {one.name: getattr(top, one.name).cpu().numpy() for one in fields(Top)}
        self.write_arrays(layer, names.TOP, arrays)

    def write_pictures(self, layer: str, unit: int, images: Mapping[str, ImageU8]) -> None:
        """Pictures of a unit.

        Args:
            layer: Its name.
            unit: Of the layer.
            images: File name -> uint8 RGB [H, W, 3]; the suffix says the format.
        """
        self.write_unit(layer, unit, {name: encoded(name, image) for name, image in images.items()})

    def write_unit(
        self, layer: str, unit: int, files: Mapping[str, bytes], *, synced: bool = True
    ) -> None:
        """Files of a unit, all or none of them; `synced` as in `write_files`."""
        prefix = names.unit(unit)
        within = {f"{prefix}/{name}": data for name, data in files.items()}
        self.write_files(layer, within, synced=synced)

    def write_files(
        self, layer: str | None, files: Mapping[str, bytes], *, synced: bool = True
    ) -> None:
        """Files of a layer, or with None of the whole store: all or none of them.

        Args:
            layer: Its name.
            files: Name, which may have a folder before it -> content. What is there is replaced.
            synced: Whether they outlive a power cut: False for what is made in great numbers, and
                can be made again of what the store has.
        """
        folder = self.folder if layer is None else self.folder / names.folder_of(layer)
        self._write({folder: files}, synced=synced)

    def _write(self, by_folder: Mapping[Path, Mapping[str, bytes]], *, synced: bool) -> None:
        """Files by name within folders: all or none of them."""
        paths = {
            folder / name: data
            for folder, files in by_folder.items()
            for name, data in files.items()
        }
        digests = {
            folder: {name: sums.digest_of(data) for name, data in files.items()}
            for folder, files in by_folder.items()
            if files
        }

        def enter() -> None:
            for folder, some in digests.items():
                sums.append(folder, some)
            if synced:
                filing.sync_files(folder / names.JOURNAL for folder in digests)

        parents = {path.parent for path in paths}
        try:
            for parent in parents:
                parent.mkdir(parents=True, exist_ok=True)
            filing.write_all(paths, before_renaming=enter, synced=synced)
        except OSError as error:
            raise _cannot_write(Path(error.filename or self.folder), error) from None
        for folder, some in digests.items():
            self._of(folder).update(some)
        if synced:
            self._unsynced |= parents

    def write_changed(self, layer: str | None, files: Mapping[str, bytes]) -> int:
        """`write_files` for those that are not there with this content, which can be made again;
        returns how many."""
        folder = self.folder if layer is None else self.folder / names.folder_of(layer)
        known = self._of(folder)
        changed = {
            name: data
            for name, data in files.items()
            if known.get(name) != sums.digest_of(data) or _size_of(folder / name) != len(data)
        }
        if changed:
            self.write_files(layer, changed, synced=False)
        return len(changed)

    def remove(self, layer: str, unit: int | None = None) -> None:
        """Remove a layer and all that is known of it, or one of its units."""
        folder = self.folder / names.folder_of(layer)
        if unit is None:
            self._touched.pop(folder, None)
            self._of(self.folder).pop(_described(layer), None)
            self._put([self.folder])
            remove_folder(folder)
            return
        gone = f"{names.unit(unit)}/"
        known = self._of(folder)
        for name in [name for name in known if name.startswith(gone)]:
            del known[name]
        known.pop(names.unit_page(unit), None)
        # The list first: a file without a sum is a lesser fault than a sum without a file. But
        # where the disk is full removing mends that, and `flush` puts the list in place.
        with contextlib.suppress(StoreError):
            self._put([folder])
        remove_folder(folder / names.unit(unit))
        (folder / names.unit_page(unit)).unlink(missing_ok=True)

    def remove_files(self, layer: str | None, files: Iterable[str]) -> None:
        """Remove some files, as named for `write_files`."""
        folder = self.folder if layer is None else self.folder / names.folder_of(layer)
        known, files = self._of(folder), list(files)
        for name in files:
            known.pop(name, None)
        self._put([folder])
        for name in files:
            (folder / name).unlink(missing_ok=True)

    def flush(self) -> None:
        """Put the checksums of all that was written in place; also done at the end."""
        # Names before sums: a list must not tell of what the disk has under its old name.
        filing.sync_folders(sorted(self._unsynced))
        self._unsynced.clear()
        self._put(list(self._touched))
        self._touched.clear()

    def settle_all(self) -> None:
        """Tidy up behind a writer that was killed: journals, and files that were half written."""
        for path in self.folder.rglob(f".*{filing.PART_SUFFIX}"):
            path.unlink(missing_ok=True)
        for path in self.folder.rglob(f"{GONE}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in [self.folder, *(one for one in self.folder.iterdir() if one.is_dir())]:
            if (path / names.JOURNAL).exists():
                self._touched[path] = sums.settled(path)
        self.flush()

    def _of(self, folder: Path) -> dict[str, str]:
        """The folder's sums, to be changed; `flush` writes them."""
        if folder not in self._touched:
            journal = (folder / names.JOURNAL).exists()  # of a flush that found the disk full
            self._touched[folder] = sums.settled(folder) if journal else sums.read_sums(folder)
        return self._touched[folder]

    def _put(self, folders: Iterable[Path]) -> None:
        there = [each for each in folders if each.is_dir()]  # somebody may have removed one
        try:
            sums.write_sums({folder: self._touched[folder] for folder in there})
        except OSError as error:
            raise _cannot_write(Path(error.filename), error) from None


def encoded(name: str, image_HW3: ImageU8) -> bytes:
    """The bytes of an RGB picture in the format that the name's suffix says."""
    image_bgr_HW3 = cv2.cvtColor(np.ascontiguousarray(image_HW3), cv2.COLOR_RGB2BGR)
    return filing.encode_image(Path(name), np.asarray(image_bgr_HW3), quality=JPEG_QUALITY)


def _size_of(path: Path) -> int:
    """In bytes; -1 where there is no such file. A power cut leaves pages empty."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _described(layer: str) -> str:
    return f"{names.folder_of(layer)}/{names.LAYER}"


def json_bytes(plain: Any) -> bytes:
    """A JSON file."""
    return (json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def remove_folder(folder: Path) -> None:
    """Under another name first, so that it is there whole or not at all."""
    gone = folder.with_name(f"{GONE}{secrets.token_hex(4)}")
    try:
        folder.rename(gone)
        shutil.rmtree(gone)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be removed ({error.strerror})") from None


def _cannot_write(path: Path, error: OSError) -> StoreError:
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent if path.parent.exists() else path.anchor).free
        if free < 2**26:
            return StoreError(
                f"{path}: cannot be written ({error.strerror}; {free / 2**20:.0f} MiB are free); "
                "what was written before is whole: make room and go on"
            )
    return StoreError(
        f"{path}: cannot be written ({error.strerror}); what was written before is whole"
    )

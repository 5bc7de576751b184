"""The store of a network as the shelf of the live pane."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from rtvis.data import ImageU8, Layer
from rtvis.engine.networks.identity import Identity
from rtvis.errors import StoreError
from rtvis.render.focus import focus_of
from rtvis.runtime.shelf import KeptInput, KeptPicture, KeptTop, SheetKind
from rtvis.units import names
from rtvis.units.cache import DEFAULT_BYTES, PictureCache
from rtvis.units.items import Items
from rtvis.units.optimized import Optimized, files_of
from rtvis.units.source_pictures import SourcePictures
from rtvis.units.store import Store, open_store
from rtvis.units.tile_pack import current, read_pack, write_pack
from rtvis.units.unit_inputs import UnitInput, read_inputs
from rtvis.units.writer import encoded

TILE_SIDE: Final = 128
"""Of a picture in the grid, at most: 1,280 of them take 60 MiB."""
CROP_SIDE: Final = 128
"""The same on the page of a unit."""
_MANY: Final = 64
"""Pictures of a layer that were read one by one: the next time they come in one file."""
_BACK_RULES: Final = ("deconvnet", "guided", "gradient")
"""Which backward pictures to show, the first that there are."""


class StoreShelf:
    """Reads and writes `rtvis.units.store`.

    Args:
        root: Where stores are; None: the user's data folder.
        identity: Tells whose store it is. Asked once, by whichever thread comes first: it reads
            all weights.
        layers: Of the network.
        preset_name: Of the optimised pictures to show and write.
        seed: Likewise.
        cache_bytes: What decoded files may take in memory.
    """

    def __init__(
        self,
        root: Path | None,
        identity: Callable[[], Identity],
        layers: tuple[Layer, ...],
        *,
        preset_name: str,
        seed: int = 0,
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self._root = root
        self._identity = identity
        self._layers = {layer.name: layer for layer in layers}
        self._preset_name = preset_name
        self._seed = seed
        self._cache = PictureCache(cache_bytes)
        self._opening = threading.Lock()
        self._opened: Store | None = None
        self.back_rule = ""
        """Of the backward pictures found last."""

    def has(self, layer: str, unit: int) -> bool:
        """Whether the optimised picture is there: one look at the file system."""
        return self._store().unit_path(layer, unit, self._name(".png")).exists()

    def optimized(self, layer: str, unit: int) -> KeptPicture | None:
        """The optimised picture of a unit."""
        store = self._store()
        image_HW3 = store.read_picture(layer, unit, self._name(".png"))
        if image_HW3 is None:
            return None
        record: Any = store.read_unit_json(layer, unit, self._name(".json"))
        return KeptPicture(image_HW3=image_HW3, value=_value_of(record))

    def tops(self, layer: str, unit: int, num: int) -> tuple[KeptTop, ...]:
        """The crops of a unit's best inputs, and their backward pictures where there are any."""
        store, found = self._store(), []
        inputs = read_inputs(store, layer, unit)
        rules = [
            rule
            for rule in _BACK_RULES
            if store.unit_path(layer, unit, names.ranked(rule, 0)).exists()
        ]
        for rank in range(num):
            crop_HW3 = store.read_picture(layer, unit, names.ranked("crop", rank))
            if crop_HW3 is None:
                break
            back_HW3 = None
            if rules:
                back_HW3 = store.read_picture(layer, unit, names.ranked(rules[0], rank))
            found.append(
                KeptTop(
                    crop_HW3=_small(crop_HW3, CROP_SIDE),
                    back_HW3=None if back_HW3 is None else _small(back_HW3, CROP_SIDE),
                    value=inputs[rank].value if rank < len(inputs) else None,
                    name=_name_of(inputs[rank]) if rank < len(inputs) else "",
                )
            )
        if found:
            self.back_rule = rules[0] if rules else ""
        return tuple(found)

    def whole_input(self, layer: str, unit: int, place: int) -> KeptInput:
        """The picture that a crop was cut out of, as its file has it.

        Raises:
            RtvisError: It is gone, or the store damaged.
        """
        store = self._store()
        inputs = read_inputs(store, layer, unit)
        arrays = store.read_arrays(None, names.ITEMS_ARRAYS)
        if place >= len(inputs) or arrays is None:
            raise StoreError(
                f"unit {unit} of {layer} has no top input {place + 1}; "
                "`rtvis units scan` and `crops` make them"
            )
        item = Items.from_arrays(arrays)[inputs[place].item]
        with SourcePictures(max_bytes=0) as pictures:
            return KeptInput(image_HW3=pictures.read(item).image_HW3, name=_name_of(inputs[place]))

    def sheet(self, layer: str, kind: SheetKind) -> Iterator[tuple[int, ImageU8 | None]]:
        """A small picture of each unit: all that an earlier session has put into one file at once,
        the others one by one, and then into that file."""
        store = self._store()
        name = self._name(".png") if kind == "optimized" else names.ranked("crop", 0)
        digests = current(store, layer, name)
        tiles = read_pack(store, layer, name, digests)
        yield from tiles.items()
        missing = sorted(digests.keys() - tiles.keys())
        for unit in missing:
            image_HW3 = store.read_picture(layer, unit, name)
            if image_HW3 is not None and kind == "optimized":
                height, width = image_HW3.shape[:2]
                image_HW3 = image_HW3[focus_of(self._layers[layer], (height, width))]
            if image_HW3 is not None:
                tiles[unit] = _small(image_HW3, TILE_SIDE)
            yield unit, tiles.get(unit)
        if len(missing) >= _MANY:
            # Not where somebody else writes to it, or nobody can: it is as slow again, and no more.
            with contextlib.suppress(StoreError), store.writing("rtvis, live") as writer:
                write_pack(writer, layer, name, tiles, digests)

    def keep(self, layer: str, unit: int, result: object) -> None:
        """Write an optimised picture, its numbers and its record."""
        assert isinstance(result, Optimized), "made by rtvis.units.optimize"
        files = {self._name(suffix): data for suffix, data in files_of(result).items()}
        files[self._name(".png")] = encoded(self._name(".png"), result.image_HW3)
        store = self._store()
        with store.writing("rtvis, live") as writer:
            if layer not in {each.name for each in store.layers()}:
                writer.write_layer(self._layers[layer])
            writer.write_unit(layer, unit, files)

    def _name(self, suffix: str) -> str:
        return names.optimized(self._preset_name, self._seed, suffix)

    def _store(self) -> Store:
        with self._opening:
            if self._opened is None:
                self._opened = open_store(self._root, self._identity(), cache=self._cache)
            return self._opened


def _small(image_HW3: ImageU8, side: int) -> ImageU8:
    """At most so high and wide."""
    height, width = image_HW3.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image_HW3
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA), np.uint8)


def _value_of(record: Any) -> float | None:
    """What the unit said to the picture that was kept."""
    try:
        value = record["moments"][record["recipe"]["keep"]]["value"]
    except (KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


def _name_of(found: UnitInput) -> str:
    """The file, and where in a film."""
    if found.pts_seconds is None:
        return found.name
    return f"{found.name} at {found.pts_seconds:.1f} s"

"""Small pictures of a layer's units, many in one file: thousands of units are a few pictures."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.units import names
from rtvis.units.crops import BEYOND
from rtvis.units.pages.facts import LayerFacts
from rtvis.units.store import Store

TILE: Final = 64
COLUMNS: Final = 16
PER_SHEET: Final = 256
STRIP: Final = 12
"""Units in the strip that stands for a layer."""
SHOWN: Final = (names.OPTIMIZED, "crop")
"""What a tile may show, the first of them by default."""


def tile_source(facts: LayerFacts, kind: str, unit: int) -> str | None:
    """The name of the picture that a unit's tile is made of; None where there is none."""
    if kind == names.OPTIMIZED:
        return next(iter(facts.driving(unit)), None)
    name = names.ranked(kind, 0)
    return name if name in facts.files.get(unit, ()) else None


def kinds_of(facts: LayerFacts) -> tuple[str, ...]:
    """The kinds that at least one unit has a picture of."""
    return tuple(
        kind
        for kind in SHOWN
        if any(tile_source(facts, kind, unit) is not None for unit in facts.files)
    )


def sheet_of(unit: int) -> tuple[int, int, int]:
    """(number of the sheet, row, column) of a unit's tile."""
    sheet, place = divmod(unit, PER_SHEET)
    return sheet, *divmod(place, COLUMNS)


def sheets(
    store: Store, facts: LayerFacts, made_of: Mapping[str, str]
) -> Iterator[tuple[str, str, ImageU8 | None]]:
    """All sheets of a layer, and its strip.

    Args:
        store: Has the pictures.
        facts: Of the layer.
        made_of: What those that are there were made of, by name.

    Yields:
        Name, what it is made of, and the picture; None where that is as it was.
    """
    for kind in kinds_of(facts):
        with_tile = [unit for unit in sorted(facts.files) if tile_source(facts, kind, unit)]
        for number in sorted({unit // PER_SHEET for unit in with_tile}):
            units = [unit for unit in with_tile if unit // PER_SHEET == number]
            name, digest = names.sheet(kind, number), _digest(facts, kind, units)
            image = None if made_of.get(name) == digest else _sheet(store, facts, kind, units)
            yield name, digest, image
        if kind == kinds_of(facts)[0]:
            step = max(len(with_tile) / STRIP, 1.0)
            units = [with_tile[int(i * step)] for i in range(min(STRIP, len(with_tile)))]
            digest = _digest(facts, kind, units)
            is_same = made_of.get(names.STRIP) == digest
            yield names.STRIP, digest, None if is_same else _strip(store, facts, kind, units)


def _digest(facts: LayerFacts, kind: str, units: list[int]) -> str:
    digest = hashlib.sha256()
    for unit in units:
        name = tile_source(facts, kind, unit)
        assert name is not None, "it has a tile"
        digest.update(f"{unit} {name} {facts.files[unit][name]}\n".encode())
    return digest.hexdigest()


def _sheet(store: Store, facts: LayerFacts, kind: str, units: list[int]) -> ImageU8:
    rows = max(sheet_of(unit)[1] for unit in units) + 1
    image_HW3 = np.full((rows * TILE, COLUMNS * TILE, 3), BEYOND, dtype=np.uint8)
    for unit in units:
        _, row, column = sheet_of(unit)
        top, left = row * TILE, column * TILE
        image_HW3[top : top + TILE, left : left + TILE] = _tile(store, facts, kind, unit)
    return image_HW3


def _strip(store: Store, facts: LayerFacts, kind: str, units: list[int]) -> ImageU8:
    gap_HW3 = np.full((TILE, 2, 3), BEYOND, dtype=np.uint8)
    parts = [part for unit in units for part in (_tile(store, facts, kind, unit), gap_HW3)]
    return np.concatenate(parts[:-1], axis=1)


def _tile(store: Store, facts: LayerFacts, kind: str, unit: int) -> ImageU8:
    """The picture in its proportions, in the middle of a square."""
    name = tile_source(facts, kind, unit)
    assert name is not None, "it has a tile"
    tile_HW3 = np.full((TILE, TILE, 3), BEYOND, dtype=np.uint8)
    image_HW3 = store.read_picture(facts.layer.name, unit, name)
    if image_HW3 is None:  # removed meanwhile
        return tile_HW3
    scale = TILE / max(image_HW3.shape[:2])
    height, width = (max(round(side * scale), 1) for side in image_HW3.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    top, left = (TILE - height) // 2, (TILE - width) // 2
    small = cv2.resize(image_HW3, (width, height), interpolation=how)
    tile_HW3[top : top + height, left : left + width] = small
    return tile_HW3

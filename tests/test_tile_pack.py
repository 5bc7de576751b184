"""The tiles of a layer in one file: the same pictures, in one go, and never an old one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtvis.data import ImageU8, Layer
from rtvis.engine.networks.identity import Identity
from rtvis.runtime.store_shelf import StoreShelf
from rtvis.units import names
from rtvis.units.store import Store, open_store
from rtvis.units.verify import verify
from tests.nets import engine_of, seeded
from tests.test_live_learning import SmallNet

LAYER = Layer(
    index=0,
    name="wide",
    kind="conv",
    num_units=1100,
    map_size=(8, 8),
    stride=(4.0, 4.0),
    receptive_field=(20, 30),
)
"""More units than one montage holds."""
CROP = names.ranked("crop", 0)
PACK = names.tile_pack(CROP)


@pytest.fixture(scope="module")
def identity() -> Identity:
    with engine_of(seeded(SmallNet), 32) as engine:
        return engine.identity


def crop(value: int) -> ImageU8:
    """Grey above and another grey below, 20x30."""
    image = np.full((20, 30, 3), value % 200, np.uint8)
    image[10:] = value % 200 + 40
    return image


def filled(root: Path, identity: Identity, units: range) -> Store:
    store = open_store(root, identity)
    with store.writing("a test") as writer:
        writer.write_layer(LAYER)
        for unit in units:
            writer.write_pictures(LAYER.name, unit, {CROP: crop(unit)})
    return store


def shelf(root: Path, identity: Identity) -> StoreShelf:
    return StoreShelf(root, lambda: identity, (LAYER,), preset_name="default")


def tiles(root: Path, identity: Identity) -> dict[int, ImageU8]:
    found = shelf(root, identity).sheet(LAYER.name, "top")
    return {unit: image for unit, image in found if image is not None}


def test_the_second_time_they_come_from_one_file_and_are_the_same(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = range(0, 1100, 1)
    store = filled(tmp_path, identity, units)
    first = tiles(tmp_path, identity)
    assert sorted(first) == list(units)
    assert store.path(LAYER.name, PACK).exists()
    assert not [each for each in verify(store) if each.fault]

    def never(*_: object) -> None:
        raise AssertionError("a picture was read by itself")

    monkeypatch.setattr(Store, "read_picture", never)
    again = tiles(tmp_path, identity)
    assert sorted(again) == list(units)
    for unit in (0, 31, 32, 1023, 1024, 1099):
        assert again[unit].shape == (20, 30, 3)
        assert np.abs(again[unit].astype(int) - crop(unit)).max() <= 6, "but for what JPEG takes"


def test_what_has_changed_since_is_read_anew_and_what_is_gone_is_not_shown(
    tmp_path: Path, identity: Identity
) -> None:
    store = filled(tmp_path, identity, range(70))
    tiles(tmp_path, identity)
    before = store.path(LAYER.name, PACK).stat().st_mtime_ns
    with store.writing("a test") as writer:
        writer.write_pictures(LAYER.name, 5, {CROP: np.full((20, 30, 3), 255, np.uint8)})
        writer.remove(LAYER.name, 6)
        writer.write_pictures(LAYER.name, 90, {CROP: crop(90)})
    again = tiles(tmp_path, identity)
    assert sorted(again) == [*range(6), *range(7, 70), 90]
    assert (again[5] >= 250).all()
    assert store.path(LAYER.name, PACK).stat().st_mtime_ns == before, "for two it is not worth it"


def test_few_pictures_or_of_several_sizes_are_left_as_they_are(
    tmp_path: Path, identity: Identity
) -> None:
    store = filled(tmp_path, identity, range(63))
    tiles(tmp_path, identity)
    assert not store.path(LAYER.name, PACK).exists()
    with store.writing("a test") as writer:
        writer.write_pictures(LAYER.name, 63, {CROP: np.zeros((8, 8, 3), np.uint8)})
    assert len(tiles(tmp_path, identity)) == 64
    assert not store.path(LAYER.name, PACK).exists()


def test_a_damaged_file_or_a_store_that_is_written_to_costs_time_alone(
    tmp_path: Path, identity: Identity
) -> None:
    store = filled(tmp_path, identity, range(64))
    with store.writing("somebody else"):
        assert len(tiles(tmp_path, identity)) == 64
    assert not store.path(LAYER.name, PACK).exists()
    tiles(tmp_path, identity)
    store.path(LAYER.name, PACK).write_bytes(b"no npz")
    assert len(tiles(tmp_path, identity)) == 64

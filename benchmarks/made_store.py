"""A store as a scan and optimised inputs of a large network leave it, made up in minutes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from benchmarks.real_crops import SAMPLES
from rtvis.data import Crop, ImageU8, Layer
from rtvis.engine.networks.identity import Identity
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.sources.pixels import read_image
from rtvis.units import names
from rtvis.units.pages import write_pages
from rtvis.units.store import Store, open_store
from rtvis.units.tracker import Top
from rtvis.units.unit_inputs import KINDS, UnitInput, as_json
from rtvis.units.writer import StoreWriter, encoded, json_bytes

NUM_TOP: Final = 9
CLASSES: Final = ("daisy", "espresso", "tripod", "tiger cat", "palace", "space shuttle")
_CONV: Final = Layer(
    index=0,
    name="conv",
    kind="conv",
    num_units=1,
    map_size=(14, 14),
    stride=(16.0, 16.0),
    receptive_field=(96, 96),
    field_start=(-40.0, -40.0),
)


def made_store(root: Path, sizes: Sequence[int], *, num_complete: int = 8) -> Store:
    """A store of so many layers, with its pages.

    Args:
        root: An empty folder.
        sizes: Units of each layer; all have a crop, an optimised input, numbers and a page.
        num_complete: Units at the start of each layer that have all pictures of all inputs.
    """
    prep = Preprocessing(size=(224, 224))
    store = open_store(root, Identity(network="made", weights="0" * 40, preprocessing=prep))
    pictures = _pictures()
    with store.writing("a benchmark") as writer:
        writer.write_json(None, f"{names.ITEMS}.json", {"classes": list(CLASSES)})
        for index, num_units in enumerate(sizes):
            layer = replace(_CONV, index=index, name=f"blocks.{index}.conv", num_units=num_units)
            _write_layer(writer, layer, pictures, num_complete)
        for _ in write_pages(store, writer):
            pass
    return store


def _pictures() -> list[bytes]:
    """JPEG files of what real crops look like, 96 pixels a side."""
    chance = np.random.default_rng(0)
    found = []
    for path in sorted(SAMPLES.glob("*.jpg")) + sorted(SAMPLES.glob("*.png")):
        image_HW3 = read_image(path)
        found += [encoded("crop.jpg", _crop(image_HW3, chance)) for _ in range(12)]
    return found


def _crop(image_HW3: ImageU8, chance: np.random.Generator) -> ImageU8:
    side = int(chance.integers(96, 200))
    top = int(chance.integers(image_HW3.shape[0] - side))
    left = int(chance.integers(image_HW3.shape[1] - side))
    part_HW3 = image_HW3[top : top + side, left : left + side]
    return np.asarray(cv2.resize(part_HW3, (96, 96), interpolation=cv2.INTER_AREA), np.uint8)


def _write_layer(
    writer: StoreWriter, layer: Layer, pictures: Sequence[bytes], num_complete: int
) -> None:
    chance, num_units = np.random.default_rng(layer.index), layer.num_units
    values_CN = np.sort(chance.exponential(3.0, (num_units, NUM_TOP)))[:, ::-1].copy()
    writer.write_layer(layer)
    top = Top(
        values_CN=torch.from_numpy(values_CN).float(),
        item_CN=torch.arange(NUM_TOP).expand(num_units, NUM_TOP).contiguous(),
        position_CN2=torch.zeros(num_units, NUM_TOP, 2, dtype=torch.int32),
    )
    writer.write_top(layer.name, top)
    firing_C = chance.beta(0.5, 2.0, num_units)
    statistics = {
        "mean_C": values_CN.mean(axis=1) / 10,
        "std_C": values_CN.std(axis=1),
        "firing_pictures_C": firing_C,
        "firing_places_C": firing_C / 7,
        "is_dead_C": firing_C < 1e-3,
        "histogram_CQ": chance.poisson(20, (num_units, 128)).astype(np.int32),
        "histogram_from_C": np.zeros(num_units),
        "histogram_width_C": values_CN[:, 0] / 128,
    }
    writer.write_arrays(layer.name, names.STATISTICS, statistics)
    best = {
        "index_C": chance.uniform(0, 1, num_units),
        "top_class_CN": np.argsort(chance.random((num_units, len(CLASSES))), axis=1)[:, :5],
        "top_mean_CN": values_CN[:, :5],
    }
    writer.write_arrays(layer.name, names.SELECTIVITY, best)
    for first in range(0, num_units, 256):
        files: dict[str, bytes] = {}
        for unit in range(first, min(first + 256, num_units)):
            files |= _unit_files(unit, values_CN[unit], pictures, is_complete=unit < num_complete)
        writer.write_files(layer.name, files)


def _unit_files(
    unit: int, values_N: np.ndarray, pictures: Sequence[bytes], *, is_complete: bool
) -> dict[str, bytes]:
    files = {names.optimized("default", 0, ".png"): pictures[unit * 7 % len(pictures)]}
    files[names.INPUTS] = json_bytes(
        as_json([_input(rank, float(v)) for rank, v in enumerate(values_N)])
    )
    for rank in range(NUM_TOP if is_complete else 1):
        for kind in KINDS if is_complete else KINDS[:1]:
            files[names.ranked(kind, rank)] = pictures[(unit * 31 + rank) % len(pictures)]
    return {f"{names.unit(unit)}/{name}": data for name, data in files.items()}


def _input(rank: int, value: float) -> UnitInput:
    seen = Crop(top=64, left=64, height=96, width=96)
    return UnitInput(
        item=rank,
        name=f"photographs/{CLASSES[rank % len(CLASSES)]}/{rank:08d}.jpg",
        label=CLASSES[rank % len(CLASSES)],
        pts_seconds=None,
        value=value,
        position=(7, 7),
        recomputed=value,
        field=seen,
        source=seen,
        picture_size=(224, 224),
    )

"""Crops of real pictures and films, against which optimised inputs are measured."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks import common
from rtvis.data import ImageU8
from rtvis.engine.networks.models import Network
from rtvis.engine.reduced.step import reduced_step
from rtvis.sources.pixels import read_image
from rtvis.units.lanes import in_lanes

SAMPLES: Final = Path(__file__).parent.parent / "sample_images"
SKIMAGE: Final = (
    *("brick", "clock", "coins", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "page", "retina"),
)
"""Those in scikit-image's wheel that sample_images does not have; nothing is downloaded."""
SMALLEST: Final = 0.3
"""Side of a crop, of the picture's shorter side."""


def best_of_crops(
    network: Network, count: int, *, device: torch.device, compiled: bool
) -> tuple[dict[str, list[float]], str]:
    """The largest value of each unit of each layer over all crops and all places of its map.

    Returns:
        Values of each layer's units, by its name; and what the crops are, in words.
    """
    sources = _sources()
    # One forward pass gives all layers: what a scan does, without its files.
    step = reduced_step(network, device=device, compiled=compiled)
    best_T = torch.full((sum(layer.num_units for layer in step.layers),), -torch.inf)
    try:
        crops = list(_crops(list(sources.values()), count))
        starts = range(0, count, step.batch)

        def best_of(start: int) -> Tensor:
            some = crops[start : start + step.batch]
            some += [some[-1]] * (step.batch - len(some))
            apply = network.preprocessing.apply
            x_BCHW = torch.cat([apply(torch.from_numpy(each)) for each in some])
            return step.run(x_BCHW.to(device)).values_BT.amax(dim=0).cpu()

        for start, some_T in in_lanes(step.num_lanes, starts, best_of):
            best_T = torch.maximum(best_T, some_T)
            if start % (step.batch * 20) == 0:
                common.say(f"{start} of {count} crops")
    finally:
        step.close()
    parts = best_T.split([layer.num_units for layer in step.layers])
    pairs = zip(step.layers, parts, strict=True)
    words = (
        f"{count} random square crops, {SMALLEST:.0%} to 100 % of the shorter side, as many of "
        f"each of {len(sources)} pictures and films: {', '.join(sources)}"
    )
    return {layer.name: part.tolist() for layer, part in pairs}, words


def _crops(sources: Sequence[Sequence[ImageU8]], count: int) -> Iterator[ImageU8]:
    """In turn of each source; of a film each time of another frame."""
    chance = random.Random(1)
    for number in range(count):
        image_HW3 = chance.choice(sources[number % len(sources)])
        height, width = image_HW3.shape[:2]
        side = round(min(height, width) * chance.uniform(SMALLEST, 1.0))
        top, left = chance.randint(0, height - side), chance.randint(0, width - side)
        yield np.ascontiguousarray(image_HW3[top : top + side, left : left + side])


def _sources() -> dict[str, list[ImageU8]]:
    """Pictures, and films as some of their frames, by name."""
    found: dict[str, list[ImageU8]] = {}
    for path in sorted(SAMPLES.iterdir()):
        if path.suffix in {".jpg", ".png"}:
            found[path.stem] = [read_image(path)]
        elif path.suffix == ".mp4":
            found[path.stem] = list(_frames(path))
    try:
        from skimage import data
    except ImportError:
        common.say("no scikit-image here: its pictures are left out")
        return found
    for name in SKIMAGE:
        try:
            image = np.asarray(getattr(data, name)())
        except Exception:  # noqa: BLE001 - not in this version's wheel
            continue
        if image.ndim == 2:
            image = np.stack([image] * 3, axis=2)
        found[name] = [np.ascontiguousarray(image[:, :, :3].astype(np.uint8))]
    return found


def _frames(path: Path) -> Iterator[ImageU8]:
    film = cv2.VideoCapture(str(path))
    for number in range(10_000):
        got, image = film.read()
        if not got:
            break
        if number % 5 == 0:
            yield np.ascontiguousarray(image[:, :, ::-1])
    film.release()

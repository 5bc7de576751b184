"""Makes docs/images/optimized.jpg from what the presets are now: `python -m tools.optimized_sheet`.

Layers from the first blocks to the classes, five units each, and one class by every preset. Ten
minutes on one core once the network is compiled; results are kept in --store as `rtvis units
optimize` keeps them, and the same command goes on where it was.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from rtvis.api import load
from rtvis.data import ImageU8
from rtvis.engine.engine import Engine
from rtvis.sources.pixels import read_image
from rtvis.units.crops import cut, field_window
from rtvis.units.optimize import optimize
from rtvis.units.outputs import FolderOutput, label_of
from rtvis.units.presets import DEFAULT, PRESETS, preset
from rtvis.units.sheet import contact_sheet
from rtvis.units.study import changed
from rtvis.units.targets import Targets

SHEET: Final = Path(__file__).resolve().parent.parent / "docs" / "images" / "optimized.jpg"
NETWORK: Final = "tf_efficientnet_lite0"
LAYERS: Final = ("blocks.1.0.conv_dw", "blocks.3.0.conv_pw", "blocks.5.0.conv_pw", "conv_head")
CLASSES: Final = (130, 207, 340, 417, 970)
COLUMNS: Final = 5
BY_PRESET: Final = 130
"""The class that every preset is tried on."""
LENGTHS: Final = {"dvt": (("lr", 100.0),), "dvt-b": (("lr", 1000.0),)}
"""Theirs, 1 and 100, were chosen for CaffeNet, and lead nowhere here."""


def main() -> None:
    """Make what is missing, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("build/optimized"))
    parser.add_argument("--out", type=Path, default=SHEET)
    arguments = parser.parse_args()
    with load(NETWORK) as engine:
        engine.wait_compiled()
        cells = [*_units(engine, arguments.store), *_presets(engine, arguments.store)]
    sheet_HW3 = contact_sheet(cells, columns=COLUMNS, side=144)
    cv2.imwrite(str(arguments.out), sheet_HW3[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(arguments.out)


def _units(engine: Engine, store: Path) -> Iterator[tuple[str, ImageU8]]:
    chance = random.Random(0)
    sizes = {layer.name: layer.num_units for layer in engine.layers}
    for name in LAYERS:
        for unit in sorted(chance.sample(range(sizes[name]), COLUMNS)):
            short = name.removeprefix("blocks.").replace(".conv_", " ")
            yield f"{short} {unit}", _made(engine, store, name, unit, DEFAULT)
    for unit in CLASSES:
        assert engine.labels is not None, "the default network has names"
        yield (
            engine.labels[unit].split(",")[0],
            _made(engine, store, engine.layers[-1].name, unit, DEFAULT),
        )


def _presets(engine: Engine, store: Path) -> Iterator[tuple[str, ImageU8]]:
    for name in PRESETS:
        words = ", ".join([name, *(f"{key} {value:g}" for key, value in LENGTHS.get(name, ()))])
        yield words, _made(engine, store, engine.layers[-1].name, BY_PRESET, name)


def _made(engine: Engine, store: Path, name: str, unit: int, how: str) -> ImageU8:
    """The part that the neuron sees of what is kept, or of what is made now."""
    recipe = changed(preset(how), dict(LENGTHS.get(how, ())), where="")
    output = FolderOutput(store)
    label = label_of(how, recipe, position=None, start="")
    if output.find(name, unit, label, 0) is None:
        targets = Targets(layer=name, units=(unit,))
        *_, last = optimize(engine, targets, recipe, preset_name=how)
        output.write(last.finished[0], label, 0)
        print(f"{name} {unit}, {how}: {last.finished[0].value:.1f}", flush=True)
    path = output.find(name, unit, label, 0)
    assert path is not None, "just written"
    return _seen(engine, name, read_image(path))


def _seen(engine: Engine, name: str, image_HW3: ImageU8) -> ImageU8:
    """What the middle neuron sees of a picture."""
    layer = next(each for each in engine.layers if each.name == name)
    middle = layer.map_size[0] // 2, layer.map_size[1] // 2
    if layer.field_start is None:
        return image_HW3
    size = image_HW3.shape[0], image_HW3.shape[1]
    return np.ascontiguousarray(cut(image_HW3, field_window(layer, middle, size)))


if __name__ == "__main__":
    main()

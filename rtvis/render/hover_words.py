"""What is said of what lies under the pointer."""

import math

from rtvis.data import Target
from rtvis.render.layer_words import layer_facts
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.text import Run
from rtvis.render.wording import bright, change_words, class_name, dim, number, signed_share
from rtvis.theme import Ink


def _pixel_text(scene: Scene, readout: Readout, target: Target) -> tuple[Run, ...]:
    """Place and class of a pixel of the dense output; with one class its value."""
    if scene.result is None or target.position is None:
        return ()
    row, column = target.position
    value = readout.hover_value
    if scene.result.labels_BHW is None:
        return dim(f"row {row}, column {column}   "), bright(number(value))
    return bright(class_name(scene.labels, round(value))), dim(f"   row {row}, column {column}")


def hover_text(scene: Scene, readout: Readout, target: Target) -> tuple[Run, ...]:
    """Name and value of what lies under the pointer; empty where there is nothing to say."""
    if target.kind == "top":
        return _top_text(scene, target)
    if target.kind == "layer":
        layer = next((layer for layer in scene.layers if layer.name == target.layer), None)
        return (bright(layer.name), dim(f"   {layer_facts(layer)}")) if layer is not None else ()
    if target.kind == "pixel":
        return _pixel_text(scene, readout, target)
    return _neuron_text(scene, readout, target)


def _top_text(scene: Scene, target: Target) -> tuple[Run, ...]:
    """Value and name of one of the best inputs."""
    tops = scene.learned.tops if scene.learned is not None else ()
    if target.place is None or target.place >= len(tops):
        return ()
    top = tops[target.place]
    value = "" if top.value is None else f"{number(top.value)}   "
    return (bright(value), dim(top.name))


def _neuron_text(scene: Scene, readout: Readout, target: Target) -> tuple[Run, ...]:
    """The same for units, neurons and pairs of units."""
    if scene.result is None or target.layer != scene.result.selection.layer:
        return ()
    if target.kind == "pair":
        names = bright(f"{target.unit} × {target.other_unit}")
        known = readout.page == "correlation" and len(readout.page_numbers) > 3
        r = readout.page_numbers[3] if known else math.nan
        return (names, dim("   r "), bright("–" if math.isnan(r) else signed_share(r)))
    if target.kind == "unit" and target.unit is not None:
        layer = next(layer for layer in scene.layers if layer.name == target.layer)
        single = layer.map_size == (1, 1)
        runs = [bright(f"unit {target.unit}"), dim("   " if single else "   max ")]
        runs.append(bright(number(readout.hover_value)))
        ends_in_classes = single or (
            layer.index == len(scene.layers) - 1 and scene.result.dense_BKHW is not None
        )
        if ends_in_classes and scene.labels is not None and layer.num_units == len(scene.labels):
            runs.insert(0, bright(class_name(scene.labels, target.unit) + "   "))
        change = scene.result.selection.change_of(layer.name, target.unit)
        if change is not None:
            runs.append(Run(f"   {change_words(change)}", Ink.CHANGED))
        return tuple(runs)
    if target.kind == "position" and target.position is not None:
        row, column = target.position
        return (dim(f"row {row}, column {column}   "), bright(number(readout.hover_value)))
    return ()

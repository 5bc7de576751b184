"""What the screen says of a layer, and of a unit of it."""

from rtvis.data import Layer
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.text import Font, measure
from rtvis.render.wording import number

_BETWEEN = "  ·  "
_NOUNS = {"conv": "maps", "dense": "units", "attention": "heads"}
_OF_MAPS = "unit's range", "layer's range"
_OF_GRADIENTS = "its gradients", "all gradients"


def layer_facts(layer: Layer) -> str:
    """Kind, units, map size, receptive field and stride of a layer."""
    height, width = layer.map_size
    if layer.kind == "dense" and layer.map_size == (1, 1):
        return f"dense  ·  {layer.num_units} units"
    field = _pair(layer.receptive_field)
    stride = _pair(layer.stride)
    if layer.kind == "attention":
        return f"attention  ·  {layer.num_units} heads over {height}×{width}  ·  stride {stride}"
    kind = "" if layer.kind == "conv" else "dense  ·  "
    return f"{kind}{layer.num_units} maps of {height}×{width}  ·  rf {field} px  ·  stride {stride}"


def layer_facts_within(layer: Layer, width: int, font: Font) -> str:
    """As much of `layer_facts`, from the left, as a width in pixels has room for."""
    facts, count = layer_facts(layer).split(_BETWEEN), f"{layer.num_units}"
    shorter = [_BETWEEN.join(facts[:end]) for end in range(len(facts), 0, -1)]
    # A number that is cut off would be another number.
    told = [*(text for text in shorter if count in text), f"{count} {_NOUNS[layer.kind]}", count]
    return next((text for text in told if measure(text, font) <= width), "")


def _query(layer: Layer, position: tuple[int, int] | None) -> str:
    """Who asks at attention."""
    if position is None:
        return layer.query
    return f"row {position[0]}, column {position[1]}"


def _pair(sizes: tuple[float, float]) -> str:
    return f"{sizes[0]:g}" if sizes[0] == sizes[1] else f"{sizes[0]:g}×{sizes[1]:g}"


def details(scene: Scene, layer: Layer, readout: Readout) -> list[tuple[str, str]]:
    """(label, value) rows about the selected unit; of one that cannot be shown, its layer alone."""
    if scene.maps_note:
        return [("layer", layer.name)]
    # The grid's ranges are those of what it shows; the value stays the unit's own.
    shows_gradients = scene.result is not None and scene.result.grads_BCHW is not None
    of_unit, of_layer = _OF_GRADIENTS if shows_gradients else _OF_MAPS
    rows = [
        ("layer", layer.name),
        ("value", number(readout.value)),
        ("at", f"row {readout.position[0]}, column {readout.position[1]}"),
        (of_unit, f"{number(readout.unit_low)} … {number(readout.unit_high)}"),
        (of_layer, f"{number(readout.low)} … {number(readout.high)}"),
    ]
    if layer.map_size == (1, 1):
        del rows[2:4]
    if layer.kind == "attention" and scene.result is not None:
        rows.insert(1, ("query", _query(layer, scene.result.selection.position)))
    if scene.view.backward_shown:
        rows.append(("gradient up to", number(readout.gradient_max)))
    if layer.map_size != (1, 1) and layer.kind != "attention":
        rows.append(("receptive field", f"{_pair(layer.receptive_field)} px"))
    return rows

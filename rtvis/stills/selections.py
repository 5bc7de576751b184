"""What is asked of the still-image scripts, as a Selection of the network."""

from dataclasses import replace

from rtvis.data import Layer, Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SelectionError
from rtvis.registry import ATTENTION_METHODS
from rtvis.stills.requests import BackpropRequest, CamRequest, class_of


def cam_selection(request: CamRequest, engine: Engine) -> Selection:
    """Which method and layer are asked for; the classes are found for each picture.

    Raises:
        SelectionError: No such layer or method, or more classes than the network has.
    """
    layer = _cam_layer(request, engine)
    if not 1 <= request.num_top <= engine.num_classes:
        raise SelectionError(
            f"top {request.num_top} classes of {engine.num_classes}; "
            f"choose 1 to {engine.num_classes}"
        )
    selection = Selection(
        cam=request.method,
        cam_layer=None if layer is None else layer.name,
        region=request.region,
    )
    engine.resolve(selection)
    return selection


def backprop_selection(request: BackpropRequest, engine: Engine) -> Selection:
    """Which unit or score is asked for; a unit that is left open is found for each picture.

    Raises:
        SelectionError: No such layer, unit, position or class.
    """
    base = Selection(
        layer=request.layer,
        unit=request.unit,
        position=request.position,
        seed=request.seed,
        rule=request.rule,
        region=request.region,
    )
    if request.class_name is None:
        return base if request.region is None else replace(base, seed="score")
    index, last = class_of(request.class_name, engine), engine.layers[-1]
    by_unit = last.kind == "dense" or request.seed is not None or request.position is not None
    if by_unit and request.region is None and request.seed != "score":
        if last.num_units == engine.num_classes:
            return replace(base, layer=last.name, unit=index)
        if request.seed is not None or request.position is not None:
            raise SelectionError(
                f"{engine.network}: its last layer '{last.name}' has {last.num_units} "
                f"units for {engine.num_classes} classes, so that a class starts at its "
                "score alone; leave out --seed and --position"
            )
    return replace(base, seed="score", class_index=index)


def _cam_layer(request: CamRequest, engine: Engine) -> Layer | None:
    """The layer that a CAM is taken at; None for a method that takes the attention of all."""
    if request.method in ATTENTION_METHODS:
        if request.layer is not None:
            raise SelectionError(
                f"{request.method} takes the attention of all layers; leave out the layer "
                f"'{request.layer}'"
            )
        return None
    if request.layer is not None:
        name = engine.resolve(Selection(cam_layer=request.layer)).cam_layer
        return next(layer for layer in engine.layers if layer.name == name)
    convolutions = [layer for layer in engine.layers if layer.kind == "conv"]
    count = len(convolutions)
    if not -count <= request.conv_index < count:
        raise SelectionError(
            f"{engine.network} has {count} convolutions and none with the index "
            f"{request.conv_index}; choose {-count} to {count - 1}"
        )
    return convolutions[request.conv_index]

"""Fill in what a Selection leaves open, and refuse what the network does not have."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from rtvis.data import Layer, Rule, Seed, Selection
from rtvis.errors import SelectionError, did_you_mean
from rtvis.registry import CAM_METHODS


def resolve_selection(
    selection: Selection,
    layers: Sequence[Layer],
    default_layer: Layer,
    num_classes: int,
    labels: Sequence[str] | None,
) -> Selection:
    """The selection with every default filled in.

    Args:
        selection: As the user gave it.
        layers: All layers of the network.
        default_layer: The last convolution.
        num_classes: K.
        labels: Names of the classes, for messages.

    Raises:
        SelectionError: A layer, unit, position, seed, rule, class or method that does not exist,
            with the nearest that does.
    """
    layer = find_layer(selection.layer, layers, default_layer)
    cam_layer = find_layer(selection.cam_layer, layers, default_layer)
    if cam_layer.kind != "conv":
        raise SelectionError(
            f"layer '{cam_layer.name}' is dense and has no map for a CAM; choose a convolution "
            f"such as '{default_layer.name}'"
        )
    unit = 0 if selection.unit is None else selection.unit
    if not 0 <= unit < layer.num_units:
        raise SelectionError(
            f"layer '{layer.name}' has no unit {unit}; its units are 0 to {layer.num_units - 1}"
        )
    if selection.position is not None:
        row, column = selection.position
        height, width = layer.map_size
        if not (0 <= row < height and 0 <= column < width):
            raise SelectionError(
                f"position ({row}, {column}) is outside the {height}x{width} maps of layer "
                f"'{layer.name}'"
            )
    if selection.class_index is not None and not 0 <= selection.class_index < num_classes:
        raise SelectionError(
            f"there is no class {selection.class_index}; classes are 0 to {num_classes - 1}"
            + (f" ('{labels[0]}' to '{labels[-1]}')" if labels else "")
        )
    seed = selection.seed or "max"
    _check_choice("seed", seed, get_args(Seed))
    _check_choice("rule", selection.rule, get_args(Rule))
    CAM_METHODS[selection.cam]
    return replace(selection, layer=layer.name, unit=unit, seed=seed, cam_layer=cam_layer.name)


def find_layer(name: str | None, layers: Sequence[Layer], default: Layer) -> Layer:
    """The layer of that name, or the default for None.

    Raises:
        SelectionError: There is none, with the nearest name.
    """
    if name is None:
        return default
    for layer in layers:
        if layer.name == name:
            return layer
    near = did_you_mean(name, [layer.name for layer in layers])
    raise SelectionError(
        f"there is no layer '{name}'{near}; `--list layers` shows all {len(layers)}"
    )


def _check_choice(kind: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise SelectionError(
            f"unknown {kind} '{value}'{did_you_mean(value, known)}; use one of {', '.join(known)}"
        )

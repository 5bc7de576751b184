"""Fill in what a Selection leaves open, and refuse what the network does not have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

from rtvis.data import Fit, Intervention, Layer, Rule, Seed, Selection, Tap, units_of
from rtvis.errors import SelectionError, did_you_mean
from rtvis.registry import ATTENTION_METHODS, CAM_METHODS, method_named


def resolve_selection(
    selection: Selection,
    layers: Sequence[Layer],
    default_layer: Layer,
    num_classes: int,
    labels: Sequence[str] | None,
    *,
    output_size: tuple[int, int] | None = None,
    method_faults: Mapping[str, str] = MappingProxyType({}),
    skipped_note: str = "",
) -> Selection:
    """The selection with every default filled in.

    Args:
        selection: As the user gave it.
        layers: All layers of the network.
        default_layer: The last one with a map.
        num_classes: K.
        labels: Names of the classes, for messages.
        output_size: (height, width) of the dense output; None without one.
        method_faults: Why methods cannot explain this network, by name.
        skipped_note: Which layers the network has beside these, and why they are not shown.

    Raises:
        SelectionError: A layer, unit, position, seed, rule, fit, class, region or method that does
            not exist, with the nearest that does.
    """
    layer = find_layer(selection.layer, layers, default_layer, skipped_note=skipped_note)
    cam_layer = find_layer(selection.cam_layer, layers, default_layer, skipped_note=skipped_note)
    if cam_layer.kind == "attention":
        raise SelectionError(
            f"layer '{cam_layer.name}' is attention; a CAM is taken at features such as "
            f"'{default_layer.name}', and attention is explained by the methods "
            f"{' and '.join(ATTENTION_METHODS)}"
        )
    if cam_layer.kind != "conv" and cam_layer.map_size[0] == 1:
        raise SelectionError(
            f"layer '{cam_layer.name}' is dense and has no map for a CAM; choose a layer such as "
            f"'{default_layer.name}'"
        )
    unit = 0 if selection.unit is None else selection.unit
    check_unit(layer, unit)
    check_position(layer, selection.position)
    origin = selection.origin
    if origin is not None:
        start = find_layer(origin.layer, layers, default_layer)
        check_unit(start, origin.unit)
        check_position(start, origin.position)
        origin = replace(origin, layer=start.name)
    if selection.class_index is not None and not 0 <= selection.class_index < num_classes:
        raise SelectionError(
            f"there is no class {selection.class_index}; classes are 0 to {num_classes - 1}"
            + (f" ('{labels[0]}' to '{labels[-1]}')" if labels else "")
        )
    _check_region(selection.region, output_size)
    seed = selection.seed or "max"
    _check_choice("seed", seed, get_args(Seed))
    if seed == "score" and origin is not None:
        raise SelectionError(
            f"the seed 'score' starts the backward pass at the scores, and the origin at layer "
            f"'{origin.layer}'; leave out one of them"
        )
    _check_choice("rule", selection.rule, get_args(Rule))
    _check_choice("tap", selection.tap, get_args(Tap))
    _check_choice("fit", selection.fit, get_args(Fit))
    _check_method(selection.cam, method_faults)
    return replace(
        selection,
        layer=layer.name,
        unit=unit,
        seed=seed,
        cam_layer=cam_layer.name,
        origin=origin,
        beside=selection.beside and find_layer(selection.beside, layers, default_layer).name,
        interventions=_resolve_interventions(selection.interventions, layers, default_layer),
    )


def _resolve_interventions(
    interventions: Sequence[Intervention], layers: Sequence[Layer], default_layer: Layer
) -> tuple[Intervention, ...]:
    """The interventions that count: the last one of each unit."""
    latest: dict[tuple[str, int], Intervention] = {}
    for change in interventions:
        layer = find_layer(change.layer, layers, default_layer)
        check_unit(layer, change.unit)
        if not (math.isfinite(change.scale) and math.isfinite(change.offset)):
            raise SelectionError(
                f"the intervention on unit {change.unit} of layer '{layer.name}' has scale "
                f"{change.scale} and offset {change.offset}; both must be finite"
            )
        latest[units_of(layer.name), change.unit] = replace(change, layer=layer.name)
    return tuple(latest.values())


def _check_method(name: str, faults: Mapping[str, str]) -> None:
    method_named(name)
    if name in faults:
        others = [each for each in (*CAM_METHODS, *ATTENTION_METHODS) if each not in faults]
        raise SelectionError(
            f"{name} cannot explain this network: it {faults[name]}; use one of {', '.join(others)}"
        )


def _check_region(
    region: tuple[int, int, int, int] | None, output_size: tuple[int, int] | None
) -> None:
    if region is None:
        return
    if output_size is None:
        raise SelectionError(
            f"region {region}: this network has one score for each class, not one for each pixel"
        )
    top, left, height, width = region
    inside = top >= 0 and left >= 0 and height >= 1 and width >= 1
    if not (inside and top + height <= output_size[0] and left + width <= output_size[1]):
        raise SelectionError(
            f"region {region}, that is top, left, height and width, does not lie inside the "
            f"{output_size[0]}x{output_size[1]} output"
        )


def check_position(layer: Layer, position: tuple[int, int] | None) -> None:
    """Make sure that a position lies in a layer's maps; None does.

    Raises:
        SelectionError: It does not.
    """
    if position is None:
        return
    row, column = position
    height, width = layer.map_size
    if not (0 <= row < height and 0 <= column < width):
        raise SelectionError(
            f"position ({row}, {column}) is outside the {height}x{width} maps of layer "
            f"'{layer.name}'"
        )


def check_unit(layer: Layer, unit: int) -> None:
    """Make sure that a layer has a unit.

    Raises:
        SelectionError: It does not.
    """
    if not 0 <= unit < layer.num_units:
        raise SelectionError(
            f"layer '{layer.name}' has no unit {unit}; its units are 0 to {layer.num_units - 1}"
        )


def find_layer(
    name: str | None, layers: Sequence[Layer], default: Layer, *, skipped_note: str = ""
) -> Layer:
    """The layer of that name, or the default for None.

    Args:
        name: Any of its names.
        layers: All layers of the network.
        default: For None.
        skipped_note: Told with the error: it may be one of those.

    Raises:
        SelectionError: There is none, with the nearest name.
    """
    if name is None:
        return default
    for layer in layers:
        if name in {layer.name, layer.name_in_model}:
            return layer
    known = [each for layer in layers for each in (layer.name, layer.name_in_model) if each]
    near = did_you_mean(name, known)
    note = f" ({skipped_note})" if skipped_note else ""
    raise SelectionError(
        f"there is no layer '{name}'{near}; `rtvis --list layers` shows all {len(layers)}{note}"
    )


def _check_choice(kind: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise SelectionError(
            f"unknown {kind} '{value}'{did_you_mean(value, known)}; use one of {', '.join(known)}"
        )

"""Choosing layers, units, positions and classes."""

from dataclasses import replace

from rtvis.runtime.commands.context import Context, select
from rtvis.session import View


def select_unit(view: View, context: Context, unit: int) -> View:
    """Select a unit of the present layer, clamped; a clicked position belongs to the old one.

    The backward picture is that of the unit then, and not of a class.
    """
    layer = context.layer(view)
    unit = min(max(unit, 0), layer.num_units - 1)
    if unit == view.selection.unit and layer.name == view.selection.layer:
        return view
    seed = context.unit_seed(view)
    return select(view, layer=layer.name, unit=unit, position=None, seed=seed)


def select_layer(view: View, context: Context, index: int) -> View:
    """Select a layer by index, clamped; the unit's number stays where the layer has it (DVT-31)."""
    index = min(max(index, 0), len(context.layers) - 1)
    layer = context.layers[index]
    if layer.name == view.selection.layer:
        return view
    unit = min(view.selection.unit or 0, layer.num_units - 1)
    return select(view, layer=layer.name, unit=unit, position=None)


def select_seen(view: View, context: Context, *, layer: str, unit: int) -> View:
    """Select what was clicked: the unit of the layer that was on screen, even if the selection
    has moved on since."""
    index = next(known.index for known in context.layers if known.name == layer)
    return select_unit(select_layer(view, context, index), context, unit)


def toggle_position(
    view: View, context: Context, *, layer: str, unit: int, position: tuple[int, int]
) -> View:
    """Make one neuron the seed; the same one again goes back to the spatial maximum."""
    view = select_seen(view, context, layer=layer, unit=unit)
    again = view.selection.position == position
    return select(view, layer=layer, position=None if again else position)


def toggle_class(view: View, class_index: int) -> View:
    """Explain a class by the CAM; the same one again goes back to the top-scoring one."""
    again = view.selection.class_index == class_index
    return select(view, class_index=None if again else class_index)


def toggle_pixel(view: View, pixel: tuple[int, int]) -> View:
    """Explain one pixel of a dense output, and its class; the same one again goes back to all.

    Its CAM comes out from under the label picture, or nothing would be seen of the explanation.
    """
    region = (*pixel, 1, 1)
    again = view.selection.region == region
    if not again:
        view = replace(view, labels_shown=False, cam_shown=True)
    return select(view, region=None if again else region, class_index=None)


def select_region(view: View, corner: tuple[int, int], opposite: tuple[int, int]) -> View:
    """Explain the pixels of a dense output between two, and the class that most speaks for."""
    top, left = min(corner[0], opposite[0]), min(corner[1], opposite[1])
    bottom, right = max(corner[0], opposite[0]), max(corner[1], opposite[1])
    region = (top, left, bottom - top + 1, right - left + 1)
    view = replace(view, labels_shown=False, cam_shown=True)
    return select(view, region=region, class_index=None)


def explain_class_unit(view: View, context: Context, class_index: int) -> View:
    """Start the backward picture at a class: at its own unit, in the layer that ends the network.

    Where it has none, and where a region of a dense output is selected, at its score.
    """
    view = replace(select(view, class_index=class_index), backward_shown=True)
    last = context.layers[-1]
    ends_in_classes = last.kind == "dense" or context.is_dense
    if view.selection.region is not None or not ends_in_classes or class_index >= last.num_units:
        return select(view, seed="score", origin=None, position=None)
    seed = context.unit_seed(view)
    return select(view, layer=last.name, unit=class_index, position=None, seed=seed)

"""The arrow keys and their like."""

from dataclasses import replace
from typing import Final

from rtvis.runtime.commands.context import Context
from rtvis.runtime.commands.selecting import select_layer, select_unit
from rtvis.session import View

FAST_STEPS: Final = 3
"""Rows or layers that a fast move goes (DVT-30)."""


def move_left(view: View, context: Context) -> View:
    """One unit, or one layer, back."""
    return _move(view, context, columns=-1)


def move_right(view: View, context: Context) -> View:
    """One unit, or one layer, on."""
    return _move(view, context, columns=1)


def move_up(view: View, context: Context) -> View:
    """One row up; from the first row of the grid to the list of layers (DVT-30)."""
    unit = view.selection.unit or 0
    if view.cursor == "grid" and unit < context.num_columns:
        return replace(view, cursor="layers")
    return _move(view, context, rows=-1)


def move_down(view: View, context: Context) -> View:
    """One row down; from the list of layers into the grid."""
    if view.cursor == "layers":
        return replace(view, cursor="grid")
    return _move(view, context, rows=1)


def move_fast_back(view: View, context: Context) -> View:
    """Some rows up, or some layers back."""
    return _move_fast(view, context, -1)


def move_fast_on(view: View, context: Context) -> View:
    """Some rows down, or some layers on."""
    return _move_fast(view, context, 1)


def move_first(view: View, context: Context) -> View:
    """The first unit or layer."""
    if view.cursor == "layers":
        return select_layer(view, context, 0)
    return select_unit(view, context, 0)


def move_last(view: View, context: Context) -> View:
    """The last unit or layer."""
    if view.cursor == "layers":
        return select_layer(view, context, len(context.layers) - 1)
    return select_unit(view, context, context.layer(view).num_units - 1)


def switch_cursor(view: View, context: Context) -> View:
    """Between the list of layers and the grid."""
    del context
    return replace(view, cursor="grid" if view.cursor == "layers" else "layers")


def previous_layer(view: View, context: Context) -> View:
    """The layer before, the cursor staying where it is."""
    return select_layer(view, context, context.layer_index(view) - 1)


def next_layer(view: View, context: Context) -> View:
    """The layer after, the cursor staying where it is."""
    return select_layer(view, context, context.layer_index(view) + 1)


def _move(view: View, context: Context, *, rows: int = 0, columns: int = 0) -> View:
    if view.cursor == "layers":
        return select_layer(view, context, context.layer_index(view) + columns)
    layer = context.layer(view)
    unit = view.selection.unit or 0
    target = unit + columns + rows * context.num_columns
    if rows and not 0 <= target < layer.num_units:
        return view  # no row there: do not slip sideways
    return select_unit(view, context, target)


def _move_fast(view: View, context: Context, sign: int) -> View:
    if view.cursor == "layers":
        return select_layer(view, context, context.layer_index(view) + sign * FAST_STEPS)
    unit = view.selection.unit or 0
    column = unit % context.num_columns
    last = context.layer(view).num_units - 1
    target = unit + sign * FAST_STEPS * context.num_columns
    if target < 0:
        target = column
    elif target > last:
        rows_left = (last - column) // context.num_columns
        target = column + rows_left * context.num_columns
    return select_unit(view, context, target)

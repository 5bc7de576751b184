"""What a click on the canvas, or the wheel over it, changes in the View."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from rtvis.data import Target
from rtvis.render.layout import Layout
from rtvis.render.moment_numbers import moments_of
from rtvis.runtime.commands import changing, selecting, tracing
from rtvis.runtime.commands.context import Context
from rtvis.runtime.drawn import Drawn
from rtvis.session import TopInput, View


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the View."""

    command: Callable[[View], View]
    follow: bool = False
    """Whether the selection is to be brought into sight where it moves."""


def clicked(target: Target, drawn: Drawn, context: Context, *, twice: bool) -> Change | None:
    """What a click means; None where it means nothing to the View.

    Args:
        target: What was clicked.
        drawn: What the user sees.
        context: What commands must know.
        twice: Whether it is the second of two quick ones.
    """
    change: Change | None
    match target.kind:
        case "unit":
            change = _on_unit(target, context)
        case "pair":
            change = _on_pair(target, context)
        case "position":
            change = _on_position(target, context)
        case "pixel":
            change = _on_pixel(target)
        case "layer":
            change = _on_layer(target, context)
        case "class":
            change = _on_class(target, context, twice=twice)
        case "change":
            change = _on_change(target)
        case "start":
            change = _on_start(target, context)
        case "moment":
            change = _on_moment(target, drawn)
        case "top":
            change = _on_top(target, drawn)
        case "rule" | "pane" | "none":
            change = None
        case _:
            assert_never(target.kind)
    return change


def wheeled(target: Target, layout: Layout, context: Context, steps_up: int) -> Change | None:
    """What the wheel means over a target; None where it means nothing."""
    match target.pane:
        case "details":
            return Change(lambda view: _nudged(view, target, context, steps_up))
        case "layers":
            rows = layout.max_layer_scroll
            return Change(
                lambda view: replace(
                    view, layer_scroll=_scrolled(view.layer_scroll, steps_up, rows)
                )
            )
        case "grid":
            rows = layout.max_grid_scroll
            return Change(
                lambda view: replace(view, grid_scroll=_scrolled(view.grid_scroll, steps_up, rows))
            )
        case _:
            return None


def _scrolled(first_row: int, steps_up: int, last: int) -> int:
    return min(max(first_row - steps_up, 0), last)


def _nudged(view: View, target: Target, context: Context, steps: int) -> View:
    """Over a change of the list that one is nudged; elsewhere on its page the selected unit."""
    if view.page != "changes":
        return view
    layer, unit = target.layer, target.unit
    if target.kind != "change" or layer is None or unit is None:
        layer, unit = context.layer(view).name, view.selection.unit or 0
    return changing.nudge(view, context, layer, unit, steps=steps)


def _unit_of(target: Target) -> tuple[str, int]:
    assert target.layer is not None
    assert target.unit is not None
    return target.layer, target.unit


def _selected(view: View, context: Context, layer: str, unit: int) -> View:
    chosen = selecting.select_seen(view, context, layer=layer, unit=unit)
    return replace(chosen, cursor="grid", hint_shown=False)


def _on_unit(target: Target, context: Context) -> Change:
    layer, unit = _unit_of(target)
    return Change(
        lambda view: _selected(view, context, layer, unit),
        follow=target.pane != "grid",  # in the grid it is in sight
    )


def _on_pair(target: Target, context: Context) -> Change:
    """Select the unit of the row, or of the column where that of the row is selected."""
    layer, row = _unit_of(target)
    column = target.other_unit
    assert column is not None

    def select(view: View) -> View:
        unit = column if (view.selection.unit or 0) == row else row
        return _selected(view, context, layer, unit)

    return Change(select, follow=target.pane != "grid")


def _on_position(target: Target, context: Context) -> Change:
    (layer, unit), position = _unit_of(target), target.position
    assert position is not None
    return Change(
        lambda view: replace(
            selecting.toggle_position(view, context, layer=layer, unit=unit, position=position),
            hint_shown=False,
        )
    )


def _on_start(target: Target, context: Context) -> Change:
    layer, unit = _unit_of(target)
    return Change(
        lambda view: replace(
            tracing.toggle_start(view, context, layer=layer, unit=unit), hint_shown=False
        )
    )


def _on_moment(target: Target, drawn: Drawn) -> Change | None:
    """Look at it in the place of the source, or no more."""
    moments = moments_of(drawn.readout)
    if target.place is None or target.place >= len(moments):
        return None
    frame = moments[target.place].frame
    return Change(
        lambda view: replace(view, moment=None if view.moment == frame else frame, top_input=None)
    )


def _on_top(target: Target, drawn: Drawn) -> Change | None:
    """Look at one of the best inputs of a data set in the place of the source, or no more."""
    layout = drawn.layout
    if layout.layer is None or target.place is None:
        return None
    top = TopInput(layer=layout.layer.name, unit=layout.unit, place=target.place)
    return Change(
        lambda view: replace(view, top_input=None if view.top_input == top else top, moment=None)
    )


def _on_pixel(target: Target) -> Change:
    pixel = target.position
    assert pixel is not None
    return Change(lambda view: replace(selecting.toggle_pixel(view, pixel), hint_shown=False))


def _on_layer(target: Target, context: Context) -> Change:
    index = next(layer.index for layer in context.layers if layer.name == target.layer)
    return Change(
        lambda view: replace(selecting.select_layer(view, context, index), cursor="layers"),
        follow=True,
    )


def _on_class(target: Target, context: Context, *, twice: bool) -> Change:
    chosen = target.class_index
    assert chosen is not None
    if twice:
        return Change(lambda view: selecting.explain_class_unit(view, context, chosen), follow=True)
    return Change(lambda view: selecting.toggle_class(view, chosen))


def _on_change(target: Target) -> Change:
    layer, unit = _unit_of(target)
    return Change(lambda view: changing.remove(view, layer=layer, unit=unit))

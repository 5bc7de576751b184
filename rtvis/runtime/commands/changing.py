"""Hands on the network: units knocked out, made stronger or weaker, held; undone and cleared.

Every command ends in another `Selection.interventions`, which is data to the engine: nothing is
traced or compiled again.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rtvis.data import Intervention, LayerKind, units_of
from rtvis.runtime.commands.context import Context, select
from rtvis.session import View

MAX_UNDO: Final = 100
"""Changes that can be undone."""

DOUBLINGS: Final = (2.0, 4.0, 8.0)
"""What one press after another multiplies a unit by; the next one lets go of it."""

SCALE_STEP: Final = 0.25
"""Of a nudge. Sums of quarters are exact: a unit comes back to exactly 1, and is untouched."""

MAX_SCALE: Final = 16.0
"""Nudges stop here, on either side of zero."""

CHANGEABLE: Final[frozenset[LayerKind]] = frozenset({"conv", "dense", "attention"})
"""Kinds of layers that the network computes with; what others would show is only read."""

_UNTOUCHED: Final = (1.0, 0.0)
"""Scale and offset."""
_OUT: Final = (0.0, 0.0)


def knock_out(view: View, context: Context) -> View:
    """The selected unit is zero everywhere; pressed again it is as it was."""

    def change(scale: float, offset: float) -> tuple[float, float]:
        return _UNTOUCHED if (scale, offset) == _OUT else _OUT

    return _change_selected(view, context, change)


def double(view: View, context: Context) -> View:
    """The selected unit counts twice, 4 times, 8 times; then it is as it was."""

    def change(scale: float, offset: float) -> tuple[float, float]:
        del offset
        presses = DOUBLINGS.index(scale) + 1 if scale in DOUBLINGS else 0
        return (*DOUBLINGS, 1.0)[presses], 0.0

    return _change_selected(view, context, change)


def hold(view: View, context: Context) -> View:
    """The selected unit has the value on screen, at every position; pressed again it is let go.

    The value on screen is that of the clicked position, or else the unit's maximum.
    """
    if _is_held(*_strength(view, *_selected(view, context))):
        return _change_selected(view, context, lambda *_: _UNTOUCHED)
    if context.readout.tap == "post" and context.layer(view).activation:
        return _warn(
            view, "what can be held is the value before the activation: look at that first"
        )
    value = _value_on_screen(view, context)
    if value is None:
        return _warn(view, "this unit's value is not on screen yet; press again to hold it")
    if not math.isfinite(value):
        return _warn(view, f"this unit's value is {value}, and it cannot be held there")
    return _change_selected(view, context, lambda *_: (0.0, value))


def strengthen(view: View, context: Context) -> View:
    """The selected unit a little stronger."""
    return nudge(view, context, *_selected(view, context), steps=1)


def weaken(view: View, context: Context) -> View:
    """The selected unit a little weaker; below zero it counts with the opposite sign."""
    return nudge(view, context, *_selected(view, context), steps=-1)


def nudge(view: View, context: Context, layer: str, unit: int, *, steps: int) -> View:
    """A unit stronger by so many quarters of itself, or held higher by so many steps.

    Successive nudges of a unit are undone together.
    """

    def change(scale: float, offset: float) -> tuple[float, float]:
        if _is_held(scale, offset):
            return 0.0, _nudged_value(offset, steps, _value_step(context, layer, offset))
        scale += steps * SCALE_STEP
        return min(max(scale, -MAX_SCALE), MAX_SCALE), offset

    changed = _change(view, context, layer, unit, change)
    if changed.selection == view.selection:
        return changed
    earlier = view.earlier_changes
    goes_on = bool(earlier) and _without(earlier[-1], layer, unit) == _without(
        view.selection.interventions, layer, unit
    )
    if view.nudged and goes_on:
        changed = replace(changed, earlier_changes=earlier)
    return replace(changed, nudged=True)


def undo_change(view: View, context: Context) -> View:
    """The changes as they were before the last one."""
    del context
    if not view.earlier_changes:
        return replace(view, notice="there is no change to undo", notice_is_warning=False)
    *earlier, last = view.earlier_changes
    return replace(select(view, interventions=last), earlier_changes=tuple(earlier), nudged=False)


def clear_changes(view: View, context: Context) -> View:
    """The network as it is; can be undone."""
    del context
    if not view.selection.interventions:
        return replace(view, notice="no unit is changed", notice_is_warning=False)
    return remember(view, select(view, interventions=()))


def remove(view: View, *, layer: str, unit: int) -> View:
    """One unit as it was."""
    left = _without(view.selection.interventions, layer, unit)
    return remember(view, select(view, interventions=left))


def remember(before: View, after: View) -> View:
    """`after`, from which `undo_change` leads to the changes of `before` where they differ."""
    now = before.selection.interventions
    if now == after.selection.interventions:
        return after
    earlier = (*before.earlier_changes, now)[-MAX_UNDO:]
    return replace(after, earlier_changes=earlier, nudged=False)


def _change_selected(
    view: View, context: Context, change: Callable[[float, float], tuple[float, float]]
) -> View:
    return _change(view, context, *_selected(view, context), change)


def _change(
    view: View,
    context: Context,
    layer: str,
    unit: int,
    change: Callable[[float, float], tuple[float, float]],
) -> View:
    """Replace scale and offset of a unit; what comes to nothing is no change."""
    kind = next(known.kind for known in context.layers if known.name == layer)
    if kind not in CHANGEABLE:
        return _warn(
            view,
            f"the network does not compute with what '{layer}' shows ({kind}): choose a unit of "
            "another layer",
        )
    scale, offset = change(*_strength(view, layer, unit))
    now = view.selection.interventions
    changed = Intervention(layer=layer, unit=unit, scale=scale, offset=offset)
    if (scale, offset) == _UNTOUCHED:
        after = _without(now, layer, unit)
    elif view.selection.change_of(layer, unit) is not None:
        # In its place: rows of the list do not jump.
        after = tuple(changed if _is_of(each, layer, unit) else each for each in now)
    else:
        after = (*now, changed)
    shown = remember(view, select(view, interventions=after))
    # The first change brings its consequences into sight; from then on the page is the user's.
    return shown if now or not after else replace(shown, page="changes", hint_shown=False)


def _selected(view: View, context: Context) -> tuple[str, int]:
    return context.layer(view).name, view.selection.unit or 0


def _strength(view: View, layer: str, unit: int) -> tuple[float, float]:
    """Scale and offset of a unit."""
    change = view.selection.change_of(layer, unit)
    return _UNTOUCHED if change is None else (change.scale, change.offset)


def _is_held(scale: float, offset: float) -> bool:
    return scale == 0 and offset != 0


def _without(changes: tuple[Intervention, ...], layer: str, unit: int) -> tuple[Intervention, ...]:
    return tuple(each for each in changes if not _is_of(each, layer, unit))


def _is_of(change: Intervention, layer: str, unit: int) -> bool:
    return (units_of(change.layer), change.unit) == (units_of(layer), unit)


def _value_on_screen(view: View, context: Context) -> float | None:
    """The selected unit's value as the screen shows it; None if it shows another's."""
    readout, position = context.readout, view.selection.position
    if (readout.layer, readout.unit) != _selected(view, context):
        return None
    if position is not None and position != readout.position:
        return None
    return readout.value


def _value_step(context: Context, layer: str, value: float) -> float:
    """A power of ten, about a twentieth of what the layer's values reach."""
    readout = context.readout
    reach = max(abs(readout.low), abs(readout.high)) if readout.layer == layer else 0.0
    size = reach if reach > 0 and math.isfinite(reach) else abs(value)
    return float(10.0 ** round(math.log10(size / 20)))


def _nudged_value(value: float, steps: int, step: float) -> float:
    """The multiple of `step` that lies so many steps on. Not zero: that is knocked out."""
    wanted = round(value / step) + steps or (1 if steps > 0 else -1)
    return float(f"{wanted * step:.9g}")  # 0.3, not 0.30000000000000004


def _warn(view: View, text: str) -> View:
    return replace(view, notice=text, notice_is_warning=True)

"""What keys and clicks do: pure functions from one View to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar, get_args

from rtvis.data import Layer, Rule, Seed, Selection
from rtvis.session import BackpropDisplay, View

T = TypeVar("T")

FAST_STEPS: Final = 3
"""Rows or layers that a fast move goes (DVT-30)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a command must know beside the View."""

    layers: tuple[Layer, ...]
    default_layer: int
    """Index of the layer that a Selection without one means."""
    cam_methods: tuple[str, ...]
    num_columns: int
    """Of the grid as it is drawn now."""

    def layer_index(self, view: View) -> int:
        """Index of the selected layer."""
        name = view.selection.layer
        for layer in self.layers:
            if layer.name == name:
                return layer.index
        return self.default_layer

    def layer(self, view: View) -> Layer:
        """The selected layer."""
        return self.layers[self.layer_index(view)]


ViewCommand: TypeAlias = Callable[[View, Context], View]


def select_unit(view: View, context: Context, unit: int) -> View:
    """Select a unit of the present layer, clamped; a clicked position belongs to the old one."""
    layer = context.layer(view)
    unit = min(max(unit, 0), layer.num_units - 1)
    if unit == view.selection.unit and layer.name == view.selection.layer:
        return view
    return _with(view, layer=layer.name, unit=unit, position=None)


def select_layer(view: View, context: Context, index: int) -> View:
    """Select a layer by index, clamped; the unit's number stays where the layer has it (DVT-31)."""
    index = min(max(index, 0), len(context.layers) - 1)
    layer = context.layers[index]
    if layer.name == view.selection.layer:
        return view
    unit = min(view.selection.unit or 0, layer.num_units - 1)
    return _with(view, layer=layer.name, unit=unit, position=None)


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
    return _with(view, layer=layer, position=None if again else position)


def toggle_class(view: View, class_index: int) -> View:
    """Explain a class by the CAM; the same one again goes back to the top-scoring one."""
    again = view.selection.class_index == class_index
    return _with(view, class_index=None if again else class_index)


def explain_class_unit(view: View, context: Context, class_index: int) -> View:
    """Make the class's own unit, in the dense layer that ends the network, the selected one."""
    view = _with(view, class_index=class_index)
    last = context.layers[-1]
    if last.kind != "dense" or class_index >= last.num_units:
        return replace(
            view,
            notice="this network does not end in a dense layer with a unit for each class",
            notice_is_warning=True,
        )
    view = _with(view, layer=last.name, unit=class_index, position=None)
    return replace(view, backward_shown=True)


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


def cycle_zoom(view: View, context: Context) -> View:
    """Grid, unit, backward picture in the large pane; no backward picture while it is off."""
    del context
    zoom = after(view.zoom, ("grid", "unit", "backprop"))
    if zoom == "backprop" and not view.backward_shown:
        zoom = "grid"
    return replace(view, zoom=zoom)


_EASY_LOOP: Final[tuple[tuple[Rule, BackpropDisplay], ...]] = (
    ("guided", "raw"),
    ("gradient", "raw"),
    ("gradient", "norm"),
    ("deconvnet", "raw"),
)


def cycle_backward_easily(view: View, context: Context) -> View:
    """DVT-36's loop with guided in front: off, guided, gradient, its norm, deconvnet, off."""
    del context
    if not view.backward_shown:
        return _backward(view, *_EASY_LOOP[0])
    now = (view.selection.rule, view.backprop_display)
    if now == _EASY_LOOP[-1]:
        return _backward_off(view)
    if now in _EASY_LOOP:
        return _backward(view, *_EASY_LOOP[_EASY_LOOP.index(now) + 1])
    return _backward(view, *_EASY_LOOP[0])


def cycle_rule(view: View, context: Context) -> View:
    """DVT-37's modes: off, gradient, guided, deconvnet, off. The display stays."""
    del context
    rules: tuple[Rule, ...] = get_args(Rule)
    if not view.backward_shown:
        return _backward(view, rules[0], view.backprop_display)
    if view.selection.rule == rules[-1]:
        return _backward_off(view)
    return _backward(view, after(view.selection.rule, rules), view.backprop_display)


def toggle_backward(view: View, context: Context) -> View:
    """The backward picture off, or on with the rule it had."""
    del context
    if view.backward_shown:
        return _backward_off(view)
    return replace(view, backward_shown=True)


def cycle_display(view: View, context: Context) -> View:
    """DVT-38's filters, and RT's positive one."""
    del context
    displays: tuple[BackpropDisplay, ...] = get_args(BackpropDisplay)
    return replace(view, backprop_display=after(view.backprop_display, displays))


def cycle_seed(view: View, context: Context) -> View:
    """Where the backward pass starts: maximum, whole map, map times activation."""
    seeds: tuple[Seed, ...] = get_args(Seed)
    layer = context.layer(view).name
    seed = after(view.selection.seed or "max", seeds)
    return _with(view, layer=layer, seed=seed, position=None)


def toggle_pause(view: View, context: Context) -> View:
    """Hold the picture; network and views go on (RT-18)."""
    del context
    return replace(view, paused=not view.paused)


def toggle_cam(view: View, context: Context) -> View:
    """The CAM over the input."""
    del context
    return replace(view, cam_shown=not view.cam_shown)


def cycle_cam_method(view: View, context: Context) -> View:
    """The next registered CAM method."""
    shown = replace(view, cam_shown=True)
    return _with(shown, cam=after(view.selection.cam, context.cam_methods))


def toggle_colours(view: View, context: Context) -> View:
    """Maps in colours or in grey (RT-12)."""
    del context
    return replace(view, coloured=not view.coloured)


def toggle_smoothing(view: View, context: Context) -> View:
    """Whether colour ranges follow a running mean or each frame's own."""
    del context
    return replace(view, range_smoothed=not view.range_smoothed)


def toggle_help(view: View, context: Context) -> View:
    """The table of keys."""
    del context
    return replace(view, help_shown=not view.help_shown)


def reset(view: View, context: Context) -> View:
    """DVT-32: first layer and unit, guided, raw, grid; window and picture stay as they are."""
    fresh = View(
        selection=Selection(layer=context.layers[0].name, unit=0),
        canvas_size=view.canvas_size,
        paused=view.paused,
        recording=view.recording,
        hover=view.hover,
        hint_shown=view.hint_shown,
    )
    return replace(fresh, notice="everything is back to its defaults")


def after(now: T, choices: Sequence[T]) -> T:
    """The choice after `now`, the first one after the last; the first if `now` is none of them."""
    if now not in choices:
        return choices[0]
    return choices[(choices.index(now) + 1) % len(choices)]


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


def _backward(view: View, rule: Rule, display: BackpropDisplay) -> View:
    shown = replace(view, backward_shown=True, backprop_display=display)
    return _with(shown, rule=rule)


def _backward_off(view: View) -> View:
    zoom = "grid" if view.zoom == "backprop" else view.zoom
    return replace(view, backward_shown=False, zoom=zoom)


def _with(view: View, **changes: object) -> View:
    return replace(view, selection=replace(view.selection, **changes))  # type: ignore[arg-type]

"""How what is computed is shown, and what is asked of the backward pass and the CAM."""

from dataclasses import replace
from typing import Final, get_args

from rtvis.choices import BackpropDisplay
from rtvis.data import Fit, Rule, Seed, Selection
from rtvis.render.panes_plan import has_details, has_place
from rtvis.runtime.commands.changing import remember
from rtvis.runtime.commands.context import Context, after, select
from rtvis.runtime.learning import in_sight
from rtvis.session import Beginning, PageName, Pattern, Timing, View


def cycle_zoom(view: View, context: Context) -> View:
    """Grid, unit, backward picture in the large pane; no backward picture while it is off."""
    del context
    zoom = after(view.zoom, ("grid", "unit", "backprop"))
    if zoom == "backprop" and not view.backward_shown:
        zoom = "grid"
    return replace(view, zoom=zoom)


_EASY_LOOP: Final[tuple[tuple[Rule, BackpropDisplay], ...]] = (
    ("guided", "clipped"),
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


def cycle_display(view: View, context: Context) -> View:
    """DVT-38's filters behind the clipped one, and RT's positive one."""
    del context
    displays: tuple[BackpropDisplay, ...] = get_args(BackpropDisplay)
    return replace(view, backprop_display=after(view.backprop_display, displays))


def cycle_seed(view: View, context: Context) -> View:
    """Where the backward pass starts: maximum, whole map, map times activation, class score."""
    seeds: tuple[Seed, ...] = get_args(Seed)
    layer = context.layer(view).name
    seed = after(view.selection.seed or "max", seeds)
    view = select(view, layer=layer, seed=seed, position=None)
    return select(view, origin=None) if seed == "score" else view


def cycle_fit(view: View, context: Context) -> View:
    """How the picture becomes the network's input: crop, stretch, letterbox (DVT-10)."""
    del context
    fits: tuple[Fit, ...] = get_args(Fit)
    return select(view, fit=after(view.selection.fit, fits))


def toggle_pause(view: View, context: Context) -> View:
    """Hold the picture; network and views go on (RT-18)."""
    del context
    return replace(view, paused=not view.paused)


def toggle_labels(view: View, context: Context) -> View:
    """The label picture of a dense output over the input, or the CAM."""
    if not context.is_dense:
        return replace(view, notice="this network has no scores for each pixel")
    shown = not view.labels_shown
    return replace(view, labels_shown=shown, cam_shown=view.cam_shown or not shown)


def cycle_cam_method(view: View, context: Context) -> View:
    """The next registered CAM method."""
    shown = replace(view, cam_shown=True, labels_shown=False)
    return select(shown, cam=after(view.selection.cam, context.cam_methods))


def next_page(view: View, context: Context) -> View:
    """The next page of the details pane; on a narrow canvas the pane opens before the first one,
    and folds away behind the last."""
    pages: tuple[PageName, ...] = get_args(PageName)
    if not has_details(view):
        return replace(view, column_shown=True)
    page = after(view.page, pages)
    view = replace(view, column_shown=view.column_shown and page != pages[0])
    flat = [each.name for each in context.layers if each.map_size == (1, 1)]
    return replace(select(view, beside=flat[-1] if flat and page == "dense" else None), page=page)


def next_pattern(view: View, context: Context) -> View:
    """The grid's tiles: maps, optimised pictures, top inputs (DVT-34), the best moments so far."""
    del context
    if view.zoom != "grid":
        return replace(view, zoom="grid", pattern="optimized")
    patterns: tuple[Pattern, ...] = get_args(Pattern)
    return replace(view, pattern=after(view.pattern, patterns))


def toggle_growing(view: View, context: Context) -> View:
    """Let the picture that excites the unit grow, or hold it; brings its page into sight."""
    del context
    if not in_sight(view):
        return replace(view, page="learned", column_shown=True, growing=True)
    return replace(view, growing=not view.growing)


def next_beginning(view: View, context: Context) -> View:
    """Where that picture begins: at noise, or at what is shown now (DV-21)."""
    del context
    beginnings: tuple[Beginning, ...] = get_args(Beginning)
    beginning = after(view.beginning, beginnings)
    return replace(view, page="learned", column_shown=True, beginning=beginning)


def next_dense_layer(view: View, context: Context) -> View:
    """Another dense layer beside the maps (RT-15); brings the page into sight."""
    flat = [each.name for each in context.layers if each.map_size == (1, 1)]
    if not flat:
        return replace(view, notice="this network has no dense layer")
    if flat == [view.selection.beside] and view.page == "dense":
        return replace(view, notice=f"{flat[0]} is the only dense layer", notice_is_warning=False)
    backwards = flat[::-1]
    chosen = after(view.selection.beside, backwards) if view.page == "dense" else backwards[0]
    return replace(select(view, beside=chosen), page="dense", column_shown=True)


def next_compared(view: View, context: Context) -> View:
    """The first of two, the second, their difference."""
    del context
    if view.compared == "off":
        return replace(
            view,
            notice="nothing to compare with; start with --compare-network, --compare-weights or "
            "--compare-stream",
            notice_is_warning=False,
        )
    return replace(view, compared=after(view.compared, ("first", "second", "difference")))


def toggle_log_counts(view: View, context: Context) -> View:
    """Counts of histograms as they are, or their logarithm; brings the page into sight."""
    del context
    if view.page != "histogram":
        return replace(view, page="histogram", column_shown=True)
    return replace(view, log_counts=not view.log_counts)


def cycle_timing(view: View, context: Context) -> View:
    """Times of the stages of a turn, then also processor and memory, then nothing (DVT-16)."""
    del context
    levels: tuple[Timing, ...] = get_args(Timing)
    return replace(view, timing=after(view.timing, levels))


def toggle_help(view: View, context: Context) -> View:
    """The table of keys."""
    del context
    return replace(view, help_shown=not view.help_shown)


def toggle_classes(view: View, context: Context) -> View:
    """The pane of the top classes; without it the one below has its place (DVT-42)."""
    del context
    if "classes" not in (*view.panes.left, *view.panes.right):
        notice = "the configuration gives the top classes no place"
        return replace(view, notice=notice, notice_is_warning=False)
    if not has_place(view, "classes"):
        return replace(view, column_shown=True, classes_shown=True)
    return replace(view, classes_shown=not view.classes_shown)


def reset(view: View, context: Context) -> View:
    """DVT-32: first layer and unit, guided, clipped, grid; window and picture stay as they are."""
    home = context.home
    fresh = View(
        # What the program was started with, as far as it is no choice of one unit.
        selection=Selection(
            layer=context.layers[0].name,
            unit=0,
            tap=home.tap,
            seed=home.seed,
            rule=home.rule,
            cam=home.cam,
            cam_layer=home.cam_layer,
            fit=home.fit,
        ),
        num_top=view.num_top,
        canvas_size=view.canvas_size,
        theme=view.theme,
        panes=view.panes,
        ui_scale=view.ui_scale,
        panes_shown=view.panes_shown,
        side=view.side,
        paused=view.paused,
        recording=view.recording,
        hover=view.hover,
        hint_shown=view.hint_shown,
        earlier_changes=view.earlier_changes,
    )
    return replace(remember(view, fresh), notice="everything is back to its defaults")


def _backward(view: View, rule: Rule, display: BackpropDisplay) -> View:
    shown = replace(view, backward_shown=True, backprop_display=display)
    return select(shown, rule=rule)


def _backward_off(view: View) -> View:
    zoom = "grid" if view.zoom == "backprop" else view.zoom
    return replace(view, backward_shown=False, zoom=zoom)

"""The grid of a layer's maps and the enlarged one: activations, or the gradients there."""

import torch
from torch import Tensor

from rtvis.data import Result
from rtvis.render import display, lut, panes
from rtvis.render.grid import Rect
from rtvis.render.lut import Palette
from rtvis.render.plan import Layout
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.render.tiles import draw_tiles
from rtvis.session import View
from rtvis.theme import Ink

Range = tuple[Tensor, Tensor]
"""Lower and upper end of a colour range, scalars on the device."""


def shown_maps(result: Result, batch_index: int) -> Tensor:
    """[C, H, W]: gradients at the selected layer where they were asked for, else its maps."""
    of = result.maps_BCHW if result.grads_BCHW is None else result.grads_BCHW
    return of[batch_index]


def palette_of(view: View, result: Result | None) -> Palette:
    """Gradients have colours of their own (DVT-25), so that nobody takes them for activations."""
    gradients = result is not None and result.grads_BCHW is not None
    return "gradient" if gradients and view.palette != "grey" else view.palette


def draw_grid(surface: Surface, scene: Scene, plan: Layout, ranges: Range) -> None:
    """The tiles in sight, all on one colour range but for the boosts."""
    result, view = scene.result, scene.view
    assert result is not None, "drawn with a result only"
    assert plan.grid is not None, "drawn while the grid is in sight"
    maps_CHW = shown_maps(result, scene.batch_index)
    if view.unit_boost:
        maps_CHW = display.boost_units(maps_CHW, ranges[1], view.unit_boost)
    draw_tiles(
        surface.words_HW,
        maps_CHW,
        plan.grid,
        range_low=ranges[0],
        range_high=ranges[1],
        palette=palette_of(view, result),
        gamma=view.gamma,
        ground=lut.ground_of(view.theme),
    )
    _fade_if_stale(surface, scene, plan.grid.area)


def draw_unit(surface: Surface, scene: Scene, plan: Layout) -> None:
    """The selected unit's map, enlarged, in its own full range: a weak unit can be seen (RT-14)."""
    result, view = scene.result, scene.view
    assert result is not None, "drawn with a result only"
    unit_1HW = shown_maps(result, scene.batch_index)[plan.unit : plan.unit + 1]
    rect = plan.images.get("unit")
    if rect is None:
        return
    ranges = own_range(unit_1HW, surface.words_HW.device)
    draw_tiles(
        surface.words_HW,
        unit_1HW,
        panes.single_tile(rect),
        range_low=ranges[0],
        range_high=ranges[1],
        palette=palette_of(view, result),
        gamma=view.gamma,
        ground=lut.ground_of(view.theme),
    )
    _fade_if_stale(surface, scene, rect)
    origin, position = result.selection.origin, result.selection.position
    if plan.layer is not None and plan.layer.kind == "attention" and position is not None:
        panes.mark_neuron(  # who asks
            surface.words_HW,
            rect,
            (unit_1HW.shape[1], unit_1HW.shape[2]),
            position,
            colour=surface.inks[Ink.SELECTED],
            thickness=plan.metrics.line,
        )
    at_score = plan.layer is not None and result.selection.starts_at_score(plan.layer.kind)
    if view.backward_shown and origin is None and not at_score:
        panes.mark_neuron(
            surface.words_HW,
            rect,
            (unit_1HW.shape[1], unit_1HW.shape[2]),
            result.position_B2[scene.batch_index],
            colour=surface.inks[Ink.SOURCE],
            thickness=plan.metrics.line,
        )


def own_range(maps: Tensor, device: torch.device) -> Range:
    """The range of some maps by themselves."""
    low, high = display.extremes(maps)
    return display.ColourRange(device).update(low, high, key=None, smoothed=False)


def _fade_if_stale(surface: Surface, scene: Scene, rect: Rect) -> None:
    if scene.stale_since_ns:
        surface.fade(rect)

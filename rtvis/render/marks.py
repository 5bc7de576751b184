"""Marks over the panes: what is selected, changed, asked about, or under the pointer."""

from rtvis.data import Result, units_of
from rtvis.render.empty_words import grid_message
from rtvis.render.layout import Layout
from rtvis.render.readout import Readout
from rtvis.render.region import corner_size, target_rect
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.theme import Ink


def draw_marks(surface: Surface, scene: Scene, plan: Layout, readout: Readout) -> None:
    """Outlines of the selected tile, of where the backward pass starts, of the region, and of what
    is under the pointer; corners on what was changed."""
    if scene.result is None or scene.maps_note:
        return
    line = plan.metrics.line
    _mark_changes(surface, scene.result, plan)
    if plan.grid is not None and not grid_message(scene, readout):
        tile = plan.grid.tile(plan.unit) if plan.unit < plan.grid.num else None
        if tile is not None:
            surface.outline(tile, Ink.SELECTED, line)
        origin = scene.result.selection.origin
        if origin is not None and plan.layer is not None and origin.layer == plan.layer.name:
            start = plan.grid.tile(origin.unit)
            if start is not None and origin.unit != plan.unit:
                surface.outline(start, Ink.SOURCE, line)
    region = scene.result.selection.region
    if region is not None and plan.pixels is not None:
        rect = plan.pixels.rect(region)
        if rect is not None:
            surface.outline(rect, Ink.TEXT, line)
    hover = scene.view.hover
    rect = target_rect(plan, hover) if hover.kind in {"unit", "position", "pair"} else None
    if rect is not None and hover.layer == scene.result.selection.layer:
        surface.outline(rect, Ink.TEXT, max(line // 2, 1))


def _mark_changes(surface: Surface, result: Result, plan: Layout) -> None:
    """A corner on the tiles of units that the user has changed."""
    if plan.grid is None:
        return
    for change in result.selection.interventions:
        shown = units_of(result.selection.layer or "")
        if units_of(change.layer) != shown or change.unit >= plan.grid.num:
            continue
        tile = plan.grid.tile(change.unit)
        if tile is not None:
            surface.corner(tile, Ink.CHANGED, corner_size(tile, plan.metrics))

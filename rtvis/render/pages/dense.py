"""The values of a dense layer beside the maps of a convolution (RT-15 to RT-17).

A click on a value makes it the start of the backward pass, while the grid stays where it is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rtvis.data import Layer, Result, Target
from rtvis.render import lut, wording
from rtvis.render.grid import Grid, Rect, fit_grid
from rtvis.render.layout import Layout
from rtvis.render.map_panes import own_range
from rtvis.render.pages.page import Page
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.render.text import SEMIBOLD, Run
from rtvis.render.tiles import draw_tiles
from rtvis.theme import Ink

_NUM_LINES = 2
"""Of text below the values."""
_CELL = 6
"""Pixels that a value must at least have, at scale 1."""


def cells(layout: Layout) -> Grid | None:
    """One cell for each unit; None without a dense layer to show."""
    area, metrics = layout.contents["details"], layout.metrics
    if layout.beside is None:
        return None
    room = Rect(area.top, area.left, area.height - _NUM_LINES * metrics.row, area.width)
    num, least = layout.beside.num_units, round(_CELL * metrics.scale)
    return fit_grid(num, (1, 1), room, min_tile=least, gap=1)


@dataclass(frozen=True, slots=True)
class Values:
    """The numbers of the page that its text wants."""

    page_numbers: Tensor
    """float64 [4]: smallest and largest value, the one under the pointer, the start's."""


class _Gauge:
    def __init__(self, device: torch.device) -> None:
        self._device = device

    def measure(self, scene: Scene, ends: tuple[Tensor, Tensor]) -> Values:
        del ends
        result = scene.result
        if result is None or result.beside_BCHW is None:
            return Values(torch.zeros(4, dtype=torch.float64, device=self._device))
        values_C = result.beside_BCHW[scene.batch_index].flatten().double()
        units = [_hovered(scene, result), _started(result)]
        found = [values_C[unit or 0] for unit in units]
        return Values(torch.stack([values_C.amin(), values_C.amax(), *found]))


def _hovered(scene: Scene, result: Result) -> int | None:
    hover = scene.view.hover
    same = hover.kind == "start" and hover.layer == result.selection.beside
    return hover.unit if same else None


def _started(result: Result) -> int | None:
    origin = result.selection.origin
    same = origin is not None and origin.layer == result.selection.beside
    return origin.unit if same and origin is not None else None


def _title(region: Region) -> tuple[Run, ...]:
    beside = region.layout.beside
    if beside is None:
        return (wording.dim("dense"),)
    return (Run(beside.name, Ink.TEXT, SEMIBOLD), wording.dim(f"   {beside.num_units} units"))


def _write(region: Region) -> None:
    layout, chrome, metrics = region.layout, region.chrome, region.layout.metrics
    area, beside = layout.contents["details"], layout.beside
    text = "" if beside is not None else "this network has no dense layer"
    top = Rect(area.top, area.left, area.height - _NUM_LINES * metrics.row, area.width)
    chrome.slot(
        "dense values", top, text, lambda brush: brush.paragraph(top, text, Ink.DIM, metrics.text)
    )
    lines: list[tuple[Run, ...]] = [(), ()]
    result, numbers = region.scene.result, region.readout.page_numbers
    known = region.readout.page == "dense" and len(numbers) == 4
    if beside is not None and result is not None and known:
        low, high, hovered, started = numbers
        lines[0] = (wording.dim(f"{wording.number(low)} … {wording.number(high)}"),)
        unit, start = _hovered(region.scene, result), _started(result)
        if start is not None:
            lines[0] = _named(region.scene, beside, start, started, Ink.SOURCE)
        if unit is not None:
            lines[1] = _named(region.scene, beside, unit, hovered, Ink.TEXT)
    for index, runs in enumerate(lines):
        line = Rect(top.bottom + index * metrics.row, area.left, metrics.row, area.width)
        chrome.text(f"dense line {index}", line, runs, metrics.text)


def _named(scene: Scene, layer: Layer, unit: int, value: float, colour: Ink) -> tuple[Run, ...]:
    name = f"{unit}"
    if scene.labels is not None and layer.num_units == len(scene.labels):
        name = f"{unit} {wording.class_name(scene.labels, unit)}"
    return (Run(wording.number(value), colour, SEMIBOLD), wording.dim("  "), wording.bright(name))


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    result, grid = scene.result, cells(layout)
    if result is None or grid is None or result.beside_BCHW is None:
        return
    values_C11 = result.beside_BCHW[scene.batch_index]
    if values_C11.shape[0] != grid.num:
        return  # of the page before
    low, high = own_range(values_C11, surface.words_HW.device)
    draw_tiles(
        surface.words_HW,
        values_C11,
        grid,
        range_low=low,
        range_high=high,
        palette=scene.view.palette,
        gamma=scene.view.gamma,
        ground=lut.ground_of(scene.view.theme),
    )
    if scene.stale_since_ns:
        surface.fade(grid.area)
    for unit, colour in ((_hovered(scene, result), Ink.TEXT), (_started(result), Ink.SOURCE)):
        tile = grid.tile(unit) if unit is not None else None
        if tile is not None:
            surface.outline(tile, colour, layout.metrics.line)


def _hit(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    del readout
    grid = cells(layout)
    unit = grid.at(x, y) if grid is not None else None
    if unit is None or layout.beside is None:
        return None
    return Target(kind="start", pane="details", layer=layout.beside.name, unit=unit)


PAGE = Page(title=_title, write=_write, paint=_paint, make_gauge=_Gauge, hit=_hit)

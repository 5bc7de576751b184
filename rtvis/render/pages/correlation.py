"""Which units of the layer go together with the selected one, and which against it."""

from itertools import zip_longest

import torch

from rtvis.counting import counted
from rtvis.data import Target
from rtvis.render import lut, wording
from rtvis.render.chrome import Brush
from rtvis.render.correlation import FEWEST_SAMPLES, Correlation, CorrelationGauge
from rtvis.render.grid import Rect
from rtvis.render.layout import Layout
from rtvis.render.pages.page import Page, unit_title
from rtvis.render.pairs import PairPlan, lay_pairs
from rtvis.render.panes import single_tile
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.render.text import Run
from rtvis.render.tiles import draw_tiles
from rtvis.theme import Ink

_HEAD = 4
"""Numbers in front of the lists (`Correlation.page_numbers`)."""


def _write(region: Region) -> None:
    chrome, metrics = region.chrome, region.layout.metrics
    plan, measured = lay_pairs(region.layout), region.scene.measured
    known = isinstance(measured, Correlation)
    drawn = isinstance(measured, Correlation) and measured.matrix_CC is not None
    chrome.slot("correlation matrix", plan.matrix, drawn, lambda _: None)
    _write_ticks(region, plan, shown=drawn)
    left, right = _caption(region.layout, measured, plan) if known else ("", "")
    half = plan.caption.width * 2 // 3
    for name, part, text in (
        ("left", Rect(plan.caption.top, plan.caption.left, plan.caption.height, half), left),
        (
            "right",
            Rect(
                plan.caption.top,
                plan.caption.left + half,
                plan.caption.height,
                plan.caption.width - half,
            ),
            right,
        ),
    ):
        words = (wording.dim(text),)
        align = float(name == "right")
        chrome.text(f"correlation caption {name}", part, words, metrics.text, align=align)
    chrome.text("correlation facts", plan.facts, _facts(region.readout, measured), metrics.text)
    for heading, rect in zip(("correlated", "anticorrelated"), plan.headings, strict=True):
        words = (wording.dim(heading if drawn else ""),)
        chrome.text(f"correlation {heading}", rect, words, metrics.text)
    _write_lists(region, plan)


def _caption(layout: Layout, measured: object, plan: PairPlan) -> tuple[str, str]:
    """From how many places, and between which units."""
    assert isinstance(measured, Correlation)
    if measured.num_frames:
        where = counted(measured.num_frames, "picture")
    else:
        where = f"{measured.num_samples:,} positions"
    num_units = layout.layer.num_units if layout.layer is not None else 0
    if len(plan.units) == num_units:
        return where, counted(num_units, "unit")
    return where, f"{plan.units.start}–{plan.units.stop - 1}"


def _facts(readout: Readout, measured: object) -> tuple[Run, ...]:
    """What the picture does not say, the worst of it."""
    if not isinstance(measured, Correlation):
        return ()
    if measured.matrix_CC is None:
        return (wording.dim(f"needs {FEWEST_SAMPLES} pictures or more"),)
    if readout.page != "correlation" or len(readout.page_numbers) < _HEAD:
        return ()
    num_constant, num_broken, state, _ = readout.page_numbers[:_HEAD]
    if state:
        why = "is constant: no r" if state == 1 else "holds NaN or inf: no r"
        return (Run(f"this unit {why}", Ink.WARNING),)
    if num_broken:
        return (Run(f"{counted(num_broken, 'unit')} with NaN or inf", Ink.WARNING),)
    parts = []
    if num_constant:
        parts.append(counted(num_constant, "constant unit"))
    if measured.step > 1:
        parts.append(f"every {measured.step}{_ORDINALS.get(measured.step, 'th')} row")
    return (wording.dim("  ·  ".join(parts)),)


_ORDINALS = {2: "nd", 3: "rd"}


def _write_ticks(region: Region, plan: PairPlan, *, shown: bool) -> None:
    """Marks beside the row and above the column of the selected unit."""
    cell = plan.cell(region.layout.unit, region.layout.unit) if shown else None
    matrix, line = plan.matrix, region.layout.metrics.line
    tick = 2 * line
    above = Rect(matrix.top - tick, matrix.left - tick, tick, matrix.width + tick)
    beside = Rect(matrix.top, matrix.left - tick, matrix.height, tick)

    def draw(brush: Brush, *, across: bool) -> None:
        if cell is None:
            return
        # A sliver could not be found.
        if across:
            left = min(cell.left, matrix.right - max(cell.width, line))
            brush.fill(Rect(above.top, left, line, max(cell.width, line)), Ink.SELECTED)
        else:
            top = min(cell.top, matrix.bottom - max(cell.height, line))
            brush.fill(Rect(top, beside.left, max(cell.height, line), line), Ink.SELECTED)

    region.chrome.slot("correlation above", above, cell, lambda brush: draw(brush, across=True))
    region.chrome.slot("correlation beside", beside, cell, lambda brush: draw(brush, across=False))


def _write_lists(region: Region, plan: PairPlan) -> None:
    size, hover = region.layout.metrics.text, region.scene.view.hover
    listed = listed_units(region.readout)
    for which, (rects, units) in enumerate(zip(plan.lists, listed, strict=True)):
        for place, (rect, pair) in enumerate(zip_longest(rects, units[: len(rects)])):
            words: tuple[Run, ...] = ()
            value: tuple[Run, ...] = ()
            lit = False
            if pair is not None:
                lit = hover.pane == "details" and hover.unit == pair[0] and hover.kind == "unit"
                words = (wording.bright(f"{pair[0]}"),)
                value = (wording.bright(coefficient(pair[1])),)
            ground = Ink.RAISED if lit else Ink.PANEL
            name = f"correlation {which} {place}"
            half = rect.width // 2
            left = Rect(rect.top, rect.left, rect.height, half)
            right = Rect(rect.top, rect.left + half, rect.height, rect.width - half)
            region.chrome.text(f"{name} unit", left, words, size, ground=ground)
            region.chrome.text(f"{name} r", right, value, size, align=1.0, ground=ground)


def coefficient(r: float) -> str:
    """A correlation with two digits, without a zero in front."""
    return wording.signed_share(r)


def listed_units(readout: Readout) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(unit, r) of those that go with the selected one, and of those that go against it."""
    if readout.page != "correlation":
        return [], []
    numbers = readout.page_numbers[_HEAD:]
    pairs = [(int(unit), r) for unit, r in zip(numbers[::2], numbers[1::2], strict=True)]
    middle = len(pairs) // 2
    return (
        [pair for pair in pairs[:middle] if 0 < pair[1] <= 1],
        [pair for pair in pairs[middle:] if -1 <= pair[1] < 0],
    )


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    measured = scene.measured
    assert isinstance(measured, Correlation), "this page's gauge has measured"
    matrix_CC = measured.matrix_CC
    if matrix_CC is None:
        return
    rect = lay_pairs(layout).matrix
    draw_tiles(
        surface.words_HW,
        matrix_CC[None],
        single_tile(rect),
        range_low=matrix_CC.new_full((), -1.0),
        range_high=torch.ones_like(matrix_CC[0, 0]),
        palette=scene.view.palette,
        ground=lut.ground_of(scene.view.theme),
    )
    if scene.stale_since_ns:
        surface.fade(rect)


def _hit(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    if layout.layer is None:
        return None
    plan, layer = lay_pairs(layout), layout.layer.name
    pair = plan.pair_at(x, y)
    if pair is not None:
        return Target(kind="pair", pane="details", layer=layer, unit=pair[0], other_unit=pair[1])
    for rects, units in zip(plan.lists, listed_units(readout), strict=True):
        for rect, (unit, _) in zip(rects, units, strict=False):
            if rect.contains(x, y):
                return Target(kind="unit", pane="details", layer=layer, unit=unit)
    return None


PAGE = Page(title=unit_title, write=_write, paint=_paint, make_gauge=CorrelationGauge, hit=_hit)

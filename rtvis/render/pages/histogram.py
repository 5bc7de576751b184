"""How a layer's activations and weights are distributed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from rtvis.render import wording
from rtvis.render.chrome import Brush
from rtvis.render.grid import Rect
from rtvis.render.histogram import (
    NUM_COARSE,
    NUM_FINE,
    Distribution,
    HistogramGauge,
    WeightHistogram,
    coarse,
)
from rtvis.render.layout import Layout
from rtvis.render.pages.page import Page, unit_title
from rtvis.render.region import Region
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.render.text import Run
from rtvis.theme import Ink

_FACTS: Final = 3
"""Rows of facts below the activations."""
_LEAST_PLOT: Final = 28
"""Pixels of height below which a plot says nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the plots lie; the row above each is its caption, the one below its axis."""

    activations: Rect
    weights: Rect | None
    """None where there is no room for it."""


def plan_of(layout: Layout) -> Plan:
    """Three fifths of the room for the activations, the rest for the weights."""
    area, metrics = layout.contents["details"], layout.metrics
    row = metrics.row
    room = area.height - (2 + _FACTS) * row - 3 * row - metrics.gap
    top, left, width = area.top + row, area.left, area.width
    if room * 2 // 5 < _LEAST_PLOT * metrics.scale:
        height = max(area.height - (2 + _FACTS) * row, 1)
        return Plan(Rect(top, left, height, width), None)
    above = Rect(top, left, room * 3 // 5, width)
    below = above.bottom + (2 + _FACTS) * row + metrics.gap
    return Plan(above, Rect(below, left, room - above.height, width))


def _write(region: Region) -> None:
    layout, metrics = region.layout, region.layout.metrics
    measured = region.scene.measured
    plan = plan_of(layout)
    shown = plan.activations
    # What is drawn on the device leaves the panel behind.
    region.chrome.slot("histogram plot", shown, measured is None, lambda _: None)
    row = metrics.row
    caption: tuple[Run, ...] = ()
    ends = ("", "")
    rows: tuple[tuple[str, str, bool], ...] = ()
    if isinstance(measured, Distribution):
        result = region.scene.result
        of_gradients = result is not None and result.grads_BCHW is not None
        caption = (wording.dim("gradients" if of_gradients else "activations"),)
        numbers = region.readout.page_numbers
        if region.readout.page == "histogram" and numbers:
            ends = wording.number(numbers[0]), wording.number(numbers[1])
            rows = _activation_facts(layout, measured, numbers, is_gradient=of_gradients)
    _line(
        region,
        "caption",
        shown.top - row,
        caption,
        (wording.dim(f"{NUM_COARSE} and {NUM_FINE} bins" if caption else ""),),
    )
    _axis(region, "axis", shown, ends)
    for index in range(_FACTS):
        label, value, warns = rows[index] if index < len(rows) else ("", "", False)
        words = (Run(value, Ink.WARNING if warns else Ink.TEXT),)
        top = shown.bottom + (1 + index) * row
        _line(region, f"fact {index}", top, (wording.dim(label),), words)
    if plan.weights is not None:
        weights = measured.weights if isinstance(measured, Distribution) else None
        _write_weights(region, plan.weights, weights)


def _activation_facts(
    layout: Layout, measured: Distribution, numbers: tuple[float, ...], *, is_gradient: bool
) -> tuple[tuple[str, str, bool], ...]:
    """(label, value, whether it is a warning) of each row."""
    dead = "units ≤ 0" if is_gradient else "dead units"
    _, _, num_zeros, num_dead, num_nan, num_infinite = numbers
    num_units = layout.layer.num_units if layout.layer is not None else 0
    rows = [
        ("exact zeros", _share(num_zeros, measured.num_values), False),
        (dead, f"{num_dead:,.0f} of {num_units:,}", False),
    ]
    if num_nan or num_infinite:
        rows.append(("NaN, infinite", f"{num_nan:,.0f}, {num_infinite:,.0f}", True))
    else:
        rows.append(("values", f"{measured.num_values:,}", False))
    return tuple(rows)


def _write_weights(region: Region, rect: Rect, weights: WeightHistogram | None) -> None:
    row = region.layout.metrics.row
    caption = "weights" if weights is not None else "no weights"
    if region.scene.measured is None:
        caption = ""
    bins = f"{NUM_COARSE} bins" if weights is not None else ""
    if weights is not None and weights.num_not_finite:
        words = (Run(f"{weights.num_not_finite:,} not finite", Ink.WARNING),)
    else:
        words = (wording.dim(bins),)
    _line(region, "weights caption", rect.top - row, (wording.dim(caption),), words)
    log = region.scene.view.log_counts

    def draw(brush: Brush) -> None:
        if weights is None:
            return
        counts_N = torch.tensor(weights.counts, dtype=torch.float32)
        words_HW = plot(
            counts_N,
            counts_N.amax(),
            (rect.height, rect.width),
            log_of=1.0 if log else None,
            inks=brush.inks,
        )
        brush.words_HW[rect.rows, rect.columns] = words_HW.numpy()

    region.chrome.slot("histogram weights", rect, (weights, log), draw)
    ends = ("", "")
    facts = ""
    if weights is not None:
        ends = wording.number(weights.low), wording.number(weights.high)
        facts = f"{weights.num_weights:,}"
        if weights.step > 1:
            facts += f", every {weights.step}th"
        spread = f"{wording.number(weights.mean)} ± {wording.number(weights.deviation)}"
        _line(
            region, "weights facts", rect.bottom + row, (wording.dim(facts),),
            (wording.bright(spread),),
        )  # fmt: skip
    else:
        _line(region, "weights facts", rect.bottom + row, (), ())
    _axis(region, "weights axis", rect, ends)


def _axis(region: Region, name: str, rect: Rect, ends: tuple[str, str]) -> None:
    left, right = (wording.dim(end) for end in ends)
    _line(region, name, rect.bottom, (left,), (right,))


def _line(
    region: Region, name: str, top: int, left: tuple[Run, ...], right: tuple[Run, ...]
) -> None:
    """A row with words at both ends; each has half of it."""
    area, metrics = region.layout.contents["details"], region.layout.metrics
    half = area.width * 2 // 5
    rect = Rect(top, area.left, metrics.row, half)
    region.chrome.text(f"histogram {name} left", rect, left, metrics.text)
    rect = Rect(top, area.left + half, metrics.row, area.width - half)
    region.chrome.text(f"histogram {name} right", rect, right, metrics.text, align=1.0)


def _share(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    measured = scene.measured
    assert isinstance(measured, Distribution), "this page's gauge has measured"
    plan = plan_of(layout)
    rect = plan.activations
    words_HW = plot(
        measured.layer_N / measured.num_values,
        measured.peak,
        (rect.height, rect.width),
        behind_N=coarse(measured.layer_N) * (NUM_COARSE / NUM_FINE / measured.num_values),
        line_N=measured.unit_N / measured.num_unit_values,
        log_of=float(measured.num_values) if scene.view.log_counts else None,
        thickness=layout.metrics.line,
        inks=surface.inks,
    )
    surface.words_HW[rect.rows, rect.columns] = words_HW
    if scene.stale_since_ns:
        surface.fade(rect)


def plot(
    bars_N: Tensor,
    peak: Tensor,
    size: tuple[int, int],
    *,
    behind_N: Tensor | None = None,
    line_N: Tensor | None = None,
    log_of: float | None = None,
    thickness: int = 2,
    inks: Mapping[Ink, int],
) -> Tensor:
    """Bars, darker ones behind them, and a stepped line over them.

    Args:
        bars_N: Heights, not negative.
        peak: The height that fills the plot, a scalar; what is higher is cut off.
        size: (height, width) of the plot.
        behind_N: Heights of wider or narrower bars behind.
        line_N: Heights of a line, any number of steps.
        log_of: Draws log(1 + h n) in place of each height h, with n this number; for shares, the
            number of things counted.
        thickness: Of the line.
        inks: Colours of the theme.

    Returns:
        int32 [H, W]: packed pixels, on the device of the heights.
    """
    height, width = size
    device = bars_N.device
    rows_H1 = _from_below(height, device)

    def pixels(heights_N: Tensor, *, gaps: bool) -> Tensor:
        top = peak
        if log_of is not None:
            heights_N, top = (heights_N * log_of).log1p(), (peak * log_of).log1p()
        share_N = heights_N / top.clamp(min=1e-12)
        # Rounded up: the smallest count can be told from none.
        bin_W, first_W = _columns(heights_N.numel(), width, device)
        pixels_W = (share_N * height).ceil().clamp(0, height).index_select(0, bin_W)
        return torch.where(first_W, 0.0, pixels_W) if gaps else pixels_W

    words_HW = torch.where(rows_H1 < pixels(bars_N, gaps=True), inks[Ink.FAINT], inks[Ink.PANEL])
    if behind_N is not None:
        behind_HW = (rows_H1 < pixels(behind_N, gaps=False)) & (words_HW == inks[Ink.PANEL])
        words_HW = torch.where(behind_HW, inks[Ink.BEHIND], words_HW)
    if line_N is not None:
        line_W = pixels(line_N, gaps=False)
        before_W = torch.cat([line_W[:1], line_W[:-1]])
        upper_W = torch.maximum(line_W, before_W)
        lower_W = torch.minimum(line_W, before_W) - thickness
        on_line = (rows_H1 < upper_W) & (rows_H1 >= lower_W) & (upper_W > 0)
        words_HW = torch.where(on_line, inks[Ink.SELECTED], words_HW)
    return words_HW.to(torch.int32)


@lru_cache(maxsize=16)
def _columns(num_bins: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """int64 [W]: the bar under each column; and whether it is the gap before a bar."""
    # Made on the device: a copy to it would wait.
    bin_W = torch.arange(width, device=device) * num_bins // width
    first_W = torch.zeros(width, dtype=torch.bool, device=device)
    if width >= 3 * num_bins:
        first_W[1:] = bin_W[1:] != bin_W[:-1]
    return bin_W, first_W


@lru_cache(maxsize=16)
def _from_below(height: int, device: torch.device) -> Tensor:
    """float32 [H, 1]: rows counted from the lowest one."""
    return torch.arange(height - 1, -1, -1, dtype=torch.float32, device=device)[:, None]


PAGE = Page(title=unit_title, write=_write, paint=_paint, make_gauge=HistogramGauge)

"""Where the page of what a unit has learned has its pictures. Numbers only."""

from dataclasses import dataclass
from typing import Final

from rtvis.render.grid import Grid, Rect, fit_grid
from rtvis.render.metrics import Metrics

NUM_TOPS: Final = 9
"""Of a unit's best inputs, as many as there is room for (DVT-81)."""

NUM_JOBS: Final = 2
"""Rows for long work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedPlan:
    """The page from top to bottom. Everything keeps its place whatever is known of the unit."""

    optimized: Rect
    """Square, in which a picture of other proportions is fitted."""
    caption: Rect
    progress: Rect
    """A thin bar."""
    buttons: Rect
    """The row that buttons for the unit may stand in."""
    headings: tuple[Rect, Rect]
    """Above each of the two grids."""
    grids: tuple[Grid, Grid] | None
    """Of the best inputs, and of their backward pictures; None where there is no room."""
    jobs: tuple[Rect, ...]
    """Rows for long work."""
    job_buttons: Rect
    """The row of the buttons that begin and end it."""

    def top_at(self, x: int, y: int) -> int | None:
        """Which of the best inputs, or of their backward pictures, holds the pixel."""
        found = [grid.at(x, y) for grid in self.grids or ()]
        return next((place for place in found if place is not None), None)


def lay_learned(area: Rect, metrics: Metrics) -> LearnedPlan:
    """Divide the content of the details pane."""
    row, pad, gap = metrics.row, metrics.pad, metrics.gap
    bar = round(4 * metrics.scale)
    job_buttons = Rect(area.bottom - row, area.left, row, area.width)
    first_job = job_buttons.top - gap // 2 - NUM_JOBS * row
    jobs = tuple(
        Rect(first_job + index * row, area.left, row, area.width) for index in range(NUM_JOBS)
    )
    # Caption, its bar, buttons and two headings; what is left goes to the pictures.
    fixed = 2 * row + bar + 2 * gap + 2 * row
    spare = max(first_job - gap - area.top - fixed, 0)
    side = min(area.width, max(spare * 11 // 20, min(spare, round(96 * metrics.scale))))
    optimized = Rect(area.top, area.left + (area.width - side) // 2, side, side)
    caption = Rect(optimized.bottom, area.left, row, area.width)
    progress = Rect(caption.bottom, area.left, bar, area.width)
    buttons = Rect(progress.bottom + gap // 2, area.left, row, area.width)
    height = (first_job - gap - buttons.bottom - gap - 2 * row) // 2
    first = Rect(buttons.bottom + gap, area.left, row, area.width)
    second = Rect(first.bottom + max(height, 0), area.left, row, area.width)
    grids = None
    if height >= 20 * metrics.scale:
        grids = (
            _grid(Rect(first.bottom, area.left, height - pad // 2, area.width), metrics),
            _grid(Rect(second.bottom, area.left, height - pad // 2, area.width), metrics),
        )
    return LearnedPlan(
        optimized=optimized,
        caption=caption,
        progress=progress,
        buttons=buttons,
        headings=(first, second),
        grids=grids,
        jobs=jobs,
        job_buttons=job_buttons,
    )


def _grid(area: Rect, metrics: Metrics) -> Grid:
    return fit_grid(NUM_TOPS, (1, 1), area, min_tile=8, gap=metrics.line)

"""Where the page of what a unit has learned has its pictures. Numbers only."""

from dataclasses import dataclass
from typing import Final

from rtvis.render.grid import Grid, Rect, fit_grid
from rtvis.render.metrics import Metrics

NUM_TOPS: Final = 9
"""Of a unit's best inputs, as many as there is room for (DVT-81)."""


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
    """Above each of the two grids, which stand side by side."""
    grids: tuple[Grid, Grid] | None
    """Of the best inputs, and of their backward pictures; None where there is no room."""
    job: Rect
    """The row that tells of long work."""
    job_buttons: Rect
    """The row of the buttons that begin and end it."""

    def top_at(self, x: int, y: int) -> int | None:
        """Which of the best inputs, or of their backward pictures, holds the pixel."""
        found = [grid.at(x, y) for grid in self.grids or ()]
        return next((place for place in found if place is not None), None)


def lay_learned(area: Rect, metrics: Metrics) -> LearnedPlan:
    """Divide the content of the details pane."""
    row, gap = metrics.row, metrics.gap
    bar = round(4 * metrics.scale)
    job_buttons = Rect(area.bottom - row, area.left, row, area.width)
    job = Rect(job_buttons.top - row, area.left, row, area.width)
    half = (area.width - gap) // 2
    # Below the picture: caption, its bar, buttons, a heading, and the squares of the two grids.
    below = row + bar + gap // 2 + row
    with_grids = below + gap + row + half
    spare = job.top - gap // 2 - area.top
    least = round(72 * metrics.scale)
    has_grids = spare - with_grids >= least
    side = max(min(area.width, spare - (with_grids if has_grids else below)), 1)
    optimized = Rect(area.top, area.left + (area.width - side) // 2, side, side)
    caption = Rect(optimized.bottom, area.left, row, area.width)
    progress = Rect(caption.bottom, area.left, bar, area.width)
    buttons = Rect(progress.bottom + gap // 2, area.left, row, area.width)
    lefts = (area.left, area.left + half + gap)
    tops = [Rect(buttons.bottom + gap + row, left, half, half) for left in lefts]
    headings = [Rect(top.top - row, top.left, row, half) for top in tops]
    grids = [fit_grid(NUM_TOPS, (1, 1), top, min_tile=8, gap=metrics.line) for top in tops]
    return LearnedPlan(
        optimized=optimized,
        caption=caption,
        progress=progress,
        buttons=buttons,
        headings=(headings[0], headings[1]),
        grids=(grids[0], grids[1]) if has_grids else None,
        job=job,
        job_buttons=job_buttons,
    )

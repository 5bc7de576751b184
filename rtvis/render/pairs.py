"""Where the correlation page puts its matrix and its lists. Numbers only."""

from dataclasses import dataclass

from rtvis.render.correlation import NUM_LISTED, shown_units
from rtvis.render.grid import Rect
from rtvis.render.plan import Layout

_FEWEST_ROWS = 4
"""Of the lists, for which the matrix makes room."""


@dataclass(frozen=True, slots=True)
class PairPlan:
    """Rectangles of the page."""

    matrix: Rect
    units: range
    """Of its rows and columns."""
    caption: Rect
    facts: Rect
    headings: tuple[Rect, Rect]
    lists: tuple[tuple[Rect, ...], tuple[Rect, ...]]
    """Rows of the most correlated units, and of the most anticorrelated ones."""

    def pair_at(self, x: int, y: int) -> tuple[int, int] | None:
        """The units whose correlation is drawn at a pixel: its row's and its column's."""
        if not self.matrix.contains(x, y):
            return None
        num, side = len(self.units), self.matrix.height
        row, column = (y - self.matrix.top) * num // side, (x - self.matrix.left) * num // side
        return self.units[row], self.units[column]

    def cell(self, unit: int, other_unit: int) -> Rect | None:
        """The pixels of a pair, at least one; None for units that are not shown."""
        if unit not in self.units or other_unit not in self.units:
            return None
        top, height = self._span(unit - self.units.start)
        left, width = self._span(other_unit - self.units.start)
        return Rect(self.matrix.top + top, self.matrix.left + left, height, width)

    def _span(self, place: int) -> tuple[int, int]:
        num, side = len(self.units), self.matrix.height
        first, last = -(-place * side // num), -(-(place + 1) * side // num)
        first = min(first, side - 1)
        return first, max(last - first, 1)


def lay_pairs(layout: Layout) -> PairPlan:
    """Lay out the page; there must be a details pane."""
    area, metrics = layout.contents["details"], layout.metrics
    row, tick = metrics.row, 2 * metrics.line
    side = area.height - tick - (3 + _FEWEST_ROWS) * row
    side = max(min(side, area.width - tick), area.height // 4)
    caption = Rect(area.top, area.left, row, area.width)
    matrix = Rect(caption.bottom + tick, area.left + tick, side, side)
    facts = Rect(matrix.bottom, area.left, row, area.width)
    num_rows = min(max((area.bottom - facts.bottom) // row - 1, 0), NUM_LISTED)
    width = (area.width - metrics.pad * 2) // 2

    def column(left: int) -> tuple[Rect, ...]:
        rows = range(num_rows + 1) if num_rows else range(0)
        return tuple(Rect(facts.bottom + i * row, left, row, width) for i in rows)

    left, right = column(area.left), column(area.right - width)
    nowhere = Rect(area.bottom, area.left, 0, 0)
    num_units = layout.layer.num_units if layout.layer is not None else 1
    return PairPlan(
        matrix=matrix,
        units=shown_units(num_units, layout.unit),
        caption=caption,
        facts=facts,
        headings=(left[0], right[0]) if num_rows else (nowhere, nowhere),
        lists=(left[1:], right[1:]),
    )

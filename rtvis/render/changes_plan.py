"""Where the page of changes has its rows. Numbers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from rtvis.data import Intervention
from rtvis.render.grid import Rect
from rtvis.render.metrics import Metrics
from rtvis.render.moved import NUM_MOVERS

_LIST_ROWS: Final = 5
"""Of the list of changes at least, where the pane has room for them and for three classes."""


class ChangeRow(NamedTuple):
    """One line of the list; a click on it takes the change back."""

    rect: Rect
    layer: str
    unit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangesPlan:
    """The page from top to bottom: buttons, the list, a heading, classes before and after.

    What follows the list stays in place however long the list is.
    """

    buttons: Rect
    """The row that buttons may stand in."""
    rows: tuple[ChangeRow, ...]
    """The newest changes, in order."""
    more: Rect
    """Says how many older ones there are; empty where all are in sight."""
    num_more: int
    heading: Rect
    movers: tuple[Rect, ...]

    def at(self, x: int, y: int) -> ChangeRow | None:
        """The line that holds the pixel."""
        return next((row for row in self.rows if row.rect.contains(x, y)), None)


def lay_changes(area: Rect, changes: Sequence[Intervention], metrics: Metrics) -> ChangesPlan:
    """Divide the content of the details pane.

    Args:
        area: All that there is.
        changes: In the order in which they were made.
        metrics: Sizes at the canvas's scale.
    """
    row, pad = metrics.row, metrics.pad
    pitch = round(1.75 * row)  # as in the list of top classes
    buttons = Rect(area.top, area.left, row, area.width)
    top = buttons.bottom + pad
    spare = area.bottom - top - row - pad  # without heading
    num_movers = min(max((spare - _LIST_ROWS * row) // pitch, 3), NUM_MOVERS, spare // pitch)
    list_rows = max((spare - num_movers * pitch) // row, 0)
    heading = Rect(top + list_rows * row + pad, area.left, row, area.width)

    def line(index: int) -> Rect:
        return Rect(top + index * row, area.left, row, area.width)

    num_more = 0 if len(changes) <= list_rows else len(changes) - max(list_rows - 1, 0)
    first = 1 if num_more else 0
    return ChangesPlan(
        buttons=buttons,
        rows=tuple(
            ChangeRow(line(first + index), change.layer, change.unit)
            for index, change in enumerate(changes[num_more:] if list_rows else ())
        ),
        more=line(0) if num_more and list_rows else Rect(top, area.left, 0, 0),
        num_more=num_more,
        heading=heading,
        movers=tuple(
            Rect(heading.bottom + index * pitch, area.left, pitch, area.width)
            for index in range(num_movers)
        ),
    )

"""Where the page of moments has its pictures. Numbers only."""

from dataclasses import dataclass
from typing import Final

from rtvis.render.grid import Grid, Rect
from rtvis.render.metrics import Metrics

NUM_MOMENTS: Final = 9
_ACROSS: Final = 3
_NUM_FACTS: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class MomentsPlan:
    """The page from top to bottom."""

    grid: Grid | None
    """Three by three, best first; None where there is no room."""
    num_lines: int
    """Of words under each picture: its value, and where there is room its time."""
    facts: tuple[Rect, ...]
    """Rows below."""

    def caption(self, place: int, line: int, metrics: Metrics) -> Rect | None:
        """A line of words under a picture and its outline."""
        tile = self.grid.tile(place) if self.grid is not None else None
        if tile is None:
            return None
        row = metrics.row
        return Rect(tile.bottom + metrics.line + line * row, tile.left, row, tile.width)


def lay_moments(area: Rect, metrics: Metrics) -> MomentsPlan:
    """Divide the content of the details pane."""
    row, gap = metrics.row, metrics.gap // 2
    # An outline goes around each picture.
    area = Rect(area.top + metrics.line, area.left, area.height - metrics.line, area.width)
    top = area.bottom - _NUM_FACTS * row
    facts = tuple(Rect(top + i * row, area.left, row, area.width) for i in range(_NUM_FACTS))
    width = (area.width - (_ACROSS - 1) * gap) // _ACROSS
    pitch = (top - area.top) // _ACROSS
    for num_lines in (2, 1):
        side = min(width, pitch - num_lines * row - metrics.line - gap)
        if side >= (40 if num_lines == 2 else 24) * metrics.scale:
            break
    else:
        return MomentsPlan(grid=None, num_lines=0, facts=facts)
    grid = Grid(
        area=Rect(area.top, area.left, top - area.top, area.width),
        num=NUM_MOMENTS,
        num_cols=_ACROSS,
        num_rows=_ACROSS,
        rows_in_sight=_ACROSS,
        first_row=0,
        tile_height=side,
        tile_width=width,
        pitch_y=min(pitch, side + num_lines * row + metrics.line + gap),
        pitch_x=width + gap,
        caption_height=num_lines * row + metrics.line,
    )
    return MomentsPlan(grid=grid, num_lines=num_lines, facts=facts)

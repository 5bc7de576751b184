"""How large text, rows and gaps are on a canvas."""

from dataclasses import dataclass
from typing import Final

from rtvis.render.text import Font, measure
from rtvis.theme import Theme


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Sizes in pixels at the canvas's scale."""

    scale: float
    text: Font
    between: int
    """Between panes."""
    gap: int
    """Between other things."""
    title: int
    """Height of a pane's title row."""
    row: int
    """Height of a row of a list."""
    pad: int
    line: int
    """Thickness of outlines."""
    corner: int
    """Radius of the corners of buttons."""
    tile_gap: int
    """Between the maps of a grid."""
    scale_width: int
    """Of a colour scale with its numbers, beside an enlarged map."""


ROOM: Final = (720, 1020)
"""(height, width) at scale 1 for which the layout is made; a larger one that a user asks for ends
where less would be left."""


def canvas_scale(size: tuple[int, int], asked: float | None = None) -> float:
    """How large text and gaps are on a canvas of (height, width): what was asked for, as far as
    there is room (DVT-97); else 1, 1.5 or 2."""
    height, width = size
    if asked is not None:
        return min(asked, max(height / ROOM[0], 1.0), max(width / ROOM[1], 1.0))
    if height >= 1900 and width >= 3200:
        return 2.0
    if height >= 1300 and width >= 2240:
        return 1.5
    return 1.0


def metrics_for(
    size: tuple[int, int],
    asked: float | None = None,
    theme: Theme = Theme(),  # noqa: B008 - frozen
) -> Metrics:
    """Sizes for a canvas of (height, width): text of 13 pixels, of 15 from 1080 rows on, or what
    the theme asks for as far as there is room, times the scale (`canvas_scale`)."""
    scale = canvas_scale(size, asked)
    height, width = size
    room = min(height / scale - 700, (width / scale - 1000) * 0.5) / 300
    text = 13.0 + 2.0 * min(max(room, 0.0), 1.0)
    if theme.text_size is not None:
        text = min(theme.text_size, text * max(min(height / ROOM[0], width / ROOM[1]) / scale, 1.0))

    def px(number: float) -> int:
        return round(number * scale)

    font = Font(px(text), theme.font)
    return Metrics(
        scale=scale,
        text=font,
        between=px(theme.gap),
        gap=px(8),
        title=px(text + 15),
        row=px(text + 11),
        pad=px(theme.pad),
        line=max(px(theme.line), 1),
        corner=px(theme.corner),
        tile_gap=px(theme.tile_gap),
        scale_width=measure("−0.000", font) + px(8 + 14),
    )

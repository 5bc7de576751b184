"""How large text, rows and gaps are on a canvas."""

from dataclasses import dataclass

from rtvis.render.text import measure


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Sizes in pixels at the canvas's scale."""

    scale: float
    text: int
    """Height of the font."""
    gap: int
    title: int
    """Height of a pane's title row."""
    row: int
    """Height of a row of a list."""
    pad: int
    line: int
    """Thickness of outlines."""
    tile_gap: int
    """Between the maps of a grid."""
    scale_width: int
    """Of a colour scale with its numbers, beside an enlarged map."""


def canvas_scale(size: tuple[int, int]) -> float:
    """1, 1.5 or 2: how large text and gaps are on a canvas of (height, width)."""
    height, width = size
    if height >= 1900 and width >= 3200:
        return 2.0
    if height >= 1300 and width >= 2240:
        return 1.5
    return 1.0


def metrics_for(size: tuple[int, int]) -> Metrics:
    """Sizes for a canvas of (height, width): text of 13 pixels, of 15 from 1080 rows on."""
    scale = canvas_scale(size)
    height, width = size
    room = min(height / scale - 700, (width / scale - 1000) * 0.5) / 300
    text = 13.0 + 2.0 * min(max(room, 0.0), 1.0)

    def px(number: float) -> int:
        return round(number * scale)

    return Metrics(
        scale=scale,
        text=px(text),
        gap=px(8),
        title=px(text + 15),
        row=px(text + 11),
        pad=px(8),
        line=px(2),
        tile_gap=px(3),
        scale_width=measure("−0.000", px(text)) + px(8 + 14),
    )

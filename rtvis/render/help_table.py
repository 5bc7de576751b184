"""Where the lines of the help overlay lie: it lists every key, and each line can be clicked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rtvis.data import Target
from rtvis.render.grid import Rect
from rtvis.render.metrics import Metrics
from rtvis.render.scene import Binding
from rtvis.render.text import Font, measure

_COLUMNS = 3
_PANE = "help:"


def help_target(index: int) -> Target:
    """A line of the table, under the pointer."""
    return Target(kind="pane", pane=f"{_PANE}{index}")


def help_line(target: Target) -> int | None:
    """The inverse of `help_target`; None for other targets."""
    return int(target.pane.removeprefix(_PANE)) if target.pane.startswith(_PANE) else None


@dataclass(frozen=True, slots=True)
class HelpTable:
    """Rectangles on the canvas."""

    panel: Rect
    title: Rect
    groups: tuple[tuple[str, Rect], ...]
    """Names of groups."""
    rows: tuple[Rect, ...]
    """One for each binding, in their order."""
    key_widths: tuple[int, ...]
    """Of each row, how much is for the keys."""

    def at(self, x: int, y: int) -> int | None:
        """Index of the binding under a pixel."""
        return next((i for i, row in enumerate(self.rows) if row.contains(x, y)), None)


def lay_help(bindings: Sequence[Binding], metrics: Metrics, canvas: tuple[int, int]) -> HelpTable:
    """The table in the middle of a canvas of (height, width), in three columns."""
    size = (canvas[0] - 4 * metrics.gap, canvas[1] - 4 * metrics.gap)
    groups = [(name, list(rows)) for name, rows in groupby(bindings, lambda b: b.group)]
    columns = balance(groups, _COLUMNS)
    pad = 3 * metrics.pad
    rows_of = [[row for _, rows in column for row in rows] for column in columns]
    # Each column has its own: one long key would cut the texts of all three in a small window.
    key_widths = [pad + _widest((row.keys for row in rows), metrics.text) for rows in rows_of]
    text_widths = [pad + _widest((row.text for row in rows), metrics.text) for rows in rows_of]
    widest = max((k + t for k, t in zip(key_widths, text_widths, strict=True)), default=0)
    column_width = min(widest, (size[1] - 2 * pad) // _COLUMNS)
    lines = max((sum(len(rows) + 2 for _, rows in column) - 1 for column in columns), default=0)
    # Closer together, rather than the last lines below the edge, as at 1000x700.
    fitting = (size[0] - 2 * pad) // (lines + 2)
    pitch = min(metrics.row, max(fitting, metrics.text.size + 3))
    height = min((lines + 2) * pitch + 2 * pad, size[0])
    width = min(_COLUMNS * column_width + pad, size[1])
    panel = Rect((canvas[0] - height) // 2, (canvas[1] - width) // 2, height, width)
    names: list[tuple[str, Rect]] = []
    places: list[Rect] = []
    for index, column in enumerate(columns):
        left = panel.left + pad + index * column_width
        top = panel.top + pad + pitch + pitch // 2
        for name, rows in column:
            names.append((name, Rect(top, left, pitch, column_width - pad)))
            for _ in rows:
                top += pitch
                places.append(Rect(top, left, pitch, column_width - pad))
            top += 2 * pitch
    title = Rect(panel.top + pad // 2, panel.left + pad, pitch, width - 2 * pad)
    widths = (width for width, rows in zip(key_widths, rows_of, strict=True) for _ in rows)
    return HelpTable(panel, title, tuple(names), tuple(places), tuple(widths))


def _widest(texts: Iterable[str], font: Font) -> int:
    return max((measure(text, font) for text in texts), default=0)


def balance(
    groups: Sequence[tuple[str, list[Binding]]], num: int
) -> list[list[tuple[str, list[Binding]]]]:
    """Groups in order, in `num` columns whose longest is as short as it can be."""
    heights = [len(rows) + 2 for _, rows in groups]
    limit = max(heights, default=1)
    while True:
        columns: list[list[tuple[str, list[Binding]]]] = [[]]
        used = 0
        for group, height in zip(groups, heights, strict=True):
            if columns[-1] and used + height > limit:
                columns.append([])
                used = 0
            columns[-1].append(group)
            used += height
        if len(columns) <= num:
            return columns
        limit += 1

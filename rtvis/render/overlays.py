"""What floats above the panes: name and value under the pointer, hints, notices, the help."""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from rtvis.render.chrome import Brush
from rtvis.render.grid import Grid, Rect
from rtvis.render.help_table import HelpTable
from rtvis.render.layout import Metrics
from rtvis.render.scene import Binding
from rtvis.render.text import SEMIBOLD, Run, line_width, measure
from rtvis.theme import Ink

HINT = "click a map to ask what in the picture excites that unit"


class Overlays:
    """Small opaque pictures on the device, made anew only when what they say changes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._made: dict[str, tuple[Hashable, Tensor]] = {}
        self._inks: Mapping[Ink, int] = {}

    def begin(self, inks: Mapping[Ink, int]) -> None:
        """Draw in these colours from now on."""
        if inks is not self._inks:
            self._inks, self._made = inks, {}

    def chip(self, name: str, runs: Sequence[Run], metrics: Metrics, *, max_width: int) -> Tensor:
        """A flat label with a hairline around it: packed pixels [H, W]."""
        runs = tuple(runs)
        pad = metrics.pad
        width = min(line_width(runs, metrics.text) + 2 * pad, max_width)
        size = (metrics.row + pad // 2, width)

        def draw(brush: Brush) -> None:
            whole = Rect(0, 0, *size)
            brush.fill(whole, Ink.RAISED)
            brush.outline(whole, Ink.LIT, max(metrics.line // 2, 1))
            inner = Rect(0, pad, size[0], size[1] - 2 * pad)
            brush.line(inner, runs, metrics.text)

        return self._picture(name, (runs, size), size, draw)

    def table(self, name: str, rows: Sequence[tuple[str, ...]], metrics: Metrics) -> Tensor:
        """Labels with figures behind them, under a row of heads: packed pixels [H, W]."""
        rows, pad = tuple(rows), metrics.pad
        widths = [
            max(measure(cell, metrics.text) for cell in cells) for cells in zip(*rows, strict=True)
        ]
        rooms = [max(width, round(44 * metrics.scale)) + 2 * pad for width in widths]
        size = (len(rows) * metrics.row + pad, sum(rooms))

        def draw(brush: Brush) -> None:
            whole = Rect(0, 0, *size)
            brush.fill(whole, Ink.RAISED)
            brush.outline(whole, Ink.LIT, max(metrics.line // 2, 1))
            for index, cells in enumerate(rows):
                left = pad
                for column, (cell, room) in enumerate(zip(cells, rooms, strict=True)):
                    where = Rect(pad // 2 + index * metrics.row, left, metrics.row, room - 2 * pad)
                    colour = Ink.TEXT if index and column else Ink.DIM
                    brush.line(
                        where, (Run(cell, colour),), metrics.text, align=1.0 if column else 0.0
                    )
                    left += room

        return self._picture(name, (rows, metrics), size, draw)

    def captions(self, name: str, names: tuple[str, ...], metrics: Metrics, grid: Grid) -> Tensor:
        """The names below one row of cells: packed pixels [caption height, row width]."""
        size = (grid.caption_height, len(names) * grid.pitch_x - (grid.pitch_x - grid.tile_width))

        def draw(brush: Brush) -> None:
            for col, text in enumerate(names):
                cell = Rect(0, col * grid.pitch_x, grid.caption_height, grid.tile_width)
                brush.line(cell, (Run(text, Ink.DIM),), metrics.text, align=0.5)

        return self._picture(name, (names, size, metrics), size, draw)

    def help(
        self,
        bindings: tuple[Binding, ...],
        table: HelpTable,
        metrics: Metrics,
        *,
        lit: int | None = None,
    ) -> Tensor:
        """The table of keys, with the line under the pointer lit: packed pixels [H, W]."""
        panel = table.panel

        def own(rect: Rect) -> Rect:
            return Rect(rect.top - panel.top, rect.left - panel.left, rect.height, rect.width)

        def draw(brush: Brush) -> None:
            whole = own(panel)
            brush.fill(whole, Ink.PANEL)
            brush.outline(whole, Ink.HAIRLINE, max(metrics.line // 2, 1))
            title = own(table.title)
            brush.line(title, (Run("keys", Ink.TEXT, SEMIBOLD),), metrics.text)
            closing = (Run("a click on a line does what its key does", Ink.DIM),)
            brush.line(title, closing, metrics.text, align=1.0)
            for name, rect in table.groups:
                brush.line(own(rect), (Run(name, Ink.DIM, SEMIBOLD),), metrics.text)
            for index, (binding, rect) in enumerate(zip(bindings, table.rows, strict=True)):
                row = own(rect)
                if index == lit:
                    brush.rounded(row.inset(-1), Ink.LIT, metrics.pad // 2)
                width = table.key_widths[index]
                keys = Rect(row.top, row.left, row.height, width - metrics.pad)
                brush.line(keys, (Run(binding.keys, Ink.SELECTED),), metrics.text)
                text = Rect(row.top, row.left + width, row.height, row.width - width)
                brush.line(text, (Run(binding.text, Ink.TEXT),), metrics.text)

        size = (panel.height, panel.width)
        return self._picture("help", (bindings, table, metrics, lit), size, draw)

    def _picture(
        self,
        name: str,
        content: Hashable,
        size: tuple[int, int],
        draw: Callable[[Brush], None],
    ) -> Tensor:
        made = self._made.get(name)
        if made is not None and made[0] == content:
            return made[1]
        brush = Brush(np.full(size, self._inks[Ink.PANEL], np.int32), self._inks)
        draw(brush)
        picture = torch.from_numpy(brush.words_HW)
        if self._device.type == "cuda":
            picture = picture.pin_memory().to(self._device, non_blocking=True)
        self._made[name] = (content, picture)
        return picture


def beside(anchor: Rect, size: tuple[int, int], canvas: tuple[int, int], gap: int) -> Rect:
    """Where a label of `size` goes: below its anchor, or above it where there is no room."""
    height, width = size
    top = anchor.bottom + gap
    if top + height > canvas[0]:
        top = max(anchor.top - gap - height, 0)
    left = min(max(anchor.left + (anchor.width - width) // 2, 0), max(canvas[1] - width, 0))
    return Rect(top, left, min(height, canvas[0] - top), min(width, canvas[1]))

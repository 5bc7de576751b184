"""What floats above the panes: the help, words about what is under the pointer, times, notices."""

from rtvis.render.grid import Rect
from rtvis.render.help_table import help_line, lay_help
from rtvis.render.hover_words import hover_text
from rtvis.render.layout import Layout
from rtvis.render.overlays import HINT, Overlays, beside
from rtvis.render.readout import Readout
from rtvis.render.region import target_rect
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.render.text import Run
from rtvis.render.times import HeldTimes, Table
from rtvis.theme import Ink


class Floating:
    """Places what `overlays` has drawn.

    Args:
        overlays: Draws it, and keeps it while it says the same.
    """

    def __init__(self, overlays: Overlays) -> None:
        self._overlays = overlays
        self._times = HeldTimes()

    def draw(self, surface: Surface, scene: Scene, plan: Layout, readout: Readout) -> None:
        """Draw over the panes; on the next canvas it is taken away first."""
        view, metrics = scene.view, plan.metrics
        width = plan.size[1]
        if view.help_shown:
            surface.fade_all()
            table = lay_help(scene.bindings, metrics, plan.size)
            lit = help_line(view.hover)
            table_HW = self._overlays.help(scene.bindings, table, metrics, lit=lit)
            surface.float(table.panel, table_HW)
            return
        anchor = target_rect(plan, view.hover)
        runs = hover_text(scene, readout, view.hover)
        if anchor is not None and runs:
            chip_HW = self._overlays.chip("hover", runs, metrics, max_width=width)
            size = (chip_HW.shape[0], chip_HW.shape[1])
            surface.float(beside(anchor, size, plan.size, metrics.gap // 2), chip_HW)
        if view.panes_shown:
            self._name_panes(surface, plan)
        times = self._times.of(scene)
        if times:
            self._corner(surface, plan, times)
        if view.notice:
            colour = Ink.WARNING if view.notice_is_warning else Ink.TEXT
            self._bottom_line(surface, plan, "notice", (Run(view.notice, colour),))
        elif view.hint_shown and scene.result is not None:
            self._bottom_line(surface, plan, "hint", (Run(HINT, Ink.TEXT),))

    def _name_panes(self, surface: Surface, plan: Layout) -> None:
        """Outline each pane, and say its name, place and size (DVT-47)."""
        line = max(plan.metrics.line // 2, 1)
        for name, rect in plan.panes.items():
            surface.outline(rect.inset(line), Ink.CHANGED, line)
            place = f"  {rect.height}×{rect.width} at {rect.top}, {rect.left}"
            runs = (Run(name, Ink.CHANGED), Run(place, Ink.TEXT))
            chip_HW = self._overlays.chip(f"pane {name}", runs, plan.metrics, max_width=rect.width)
            height, width = min(chip_HW.shape[0], rect.height), min(chip_HW.shape[1], rect.width)
            top = rect.top + (rect.height - height) // 2
            left = rect.left + (rect.width - width) // 2
            surface.float(Rect(top, left, height, width), chip_HW[:height, :width])

    def _corner(self, surface: Surface, plan: Layout, rows: Table) -> None:
        """A table in the lower right corner of the large pane, above the line for notices."""
        table_HW = self._overlays.table("times", rows, plan.metrics)
        pane, metrics = plan.panes["grid"], plan.metrics
        height, width = min(table_HW.shape[0], pane.height), min(table_HW.shape[1], pane.width)
        bottom = pane.bottom - 2 * metrics.gap - metrics.row - metrics.pad // 2
        top, left = max(bottom - height, pane.top), pane.right - width - metrics.gap
        surface.float(Rect(top, left, height, width), table_HW)

    def _bottom_line(
        self, surface: Surface, plan: Layout, name: str, runs: tuple[Run, ...]
    ) -> None:
        pane = plan.panes["grid"]
        chip_HW = self._overlays.chip(
            name, runs, plan.metrics, max_width=pane.width - 2 * plan.metrics.gap
        )
        height, width = chip_HW.shape
        top, left = pane.bottom - height - plan.metrics.gap, pane.left + (pane.width - width) // 2
        rect = Rect(top, left, height, width)
        grid = plan.grid
        chosen = grid.tile(plan.unit) if grid is not None and plan.unit < grid.num else None
        if chosen is not None and chosen.inset(-plan.metrics.line).overlaps(rect):
            # It would hide what is looked at; the rows above the last are far enough from there.
            above = Rect(plan.contents["grid"].top + plan.metrics.gap, left, height, width)
            rect = rect if chosen.overlaps(above) else above
        surface.float(rect, chip_HW)

"""Header, list of layers, title rows and status line."""

from collections.abc import Hashable
from typing import Final

from rtvis.data import Health, Layer, units_of
from rtvis.render import bar_words, layer_words, wording
from rtvis.render.buttons import COMPARED_NAMES, Button
from rtvis.render.chrome import Brush
from rtvis.render.grid import Rect
from rtvis.render.pages import PAGES
from rtvis.render.region import Region, corner_size
from rtvis.render.strip import Chip, short_names
from rtvis.render.text import SEMIBOLD, Run, line_width, measure
from rtvis.theme import Ink

_NARROW: Final = 85
"""Heights of the font to the width of a status line below which it is closer about its words."""
_FACT: Final = 15
"""So many more for each thing that the user has added to say."""


class Bars(Region):
    """Rows of text and buttons."""

    def panels(self) -> None:
        brush = self.chrome.brush
        for name, rect in self.layout.panes.items():
            if name not in {"header", "status"}:
                brush.fill(rect, Ink.PANEL)
        header = self.layout.panes.get("header")
        if header is not None:
            line = Rect(header.bottom - self._metric.between, 0, 1, header.width)
            brush.fill(line, Ink.HAIRLINE)

    def header(self) -> None:
        metrics, bar = self._metric, self.layout.panes.get("header")
        if bar is None:
            return
        height = bar.height - metrics.between
        first = min(b.rect.left for b in self.layout.buttons if b.pane == "header")
        rates = bar_words.rates(self.scene, metrics.text, short=True)
        state = bar_words.state(self.scene)
        recording = self.scene.view.recording
        words = [Run("● ", Ink.WARNING), wording.bright("rec   ")] if recording else []
        words += [state, wording.dim("   "), *rates]
        width = max(line_width(tuple(words), metrics.text), round(190 * metrics.scale))
        right = Rect(bar.top, first - width - 2 * metrics.gap, height, width)
        self._bar("header", Rect(bar.top, 0, height, bar.width), right, ground=Ink.BACKGROUND)
        self.chrome.text("state", right, words, metrics.text, align=1.0, ground=Ink.BACKGROUND)
        left = Rect(bar.top, metrics.gap, height, right.left - 2 * metrics.gap)
        self.chrome.text(
            "header", left, bar_words.header(self.scene), metrics.text, ground=Ink.BACKGROUND
        )
        self._buttons("header", Ink.BACKGROUND)

    def _bar(self, pane: str, bar: Rect, *content: Hashable, ground: Ink) -> None:
        """Wipes a row of text whenever something in it has moved or gone."""
        buttons = tuple(b.rect for b in self.layout.buttons if b.pane == pane)
        self.chrome.slot(
            f"bar {pane}", bar, (buttons, content), lambda _: None, ground=ground, beneath=True
        )

    def _buttons(self, pane: str, ground: Ink) -> None:
        size = self._metric.text
        for button in self.layout.buttons:
            if button.pane != pane:
                continue
            hovered = self.scene.view.hover.pane == f"button:{button.name}"
            text, colour = self._button_words(button, lit=hovered or pane == "header")
            run = Run(text, colour)

            def draw(
                brush: Brush, rect: Rect = button.rect, run: Run = run, lit: bool = hovered
            ) -> None:
                brush.rounded(rect, Ink.LIT if lit else Ink.RAISED, self._radius)
                brush.line(rect, (run,), size, align=0.5)

            content = (text, colour, hovered)
            self.chrome.slot(f"button {button.name}", button.rect, content, draw, ground=ground)

    def _button_words(self, button: Button, *, lit: bool) -> tuple[str, Ink]:
        """Text and colour."""
        view = self.scene.view
        if button.name == "backward" and self.scene.stale_since_ns:
            return self._age(), Ink.WARNING
        if button.name == "record" and view.recording:
            return button.text, Ink.WARNING
        if button.name == "rule" and view.backward_shown:
            return button.text, Ink.SOURCE
        if button.name == "freeze" and view.selection.origin is not None:
            return button.text, Ink.SOURCE
        if button.changed:
            return button.text, Ink.CHANGED
        return button.text, Ink.TEXT if lit else Ink.DIM

    def _age(self) -> str:
        """How long the network's panes have been showing the same old result."""
        return f"{wording.age(self.scene.now_ns, self.scene.stale_since_ns)} old"

    def strip(self) -> None:
        strip, view = self.layout.strip, self.scene.view
        chosen = self.layout.layer.name if self.layout.layer is not None else None
        hovered = view.hover.layer if view.hover.kind == "layer" else None
        origin = self.scene.result.selection.origin if self.scene.result is not None else None
        start = origin.layer if origin is not None else None
        cursor = view.cursor == "layers"
        changed = frozenset(units_of(change.layer) for change in view.selection.interventions)
        size = self._metric.text
        bar = self.layout.panes.get("layers")
        if bar is None:
            return

        def chip_colours(chip: Chip) -> tuple[Ink | None, Ink, int]:
            if chip.layer is None:
                return None, Ink.DIM, 400
            if chip.layer == chosen:
                return Ink.SELECTED, Ink.BACKGROUND, SEMIBOLD
            if chip.layer == start:
                return Ink.SOURCE, Ink.BACKGROUND, SEMIBOLD
            ground = Ink.RAISED if chip.layer == hovered else None
            return ground, Ink.TEXT, 400

        def draw(brush: Brush) -> None:
            for chip in strip.chips:
                rect = strip.rect(chip)
                if rect is None:
                    continue
                ground, colour, weight = chip_colours(chip)
                if ground is not None:
                    brush.rounded(rect, ground, self._radius)
                if chip.layer is not None and chip.layer == chosen and cursor:
                    brush.fill(Rect(rect.bottom, rect.left, 1, rect.width), Ink.TEXT)
                inner = Rect(rect.top, rect.left, rect.height, rect.width)
                align = 0.5 if chip.layer is not None else 0.0
                brush.line(inner, (Run(chip.text, colour, weight),), size, align=align)
                if chip.layer is not None and units_of(chip.layer) in changed:
                    brush.corner(rect, Ink.CHANGED, corner_size(rect, self._metric))
            self._scrollbar(brush, bar, strip.first_row, strip.rows_in_sight, strip.num_rows)

        content = (strip, chosen, start, hovered, cursor, changed)
        self.chrome.slot("strip", bar, content, draw)

    def titles(self) -> None:
        titles = self._titles()
        old = Run(f"  {self._age()}" if self.scene.stale_since_ns else "", Ink.WARNING)
        for pane, runs in titles.items():
            if pane not in self.layout.panes:
                continue
            bar, metrics = self.layout.panes[pane], self._metric
            self._bar(
                pane,
                Rect(bar.top, bar.left, metrics.title, bar.width),
                (self.readout.seq >= 0, self.scene.pattern is None),
                ground=Ink.PANEL,
            )
            left = bar.left + metrics.pad
            rect = Rect(bar.top, left, metrics.title, max(self._title_end(pane) - left, 0))
            shown = (*runs, old) if pane in {"unit", "grid"} else runs
            if pane == "grid" and self.layout.layer is not None:
                shown = (*shown, wording.dim("    "))
                room = rect.width - line_width(shown, metrics.text)
                shown = (*shown, wording.dim(self._grid_facts(self.layout.layer, room)))
            self.chrome.text(f"title {pane}", rect, shown, metrics.text)
            self._buttons(pane, Ink.PANEL)
        self._buttons("backprop", Ink.PANEL)

    def _titles(self) -> dict[str, tuple[Run, ...]]:
        """Pane -> its title."""
        layout, scene = self.layout, self.scene
        name = wording.bright(self._layer_name())
        titles: dict[str, tuple[Run, ...]] = {
            "input": (self._input_title(),),
            "unit": (
                wording.dim("unit "),
                Run(f"{layout.unit}", Ink.SELECTED, SEMIBOLD),
                wording.dim("   "),
                self._unit_value(),
            ),
            "grid": (name,),
            "classes": (wording.dim(bar_words.classes_title(scene)),),
        }
        if prefix := self._compared_prefix():
            titles["grid"] = (Run(prefix, Ink.TEXT, SEMIBOLD), name)
        if "details" in layout.panes:
            titles["details"] = PAGES[scene.view.page].title(self)
        return titles

    def _compared_prefix(self) -> str:
        """Which of two the grid shows, where no button beside its title says it."""
        compared = self.scene.view.compared
        if compared == "off" or self.layout.button("compared") is not None:
            return ""
        return f"{COMPARED_NAMES[compared]}   "

    def _layer_name(self) -> str:
        """The shown layer's name, short as in the list of layers where there is no room for it."""
        layer, size = self.layout.layer, self._metric.text
        if layer is None:
            return ""
        left = self.layout.panes["grid"].left + self._metric.pad
        left += measure(self._compared_prefix(), size, SEMIBOLD)
        if measure(layer.name, size) <= self._title_end("grid") - left:
            return layer.name
        return short_names(tuple(each.name for each in self.scene.layers))[layer.index]

    def _input_title(self) -> Run:
        """The best class, where no list of classes tells it; or that the picture is bare because
        nothing speaks for the class."""
        is_bare = self.scene.view.cam_shown and self.layout.pixels is None
        if is_bare and self.readout.health & Health.CAM_ZERO:
            return Run("no evidence", Ink.WARNING)
        if "classes" in self.layout.panes:
            return wording.dim("input")
        if self.layout.pixels is not None:
            return wording.dim("")  # three buttons leave no room for words
        if not self.readout.top:
            return wording.dim("input")
        index, probability = self.readout.top[0]
        name = wording.class_name(self.scene.labels, index)
        return wording.bright(f"{name} {wording.share(probability)}")

    def _title_end(self, pane: str) -> int:
        """Where a title must end: at the first button, or the scale."""
        bar, metrics = self.layout.panes[pane], self._metric
        # The page of changes has a row of buttons of its own, below the title.
        lefts = [
            b.rect.left
            for b in self.layout.buttons
            if b.pane == pane and bar.top + metrics.title > b.rect.top
        ]
        right = min([*lefts, bar.right - metrics.pad // 2]) - metrics.pad // 2
        if pane == "grid" and self._scale_shown:
            right -= self._scale_width + metrics.pad
        return right

    def _grid_facts(self, layer: Layer, room: int) -> str:
        """What the grid shows: pictures, gradients, or as much of the layer as fits in `room`."""
        font = self._metric.text
        return (
            bar_words.pattern_facts(self.scene, layer.num_units, room, font)
            or bar_words.gradients_from(self.scene, room, font)
            or layer_words.layer_facts_within(layer, room, font)
        )

    def _unit_value(self) -> Run:
        """The selected unit's value, or that it is none."""
        layer, scene = self.layout.layer, self.scene
        if layer is not None and scene.result is not None:
            change = scene.result.selection.change_of(layer.name, self.layout.unit)
            if change is not None and (change.scale, change.offset) == (0, 0):
                # Where there is no room for it, the lit button beside it says so.
                words, size = wording.change_words(change), self._metric.text
                first = min(b.rect.left for b in self.layout.buttons if b.pane == "unit")
                room = first - self.layout.panes["unit"].left - 3 * self._metric.pad // 2
                taken = measure(f"unit {self.layout.unit}   ", size, SEMIBOLD)
                return Run(words if taken + measure(words, size) <= room else "", Ink.CHANGED)
        known = self.readout.seq >= 0
        return wording.bright(wording.number(self.readout.value) if known else "")

    def status(self) -> None:
        scene, metrics, bar = self.scene, self._metric, self.layout.panes.get("status")
        if bar is None:
            return
        font = metrics.text
        # By the canvas and what the user does: words must not come and go with a class.
        needed = _NARROW + _FACT * bar_words.num_added(scene)
        narrow = bar.width < needed * font.size
        rates = bar_words.rates(scene, font, narrow=narrow)
        width = line_width(rates, metrics.text)
        right = Rect(bar.top, bar.right - width - metrics.gap, bar.height, width)
        self._bar("status", bar, right, ground=Ink.BACKGROUND)
        self.chrome.text("rates", right, rates, metrics.text, ground=Ink.BACKGROUND)
        left = Rect(bar.top, metrics.gap, bar.height, right.left - 3 * metrics.gap)
        runs: tuple[Run, ...] = ()
        if self.layout.layer is not None and scene.result is not None:
            names = short_names(tuple(layer.name for layer in scene.layers))
            name = names[self.layout.layer.index]
            layer = self.layout.layer
            runs = bar_words.status(scene, layer, name, self.readout, font, narrow=narrow)
        self.chrome.text("status", left, runs, metrics.text, ground=Ink.BACKGROUND)

"""Panels, titles, lists and lines of text: everything on the canvas that is drawn on the host."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtvis.data import Target
from rtvis.render import lut, wording
from rtvis.render.chrome import Brush, Chrome
from rtvis.render.grid import Rect
from rtvis.render.layout import DETAIL_ROWS, Layout, Metrics, names_classes
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.strip import Chip, short_names
from rtvis.render.text import SEMIBOLD, Run, line_width, measure


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Draws one scene's text into the slots of a chrome."""

    chrome: Chrome
    scene: Scene
    layout: Layout
    readout: Readout

    def draw(self, *, fresh: bool) -> None:
        """Bring every slot up to date; `fresh` draws the panels behind them first."""
        if fresh:
            self._panels()
        self._header()
        self._strip()
        self._messages()  # before what stands in the same content
        self._titles()
        self._scales()
        self._grid_scrollbar()
        if "classes" in self.layout.panes:
            self._classes()
            self._details()
        self._status()

    def _panels(self) -> None:
        brush = self.chrome.brush
        header = self.layout.panes["header"]
        for name, rect in self.layout.panes.items():
            if name not in {"header", "status"}:
                brush.fill(rect, lut.PANEL)
        line = Rect(header.bottom - self._metric.gap, 0, 1, header.width)
        brush.fill(line, lut.HAIRLINE)

    @property
    def _metric(self) -> Metrics:
        return self.layout.metrics

    def _header(self) -> None:
        metrics, bar = self._metric, self.layout.panes["header"]
        height = bar.height - metrics.gap
        first = min(b.rect.left for b in self.layout.buttons if b.rect.bottom <= bar.bottom)
        rates = wording.rates(self.scene, metrics.text, short=True)
        state = wording.state(self.scene)
        recording = self.scene.view.recording
        words = [Run("● ", lut.WARNING), wording.bright("rec   ")] if recording else []
        words += [state, wording.dim("   "), *rates]
        width = max(line_width(tuple(words), metrics.text), round(190 * metrics.scale))
        right = Rect(bar.top, first - width - 2 * metrics.gap, height, width)
        self._bar("header", Rect(bar.top, 0, height, bar.width), right, ground=lut.BACKGROUND)
        self.chrome.text("state", right, words, metrics.text, align=1.0, ground=lut.BACKGROUND)
        left = Rect(bar.top, metrics.gap, height, right.left - 2 * metrics.gap)
        self.chrome.text(
            "header", left, wording.header(self.scene), metrics.text, ground=lut.BACKGROUND
        )
        self._buttons("header", lut.BACKGROUND)

    def _bar(self, pane: str, bar: Rect, *content: Hashable, ground: int) -> None:
        """Wipes a row of text whenever something in it has moved or gone."""
        buttons = tuple(
            b.rect for b in self.layout.buttons if bar.contains(b.rect.left, b.rect.top)
        )
        self.chrome.slot(
            f"bar {pane}", bar, (buttons, content), lambda _: None, ground=ground, beneath=True
        )

    def _buttons(self, pane: str, ground: int) -> None:
        bar = self.layout.panes[pane]
        size = self._metric.text
        for button in self.layout.buttons:
            if not (bar.contains(button.rect.left, button.rect.top)):
                continue
            hovered = self.scene.view.hover.pane == f"button:{button.name}"
            colour = lut.TEXT if hovered or pane == "header" else lut.DIM
            if button.name == "rule" and self.scene.view.backward_shown:
                colour = lut.SOURCE
            if button.name == "record" and self.scene.view.recording:
                colour = lut.WARNING
            text = button.text
            if button.name == "backward" and self.scene.stale_since_ns:
                text, colour = self._age(), lut.WARNING
            run = Run(text, colour)

            def draw(
                brush: Brush, rect: Rect = button.rect, run: Run = run, lit: bool = hovered
            ) -> None:
                raised = lut.HAIRLINE if not lit else 0x3A404C
                brush.rounded(rect, raised if lit else lut.RAISED, self._radius)
                brush.line(rect, (run,), size, align=0.5)

            content = (text, colour, hovered)
            self.chrome.slot(f"button {button.name}", button.rect, content, draw, ground=ground)

    @property
    def _radius(self) -> int:
        return round(4 * self.layout.metrics.scale)

    def _strip(self) -> None:
        strip, view = self.layout.strip, self.scene.view
        chosen = self.layout.layer.name if self.layout.layer is not None else None
        hovered = view.hover.layer if view.hover.kind == "layer" else None
        cam = self.scene.result.selection.cam_layer if self.scene.result is not None else None
        cursor = view.cursor == "layers"
        size = self._metric.text
        bar = self.layout.panes["layers"]

        def chip_colours(chip: Chip) -> tuple[int | None, int, int]:
            if chip.layer is None:
                return None, lut.DIM, 400
            if chip.layer == chosen:
                return lut.SELECTED, lut.BACKGROUND, SEMIBOLD
            ground = lut.RAISED if chip.layer == hovered else None
            return ground, lut.TEXT, 400

        def draw(brush: Brush) -> None:
            for chip in strip.chips:
                rect = strip.rect(chip)
                if rect is None:
                    continue
                ground, colour, weight = chip_colours(chip)
                if ground is not None:
                    brush.rounded(rect, ground, self._radius)
                if chip.layer is not None and chip.layer == chosen and cursor:
                    brush.fill(Rect(rect.bottom, rect.left, 1, rect.width), lut.TEXT)
                inner = Rect(rect.top, rect.left, rect.height, rect.width)
                align = 0.5 if chip.layer is not None else 0.0
                brush.line(inner, (Run(chip.text, colour, weight),), size, align=align)
            self._scrollbar(brush, bar, strip.first_row, strip.rows_in_sight, strip.num_rows)

        content = (strip, chosen, hovered, cam, cursor)
        self.chrome.slot("strip", bar, content, draw)

    def _scrollbar(self, brush: Brush, bar: Rect, first: int, shown: int, num: int) -> None:
        if num <= shown:
            return
        thickness = round(3 * self.layout.metrics.scale)
        margin = thickness
        length = bar.height - 2 * margin
        top = bar.top + margin + length * first // num
        height = max(length * shown // num, 2 * thickness)
        track = Rect(bar.top + margin, bar.right - thickness - 1, length, thickness)
        brush.fill(track, lut.RAISED)
        brush.fill(Rect(top, track.left, height, thickness), lut.FAINT)

    def _titles(self) -> None:
        layout, scene, readout = self.layout, self.scene, self.readout
        metrics = self._metric
        top = ""
        if readout.top and "classes" not in layout.panes:
            index, probability = readout.top[0]
            top = f"{wording.class_name(scene.labels, index)}  {probability:.2f}"
        titles = {
            "input": (wording.bright(top) if top else wording.dim("input"),),
            "unit": (
                wording.dim("unit "),
                Run(f"{layout.unit}", lut.SELECTED, SEMIBOLD),
                wording.dim("   "),
                wording.bright(wording.number(readout.value) if readout.seq >= 0 else ""),
            ),
            "grid": (wording.bright(layout.layer.name if layout.layer is not None else ""),),
            "classes": (wording.dim("top classes"),),
            "details": (
                wording.dim("unit "),
                Run(f"{layout.unit}", lut.SELECTED, SEMIBOLD),
                wording.bright(f"   {self._unit_name()}"),
            ),
        }
        old = Run(f"  {self._age()}" if scene.stale_since_ns else "", lut.WARNING)
        for pane, runs in titles.items():
            if pane not in layout.panes:
                continue
            bar = layout.panes[pane]
            lefts = [
                button.rect.left
                for button in layout.buttons
                if bar.contains(button.rect.left, button.rect.top)
            ]
            right = min([*lefts, bar.right - metrics.pad // 2]) - metrics.pad // 2
            if pane == "grid" and layout.grid is not None:
                right -= self._scale_width + metrics.pad
            self._bar(
                pane,
                Rect(bar.top, bar.left, metrics.title, bar.width),
                readout.seq >= 0,
                ground=lut.PANEL,
            )
            left = bar.left + metrics.pad
            rect = Rect(bar.top, left, metrics.title, max(right - left, 0))
            shown = (*runs, old) if pane in {"unit", "grid"} else runs
            if pane == "grid" and layout.layer is not None:
                shown = (*shown, wording.dim(f"    {wording.layer_facts(layout.layer)}"))
            self.chrome.text(f"title {pane}", rect, shown, metrics.text)
            self._buttons(pane, lut.PANEL)
        self._buttons("backprop", lut.PANEL)

    def _age(self) -> str:
        """How long the network's panes have been showing the same old result."""
        return f"{wording.age(self.scene.now_ns, self.scene.stale_since_ns)} old"

    def _unit_name(self) -> str:
        layer = self.layout.layer
        if layer is None or not names_classes(layer, self.scene.layers, self.scene.labels):
            return ""
        return wording.class_name(self.scene.labels, self.layout.unit)

    @property
    def _scale_width(self) -> int:
        return round(210 * self.layout.metrics.scale)

    def _scales(self) -> None:
        """The grid's colour scale lies in its title, the enlarged unit's stands beside it."""
        layout, readout, metrics = self.layout, self.readout, self._metric
        if readout.seq < 0:
            return
        ramp = self._ramp(signed=readout.range_low < 0)
        if layout.grid is not None:
            bar = layout.panes["grid"]
            first = min(
                b.rect.left for b in layout.buttons if bar.contains(b.rect.left, b.rect.top)
            )
            rect = Rect(
                bar.top, first - metrics.pad - self._scale_width, metrics.title, self._scale_width
            )
            low, high = wording.number(readout.range_low), wording.number(readout.range_high)

            def draw(brush: Brush) -> None:
                room = measure("−00.00", metrics.text) + metrics.pad // 2
                thick = round(8 * metrics.scale)
                strip = Rect(
                    rect.top + (rect.height - thick) // 2,
                    rect.left + room,
                    thick,
                    rect.width - 2 * room,
                )
                brush.picture(strip, ramp[None, :])
                ends = Rect(rect.top, rect.left, rect.height, room - metrics.pad // 2)
                brush.line(ends, (wording.dim(low),), metrics.text, align=1.0)
                ends = Rect(rect.top, strip.right + metrics.pad // 2, rect.height, ends.width)
                brush.line(ends, (wording.dim(high),), metrics.text)

            content = (low, high, readout.range_low < 0, self.scene.view.coloured)
            self.chrome.slot("scale grid", rect, content, draw)
        self._unit_scale()

    def _unit_scale(self) -> None:
        layout, readout, metrics = self.layout, self.readout, self._metric
        image = layout.images["unit"]
        signed = readout.unit_low < 0
        ramp = self._ramp(signed=signed)
        high = max(readout.unit_high, -readout.unit_low, 0.0)
        left = image.right + metrics.pad * 3 // 4
        room = metrics.scale_width - metrics.pad * 3 // 4
        rect = Rect(image.top, left, image.height, room)
        marks = [(0.0, high), (1.0, -high if signed else 0.0)]
        if signed:
            marks.insert(1, (0.5, 0.0))
        texts = tuple((share, wording.number(value)) for share, value in marks)

        def draw(brush: Brush) -> None:
            thick = round(8 * metrics.scale)
            bar = Rect(rect.top, rect.left, rect.height, thick)
            brush.picture(bar, ramp[::-1, None])
            for share, text in texts:
                height = metrics.text
                top = rect.top + round(share * (rect.height - height))
                row = Rect(top, bar.right + 4, height, rect.right - bar.right - 4)
                brush.line(row, (wording.dim(text),), metrics.text)

        if (
            layout.layer is not None
            and layout.layer.map_size != (1, 1)
            and image.height > 3 * metrics.text
        ):
            self.chrome.slot("scale unit", rect, (texts, self.scene.view.coloured), draw)

    def _ramp(self, *, signed: bool) -> npt.NDArray[np.int32]:
        words = lut.table_words("colour" if self.scene.view.coloured else "grey")
        zero = lut.DIVERGING_ZERO if signed else lut.SEQUENTIAL_ZERO
        return words[zero - lut.STEPS * signed : zero + lut.STEPS + 1]

    def _grid_scrollbar(self) -> None:
        """The scroll bar of the grid."""
        grid, layer = self.layout.grid, self.layout.layer
        if grid is None or layer is None:
            return
        pane, metrics = self.layout.panes["grid"], self._metric
        bar = Rect(grid.area.top, pane.right - metrics.pad, grid.area.height, metrics.pad)
        content = (grid.first_row, grid.rows_in_sight, grid.num_rows)
        self.chrome.slot(
            "scroll grid", bar, content, lambda brush: self._scrollbar(brush, bar, *content)
        )

    def _messages(self) -> None:
        """Why a pane is empty stands in the pane; a shown message wipes the whole content."""
        scene = self.scene
        zoomed = {"unit": "unit", "backprop": "backprop"}.get(scene.view.zoom)
        texts = {
            "input": wording.input_message(scene),
            "unit": wording.network_message(scene),
            "backprop": wording.backward_message(scene, self.readout),
            "grid": wording.network_message(scene),
        }
        if zoomed is not None:
            texts["grid"] = texts[zoomed]
            texts[zoomed] = "shown large"
        for pane, text in texts.items():
            rect = self.layout.contents[pane]
            warn = pane == "backprop" and text not in {"", "off", "shown large"}

            def draw(brush: Brush, rect: Rect = rect, text: str = text, warn: bool = warn) -> None:
                inner = rect.inset(self.layout.metrics.pad * 2)
                colour = lut.WARNING if warn and self.scene.result is not None else lut.DIM
                brush.paragraph(inner, text, colour, self.layout.metrics.text)

            self.chrome.slot(f"message {pane}", rect, text, draw, beneath=True)
        if self._shows_value:
            self._unit_value()

    @property
    def _shows_value(self) -> bool:
        """A dense unit is one number, not a map."""
        layer, result = self.layout.layer, self.scene.result
        return layer is not None and layer.map_size == (1, 1) and result is not None

    def _unit_value(self) -> None:
        """The value of a dense unit, large, where others have their map."""
        metrics = self._metric
        pane = "grid" if self.scene.view.zoom == "unit" else "unit"
        area = self.layout.contents[pane]
        size = round(2.4 * metrics.text)
        value = wording.number(self.readout.value) if self.readout.seq >= 0 else ""
        name = self._unit_name()

        def draw(brush: Brush) -> None:
            top = area.top + (area.height - size - metrics.row) // 2
            brush.line(
                Rect(top, area.left, size, area.width), (wording.bright(value),), size, align=0.5
            )
            below = Rect(top + size + metrics.gap // 2, area.left, metrics.row, area.width)
            brush.line(below, (wording.dim(name),), metrics.text, align=0.5)

        self.chrome.slot("unit value", area, (value, name), draw)

    def _classes(self) -> None:
        layout, metrics, scene = self.layout, self._metric, self.scene
        chosen = self.readout.class_index
        pinned = scene.view.selection.class_index is not None
        for place, rect in enumerate(layout.class_rows):
            shown = self.readout.top[place] if place < len(self.readout.top) else None
            name = wording.class_name(scene.labels, shown[0]) if shown is not None else ""
            share = shown[1] if shown is not None else 0.0
            hover = scene.view.hover
            lit = shown is not None and hover.kind == "class" and hover.class_index == shown[0]
            strong = shown is not None and shown[0] == chosen
            bar_width = round(share * rect.width)
            text = f"{share:.2f}".removeprefix("0") if shown is not None else ""

            def draw(
                brush: Brush,
                rect: Rect = rect,
                name: str = name,
                text: str = text,
                lit: bool = lit,
                strong: bool = strong,
                bar_width: int = bar_width,
            ) -> None:
                words = Rect(rect.top, rect.left, metrics.row, rect.width)
                room = measure("1.00", metrics.text)
                weight = SEMIBOLD if strong and pinned else 400
                colour = lut.TEXT if strong or lit else lut.DIM
                left = Rect(words.top, words.left, words.height, words.width - room - metrics.pad)
                brush.line(left, (Run(name, colour, weight),), metrics.text)
                right = Rect(words.top, words.right - room, words.height, room)
                brush.line(right, (Run(text, colour, weight),), metrics.text, align=1.0)
                thick = round(4 * metrics.scale)
                track = Rect(words.bottom, rect.left, thick, rect.width)
                bar = Rect(track.top, track.left, thick, bar_width)
                if not name:
                    return
                brush.fill(track, lut.RAISED if not lit else 0x3A404C)
                brush.fill(bar, lut.TEXT if strong else lut.FAINT)

            content = (name, text, lit, strong, pinned, bar_width)
            self.chrome.slot(f"class {place}", rect, content, draw)

    def _details(self) -> None:
        layout, metrics, layer = self.layout, self._metric, self.layout.layer
        scene = self.scene
        area = layout.contents["details"]
        current = layer is not None and scene.result is not None
        rows: tuple[tuple[str, str], ...] = ()
        if layer is not None and current:
            rows = tuple(wording.details(scene, layer, self.readout))
        rect = Rect(area.top, area.left, min(DETAIL_ROWS * metrics.row, area.height), area.width)

        def draw(brush: Brush) -> None:
            for index, (label, value) in enumerate(rows):
                row = Rect(rect.top + index * metrics.row, rect.left, metrics.row, rect.width)
                if row.bottom > rect.bottom:
                    break
                end = brush.line(row, (wording.dim(label),), metrics.text)
                room = Rect(row.top, end + metrics.pad, row.height, row.right - end - metrics.pad)
                brush.line(room, (wording.bright(value),), metrics.text, align=1.0)

        self.chrome.slot("details", rect, rows, draw)
        shown = patches_shown(scene)
        captions = ("what it sees", "backward")
        for index, patch in enumerate(layout.patches):
            # The picture itself is drawn on the device; here only the panel that it leaves behind.
            self.chrome.slot(f"patch {index}", patch, shown[index], lambda _: None)
            above = Rect(patch.top - metrics.row, patch.left, metrics.row, patch.width)
            words = (wording.dim(captions[index] if shown[index] else ""),)
            self.chrome.text(f"patch title {index}", above, words, metrics.text)

    def _status(self) -> None:
        scene, metrics, bar = self.scene, self._metric, self.layout.panes["status"]
        rates = wording.rates(scene, metrics.text)
        width = line_width(rates, metrics.text)
        right = Rect(bar.top, bar.right - width - metrics.gap, bar.height, width)
        self._bar("status", bar, right, ground=lut.BACKGROUND)
        self.chrome.text("rates", right, rates, metrics.text, ground=lut.BACKGROUND)
        left = Rect(bar.top, metrics.gap, bar.height, right.left - 3 * metrics.gap)
        runs: tuple[Run, ...] = ()
        if self.layout.layer is not None and scene.result is not None:
            names = short_names([layer.name for layer in scene.layers])
            name = names[self.layout.layer.index]
            runs = wording.status(scene, self.layout.layer, name, self.readout, metrics.text)
        self.chrome.text("status", left, runs, metrics.text, ground=lut.BACKGROUND)


def patches_shown(scene: Scene) -> tuple[bool, bool]:
    """Whether the picture and the backward picture of the receptive field are drawn."""
    if scene.result is None:
        return False, False
    return scene.image_HW3 is not None, scene.view.backward_shown


def target_rect(layout: Layout, target: Target) -> Rect | None:
    """What to outline for a target, and where its name and value belong."""
    if target.kind == "unit" and layout.grid is not None and target.unit is not None:
        return layout.grid.tile(target.unit) if target.unit < layout.grid.num else None
    if target.kind == "position" and target.position is not None and layout.layer is not None:
        height, width = layout.layer.map_size
        if target.position[0] < height and target.position[1] < width:
            return layout.neuron(target.position)
    if target.kind == "layer":
        for chip in layout.strip.chips:
            if chip.layer == target.layer:
                return layout.strip.rect(chip)
    return None

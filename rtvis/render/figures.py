"""Numbers and words inside the panes: scales, classes, and why a pane is empty."""

from rtvis.render import empty_words, lut, wording
from rtvis.render.chrome import Brush
from rtvis.render.class_rows import ClassRow, class_rows
from rtvis.render.grid import Rect
from rtvis.render.region import Region
from rtvis.render.text import SEMIBOLD, Run, measure
from rtvis.theme import Ink


class Figures(Region):
    """What is read off the data."""

    def messages(self) -> None:
        """Why a pane is empty stands in the pane; a shown message wipes the whole content."""
        scene = self.scene
        zoomed = {"unit": "unit", "backprop": "backprop"}.get(scene.view.zoom)
        texts = {
            "input": empty_words.input_message(scene),
            "unit": empty_words.network_message(scene),
            "backprop": empty_words.backward_message(scene, self.readout),
            "grid": empty_words.grid_message(scene, self.readout),
        }
        if zoomed is not None:
            texts["grid"] = texts[zoomed]
            texts[zoomed] = "shown large"
        for pane, text in texts.items():
            if pane not in self.layout.contents:
                continue
            rect = self.layout.contents[pane]
            warn = pane == "backprop" and text not in {"", "off", "shown large", scene.maps_note}

            def draw(brush: Brush, rect: Rect = rect, text: str = text, warn: bool = warn) -> None:
                inner = rect.inset(self.layout.metrics.pad * 2)
                colour = Ink.WARNING if warn and self.scene.result is not None else Ink.DIM
                brush.paragraph(inner, text, colour, self.layout.metrics.text)

            self.chrome.slot(f"message {pane}", rect, text, draw, beneath=True)
        if self._shows_value:
            self._unit_value()

    @property
    def _shows_value(self) -> bool:
        """A dense unit is one number, not a map."""
        layer, result = self.layout.layer, self.scene.result
        if self.scene.maps_note:
            return False
        return layer is not None and layer.map_size == (1, 1) and result is not None

    def _unit_value(self) -> None:
        """The value of a dense unit, large, where others have their map."""
        metrics = self._metric
        pane = "grid" if self.scene.view.zoom == "unit" else "unit"
        area = self.layout.contents.get(pane)
        if area is None:
            return
        size = round(2.4 * metrics.text.size)
        large = metrics.text._replace(size=size)
        value = wording.number(self.readout.value) if self.readout.seq >= 0 else ""
        name = self.unit_name

        def draw(brush: Brush) -> None:
            top = area.top + (area.height - size - metrics.row) // 2
            brush.line(
                Rect(top, area.left, size, area.width), (wording.bright(value),), large, align=0.5
            )
            below = Rect(top + size + metrics.gap // 2, area.left, metrics.row, area.width)
            brush.line(below, (wording.dim(name),), metrics.text, align=0.5)

        self.chrome.slot("unit value", area, (value, name), draw)

    def scales(self) -> None:
        """The grid's colour scale lies in its title, the enlarged unit's stands beside it."""
        layout, readout, metrics = self.layout, self.readout, self._metric
        if readout.seq < 0:
            return
        ramp = self._ramp(signed=readout.range_low < 0)
        if self._scale_shown:
            bar = layout.panes["grid"]
            first = min(b.rect.left for b in layout.buttons if b.pane == "grid")
            rect = Rect(
                bar.top, first - metrics.pad - self._scale_width, metrics.title, self._scale_width
            )
            room = measure("−00.00", metrics.text) + metrics.pad // 2
            low, high = (
                wording.number_within(end, room - metrics.pad // 2, metrics.text)
                for end in (readout.range_low, readout.range_high)
            )
            thick = round(8 * metrics.scale)
            top = rect.top + (rect.height - thick) // 2
            strip = Rect(top, rect.left + room, thick, rect.width - 2 * room)
            content = (readout.range_low < 0, ramp.tobytes())
            self.chrome.slot(
                "scale grid",
                rect,
                content,
                lambda brush: brush.picture(strip, ramp[None, :]),
                beneath=True,
            )
            ends = Rect(rect.top, rect.left, rect.height, room - metrics.pad // 2)
            self.chrome.text("scale grid low", ends, (wording.dim(low),), metrics.text, align=1.0)
            ends = Rect(rect.top, strip.right + metrics.pad // 2, rect.height, ends.width)
            self.chrome.text("scale grid high", ends, (wording.dim(high),), metrics.text)
        self._unit_scale()

    def _unit_scale(self) -> None:
        layout, readout, metrics = self.layout, self.readout, self._metric
        image = layout.images.get("unit")
        if image is None or layout.layer is None or layout.layer.map_size == (1, 1):
            return
        if image.height <= 3 * metrics.text.size:
            return
        signed = readout.unit_low < 0
        ramp = self._ramp(signed=signed)
        high = max(readout.unit_high, -readout.unit_low, 0.0)
        left = image.right + metrics.pad * 3 // 4
        room = metrics.scale_width - metrics.pad * 3 // 4
        rect = Rect(image.top, left, image.height, room)
        bar = Rect(rect.top, rect.left, rect.height, round(8 * metrics.scale))
        self.chrome.slot(
            "scale unit",
            rect,
            (signed, ramp.tobytes()),
            lambda brush: brush.picture(bar, ramp[::-1, None]),
            beneath=True,
        )
        marks = [(0.0, high), (1.0, -high if signed else 0.0)]
        if signed:
            marks.append((0.5, 0.0))
        for share, value in marks:
            top = rect.top + round(share * (rect.height - metrics.text.size))
            row = Rect(top, bar.right + 4, metrics.text.size, rect.right - bar.right - 4)
            words = (wording.dim(wording.number_within(value, row.width, metrics.text)),)
            self.chrome.text(f"scale unit {share}", row, words, metrics.text)

    def grid_scrollbar(self) -> None:
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

    def classes(self) -> None:
        """The best classes, or the legend of the label picture."""
        layout, metrics = self.layout, self._metric
        rows = class_rows(self.scene, self.readout, len(layout.class_rows))
        for place, (rect, row) in enumerate(zip(layout.class_rows, rows, strict=True)):
            room = measure("−0.000" if row.is_number else "1.00", metrics.text)
            indent = self._swatch(place, rect, row)
            weight = SEMIBOLD if row.bold else 400
            width = rect.width - indent - room - metrics.pad
            left = Rect(rect.top, rect.left + indent, metrics.row, width)
            words = (Run(row.name, row.words, weight),)
            self.chrome.text(f"class {place}", left, words, metrics.text)
            right = Rect(rect.top, rect.right - room, metrics.row, room)
            words = (Run(row.text, row.words, weight),)
            self.chrome.text(f"class share {place}", right, words, metrics.text, align=1.0)
            thick = round(4 * metrics.scale)
            self._class_bar(place, Rect(left.bottom, rect.left, thick, rect.width), row)

    def _swatch(self, place: int, rect: Rect, row: ClassRow) -> int:
        """The colour of a class before its name; returns how much room it takes."""
        colour, metrics = row.swatch, self._metric
        if colour is None:
            return 0
        side = metrics.text.size * 3 // 4
        box = Rect(rect.top + (metrics.row - side) // 2, rect.left, side, side)

        def draw(brush: Brush) -> None:
            brush.fill(box, colour)
            brush.outline(box, Ink.FAINT if colour is Ink.PANEL else colour, metrics.line // 2 or 1)

        self.chrome.slot(f"class swatch {place}", box, colour, draw)
        return side + metrics.pad * 3 // 4

    def _class_bar(self, place: int, track: Rect, row: ClassRow) -> None:
        bar = Rect(track.top, track.left, track.height, round(row.share * track.width))
        # The legend of a label picture counts pixels, and not the scores before and after.
        mark = self._untouched_mark(place, track) if row.is_score else None

        def draw(brush: Brush) -> None:
            if row.is_heat:
                colours_K3 = lut.colormap_bytes("turbo")
                brush.picture(track, lut.pack_host(colours_K3)[None, :])
            elif row.track is not None:
                brush.fill(track, row.track)
                brush.fill(bar, row.bar)
            if mark is not None:
                brush.fill(mark, Ink.CHANGED)

        content = (row.is_heat, row.track, row.bar, bar.width, mark)
        self.chrome.slot(f"class bar {place}", track, content, draw)

    def _untouched_mark(self, place: int, track: Rect) -> Rect | None:
        """Where a class's bar would end without the changes to units; None without any."""
        moved, metrics = self.readout.moved, self._metric
        if moved is None or place >= len(moved.before):
            return None
        width = round(1.5 * metrics.line)
        end = track.left + round(moved.before[place] * track.width)
        left = min(max(end - width // 2, track.left), track.right - width)
        return Rect(track.top, left, track.height, width)

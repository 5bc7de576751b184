"""Words beside two that are compared: their names, and the classes with both numbers."""

from rtvis.render import wording
from rtvis.render.chrome import Brush
from rtvis.render.grid import Rect
from rtvis.render.region import Region
from rtvis.render.text import SEMIBOLD, Run, measure
from rtvis.theme import Ink


class ComparedFigures(Region):
    """What is read off two halves."""

    def halves(self) -> None:
        """Names below the two pictures, and why the second is missing."""
        pair, layout, metrics = self.scene.pair, self.layout, self._metric
        if pair is None or "second" not in layout.images:
            return
        area, compared = layout.contents["input"], self.scene.view.compared
        width = (area.width - metrics.gap) // 2
        lefts = (area.left, area.right - width)
        shown = {"first": (True, False), "second": (False, True)}.get(compared, (True, True))
        for letter, half, left, lit in zip(
            "AB", (pair.first, pair.second), lefts, shown, strict=True
        ):
            top = area.bottom - metrics.row
            row = Rect(top, left + metrics.pad, metrics.row, width - metrics.pad)
            name = Run(half.name, Ink.TEXT if lit else Ink.DIM)
            trouble = Run(f"{half.trouble}  " if half.trouble else "", Ink.WARNING)
            words = (Run(f"{letter}  ", name.colour, SEMIBOLD), trouble, name)
            self.chrome.text(f"half {letter}", row, words, metrics.text)
        missing = pair.second.note if pair.second.image_HW3 is None else ""
        rect = Rect(area.top, lefts[1], area.height - metrics.row, width)

        def draw(brush: Brush) -> None:
            brush.paragraph(rect.inset(metrics.pad), missing, Ink.DIM, metrics.text)

        self.chrome.slot("half missing", rect, missing, draw)

    def classes(self) -> bool:
        """List the classes with both probabilities and their difference; False where it cannot."""
        layout, metrics, pairs = self.layout, self._metric, self.readout.top_pair
        area = layout.contents["classes"]
        # Wiped whenever the list is of another kind.
        self.chrome.slot("compared classes", area, bool(pairs), lambda _: None, beneath=True)
        if self.scene.pair is None:
            return False
        room = max(measure(text, metrics.text) for text in ("−.00", "A−B")) + metrics.pad // 2
        bar = layout.panes["classes"]
        for index, heading in enumerate(("A", "B", "A−B")):
            right = bar.right - metrics.pad - (2 - index) * room
            rect = Rect(bar.top, right - room, metrics.title, room)
            words = (wording.dim(heading if pairs else ""),)
            self.chrome.text(f"compared heading {index}", rect, words, metrics.text, align=1.0)
        for place, rect in enumerate(layout.class_rows if pairs else ()):
            if place < len(self.readout.top):
                self._row(place, rect, room)
        return bool(pairs)

    def _row(self, place: int, rect: Rect, room: int) -> None:
        """A name, three numbers in columns of `room`, and a bar for each probability."""
        metrics, scene = self._metric, self.scene
        class_index, shares = self.readout.top[place][0], self.readout.top_pair[place]
        hover = scene.view.hover
        lit = hover.kind == "class" and hover.class_index == class_index
        strong = class_index == self.readout.class_index
        pinned = scene.view.selection.class_index is not None
        weight = SEMIBOLD if strong and pinned else 400
        colour = Ink.TEXT if strong or lit else Ink.DIM
        name = wording.class_name(scene.labels, class_index)
        left = Rect(rect.top, rect.left, metrics.row, rect.width - 3 * room - metrics.pad)
        words = (Run(name, colour, weight),)
        self.chrome.text(f"compared class {place}", left, words, metrics.text)
        numbers = (*map(wording.share, shares), wording.signed_share(shares[0] - shares[1]))
        for index, text in enumerate(numbers):
            right = Rect(rect.top, rect.right - (3 - index) * room, metrics.row, room)
            words = (Run(text, colour, weight),)
            slot = f"compared share {place} {index}"
            self.chrome.text(slot, right, words, metrics.text, align=1.0)
        each = round(3 * metrics.scale)
        track = Rect(left.bottom, rect.left, 2 * each, rect.width)
        widths = tuple(round(share * rect.width) for share in shares)

        def draw(brush: Brush) -> None:
            brush.fill(track, Ink.LIT if lit else Ink.RAISED)
            for index, width in enumerate(widths):
                bar = Rect(track.top + index * each, track.left, each, width)
                brush.fill(bar, Ink.FAINT if index or not strong else Ink.TEXT)

        self.chrome.slot(f"compared bar {place}", track, (lit, strong, widths), draw)

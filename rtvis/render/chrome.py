"""All that is not data: panels, text, bars. Drawn in host memory, and only where it changed."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.render.grid import Rect
from rtvis.render.text import (
    Colour,
    Font,
    Run,
    Word,
    baseline,
    draw_word,
    line_width,
    place_line,
)
from rtvis.theme import Ink


class Brush:
    """Draws on a packed host picture."""

    def __init__(self, words_HW: npt.NDArray[np.int32], inks: Mapping[Ink, int]) -> None:
        self.words_HW = words_HW
        self.inks = inks
        """Of the theme."""
        height, width = words_HW.shape
        self._image_HW4: ImageU8 = words_HW.view(np.uint8).reshape(height, width, 4)

    def colour(self, colour: Colour) -> int:
        """A packed pixel."""
        return colour if isinstance(colour, int) else self.inks[colour]

    def fill(self, rect: Rect, colour: Colour) -> None:
        """A flat rectangle."""
        self.words_HW[rect.rows, rect.columns] = self.colour(colour)

    def outline(self, rect: Rect, colour: Colour, thickness: int) -> None:
        """The border of a rectangle, inside it."""
        for edge in edges(rect, thickness):
            self.fill(edge, colour)

    def corner(self, rect: Rect, colour: Colour, side: int) -> None:
        """A square in the upper right corner of a rectangle, set off from what is there."""
        for corner, word in corners(rect, colour, side):
            self.fill(corner, word)

    def rounded(self, rect: Rect, colour: Colour, radius: int) -> None:
        """A flat rectangle with smooth corners, on whatever is there."""
        part = self._image_HW4[rect.rows, rect.columns]
        if not part.size:
            return
        if not radius:
            self.fill(rect, colour)
            return
        corner = np.arange(rect.height)[:, None], np.arange(rect.width)[None, :]
        distance = [
            np.maximum(radius - 0.5 - at, at - (size - radius - 0.5)).clip(0)
            for at, size in zip(corner, (rect.height, rect.width), strict=True)
        ]
        share = (radius + 0.5 - np.hypot(*distance)).clip(0, 1)[..., None]
        flat = np.array([(self.colour(colour) >> shift) & 0xFF for shift in (0, 8, 16, 24)])
        part[:] = np.round(part * (1 - share) + flat * share).astype(np.uint8)

    def line(
        self,
        rect: Rect,
        runs: Sequence[Run],
        font: Font,
        *,
        align: float = 0.0,
    ) -> None:
        """A line of text, centred in the height of `rect`, shortened to its width.

        Args:
            rect: Where the text may go.
            runs: The text.
            font: In what it is set.
            align: 0 sets it flush left, 1 flush right, 0.5 in the middle.
        """
        runs = tuple(runs)
        spare = max(rect.width - line_width(runs, font), 0)
        left = rect.left + round(spare * align)
        words, _ = place_line(runs, x=left, font=font, right=rect.right)
        for word in words:
            self.word(rect, word, font)

    def word(self, rect: Rect, word: Word, font: Font) -> None:
        """One word of a line in `rect`."""
        base = baseline(rect.top, rect.height, font)
        colour = self.colour(word.colour)
        draw_word(self._image_HW4, word, base=base, font=font, colour=colour)

    def paragraph(self, rect: Rect, text: str, colour: Colour, font: Font) -> None:
        """Text broken at spaces, its lines centred, in the middle of `rect`."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and line_width((Run(longer, colour),), font) <= rect.width:
                lines[-1] = longer
            else:
                lines.append(word)
        pitch = round(font.size * 1.5)
        top = rect.top + max(rect.height - pitch * len(lines), 0) // 2
        for index, line in enumerate(lines):
            row = Rect(top + index * pitch, rect.left, pitch, rect.width)
            if row.bottom <= rect.bottom:
                self.line(row, (Run(line, colour),), font, align=0.5)

    def picture(self, rect: Rect, words_HW: npt.NDArray[np.int32]) -> None:
        """A small packed picture, enlarged or shrunk to `rect` by its nearest pixels."""
        sized = cv2.resize(words_HW, (rect.width, rect.height), interpolation=cv2.INTER_NEAREST)
        self.words_HW[rect.rows, rect.columns] = sized


def edges(rect: Rect, thickness: int) -> tuple[Rect, Rect, Rect, Rect]:
    """The four strips of a border that lies inside `rect`."""
    t = min(thickness, rect.height, rect.width)
    return (
        Rect(rect.top, rect.left, t, rect.width),
        Rect(rect.bottom - t, rect.left, t, rect.width),
        Rect(rect.top, rect.left, rect.height, t),
        Rect(rect.top, rect.right - t, rect.height, t),
    )


def corners(
    rect: Rect, colour: Colour, side: int
) -> tuple[tuple[Rect, Colour], tuple[Rect, Colour]]:
    """What to fill, and how, for a mark in the upper right corner: an edge, and the square."""
    edge = min(side + 1, rect.height), min(side + 1, rect.width)
    inner = min(side, rect.height), min(side, rect.width)
    return (
        (Rect(rect.top, rect.right - edge[1], *edge), Ink.BACKGROUND),
        (Rect(rect.top, rect.right - inner[1], *inner), colour),
    )


class Chrome:
    """Slots of the canvas, each drawn again only when its content differs from what it shows."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._shown: dict[str, tuple[Rect, Any]] = {}
        self._words: dict[str, tuple[Word, ...]] = {}
        """Of the slots that show a line of text."""
        self._geometry: Hashable = None
        self._dirty: list[Rect] = []
        self.brush = Brush(np.zeros((1, 1), np.int32), {})

    def begin(self, geometry: Hashable, size: tuple[int, int], inks: Mapping[Ink, int]) -> bool:
        """Start a turn. True if geometry or colours changed: then all must be drawn again."""
        if geometry == self._geometry and inks is self.brush.inks:
            return False
        self._geometry = geometry
        self._shown.clear()
        self.brush = Brush(np.full(size, inks[Ink.BACKGROUND], np.int32), inks)
        self._dirty = [Rect(0, 0, *size)]
        return True

    def slot(
        self,
        name: str,
        rect: Rect,
        content: Hashable,
        draw: Callable[[Brush], object],
        *,
        ground: Colour = Ink.PANEL,
        beneath: bool = False,
    ) -> None:
        """Show `content` in `rect`: clears it to `ground` and calls `draw` if it changed.

        With `beneath`, smaller slots may lie on this one: they are drawn again after it.
        """
        if self._shown.get(name) == (rect, content):
            return
        if beneath:
            self._shown = {
                other: shown
                for other, shown in self._shown.items()
                if shown[0].size > rect.size or not rect.overlaps(shown[0])
            }
        self._shown[name] = (rect, content)
        self._wipe(rect, ground)
        draw(self.brush)

    def text(
        self,
        name: str,
        rect: Rect,
        runs: Sequence[Run],
        font: Font,
        *,
        align: float = 0.0,
        ground: Colour = Ink.PANEL,
    ) -> None:
        """Show a line of text in a slot: words that stay where they are are not drawn again."""
        runs = tuple(runs)
        content = (runs, font, align, ground)
        shown = self._shown.get(name)
        if shown == (rect, content):
            return
        spare = max(rect.width - line_width(runs, font), 0) if align else 0
        words, _ = place_line(runs, x=rect.left + round(spare * align), font=font, right=rect.right)
        before: tuple[Word, ...] | None = None
        if shown is not None and shown[0] == rect and shown[1][1:] == content[1:]:
            before = self._words[name]
        self._shown[name], self._words[name] = (rect, content), words
        if before is None:
            self._wipe(rect, ground)
            come: Collection[Word] = words
        else:
            come, gone = set(words).difference(before), set(before).difference(words)
            for word in gone:
                width = word.right - word.left
                self.brush.fill(Rect(rect.top, word.left, rect.height, width), ground)
            left = min((word.left for word in (*come, *gone)), default=rect.left)
            right = max((word.right for word in (*come, *gone)), default=left)
            self._dirty.append(Rect(rect.top, left, rect.height, right - left))
        for word in come:
            self.brush.word(rect, word, font)

    def _wipe(self, rect: Rect, ground: Colour) -> None:
        self.brush.fill(rect, ground)
        self._dirty.append(rect)

    def dirty(self) -> list[Rect]:
        """What changed since the last call."""
        dirty, self._dirty = self._dirty, []
        return dirty

    def upload(self) -> list[tuple[Rect, Tensor]]:
        """What changed since the last call, on the device: one transfer for all of it."""
        dirty = self.dirty()
        if not dirty:
            return []
        whole = self.brush.words_HW
        if any(rect.height * rect.width == whole.size for rect in dirty):
            dirty = [Rect(0, 0, *whole.shape)]
        flat = torch.from_numpy(np.concatenate([whole[r.rows, r.columns].ravel() for r in dirty]))
        if self._device.type == "cuda":
            flat = flat.pin_memory().to(self._device, non_blocking=True)
        sizes = [rect.height * rect.width for rect in dirty]
        pieces = torch.split(flat, sizes)
        return [
            (rect, piece.view(rect.height, rect.width))
            for rect, piece in zip(dirty, pieces, strict=True)
        ]

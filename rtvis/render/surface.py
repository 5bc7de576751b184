"""The canvas from turn to turn: what lies on it for one turn only is taken away before the next."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rtvis.render.chrome import Chrome, corners, edges
from rtvis.render.grid import Rect
from rtvis.render.text import Colour
from rtvis.theme import Ink


class Surface:
    """Packed pixels on the device, over a picture of all that is not data (`Chrome`)."""

    def __init__(self, device: torch.device) -> None:
        self._is_host = device.type == "cpu"
        self.words_HW = torch.zeros((1, 1), dtype=torch.int32, device=device)
        """int32 [H, W]: the canvas."""
        self._base_HW = torch.zeros_like(self.words_HW)
        """On CUDA: what the chrome shows."""
        self._damage: list[Rect] = []
        self.inks: Mapping[Ink, int] = {}
        """Of the theme that is drawn in."""

    def begin(self, chrome: Chrome) -> None:
        """Take away what floated, and show what has changed of the chrome."""
        self.inks = chrome.brush.inks
        size = chrome.brush.words_HW.shape
        if self.words_HW.shape != size:
            self.words_HW = self.words_HW.new_zeros(size)
            self._base_HW = self.words_HW.clone()
            self._damage = []
        if self._is_host:
            base_HW, words_HW = chrome.brush.words_HW, self.words_HW.numpy()
            for rect in (*chrome.dirty(), *self._damage):
                words_HW[rect.rows, rect.columns] = base_HW[rect.rows, rect.columns]
        else:
            for rect, pixels_HW in chrome.upload():
                self._base_HW[rect.rows, rect.columns] = pixels_HW
                self.words_HW[rect.rows, rect.columns] = pixels_HW
            for rect in self._damage:
                self.words_HW[rect.rows, rect.columns] = self._base_HW[rect.rows, rect.columns]
        self._damage = []

    def outline(self, rect: Rect, colour: Ink, thickness: int) -> None:
        """The border of a rectangle, just outside it, for this turn."""
        outer = rect.inset(-thickness)
        for edge in edges(outer, thickness):
            self._fill(edge, colour)
        self._damage.append(outer)

    def corner(self, rect: Rect, colour: Ink, side: int) -> None:
        """A square in the upper right corner of a rectangle that is drawn anew each turn."""
        for corner, word in corners(rect, colour, side):
            self._fill(corner, word)

    def float(self, rect: Rect, pixels_HW: Tensor) -> None:
        """A packed picture above everything, cut to `rect`, for this turn."""
        self.words_HW[rect.rows, rect.columns] = pixels_HW[: rect.height, : rect.width]
        self._damage.append(rect)

    def fade_all(self) -> None:
        """Half the brightness of everything, for this turn."""
        height, width = self.words_HW.shape
        whole = Rect(0, 0, height, width)
        self._mix(whole, 0)
        self._damage = [whole]

    def fade(self, rect: Rect) -> None:
        """Every pixel of a rectangle that is drawn anew each turn halfway to what old ones are."""
        self._mix(rect, self.inks[Ink.STALE])

    def _mix(self, rect: Rect, word: int) -> None:
        part_HW = self.words_HW[rect.rows, rect.columns]
        part_HW.bitwise_right_shift_(1).bitwise_and_(0x7F7F7F)
        if word:
            part_HW.add_((word >> 1) & 0x7F7F7F)

    def _fill(self, rect: Rect, colour: Colour) -> None:
        words_HW = self.words_HW.numpy() if self._is_host else self.words_HW
        words_HW[rect.rows, rect.columns] = colour if isinstance(colour, int) else self.inks[colour]

"""What a layer's units have learned, in the tiles of the grid (DVT-34)."""

import numpy as np
import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.render import display, host, panes
from rtvis.render.chrome import Brush
from rtvis.render.grid import Grid, Rect
from rtvis.render.scene import PatternShown
from rtvis.render.surface import Surface
from rtvis.theme import Ink


def draw_picture(canvas_HW: Tensor, rect: Rect, image_HW3: Tensor) -> None:
    """A photograph in the middle of a rectangle, as large as fits.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where.
        image_HW3: uint8 RGB on the canvas's device.
    """
    inner = rect.fit(image_HW3.shape[0], image_HW3.shape[1])
    if canvas_HW.device.type == "cpu":
        bytes_HW3 = host.resize(image_HW3.numpy(), inner.height, inner.width)
        host.paint(canvas_HW, inner, bytes_HW3)
        return
    shown_HW3 = panes.resize_picture(image_HW3, (inner.height, inner.width))
    canvas_HW[inner.rows, inner.columns] = display.pack_bytes(shown_HW3)


def missing_tile(brush: Brush, rect: Rect, line: int, *, is_loading: bool = False) -> None:
    """The place of a picture that is not there: flat and empty; one that is coming is lighter."""
    brush.fill(rect, Ink.RAISED if is_loading else Ink.BACKGROUND)
    brush.outline(rect, Ink.HAIRLINE, max(line // 2, 1))


class PatternPainter:
    """Keeps the grid's tiles as one picture, and draws again only those that have changed."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._of: object = None
        self._brush = Brush(np.zeros((1, 1), np.int32), {})
        self._drawn: dict[int, ImageU8 | None] = {}
        self._on_device: Tensor | None = None

    def draw(self, surface: Surface, pattern: PatternShown, grid: Grid, line: int) -> None:
        """Draw the tiles in sight over the whole area of `grid`.

        Args:
            surface: The canvas.
            pattern: What there is; a picture that has changed is another array.
            grid: Where the tiles go.
            line: Thickness of outlines.
        """
        area = grid.area
        of = (pattern.layer, grid, pattern.is_loading)
        if self._of != of or self._brush.inks is not surface.inks:
            self._of = of
            flat_HW = np.full((area.height, area.width), surface.inks[Ink.PANEL], np.int32)
            self._brush = Brush(flat_HW, surface.inks)
            self._drawn, self._on_device = {}, None
        for unit in range(grid.first, grid.last):
            image = pattern.tiles.get(unit)
            if unit not in self._drawn or self._drawn[unit] is not image:
                self._drawn[unit] = image
                self._draw_tile(grid, unit, image, line, is_loading=pattern.is_loading)
                self._on_device = None
        if self._on_device is None:
            picture = torch.from_numpy(self._brush.words_HW)
            if self._device.type == "cuda":
                picture = picture.pin_memory().to(self._device, non_blocking=True)
            self._on_device = picture
        surface.words_HW[area.rows, area.columns] = self._on_device

    def _draw_tile(
        self, grid: Grid, unit: int, image: ImageU8 | None, line: int, *, is_loading: bool
    ) -> None:
        tile = grid.tile(unit)
        assert tile is not None, "in sight"
        own = Rect(tile.top - grid.area.top, tile.left - grid.area.left, tile.height, tile.width)
        if image is None:
            missing_tile(self._brush, own, line, is_loading=is_loading)
            return
        self._brush.fill(own, Ink.BACKGROUND)
        inner = own.fit(image.shape[0], image.shape[1])
        bytes_HW3 = host.resize(image, inner.height, inner.width)
        host.paint(torch.from_numpy(self._brush.words_HW), inner, bytes_HW3)

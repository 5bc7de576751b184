"""Where the pixels of a dense output lie on the canvas. Numbers only."""

from dataclasses import dataclass

from rtvis.data import Crop
from rtvis.render.cover import Cover, cover
from rtvis.render.grid import Rect


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """A dense output over the input's picture."""

    image: Rect
    """Where the source's picture is drawn."""
    view: Cover
    """What the network sees of it."""
    size: tuple[int, int]
    """(height, width) of the output."""

    def at(self, x: int, y: int) -> tuple[int, int] | None:
        """(row, column) of the output under a pixel of the canvas; None where there is none."""
        row, column = y - self.image.top, x - self.image.left
        view = self.view
        if not (view.rows.start <= row < view.rows.stop):
            return None
        if not (view.columns.start <= column < view.columns.stop):
            return None
        down = row - view.rows.start + view.start[0]
        across = column - view.columns.start + view.start[1]
        return down * self.size[0] // view.size[0], across * self.size[1] // view.size[1]

    def nearest(self, x: int, y: int) -> tuple[int, int]:
        """(row, column) of the output that is seen nearest to a pixel of the canvas."""
        rows, columns = self.view.rows, self.view.columns
        row = min(max(y - self.image.top, rows.start), rows.stop - 1)
        column = min(max(x - self.image.left, columns.start), columns.stop - 1)
        found = self.at(self.image.left + column, self.image.top + row)
        assert found is not None, "it is within what is seen"
        return found

    def rect(self, region: tuple[int, int, int, int]) -> Rect | None:
        """The canvas under (top, left, height, width) of the output; None where it is not seen."""
        view = self.view
        rows = self._span(region[0], region[2], 0, view.rows)
        columns = self._span(region[1], region[3], 1, view.columns)
        if rows is None or columns is None:
            return None
        top, left = self.image.top + rows[0], self.image.left + columns[0]
        return Rect(top, left, rows[1] - rows[0], columns[1] - columns[0])

    def _span(self, first: int, length: int, axis: int, seen: slice) -> tuple[int, int] | None:
        drawn, size, start = self.view.size[axis], self.size[axis], self.view.start[axis]
        offset = seen.start - start
        begin = -(-first * drawn // size) + offset
        end = max(-(-(first + length) * drawn // size) + offset, begin + 1)
        begin, end = max(begin, seen.start), min(end, seen.stop)
        return (begin, end) if begin < end else None


def lay_pixels(
    image: Rect,
    *,
    frame_size: tuple[int, int],
    crop: Crop | None,
    output_size: tuple[int, int],
) -> Pixels:
    """Lay a dense output over the input's picture.

    Args:
        image: Where the picture is drawn.
        frame_size: (height, width) of the frame.
        crop: What the network sees, in pixels of the frame; None is all of it.
        output_size: (height, width) of the output.
    """
    view = cover(crop, frame_size, (image.height, image.width))
    return Pixels(image=image, view=view, size=output_size)

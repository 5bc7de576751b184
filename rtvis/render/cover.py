"""Where what the network sees lies on a drawn picture, which it may reach beyond."""

from dataclasses import dataclass

from rtvis.data import Crop


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """The network's view over a picture of some size, in whole pixels of that picture."""

    rows: slice
    columns: slice
    """Of the picture: what the network sees of it, at least one of each."""
    size: tuple[int, int]
    """(height, width) of the whole view, with what lies outside the picture."""
    start: tuple[int, int]
    """(row, column) of the view at which the picture's `rows` and `columns` begin."""

    @property
    def seen(self) -> tuple[slice, slice]:
        """Index of the part of the picture that the network sees."""
        return self.rows, self.columns

    @property
    def within(self) -> tuple[slice, slice]:
        """Index of the same part in a picture of the whole view, of size `size`."""
        top, left = self.start
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return slice(top, top + height), slice(left, left + width)


def cover(crop: Crop | None, frame_size: tuple[int, int], drawn_size: tuple[int, int]) -> Cover:
    """Lay the network's view over a drawn picture.

    Args:
        crop: What the network sees, in pixels of the frame; None is all of it.
        frame_size: (height, width) of the frame.
        drawn_size: (height, width) at which it is drawn.
    """
    if crop is None:
        height, width = drawn_size
        return Cover(rows=slice(0, height), columns=slice(0, width), size=drawn_size, start=(0, 0))
    rows, height, top = _span(crop.top, crop.height, frame_size[0], drawn_size[0])
    columns, width, left = _span(crop.left, crop.width, frame_size[1], drawn_size[1])
    return Cover(rows=rows, columns=columns, size=(height, width), start=(top, left))


def _span(start: float, length: float, frame: int, drawn: int) -> tuple[slice, int, int]:
    """What is seen of one side, how long the whole view is, and where in it the picture begins."""
    first, last = round(start * drawn / frame), round((start + length) * drawn / frame)
    begin = min(max(first, 0), drawn - 1)
    end = min(max(last, begin + 1), drawn)
    first = min(first, begin)
    return slice(begin, end), max(last, end) - first, begin - first

"""Where the tiles of a layer go: DVT-22's grid, and which unit lies under a point."""

import math
from dataclasses import dataclass
from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle of canvas pixels; `bottom` and `right` are the first ones outside.

    A tuple, because a canvas makes and compares hundreds of them.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """First row below."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """First column to the right."""
        return self.left + self.width

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def rows(self) -> slice:
        """For indexing a canvas."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """For indexing a canvas."""
        return slice(self.left, self.right)

    def contains(self, x: int, y: int) -> bool:
        """True if the pixel lies inside."""
        return self.top <= y < self.bottom and self.left <= x < self.right

    def overlaps(self, other: "Rect") -> bool:
        """True if the two have a pixel in common."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def inset(self, pixels: int) -> "Rect":
        """The rectangle that leaves `pixels` on every side (negative: grows)."""
        return Rect(
            self.top + pixels,
            self.left + pixels,
            max(self.height - 2 * pixels, 0),
            max(self.width - 2 * pixels, 0),
        )

    def fit(self, height: float, width: float, *, align_left: bool = False) -> "Rect":
        """The largest rectangle of the proportions height : width inside, centred."""
        scale = min(self.height / height, self.width / width)
        inner_height = min(max(round(height * scale), 1), self.height)
        inner_width = min(max(round(width * scale), 1), self.width)
        left = self.left if align_left else self.left + (self.width - inner_width) // 2
        return Rect(self.top + (self.height - inner_height) // 2, left, inner_height, inner_width)


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles of equal size, row by row, of which the rows from `first_row` on are in sight."""

    area: Rect
    """Nothing is drawn outside."""
    num: int
    num_cols: int
    num_rows: int
    """In all, in sight or not."""
    rows_in_sight: int
    """Whole rows that fit; the last page ends with the last row."""
    first_row: int
    tile_height: int
    tile_width: int
    pitch_y: int
    """Rows from one tile to the next; what is more than the tile is gap and caption."""
    pitch_x: int
    caption_height: int = 0
    """Room for a name under each tile; 0 where there are no names."""

    @property
    def max_scroll(self) -> int:
        """Largest `first_row`."""
        return max(self.num_rows - self.rows_in_sight, 0)

    @property
    def first(self) -> int:
        """First tile in sight."""
        return self.first_row * self.num_cols

    @property
    def last(self) -> int:
        """First tile that is not in sight any more."""
        return min(self.num, (self.first_row + self.rows_in_sight) * self.num_cols)

    def tile(self, index: int) -> Rect | None:
        """Where a tile is drawn; None if it is scrolled out of sight."""
        if not self.first <= index < self.last:
            return None
        row, col = divmod(index - self.first, self.num_cols)
        return Rect(
            self.area.top + row * self.pitch_y,
            self.area.left + col * self.pitch_x,
            self.tile_height,
            self.tile_width,
        )

    def at(self, x: int, y: int) -> int | None:
        """The tile that holds the pixel; None in gaps, captions and empty places."""
        if not self.area.contains(x, y):
            return None
        row, inner_y = divmod(y - self.area.top, self.pitch_y)
        col, inner_x = divmod(x - self.area.left, self.pitch_x)
        index = self.first + row * self.num_cols + col
        inside = inner_y < self.tile_height and inner_x < self.tile_width
        if not inside or col >= self.num_cols or index >= self.last:
            return None
        return index

    def row_of(self, index: int) -> int:
        """Row of a tile, counted over all rows."""
        return index // self.num_cols

    def scroll_to(self, index: int) -> int:
        """The `first_row` nearest to the present one that brings a tile into sight."""
        row = self.row_of(index)
        lowest = max(row - self.rows_in_sight + 1, 0)
        return min(max(self.first_row, lowest), row, self.max_scroll)


def num_columns(num: int, aspect: float) -> int:
    """DVT-22: ceil(sqrt(num * aspect)), where aspect is columns wanted per row."""
    # 1e-9: 36 tiles at aspect 4/9 are 4 columns, whatever the last bit of the product says.
    return min(max(math.ceil(math.sqrt(num * aspect) - 1e-9), 1), num)


def fit_grid(
    num: int,
    map_size: tuple[int, int],
    area: Rect,
    *,
    min_tile: int,
    gap: int,
    caption_height: int = 0,
    scroll: int = 0,
) -> Grid:
    """Lay out `num` tiles of the proportions of `map_size` as large as the area allows.

    The number of columns is DVT-22's, with the aspect of the area in units of tiles. Where tiles
    would come out under `min_tile` pixels (their shorter side), they get that size and the grid
    scrolls.

    Args:
        num: Number of tiles, at least 1.
        map_size: (height, width) of what a tile shows.
        area: Where the tiles may go.
        min_tile: Shorter side that a tile must at least have.
        gap: Pixels between neighbouring tiles.
        caption_height: Rows under each tile that are kept free for its name.
        scroll: Wanted first row; clipped to what there is.
    """
    map_height, map_width = map_size
    ratio = map_width / map_height
    # Very long maps (a row of tokens) would leave slivers: tiles are at most 4 : 1.
    ratio = min(max(ratio, 0.25), 4.0)

    def tile_size(pitch_x: float, pitch_y: float) -> tuple[int, int]:
        width = min(pitch_x - gap, (pitch_y - gap - caption_height) * ratio)
        return int(width / ratio + 1e-9), int(width + 1e-9)

    num_cols = num_columns(num, area.width / max(area.height, 1) / ratio)
    num_rows = -(-num // num_cols)
    height, width = tile_size((area.width + gap) / num_cols, (area.height + gap) / num_rows)
    if min(height, width) < min_tile:
        width = max(round(min_tile * max(ratio, 1.0)), 1)
        height = max(round(width / ratio), 1)
        num_cols = max(min((area.width + gap) // (width + gap), num), 1)
        # What is left over at the right makes the tiles a little larger.
        grown = (area.width + gap) // num_cols - gap
        width, height = max(width, grown), max(height, int(grown / ratio + 1e-9))
        num_rows = -(-num // num_cols)
    height, width = max(height, 1), max(width, 1)
    pitch_y, pitch_x = height + gap + caption_height, width + gap
    rows_in_sight = max(min((area.height + gap) // pitch_y, num_rows), 1)
    return Grid(
        area=area,
        num=num,
        num_cols=num_cols,
        num_rows=num_rows,
        rows_in_sight=rows_in_sight,
        first_row=min(max(scroll, 0), max(num_rows - rows_in_sight, 0)),
        tile_height=height,
        tile_width=width,
        pitch_y=pitch_y,
        pitch_x=pitch_x,
        caption_height=caption_height,
    )

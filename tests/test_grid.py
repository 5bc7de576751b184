"""DVT-22's grid: how many columns, how large the tiles, and which one lies under a point."""

import pytest

from rtvis.render.grid import Rect, fit_grid, num_columns

SQUARE = Rect(100, 50, 600, 600)


@pytest.mark.parametrize(
    ("num", "aspect", "columns"),
    [(96, 1.0, 10), (256, 1.0, 16), (1, 1.0, 1), (36, 4 / 9, 4), (50, 2.0, 10), (3, 100.0, 3)],
)
def test_columns_are_the_rounded_up_root_of_number_times_aspect(
    num: int, aspect: float, columns: int
) -> None:
    assert num_columns(num, aspect) == columns


def test_ninety_six_square_maps_fill_a_square_pane_in_ten_columns_and_rows() -> None:
    grid = fit_grid(96, (13, 13), SQUARE, min_tile=24, gap=1)
    assert (grid.num_cols, grid.num_rows) == (10, 10)
    # (600 + 1) / 10 - 1 = 59.1
    assert (grid.tile_height, grid.tile_width) == (59, 59)
    assert grid.max_scroll == 0
    assert grid.tile(11) == Rect(100 + 60, 50 + 60, 59, 59)


def test_tiles_keep_the_proportions_of_wide_maps() -> None:
    grid = fit_grid(8, (10, 20), Rect(0, 0, 400, 400), min_tile=24, gap=0)
    # Aspect 1 / 2 makes ceil(sqrt(4)) = 2 columns of 4 rows.
    assert (grid.num_cols, grid.num_rows) == (2, 4)
    assert (grid.tile_height, grid.tile_width) == (100, 200)


def test_tiles_never_fall_below_the_minimum_then_the_grid_scrolls() -> None:
    grid = fit_grid(1280, (7, 7), Rect(0, 0, 300, 300), min_tile=24, gap=1)
    assert min(grid.tile_height, grid.tile_width) >= 24
    # (300 + 1) // 25 = 12 columns, 107 rows of which 12 are in sight.
    assert (grid.num_cols, grid.num_rows, grid.rows_in_sight) == (12, 107, 12)
    assert grid.max_scroll == 95


def test_scrolling_stops_at_the_last_row_and_reaches_the_last_tile() -> None:
    grid = fit_grid(1280, (7, 7), Rect(0, 0, 300, 300), min_tile=24, gap=1, scroll=10_000)
    assert grid.first_row == 95
    assert grid.last == 1280
    assert grid.tile(1279) is not None
    assert grid.tile(0) is None


def test_scrolling_to_a_tile_moves_as_little_as_can_be() -> None:
    grid = fit_grid(1280, (7, 7), Rect(0, 0, 300, 300), min_tile=24, gap=1, scroll=20)
    assert grid.scroll_to(20 * 12) == 20  # first row in sight
    assert grid.scroll_to(31 * 12) == 20  # last row in sight
    assert grid.scroll_to(32 * 12) == 21
    assert grid.scroll_to(5) == 0
    assert grid.scroll_to(1279) == 95


@pytest.mark.parametrize("num", [1, 2, 7, 64, 144, 1000])
@pytest.mark.parametrize("map_size", [(7, 7), (112, 80), (1, 1), (1, 50)])
@pytest.mark.parametrize("scroll", [0, 3])
def test_the_centre_and_corners_of_every_tile_belong_to_it_and_the_gaps_to_none(
    num: int, map_size: tuple[int, int], scroll: int
) -> None:
    grid = fit_grid(num, map_size, Rect(31, 17, 420, 640), min_tile=24, gap=2, scroll=scroll)
    assert grid.last > grid.first
    for index in range(grid.first, grid.last):
        tile = grid.tile(index)
        assert tile is not None
        points = [
            (tile.left, tile.top),
            (tile.right - 1, tile.bottom - 1),
            (tile.left + tile.width // 2, tile.top + tile.height // 2),
        ]
        for x, y in points:
            assert grid.area.contains(x, y)
            assert grid.at(x, y) == index
        assert grid.at(tile.right, tile.top) is None
        assert grid.at(tile.left, tile.bottom) is None
    assert grid.at(16, 31) is None


def test_a_place_after_the_last_tile_belongs_to_none() -> None:
    grid = fit_grid(5, (4, 4), Rect(0, 0, 300, 300), min_tile=24, gap=0)
    # Three columns: the sixth place is empty.
    assert grid.num_cols == 3
    assert grid.at(250, 150) is None
    assert grid.at(150, 150) == 4


def test_captions_belong_to_no_tile() -> None:
    grid = fit_grid(4, (1, 1), Rect(0, 0, 200, 200), min_tile=3, gap=0, caption_height=20)
    assert (grid.tile_height, grid.pitch_y) == (80, 100)
    assert grid.at(10, 79) == 0
    assert grid.at(10, 80) is None
    assert grid.at(10, 100) == 2


def test_a_thousand_cells_of_a_dense_layer_fit_without_scrolling() -> None:
    grid = fit_grid(4096, (1, 1), Rect(0, 0, 400, 500), min_tile=3, gap=1)
    assert grid.max_scroll == 0
    assert min(grid.tile_height, grid.tile_width) >= 3


def test_a_picture_fits_its_rectangle_in_its_proportions() -> None:
    assert Rect(0, 0, 100, 100).fit(50, 100) == Rect(25, 0, 50, 100)
    assert Rect(10, 20, 90, 160).fit(9, 9) == Rect(10, 20 + 35, 90, 90)

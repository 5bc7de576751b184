"""Maps to tiles on the canvas: scale, colour and place in one go.

On CUDA one kernel does it (`kernels.py`), wherever CuPy is missing a few torch operations, and on a
CPU the same operations with what is slow there done by NumPy and OpenCV (`tiles_host.py`).
"""

from functools import lru_cache

import torch
from torch import Tensor

from rtvis.render import display
from rtvis.render.grid import Grid
from rtvis.render.kernels import TYPE_CODES, cuda_kernel, launch
from rtvis.render.lut import GAP_INDEX, Palette, table
from rtvis.render.resample import shrink
from rtvis.render.tiles_host import draw_tiles_host


def draw_tiles(
    canvas_HW: Tensor,
    maps_CHW: Tensor,
    grid: Grid,
    *,
    range_low: Tensor,
    range_high: Tensor,
    palette: Palette,
) -> None:
    """Draw the tiles in sight over the whole area of `grid`, nearest growing, area shrinking.

    Args:
        canvas_HW: int32 packed pixels, written in place.
        maps_CHW: One map for each tile of the grid, any float type and strides.
        grid: Where the tiles go; lines run between them unless they have captions.
        range_low: Lower end of the colour range, a float32 scalar on the device (0, or -high).
        range_high: Upper end.
        palette: Colour table to use.
    """
    assert maps_CHW.shape[0] == grid.num, "one tile for each map"
    ranges = {"range_low": range_low, "range_high": range_high}
    if canvas_HW.device.type == "cpu":
        draw_tiles_host(canvas_HW, maps_CHW, grid, **ranges, palette=palette)
        return
    kernel = cuda_kernel(canvas_HW.device.index or 0) if canvas_HW.is_cuda else None
    if kernel is not None and maps_CHW.dtype in TYPE_CODES:
        launch(kernel, canvas_HW, maps_CHW, grid, range_low, range_high, palette)
    else:
        draw_tiles_torch(canvas_HW, maps_CHW, grid, **ranges, palette=palette)


def draw_tiles_torch(
    canvas_HW: Tensor,
    maps_CHW: Tensor,
    grid: Grid,
    *,
    range_low: Tensor,
    range_high: Tensor,
    palette: Palette,
) -> None:
    """`draw_tiles` with torch operations: colour at the smaller resolution, then one gather."""
    device = canvas_HW.device
    shown_NHW = shrink(maps_CHW[grid.first : grid.last], grid.tile_height, grid.tile_width)
    num, height, width = shown_NHW.shape
    index = display.table_index(shown_NHW, range_low, range_high)
    words = table(palette, device).index_select(0, index.to(torch.int32).reshape(-1))
    words = torch.cat([words, table(palette, device)[GAP_INDEX:]])
    places = _places(grid, num, height, width, device)
    area = grid.area
    pixels = words.index_select(0, places).view(area.height, area.width)
    canvas_HW[area.rows, area.columns] = pixels


@lru_cache(maxsize=32)
def _places(grid: Grid, num: int, height: int, width: int, device: torch.device) -> Tensor:
    """int32: for each pixel of the area its place among num * height * width cells; the next one
    stands for the lines between tiles, and the one after that for the panel.

    Cached: it depends on the layer's shape and the pane only.
    """
    area = grid.area
    y, x = torch.arange(area.height)[:, None], torch.arange(area.width)[None, :]
    row, col = y // grid.pitch_y, x // grid.pitch_x
    inner_y, inner_x = y % grid.pitch_y, x % grid.pitch_x
    tile = row * grid.num_cols + col
    right_of, below = inner_x >= grid.tile_width, inner_y >= grid.tile_height
    taken = (col < grid.num_cols) & (tile < num)
    line = taken & (grid.caption_height == 0)
    line = line & ~(right_of & ((col + 1 >= grid.num_cols) | (tile + 1 >= num)))
    line = line & ~(below & (tile + grid.num_cols >= num))
    cells = num * height * width
    place = (tile * height + inner_y * height // grid.tile_height) * width
    place = place + inner_x * width // grid.tile_width
    elsewhere = torch.where(line, cells, cells + 1)
    place = torch.where(taken & ~right_of & ~below, place, elsewhere)
    return place.to(torch.int32).reshape(-1).to(device)

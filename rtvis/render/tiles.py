"""Maps to tiles on the canvas: scale, colour and place in one go.

On a CPU, and wherever CuPy is missing, a few torch operations do it; on CUDA one kernel does
(`kernels.py`).
"""

from functools import lru_cache

import cv2
import torch
from torch import Tensor

from rtvis.render import display
from rtvis.render.grid import Grid
from rtvis.render.kernels import TYPE_CODES, cuda_kernel, launch
from rtvis.render.lut import GAP_INDEX, Ground, Palette, table
from rtvis.render.resample import shrink


def draw_tiles(
    canvas_HW: Tensor,
    maps_CHW: Tensor,
    grid: Grid,
    *,
    range_low: Tensor,
    range_high: Tensor,
    palette: Palette,
    ground: Ground,
    gamma: float = 1.0,
) -> None:
    """Draw the tiles in sight over the whole area of `grid`, nearest growing, area shrinking.

    Args:
        canvas_HW: int32 packed pixels, written in place.
        maps_CHW: One map for each tile of the grid, any float type and strides.
        grid: Where the tiles go; lines run between them unless they have captions.
        range_low: Lower end of the colour range, a float32 scalar on the device (0, or -high).
        range_high: Upper end.
        palette: Colour table to use.
        ground: Colours of what is no data.
        gamma: Exponent of a value's share of the range.
    """
    assert maps_CHW.shape[0] == grid.num, "one tile for each map"
    kernel = cuda_kernel(canvas_HW.device.index or 0) if canvas_HW.is_cuda else None
    if kernel is not None and maps_CHW.dtype in TYPE_CODES:
        launch(
            kernel,
            canvas_HW,
            maps_CHW,
            grid,
            range_low,
            range_high,
            table(palette, canvas_HW.device, gamma, ground),
        )
    else:
        draw_tiles_torch(
            canvas_HW,
            maps_CHW,
            grid,
            range_low=range_low,
            range_high=range_high,
            palette=palette,
            gamma=gamma,
            ground=ground,
        )


def draw_tiles_torch(
    canvas_HW: Tensor,
    maps_CHW: Tensor,
    grid: Grid,
    *,
    range_low: Tensor,
    range_high: Tensor,
    palette: Palette,
    ground: Ground,
    gamma: float = 1.0,
) -> None:
    """`draw_tiles` with torch operations: colour at the smaller resolution, then repeat.

    The colours are gathered for those rows of the area that differ from the one above, and then
    whole rows are repeated, which is much faster than pixel by pixel.
    """
    device = canvas_HW.device
    planes_CHW = planes(maps_CHW)[grid.first : grid.last]
    shown_NHW = shrink(planes_CHW, grid.tile_height, grid.tile_width)
    num, height, width = shown_NHW.shape
    index = display.table_index(shown_NHW, range_low, range_high).to(torch.int32).view(-1)
    colours = table(palette, device, gamma, ground)
    words = torch.empty(index.numel() + 2, dtype=torch.int32, device=device)
    torch.index_select(colours, 0, index, out=words[:-2])
    words[-2:] = colours[GAP_INDEX:]
    places, rows = _places(grid, num, height, width, device)
    area = grid.area
    wide_HW = words.index_select(0, places.view(-1)).view(places.shape)
    part_HW = canvas_HW[area.rows, area.columns]
    if device.type == "cpu":
        torch.index_select(wide_HW, 0, rows, out=part_HW)
    else:
        part_HW.copy_(wide_HW.index_select(0, rows))


def planes(maps_CHW: Tensor) -> Tensor:
    """The same values as float32 and map after map in memory.

    Networks compute with the channels innermost. OpenCV turns that around five times faster than
    torch does on one thread: 0.1 ms for 400,000 values.
    """
    maps_CHW = maps_CHW.float()
    pixels_HWC = maps_CHW.permute(1, 2, 0)
    on_host = maps_CHW.device.type == "cpu"
    if not on_host or maps_CHW.is_contiguous() or not pixels_HWC.is_contiguous():
        return maps_CHW.contiguous()
    turned = cv2.transpose(pixels_HWC.flatten(0, 1).numpy())
    return torch.from_numpy(turned).view(maps_CHW.shape)


@lru_cache(maxsize=32)
def _places(
    grid: Grid, num: int, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where the colours of the area come from. Cached: it depends on layer and pane only.

    Returns:
        int32 [rows that differ, width of the area]: for each pixel its place among
        num * height * width cells; the next one stands for the lines between tiles, and the one
        after that for the panel. And int64 [height of the area]: which of these rows is drawn.
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
    different, rows = torch.unique_consecutive(place, dim=0, return_inverse=True)
    return different.to(torch.int32).to(device), rows.to(device)

"""Maps to tiles on a CPU, where pixel by pixel is slow: rows and columns are repeated whole."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.render import display, lut
from rtvis.render.grid import Grid
from rtvis.render.resample import shrink

Words = npt.NDArray[np.int32]


def draw_tiles_host(
    canvas_HW: Tensor,
    maps_CHW: Tensor,
    grid: Grid,
    *,
    range_low: Tensor,
    range_high: Tensor,
    palette: lut.Palette,
) -> None:
    """`tiles.draw_tiles` on a CPU: the same pixels as `draw_tiles_torch`.

    The cells of all tiles are coloured and laid side by side, each tile with one column and one
    row more for the gap after it. Then every pixel's colour is that at its column and its row.
    """
    maps_CHW = planes(maps_CHW)[grid.first : grid.last]
    shown_NHW = shrink(maps_CHW, grid.tile_height, grid.tile_width)
    num, height, width = shown_NHW.shape
    index_NHW = display.table_index(shown_NHW, range_low, range_high).to(torch.int32)
    table = lut.table(palette, canvas_HW.device)
    words_NHW = table.index_select(0, index_NHW.view(-1)).view(num, height, width).numpy()

    sheet = _sheet(grid, height, width)
    cells_RHCW = sheet.cells_RHCW.copy()
    full, rest = divmod(num, grid.num_cols)
    cells_RHCW[:full, :height, :, :width] = (
        words_NHW[: num - rest].reshape(full, grid.num_cols, height, width).transpose(0, 2, 1, 3)
    )
    if rest:
        cells_RHCW[full, :height, :rest, :width] = words_NHW[num - rest :].transpose(1, 0, 2)
    cells_HW = cells_RHCW.reshape(-1, grid.num_cols * (width + 1))
    wide_HW = np.take(cells_HW, sheet.columns, axis=1, mode="clip")
    area = grid.area
    torch.index_select(
        torch.from_numpy(wide_HW), 0, sheet.rows, out=canvas_HW[area.rows, area.columns]
    )


def planes(maps_CHW: Tensor) -> Tensor:
    """The same values as float32 and map after map in memory.

    Networks compute with the channels innermost. OpenCV turns that around five times faster than
    torch does on one thread: 0.1 ms for 400,000 values.
    """
    maps_CHW = maps_CHW.float()
    pixels_HWC = maps_CHW.permute(1, 2, 0)
    if maps_CHW.is_contiguous() or not pixels_HWC.is_contiguous():
        return maps_CHW.contiguous()
    turned = cv2.transpose(pixels_HWC.flatten(0, 1).numpy())
    return torch.from_numpy(turned).view(maps_CHW.shape)


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """What stays the same while a grid shows maps of one size."""

    cells_RHCW: Words
    """int32 [rows of tiles, height + 1, columns of tiles, width + 1]: gaps are drawn, tiles not."""
    columns: npt.NDArray[np.intp]
    """For each column of the area its column of the sheet."""
    rows: Tensor
    """int64: the same for rows."""


@lru_cache(maxsize=32)
def _sheet(grid: Grid, height: int, width: int) -> _Sheet:
    num, num_cols = grid.last - grid.first, grid.num_cols
    num_rows = -(-num // num_cols)
    cells_RHCW = np.full((num_rows, height + 1, num_cols, width + 1), lut.PANEL, np.int32)
    if not grid.caption_height:
        # A line runs between two tiles only, not around them.
        tile = np.arange(num_rows * num_cols).reshape(num_rows, 1, num_cols, 1)
        right = (tile % num_cols + 1 < num_cols) & (tile + 1 < num)
        below = tile + num_cols < num
        colours = np.array([lut.PANEL, lut.HAIRLINE], np.int32)
        cells_RHCW[:, :height, :, width:] = colours[right.astype(np.intp)]
        cells_RHCW[:, height:, :, :width] = colours[below.astype(np.intp)]
        cells_RHCW[:, height:, :, width:] = colours[(right & below).astype(np.intp)]
    cells_RHCW.flags.writeable = False
    area = grid.area
    columns = _places(area.width, grid.pitch_x, grid.tile_width, width, num_cols)
    rows = _places(area.height, grid.pitch_y, grid.tile_height, height, num_rows)
    return _Sheet(cells_RHCW, columns, torch.from_numpy(rows))


def _places(length: int, pitch: int, tile: int, cells: int, num: int) -> npt.NDArray[np.intp]:
    """The row or column of the sheet for each one of the area; beyond the tiles the last gap's."""
    index, inner = np.divmod(np.arange(length), pitch)
    cell = np.where(inner < tile, inner * cells // tile, cells)
    return np.where(index < num, index * (cells + 1) + cell, num * (cells + 1) - 1)

"""Maps to tiles on CUDA: one kernel, whose shapes are arguments, so that no layer has to be
compiled for."""

import logging
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor

from rtvis.render.display import LEAST_RANGE
from rtvis.render.grid import Grid
from rtvis.render.lut import (
    DIVERGING_ZERO,
    GAP_INDEX,
    NAN_INDEX,
    PANEL_INDEX,
    SEQUENTIAL_ZERO,
    STEPS,
)

log = logging.getLogger(__name__)

KERNEL_NAME: Final = "draw_tiles"

CUDA_SOURCE: Final = (
    f"""
#define STEPS {STEPS}
#define LEAST_RANGE {LEAST_RANGE:g}f
#define SEQUENTIAL_ZERO {SEQUENTIAL_ZERO}
#define DIVERGING_ZERO {DIVERGING_ZERO}
#define NAN_INDEX {NAN_INDEX}
#define GAP_INDEX {GAP_INDEX}
#define PANEL_INDEX {PANEL_INDEX}
"""
    + r"""
// One thread for each pixel of the area. Element types: 0 float32, 1 float16, 2 bfloat16; read
// without cuda_fp16.h, which not every CuPy installation can find.
__device__ inline float load(const void* maps, int type, long long index) {
    if (type == 0) return ((const float*)maps)[index];
    unsigned short bits = ((const unsigned short*)maps)[index];
    float value;
    if (type == 1) {
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    } else {
        value = __uint_as_float(((unsigned int)bits) << 16);
    }
    return value;
}

// Source cells under one pixel of a tile: one cell where the tile is as large as the map or
// larger (nearest), else all that the pixel covers, with the covered share of each (area).
__device__ inline void cover(int at, int tile, int map, int* first, int* last, float* begin,
                             float* end) {
    if (tile >= map) {
        *first = (int)((long long)at * map / tile);
        *last = *first + 1;
        *begin = (float)*first;
        *end = (float)*last;
        return;
    }
    *begin = (float)((double)at * map / tile);
    *end = (float)((double)(at + 1) * map / tile);
    *first = (int)floorf(*begin);
    *last = min((int)ceilf(*end), map);
}

extern "C" __global__ void draw_tiles(
    const void* maps, int type, long long stride_c, long long stride_h, long long stride_w,
    int map_height, int map_width, int first_tile, int last_tile, int num_cols,
    int tile_height, int tile_width, int pitch_y, int pitch_x, int lines,
    int top, int left, int height, int width, long long canvas_stride,
    const float* range_low, const float* range_high, const int* table, int* canvas) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    int* pixel = canvas + (long long)(top + y) * canvas_stride + left + x;
    int col = x / pitch_x, inner_x = x - col * pitch_x;
    int row = y / pitch_y, inner_y = y - row * pitch_y;
    int tile = first_tile + row * num_cols + col;
    bool right_of = inner_x >= tile_width, below = inner_y >= tile_height;
    if (col >= num_cols || tile >= last_tile || right_of || below) {
        // A line runs between two tiles only, not around them.
        bool line = lines && col < num_cols && tile < last_tile;
        line = line && !(right_of && (col + 1 >= num_cols || tile + 1 >= last_tile));
        line = line && !(below && tile + num_cols >= last_tile);
        *pixel = table[line ? GAP_INDEX : PANEL_INDEX];
        return;
    }
    int row0, row1, col0, col1;
    float y0, y1, x0, x1;
    cover(inner_y, tile_height, map_height, &row0, &row1, &y0, &y1);
    cover(inner_x, tile_width, map_width, &col0, &col1, &x0, &x1);
    float sum = 0.0f;
    for (int r = row0; r < row1; ++r) {
        float share_y = fminf(y1, r + 1.0f) - fmaxf(y0, (float)r);
        float line = 0.0f;
        for (int c = col0; c < col1; ++c) {
            float share_x = fminf(x1, c + 1.0f) - fmaxf(x0, (float)c);
            line += share_x * load(maps, type, tile * stride_c + r * stride_h + c * stride_w);
        }
        sum += share_y * line;
    }
    float value = sum / ((y1 - y0) * (x1 - x0));
    float gain = (float)STEPS / fmaxf(*range_high, LEAST_RANGE);
    float zero = *range_low < 0.0f ? (float)DIVERGING_ZERO : (float)SEQUENTIAL_ZERO;
    int index = NAN_INDEX;
    if (value == value) {
        index = (int)(fminf(fmaxf(value * gain, -(float)STEPS), (float)STEPS) + (zero + 0.5f));
    }
    *pixel = table[index];
}
"""
)

TYPE_CODES: Final = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
_BLOCK: Final = (32, 8)


@lru_cache(maxsize=16)
def cuda_kernel(device_index: int) -> Any | None:
    """The compiled kernel, or None (said once in the log) where CuPy is missing or cannot make it.

    It may not find CUDA's compiler or its headers, and wants a driver as new as itself: whatever it
    is, torch's operations draw the same.
    """
    try:
        import cupy

        if not cupy.cuda.is_available():
            log.warning("CuPy finds no usable CUDA; drawing tiles with torch operations")
            return None
        # Without fused multiply-add the colours are those of the torch operations.
        with cupy.cuda.Device(device_index):
            module = cupy.RawModule(code=CUDA_SOURCE, options=("--fmad=false",))
            return module.get_function(KERNEL_NAME)
    except ImportError:
        log.info("CuPy is not installed; drawing tiles with torch operations")
        return None
    except Exception as fault:  # noqa: BLE001 - its kinds are CuPy's own
        reason = str(fault).strip().partition("\n")[0] or type(fault).__name__
        log.warning("CuPy cannot make its kernel (%s); drawing tiles with torch operations", reason)
        return None


def launch(
    kernel: Any,
    canvas_HW: Tensor,
    maps_CHW: Tensor,
    grid: Grid,
    range_low: Tensor,
    range_high: Tensor,
    colours: Tensor,
) -> None:
    """Queue the kernel on torch's present stream; arguments as of `tiles.draw_tiles`, but for
    `colours`, the colour table."""
    import cupy
    import numpy as np

    area = grid.area
    device = canvas_HW.device
    pointer = np.uintp
    arguments = (
        pointer(maps_CHW.data_ptr()),
        np.int32(TYPE_CODES[maps_CHW.dtype]),
        *(np.int64(stride) for stride in maps_CHW.stride()),
        *(np.int32(size) for size in maps_CHW.shape[1:]),
        np.int32(grid.first),
        np.int32(grid.last),
        np.int32(grid.num_cols),
        *(np.int32(size) for size in (grid.tile_height, grid.tile_width)),
        *(np.int32(size) for size in (grid.pitch_y, grid.pitch_x)),
        np.int32(grid.caption_height == 0),
        *(np.int32(size) for size in (area.top, area.left, area.height, area.width)),
        np.int64(canvas_HW.stride(0)),
        pointer(range_low.data_ptr()),
        pointer(range_high.data_ptr()),
        pointer(colours.data_ptr()),
        pointer(canvas_HW.data_ptr()),
    )
    blocks = (-(-area.width // _BLOCK[0]), -(-area.height // _BLOCK[1]))
    # CuPy queues on torch's stream, so torch's allocator and order of work stay right.
    stream = torch.cuda.current_stream(device)
    with cupy.cuda.Device(device.index or 0), cupy.cuda.ExternalStream(stream.cuda_stream):
        kernel(blocks, _BLOCK, arguments)

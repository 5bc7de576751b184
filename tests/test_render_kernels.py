"""Tiles: torch operations against a plain reference, the CUDA kernel against both."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import inks
import numpy as np
import pytest
import torch

from rtvis.render import lut
from rtvis.render.display import ColourRange
from rtvis.render.grid import Grid, Rect, fit_grid
from rtvis.render.kernels import CUDA_SOURCE, KERNEL_NAME, cuda_kernel, launch
from rtvis.render.resample import grow, shrink
from rtvis.render.tiles import draw_tiles, draw_tiles_torch

CPU = torch.device("cpu")

GROUND = lut.DEFAULT_GROUND


def ranges_of(maps_CHW: torch.Tensor) -> dict[str, torch.Tensor]:
    low, high = torch.aminmax(maps_CHW.float())
    drawn = ColourRange(maps_CHW.device).update(low, high, key=0, smoothed=False)
    return {"range_low": drawn[0], "range_high": drawn[1]}


def on_line(grid: Grid, x: int, y: int) -> bool:
    """Whether a pixel in a gap of one pixel lies between tiles, not beside or below the last."""
    if grid.at(x - 1, y) is not None:
        return grid.at(x + 1, y) is not None
    if grid.at(x, y - 1) is not None:
        return grid.at(x, y + 1) is not None
    around = [grid.at(x - 1, y - 1), grid.at(x + 1, y - 1), grid.at(x - 1, y + 1)]
    return None not in around


def reference(maps_CHW: np.ndarray, grid: Grid, canvas_HW: np.ndarray) -> np.ndarray:
    """Every pixel on its own, in float64."""
    words = lut.table_words("colour")
    low, high = min(maps_CHW.min(), 0.0), max(maps_CHW.max(), 0.0)
    zero, largest = (766, max(high, -low)) if low < 0 else (255, high)
    _, height, width = maps_CHW.shape

    def cover(at: int, tile: int, size: int) -> list[tuple[int, float]]:
        if tile >= size:
            return [(at * size // tile, 1.0)]
        begin, end = at * size / tile, (at + 1) * size / tile
        cells = range(int(begin), min(int(np.ceil(end)), size))
        return [(c, (min(end, c + 1) - max(begin, c)) / (end - begin)) for c in cells]

    area = grid.area
    for y in range(area.top, area.bottom):
        for x in range(area.left, area.right):
            unit = grid.at(x, y)
            if unit is None:
                canvas_HW[y, x] = inks.HAIRLINE if on_line(grid, x, y) else inks.PANEL
                continue
            tile = grid.tile(unit)
            assert tile is not None
            value = sum(
                share_y * share_x * maps_CHW[unit, r, c]
                for r, share_y in cover(y - tile.top, tile.height, height)
                for c, share_x in cover(x - tile.left, tile.width, width)
            )
            index = np.floor(np.clip(value / largest, -1, 1) * 255 + zero + 0.5)
            canvas_HW[y, x] = words[int(index)]
    return canvas_HW


CASES = {
    "growing": (5, (4, 4), Rect(3, 5, 61, 70), -1.0),
    "shrinking": (6, (40, 33), Rect(0, 0, 50, 64), -1.0),
    "one way each": (3, (40, 5), Rect(2, 2, 60, 60), 0.0),
    "same size": (1, (20, 30), Rect(1, 1, 20, 30), 0.0),
    "dense": (37, (1, 1), Rect(0, 0, 40, 50), -1.0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_tiles_equal_a_reference_that_works_pixel_by_pixel(case: str, channels_last: bool) -> None:
    num, map_size, area, low = CASES[case]
    generator = torch.Generator().manual_seed(1)
    maps_CHW = torch.rand(num, *map_size, generator=generator) * (2 - low) + low
    if channels_last:
        maps_CHW = maps_CHW[None].to(memory_format=torch.channels_last)[0]
    grid = fit_grid(num, map_size, area, min_tile=3, gap=1)
    canvas_HW = torch.full((80, 90), 7, dtype=torch.int32)
    expected = reference(maps_CHW.double().numpy(), grid, canvas_HW.numpy().copy())
    draw_tiles(
        canvas_HW,
        maps_CHW,
        grid,
        palette="colour",
        ground=GROUND,
        **ranges_of(maps_CHW),
    )
    # float32 may land on the other side of a rounding: then one of 511 colours is next to it.
    different = (canvas_HW.numpy() != expected).mean()
    assert different < 0.002
    assert (canvas_HW.numpy()[area.bottom :] == 7).all()
    assert (canvas_HW.numpy()[:, area.right :] == 7).all()


def test_only_the_tiles_in_sight_are_drawn_from_the_top_of_the_area() -> None:
    maps_CHW = torch.arange(20.0).view(20, 1, 1)
    grid = Grid(
        area=Rect(0, 0, 20, 20),
        num=20,
        num_cols=2,
        num_rows=10,
        rows_in_sight=2,
        first_row=8,
        tile_height=9,
        tile_width=9,
        pitch_y=10,
        pitch_x=10,
    )
    canvas_HW = torch.zeros(20, 20, dtype=torch.int32)
    draw_tiles(canvas_HW, maps_CHW, grid, palette="grey", ground=GROUND, **ranges_of(maps_CHW))
    words = lut.table_words("grey")
    # Unit 16 of 19: 255 * 16 / 19 = 214.7, rounded 215.
    assert canvas_HW[0, 0] == words[255 + 215]
    assert canvas_HW[10, 10] == words[255 + 255]
    assert canvas_HW[9, 0] == inks.HAIRLINE  # units 16 and 18 meet there
    assert canvas_HW[19, 0] == inks.PANEL  # below 18 is nothing


def test_zero_stays_black_among_signed_values() -> None:
    maps_CHW = torch.tensor([[[0.0, -1.0], [3.0, 0.0]]])
    grid = fit_grid(1, (2, 2), Rect(0, 0, 20, 20), min_tile=3, gap=0)
    canvas_HW = torch.zeros(20, 20, dtype=torch.int32)
    draw_tiles(
        canvas_HW,
        maps_CHW,
        grid,
        palette="colour",
        ground=GROUND,
        **ranges_of(maps_CHW),
    )
    assert (canvas_HW[:10, :10] == inks.BACKGROUND).all()
    assert (canvas_HW[10:, 10:] == inks.BACKGROUND).all()
    assert (canvas_HW[:10, 10:] != inks.BACKGROUND).all()


def test_nan_and_inf_in_a_map_are_drawn_and_do_not_hide_the_others() -> None:
    maps_CHW = torch.tensor([[[float("nan")]], [[float("inf")]], [[1.0]]])
    ranges = {"range_low": torch.tensor(0.0), "range_high": torch.tensor(2.0)}
    grid = fit_grid(3, (1, 1), Rect(0, 0, 10, 30), min_tile=3, gap=0)
    canvas_HW = torch.zeros(10, 30, dtype=torch.int32)
    draw_tiles(canvas_HW, maps_CHW, grid, palette="colour", ground=GROUND, **ranges)
    words = lut.table_words("colour")
    assert canvas_HW[5, 5] == inks.WARNING
    assert canvas_HW[5, 15] == words[510]
    assert canvas_HW[5, 25] == words[255 + 128]


def test_shrinking_averages_what_each_pixel_covers() -> None:
    maps_NHW = torch.tensor([[[1.0, 2.0, 6.0]]])
    # Two pixels of 1.5 cells: (1 + 2 / 2) / 1.5 and (2 / 2 + 6) / 1.5.
    assert shrink(maps_NHW, 5, 2).flatten().tolist() == pytest.approx([4 / 3, 14 / 3])
    assert shrink(maps_NHW, 1, 3) is maps_NHW


def test_growing_repeats_the_nearest_pixel() -> None:
    assert grow(torch.tensor([[1, 2]]), 2, 5).tolist() == [[1, 1, 1, 2, 2]] * 2


@pytest.mark.parametrize("arch", ["sm_75", "sm_90", "sm_100", "sm_120"])
def test_the_cuda_source_compiles(arch: str) -> None:
    from cuda.bindings import nvrtc

    result, program = nvrtc.nvrtcCreateProgram(CUDA_SOURCE.encode(), b"tiles.cu", 0, [], [])
    assert result == nvrtc.nvrtcResult.NVRTC_SUCCESS
    options = [f"--gpu-architecture={arch}".encode(), b"--fmad=false"]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, log_size = nvrtc.nvrtcGetProgramLogSize(program)
    # NVRTC writes into this. An empty log is one byte long, and b" " * 1 is the object that Python
    # hands out for every single space: writing there turned all later bytes 32 into 0.
    log = bytes(log_size + 1)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert result == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()
    assert b"warning" not in log, log.decode()
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    cubin = bytes(size + 1)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    assert KERNEL_NAME.encode() in cubin
    assert bytes([32])[0] == 32, "nothing wrote into Python's own space"


def test_the_kernel_is_told_every_argument_that_it_declares() -> None:
    """A launch with too few arguments reads past their end, and no compiler can see it."""
    declared = CUDA_SOURCE.split(f"void {KERNEL_NAME}(")[1].split(")")[0].split(",")
    source = Path(launch.__code__.co_filename).read_text()
    told = source.split("arguments = (")[1].split("\n    )\n")[0]
    # Starred lines give 3 strides, 2 map sizes, 2 tile sizes, 2 pitches and 4 sides of the area.
    starred = told.count("*(")
    plain = sum(line.startswith("        ") and "*(" not in line for line in told.splitlines())
    assert starred == 5
    assert len(declared) == plain + 3 + 2 + 2 + 2 + 4


@pytest.mark.cuda
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_cuda_kernel_draws_what_the_torch_operations_draw(
    case: str, dtype: torch.dtype, channels_last: bool
) -> None:
    pytest.importorskip("cupy", reason="the kernel needs the extra 'cuda'")
    num, map_size, area, low = CASES[case]
    generator = torch.Generator().manual_seed(1)
    maps_CHW = (torch.rand(num, *map_size, generator=generator) * (2 - low) + low).to(dtype)
    if channels_last:
        maps_CHW = maps_CHW[None].to(memory_format=torch.channels_last)[0]
    maps_CHW = maps_CHW.cuda()
    grid = fit_grid(num, map_size, area, min_tile=3, gap=1)
    drawn, expected = (torch.zeros(80, 90, dtype=torch.int32, device="cuda") for _ in range(2))
    ranges = ranges_of(maps_CHW)
    draw_tiles(drawn, maps_CHW, grid, palette="colour", ground=GROUND, **ranges)
    draw_tiles_torch(expected, maps_CHW.float(), grid, palette="colour", ground=GROUND, **ranges)
    assert expected.unique().numel() > 10
    assert (drawn != expected).float().mean().item() < 0.002


@pytest.fixture
def no_kernel_yet() -> Iterator[None]:
    cuda_kernel.cache_clear()
    yield
    cuda_kernel.cache_clear()


@pytest.mark.usefixtures("no_kernel_yet")
def test_where_cupy_cannot_make_the_kernel_it_is_said_once_and_torch_draws(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise OSError("libnvrtc.so.13: cannot open\nfurther lines")

    device = SimpleNamespace(is_available=lambda: True, Device=contextlib.nullcontext)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=device, RawModule=fail))
    with caplog.at_level(logging.WARNING):
        assert cuda_kernel(0) is None
        assert cuda_kernel(0) is None
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        "CuPy cannot make its kernel (libnvrtc.so.13: cannot open); "
        "drawing tiles with torch operations"
    )

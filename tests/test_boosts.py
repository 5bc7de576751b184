"""What boosts and palettes make of numbers, worked out by hand."""

import numpy as np
import pytest
import torch

from rtvis.render import display, lut
from rtvis.render.grid import Rect, fit_grid
from rtvis.render.tiles import draw_tiles


def test_dvt_s_unit_boost_multiplies_by_the_unit_s_share_of_the_range() -> None:
    maps_CHW = torch.tensor([[[4.0, 2.0]], [[1.0, 0.5]], [[-2.0, 0.0]], [[0.0, 0.0]]])
    high = torch.tensor(4.0)
    half = display.boost_units(maps_CHW, high, 0.5)
    # Shares 1, 1/4, 1/2 and 0: gains 1, 2, sqrt(2), and a zero map stays zero.
    want = [[[4.0, 2.0]], [[2.0, 1.0]], [[-2 * 2**0.5, 0.0]], [[0.0, 0.0]]]
    assert torch.allclose(half, torch.tensor(want), rtol=1e-6)
    full = display.boost_units(maps_CHW, high, 1.0)
    assert torch.allclose(full.abs().amax(dim=(1, 2)), torch.tensor([4.0, 4, 4, 0]), rtol=1e-6)
    # Beyond a range that lags behind: not made weaker.
    beyond = display.boost_units(torch.tensor([[[8.0]]]), high, 1.0)
    assert beyond.item() == pytest.approx(8.0)


@pytest.mark.parametrize("palette", ["colour", "grey", "jet", "gradient"])
def test_gamma_gives_a_value_the_colour_of_its_power(palette: lut.Palette) -> None:
    plain, bright = lut.table_words(palette), lut.table_words(palette, 0.5)
    # A quarter of the range, 64 of 255 steps, is shown as its root: 128 of 255.
    for zero in (lut.SEQUENTIAL_ZERO, lut.DIVERGING_ZERO):
        assert bright[zero + 64] == plain[zero + 128]
        assert bright[zero] == plain[zero]
        assert bright[zero + 255] == plain[zero + 255]
    assert bright[lut.DIVERGING_ZERO - 64] == plain[lut.DIVERGING_ZERO - 128]
    assert np.array_equal(bright[lut.NAN_INDEX :], plain[lut.NAN_INDEX :])


def test_gradients_are_green_above_zero_red_below_and_black_at_it() -> None:
    area = Rect(0, 0, 3, 15)
    grid = fit_grid(4, (1, 1), area, min_tile=3, gap=1)
    canvas_HW = torch.zeros(3, 15, dtype=torch.int32)
    # DVT-25: x / max(max, -min): 1, -1/2, 0 and 1/4.
    maps_CHW = torch.tensor([2.0, -1.0, 0.0, 0.5]).view(4, 1, 1)
    draw_tiles(
        canvas_HW, maps_CHW, grid, range_low=torch.tensor(-2.0), range_high=torch.tensor(2.0),
        palette="gradient", ground=lut.DEFAULT_GROUND,
    )  # fmt: skip
    tiles = [grid.tile(i) for i in range(4)]
    seen = [int(canvas_HW[t.top, t.left]) & 0xFFFFFF for t in tiles if t is not None]
    assert seen[0] == 0x00FF00
    assert seen[1] in {0x7F0000, 0x800000}
    assert seen[2] == 0x000000
    assert seen[3] in {0x003F00, 0x004000}
    first = tiles[0]
    assert first is not None
    assert int(canvas_HW[first.top, first.right]) & 0xFFFFFF == 0x333380, "the lines are blue"


def test_jet_runs_from_blue_to_red_and_is_not_turned_around() -> None:
    words = lut.table_words("jet")
    low, high = (lut.channels(int(words[lut.SEQUENTIAL_ZERO + at])) for at in (0, 255))
    assert low[2] > 100 > low[0]
    assert high[0] > 100 > high[2]

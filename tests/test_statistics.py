"""Histograms and correlations: numbers worked out by hand and by numpy, and the pixels drawn."""

from __future__ import annotations

from dataclasses import replace

import inks
import numpy as np
import pytest
import torch
from torch import Tensor

from rtvis.data import Layer, PointerEvent, Selection, Target
from rtvis.render import hover_words, lut, wording
from rtvis.render.compositor import Compositor
from rtvis.render.correlation import CorrelationGauge, every, shown_units, standardise
from rtvis.render.grid import Rect
from rtvis.render.histogram import HistogramGauge, count_bins, count_waitless, count_weights
from rtvis.render.layout import layout
from rtvis.render.pages import PAGES
from rtvis.render.pages.correlation import listed_units
from rtvis.render.pages.histogram import plan_of, plot
from rtvis.render.pairs import lay_pairs
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.session import View
from rtvis.theme import Ink
from tests.nets import engine_of
from tests.nets_fake import FakeEngine
from tests.test_compositor import CPU, part, pixels, result_for, scene_for
from tests.test_controller import Desk
from tests.test_turn import Bench

ENDS = torch.tensor(-4.0), torch.tensor(4.0)


def shown(maps_CHW: Tensor, *, unit: int = 0, seq: int = 0, **of_view: object) -> Scene:
    """A scene of a layer with these maps."""
    height, width = maps_CHW.shape[1:]
    layer = Layer(
        index=0,
        name="layer",
        kind="conv",
        num_units=maps_CHW.shape[0],
        map_size=(height, width),
        stride=(4.0, 4.0),
        receptive_field=(7, 7),
    )
    selection = Selection(layer="layer", unit=unit, cam_layer="layer", seed="max", class_index=0)
    result = replace(result_for(), maps_BCHW=maps_CHW[None], selection=selection, seq=seq)
    result = replace(result, position_B2=torch.zeros(1, 2, dtype=torch.int64))
    scene = scene_for(result=result)
    view = replace(scene.view, selection=selection, **of_view)  # type: ignore[arg-type]
    return replace(scene, layers=(layer,), labels=None, view=view)


def random_maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Counting


def test_each_value_is_counted_in_its_bin_and_the_upper_end_in_the_last() -> None:
    values = torch.tensor([-4.0, -3.9, 0.0, 0.1, 0.125, 3.9, 4.0])
    counts = count_bins(values, *ENDS)  # bins of 1/8
    assert {i: int(n) for i, n in enumerate(counts) if n} == {0: 2, 32: 2, 33: 1, 63: 2}


def test_values_beyond_a_smoothed_range_are_counted_in_the_outermost_bins() -> None:
    counts = count_bins(torch.tensor([-9.0, 5.0, 1e30]), *ENDS)
    assert counts[0] == 1
    assert counts[63] == 2


def test_values_that_are_not_finite_are_in_no_bin() -> None:
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.06])
    counts = count_bins(values, *ENDS)
    assert counts.sum() == 1
    assert counts[40] == 1


def test_a_layer_of_zeros_is_counted_in_one_bin() -> None:
    counts = count_bins(torch.zeros(3, 2, 2), torch.tensor(0.0), torch.tensor(0.0))
    assert counts[0] == 12
    assert counts.sum() == 12


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_counts_equal_numpys_whatever_the_order_in_memory(memory: torch.memory_format) -> None:
    maps_BCHW = random_maps(1, 20, 70, 50).contiguous(memory_format=memory)  # several chunks
    counts = count_bins(maps_BCHW[0], *ENDS)
    clipped = maps_BCHW.double().clamp(-4, 4).numpy()
    expected, _ = np.histogram(clipped, bins=64, range=(-4, 4))
    # One value in a million may lie within a rounding of a border.
    assert np.abs(counts.numpy() - expected).sum() <= 2
    assert counts.sum() == maps_BCHW.numel()


def test_counting_without_waiting_for_the_device_gives_the_same() -> None:
    values = torch.cat([random_maps(1000), torch.tensor([torch.nan, torch.inf, -4.0, 4.0, 9.0])])
    assert torch.equal(count_waitless(values, *ENDS), count_bins(values, *ENDS))


def test_the_gauge_tells_zeros_dead_units_and_broken_values() -> None:
    maps_CHW = torch.tensor(
        [
            [[0.0, 1.0], [2.0, 0.0]],
            [[0.0, 0.0], [0.0, 0.0]],  # dead
            [[-1.0, -2.0], [0.0, -3.0]],  # nowhere above zero: a ReLU leaves nothing of it
            [[torch.nan, 1.0], [torch.inf, -torch.inf]],
        ]
    )
    measured = HistogramGauge(CPU).measure(shown(maps_CHW), ENDS)
    assert measured.page_numbers.tolist() == [-4.0, 4.0, 7.0, 2.0, 1.0, 2.0]
    assert measured.layer_N.sum() == 13
    assert measured.unit_N.nonzero().flatten().tolist() == [32, 40, 48]
    assert measured.num_values == 16


def test_the_scale_of_counts_rises_by_half_and_falls_by_a_twelfth() -> None:
    gauge = HistogramGauge(CPU)
    spread = torch.linspace(-4, 4, 64).view(1, 8, 8)  # one value in each bin: peak 1 / 64
    flat = torch.zeros(1, 8, 8)  # all in one: peak 1

    def peak(maps_CHW: Tensor, **of_view: object) -> float:
        return float(gauge.measure(shown(maps_CHW, **of_view), ENDS).peak)

    assert peak(spread) == pytest.approx(1 / 64)
    risen = (1 / 64 + 1) / 2
    assert peak(flat) == pytest.approx(risen)
    assert peak(spread) == pytest.approx(risen + (1 / 64 - risen) / 12)
    assert peak(flat, range_smoothed=False) == 1


def test_weights_are_counted_in_16_bins_with_their_centres() -> None:
    # 0 ... 15, the last one twice, and two that do not count.
    weights = torch.tensor([*range(16), 15.0, torch.nan, torch.inf]).view(1, 19, 1, 1)
    found = count_weights(weights)
    assert found.counts == (*[1] * 15, 2)
    assert (found.low, found.high, found.num_weights, found.num_not_finite) == (0, 15, 19, 2)
    assert found.num_zeros == 1
    assert found.mean == pytest.approx(135 / 17)
    assert found.centres[0] == pytest.approx(15 / 32)
    assert found.centres[15] == pytest.approx(15 - 15 / 32)


def test_of_very_many_weights_every_so_many_th_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtvis.render.histogram._MOST_WEIGHTS", 10)
    found = count_weights(torch.arange(25.0))
    assert found.step == 3
    assert sum(found.counts) == 9  # 0, 3 ... 24
    assert (found.high, found.num_weights) == (24.0, 25)
    assert count_weights(torch.full((4,), torch.nan)).num_not_finite == 4
    assert count_weights(torch.full((4,), 2.0)).counts == (4, *[0] * 15)


def test_the_engine_gives_the_weights_of_the_model_not_the_folded_ones() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.norm = torch.nn.BatchNorm2d(4)
            self.fc = torch.nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.norm(self.conv(x)).relu().mean(dim=(2, 3)))

    net = Net().eval()
    net.norm.weight.data.fill_(3.0)
    with engine_of(net, size=(16, 16)) as engine:
        for name, module in (("conv", net.conv), ("fc", net.fc)):
            weights = engine.weights(name)
            assert weights is not None
            assert torch.equal(weights, module.weight)
            assert engine.weights(name) is weights, "the same object: it is counted once"
        assert engine.weights("nowhere") is None


# Correlating


def test_correlations_equal_numpys() -> None:
    maps_CHW = random_maps(7, 6, 5)
    maps_CHW[3] = 2 * maps_CHW[1] + 3  # r = 1
    maps_CHW[4] = -maps_CHW[1]  # r = -1
    measured = CorrelationGauge(CPU).measure(shown(maps_CHW, unit=1), ENDS)
    expected = np.corrcoef(maps_CHW.flatten(1).double().numpy())
    assert measured.matrix_CC is not None
    np.testing.assert_allclose(measured.matrix_CC.numpy(), expected, atol=1e-6)
    assert measured.num_samples == 30
    lists = numbers_of(measured.page_numbers)
    assert lists[0][0] == (3, pytest.approx(1.0))
    assert lists[1][0] == (4, pytest.approx(-1.0))
    order = [unit for unit in np.argsort(-expected[1]) if unit != 1 and expected[1][unit] > 0]
    assert [unit for unit, _ in lists[0]] == order


def numbers_of(numbers: Tensor) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    return listed_units(Readout(page="correlation", page_numbers=tuple(numbers.tolist())))


def test_units_that_do_not_vary_or_are_not_finite_are_told_and_not_listed() -> None:
    maps_CHW = random_maps(6, 4, 4)
    maps_CHW[1] = 0.1  # its mean is rounded: what is left of it must not correlate
    maps_CHW[2, 0, 0] = torch.nan
    maps_CHW[3, 0, 0] = torch.inf
    measured = CorrelationGauge(CPU).measure(shown(maps_CHW), ENDS)
    matrix_CC = measured.matrix_CC
    assert matrix_CC is not None
    assert matrix_CC[1, [0, 1, 4, 5]].tolist() == [0, 0, 0, 0]
    assert matrix_CC[2].isnan().all()
    assert matrix_CC[:, 3].isnan().all()
    sound = [0, 4, 5]
    expected = np.corrcoef(maps_CHW[sound].flatten(1).double().numpy())
    np.testing.assert_allclose(matrix_CC[sound][:, sound].numpy(), expected, atol=1e-6)
    num_constant, num_broken, state, _ = measured.page_numbers[:4].tolist()
    assert (num_constant, num_broken, state) == (1, 2, 0)
    lists = numbers_of(measured.page_numbers)
    assert sorted(unit for unit, _ in (*lists[0], *lists[1])) == [4, 5]
    for unit, expected_state in ((1, 1), (2, 2), (3, 2)):
        gauge = CorrelationGauge(CPU)
        assert gauge.measure(shown(maps_CHW, unit=unit), ENDS).page_numbers[2] == expected_state


def test_units_with_one_value_are_correlated_over_the_last_64_pictures() -> None:
    gauge = CorrelationGauge(CPU)
    values_FC = random_maps(70, 5)
    for seq, values_C in enumerate(values_FC):
        scene = shown(values_C.view(5, 1, 1), seq=seq)
        measured = gauge.measure(scene, ENDS)
        again = gauge.measure(scene, ENDS)  # drawn again: not another picture
        assert measured.num_frames == again.num_frames == min(seq + 1, 64)
        assert (measured.matrix_CC is None) == (seq < 2)
    expected = np.corrcoef(values_FC[6:].T.double().numpy())
    np.testing.assert_allclose(measured.matrix_CC.numpy(), expected, atol=1e-6)
    # The same picture computed for another unit replaces what it gave.
    moved = gauge.measure(shown(values_FC[-1].view(5, 1, 1), unit=2, seq=69), ENDS)
    np.testing.assert_allclose(moved.matrix_CC.numpy(), expected, atol=1e-6)
    other = shown(values_FC[0].view(5, 1, 1), seq=70)
    elsewhere = replace(other.result, selection=replace(other.result.selection, layer="other"))
    assert gauge.measure(replace(other, result=elsewhere), ENDS).num_frames == 1


def test_of_2048_units_512_are_in_the_matrix_and_all_in_the_lists() -> None:
    maps_CHW = random_maps(2048, 4, 4)
    maps_CHW[3] = maps_CHW[1000] * 0.5
    measured = CorrelationGauge(CPU).measure(shown(maps_CHW, unit=1000), ENDS)
    assert measured.matrix_CC is not None
    assert measured.matrix_CC.shape == (512, 512)
    assert measured.first == 704
    expected = np.corrcoef(maps_CHW[704:1216].flatten(1).double().numpy())
    np.testing.assert_allclose(measured.matrix_CC.numpy(), expected, atol=1e-5)
    assert numbers_of(measured.page_numbers)[0][0] == (3, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [(0, 0), (255, 0), (383, 64), (384, 192), (511, 192), (2047, 1536)],
)
def test_the_part_of_a_large_layer_moves_in_steps_and_holds_the_unit(
    unit: int, expected: int
) -> None:
    units = shown_units(2048, unit)
    assert units == range(expected, expected + 512)
    assert unit in units
    assert shown_units(512, 7) == range(512)


def test_large_maps_are_looked_at_every_so_many_rows_and_columns() -> None:
    assert every((112, 112), 32, 1 << 27) == 1  # 401,408 values
    assert every((112, 112), 96, 1 << 27) == 2  # 1,204,224 of them; every second: 301,056
    assert every((56, 56), 256, 1 << 27) == 2  # 206 million; every second: 51
    assert every((28, 28), 512, 1 << 27) == 2
    assert every((1, 1), 4096, 1) == 1


def test_shown_correlations_follow_new_pictures_unless_smoothing_is_off() -> None:
    first, second = random_maps(4, 5, 5, seed=1), random_maps(4, 5, 5, seed=2)
    one, two = (np.corrcoef(each.flatten(1).double().numpy()) for each in (first, second))
    gauge = CorrelationGauge(CPU)
    gauge.measure(shown(first), ENDS)
    followed = gauge.measure(shown(second, seq=1), ENDS)
    np.testing.assert_allclose(followed.matrix_CC.numpy(), one + (two - one) / 8, atol=1e-6)
    exact = gauge.measure(shown(second, seq=2, range_smoothed=False), ENDS)
    np.testing.assert_allclose(exact.matrix_CC.numpy(), two, atol=1e-6)
    broken = second.clone()
    broken[0, 0, 0] = torch.nan
    assert gauge.measure(shown(broken, seq=3), ENDS).matrix_CC[0, 1].isnan()
    healed = gauge.measure(shown(second, seq=4), ENDS)
    assert healed.matrix_CC[0, 1] == pytest.approx(two[0, 1], abs=1e-6), "NaN does not stay"


def test_standardised_columns_have_mean_zero_and_norm_one() -> None:
    z_NC, constant_C, broken_C = standardise(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert z_NC[:, 0].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])
    assert z_NC[:, 1].tolist() == [0, 0]
    assert constant_C.tolist() == [False, True]
    assert not broken_C.any()


# Drawing


def test_bars_are_as_high_as_their_share_of_the_peak() -> None:
    heights = torch.tensor([0.0, 0.5, 1.0, 0.01])
    words_HW = plot(
        heights, torch.tensor(1.0), (10, 8), behind_N=torch.tensor([0.3]), inks=inks.INKS
    )
    bars = (words_HW == inks.FAINT).sum(dim=0)
    # Two pixels to a bar are too few for gaps; the smallest share is one pixel high.
    assert bars.tolist() == [0, 0, 5, 5, 10, 10, 1, 1]
    assert (words_HW[5:, 2] == inks.FAINT).all(), "bars stand on the ground"
    behind = (words_HW == inks.INKS[Ink.BEHIND]).sum(dim=0)
    assert behind.tolist() == [3, 3, 0, 0, 0, 0, 2, 2]


def test_counts_as_logarithms() -> None:
    counts = torch.tensor([0.0, 9.0, 99.0])
    words_HW = plot(counts, torch.tensor(99.0), (10, 9), log_of=1.0, inks=inks.INKS)
    bars = (words_HW == inks.FAINT).sum(dim=0)
    # log 10 / log 100 is one half; the first column of the second and third bar is a gap.
    assert bars.tolist() == [0, 0, 0, 0, 5, 5, 0, 10, 10]


def test_the_unit_s_distribution_is_a_stepped_line() -> None:
    words_HW = plot(
        torch.zeros(2),
        torch.tensor(1.0),
        (10, 4),
        line_N=torch.tensor([0.4, 0.8]),
        thickness=1,
        inks=inks.INKS,
    )
    lit = words_HW == inks.SELECTED
    assert lit[:, 1].nonzero().flatten().tolist() == [6]
    assert lit[:, 2].nonzero().flatten().tolist() == [2, 3, 4, 5, 6], "it climbs"
    assert lit[:, 3].nonzero().flatten().tolist() == [2]


def test_the_histogram_page_draws_the_layer_s_bars_and_says_its_numbers() -> None:
    maps_CHW = torch.cat([torch.linspace(-4, 4, 4096).view(1, 64, 64), torch.zeros(1, 64, 64)])
    scene = shown(maps_CHW, page="histogram")
    compositor = Compositor(CPU)
    canvas_HW = pixels(compositor, replace(scene, weights=torch.linspace(-1, 1, 160)))
    plan = plan_of(compositor.layout)
    plotted_HW = part(canvas_HW, plan.activations)
    # Half of all values are zero, so bin 32 is full; each other one holds a 128th, and the line
    # of the unit, 64 values in each bin, is one 32nd of it.
    zero = slice(plan.activations.width // 2 + 1, plan.activations.width // 2 + 3)
    assert (plotted_HW[:, zero] == inks.FAINT).mean() > 0.9
    low, high, num_zeros, num_dead, *_ = compositor.readout.page_numbers
    assert (low, high, num_zeros, num_dead) == (-4.0, 4.0, 4096.0, 1.0)
    assert plan.weights is not None
    bars_HW = part(canvas_HW, plan.weights) == inks.FAINT
    assert bars_HW.sum(axis=0).max() == plan.weights.height, "equal counts fill the plot"
    gaps = int((~bars_HW.any(axis=0)).sum())
    assert gaps == 15


def test_the_pages_say_what_is_wrong() -> None:
    texts: list[str] = []
    maps_CHW = random_maps(6, 8, 8)
    maps_CHW[2, 0, 0] = torch.nan
    for page, unit in (("histogram", 0), ("correlation", 0), ("correlation", 2)):
        compositor = Compositor(CPU)
        compositor.compose(shown(maps_CHW, unit=unit, page=page))
        chrome = compositor._chrome
        texts.append(" ".join(word.text for words in chrome._words.values() for word in words))
    assert "NaN, infinite 1, 0" in texts[0]
    assert "1 unit with NaN or inf" in texts[1]
    assert "this unit holds NaN or inf: no r" in texts[2]


@pytest.mark.parametrize("page", ["histogram", "correlation"])
def test_a_page_leaves_no_trace_when_another_one_is_shown(page: str) -> None:
    plain = scene_for(range_smoothed=False)
    expected = pixels(Compositor(CPU), plain)
    compositor = Compositor(CPU)
    for size in ((700, 1000), (700, 1100), (800, 1280)):
        other = scene_for(size, range_smoothed=False, page=page, log_counts=True)
        pixels(compositor, other)
        dense = scene_for(size, page=page, result=result_for("fc", 1))
        pixels(compositor, dense)
        pixels(compositor, replace(other, result=None))
    assert not np.array_equal(pixels(compositor, other), expected)
    assert np.array_equal(pixels(compositor, plain), expected)


def test_a_page_that_is_not_in_sight_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(HistogramGauge, "measure", fail)
    monkeypatch.setattr(CorrelationGauge, "measure", fail)
    compositor = Compositor(CPU)
    compositor.compose(scene_for())
    for page in ("histogram", "correlation"):
        compositor.compose(scene_for((700, 1000), page=page))  # the right column is folded away
        with pytest.raises(AssertionError, match="measured"):
            compositor.compose(scene_for(page=page))


def test_the_matrix_is_drawn_with_zero_black_and_its_ends_in_two_colours() -> None:
    maps_CHW = torch.zeros(3, 8, 8)
    maps_CHW[0] = torch.arange(64.0).view(8, 8)
    maps_CHW[1] = -maps_CHW[0]
    compositor = Compositor(CPU)
    canvas_HW = pixels(compositor, shown(maps_CHW, page="correlation"))
    plan = lay_pairs(compositor.layout)
    table = lut.table_words("colour")
    together, against = table[lut.DIVERGING_ZERO + 255], table[lut.DIVERGING_ZERO - 255]
    wanted = [
        [together, against, inks.BACKGROUND],
        [against, together, inks.BACKGROUND],
        [inks.BACKGROUND] * 3,
    ]
    for row in range(3):
        for column in range(3):
            cell = plan.cell(row, column)
            assert cell is not None
            assert (part(canvas_HW, cell) == wanted[row][column]).all(), (row, column)


@pytest.mark.parametrize("num_units", [1, 3, 96, 512, 2048])
def test_a_pixel_of_the_matrix_and_its_cell_agree(num_units: int) -> None:
    layer = replace(shown(torch.zeros(1, 8, 8)).layers[0], num_units=num_units)
    drawn = layout(View(page="correlation"), (layer,), layer=layer, unit=num_units // 2)
    plan = lay_pairs(drawn)
    for y, x in ((0, 0), (7, 100), (plan.matrix.height - 1, plan.matrix.width // 2)):
        pair = plan.pair_at(plan.matrix.left + x, plan.matrix.top + y)
        assert pair is not None
        cell = plan.cell(*pair)
        assert cell is not None
        if num_units <= plan.matrix.height:
            assert cell.contains(plan.matrix.left + x, plan.matrix.top + y)
    assert plan.pair_at(plan.matrix.right, plan.matrix.top) is None
    assert plan.cell(0, 10_000) is None


# Clicking and pointing


class CorrelationDesk(Desk):
    """A controller over a canvas that the compositor draws, as in the loop."""

    def __init__(self, maps_CHW: Tensor) -> None:
        self.compositor = Compositor(CPU)
        self.maps_CHW = maps_CHW
        layers = shown(maps_CHW).layers
        super().__init__(layers, selection=Selection(layer="layer", unit=0), page="correlation")

    def draw(self) -> object:  # type: ignore[override]
        from rtvis.runtime.drawn import Drawn

        scene = shown(self.maps_CHW, unit=self.selection.unit or 0)
        self.compositor.compose(replace(scene, view=self.view))
        drawn = self.compositor.layout
        assert drawn is not None
        self.controller.drawn = Drawn(drawn, (), self.compositor.readout)
        return drawn


@pytest.fixture
def desk() -> CorrelationDesk:
    maps_CHW = random_maps(5, 8, 8)
    maps_CHW[3] = maps_CHW[0] + 0.1 * maps_CHW[1]
    maps_CHW[2] = -maps_CHW[0] + 0.1 * maps_CHW[4]
    return CorrelationDesk(maps_CHW)


def test_a_listed_unit_can_be_clicked(desk: CorrelationDesk) -> None:
    plan = lay_pairs(desk.compositor.layout)
    assert desk.click(plan.lists[0][0]).selection.unit == 3
    assert desk.click(plan.lists[0][0]).selection.unit == 0, "they are each other's first"
    assert desk.click(plan.lists[1][0]).selection.unit == 2


def test_a_cell_of_the_matrix_selects_its_row_s_unit_or_else_its_column_s(
    desk: CorrelationDesk,
) -> None:
    plan = lay_pairs(desk.compositor.layout)
    cell = plan.cell(4, 1)
    assert cell is not None
    assert desk.click(cell).selection.unit == 4
    assert desk.click(cell).selection.unit == 1
    assert desk.view.page == "correlation"


def test_the_pointer_on_the_matrix_names_the_pair_and_its_r(desk: CorrelationDesk) -> None:
    plan = lay_pairs(desk.compositor.layout)
    cell = plan.cell(0, 3)
    assert cell is not None
    x, y = cell.left + cell.width // 2, cell.top + cell.height // 2
    desk.controller.handle(PointerEvent(kind="move", x=x, y=y))
    assert desk.view.hover == Target(
        kind="pair", pane="details", layer="layer", unit=0, other_unit=3
    )
    desk.draw()
    scene = shown(desk.maps_CHW)
    runs = hover_words.hover_text(scene, desk.compositor.readout, desk.view.hover)
    expected = np.corrcoef(desk.maps_CHW.flatten(1).numpy())[0, 3]
    assert "".join(run.text for run in runs) == f"0 × 3   r {wording.signed_share(expected)}"


def test_keys_turn_the_pages_and_the_counts_into_logarithms() -> None:
    desk = Desk()
    assert [desk.press("9").page for _ in PAGES] == [*list(PAGES)[1:], "unit"]
    assert desk.press("-").page == "histogram", "the key brings the page into sight first"
    assert not desk.view.log_counts
    assert desk.press("-").log_counts
    button = desk.draw().button("counts")
    assert button is not None
    assert button.text == "log"
    assert not desk.click(button.rect).log_counts
    desk.press("9")
    assert desk.draw().button("counts") is None


def test_numbers_with_a_sign_have_two_digits() -> None:
    texts = [wording.signed_share(r) for r in (1.0, -1.0, 0.834, -0.1, 0.0, -0.001)]
    assert texts == ["1.00", "−1.00", ".83", "−.10", ".00", ".00"]


def test_the_loop_hands_the_weights_to_the_page_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.arange(5.0)
    asked: list[str] = []

    def weights_of(_: FakeEngine, layer: str) -> Tensor:
        asked.append(layer)
        return weights

    monkeypatch.setattr(FakeEngine, "weights", weights_of)
    bench = Bench()
    bench.frame()
    assert bench.compositor.scenes[-1].weights is None
    assert not asked
    bench.session.update(page="histogram")
    bench.frame()
    assert bench.compositor.scenes[-1].weights is weights
    assert set(asked) == {"middle"}


def test_the_weights_on_the_page_are_counted_once() -> None:
    weights = random_maps(8, 3, 3)
    scene = replace(shown(random_maps(6, 8, 8)), weights=weights)
    gauge = HistogramGauge(CPU)
    first = gauge.measure(scene, ENDS).weights
    assert first is gauge.measure(replace(scene, weights=weights.detach()), ENDS).weights
    expected, edges = np.histogram(weights.double().numpy(), bins=16)
    assert first is not None
    assert first.counts == tuple(expected)
    assert first.centres[0] == pytest.approx((edges[0] + edges[1]) / 2)
    assert gauge.measure(replace(scene, weights=None), ENDS).weights is None


def test_a_plot_that_has_no_room_is_left_out() -> None:
    layer = shown(torch.zeros(1, 8, 8)).layers[0]
    drawn = layout(View(page="histogram"), (layer,), layer=layer, unit=0)
    low = replace(drawn, contents={**drawn.contents, "details": Rect(0, 0, 200, 208)})
    plan = plan_of(low)
    assert plan.weights is None
    assert plan.activations.bottom <= 200


# CUDA


@pytest.mark.cuda
@pytest.mark.parametrize("page", ["histogram", "correlation"])
def test_on_cuda_a_page_measures_and_draws_the_same_without_waiting(page: str) -> None:
    device = torch.device("cuda")
    maps_CHW = random_maps(20, 12, 12)
    maps_CHW[4] = 0.0
    maps_CHW[5, 0, 0] = torch.nan
    on_host, on_device = (shown(maps_CHW.to(where), unit=3, page=page) for where in (CPU, device))
    make = PAGES[page].make_gauge  # type: ignore[index]
    assert make is not None
    expected = make(CPU).measure(on_host, ENDS)
    ends = (ENDS[0].to(device), ENDS[1].to(device))
    gauge, size = make(device), (40, 208)

    def draw(measured: object, peak: Tensor) -> Tensor:
        heights_N = getattr(measured, "layer_N", None)
        return plot(heights_N, peak, size, inks=inks.INKS) if heights_N is not None else peak

    draw(gauge.measure(on_device, ends), torch.ones((), device=device))  # fills what is kept
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        again = replace(on_device, result=replace(on_device.result))
        measured = gauge.measure(again, ends)
        drawn = draw(measured, torch.full((), 90.0, device=device))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = measured.page_numbers.cpu()
    torch.testing.assert_close(found, expected.page_numbers, atol=1e-5, rtol=1e-4)
    assert torch.equal(drawn.cpu(), draw(expected, torch.full((), 90.0)))

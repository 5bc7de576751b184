"""Statistics and class selectivity of units, against numpy, in any order and division."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rtvis.data import Layer
from rtvis.engine.reduced.forward import Reduced
from rtvis.units.findings import Findings
from rtvis.units.histogram import NUM_BINS, Histogram
from rtvis.units.selectivity import ClassSums, selectivity
from rtvis.units.statistics import FRACTION_BITS, LEVELS, UnitStatistics


def layer_of(num_units: int, *, activation: str = "", map_size: tuple[int, int] = (2, 2)) -> Layer:
    return Layer(
        index=0,
        name="conv",
        kind="conv",
        num_units=num_units,
        map_size=map_size,
        stride=(1.0, 1.0),
        receptive_field=(1, 1),
        activation=activation,
    )


def reduced_of(maps_BCHW: Tensor) -> Reduced:
    flat = maps_BCHW.flatten(2)
    return Reduced(
        values_BT=flat.amax(2),
        place_BT=flat.argmax(2).to(torch.int32),
        mean_BT=flat.mean(2),
        square_BT=flat.square().mean(2),
        positive_BT=(flat > 0).sum(2, dtype=torch.int32),
    )


def histogram_of(values: Tensor, *, batch: int) -> Histogram:
    histogram = Histogram.empty(values.shape[1])
    for some in values.split(batch):
        histogram.update(some, torch.ones_like(some, dtype=torch.bool))
    return histogram


def same(left: Histogram, right: Histogram) -> bool:
    return (
        torch.equal(left.counts_TQ, right.counts_TQ)
        and torch.equal(left.low_T, right.low_T)
        and torch.equal(left.high_T, right.high_T)
    )


HARD = torch.stack(
    [
        torch.linspace(-3, 5, 300),
        torch.linspace(1e-6, 1e6, 300),
        torch.full((300,), 1234.5),
        torch.cat([torch.zeros(299), torch.tensor([7.0])]),
        torch.linspace(1000.0, 1000.01, 300),
        -torch.linspace(0, 1, 300).square(),
    ],
    dim=1,
)
"""[300, 6]: ranges of every kind, the values of most columns in their order."""


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_bins_follow_from_the_values_and_not_from_their_order_or_division(batch: int) -> None:
    wanted = histogram_of(HARD, batch=50)
    shuffled = HARD[torch.randperm(300, generator=torch.Generator().manual_seed(batch))]
    assert same(histogram_of(shuffled, batch=batch), wanted)
    parts = [histogram_of(part, batch=batch) for part in shuffled.split(90)]
    merged = Histogram.empty(6)
    for part in reversed(parts):
        merged.add(part)
    assert same(merged, wanted)
    assert (wanted.counts_TQ.sum(1) == 300).all()


def test_every_value_lies_in_its_bin_and_a_quantile_is_off_by_less_than_one() -> None:
    histogram = histogram_of(HARD, batch=11)
    width_T = torch.exp2(histogram.bins.exponent_T.double())
    edges_T = histogram.bins.first_T * width_T
    place = ((HARD.double() - edges_T) / width_T).floor().long()
    for unit in range(6):
        counted = torch.bincount(place[:, unit], minlength=NUM_BINS)
        assert torch.equal(counted, histogram.counts_TQ[unit].long())
    spread_T = histogram.high_T - histogram.low_T
    assert (width_T[spread_T > 0] <= spread_T[spread_T > 0] / 63).all()
    levels = (0.0, 0.01, 0.3, 0.5, 0.9, 1.0)
    for method in ("lower", "higher"):  # of the two values between which a quantile lies
        wanted = torch.from_numpy(np.quantile(HARD.double().numpy(), levels, axis=0, method=method))
        gap = (histogram.quantiles(levels) - wanted.T).abs()
        step_T = torch.tensor([8 / 299, 1e6 / 299, 0, 7, 0.01 / 299, 2 / 299])
        assert (gap <= (width_T + step_T)[:, None] + 1e-9).all()


def test_within_a_bin_a_quantile_lies_in_proportion() -> None:
    """Bins are one wide: one value in the first, 98 in the eleventh, one in the last. A quarter of
    100 is the 24th of the 98."""
    values = torch.tensor([0.0, *[10.5] * 98, 127.5])[:, None]
    histogram = histogram_of(values, batch=100)
    assert histogram.quantiles((0.25, 0.75)).tolist() == [
        [pytest.approx(10 + 24 / 98), pytest.approx(10 + 74 / 98)]
    ]


def test_mean_deviation_firing_and_quantiles_are_those_of_numpy() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = (
        torch.randn(50, 3, 2, 2, generator=generator) * torch.tensor([1, 0.01, 30])[:, None, None]
    )
    gathered = UnitStatistics(3)
    for some in maps.split(8):
        gathered.update(reduced_of(some), torch.ones(len(some), dtype=torch.bool))
    found = gathered.of_layers([layer_of(3)])["conv"]
    values = maps.double().transpose(0, 1).flatten(1).numpy()
    highest = maps.flatten(2).amax(2).double().numpy()
    np.testing.assert_allclose(found.mean_C, values.mean(1), atol=1e-7)
    np.testing.assert_allclose(found.std_C, values.std(1), rtol=1e-5)
    np.testing.assert_allclose(found.firing_places_C, (values > 0).mean(1), rtol=1e-12)
    np.testing.assert_allclose(found.firing_pictures_C, (highest > 0).mean(0), rtol=1e-12)
    assert found.num_pictures_C.tolist() == [50, 50, 50]
    assert found.high_C.tolist() == highest.max(0).tolist()
    median = found.quantiles_CQ[:, LEVELS.index(0.5)]
    spread = highest.max(0) - highest.min(0)
    assert (np.abs(median.numpy() - np.median(highest, axis=0)) < spread / 20).all()


def test_a_unit_is_dead_behind_a_rectifier_if_it_never_fires_and_else_if_it_never_changes() -> None:
    maps = torch.tensor([[-1.0, -2.0, 3.0], [-5.0, -2.0, 0.5]])[:, :, None, None]
    gathered = UnitStatistics(3)
    gathered.update(reduced_of(maps), torch.ones(2, dtype=torch.bool))
    size = {"map_size": (1, 1)}
    behind_relu = gathered.of_layers([layer_of(3, activation="relu", **size)])["conv"]
    without = gathered.of_layers([layer_of(3, **size)])["conv"]
    assert behind_relu.is_dead_C.tolist() == [True, True, False]
    assert without.is_dead_C.tolist() == [False, True, False]


def test_what_is_no_item_or_no_number_does_not_count() -> None:
    maps = torch.tensor([[1.0, 1.0], [torch.nan, 3.0], [100.0, 100.0]])[:, :, None, None]
    gathered = UnitStatistics(2)
    gathered.update(reduced_of(maps), torch.tensor([True, True, False]))
    found = gathered.of_layers([layer_of(2, map_size=(1, 1))])["conv"]
    assert found.num_pictures_C.tolist() == [1, 2]
    assert found.mean_C.tolist() == [1.0, 2.0]
    assert found.high_C.tolist() == [1.0, 3.0]


def test_selectivity_is_worked_out_by_hand() -> None:
    sums = ClassSums(3, 2)
    values = torch.tensor([[4.0, 1.0, -5.0], [2.0, 1.0, -1.0], [1.0, 1.0, -2.0]])
    sums.update(values, torch.tensor([0, 0, 1]))
    sums.update(torch.tensor([[9.0, 9.0, 9.0]]), torch.tensor([-1]))  # of no known class
    found = sums.of_layers([layer_of(3)])["conv"]
    # Unit 0: means 3 and 1, so (3 - 1) / (3 + 1). Unit 1: 1 and 1. Unit 2 never gets above zero.
    assert found.index_C.tolist() == [0.5, 0.0, 0.0]
    assert found.top_class_CN[0].tolist() == [0, 1, -1, -1, -1]
    assert found.top_mean_CN[0].tolist() == [3.0, 1.0, 0.0, 0.0, 0.0]
    assert found.mean_C.tolist() == [2.0, 1.0, 0.0]


def test_the_rest_is_the_mean_of_the_other_classes_means_and_an_unseen_class_is_none() -> None:
    total_KC = torch.tensor([[2 * 6], [0], [4 * 1], [1 * 3]]) * 2**FRACTION_BITS
    found = selectivity(total_KC, torch.tensor([2, 0, 4, 1]))
    # Means 6, 1 and 3: the most is 6, the rest (1 + 3) / 2 = 2.
    assert found.index_C.tolist() == [0.5]
    assert found.top_class_CN.tolist() == [[0, 3, 2, -1, -1]]


def test_one_class_has_no_selectivity() -> None:
    found = selectivity(torch.tensor([[2**FRACTION_BITS]]), torch.tensor([1]))
    assert found.index_C.isnan().all()


def test_findings_of_any_parts_merge_to_those_of_the_whole_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(5)
    maps = torch.randn(60, 7, 2, 3, generator=generator)
    labels = torch.arange(60) % 4

    def found_in(index: Tensor, *, batch: int) -> Findings:
        findings = Findings.empty(7, 5, num_classes=4)
        for some in index.split(batch):
            reduced = reduced_of(maps[some])
            findings.add_items(reduced, some, labels[some])
            findings.add_hits(reduced.values_BT, reduced.place_BT, some)
        return findings

    wanted = found_in(torch.arange(60), batch=60).to_arrays()
    merged = Findings.empty(7, 5, num_classes=4)
    for part in torch.randperm(60, generator=generator).split(17):
        other = found_in(part, batch=3)
        merged.add(Findings.from_arrays(other.to_arrays()))
    found = merged.to_arrays()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)

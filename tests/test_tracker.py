"""The best items of each unit: DVT-81's rules, and the same result however the items come."""

import itertools
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from rtvis.units.tracker import Top, TopTracker, merge


def empty_top(num_units: int, num_top: int) -> Top:
    """Nothing yet."""
    return Top(
        values_CN=torch.full((num_units, num_top), -torch.inf),
        item_CN=torch.full((num_units, num_top), -1, dtype=torch.int64),
        position_CN2=torch.zeros(num_units, num_top, 2, dtype=torch.int32),
    )


def brute_force(values_MC: Tensor, position_MC2: Tensor, num_top: int) -> Top:
    """Python's own stable sort, unit by unit; item m is row m."""
    num_items, num_units = values_MC.shape
    top = empty_top(num_units, num_top)
    for unit in range(num_units):
        column = values_MC[:, unit].tolist()
        known = [m for m in range(num_items) if column[m] > float("-inf")]
        ranked = sorted(known, key=lambda m: -column[m])[:num_top]
        for rank, item in enumerate(ranked):
            top.values_CN[unit, rank] = values_MC[item, unit]
            top.item_CN[unit, rank] = item
            top.position_CN2[unit, rank] = position_MC2[item, unit]
    return top


def tied_data(*, num_items: int, num_units: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Few different values, so that most ranks are ties; NaN and -inf here and there."""
    random_numbers = np.random.default_rng(seed)
    values = random_numbers.integers(-3, 4, (num_items, num_units)).astype(np.float32) / 2
    values[random_numbers.random(values.shape) < 0.05] = np.nan
    values[random_numbers.random(values.shape) < 0.05] = -np.inf
    positions = random_numbers.integers(0, 300, (num_items, num_units, 2))
    return torch.from_numpy(values), torch.from_numpy(positions)


def assert_same(found: Top, wanted: Top) -> None:
    assert torch.equal(found.values_CN, wanted.values_CN)
    assert torch.equal(found.item_CN, wanted.item_CN)
    assert torch.equal(found.position_CN2, wanted.position_CN2)
    assert found.values_CN.dtype == torch.float32
    assert found.item_CN.dtype == torch.int64
    assert found.position_CN2.dtype == torch.int32


def test_of_equal_values_the_earlier_item_ranks_higher_and_stays() -> None:
    tracker = TopTracker(1, 2)
    for item, value in enumerate([1.0, 3.0, 1.0, 3.0]):
        tracker.update(
            torch.tensor([[value]]), torch.tensor([[[item, 2 * item]]]), torch.tensor([item])
        )
    top = tracker.top()
    assert top.values_CN.tolist() == [[3.0, 3.0]]
    assert top.item_CN.tolist() == [[1, 3]]  # and item 2 never displaced item 0
    assert top.position_CN2.tolist() == [[[1, 2], [3, 6]]]


def test_a_value_equal_to_the_lowest_does_not_displace_it() -> None:
    tracker = TopTracker(1, 2)
    for item, value in enumerate([5.0, 1.0, 1.0]):
        tracker.update(torch.tensor([[value]]), torch.zeros(1, 1, 2), torch.tensor([item]))
    assert tracker.top().item_CN.tolist() == [[0, 1]]


def test_an_earlier_item_that_comes_later_takes_its_rank_among_equals() -> None:
    tracker = TopTracker(1, 2)
    for item in (4, 2, 3):
        tracker.update(torch.tensor([[1.0]]), torch.zeros(1, 1, 2), torch.tensor([item]))
    assert tracker.top().item_CN.tolist() == [[2, 3]]


def test_an_earlier_item_that_comes_behind_a_part_takes_its_rank_among_equals() -> None:
    """The part is of item 9: that of item 3 is as large, and an earlier one."""
    part, tracker = TopTracker(1, 1), TopTracker(1, 1)
    part.update(torch.tensor([[1.0]]), torch.zeros(1, 1, 2), torch.tensor([9]))
    tracker.add(part.top())
    tracker.update(torch.tensor([[1.0]]), torch.zeros(1, 1, 2), torch.tensor([3]))
    assert tracker.top().item_CN.tolist() == [[3]]


def test_fewer_items_than_ranks_leave_the_last_empty() -> None:
    tracker = TopTracker(2, 3)
    tracker.update(torch.tensor([[-7.0, float("nan")]]), torch.ones(1, 2, 2), torch.tensor([0]))
    top = tracker.top()
    assert top.values_CN.tolist() == [[-7.0, -torch.inf, -torch.inf], [-torch.inf] * 3]
    assert top.item_CN.tolist() == [[0, -1, -1], [-1, -1, -1]]
    assert top.position_CN2[0].tolist() == [[1, 1], [0, 0], [0, 0]]


def test_negative_zero_equals_zero_and_infinity_is_above_all() -> None:
    values = [[0.0], [-0.0], [float("inf")], [-1e-45]]
    tracker = TopTracker(1, 4)
    tracker.update(torch.tensor(values), torch.zeros(4, 1, 2), torch.tensor([1, 0, 2, 3]))
    assert tracker.top().item_CN.tolist() == [[2, 0, 1, 3]]


@pytest.mark.parametrize("batch", [1, 3, 7, 40])
@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_in_any_size_and_order_give_what_sorting_everything_gives(
    batch: int, shuffled: bool
) -> None:
    values, positions = tied_data(num_items=40, num_units=25)
    tracker = TopTracker(25, 9)
    order = list(range(40))
    if shuffled:
        random.Random(batch).shuffle(order)
    for index in torch.tensor(order).split(batch):
        tracker.update(values[index], positions[index], index)
    assert_same(tracker.top(), brute_force(values, positions, 9))


def test_a_row_that_is_no_item_is_passed_over() -> None:
    values, positions = tied_data(num_items=10, num_units=5)
    with_gap, without = TopTracker(5, 4), TopTracker(5, 4)
    items = torch.arange(10)
    items[[2, 7]] = -1
    with_gap.update(values, positions, items)
    kept = items >= 0
    without.update(values[kept], positions[kept], items[kept])
    assert_same(with_gap.top(), without.top())


def test_merging_is_associative_commutative_and_harmless_when_repeated() -> None:
    values, positions = tied_data(num_items=60, num_units=11, seed=3)
    shards = []
    for shard in torch.arange(60).split(13):
        tracker = TopTracker(11, 5)
        tracker.update(values[shard], positions[shard], shard)
        shards.append(tracker.top())
    wanted = brute_force(values, positions, 5)
    for order in itertools.permutations(range(len(shards))):
        left = empty_top(11, 5)
        for index in order:
            left = merge(left, shards[index])
        assert_same(left, wanted)
    right = merge(shards[0], merge(shards[1], merge(shards[2], merge(shards[3], shards[4]))))
    assert_same(right, wanted)
    assert_same(merge(right, shards[2]), wanted)
    tracker = TopTracker(11, 5)
    for top in (*shards, shards[1]):
        tracker.add(top)
    assert_same(tracker.top(), wanted)


def test_fifty_thousand_units_take_five_megabytes_and_a_batch_a_moment() -> None:
    tracker = TopTracker(50_000, 9)
    held = [each for each in vars(tracker).values() if isinstance(each, Tensor)]
    # 8 bytes of value and item, 4 of the place, 4 of the lowest value: 112 MB for a million units.
    assert sum(each.nbytes for each in held) == 50_000 * (9 * 12 + 4)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(20, 50_000, generator=generator)
    for some in torch.arange(20).split(5):
        tracker.update(values[some], torch.zeros(5, 50_000, 2, dtype=torch.int32), some)
    wanted, _ = values.T.sort(dim=1, descending=True)
    assert torch.equal(tracker.top().values_CN, wanted[:, :9])
    held = [each for each in vars(tracker).values() if isinstance(each, Tensor)]
    assert sum(each.nbytes for each in held) == 50_000 * (9 * 12 + 4)

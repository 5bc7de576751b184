"""Moments: which frames of a stream are kept for each unit, and their pictures."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rtvis.threads import cpu_threads
from rtvis.units.frame_pool import FramePool
from rtvis.units.moments import NEVER, MomentTracker, Ranks, Taken

SECOND = 1_000_000

looks = pytest.mark.parametrize("looks", [True, False], ids=["host looks", "nobody waits"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


def maps_of(*values: float, at: tuple[int, int] = (1, 2)) -> Tensor:
    """[C, 3, 4]: each unit's value at one place, one less everywhere else."""
    maps_CHW = torch.stack([torch.full((3, 4), value - 1) for value in values])
    maps_CHW[:, at[0], at[1]] = torch.tensor(values)
    return maps_CHW


def watch(tracker: MomentTracker, *seen: tuple[float, float]) -> None:
    """Show (seconds, value) of a layer with one unit, one after the other."""
    for seconds, value in seen:
        number = tracker.num_frames
        tracker.update(maps_of(value), when=round(seconds * SECOND), frame=number)


def kept(tracker: MomentTracker, unit: int = 0) -> list[tuple[float, float]]:
    """(seconds, value) of a unit's moments, best first."""
    ranks = tracker.ranks.sorted()
    pairs = zip(ranks.when_NU[:, unit].tolist(), ranks.value_NU[:, unit].tolist(), strict=True)
    return [(when / SECOND, value) for when, value in pairs if when != NEVER]


def one_unit(looks: bool, num_top: int = 9) -> MomentTracker:
    return MomentTracker(1, num_top, apart=SECOND, looks=looks)


@looks
def test_a_better_frame_within_a_second_takes_the_place_of_the_one_before(looks: bool) -> None:
    tracker = one_unit(looks)
    watch(tracker, (0.0, 3.0), (0.5, 4.0), (0.9, 3.5))
    assert kept(tracker) == [(0.5, 4.0)]


@looks
def test_a_second_later_is_another_moment_and_a_microsecond_less_is_not(looks: bool) -> None:
    tracker = one_unit(looks)
    watch(tracker, (0.0, 4.0), (1.0, 3.0))
    assert kept(tracker) == [(0.0, 4.0), (1.0, 3.0)]
    tracker = one_unit(looks)
    watch(tracker, (0.0, 4.0), (0.999999, 3.0))
    assert kept(tracker) == [(0.0, 4.0)]


@looks
def test_an_event_that_swells_and_fades_for_ten_seconds_is_one_moment(looks: bool) -> None:
    tracker = one_unit(looks)
    watch(tracker, *((i / 4, 10 - abs(5 - i / 4)) for i in range(41)))
    assert kept(tracker) == [(5.0, 10.0)]


@looks
def test_a_picture_that_stands_still_is_one_moment(looks: bool) -> None:
    tracker = one_unit(looks)
    watch(tracker, *((i / 4, 2.0) for i in range(60)))
    assert kept(tracker) == [(0.0, 2.0)]


@looks
def test_only_the_best_are_kept_and_of_equal_ones_the_earlier(looks: bool) -> None:
    tracker = one_unit(looks, num_top=2)
    # Peaks of 5, 3, 5, 3 and 4, with a valley after each.
    peaks = ((0, 5.0), (2, 3.0), (4, 5.0), (6, 3.0), (8, 4.0))
    watch(tracker, *((t + d, v - d) for t, v in peaks for d in (0, 1)))
    assert kept(tracker) == [(0.0, 5.0), (4.0, 5.0)]


@looks
def test_a_film_in_a_loop_counts_no_frame_twice(looks: bool) -> None:
    film = [(i / 5, float(v)) for i, v in enumerate([1, 7, 2, 2, 2, 2, 2, 3, 9, 3, 1, 1, 1, 4, 5])]
    tracker = one_unit(looks)
    watch(tracker, *film)
    once = kept(tracker)
    assert once == [(1.6, 9.0), (0.2, 7.0), (2.8, 5.0)]
    watch(tracker, *film, *film)
    assert kept(tracker) == once


@looks
def test_a_frame_between_two_moments_takes_the_place_of_both_or_of_none(looks: bool) -> None:
    # 0.8 s from each; the film came to that time only after a jump back.
    for value, wanted in (
        (6.0, [(0.8, 6.0)]),
        (4.5, [(0.0, 5.0), (1.6, 4.0)]),  # better than one of them
        (5.0, [(0.0, 5.0), (1.6, 4.0)]),  # as good as the better one: that was earlier
    ):
        tracker = one_unit(looks)
        watch(tracker, (0.0, 5.0), (1.6, 4.0), (90.0, 1.0), (0.8, value))
        assert kept(tracker) == [*wanted, (90.0, 1.0)]


@looks
def test_what_two_moments_left_is_taken_by_the_next_ones(looks: bool) -> None:
    tracker = one_unit(looks, num_top=2)
    watch(tracker, (0.0, 5.0), (1.6, 4.0), (90.0, 1.0), (0.8, 6.0), (50.0, 0.5))
    assert kept(tracker) == [(0.8, 6.0), (50.0, 0.5)]


@looks
def test_values_that_are_not_finite_are_passed_over(looks: bool) -> None:
    tracker = one_unit(looks)
    broken = float("nan"), float("inf"), float("-inf")
    watch(tracker, *((i / 10, value) for i, value in enumerate(broken)), (0.4, -2.0))
    assert kept(tracker) == [(0.4, -2.0)]
    watch(tracker, (0.5, float("nan")), (0.6, -3.0))
    assert kept(tracker) == [(0.4, -2.0)]


@looks
def test_the_place_is_that_of_the_first_of_the_largest_values(looks: bool) -> None:
    tracker = MomentTracker(2, apart=SECOND, looks=looks)
    maps_CHW = torch.zeros(2, 3, 4)
    maps_CHW[0, 1, 3] = maps_CHW[0, 2, 0] = 5.0
    maps_CHW[1, 2, 1] = maps_CHW[1, 2, 3] = 7.0
    tracker.update(maps_CHW, when=0, frame=11)
    ranks = tracker.ranks.sorted()
    assert ranks.row_NU[0].tolist() == [1, 2]
    assert ranks.column_NU[0].tolist() == [3, 1]
    assert ranks.frame_NU[:2].tolist() == [[11, 11], [-1, -1]]


def peaks_of(values: Tensor, when: list[int], apart: int, num_top: int) -> list[tuple[int, float]]:
    """The definition, looked up in the whole film at its end."""
    found = []
    for i, value in enumerate(values.tolist()):
        near = [j for j, other in enumerate(when) if abs(other - when[i]) < apart]
        before = all(values[j] < value for j in near if j < i)
        if before and all(values[j] <= value for j in near if j > i):
            found.append((when[i], value))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:num_top]


@looks
@pytest.mark.parametrize("apart", [0, 1, 7, 40])
def test_it_is_as_if_the_whole_film_were_looked_at_in_the_end(looks: bool, apart: int) -> None:
    random = torch.Generator().manual_seed(apart)
    num_frames, num_units = 160, 12
    # Whole numbers: many ties. Unevenly timed, as frames that are dropped leave a film.
    values_FC = torch.randint(0, 30, (num_frames, num_units), generator=random).float()
    steps = torch.randint(1, 4, (num_frames,), generator=random)
    when = steps.cumsum(0).tolist()
    tracker = MomentTracker(num_units, 5, apart=apart, looks=looks)
    for frame in range(num_frames):
        maps_CHW = maps_of(*values_FC[frame].tolist())
        tracker.update(maps_CHW, when=when[frame], frame=frame)
        if frame in (40, num_frames - 1):
            ranks = tracker.ranks.sorted()
            for unit in range(num_units):
                wanted = peaks_of(values_FC[: frame + 1, unit], when[: frame + 1], apart, 5)
                got = zip(
                    ranks.when_NU[:, unit].tolist(), ranks.value_NU[:, unit].tolist(), strict=True
                )
                assert [pair for pair in got if pair[0] != NEVER] == wanted


def put(pool: FramePool, frame: int, *, num_new: int, refs: dict[int, int]) -> int:
    """Admit a picture of the shade of its frame's number; the slot it is in, or -1."""
    counts = torch.zeros(pool.num_slots, dtype=torch.int64)
    for number, count in refs.items():
        counts[pool.frame_P.tolist().index(number)] = count
    picture = torch.full((2, 2, 3), frame, dtype=torch.uint8)
    slot = pool.admit(frame, picture, num_new=torch.tensor(num_new), count_refs=lambda: counts)
    return int(slot) if int(pool.frame_P[slot]) == frame else -1


@looks
def test_a_picture_that_nobody_needs_makes_room(looks: bool) -> None:
    pool = FramePool((2, 2), max_bytes=3 * 12 + 11, looks=looks)
    assert pool.num_slots == 3
    for frame in range(3):
        put(pool, frame, num_new=1, refs=dict.fromkeys(range(frame), 1))
    where = put(pool, 3, num_new=1, refs={0: 2, 2: 1})
    assert sorted(pool.frame_P.tolist()) == [0, 2, 3]
    assert pool.picture_PHW3[where].unique().tolist() == [3]
    assert int(pool.num_given_up) == 0


@looks
def test_where_all_are_needed_the_one_with_the_fewest_references_goes(looks: bool) -> None:
    pool = FramePool((2, 2), max_bytes=3 * 12, looks=looks)
    for frame in range(3):
        put(pool, frame, num_new=1, refs=dict.fromkeys(range(frame), 1))
    # 1 and 2 have the fewest; 1 is older.
    assert put(pool, 3, num_new=4, refs={0: 5, 1: 2, 2: 2}) >= 0
    assert sorted(pool.frame_P.tolist()) == [0, 2, 3]
    assert int(pool.num_given_up) == 1
    # A new one that fewer refer to than to any other is the one to go.
    assert put(pool, 4, num_new=1, refs={0: 5, 2: 2, 3: 4}) == -1
    assert sorted(pool.frame_P.tolist()) == [0, 2, 3]
    assert int(pool.num_given_up) == 2


def test_a_frame_that_no_unit_takes_leaves_the_pictures_alone() -> None:
    pool = FramePool((2, 2), max_bytes=2 * 12, looks=False)  # else it is not even admitted
    put(pool, 0, num_new=1, refs={})
    assert put(pool, 1, num_new=0, refs={0: 1}) == -1
    assert pool.frame_P.tolist() == [0, -1]


def shade(frame: int) -> int:
    return frame % 251


@looks
@pytest.mark.parametrize("num_slots", [1, 4, 400])
def test_every_picture_is_that_of_its_frame_or_known_to_be_gone(
    looks: bool, num_slots: int
) -> None:
    random = torch.Generator().manual_seed(3)
    tracker = MomentTracker(30, 3, apart=4, looks=looks)
    pool = FramePool((2, 2), max_bytes=12 * num_slots, looks=looks)
    for frame in range(150):
        values = torch.randn(30, generator=random) + frame / 100
        taken = tracker.update(maps_of(*values.tolist()), when=frame, frame=frame)
        if taken is not None:
            file(pool, tracker, taken, frame)
    there_NU, ranks = pool.holds(tracker.ranks), tracker.ranks
    shown = pool.picture_PHW3[ranks.slot_NU.clamp(min=0), 0, 0, 0][there_NU].tolist()
    assert shown == [shade(frame) for frame in ranks.frame_NU[there_NU].tolist()]
    num_distinct = len(set(ranks.frame_NU.flatten().tolist()))
    assert len(set(ranks.frame_NU[there_NU].tolist())) == min(num_distinct, num_slots)
    if num_slots == 400:
        assert bool(there_NU.all())
        assert int(pool.num_given_up) == 0
        assert int((pool.count_refs(ranks) > 0).sum()) == num_distinct


def file(pool: FramePool, tracker: MomentTracker, taken: Taken, frame: int) -> None:
    picture = torch.full((2, 2, 3), shade(frame), dtype=torch.uint8)
    slot = pool.admit(
        frame, picture, num_new=taken.num, count_refs=lambda: pool.count_refs(tracker.ranks)
    )
    tracker.file(taken, slot)


def test_the_two_ways_find_the_same() -> None:
    random = torch.Generator().manual_seed(5)
    both = [MomentTracker(40, 4, apart=5, looks=looks) for looks in (True, False)]
    for frame in range(120):
        maps_CHW = torch.randn(40, 5, 6, generator=random)
        maps_CHW = maps_CHW[None].contiguous(memory_format=torch.channels_last)[0]
        when = frame if frame < 70 else frame - 50  # and a jump back
        for tracker in both:
            tracker.update(maps_CHW, when=when, frame=frame)
    first, second = (tracker.ranks.sorted() for tracker in both)
    for name in Ranks.__dataclass_fields__:
        if name != "slot_NU":
            kept_NU = first.when_NU != NEVER
            assert torch.equal(getattr(first, name)[kept_NU], getattr(second, name)[kept_NU]), name
    assert torch.equal(first.when_NU, second.when_NU)


def test_a_tracker_goes_on_as_if_it_had_never_stopped() -> None:
    random = torch.Generator().manual_seed(3)
    maps = torch.rand(150, 4, 3, 3, generator=random)
    whole, first, second = (MomentTracker(4, apart=7) for _ in range(3))
    for index, maps_CHW in enumerate(maps):
        whole.update(maps_CHW, when=index, frame=index)
    for index in range(100):  # more than the rows that are set aside at first
        first.update(maps[index], when=index, frame=index)
    past_FC, when = first.just_past()
    assert when == list(range(93, 100)), "as far as they were within reach of the last one"
    assert torch.equal(past_FC, maps[93:100].amax(dim=(2, 3)))
    for name in Ranks.__dataclass_fields__:
        getattr(second.ranks, name).copy_(getattr(first.ranks, name))
    second.recall(past_FC, when)
    for index in range(100, 150):
        second.update(maps[index], when=index, frame=index)
    for name in ("value_NU", "when_NU", "frame_NU"):
        expected = getattr(whole.ranks.sorted(), name)
        assert torch.equal(getattr(second.ranks.sorted(), name), expected)


def test_the_frames_just_past_are_remembered_as_far_as_they_are_within_reach() -> None:
    tracker = MomentTracker(1, 9, apart=500, looks=True)
    # More frames within reach than the first rows hold: 100 falls, all of them flanks.
    watch_us(tracker, [(i, 1000.0 - i) for i in range(499)])
    assert kept_us(tracker) == [(0, 1000.0)]
    watch_us(tracker, [(i, 1000.0 - i) for i in range(499, 1200)])
    assert kept_us(tracker) == [(0, 1000.0)]
    assert tracker.num_bytes < 9 * 40 + 2048 * 4


def watch_us(tracker: MomentTracker, seen: list[tuple[int, float]]) -> None:
    for when, value in seen:
        tracker.update(maps_of(value), when=when, frame=tracker.num_frames)


def kept_us(tracker: MomentTracker) -> list[tuple[int, float]]:
    return [(round(seconds * SECOND), value) for seconds, value in kept(tracker)]

"""Hits of a film: the highest for a while around, the same however the film is divided."""

import numpy as np
import pytest
import torch

from rtvis.units.peaks import PeakFilter


def hits_of(
    values: torch.Tensor, pts: np.ndarray, distance: float, cuts: list[int], *, stored: bool = False
) -> torch.Tensor:
    """Values of hits, -inf elsewhere, of frames pushed in pieces that end at `cuts`."""
    peaks = PeakFilter(distance)
    found = torch.full_like(values, torch.nan)
    place = torch.arange(values.numel(), dtype=torch.int32).reshape(values.shape)
    item = torch.arange(len(values))

    def take(hits: object) -> None:
        if hits is None:
            return
        assert found[hits.item_F].isnan().all(), "a frame was decided twice"
        found[hits.item_F] = hits.values_FT
        assert torch.equal(hits.place_FT, place[hits.item_F])

    for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True):
        if start < stop:
            take(
                peaks.push(values[start:stop], place[start:stop], item[start:stop], pts[start:stop])
            )
        if stored:
            peaks = PeakFilter.from_arrays(peaks.to_arrays(), distance, torch.device("cpu"))
    take(peaks.flush())
    assert not found.isnan().any(), "a frame was never decided"
    return found


def brute_force(values: torch.Tensor, pts: np.ndarray, distance: float) -> torch.Tensor:
    wanted = torch.full_like(values, -torch.inf)
    for i in range(len(values)):
        for unit in range(values.shape[1]):
            near = [j for j in range(len(values)) if j != i and abs(pts[j] - pts[i]) < distance]
            beaten = any(
                values[j, unit] > values[i, unit] or (values[j, unit] == values[i, unit] and j < i)
                for j in near
            )
            if not beaten:
                wanted[i, unit] = values[i, unit]
    return wanted


def test_a_film_by_hand() -> None:
    values = torch.tensor([[1.0], [3.0], [2.0], [2.0], [5.0], [5.0], [0.0]])
    pts = np.arange(7) / 2  # two frames a second
    found = hits_of(values, pts, 1.0, [])
    # Nearer than a second are the two neighbours alone: 3 beats 1 and 2; of 5 and 5 the first.
    assert found.flatten().tolist() == [
        -torch.inf,
        3,
        -torch.inf,
        -torch.inf,
        5,
        -torch.inf,
        -torch.inf,
    ]


@pytest.mark.parametrize("values", [[1.0, 0.0, 2.0], [2.0, 0.0, 1.0]])
def test_two_hits_may_be_just_the_distance_apart(values: list[float]) -> None:
    found = hits_of(torch.tensor(values)[:, None], np.array([0.0, 0.5, 1.0]), 1.0, [])
    assert found.flatten().tolist() == [values[0], -torch.inf, values[2]]


def test_a_frame_without_a_number_is_no_hit_and_beats_none() -> None:
    values = torch.tensor([[1.0], [torch.nan], [0.5]])
    found = hits_of(values, np.array([0.0, 0.5, 1.0]), 0.75, [])
    assert found.flatten().tolist() == [1.0, -torch.inf, 0.5]


@pytest.mark.parametrize("distance", [0.05, 0.3, 1.0, 100.0])
@pytest.mark.parametrize("stored", [False, True])
def test_any_division_of_a_film_gives_the_hits_of_the_whole(distance: float, stored: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 6, (60, 4), generator=generator).float()
    steps = np.random.default_rng(0).choice([0.04, 0.08, 0.5], 60)
    pts = steps.cumsum()
    wanted = brute_force(values, pts, distance)
    for cuts in ([], [1, 2, 3, 30], list(range(1, 60)), [59], [0, 17, 17]):
        assert torch.equal(hits_of(values, pts, distance, cuts, stored=stored), wanted)


def test_two_hits_of_a_unit_are_never_nearer_than_the_distance() -> None:
    values = torch.rand(200, 30, generator=torch.Generator().manual_seed(2))
    pts = np.arange(200) / 25
    found = hits_of(values, pts, 0.5, list(range(8, 200, 8)))
    for unit in range(30):
        times = pts[(found[:, unit] > -torch.inf).numpy()]
        assert len(times) > 5
        assert np.diff(times).min() >= 0.5

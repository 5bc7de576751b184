"""What units have learned, beside the film: what grows, what is kept, and what the screen shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from rtvis.data import Selection, Target
from rtvis.errors import StoreError
from rtvis.render.scene import PatternShown
from rtvis.runtime.learned_tiles import LearnedTiles
from rtvis.runtime.shelf import KeptTop, Loader, TilesFound
from tests.learning_desk import QUIET, STEM, Desk, FakeShelf, flat
from tests.nets_fake import LAYERS


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.learning.close()


# One unit


def test_the_picture_of_the_selected_unit_grows_step_by_step_until_it_is_done(desk: Desk) -> None:
    desk.follow()
    assert (desk.shown.optimized, desk.grey()) == ("growing", None)
    desk.steps(1)
    assert (desk.shown.share, desk.grey(), desk.shown.value) == (0.25, 31, 1.0)
    desk.steps(3)
    assert (desk.shown.optimized, desk.grey(), desk.shown.value) == ("done", 34, 4.0)
    desk.steps(5)
    assert desk.grower.begun == [("stem", 3, False)], "not begun again"


def test_a_unit_that_nobody_looks_at_costs_nothing(desk: Desk) -> None:
    desk.follow(page="unit")
    desk.steps(3)
    assert desk.grower.begun == []
    assert desk.learning.shown(desk.view, STEM) is None
    desk.follow(page="learned", canvas_size=(700, 1000))  # no details pane
    desk.steps(3)
    assert desk.grower.begun == []
    desk.follow(pattern="optimized")  # but the tiles of the grid
    desk.steps(1)
    assert desk.grower.begun == [("stem", 3, False)]


def test_another_unit_begins_and_the_first_goes_on_where_it_was_left(desk: Desk) -> None:
    desk.follow()
    desk.steps(2)
    desk.select(5)
    assert desk.grey() is None
    desk.steps(1)
    assert desk.grey() == 51
    desk.select(3)
    assert (desk.grey(), desk.shown.share) == (32, 0.5), "shown at once, before any step"
    desk.steps(1)
    assert (desk.grey(), desk.shown.share) == (33, 0.75)
    assert desk.grower.begun == [("stem", 3, False), ("stem", 5, False)]


def test_a_finished_picture_is_shown_at_once_the_next_time(desk: Desk) -> None:
    desk.follow()
    desk.steps(5)
    desk.select(4)
    desk.select(3)
    assert (desk.shown.optimized, desk.grey()) == ("done", 34)
    assert not desk.jobs.run(QUIET), "nothing left to do"


def test_held_it_stays_as_it_is_and_goes_on_from_there(desk: Desk) -> None:
    desk.follow()
    desk.steps(2)
    desk.follow(growing=False)
    assert not desk.jobs.run(QUIET)
    assert (desk.shown.optimized, desk.grey()) == ("held", 32)
    desk.follow(growing=True)
    desk.steps(1)
    assert desk.grey() == 33


def test_it_begins_at_what_is_shown_where_the_user_wants_it(desk: Desk) -> None:
    desk.follow()
    desk.steps(2)
    desk.follow(beginning="frame")
    desk.steps(1)
    assert desk.grower.begun == [("stem", 3, False), ("stem", 3, True)]
    assert (desk.grey(), desk.shown.share) == (31, 0.25)


def test_a_fault_is_told_and_not_tried_again_with_every_turn(desk: Desk) -> None:
    desk.grower.error = ValueError("no gradient")
    desk.follow()
    desk.steps(4)
    assert len(desk.grower.begun) == 1
    assert desk.said == ["stem:3: ValueError: no gradient"]
    assert (desk.shown.optimized, desk.shown.note) == ("missing", "ValueError: no gradient")


def test_pictures_in_memory_are_forgotten_beyond_a_number_of_bytes() -> None:
    desk = Desk()
    desk.learning._known.max_bytes = 3 * 8 * 8 * 3  # three pictures
    for unit in range(5):
        desk.select(unit)
        desk.steps(5)
    greys = []
    for unit in (4, 3, 2, 1, 0):
        desk.selection = Selection(layer="stem", unit=unit)
        greys.append(desk.grey())
    assert greys == [44, 34, 24, None, None]


# The shelf


def test_what_is_on_the_shelf_is_shown_instead_of_growing_and_read_by_another_thread() -> None:
    shelf = FakeShelf()
    shelf.pictures["stem", 3] = np.full((8, 8, 3), 200, np.uint8)
    crop = np.full((6, 6, 3), 90, np.uint8)
    shelf.crops["stem", 3] = (KeptTop(crop_HW3=crop, back_HW3=crop, value=3.5, name="cat.png"),)
    desk = Desk(shelf=shelf)
    desk.follow()
    desk.hear(lambda: desk.shown.optimized == "done")
    assert (desk.grey(), desk.shown.value, desk.shown.back_rule) == (200, 7.5, "deconvnet")
    (top,) = desk.shown.tops
    assert (top.value, top.name, int(top.crop_HW3[0, 0, 0])) == (3.5, "cat.png", 90)
    desk.steps(2)
    assert desk.grey() == 200, "what grew meanwhile has stopped"
    assert shelf.threads == {"rtvis-learned"}
    desk.learning.close()


def test_in_a_replay_each_picture_waits_for_what_the_shelf_has() -> None:
    shelf = FakeShelf()
    shelf.pictures["stem", STEM.unit or 0] = np.full((8, 8, 3), 77, np.uint8)
    desk = Desk(shelf=shelf, pattern="optimized")
    shelf.gate.clear()
    opening = threading.Timer(0.05, shelf.gate.set)
    opening.start()
    desk.learning.settle(desk.view, STEM)
    opening.join()
    assert desk.shown.optimized == "done"
    assert desk.grey() == 77
    tiles = desk.learning.pattern(desk.view, STEM)
    assert tiles is not None
    assert not tiles.is_loading
    assert list(tiles.tiles) == [STEM.unit]
    # Not for ever: a disk that does not answer in time leaves the page loading.
    shelf.gate.clear()
    times = iter(range(0, 1000, 6))
    desk.learning._now_s = lambda: float(next(times))
    desk.learning.settle(desk.view, replace(STEM, unit=1))
    shelf.gate.set()
    desk.learning.close()


def test_loading_and_missing_look_different_and_a_slow_shelf_stops_nothing() -> None:
    shelf = FakeShelf()
    shelf.gate.clear()
    desk = Desk(shelf=shelf, growing=False)
    desk.follow()
    assert (desk.shown.optimized, desk.shown.top) == ("loading", "loading")
    shelf.gate.set()
    desk.hear(lambda: desk.shown.optimized == "missing")
    assert (desk.shown.top, desk.shown.note) == ("missing", "\\ lets it grow")
    desk.learning.close()


def test_a_finished_picture_is_kept_and_a_shelf_that_cannot_says_so_and_the_picture_stays() -> None:
    shelf = FakeShelf()
    desk = Desk(shelf=shelf)
    desk.follow()
    desk.steps(5)
    desk.hear(lambda: bool(shelf.kept))
    assert shelf.kept == [("stem", 3, "stem:3")]
    shelf.error = StoreError("/store: the disk is full")
    desk.select(4)
    desk.steps(5)
    desk.hear(lambda: "/store: the disk is full" in desk.said)
    assert (desk.shown.optimized, desk.grey()) == ("done", 44)
    shelf.error = None
    desk.learning.close()


def test_closing_writes_what_waits_to_be_written() -> None:
    shelf = FakeShelf()
    loader = Loader(shelf, num_tops=9)
    shelf.gate.clear()
    for unit in range(3):
        loader.keep("stem", unit, unit)
    shelf.gate.set()
    loader.close()
    loader.close()
    assert [unit for _, unit, _ in shelf.kept] == [0, 1, 2]


def test_the_unit_under_the_pointer_is_shown_where_something_is_known_of_it(desk: Desk) -> None:
    desk.follow()
    desk.steps(5)
    desk.select(5)
    desk.steps(1)
    over = Target(kind="unit", pane="grid", layer="stem", unit=3)
    desk.follow(hover=over)
    assert (desk.shown.unit, desk.shown.follows, desk.grey()) == (3, True, 34)
    desk.steps(1)
    desk.follow(hover=Target(kind="unit", pane="grid", layer="stem", unit=7))
    assert (desk.shown.unit, desk.grey()) == (5, 52), "the selected one went on meanwhile"


# The tiles of the grid


def test_tiles_come_from_the_shelf_and_from_this_session() -> None:
    shelf = FakeShelf()
    shelf.pictures["stem", 1] = np.full((8, 8, 3), 111, np.uint8)
    shelf.pictures["stem", 3] = np.full((8, 8, 3), 200, np.uint8)
    desk = Desk(shelf=shelf, pattern="optimized")
    desk.select(2)

    def pattern() -> PatternShown:
        found = desk.learning.pattern(desk.view, desk.selection)
        assert found is not None
        return found

    assert pattern().is_loading
    desk.hear(lambda: not pattern().is_loading)
    assert sorted(pattern().tiles) == [1, 3]
    desk.steps(5)
    assert sorted(pattern().tiles) == [1, 2, 3]
    assert int(pattern().tiles[2][0, 0, 0]) == 24
    desk.follow(pattern="maps")
    assert desk.learning.pattern(desk.view, desk.selection) is None
    desk.learning.close()


def test_what_this_session_has_made_is_newer_than_what_the_shelf_had() -> None:
    tiles = LearnedTiles({layer.name: layer for layer in LAYERS}, loader=None)
    tiles.follow("stem", "optimized", [(1, flat(99))])
    older = {unit: np.full((8, 8, 3), 111, np.uint8) for unit in (1, 2)}
    assert tiles.found(TilesFound(layer="stem", kind="optimized", tiles=older, is_last=True))
    shown = tiles.shown("stem", "optimized")
    assert {unit: int(each[0, 0, 0]) for unit, each in shown.tiles.items()} == {1: 99, 2: 111}
    assert not shown.is_loading
    late = TilesFound(layer="wide", kind="optimized", tiles=older, is_last=True)
    assert not tiles.found(late), "of another layer: it is no longer looked at"

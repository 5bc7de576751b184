"""Whole layers and networks beside the film: made, held, cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rtvis.data import Selection
from rtvis.render import bar_words
from rtvis.render.job_words import job_name, job_share
from rtvis.render.scene import JobShown, Scene
from rtvis.runtime.generate import CONFIRM_S
from rtvis.session import View
from tests.learning_desk import SIZE, STEM, Desk
from tests.nets_fake import LAYERS


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.learning.close()


def test_a_layer_is_made_unit_by_unit_and_what_is_made_already_is_left_out(desk: Desk) -> None:
    desk.follow()
    desk.steps(5)  # unit 3 of 8
    desk.follow(page="unit")
    desk.learning.do("generate layer", STEM)
    assert [job.name for job in desk.learning.jobs] == ["stem"]
    desk.steps(7 * 4)
    assert [unit for _, unit, _ in desk.grower.begun] == [3, 0, 1, 2, 4, 5, 6, 7]
    desk.steps(1)
    assert desk.learning.jobs == ()
    assert desk.said[-1] == "stem: all pictures are made"
    desk.follow(page="learned")
    desk.selection = Selection(layer="stem", unit=6)
    assert desk.grey() == 64


def test_a_unit_that_was_made_meanwhile_by_a_click_is_not_made_again(desk: Desk) -> None:
    desk.follow(page="unit")
    desk.learning.do("generate layer", STEM)
    desk.steps(2)
    desk.follow(page="learned")
    desk.select(5, "stem")
    desk.steps(5)
    assert ("stem", 5) in [(layer, unit) for layer, unit, _ in desk.grower.begun]
    desk.follow(page="unit")
    desk.steps(8 * 4)
    assert sorted(unit for _, unit, _ in desk.grower.begun) == list(range(8))


def test_what_is_made_is_made_anew_only_after_a_second_key(desk: Desk) -> None:
    desk.follow(page="unit")
    desk.learning.do("generate layer", STEM)
    desk.steps(8 * 4 + 1)
    desk.learning.do("generate layer", STEM)
    assert desk.learning.jobs == ()
    assert desk.said[-1] == (
        "all 8 pictures of stem are made; the same again makes them anew (within 5 s)"
    )
    desk.clock.now_s += CONFIRM_S + 1
    desk.learning.do("generate layer", STEM)
    assert desk.learning.jobs == (), "too late: asked again"
    desk.learning.do("generate layer", STEM)
    assert len(desk.learning.jobs) == 1
    desk.steps(4)
    assert desk.grower.begun[-1] == ("stem", 0, False)


def test_every_layer_needs_a_second_key_too_and_counts_all_of_them(desk: Desk) -> None:
    desk.follow(page="unit")
    desk.learning.do("generate all", STEM)
    assert desk.said[-1].startswith("50 pictures of 4 layers take long")
    desk.learning.do("generate all", STEM)
    (job,) = desk.learning.jobs
    assert job.name == "4 layers"
    desk.steps(5)
    assert desk.learning.jobs[0].share == pytest.approx(5 / (50 * 4))


def test_stopping_cancels_all_that_grows_and_may_be_done_twice(desk: Desk) -> None:
    desk.follow()
    desk.learning.do("generate layer", STEM)
    desk.steps(2)
    for _ in range(2):
        desk.learning.stop()
        assert desk.jobs.shown == ()
    assert desk.grey() == 32, "what there was stays"


def test_making_many_can_be_held_and_cancelled_and_what_is_made_stays(desk: Desk) -> None:
    desk.follow(page="unit")
    desk.learning.do("generate layer", STEM)
    desk.steps(6)
    desk.learning.do("pause jobs", STEM)
    desk.steps(3)
    assert desk.learning.jobs[0].is_paused
    assert desk.learning.jobs[0].share == pytest.approx(6 / 32)
    desk.learning.do("pause jobs", STEM)
    desk.steps(1)
    assert desk.learning.jobs[0].share == pytest.approx(7 / 32)
    desk.learning.do("cancel jobs", STEM)
    assert desk.learning.jobs == ()
    desk.follow(page="learned")
    desk.selection = Selection(layer="stem", unit=0)
    assert desk.shown.optimized == "done"
    desk.learning.do("cancel jobs", STEM)
    assert desk.said[-1] == "nothing to cancel"


def test_of_several_jobs_each_or_all_can_be_held_and_cancelled(desk: Desk) -> None:
    desk.follow(page="unit")

    def state() -> list[tuple[str, bool, bool]]:
        return [(job.name, job.is_chosen, job.is_paused) for job in desk.learning.jobs]

    def do(what: str) -> str:
        desk.learning.do(what, desk.selection)  # type: ignore[arg-type]
        return desk.said[-1]

    do("generate layer")
    assert do("next job") == "there are not several to choose from"
    desk.select(0, "middle")
    do("generate layer")
    assert state() == [("stem", True, False), ("middle", True, False)]
    assert do("pause jobs") == "paused: all 2"
    assert do("pause jobs") == "going on: all 2"
    do("next job")
    do("next job")
    assert do("pause jobs") == "paused: middle"
    assert state() == [("stem", False, False), ("middle", True, True)]
    before = desk.learning.jobs[0].share
    desk.steps(2)
    assert desk.learning.jobs[0].share == pytest.approx(before + 2 / 32), "the other goes on"
    do("next job")
    assert state() == [("stem", True, False), ("middle", True, True)]
    assert do("pause jobs") == "paused: all 2", "those that go on, not those that are held"
    assert state() == [("stem", True, True), ("middle", True, True)]
    assert do("pause jobs") == "going on: all 2"
    do("next job")
    assert do("cancel jobs") == "cancelled: stem; what is made stays"
    assert state() == [("middle", True, False)], "what is left is what is meant"
    assert do("pause jobs") == "paused"
    assert do("pause jobs") == "going on"
    assert do("cancel jobs") == "cancelled; what is made stays"
    assert state() == []


def test_jobs_are_named_by_their_place_or_all_together_and_beside_other_pages() -> None:
    def job(name: str, share: float, *, chosen: bool) -> JobShown:
        return JobShown(key=name, name=name, share=share, left_s=None, is_chosen=chosen)

    two = (job("stem", 0.5, chosen=False), job("middle", 0.1, chosen=True))
    assert job_name(two, LAYERS) == "2/2 middle"
    assert job_share(two) == pytest.approx(0.1)
    both = tuple(replace(each, is_chosen=True) for each in two)
    assert (job_name(both, LAYERS), job_share(both)) == ("all 2 jobs", 0.3)
    assert job_name(both[:1], LAYERS) == "stem"

    def header(page: str) -> str:
        view = View(canvas_size=SIZE, page=page)  # type: ignore[arg-type]
        runs = bar_words.header(Scene(view=view, layers=LAYERS, jobs=two))
        return "".join(run.text for run in runs)

    assert header("unit").endswith("making 2 jobs 30%")
    assert "making" not in header("learned"), "there is a row for them"


def test_the_clicked_unit_goes_before_the_layer(desk: Desk) -> None:
    desk.follow(page="unit")
    desk.learning.do("generate layer", STEM)
    desk.steps(2)
    desk.follow(page="learned")
    desk.steps(4)
    assert desk.shown.optimized == "done"
    assert desk.learning.jobs[0].share == pytest.approx(2 / 32)

"""What units have learned, beside the film: what grows, what is kept, and what the screen shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from rtvis.data import ImageU8, Selection, Target
from rtvis.errors import StoreError
from rtvis.render import bar_words
from rtvis.render.compositor import Compositor
from rtvis.render.job_words import job_name, job_share
from rtvis.render.learned_plan import lay_learned
from rtvis.render.scene import JobShown, Learned, PatternShown, Scene, TopShown
from rtvis.render.text import measure
from rtvis.runtime.generate import CONFIRM_S
from rtvis.runtime.growth import Grown
from rtvis.runtime.jobs import Jobs, Traffic
from rtvis.runtime.learning import Learning
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.shelf import KeptInput, KeptPicture, KeptTop, Loader, SheetKind
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from tests.nets_fake import LAYERS, FakeCompositor, FakeEngine, FakeSource
from tests.test_jobs import Clock

SIZE = (800, 1280)
"""(height, width): there is a details pane."""
STEM = Selection(layer="stem", unit=3)
QUIET = Traffic()


def flat(value: int, side: int = 8) -> Tensor:
    return torch.full((side, side, 3), value, dtype=torch.uint8)


class FakeGrower:
    """Pictures of four steps, each a grey that tells unit and step."""

    def __init__(self, num_steps: int = 4) -> None:
        self.num_steps = num_steps
        self.begun: list[tuple[str, int, bool]] = []
        """(layer, unit, whether there was a start)."""
        self.error: Exception | None = None

    def grow(self, layer: str, unit: int, *, start_13HW: Tensor | None) -> Iterator[Grown]:
        self.begun.append((layer, unit, start_13HW is not None))
        for step in range(1, self.num_steps + 1):
            if self.error is not None:
                raise self.error
            grey = 10 * unit + step
            result = f"{layer}:{unit}" if step == self.num_steps else None
            yield Grown(
                draw=lambda grey=grey: flat(grey),  # type: ignore[misc]
                share=step / self.num_steps,
                value=float(step),
                result=result,
            )


class FakeShelf:
    """A store in memory that answers when it is let."""

    def __init__(self) -> None:
        self.back_rule = "deconvnet"
        self.pictures: dict[tuple[str, int], ImageU8] = {}
        self.crops: dict[tuple[str, int], tuple[KeptTop, ...]] = {}
        self.inputs: dict[tuple[str, int, int], KeptInput] = {}
        self.kept: list[tuple[str, int, object]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: StoreError | None = None
        self.threads: set[str] = set()

    def has(self, layer: str, unit: int) -> bool:
        return (layer, unit) in self.pictures

    def optimized(self, layer: str, unit: int) -> KeptPicture | None:
        self._asked()
        found = self.pictures.get((layer, unit))
        return None if found is None else KeptPicture(image_HW3=found, value=7.5)

    def tops(self, layer: str, unit: int, num: int) -> tuple[KeptTop, ...]:
        self._asked()
        return self.crops.get((layer, unit), ())[:num]

    def whole_input(self, layer: str, unit: int, place: int) -> KeptInput:
        self._asked()
        found = self.inputs.get((layer, unit, place))
        if found is None:
            raise StoreError(f"{place}.png: gone")
        return found

    def sheet(self, layer: str, kind: SheetKind) -> Iterator[tuple[int, ImageU8 | None]]:
        del kind
        for unit in range(8):
            self._asked()
            yield unit, self.pictures.get((layer, unit))

    def keep(self, layer: str, unit: int, result: object) -> None:
        self._asked()
        self.kept.append((layer, unit, result))

    def _asked(self) -> None:
        assert self.gate.wait(5)
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error


class Desk:
    """A Learning with fakes around it, on a clock that the test moves."""

    def __init__(self, *, shelf: FakeShelf | None = None, **view: object) -> None:
        self.clock = Clock()
        self.jobs = Jobs(self.clock, now_s=lambda: self.clock.now_s)
        self.grower = FakeGrower()
        self.said: list[str] = []
        self.start: Tensor | None = torch.zeros(1, 3, 8, 8)
        self.shelf = shelf
        self.learning = Learning(
            layers=LAYERS,
            device=torch.device("cpu"),
            jobs=self.jobs,
            grower=self.grower,
            shelf=shelf,
            say=lambda text, _: self.said.append(text),
            start=lambda: self.start,
            now_s=lambda: self.clock.now_s,
        )
        self.view = View(canvas_size=SIZE, page="learned", **view)  # type: ignore[arg-type]
        self.selection = STEM

    def follow(self, **view: object) -> None:
        """A turn with another view."""
        self.view = View(**{**_fields(self.view), **view})  # type: ignore[arg-type]
        self.learning.follow(self.view, self.selection)

    def select(self, unit: int, layer: str = "stem") -> None:
        self.selection = Selection(layer=layer, unit=unit)
        self.follow()

    def steps(self, num: int) -> None:
        for _ in range(num):
            self.clock.now_s += 1.0
            self.jobs.run(QUIET)
            self.learning.follow(self.view, self.selection)

    @property
    def shown(self) -> Learned:
        found = self.learning.shown(self.view, self.selection)
        assert found is not None
        return found

    def grey(self) -> int | None:
        image = self.shown.optimized_HW3
        return None if image is None else int(image[0, 0, 0])

    def hear(self, is_so: Callable[[], bool]) -> None:
        """Turns until the loader's thread has answered."""
        until_s = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < until_s, "the loader never answered"
            self.learning.follow(self.view, self.selection)
            time.sleep(0.001)


def _fields(view: View) -> dict[str, object]:
    return {name: getattr(view, name) for name in View.__dataclass_fields__}


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


# Many units


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
    do("next job")
    assert do("cancel jobs") == "cancelled: stem; what is made stays"
    assert state() == [("middle", True, True)], "what is left is what is meant"
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


# The loop


class Loop:
    """A Turn with a Learning, as the pipeline steps them."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.engine = FakeEngine()
        self.source = FakeSource()
        self.compositor = FakeCompositor()
        self.session = Session(View(canvas_size=SIZE, page="learned", selection=STEM))
        frames = LatestSlot()
        self.source.start(frames)
        self.turn = Turn(
            engine=self.engine,
            compositor=self.compositor,
            session=self.session,
            source=self.source,
            frames=frames,
        )
        self.turn.attend(self.desk.learning)

    def once(self, *, frame: bool = True) -> Scene | None:
        """One round of the loop; gives what was drawn."""
        if frame:
            self.source.put()
        before = len(self.compositor.scenes)
        self.desk.clock.now_s += 0.05
        self.desk.jobs.run(self.turn.traffic())
        self.turn.run()
        self.desk.learning.follow(self.session.read()[0], self.turn.selection)
        scenes = self.compositor.scenes
        return scenes[-1] if len(scenes) > before else None


def test_a_click_shows_the_new_unit_s_first_picture_in_the_turn_after_the_next() -> None:
    loop = Loop()
    for _ in range(40):
        loop.once()
    loop.session.update(selection=Selection(layer="stem", unit=5))
    first, second = loop.once(), loop.once()
    assert first is not None
    assert first.learned is not None
    assert (first.learned.unit, first.learned.optimized_HW3) == (5, None)
    assert second is not None
    assert second.learned is not None
    assert second.learned.optimized_HW3 is not None
    assert int(second.learned.optimized_HW3[0, 0, 0]) == 51


def test_a_held_picture_is_drawn_anew_as_it_grows_but_not_with_each_step() -> None:
    loop = Loop()
    loop.desk.grower.num_steps = 100
    loop.once()
    loop.session.update(paused=True)
    drawn = [loop.once(frame=False) is not None for _ in range(20)]
    # A step each 50 ms; a picture at most each 100 ms.
    assert 9 <= sum(drawn[4:]) + 2 <= 11
    assert loop.desk.learning.num_grown >= 18


def test_a_choice_that_waits_goes_before_a_step() -> None:
    loop = Loop()
    loop.once()
    loop.session.update(palette="grey")
    assert loop.turn.traffic().choice_waits
    before = loop.desk.jobs.num_steps
    loop.once(frame=False)
    assert loop.desk.jobs.num_steps == before
    assert not loop.turn.traffic().choice_waits


def test_an_optimised_picture_is_looked_at_instead_of_the_film_and_the_frame_comes_back() -> None:
    from rtvis.data import Frame

    loop = Loop()
    loop.once()
    frame = loop.turn.frame
    stand_in = Frame(
        image_HW3=np.full((6, 6, 3), 9, np.uint8), seq=0, captured_ns=0, name="optimised stem:3"
    )
    loop.turn.show_instead(stand_in)
    scene = loop.once()
    assert loop.turn.frame is stand_in
    assert scene is not None
    assert scene.picture_name == "optimised stem:3"
    loop.once()
    assert loop.turn.frame is stand_in, "the film does not come through"
    loop.turn.show_instead(None)
    loop.once(frame=False)
    assert loop.turn.frame is frame, "a still picture is given once"


def test_without_a_grower_the_loop_runs_as_ever() -> None:
    source = FakeSource(num_frames=3, loose=1)
    with Pipeline(
        engine=FakeEngine(),
        source=source,
        compositor=FakeCompositor(),
        session=Session(View(canvas_size=SIZE, page="learned")),
        num_frames=1,
    ) as pipeline:
        assert pipeline.run().reason == "frames"


# The picture


def drawn(learned: Learned | None, **scene: object) -> tuple[Compositor, np.ndarray]:
    engine = FakeEngine()
    result = engine.run(torch.zeros(6, 6, 3), STEM, seq=0, revision=0, captured_ns=0)
    compositor = Compositor(torch.device("cpu"))
    view = scene.pop("view", View(canvas_size=SIZE, page="learned", selection=STEM))
    canvas = compositor.compose(
        Scene(  # type: ignore[arg-type]
            view=view, layers=LAYERS, result=result, learned=learned, **scene
        )
    )
    return compositor, canvas.numpy().copy()


def grey_of(word: int) -> tuple[int, int, int]:
    return (word >> 16) & 0xFF, (word >> 8) & 0xFF, word & 0xFF


def test_page_shows_the_picture_the_crops_and_their_backward_pictures_in_their_places() -> None:
    tops = tuple(
        TopShown(crop_HW3=flat(20 + place), back_HW3=flat(120 + place)) for place in range(9)
    )
    learned = Learned(
        layer="stem", unit=3, optimized_HW3=flat(77), optimized="growing", tops=tops, top="done"
    )
    compositor, canvas = drawn(learned)
    assert compositor.layout is not None
    plan = compositor.layout.learned
    assert plan is not None
    assert plan.grids is not None

    def at(rect) -> tuple[int, int, int]:
        return grey_of(canvas[rect.top + rect.height // 2, rect.left + rect.width // 2])

    assert at(plan.optimized) == (77, 77, 77)
    for index, first in enumerate((20, 120)):
        for place in range(9):
            tile = plan.grids[index].tile(place)
            assert tile is not None
            assert at(tile) == (first + place,) * 3
            hit = compositor.layout.hit(tile.left + 2, tile.top + 2)
            assert hit.pane == "details"


def test_states_of_the_page_look_different() -> None:
    def page(**fields: object) -> bytes:
        learned = Learned(layer="stem", unit=3, **fields)  # type: ignore[arg-type]
        compositor, canvas = drawn(learned)
        assert compositor.layout is not None
        pane = compositor.layout.panes["details"]
        return canvas[pane.rows, pane.columns].tobytes()

    image = flat(77)
    states = [
        page(optimized="missing", note="\\ lets it grow"),
        page(optimized="loading", top="loading"),
        page(optimized="growing", optimized_HW3=image, share=0.5),
        page(optimized="held", optimized_HW3=image, share=0.5),
        page(optimized="done", optimized_HW3=image, share=1.0),
    ]
    assert len(set(states)) == len(states)


@pytest.mark.parametrize("size", [(480, 640), (700, 1100), (800, 1280), (1080, 1920), (2160, 3840)])
def test_parts_of_the_page_keep_within_it_and_off_each_other(size: tuple[int, int]) -> None:
    from rtvis.render.layout import layout

    plan = layout(View(canvas_size=size, page="learned"), LAYERS)
    if "details" not in plan.contents:
        assert plan.learned is None
        return
    area, learned = plan.contents["details"], plan.learned
    assert learned is not None
    rects = [learned.optimized, learned.caption, learned.progress, learned.buttons]
    rects += [learned.job, learned.job_buttons]
    if learned.grids is not None:
        rects += [*learned.headings, *(grid.area for grid in learned.grids)]
    for index, rect in enumerate(rects):
        assert area.top <= rect.top
        assert rect.bottom <= area.bottom
        assert area.left <= rect.left
        assert rect.right <= area.right
        assert not any(rect.overlaps(other) for other in rects[index + 1 :]), rect


def test_a_low_page_gives_up_the_crops_before_the_picture() -> None:
    plan = lay_learned(_area(300), _metrics())
    assert plan.grids is None
    assert plan.optimized.height > 72
    assert lay_learned(_area(500), _metrics()).grids is not None


def _area(height: int):
    from rtvis.render.grid import Rect

    return Rect(0, 0, height, 208)


def _metrics():
    from rtvis.render.metrics import metrics_for

    return metrics_for(SIZE)


def test_tiles_show_pictures_where_the_maps_were_and_missing_ones_are_empty() -> None:
    tiles = {0: flat(50).numpy(), 6: flat(90).numpy()}
    pattern = PatternShown(layer="stem", tiles=tiles)
    view = View(canvas_size=SIZE, pattern="optimized", selection=STEM)
    learned = Learned(layer="stem", unit=3, optimized_HW3=flat(77), optimized="growing")
    compositor, canvas = drawn(learned, pattern=pattern, view=view)
    assert compositor.layout is not None
    grid = compositor.layout.grid
    assert grid is not None

    def at(unit: int) -> tuple[int, int, int]:
        tile = grid.tile(unit)
        assert tile is not None
        return grey_of(canvas[tile.top + tile.height // 2, tile.left + tile.width // 2])

    assert (at(0), at(6)) == ((50,) * 3, (90,) * 3)
    assert at(3) == (77,) * 3, "the one that is growing"
    assert at(1) == at(2) == (0x14, 0x16, 0x1A), "the background: nothing is there"
    maps, _ = drawn(None, view=View(canvas_size=SIZE, selection=STEM))
    assert maps.layout is not None
    assert maps.layout.grid == grid, "tiles keep their places"


def test_a_tile_that_comes_is_drawn_and_the_others_are_left_alone() -> None:
    view = View(canvas_size=SIZE, pattern="optimized", selection=STEM)
    tiles = {0: flat(50).numpy()}
    engine, compositor = FakeEngine(), Compositor(torch.device("cpu"))
    result = engine.run(torch.zeros(6, 6, 3), STEM, seq=0, revision=0, captured_ns=0)

    def compose() -> np.ndarray:
        pattern = PatternShown(layer="stem", tiles=tiles)
        scene = Scene(view=view, layers=LAYERS, result=result, pattern=pattern)
        return compositor.compose(scene).numpy().copy()

    compose()
    tiles[1] = flat(60).numpy()
    canvas = compose()
    assert compositor.layout is not None
    assert compositor.layout.grid is not None
    for unit, grey in ((0, 50), (1, 60)):
        tile = compositor.layout.grid.tile(unit)
        assert tile is not None
        assert grey_of(canvas[tile.top + 5, tile.left + 5]) == (grey,) * 3


def test_what_makes_missing_pictures_is_told_in_as_many_words_as_there_is_room_for() -> None:
    tiles = {unit: flat(50).numpy() for unit in range(131)}
    notes = ("units crops makes them", "units crops")
    pattern = PatternShown(layer="stem", tiles=tiles, notes=notes)
    scene = Scene(view=View(), layers=LAYERS, pattern=pattern)

    def told(room_for: str, num_units: int = 240) -> str:
        return bar_words.pattern_facts(scene, num_units, measure(room_for, 15), 15)

    assert told("131 of 240; units crops makes them") == "131 of 240; units crops makes them"
    assert told("131 of 240; units crops makes") == "131 of 240; units crops"
    assert told("131 of 240; units") == "131 of 240"
    assert told("131 of 131; units crops makes them", 131) == "131 of 131", "none is missing"

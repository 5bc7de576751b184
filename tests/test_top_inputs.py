"""A unit's best inputs, optimised pictures and moments looked at in the place of the source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from rtvis.data import Frame, KeyEvent, PointerEvent, Selection
from rtvis.render.compositor import Compositor
from rtvis.render.moments_plan import lay_moments
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.shelf import KeptInput, KeptTop
from rtvis.session import Session, TopInput, View
from tests.learning_desk import Desk, FakeShelf
from tests.nets_fake import FakeEngine, FakeSource

STEM = Selection(layer="stem", unit=3, fit="letterbox")


def picture(value: int) -> np.ndarray:
    return np.full((9, 7, 3), value, np.uint8)


class Room:
    """A pipeline whose turns a test makes; unit 3 of "stem" has two best inputs, one is gone."""

    def __init__(self, **view: object) -> None:
        self.shelf = FakeShelf()
        crops = tuple(KeptTop(crop_HW3=picture(50 + place)) for place in range(2))
        self.shelf.crops["stem", 3] = crops
        self.shelf.inputs["stem", 3, 0] = KeptInput(image_HW3=picture(70), name="dog.jpg")
        self.source = FakeSource()
        start = View(canvas_size=(800, 1280), page="learned", selection=STEM, growing=False)
        self.session = Session(replace(start, **view))  # type: ignore[arg-type]
        self.pipeline = Pipeline(
            engine=FakeEngine(),
            source=self.source,
            compositor=Compositor(torch.device("cpu")),
            session=self.session,
            shelf=self.shelf,
        )
        self.source.start(self.pipeline.loop.frames)
        self.source.put()
        self.until(lambda: self.pipeline.loop.turn.frame is not None)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Turns until something is so."""
        until_s = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < until_s, f"it never came; {self.view}"
            self.pipeline.loop.one_turn()

    def settle(self) -> None:
        for _ in range(4):
            self.pipeline.loop.one_turn()

    def press(self, key: str) -> None:
        self.pipeline.controller.handle(KeyEvent(key=key))

    def click_top(self, place: int) -> None:
        drawn = self.pipeline.controller.drawn
        assert drawn is not None
        plan = drawn.layout.learned
        assert plan is not None
        assert plan.grids is not None
        tile = plan.grids[0].tile(place)
        assert tile is not None
        x, y = tile.left + tile.width // 2, tile.top + tile.height // 2
        assert drawn.hit(x, y).kind == "top"
        self.pipeline.controller.handle(PointerEvent(kind="down", x=x, y=y, button="left"))

    def click_moment(self, place: int) -> None:
        drawn = self.pipeline.controller.drawn
        assert drawn is not None
        page = lay_moments(drawn.layout.contents["details"], drawn.layout.metrics)
        assert page.grid is not None
        tile = page.grid.tile(place)
        assert tile is not None
        x, y = tile.left + tile.width // 2, tile.top + tile.height // 2
        assert drawn.hit(x, y).kind == "moment"
        self.pipeline.controller.handle(PointerEvent(kind="down", x=x, y=y, button="left"))

    @property
    def view(self) -> View:
        return self.session.read()[0]

    @property
    def frame(self) -> Frame:
        frame = self.pipeline.loop.turn.frame
        assert frame is not None
        return frame


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.learning.close()


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    with room.pipeline:
        yield room


def test_a_click_on_a_best_input_looks_at_the_whole_picture_and_another_at_the_source(
    room: Room,
) -> None:
    live = room.frame
    room.click_top(0)
    room.until(lambda: room.frame is not live)
    room.settle()
    assert (room.frame.image_HW3[0, 0, 0], room.frame.image_HW3.shape) == (70, (9, 7, 3))
    assert (room.frame.name, room.frame.stands_in) == ("dog.jpg", True)
    assert room.view.selection.fit == "crop", "as the scan saw it"
    assert room.view.top_input == TopInput(layer="stem", unit=3, place=0)
    # Its tile is marked, in the colour of what is selected.
    canvas = room.pipeline.loop.turn.composed
    assert canvas is not None
    plan = canvas.drawn.layout.learned
    assert plan is not None
    assert plan.grids is not None
    first, second = plan.grids[0].tile(0), plan.grids[0].tile(1)
    assert first is not None
    assert second is not None
    canvas_HW3 = canvas.picture.canvas_HW3
    marked, other = (
        canvas_HW3[first.top + 5, first.left - 1],
        canvas_HW3[second.top + 5, second.right],
    )
    assert marked.tolist() != other.tolist()
    room.source.put()
    room.settle()
    assert room.frame.name == "dog.jpg", "the film does not come through"
    room.click_top(0)
    room.until(lambda: not room.frame.stands_in)
    assert room.view.top_input is None
    assert room.view.selection.fit == "letterbox"


def test_a_picture_that_is_gone_is_told_and_the_source_stays(room: Room) -> None:
    live = room.frame
    room.click_top(1)
    room.until(lambda: room.view.notice_is_warning)
    room.settle()
    assert "1.png: gone" in room.view.notice
    assert room.view.top_input is None
    assert room.frame is live
    # From a picture that is there it goes nowhere either.
    room.click_top(0)
    room.until(lambda: room.frame is not live)
    room.session.update(notice="")
    room.click_top(1)
    room.until(lambda: "1.png: gone" in room.view.notice)
    room.settle()
    assert room.frame.name == "dog.jpg"
    assert room.view.top_input == TopInput(layer="stem", unit=3, place=0)


def test_steps_and_the_reset_go_back_to_the_source(room: Room) -> None:
    for key in ("e", "insert", "backspace"):
        live = room.frame
        room.click_top(0)
        room.until(lambda: room.frame is not live)  # noqa: B023
        room.press(key)
        room.until(lambda: not room.frame.stands_in)
        assert room.view.top_input is None
        room.session.update(page="learned", selection=STEM, growing=False)
        room.settle()


def test_the_key_takes_what_the_tiles_show_of_the_selected_unit() -> None:
    room = Room(pattern="top")
    with room.pipeline:
        room.press("insert")
        room.until(lambda: room.frame.stands_in)
        assert room.frame.name == "dog.jpg"
        room.press("insert")
        room.until(lambda: not room.frame.stands_in)
        room.session.update(pattern="moments")
        room.settle()
        room.press("insert")
        room.until(lambda: room.frame.stands_in)
        assert room.frame.name.startswith("moment ")
        room.press("insert")
        room.until(lambda: not room.frame.stands_in)
        room.session.update(pattern="optimized")
        room.settle()
        room.press("insert")
        room.until(lambda: "no optimised picture" in room.view.notice)


def test_without_a_store_the_key_says_that_there_are_none(desk: Desk) -> None:
    top = TopInput(layer="stem", unit=3, place=0)
    desk.learning.look_up.want_input(top)
    assert desk.said == ["nothing is kept of top inputs, so there are none to look at"]
    assert desk.learning.look_up.has_looked_for(top)
    assert desk.learning.look_up.whole_input(top) is None


def test_one_choice_takes_the_place_of_another(room: Room) -> None:
    live = room.frame
    room.click_top(0)
    room.until(lambda: room.frame is not live)
    room.session.update(moment=0, top_input=None)
    room.until(lambda: room.frame.name.startswith("moment "))
    room.settle()
    assert room.view.selection.fit == "stretch", "it is the network's input as it was"
    room.session.update(moment=None)
    room.until(lambda: not room.frame.stands_in)
    assert room.view.selection.fit == "letterbox"


def test_a_top_input_is_given_up_when_a_moment_is_clicked(room: Room) -> None:
    live = room.frame
    room.click_top(0)
    room.until(lambda: room.frame.name == "dog.jpg")
    room.session.update(page="moments")
    room.settle()
    room.click_moment(0)
    room.until(lambda: room.frame.name.startswith("moment "))
    room.settle()
    assert (room.view.moment, room.view.top_input) == (live.seq, None)
    assert room.frame.name.startswith("moment ")
    room.click_moment(0)
    room.until(lambda: not room.frame.name.startswith("moment "))
    assert not room.frame.stands_in, "the source again, and not the top input"
    assert (room.view.moment, room.view.top_input) == (None, None)

"""Moments in the loop: clicked, forgotten, counted once, saved."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from rtvis.data import (
    Frame,
    KeyEvent,
    PointerEvent,
    Result,
    Selection,
    Target,
)
from rtvis.render.compositor import Compositor
from rtvis.render.layout import layout
from rtvis.render.moment_numbers import moments_of
from rtvis.render.moments_plan import lay_moments
from rtvis.runtime.controller import Controller
from rtvis.runtime.drawn import Drawn
from rtvis.runtime.moments import live_moments
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import Session
from tests.nets_fake import LAYERS, FakeEngine, FakeSource
from tests.test_live_moments import PAGE, one_thread

__all__ = ["one_thread"]  # a fixture


class Room:
    """A pipeline whose turns a test makes, with a real compositor."""

    def __init__(self, **view: object) -> None:
        self.engine = _SteppingEngine()
        self.source = FakeSource()
        self.session = Session(replace(PAGE, **view))  # type: ignore[arg-type]
        self.compositor = Compositor(torch.device("cpu"))
        self.pipeline = Pipeline(
            engine=self.engine,
            source=self.source,
            compositor=self.compositor,
            session=self.session,
            moments=live_moments(self.engine, apart_s=3600),  # frames of a busy machine too are one
        )
        self.source.start(self.pipeline.loop.frames)
        self.controller = self.pipeline.controller

    def once(self, *, frame: bool = True) -> None:
        if frame:
            self.source.put()
        self.pipeline.loop.one_turn()
        composed = self.pipeline.loop.turn.composed
        assert composed is not None
        self.controller.drawn = composed.drawn

    def settle(self) -> None:
        """The user's choice is drawn first, then computed."""
        for _ in range(3):
            self.once(frame=False)

    def press(self, key: str) -> None:
        self.controller.handle(KeyEvent(key=key))

    def click(self, place: int) -> None:
        drawn = self.controller.drawn
        assert drawn is not None
        page = lay_moments(drawn.layout.contents["details"], drawn.layout.metrics)
        assert page.grid is not None
        tile = page.grid.tile(place)
        assert tile is not None
        x, y = tile.left + tile.width // 2, tile.top + tile.height // 2
        self.controller.handle(PointerEvent(kind="down", x=x, y=y, button="left"))

    @property
    def frame(self) -> Frame:
        frame = self.pipeline.loop.turn.frame
        assert frame is not None
        return frame

    def shown(self) -> tuple[float, ...]:
        return tuple(moment.value for moment in moments_of(self.compositor.readout))


class _SteppingEngine(FakeEngine):
    """Every frame excites all units more than the one before."""

    def run(self, image: Tensor, selection: Selection, **about: int) -> Result:  # type: ignore[override]
        result = super().run(image, selection, **about)
        level = float(image[0, 0, 0])
        return replace(
            result,
            maps_BCHW=result.maps_BCHW * level,
            input_BCHW=torch.full((1, 3, 6, 6), level),
        )


def test_a_click_on_a_moment_looks_at_its_frame_and_another_click_at_the_source_again() -> None:
    room = Room()
    with room.pipeline:
        for _ in range(3):
            room.once()
            time.sleep(0.01)
        assert room.shown() == (2.0,), "one moment"
        live = room.frame
        room.click(0)
        room.settle()
        assert room.frame is not live
        assert room.frame.image_HW3[0, 0, 0] == 2
        assert room.frame.name.startswith("moment ")
        assert room.engine.asked[-1][1].fit == "stretch"
        # It is not counted, nor are the source's frames that nobody looks at.
        gathered = room.pipeline.loop.units.moments
        assert gathered is not None
        num = gathered.gathered[("stem", "pre", None)].tracker.num_frames
        room.once()
        assert gathered.gathered[("stem", "pre", None)].tracker.num_frames == num
        room.click(0)
        room.settle()
        assert not room.frame.name
        assert room.session.read()[0].moment is None


def test_the_key_forgets_and_counts_anew_with_what_is_on_screen_at_once() -> None:
    room = Room()
    with room.pipeline:
        room.once()
        room.once()
        moments = room.pipeline.loop.units.moments
        assert moments.gathered[("stem", "pre", None)].tracker.num_frames == 2
        room.press("f9")
        room.settle()  # no frame comes any more, as of a still picture
        assert room.shown() == (1.0,)
        assert moments.gathered[("stem", "pre", None)].tracker.num_frames == 1
        assert "forgotten" in room.session.read()[0].notice
        room.once()
        assert room.shown() == (2.0,)


def test_the_key_counts_nothing_that_is_no_frame_of_the_source_or_was_not_computed() -> None:
    room = Room()
    with room.pipeline:
        room.once()
        room.engine.error = RuntimeError("no memory")
        room.once()
        room.press("f9")
        room.settle()
        assert room.shown() == ()


def test_a_held_picture_counts_once_for_each_layer_that_looks_at_it() -> None:
    room = Room()
    with room.pipeline:
        room.once()
        room.session.update(paused=True)
        room.once()
        room.once()
        moments = room.pipeline.loop.units.moments
        assert moments is not None
        assert moments.gathered[("stem", "pre", None)].tracker.num_frames == 1
        room.session.update(selection=Selection(layer="middle", unit=0))
        room.settle()
        assert moments.gathered[("middle", "pre", None)].tracker.num_frames == 1


def test_a_frame_that_cannot_be_computed_does_not_count() -> None:
    room = Room()
    with room.pipeline:
        room.once()
        room.engine.error = RuntimeError("no memory")
        room.once()
        room.engine.error = None
        moments = room.pipeline.loop.units.moments
        assert moments is not None
        assert moments.gathered[("stem", "pre", None)].tracker.num_frames == 1
        assert room.shown() == (0.0,)


def test_free_places_of_the_page_are_no_targets() -> None:
    room = Room()
    with room.pipeline:
        room.once()
        drawn = room.controller.drawn
        assert isinstance(drawn, Drawn)
        page = lay_moments(drawn.layout.contents["details"], drawn.layout.metrics)
        assert page.grid is not None
        first, second = page.grid.tile(0), page.grid.tile(1)
        assert first is not None
        assert second is not None
        hit = drawn.hit(first.left + 3, first.top + 3)
        assert hit == Target(kind="moment", pane="details", place=0)
        assert drawn.hit(second.left + 3, second.top + 3).kind == "pane"


def test_a_click_on_a_place_that_has_become_free_does_nothing() -> None:
    session = Session(PAGE)
    controller = Controller(
        session,
        layers=LAYERS,
        default_layer=2,
        cam_methods=("grad-cam",),
        lay_out=lambda view: layout(view, LAYERS),
        do=lambda effect: None,
    )
    controller.click(Target(kind="moment", pane="details", place=0))
    assert session.read()[0].moment is None


def test_what_is_saved_has_the_moments_of_all_units_and_the_selected_one_s_crops(
    tmp_path: Path,
) -> None:
    room = Room()
    with room.pipeline:
        for _ in range(3):
            room.once()
        folder = room.pipeline.save_now(tmp_path) / "moments"
    with np.load(folder / "moments.npz") as arrays:
        assert arrays["values_CN"].shape == (8, 9)
        assert arrays["values_CN"][:, 0].tolist() == [2.0] * 8
        assert arrays["frame_CN"][3].tolist() == [2, *[-1] * 8]
        assert arrays["position_CN2"].shape == (8, 9, 2)
        assert np.isnan(arrays["seconds_CN"][:, 1:]).all()
    about = json.loads((folder / "moments.json").read_text())
    assert (about["layer"], about["unit"], about["frames_seen"]) == ("stem", 3, 3)
    assert about["field"] == [3, 3]
    pictures = sorted(path.name for path in (folder / "pictures").iterdir())
    assert pictures == ["00000002.png"], "that of the one moment"
    assert about["clips"][0]["name"] == "fake source"
    crops = sorted(path.name for path in folder.glob("*.png"))
    assert crops == ["unit-0003-1.png"]
    assert (cv2.imread(str(folder / crops[0])) == 2).all()

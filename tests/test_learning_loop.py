"""Pictures that grow in the loop: when they are shown, and what goes before them."""

from __future__ import annotations

import numpy as np

from rtvis.data import Selection
from rtvis.render.scene import Scene
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from tests.learning_desk import SIZE, STEM, Desk
from tests.nets_fake import FakeCompositor, FakeEngine, FakeSource


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

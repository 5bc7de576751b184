"""One turn: what is computed, what is drawn, and what is left as it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rtvis.data import Frame, Selection
from rtvis.errors import SelectionError
from rtvis.render import bar_words
from rtvis.runtime.faults import Faults
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from tests.nets_fake import (
    CANVAS,
    FakeCompositor,
    FakeEngine,
    FakeSource,
)

SELECTION = Selection(layer="middle", unit=5)


class Bench:
    """A Turn with fakes around it, run by hand on the test's own thread."""

    def __init__(self, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.engine = FakeEngine()
        self.source = FakeSource()
        self.compositor = FakeCompositor()
        self.session = Session(View(selection=SELECTION, canvas_size=CANVAS))
        self.frames = LatestSlot()
        self.source.start(self.frames)
        self.turn = Turn(
            engine=self.engine,
            compositor=self.compositor,
            session=self.session,
            source=self.source,
            frames=self.frames,
            now_ns=now_ns,
        )

    def frame(self) -> None:
        self.source.put()
        self.turn.run()

    def rates(self):
        return self.turn.figures.read()


def test_a_frame_is_computed_and_drawn_once() -> None:
    bench = Bench()
    bench.source.put()
    composed = bench.turn.run()
    assert composed is not None
    assert (composed.picture.frame_seq, composed.picture.seq) == (0, 0)
    assert composed.picture.canvas_HW3.shape == (*CANVAS, 3)
    assert composed.drawn.top == (7, 3)
    assert [seq for seq, _, _ in bench.engine.asked] == [0]
    assert [bench.turn.run() for _ in range(5)] == [None] * 5
    assert len(bench.compositor.scenes) == 1


def test_before_the_first_frame_there_is_a_picture_without_one() -> None:
    bench = Bench()
    bench.source.set_state("opening")
    composed = bench.turn.run()
    assert composed is not None
    assert composed.picture.frame_seq == -1
    scene = bench.compositor.scenes[0]
    assert (scene.image_HW3, scene.result, scene.source.state) == (None, None, "opening")


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    bench = Bench()
    for _ in range(4):
        bench.source.put()
    bench.turn.run()
    assert [seq for seq, _, _ in bench.engine.asked] == [3]
    assert bench.rates().num_dropped == 3


def test_another_selection_is_computed_on_the_frame_that_is_held() -> None:
    bench = Bench()
    bench.frame()
    other = Selection(layer="last", unit=1)
    bench.session.update(selection=other)
    bench.turn.run()
    assert [(seq, selection) for seq, selection, _ in bench.engine.asked] == [
        (0, SELECTION),
        (0, other),
    ]
    assert bench.engine.asked[1][2] == 1, "the result carries the session's revision"
    assert bench.turn.figures.num_processed == 1, "a click is no frame"


def test_no_backward_pass_is_asked_for_while_its_picture_is_off() -> None:
    """DVT-12."""
    bench = Bench()
    for shown in (False, True):
        bench.session.update(backward_shown=shown)
        bench.frame()
        asked = bench.turn.computing.asked
        assert asked is not None
        assert asked.backward == shown
        assert bench.engine.asked[-1][1] == asked
    num_asked = len(bench.engine.asked)
    bench.session.update(backward_shown=False)
    bench.turn.run()
    bench.session.update(backward_shown=True)
    bench.turn.run()
    bench.turn.run()
    assert len(bench.engine.asked) > num_asked, "the picture that comes back is computed"
    assert bench.engine.asked[-1][1].backward


def test_a_change_of_the_view_is_drawn_without_computing() -> None:
    bench = Bench()
    bench.frame()
    bench.session.update(palette="grey")
    assert bench.turn.run() is not None
    assert len(bench.engine.asked) == 1
    assert [scene.view.palette for scene in bench.compositor.scenes] == ["colour", "grey"]


def test_hover_is_drawn_before_the_next_frame_is_computed_but_does_not_stop_the_film() -> None:
    bench = Bench()
    bench.frame()
    bench.source.put()
    bench.session.update(grid_scroll=1)
    bench.turn.run()
    assert len(bench.engine.asked) == 1, "the view first"
    bench.session.update(grid_scroll=2)
    bench.turn.run()
    assert len(bench.engine.asked) == 2, "then the frame, though the view changed again"
    assert bench.compositor.scenes[-1].view.grid_scroll == 2


def test_a_selection_made_while_computing_is_not_drawn_with_the_old_numbers() -> None:
    bench = Bench()
    run = bench.engine.run

    def clicked_meanwhile(*args, **kwargs):
        bench.session.update(selection=Selection(layer="stem", unit=2), palette="grey")
        return run(*args, **kwargs)

    bench.engine.run = clicked_meanwhile
    bench.frame()
    scene = bench.compositor.scenes[-1]
    assert scene.view.selection == SELECTION
    assert scene.result.selection.layer == "middle"
    assert scene.view.palette == "grey", "the rest of the view is the newest"
    bench.engine.run = run
    bench.turn.run()
    assert bench.compositor.scenes[-1].result.selection.layer == "stem"


def test_paused_holds_the_frame_while_selections_still_work() -> None:
    bench = Bench()
    bench.frame()
    bench.session.update(paused=True)
    bench.turn.run()
    bench.source.put()
    bench.source.put()
    assert bench.turn.run() is None
    bench.session.update(selection=Selection(layer="stem", unit=3))
    bench.turn.run()
    assert [seq for seq, _, _ in bench.engine.asked] == [0, 0]
    bench.source.put()
    bench.session.update(paused=False)
    bench.turn.run()  # draws that it runs again
    bench.turn.run()
    assert [seq for seq, _, _ in bench.engine.asked] == [0, 0, 3]


def test_frames_that_come_during_a_pause_are_not_dropped_ones() -> None:
    bench = Bench()
    bench.source.put()
    bench.source.put()
    bench.turn.run()
    assert bench.rates().num_dropped == 1
    bench.session.update(paused=True)
    for _ in range(5):
        bench.turn.run()
        bench.source.put()
    assert bench.rates().num_dropped == 1
    bench.session.update(paused=False)
    bench.turn.run()
    bench.turn.run()
    for _ in range(3):
        bench.source.put()
    bench.turn.run()
    assert bench.rates().num_dropped == 1 + 2


def test_a_step_while_paused_shows_the_next_picture() -> None:
    bench = Bench()
    bench.frame()
    bench.session.update(paused=True)
    bench.turn.run()
    bench.turn.want_frame()
    bench.source.put()
    bench.turn.run()
    assert [seq for seq, _, _ in bench.engine.asked] == [0, 1]
    bench.source.put()
    assert bench.turn.run() is None, "only one"


def test_a_picture_by_itself_is_called_still_and_a_film_or_a_camera_live() -> None:
    bench, words = Bench(), []
    image_HW3 = np.zeros((8, 8, 3), np.uint8)
    kinds = (
        {},  # a camera
        {"path": Path("film.mp4"), "pts_seconds": 0.0},
        {"path": Path("cat.png")},
        {"stands_in": True},
    )
    for seq, kind in enumerate(kinds):
        bench.frames.put(Frame(image_HW3=image_HW3, seq=seq, captured_ns=0, **kind))
        bench.turn.run()
        words.append(bar_words.state(bench.compositor.scenes[-1]).text)
    assert words == ["live", "live", "still", "still"]


def test_a_change_of_the_form_or_the_source_is_drawn() -> None:
    bench = Bench()
    bench.frame()
    bench.engine.form = "compiled"
    assert bench.turn.run() is not None
    bench.engine.compile_note = "compiling"
    assert bench.turn.run() is not None
    bench.source.set_state("reconnecting", "the camera is gone")
    assert bench.turn.run() is not None
    assert bench.turn.run() is None, "nothing has changed"
    assert len(bench.engine.asked) == 1


def test_ages_move_on_four_times_a_second_while_reconnecting() -> None:
    clock_ns = [0]
    bench = Bench(now_ns=lambda: clock_ns[0])
    bench.frame()
    bench.source.set_state("reconnecting", "the camera is gone")
    drawn = 0
    for _ in range(100):
        clock_ns[0] += 20_000_000
        drawn += bench.turn.run() is not None
    assert drawn in {8, 9}, "two seconds"


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (SelectionError("there is no layer 'x'"), "there is no layer 'x'"),
        (RuntimeError("bad frame"), "RuntimeError: bad frame"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "out of memory: choose"),
        (MemoryError(), "out of memory: choose"),
    ],
)
def test_an_error_of_the_engine_is_shown_beside_the_old_numbers(
    error: BaseException, note: str
) -> None:
    bench = Bench()
    bench.frame()
    bench.engine.error = error
    bench.frame()
    scene = bench.compositor.scenes[-1]
    assert scene.error_note.startswith(note)
    assert scene.stale_since_ns > 0
    assert scene.result.seq == 0
    bench.engine.error = None
    bench.frame()
    scene = bench.compositor.scenes[-1]
    assert (scene.error_note, scene.stale_since_ns, scene.result.seq) == ("", 0, 2)


def test_a_failed_selection_is_not_tried_again_until_something_changes() -> None:
    bench = Bench()
    bench.engine.error = SelectionError("no")
    bench.frame()
    for _ in range(10):
        bench.turn.run()
    assert len(bench.engine.asked) == 1


def test_a_repeated_error_is_logged_in_full_once_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    with caplog.at_level(logging.ERROR):
        for _ in range(50):
            faults.add(RuntimeError("bad frame"))
        assert [record.getMessage() for record in caplog.records] == ["RuntimeError: bad frame"]
        assert caplog.records[0].exc_info is not None
        assert faults.note == "RuntimeError: bad frame (50 times)"
        faults.clear()
    assert caplog.records[-1].getMessage() == "RuntimeError: bad frame: came 50 times in a row"
    assert (faults.note, faults.num_faults) == ("", 50)


def test_a_fault_of_the_compositor_does_not_end_the_loop() -> None:
    bench = Bench()
    bench.compositor.error = RuntimeError("no room")
    bench.frame()
    bench.compositor.error = None
    bench.frame()
    assert bench.turn.composed is not None
    assert bench.turn.num_faults == 1

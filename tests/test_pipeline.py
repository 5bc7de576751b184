"""The loop around the engine: what is computed, drawn, dropped, and how it ends."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from rtvis.data import ClosedEvent, Event, KeyEvent, Selection
from rtvis.errors import SelectionError
from rtvis.render.compositor import Compositor
from rtvis.runtime.faults import Faults
from rtvis.runtime.outcome import Progress, Summary
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.sinks.memory import MemorySink
from rtvis.slot import LatestSlot
from tests.nets import HandNet, engine_of, seeded
from tests.nets_fake import (
    CANVAS,
    FakeCompositor,
    FakeEngine,
    FakeSource,
    FlowingSource,
)
from tests.waiting import wait_for

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


# One turn


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


# The whole loop


class Run:
    """A pipeline that runs on the test's thread while `script` acts on another one."""

    def __init__(self, tmp_path: Path, source: FakeSource, *, window: bool = True, **options):
        self.engine = FakeEngine()
        self.source = source
        self.compositor = FakeCompositor()
        self.window = MemorySink() if window else None
        self.session = Session(View(selection=SELECTION, canvas_size=CANVAS))
        self.pipeline = Pipeline(
            engine=self.engine,
            source=source,
            compositor=self.compositor,
            session=self.session,
            window=self.window,
            folder=tmp_path,
            **options,
        )

    def send(self, *events: Event) -> None:
        assert self.window is not None
        self.window.send(*events)

    def press(self, key: str) -> None:
        self.send(KeyEvent(key=key))

    def pictures(self) -> int:
        assert self.window is not None
        return len(self.window.pictures)

    def go(self, script: Callable[[], None] | None = None) -> Summary:
        failures: list[BaseException] = []

        def play() -> None:
            try:
                assert script is not None
                script()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)
                self.pipeline.end("failed", "the script of the test failed")

        player = threading.Thread(target=play)
        if script is not None:
            player.start()
        with self.pipeline:
            summary = self.pipeline.run()
        if script is not None:
            player.join()
        if failures:
            raise failures[0]
        return summary


def test_without_a_window_the_run_ends_with_the_source(tmp_path: Path) -> None:
    run = Run(tmp_path, FlowingSource(num_frames=20), window=False)
    summary = run.go()
    assert (summary.reason, summary.num_processed, summary.num_faults) == ("ended", 20, 0)
    assert [seq for seq, _, _ in run.engine.asked] == list(range(20))


def test_a_source_that_fails_ends_a_run_without_a_window_with_its_reason(tmp_path: Path) -> None:
    source = FakeSource()
    run = Run(tmp_path, source, window=False)

    def script() -> None:
        assert source.started.wait(5)
        source.set_state("failed", "clip.mp4: not a film")

    summary = run.go(script)
    assert (summary.reason, summary.message) == ("failed", "clip.mp4: not a film")


def test_the_run_ends_after_so_many_frames(tmp_path: Path) -> None:
    summary = Run(tmp_path, FlowingSource(num_frames=50), num_frames=7).go()
    assert (summary.reason, summary.num_processed) == ("frames", 7)


def test_with_a_window_the_last_picture_stays_and_says_that_the_film_is_over(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, FlowingSource(num_frames=3))

    def script() -> None:
        wait_for(lambda: bool(run.compositor.scenes))
        wait_for(lambda: run.compositor.scenes[-1].source.state == "ended")
        wait_for(lambda: run.compositor.scenes[-1].result.seq == 2)
        run.press("o")
        wait_for(lambda: run.engine.asked[-1][1].layer == "last")
        run.press("q")

    assert run.go(script).reason == "left"
    assert run.engine.asked[-1][0] == 2, "a click still works on the held frame"


def test_closing_the_window_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    run = Run(tmp_path, FakeSource(loose=1))

    def script() -> None:
        wait_for(lambda: run.pictures() > 0)
        run.send(ClosedEvent(reason="the display went away"))

    summary = run.go(script)
    assert (summary.reason, summary.message) == ("closed", "the display went away")


def test_ctrl_c_leaves_within_a_second_even_with_a_slow_engine(tmp_path: Path) -> None:
    run = Run(tmp_path, FlowingSource(num_frames=1000))
    run.engine.delay_s = 0.3
    interrupted_s = 0.0

    def script() -> None:
        nonlocal interrupted_s
        wait_for(lambda: run.pictures() > 1)
        interrupted_s = time.monotonic()
        _thread.interrupt_main()

    summary = run.go(script)
    assert time.monotonic() - interrupted_s < 1.0
    assert summary.reason == "interrupted"


def test_a_fault_of_ours_on_the_engine_thread_comes_out_of_run(tmp_path: Path) -> None:
    run = Run(tmp_path, FakeSource(loose=1))
    run.engine.error = AssertionError("a bug")
    with pytest.raises(AssertionError, match="a bug"):
        run.go()


def test_a_slow_engine_drops_frames_and_counts_every_one(tmp_path: Path) -> None:
    source = FakeSource(num_frames=60)
    run = Run(tmp_path, source)
    run.engine.delay_s = 0.03

    def script() -> None:
        assert source.started.wait(5)
        for _ in range(60):
            source.put()
            time.sleep(0.002)
        wait_for(lambda: bool(run.engine.asked) and run.engine.asked[-1][0] == 59)
        wait_for(lambda: run.pictures() > 0 and run.window.pictures[-1].frame_seq == 59)
        run.press("q")

    summary = run.go(script)
    assert summary.num_processed < 60
    assert summary.num_processed + summary.rates.num_dropped == 60
    progress = run.pipeline.progress()
    assert progress.num_processed < 60
    assert (progress.num_passed, progress.num_frames) == (60, 60), "a bar reaches its end"
    shown = [picture.frame_seq for picture in run.window.pictures]
    assert shown == sorted(shown), "never an older picture after a newer one"


def test_rates_and_latency_are_measured(tmp_path: Path) -> None:
    source = FakeSource()
    run = Run(tmp_path, source)
    lasted_s = 0.0

    def script() -> None:
        nonlocal lasted_s
        assert source.started.wait(5)
        began_s = time.monotonic()
        for _ in range(50):
            source.put()
            time.sleep(0.02)
        lasted_s = time.monotonic() - began_s
        run.press("q")

    rates = run.go(script).rates
    put_fps = 50 / lasted_s  # 50 on a machine that has nothing else to do
    assert 0.4 * put_fps < rates.processed_fps <= 1.5 * put_fps
    assert 0.4 * put_fps < rates.shown_fps <= 1.5 * put_fps
    assert 0 < rates.latency_ms < 100 * lasted_s
    assert {"network", "draw", "download", "upload"} <= rates.stages_ms.keys()


def test_latency_does_not_grow_while_the_same_frame_is_drawn_again(tmp_path: Path) -> None:
    run = Run(tmp_path, FakeSource(loose=1))
    lasted_s = 0.0

    def script() -> None:
        nonlocal lasted_s
        wait_for(lambda: run.pictures() > 0)
        began_s = time.monotonic()
        for _ in range(20):
            time.sleep(0.03)
            run.press("g")
        lasted_s = time.monotonic() - began_s
        run.press("q")

    # The mean of what grew would be half of all the time, at least 0.3 s.
    assert run.go(script).rates.latency_ms < 1e3 * lasted_s / 3


def test_a_still_picture_costs_next_to_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, FakeSource(loose=1))
    spent_s = 0.0

    def script() -> None:
        nonlocal spent_s
        wait_for(lambda: run.pictures() > 0)
        time.sleep(0.2)
        before_s = time.process_time()
        time.sleep(1.0)
        spent_s = time.process_time() - before_s
        run.press("q")

    run.go(script)
    assert spent_s < 0.1, "a tenth of a core"
    assert len(run.engine.asked) == 1


def test_a_click_is_on_screen_soon_although_the_engine_is_busy(tmp_path: Path) -> None:
    source = FlowingSource(num_frames=10_000)
    run = Run(tmp_path, source)
    run.engine.delay_s = 0.05
    waits_s: list[float] = []

    def script() -> None:
        wait_for(lambda: run.pictures() > 2)
        for scroll in range(1, 9):
            time.sleep(0.013)
            sent_s = time.monotonic()
            run.session.update(layer_scroll=scroll)
            wait_for(lambda scroll=scroll: run.compositor.scenes[-1].view.layer_scroll == scroll)
            waits_s.append(time.monotonic() - sent_s)
        run.press("q")

    run.go(script)
    assert sorted(waits_s)[len(waits_s) // 2] < 0.06, "no later than the turn under way"


def test_e_and_w_step_the_source(tmp_path: Path) -> None:
    run = Run(tmp_path, FakeSource(loose=1))

    def script() -> None:
        wait_for(lambda: run.pictures() > 0)
        run.press("space")
        run.press("e")
        wait_for(lambda: run.engine.asked[-1][0] == 1)
        run.press("w")
        wait_for(lambda: run.engine.asked[-1][0] == 2)
        run.press("q")

    run.go(script)
    assert run.source.steps == [1, -1]


def test_a_notice_goes_away_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtvis.runtime.notices.NOTICE_S", 0.1)
    run = Run(tmp_path, FakeSource(loose=1))

    def script() -> None:
        wait_for(lambda: run.pictures() > 0)
        run.press("f9")
        wait_for(lambda: run.compositor.scenes[-1].view.notice != "")
        wait_for(lambda: run.compositor.scenes[-1].view.notice == "")
        run.press("q")

    run.go(script)


def test_progress_counts_the_frames(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run = Run(tmp_path, FlowingSource(num_frames=30), window=False, num_frames=12)
    with run.pipeline as pipeline:
        pipeline.run(on_progress=seen.append)
    assert (seen[-1].num_processed, seen[-1].num_passed, seen[-1].num_frames) == (12, 12, 12)


def test_a_source_that_begins_again_has_no_end_but_the_one_asked_for(tmp_path: Path) -> None:
    source = FlowingSource(num_frames=30)
    run = Run(tmp_path, source, loops=True, num_frames=600)
    assert run.pipeline.progress().num_frames == 600
    run = Run(tmp_path, source, loops=True)
    assert run.pipeline.progress().num_frames is None


def test_without_a_window_latency_is_from_capture_to_finished_picture(tmp_path: Path) -> None:
    run = Run(tmp_path, FlowingSource(num_frames=8), window=False)
    run.engine.delay_s = 0.05
    assert 50 < run.go().rates.latency_ms < 500


# Saving and recording


def test_x_saves_panes_numbers_and_state(tmp_path: Path) -> None:
    run = Run(tmp_path, FakeSource(loose=1))

    def script() -> None:
        wait_for(lambda: run.pictures() > 0)
        run.press("x")
        wait_for(lambda: "saved to" in run.session.read()[0].notice)
        run.press("q")

    run.go(script)
    (folder,) = list(tmp_path.iterdir())
    names = {path.name for path in folder.iterdir()}
    assert {"canvas.png", "frame.png", "grid.png", "raw.npz", "state.yaml"} <= names
    assert cv2.imread(str(folder / "canvas.png")).shape == (*CANVAS, 3)
    assert cv2.imread(str(folder / "frame.png")).shape == (6, 6, 3)
    with np.load(folder / "raw.npz") as raw:
        assert raw["maps_BCHW"].shape == (1, 20, 4, 4)
        assert raw["scores_BK"].tolist() == [list(map(float, range(10)))]
    state = yaml.safe_load((folder / "state.yaml").read_text())
    assert state["about"]["network"] == "fake"
    assert state["selection"]["layer"] == "middle"
    assert state["selection"]["unit"] == 5


@contextmanager
def read_only_folder(path: Path) -> Iterator[Path]:
    """A folder that even root cannot write to: a read-only mount, or mode 500 for others."""
    path.mkdir()
    mounted = False
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(path)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip("root, and not allowed to mount: no folder is read-only")
    else:
        path.chmod(0o500)
    try:
        yield path
    finally:
        if mounted:
            subprocess.run(["umount", str(path)], check=True)
        path.chmod(0o700)


@pytest.mark.parametrize(("key", "words"), [("x", "not saved"), ("r", "not recording")])
def test_a_read_only_folder_is_a_notice_and_nothing_is_left(
    tmp_path: Path, key: str, words: str
) -> None:
    with read_only_folder(tmp_path / "locked") as folder:
        run = Run(folder, FakeSource(loose=1))

        def script() -> None:
            wait_for(lambda: run.pictures() > 0)
            run.press(key)
            wait_for(lambda: words in run.session.read()[0].notice)
            run.press("q")

        summary = run.go(script)
        assert summary.reason == "left"
        view = run.session.read()[0]
        assert view.notice_is_warning
        assert not view.recording
        assert list(folder.iterdir()) == []


def test_r_records_a_film_that_plays(tmp_path: Path) -> None:
    source = FakeSource(loose=1)
    run = Run(tmp_path, source)

    def script() -> None:
        wait_for(lambda: run.pictures() > 0)
        run.press("r")
        wait_for(lambda: run.session.read()[0].recording)
        for _ in range(30):
            source.put()
            time.sleep(0.02)
        run.press("r")
        wait_for(lambda: not run.session.read()[0].recording)
        run.press("q")

    (film,) = run.go(script).films
    capture = cv2.VideoCapture(str(film))
    num_frames = 0
    while capture.read()[0]:
        num_frames += 1
    capture.release()
    assert 10 <= num_frames <= 60, "about 0.6 s at 25 frames a second"
    assert list(tmp_path.iterdir()) == [film]


def test_a_recorded_run_without_a_window_has_a_frame_for_each_frame(tmp_path: Path) -> None:
    run = Run(tmp_path, FlowingSource(num_frames=25), window=False)
    run.pipeline.record(tmp_path / "out.mp4", pace="fast")
    summary = run.go()
    assert summary.films == (tmp_path / "out.mp4",)
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    levels = []
    while (read := capture.read())[0]:
        levels.append(int(read[1][100, 100, 0]))
    capture.release()
    assert len(levels) >= 25
    assert levels == sorted(levels)


def test_ctrl_c_finishes_the_film(tmp_path: Path) -> None:
    run = Run(tmp_path, FlowingSource(num_frames=10_000), window=False)
    run.pipeline.record(tmp_path / "out.mp4", pace="fast")
    run.engine.delay_s = 0.01

    def script() -> None:
        wait_for(lambda: len(run.engine.asked) > 20)
        _thread.interrupt_main()

    summary = run.go(script)
    assert summary.reason == "interrupted"
    assert summary.films == (tmp_path / "out.mp4",)
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) >= 20
    capture.release()


def test_a_real_sigint_ends_the_process_in_a_second() -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from tests.nets_fake import *; from rtvis.runtime.pipeline import Pipeline;"
        "engine = FakeEngine(delay_s=0.2); source = FlowingSource(num_frames=100000);"
        "p = Pipeline(engine=engine, source=source, compositor=FakeCompositor(),"
        " folder=Path('.'));"
        "print('up', flush=True); print(p.run().reason, flush=True)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    time.sleep(0.5)
    sent_s = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert time.monotonic() - sent_s < 1.0
    assert child.wait(10) == 0
    child.stdout.close()


@pytest.mark.cuda
def test_on_cuda_each_frame_comes_out_once_in_order(tmp_path: Path) -> None:
    # A picture travels while the next frame is computed: none may be lost at the end.
    source = FlowingSource(num_frames=20)
    with engine_of(seeded(lambda: HandNet().float()), 8, device="cuda") as engine:
        pipeline = Pipeline(
            engine=engine, source=source, compositor=Compositor(engine.device), folder=tmp_path
        )
        seen: list[int] = []
        show = pipeline.recordings.show
        pipeline.recordings.show = lambda composed: (
            seen.append(composed.picture.frame_seq),
            show(composed),
        )
        with pipeline:
            summary = pipeline.run()
    assert (summary.num_processed, summary.num_faults) == (20, 0)
    frames = [seq for seq in seen if seq >= 0]
    assert sorted(set(frames)) == list(range(20))
    assert frames == sorted(frames)

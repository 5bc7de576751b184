"""The loop around the engine: how it starts, what it drops, saves and records, and how it ends."""

from __future__ import annotations

import _thread
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
import yaml

from rtvis.data import ClosedEvent, Event, KeyEvent, Selection
from rtvis.render.compositor import Compositor
from rtvis.runtime.outcome import Progress, Summary
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import Session, View
from rtvis.sinks.memory import MemorySink
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


def summary_without_a_window(tmp_path: Path, source: FakeSource, *state: str) -> Summary:
    """Of a run whose source comes to this state, with this message."""

    def script() -> None:
        assert source.started.wait(5)
        source.set_state(*state)

    return Run(tmp_path, source, window=False).go(script)


def test_a_source_that_fails_ends_a_run_without_a_window_with_its_reason(tmp_path: Path) -> None:
    summary = summary_without_a_window(tmp_path, FakeSource(), "failed", "clip.mp4: not a film")
    assert (summary.reason, summary.message) == ("failed", "clip.mp4: not a film")


def test_what_of_a_source_could_not_be_read_is_told_at_its_end(tmp_path: Path) -> None:
    source = FakeSource()
    summary = summary_without_a_window(tmp_path, source, "ended", "3 of 9 frames could be read")
    assert (summary.reason, summary.message) == ("ended", "")
    assert summary.unread == f"{source.name}: 3 of 9 frames could be read"


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

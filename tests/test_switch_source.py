"""A stream and files in one window: one of them is shown, and nothing of the other."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtvis.data import Frame, KeyEvent, Side
from rtvis.errors import SourceError
from rtvis.render import bar_words
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import Session, View
from rtvis.sinks.memory import MemorySink
from rtvis.slot import LatestSlot
from rtvis.sources import Source, next_frame, open_source, open_sources
from rtvis.sources.base import ThreadSource
from rtvis.sources.switch import SwitchSource
from tests.nets_fake import CANVAS, FakeCompositor, FakeEngine
from tests.stream_servers import Server
from tests.waiting import wait_for

BRIGHT = 150
"""Frames of streams are brighter, those of files darker."""


class Camera(ThreadSource):
    """Frames at `fps`, brighter than BRIGHT, numbered in their second channel; or none at all."""

    def __init__(self, *, fps: float = 200.0, silent: bool = False) -> None:
        super().__init__("camera 7", pace="live")
        self._period_s = 1 / fps
        self.silent = silent
        self.num_runs = 0

    def _run(self) -> None:
        self.num_runs += 1
        for number in itertools.count():
            if self._stop.wait(self._period_s):
                return
            if not self.silent:
                image = np.full((8, 8, 3), 200, np.uint8)
                image[..., 1] = number % 256
                self._deliver(image)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """0.png, 1.png and 2.png, of the grey levels 0, 10 and 20."""
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(3):
        cv2.imwrite(str(path / f"{number}.png"), np.full((8, 8, 3), 10 * number, np.uint8))
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """50 frames of grey levels from 200 on, one level a frame; lossless."""
    path = tmp_path / "film.mkv"
    fourcc = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 50.0, (16, 16))
    for number in range(50):
        writer.write(np.full((16, 16, 3), 200 + number, np.uint8))
    writer.release()
    return path


def level(frame: Frame) -> int:
    return int(frame.image_HW3[4, 4, 0])


class Taker:
    """Takes frames from a switch on the test's own thread, as the loop does."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.slot: LatestSlot[Frame] = LatestSlot()
        source.start(self.slot)

    def next(self) -> Frame:
        frame = next_frame(self.source, self.slot, timeout_s=5)
        assert frame is not None, self.source.status()
        return frame


@contextmanager
def camera_and(folder: Path, camera: Camera) -> Iterator[Taker]:
    source = SwitchSource(files=open_source(folder), stream=camera)
    with source:
        yield Taker(source)


# The source


def test_the_files_come_first_and_nothing_of_the_camera(folder: Path) -> None:
    camera = Camera()
    with camera_and(folder, camera) as taker:
        assert (taker.source.shown, taker.source.name) == ("files", "pictures")
        assert level(taker.next()) == 0
        wait_for(lambda: camera.status().num_captured > 20)
        assert taker.slot.take(timeout_s=0.05) is None
        assert taker.source.num_frames == 3


def test_after_each_change_there_is_a_picture_at_once_and_none_of_the_other(folder: Path) -> None:
    camera = Camera(fps=400)
    with camera_and(folder, camera) as taker:
        taker.next()
        wait_for(lambda: camera.status().num_captured > 0)
        sides, waits_s, frames = [], [], []
        for _ in range(40):
            taker.source.switch()
            began_s = time.monotonic()
            side = taker.source.shown
            for _ in range(3 if side == "stream" else 1):
                frame = taker.next()
                assert (level(frame) > BRIGHT) == (side == "stream")
                frames.append(frame)
                if len(frames) == 1 or side != sides[-1:]:
                    waits_s.append(time.monotonic() - began_s)
            sides.append(side)
        assert sides == ["stream", "files"] * 20
        assert sorted(waits_s)[len(waits_s) // 2] < 0.02
        assert camera.num_runs == 1, "it stays open"
        seqs = [frame.seq for frame in frames]
        assert seqs == sorted(set(seqs))
        times_ns = [frame.captured_ns for frame in frames]
        assert times_ns == sorted(times_ns)


def test_the_camera_comes_back_with_its_newest_frame(folder: Path) -> None:
    camera = Camera(fps=100)
    with camera_and(folder, camera) as taker:
        taker.next()
        wait_for(lambda: camera.status().num_captured >= 30)
        camera.silent = True
        time.sleep(0.03)
        last = camera.status().num_captured - 1
        taker.source.switch()
        frame = taker.next()
        assert frame.image_HW3[0, 0, 1] == last
        assert time.monotonic_ns() - frame.captured_ns < 1e9, "as new as the change"


def test_a_picture_that_is_held_comes_back_and_is_not_overrun_by_the_camera(folder: Path) -> None:
    camera = Camera(fps=400)
    with camera_and(folder, camera) as taker:
        taker.source.switch()
        held = taker.next()
        seen = camera.status().num_captured
        taker.source.step(1, held=held)
        assert level(taker.next()) == 0, "the first step only changes over"
        taker.source.step(1)
        on_screen = taker.next()
        assert level(on_screen) == 10
        wait_for(lambda: camera.status().num_captured > seen + 20)
        taker.source.switch(held=on_screen)
        wait_for(lambda: camera.status().num_captured > seen + 40)
        again = taker.next()
        assert again.image_HW3 is held.image_HW3
        assert again.seq > on_screen.seq
        assert taker.next().image_HW3[0, 0, 1] > held.image_HW3[0, 0, 1], "then it is live"
        # Let go of meanwhile, the newest one counts.
        taker.source.switch(held=again)
        taker.source.switch()
        assert taker.next().image_HW3 is not again.image_HW3


def test_a_camera_without_a_picture_shows_none_of_the_files(folder: Path) -> None:
    with camera_and(folder, Camera(silent=True)) as taker:
        wait_for(lambda: taker.slot.num_put > 0)
        taker.source.switch()
        assert taker.slot.take(timeout_s=0.05) is None, "not even the one that nobody had taken"
        assert taker.source.status().state == "opening"


def test_a_network_stream_stays_connected_while_the_files_are_shown(folder: Path) -> None:
    with Server("mjpeg") as server, open_sources(server.uri(), str(folder)) as source:
        taker = Taker(source)
        assert taker.next().name == "0.png"
        stream = source._stream.source  # type: ignore[attr-defined]
        wait_for(lambda: stream.status().num_captured > 0)
        reader = stream._process
        for _ in range(3):
            source.switch()
            began_s = time.monotonic()
            assert taker.next().name == ""
            assert time.monotonic() - began_s < 0.5
            assert source.status().state == "live"
            source.switch()
            assert taker.next().name == "0.png"
        assert stream._process is reader


def test_a_film_is_held_while_the_files_are_shown_and_goes_on_where_it_was(
    folder: Path, film: Path
) -> None:
    with open_sources(str(film), str(folder)) as source:
        taker = Taker(source)
        assert level(taker.next()) == 0
        time.sleep(0.3)  # 15 frames of the film, if it were not held
        source.switch()
        assert level(taker.next()) <= 201
        before = taker.next()
        source.switch()
        assert level(taker.next()) == 0
        time.sleep(0.3)
        source.switch()
        after = taker.next()
        assert 0 <= level(after) - level(before) <= 3
        assert time.monotonic_ns() - after.captured_ns < 2e8
        following = [level(taker.next()) for _ in range(3)]
        assert following == sorted(following)
        assert following[0] > level(after) - 1


def test_fast_sources_lose_nothing_by_a_change(folder: Path, film: Path) -> None:
    with open_sources(str(film), str(folder), pace="fast") as source:
        taker = Taker(source)
        assert level(taker.next()) == 0
        source.switch()
        levels = [level(taker.next()) for _ in range(20)]
        source.switch()
        pictures = []
        while (frame := next_frame(source, taker.slot, timeout_s=5)) is not None:
            pictures.append(level(frame))
        # The one that was shown comes again.
        assert pictures in ([0, 10, 20], [10, 20])
        source.switch()
        while (frame := next_frame(source, taker.slot, timeout_s=5)) is not None:
            levels.append(level(frame))
    assert sorted(set(levels)) == list(range(200, 250))
    assert levels == sorted(levels)


def test_steps_go_through_the_files_and_see_new_ones(folder: Path) -> None:
    with camera_and(folder, Camera()) as taker:
        assert level(taker.next()) == 0
        assert taker.source.step(-1) == "stepped"
        assert level(taker.next()) == 20
        cv2.imwrite(str(folder / "3.png"), np.full((8, 8, 3), 30, np.uint8))
        taker.source.step(1)
        assert level(taker.next()) == 30
        taker.source.switch()
        assert taker.source.step(-1) == "switched"
        assert level(taker.next()) == 30, "where one was"


def test_without_a_stream_there_are_the_files_and_the_reason(folder: Path) -> None:
    warnings: list[str] = []
    uri = str(folder / "missing.mp4")
    with open_sources(uri, str(folder), warn=warnings.append) as source:
        assert len(warnings) == 1
        assert warnings[0].startswith(f"{uri}: there is no such file")
        taker = Taker(source)
        assert level(taker.next()) == 0
        with pytest.raises(SourceError, match="there is no such file"):
            source.switch()
        source.step(1)
        assert level(taker.next()) == 10


def test_one_source_says_that_there_is_no_other(folder: Path) -> None:
    with open_source(folder) as source:
        assert source.shown == "only"
        with pytest.raises(SourceError, match="only one source; start with --files"):
            source.switch()
    assert open_source("demo").step(1) == "none"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("demo", "--files demo: is no folder of pictures; is --stream meant"),
        ("0", "--files 0: is no folder"),
        ("rtsp://me:secret@camera/1", r"--files rtsp://camera/1: is no folder"),
        ("film.mkv", r"--files .*film.mkv: is no picture; is --stream meant"),
        ("missing", "missing: there is no such file or folder"),
    ],
)
def test_files_are_pictures(folder: Path, film: Path, files: str, message: str) -> None:
    name = str(film) if files == "film.mkv" else files
    with pytest.raises(SourceError, match=message):
        open_sources("demo", name)


def test_closing_wakes_a_film_that_is_held(folder: Path, film: Path) -> None:
    source = open_sources(str(film), str(folder))
    Taker(source).next()
    threads = threading.active_count()
    began_s = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - began_s < 1
    assert threading.active_count() == threads - 2


# The loop


class Show:
    """A pipeline over two sources, with a script on another thread."""

    def __init__(self, source: Source, **view: object) -> None:
        self.engine = FakeEngine()
        self.compositor = FakeCompositor()
        self.window = MemorySink()
        self.source = source
        self.session = Session(View(**{"canvas_size": CANVAS, **view}))  # type: ignore[arg-type]

    @property
    def view(self) -> View:
        return self.session.read()[0]

    def press(self, key: str) -> None:
        self.window.send(KeyEvent(key=key))

    def brightness(self) -> int:
        """Of the picture on screen."""
        return int(self.window.pictures[-1].canvas_HW3[0, 0, 0]) if self.window.pictures else -1

    def shows(self, side: Side, brightness: int | None = None) -> bool:
        now = self.brightness()
        right = now > BRIGHT if brightness is None else now == brightness
        return self.view.side == side and right

    def go(self, folder: Path, script: Callable[[], None]) -> None:
        failures: list[BaseException] = []

        def play() -> None:
            try:
                script()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)
            self.press("q")

        player = threading.Thread(target=play)
        pipeline = Pipeline(
            engine=self.engine,
            source=self.source,
            compositor=self.compositor,
            session=self.session,
            window=self.window,
            folder=folder,
        )
        with self.source, pipeline:
            player.start()
            pipeline.run()
        player.join()
        if failures:
            raise failures[0]


def test_6_changes_over_and_no_picture_is_of_the_wrong_source(folder: Path) -> None:
    camera = Camera(fps=300)
    show = Show(SwitchSource(files=open_source(folder), stream=camera))

    def script() -> None:
        wait_for(lambda: show.shows("files", 0))
        for _ in range(5):
            show.press("6")
            wait_for(lambda: show.shows("stream"))
            show.press("6")
            wait_for(lambda: show.shows("files", 0))

    show.go(folder, script)
    for scene in show.compositor.scenes:
        if scene.image_HW3 is not None:
            is_camera = int(scene.image_HW3[0, 0, 0]) > BRIGHT
            assert scene.source_name == ("camera 7" if is_camera else "pictures")


def test_e_on_the_camera_leads_to_the_files_and_only_then_on(folder: Path) -> None:
    show = Show(SwitchSource(files=open_source(folder), stream=Camera()))

    def script() -> None:
        wait_for(lambda: show.shows("files", 0))
        show.press("6")
        wait_for(lambda: show.shows("stream"))
        show.press("e")
        wait_for(lambda: show.shows("files", 0))
        show.press("e")
        wait_for(lambda: show.shows("files", 10))
        show.press("w")
        show.press("w")
        wait_for(lambda: show.shows("files", 20))

    show.go(folder, script)


def test_a_camera_that_has_no_picture_yet_shows_why_and_not_the_files(folder: Path) -> None:
    camera = Camera(silent=True)
    show = Show(SwitchSource(files=open_source(folder), stream=camera))

    def script() -> None:
        wait_for(lambda: show.shows("files", 0))
        show.press("6")
        wait_for(
            lambda: show.view.side == "stream" and show.compositor.scenes[-1].image_HW3 is None
        )
        last = show.compositor.scenes[-1]
        assert (last.result, last.source.state, last.source_name) == (None, "opening", "camera 7")
        camera.silent = False
        wait_for(lambda: show.shows("stream"))

    show.go(folder, script)


def test_a_held_camera_picture_is_there_again_after_a_look_at_the_files(folder: Path) -> None:
    show = Show(SwitchSource(files=open_source(folder), stream=Camera(fps=300)), side="stream")
    seen: list[int] = []

    def number() -> int:
        image_HW3 = show.compositor.scenes[-1].image_HW3
        return int(image_HW3[0, 0, 1]) if image_HW3 is not None else -1

    def script() -> None:
        wait_for(lambda: show.shows("stream"))
        show.press("space")
        wait_for(lambda: show.compositor.scenes[-1].view.paused)
        seen.append(number())
        show.press("6")
        wait_for(lambda: show.shows("files", 0))
        show.press("e")
        wait_for(lambda: show.shows("files", 10))
        time.sleep(0.1)
        show.press("6")
        wait_for(lambda: show.shows("stream"))
        seen.append(number())
        time.sleep(0.1)
        seen.append(number())

    show.go(folder, script)
    assert seen[0] == seen[1] == seen[2]


def test_the_header_names_the_file_and_a_file_that_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"broken")
    show = Show(open_source(folder))

    def script() -> None:
        wait_for(lambda: show.brightness() == 0)
        show.press("e")
        wait_for(lambda: show.brightness() == 20)
        wait_for(lambda: "passed over" in show.view.notice)
        assert "1.png: cannot be decoded" in show.view.notice
        assert show.view.notice_is_warning

    show.go(folder, script)
    scene = show.compositor.scenes[-1]
    texts = [run.text for run in bar_words.header(replace(scene, weights_note="random weights"))]
    parts = "".join(texts).removeprefix("rtvis").strip().split("  ·  ")
    assert parts == ["fake", "random weights", "pictures", "2.png", "cpu eager"]


def test_without_another_source_the_key_says_so(folder: Path) -> None:
    show = Show(open_source(folder))

    def script() -> None:
        wait_for(lambda: show.brightness() == 0)
        show.press("6")
        wait_for(lambda: "only one source" in show.view.notice)
        assert show.view.notice_is_warning
        assert show.view.side == "only"

    show.go(folder, script)


def test_a_camera_without_files_has_no_next_picture_and_says_so(folder: Path) -> None:
    show = Show(Camera())

    def script() -> None:
        wait_for(lambda: show.brightness() > BRIGHT)
        show.press("e")
        wait_for(lambda: "no other picture" in show.view.notice)

    show.go(folder, script)

"""Record and replay: a line for each frame of the film, and the same pictures from it again."""

import _thread
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from rtvis import cli
from rtvis.api import load
from rtvis.cli.replay import found_frames, replay_of
from rtvis.config import Config
from rtvis.data import (
    Frame,
    FramePlace,
    ImageU8,
    KeyEvent,
    Picture,
    PointerEvent,
    Selection,
    Target,
)
from rtvis.engine.engine import Engine
from rtvis.flags import parse_config
from rtvis.plain import to_plain
from rtvis.render.compositor import Compositor
from rtvis.render.layout import layout
from rtvis.runtime.journal import Journal, Moment, moment_of, read_moments
from rtvis.runtime.outcome import Summary
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.replay import Replay
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.sinks import recorder as recorder_module
from rtvis.sinks import window as window_module
from rtvis.sinks.memory import MemorySink
from rtvis.sinks.recorder import Recorder
from rtvis.slot import LatestSlot
from rtvis.sources import open_source
from rtvis.sources.again import FoundFrames
from rtvis.state import Resume
from rtvis.theme import Panes, Theme
from tests.nets_fake import CANVAS, FakeCompositor, FakeEngine, FakeSource, FlowingSource
from tests.waiting import wait_for
from tests.workplace import num_frames, write_workplace

SMALL = ("--compile", "off", "--device", "cpu", "--view", "none", "--pace", "fast")
NET_FLAGS = ("--network", "net.py:Net", "--size", "32", "--canvas", "700x1200")
PANES = ("input", "unit", "backprop", "layers", "grid", "classes", "details")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with nets, pictures and a film."""
    write_workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(path: Path) -> list[str]:
    """The lines after the header."""
    return path.read_text(encoding="utf-8").splitlines()[1:]


# The file


def moments() -> list[Moment]:
    """Frames, selections and views, some of them twice."""
    selection = Selection(layer="grün", unit=3)
    view = View(selection=selection, hover=Target(kind="unit", pane="grid", layer="grün", unit=2))
    first = Moment(view=View(selection=selection))
    second = Moment(frame=FramePlace(seq=0, pts_seconds=0.1 + 0.2, path="/a/b.avi"), view=view)
    ranged = dataclasses.replace(second, resume=Resume(colour_range=(0.0, 1 / 3)))
    moved = dataclasses.replace(
        ranged, view=dataclasses.replace(view, selection=Selection(), paused=True, notice="a\nb")
    )
    return [first, first, second, ranged, ranged, moved]


def test_every_moment_comes_back_and_only_changes_are_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "film.mp4", {"stream": "/a/b.avi"}, fps=25.0)
    written = moments()
    for moment in written:
        journal.write(moment)
    journal.finish(keep=True)
    path = tmp_path / "film.rtvis.jsonl"
    assert list(tmp_path.iterdir()) == [path]
    read = list(read_moments(path))
    assert read == written
    assert read[0] is read[1], "the same picture"
    changes = [json.loads(line) for line in lines_of(path)]
    assert changes[1] == changes[4] == {}
    assert changes[3] == {"resume": to_plain(Resume(colour_range=(0.0, 1 / 3)))}
    assert changes[5] == {
        "selection": {"layer": None, "unit": None},
        "view": {"paused": True, "notice": "a\nb"},
    }


def test_a_journal_of_a_film_that_came_to_nothing_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "film.mp4", {}, fps=25.0)
    journal.write(Moment())
    assert list(tmp_path.iterdir())
    journal.finish(keep=False)
    assert not list(tmp_path.iterdir())


def test_a_journal_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "no" / "film.mp4", {}, fps=25.0)
    journal.write(Moment())
    journal.write(Moment())
    journal.finish(keep=True)
    assert journal.fault.endswith("film.rtvis.jsonl: not written (No such file or directory)")
    assert not list(tmp_path.iterdir())


def picture(level: int) -> Picture:
    canvas_HW3 = np.full((480, 640, 3), level, np.uint8)
    return Picture(canvas_HW3=canvas_HW3, seq=level, frame_seq=level, captured_ns=0)


def test_each_frame_of_a_film_in_real_time_has_its_own_line(tmp_path: Path) -> None:
    # 25 frames a second: 50 at 0 ms, 100 and 150 within one frame time, 200 at 280 ms, end at 400.
    clock, told = [0], []
    with Recorder(tmp_path / "a.mp4", now_ns=lambda: clock[0], on_frame=told.append) as recorder:
        for at_ms, level in ((0, 50), (80, 100), (90, 150), (280, 200)):
            clock[0] = at_ms * 1_000_000
            recorder.show(picture(level), level)
            wait_for(lambda: recorder._writer.is_empty)
            time.sleep(0.02)
        clock[0] = 400_000_000
    assert told == [50] * 2 + [150] * 5 + [200] * 3
    assert num_frames(tmp_path / "a.mp4") == 10


def test_a_full_disk_ends_film_and_journal_at_the_same_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([1 << 30, 1 << 30, 1 << 30, 0])
    monkeypatch.setattr(recorder_module, "free_bytes", lambda folder: next(free))
    journal = Journal(tmp_path / "a.mp4", {}, fps=25.0)
    recorder = Recorder(tmp_path / "a.mp4", pace="fast", on_frame=journal.write)
    for level in range(200):
        recorder.show(picture(level % 256), Moment(frame=FramePlace(seq=level)))
    recorder.close()
    journal.finish(keep=recorder.exists)
    assert "the disk is full" in recorder.fault
    read = list(read_moments(tmp_path / "a.rtvis.jsonl"))
    assert num_frames(tmp_path / "a.mp4") == len(read) == 75
    assert [moment.frame.seq for moment in read if moment.frame] == list(range(75))


def test_ctrl_c_leaves_a_film_with_a_line_for_each_of_its_frames(tmp_path: Path) -> None:
    engine = FakeEngine(delay_s=0.01)
    pipeline = Pipeline(
        engine=engine,
        source=FlowingSource(num_frames=10_000),
        compositor=FakeCompositor(),
        session=Session(View(canvas_size=CANVAS)),
        folder=tmp_path,
        setup={"stream": "film.avi"},
    )
    pipeline.record(tmp_path / "out.mp4", pace="fast")

    def interrupt() -> None:
        wait_for(lambda: len(engine.asked) > 20)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pipeline:
        assert pipeline.run().reason == "interrupted"
    thread.join()
    lines = lines_of(tmp_path / "out.rtvis.jsonl")
    assert num_frames(tmp_path / "out.mp4") == len(lines) > 20
    assert {path.name for path in tmp_path.iterdir()} == {"out.mp4", "out.rtvis.jsonl"}


# The same pictures again


class Watched:
    """The canvas behind each frame of each film that is recorded, before it is encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[ImageU8] = []
        canvases: dict[int, ImageU8] = {}
        kept: list[object] = []  # their ids must stay theirs
        show, write = Recorder.show, Journal.write

        def watched_show(recorder: Recorder, picture: Picture, moment: object = None) -> None:
            canvases[id(moment)] = picture.canvas_HW3
            kept.append(moment)
            show(recorder, picture, moment)

        def watched_write(journal: Journal, moment: object) -> None:
            self.frames.append(canvases[id(moment)])
            write(journal, moment)

        monkeypatch.setattr(Recorder, "show", watched_show)
        monkeypatch.setattr(Journal, "write", watched_write)

    def take(self) -> list[ImageU8]:
        """The frames since the last call."""
        frames, self.frames = self.frames, []
        return frames


@pytest.fixture
def engine(here: Path) -> Iterator[Engine]:
    with load("net.py:Net", size=(32, 32), device="cpu", compile="off") as made:
        yield made


def recorded_session(
    engine: Engine, here: Path, stream: str, script: Callable[[MemorySink, Session], None]
) -> Summary:
    """Record a.mp4 while `script` plays the user."""
    window = MemorySink()
    session = Session(View(selection=Selection(layer="second", unit=3), canvas_size=(700, 1200)))
    failures: list[BaseException] = []
    with open_source(stream) as source:
        pipeline = Pipeline(
            engine=engine,
            source=source,
            compositor=Compositor(engine.device),
            session=session,
            window=window,
            folder=here,
            setup={"stream": str(here / stream), "network": f"{here}/net.py:Net", "size": [32, 32]},
        )
        pipeline.record(here / "a.mp4")

        def play() -> None:
            try:
                wait_for(lambda: bool(window.pictures) and window.pictures[-1].frame_seq >= 0)
                script(window, session)
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)
            window.send(KeyEvent(key="q"))

        user = threading.Thread(target=play)
        user.start()
        with pipeline:
            summary = pipeline.run()
        user.join()
    if failures:
        raise failures[0]
    return summary


def turn_of(engine: Engine, compositor: Compositor) -> Turn:
    """A turn that is told what to show."""
    return Turn(
        engine=engine,
        compositor=compositor,
        session=Session(),
        source=FakeSource(),
        frames=LatestSlot(),
    )


def differing_panes(
    engine: Engine, ours: list[ImageU8], theirs: list[ImageU8]
) -> dict[str, list[str]]:
    """Panes that are not the same to the pixel in every frame: where, and by how much."""
    assert len(ours) == len(theirs)
    differing: dict[str, list[str]] = {}
    for number, (frame_HW3, again_HW3) in enumerate(zip(ours, theirs, strict=True)):
        plan = layout(View(canvas_size=frame_HW3.shape[:2]), engine.layers)
        assert frame_HW3.shape == again_HW3.shape
        for name in PANES:
            rect = plan.panes[name]
            first, second = (each[rect.rows, rect.columns] for each in (frame_HW3, again_HW3))
            if not np.array_equal(first, second):
                most = int(np.abs(first.astype(int) - second).max())
                where = f"picture {number} of {len(ours)}, by up to {most}"
                differing.setdefault(name, []).append(where)
    return differing


def wait_recorded(watched: Watched, window: MemorySink, wanted: Callable[[Picture], bool]) -> None:
    """Until the film has a frame of such a picture, however busy all is."""

    def is_in_film() -> bool:
        shown = {id(picture.canvas_HW3) for picture in list(window.pictures) if wanted(picture)}
        return any(id(frame_HW3) in shown for frame_HW3 in list(watched.frames))

    wait_for(is_in_film)


def test_a_session_with_clicks_and_keys_is_replayed_to_the_pixel(
    here: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    watched = Watched(monkeypatch)

    def script(window: MemorySink, session: Session) -> None:
        for key in ("right", "u", "b", "g", "z", "z", "z", "m", "y", "p", "v", "v", "h", "h"):
            last = window.pictures[-1].seq
            window.send(KeyEvent(key=key))
            wait_recorded(watched, window, lambda picture, last=last: picture.seq > last)
        for x, y in ((520, 520), (600, 560), (100, 400)):
            window.send(PointerEvent(kind="move", x=x, y=y))
            time.sleep(0.05)
            window.send(PointerEvent(kind="down", x=x, y=y, button="left"))
            time.sleep(0.08)
        window.send(KeyEvent(key="?"), KeyEvent(key="?"))
        wait_recorded(watched, window, lambda picture: picture.frame_seq > 25)
        session.update(selection=Selection(layer="no such layer"))
        time.sleep(0.7)  # the panes say how old they are, and grow older
        session.update(selection=Selection(layer="first", unit=1))
        time.sleep(0.1)

    recorded_session(engine, here, "film.avi", script)
    before = watched.take()
    assert len(before) == num_frames(here / "a.mp4") == len(lines_of(here / "a.rtvis.jsonl"))
    argv = [*SMALL, "--replay", "a.mp4", "--record", "b.mp4"]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == "b.mp4\n"
    after = watched.take()
    assert differing_panes(engine, before, after) == {}
    assert lines_of(here / "a.rtvis.jsonl") == lines_of(here / "b.rtvis.jsonl")
    # The test can fail: there was something to see.
    places = [moment.frame.seq for moment in read_moments(here / "a.rtvis.jsonl") if moment.frame]
    assert places == sorted(places)
    assert places[-1] == 29
    assert len({frame_HW3[::7, ::7].tobytes() for frame_HW3 in before}) > 5
    shifted = differing_panes(engine, before[1:], after[:-1])
    assert "grid" in shifted


def test_numbers_of_a_picture_that_the_film_passed_over_stay_in_a_replay_where_newer_are_not_had(
    here: Path, engine: Engine
) -> None:
    film = FoundFrames("film.avi")
    bright, dark, last = (
        film.find(FramePlace(seq=index, pts_seconds=index / 25), "only") for index in (20, 21, 22)
    )
    good = View(selection=Selection(layer="second", unit=3), canvas_size=(700, 1200))
    other = dataclasses.replace(good, selection=Selection(layer="first", unit=1))
    bad = dataclasses.replace(good, selection=Selection(layer="no such layer"))
    journal = Journal(here / "a.mp4", {}, fps=25.0)
    canvases = []
    compositor = Compositor(engine.device)
    turn = turn_of(engine, compositor)
    for index, (frame, view) in enumerate(
        ((bright, good), (dark, other), (last, bad), (dark, bad))
    ):
        turn.show(frame, view, index, stale_s=1.0)
        assert turn.composed is not None
        if frame is not dark or view is bad:
            journal.write(moment_of(turn.composed))
            canvases.append(turn.composed.picture.canvas_HW3)
    journal.finish(keep=True)
    compositor = Compositor(engine.device)
    turn, again = turn_of(engine, compositor), []
    replay = Replay(here / "a.rtvis.jsonl", find=film.find, resume=compositor.resume)
    with film:
        while replay.step(turn):
            assert turn.composed is not None
            again.append(turn.composed.picture.canvas_HW3)
    assert replay.num_missing == 0
    assert differing_panes(engine, canvases, again) == {}
    assert "grid" in differing_panes(engine, canvases[:1], canvases[1:2]), "there was more to see"


def test_nothing_of_the_source_that_was_left_stays_in_a_replay_that_finds_nothing_newer(
    here: Path, engine: Engine
) -> None:
    frames = [
        Frame(image_HW3=np.full((40, 40, 3), level, np.uint8), seq=index, captured_ns=0)
        for index, level in enumerate((50, 200))
    ]
    good = View(selection=Selection(layer="second", unit=3), canvas_size=(700, 1200), side="stream")
    bad = dataclasses.replace(good, selection=Selection(layer="no such layer"), side="files")
    journal = Journal(here / "a.mp4", {}, fps=25.0)
    turn = turn_of(engine, Compositor(engine.device))
    turn.show(frames[0], good, 0)
    assert turn.composed is not None
    journal.write(moment_of(turn.composed))
    turn.leave_source()  # which no frame of the film shows
    turn.show(frames[1], bad, 1)
    journal.write(moment_of(turn.composed))
    journal.finish(keep=True)
    again = turn_of(engine, Compositor(engine.device))
    replay = Replay(
        here / "a.rtvis.jsonl",
        find=lambda place, side: frames[place.seq],
        resume=lambda colour_range: None,
    )
    for has_numbers in (True, False):
        assert replay.step(again)
        assert again.composed is not None
        assert (again.composed.result is not None) == has_numbers


def test_what_stood_in_the_place_of_the_film_is_replayed_to_the_pixel(
    here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)

    def script(window: MemorySink, session: Session) -> None:
        wait_recorded(watched, window, lambda picture: picture.frame_seq > 2)
        session.update(pattern="moments")
        window.send(KeyEvent(key="insert"))  # the best moment of the selected unit
        wait_for(lambda: session.read()[0].selection.fit == "stretch")
        for key in ("g", "u"):
            last = window.pictures[-1].seq
            window.send(KeyEvent(key=key))
            wait_recorded(watched, window, lambda picture, last=last: picture.seq > last + 1)
        window.send(KeyEvent(key="insert"))
        wait_recorded(watched, window, lambda picture: picture.frame_seq == 29)

    recorded_session(engine, here, "film.avi", script)
    before = watched.take()
    places = [moment.frame for moment in read_moments(here / "a.rtvis.jsonl") if moment.frame]
    stood_in = {place.kept for place in places if place.stand_in}
    assert len(stood_in) == 1, "one picture, and kept once"
    assert None not in stood_in
    assert {place.stand_in[:7] for place in places} == {"", "moment "}
    assert cli.main([*SMALL, "--replay", "a.mp4", "--record", "b.mp4"]) == 0
    differing = differing_panes(engine, before, watched.take())
    # The grid may show moments of frames that the film passed over.
    assert not {"input", "unit", "backprop"} & set(differing), differing
    # Without the file the frame before stands for it, and that is told.
    (here / "a.rtvis.zip").unlink()
    assert cli.main([*SMALL, "--replay", "a.mp4", "--record", "c.mp4"]) == 0


def test_a_replay_finds_the_moments_that_its_recording_found(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "page.yaml").write_text("display: {page: moments}\nmoments-distance: 0.1\n")
    flags = (*SMALL, *NET_FLAGS, "--config", "page.yaml", "--stream", "film.avi")
    assert cli.main([*flags, "--frames", "20", "--record", "a.mkv", "--save", "first"]) == 0
    assert cli.main([*SMALL, "--replay", "a.mkv", "--save", "second"]) == 0
    capsys.readouterr()
    files = [next((here / name).glob("*/moments/moments.npz")) for name in ("first", "second")]
    with np.load(files[0]) as ours, np.load(files[1]) as theirs:
        assert (ours["frame_CN"] >= 0).sum() > 10
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_replay_shows_what_the_store_has_learned_in_each_of_its_frames(
    here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = ("units", "optimize", "--network", "net.py:Net", "--size", "32", "--compile", "off")
    where = ("--layer", "second", "--units", "3", "--store", "units", "--device", "cpu")
    assert cli.main([*making, *where]) == 0
    (here / "page.yaml").write_text("display: {page: learned}\nlayer: second\nunit: 3\n")
    flags = (*SMALL, *NET_FLAGS, "--config", "page.yaml", "--stream", "film.avi", "--frames", "5")
    assert cli.main([*flags, "--store", "none", "--no-grow", "--record", "a.mkv"]) == 0
    watched, pages = Watched(monkeypatch), {}
    for store in ("units", "none"):
        replaying = ("--replay", "a.mkv", "--store", store, "--record", f"{store}.mkv")
        assert cli.main([*SMALL, *replaying]) == 0
        frames = watched.take()
        rect = layout(View(canvas_size=frames[0].shape[:2]), engine.layers).panes["details"]
        pages[store] = [frame_HW3[rect.rows, rect.columns] for frame_HW3 in frames]
    assert len(pages["units"]) == len(pages["none"]) > 1
    for page_HW3, without_HW3 in zip(pages["units"], pages["none"], strict=True):
        assert np.array_equal(page_HW3, pages["units"][0]), "the first frame has it too"
        assert not np.array_equal(page_HW3, without_HW3)


def test_steps_through_a_folder_are_replayed_by_file_even_if_it_was_moved(
    here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)

    def script(window: MemorySink, session: Session) -> None:
        wait_recorded(watched, window, lambda picture: picture.frame_seq == 0)
        for seq, key in enumerate(("e", "e", "w", "w", "w"), start=1):
            window.send(KeyEvent(key=key))
            wait_recorded(watched, window, lambda picture, seq=seq: picture.frame_seq == seq)

    recorded_session(engine, here, "pictures", script)
    before = watched.take()
    places = [moment.frame for moment in read_moments(here / "a.rtvis.jsonl") if moment.frame]
    names = [Path(place.path or "").name for place in places]
    shown = [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]
    assert shown == ["0.png", "1.png", "2.png", "1.png", "0.png", "2.png"]
    (here / "pictures").rename(here / "moved")
    argv = [*SMALL, "--replay", "a.rtvis.jsonl", "--stream", "moved", "--record", "b.mp4"]
    assert cli.main(argv) == 0
    assert differing_panes(engine, before, watched.take()) == {}


def test_a_run_without_a_window_is_recorded_with_its_lines_and_a_flag_turns_them_off(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    flags = (*SMALL, *NET_FLAGS, "--stream", "film.avi", "--start", "0.4", "--frames", "6")
    assert cli.main([*flags, "--record", "a.mkv"]) == 0
    before = watched.take()
    # As fast as it goes, and yet each of its frames once.
    assert cli.main([*SMALL[:-2], "--replay", "a.mkv", "--record", "b.mkv"]) == 0
    assert SMALL[-2:] == ("--pace", "fast")
    after = watched.take()
    with load("net.py:Net", size=(32, 32), device="cpu", compile="off") as engine:
        assert differing_panes(engine, before, after) == {}
    assert cli.main([*flags, "--record", "c.mkv", "--no-journal"]) == 0
    assert not (here / "c.rtvis.jsonl").exists()
    # What a flag beside --replay asks for wins: another size, and not all of it.
    argv = [*SMALL, "--replay", "a.mkv", "--frames", "3", "--size", "48", "--record", "d.mkv"]
    assert cli.main(argv) == 0
    assert num_frames(here / "d.mkv") == 3


def test_in_a_window_a_replay_stays_at_its_end_and_only_leaving_works(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (*SMALL, *NET_FLAGS, "--stream", "film.avi", "--frames", "5", "--record", "a.mp4")
    assert cli.main([*flags]) == 0
    window = MemorySink()
    monkeypatch.setattr(window_module, "WindowSink", lambda **options: window)
    monkeypatch.setattr(window_module, "why_no_window", lambda: "")
    counts: list[int] = []

    def use() -> None:
        wait_for(lambda: bool(window.pictures) and window.pictures[-1].frame_seq == 4)
        time.sleep(0.2)
        counts.append(len(window.pictures))
        window.send(KeyEvent(key="u"), KeyEvent(key="c"), PointerEvent(kind="move", x=9, y=9))
        time.sleep(0.2)
        counts.append(len(window.pictures))
        window.send(KeyEvent(key="q"))

    user = threading.Thread(target=use)
    user.start()
    assert cli.main(["--compile", "off", "--device", "cpu", "--replay", "a.mp4"]) == 0
    user.join()
    assert counts[0] == counts[1]


# What cannot be shown again


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "bad.rtvis.jsonl: cannot read it: No such file"),
        ("", "bad.rtvis.jsonl: is no recording; --replay takes a film with its .rtvis.jsonl"),
        ("{}\n{}\n", "bad.rtvis.jsonl: is no recording"),
        ("\x00\xff", "bad.rtvis.jsonl"),
        ('{"rtvis_recording": 2, "rtvis_state": 1}\n', "rtvis_recording: is 2, and this rtvis"),
        ('{"rtvis_recording": 1}\n', "is no state"),
        ("HEAD{\n", "bad.rtvis.jsonl:2: is damaged or cut off; remove the lines from here on"),
        ("HEAD{}\n[]\n", "bad.rtvis.jsonl:3: is damaged or cut off"),
        ('HEAD{"view":{"zom":1}}\n', "bad.rtvis.jsonl:2: view.zom: unknown key; nearest is"),
        ('HEAD{"selection":{"unit":"a"}}\n', "bad.rtvis.jsonl:2: selection.unit: 'a' cannot be"),
        ('HEAD{"frame":{"seq":1.5}}\n', "bad.rtvis.jsonl:2.frame.seq: 1.5 cannot be used"),
        (
            'HEAD{"frame":{"seq":1,"pts_seconds":9.0}}\n',
            "film.avi: ends at 1.20 s, before the start",
        ),
        (
            'HEAD{"frame":{"seq":1,"pts_seconds":0.0}}\n{"frame":{"seq":2,"pts_seconds":1.2}}\n',
            "film.avi: ends before 1.20 s; is it the film that was recorded from?",
        ),
    ],
)
def test_a_bad_recording_is_one_line_and_an_exit_code(
    text: str | None, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = {"rtvis_recording": 1, "fps": 25.0, "rtvis_state": 1, "stream": f"{here}/film.avi"}
    head |= {"network": f"{here}/net.py:Net", "size": [32, 32]}
    if text is not None:
        text = text.replace("HEAD", json.dumps(head) + "\n")
        (here / "bad.rtvis.jsonl").write_bytes(text.encode("latin-1"))
    assert cli.main([*SMALL, "--replay", "bad.mp4"]) in {1, 2}
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rtvis")]
    assert len(lines) == 1
    assert message in lines[0]


def test_flags_beside_a_replay_retouch_its_frames_and_arrange_its_panes(here: Path) -> None:
    dim_HW3 = np.random.default_rng(0).integers(100, 150, (40, 60, 3), np.uint8)
    assert cv2.imwrite("dim.png", dim_HW3)
    head = {"rtvis_recording": 1, "fps": 25.0, "rtvis_state": 1, "stream": "dim.png"}
    line = {"frame": {"seq": 0, "path": "dim.png"}, "view": {"zoom": "unit"}}
    Path("a.rtvis.jsonl").write_text(f"{json.dumps(head)}\n{json.dumps(line)}\n")
    flags = ("--replay", "a.mp4", "--mirror", "on", "--stretch-contrast")
    config = parse_config(Config, flags, prog="rtvis", description="")
    begin = View(theme=Theme(gap=1), panes=Panes(left=()))
    shown: list[tuple[Frame, View]] = []
    with (
        found_frames(config, "dim.png", None) as found,
        FoundFrames("dim.png", mirror="on", stretch_contrast=True) as wanted,
    ):
        compositor = Compositor(torch.device("cpu"))
        replay = replay_of(config, found, compositor, None, begin)
        assert replay is not None
        turn = SimpleNamespace(show=lambda frame, view, *_, **__: shown.append((frame, view)))
        assert replay.step(turn)  # type: ignore[arg-type]
        wanted_HW3 = wanted.find(FramePlace(seq=0, path="dim.png"), "only").image_HW3
    ((frame, view),) = shown
    assert np.array_equal(frame.image_HW3, wanted_HW3)
    assert (view.theme, view.panes, view.zoom) == (begin.theme, begin.panes, "unit")


def test_a_replay_reads_all_of_its_file_before_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.rtvis.jsonl"
    path.write_text("{}\n" + '{"frame":{"seq":0}}\n' + "{}\n" * 3)
    asked: list[int] = []
    replay = Replay(
        path, find=lambda place, side: asked.append(place.seq), resume=lambda drawn: None
    )  # type: ignore[arg-type,return-value]
    assert (replay.num_frames, asked) == (4, [])
    pipeline = Pipeline(
        engine=FakeEngine(),
        source=FakeSource(),
        compositor=FakeCompositor(),
        session=Session(View(canvas_size=CANVAS)),
        replay=replay,
        num_frames=9,
    )
    with pipeline:
        assert pipeline.progress().num_frames == 4

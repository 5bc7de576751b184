"""Replays of two inputs, and of cameras whose frames were kept beside the film."""

import dataclasses
import errno
import json
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rtvis import cli
from rtvis.data import Frame, FramePlace, ImageU8, KeyEvent, Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SinkError, SourceError
from rtvis.render.compositor import Compositor
from rtvis.runtime.journal import read_moments
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.recording import Kept, Recordings
from rtvis.runtime.replay import Replay
from rtvis.runtime.stream_rival import StreamRival
from rtvis.session import Session, View
from rtvis.sinks import frame_keeper
from rtvis.sinks.frame_keeper import FrameKeeper
from rtvis.sinks.memory import MemorySink
from rtvis.sources.again import FoundFrames
from rtvis.sources.kept import KeptFrames
from tests.nets_fake import FakeSource
from tests.test_replay import (
    NET_FLAGS,
    SMALL,
    Watched,
    differing_panes,
    engine,
    here,
    lines_of,
    turn_of,
    wait_for,
)

__all__ = ["engine", "here"]  # fixtures

LOSSLESS = Kept(keeping="png", limit_bytes=1 << 30)


def noise(seed: int, size: tuple[int, int] = (40, 60)) -> ImageU8:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


class Camera(FakeSource):
    """Gives frame after frame, each another picture, which nobody can ask for again."""

    def __init__(self, name: str, *, seed: int, size: tuple[int, int] = (40, 60)) -> None:
        super().__init__()
        self.name = name
        self._seed = seed
        self._shape = size
        self.sent: list[ImageU8] = []

    def put(self) -> None:
        assert self.slot is not None
        self.sent.append(noise(self._seed + len(self.sent), self._shape))
        seq = len(self.sent) - 1
        self.slot.put(Frame(image_HW3=self.sent[-1], seq=seq, captured_ns=time.monotonic_ns()))


def test_a_cameras_frame_is_kept_whose_numbers_stay_though_the_film_passed_over_its_picture(
    here: Path, engine: Engine
) -> None:
    frames = [Frame(image_HW3=noise(index), seq=index, captured_ns=1) for index in range(4)]
    good = View(selection=Selection(layer="second", unit=3), canvas_size=(700, 1200))
    bad = dataclasses.replace(good, selection=Selection(layer="no such layer"))
    turn = turn_of(engine, Compositor(engine.device))
    said: list[str] = []
    recordings = Recordings(
        here,
        lambda text, warning: said.append(text),
        setup={"stream": "rtsp://camera/1"},
        keeping=LOSSLESS,
    )
    recordings.start(here / "a.mp4", pace="fast")
    for index, view in enumerate((good, good, bad, bad)):
        turn.show(frames[index], view, index)
        assert turn.composed is not None
        if index != 1:
            recordings.show(turn.composed)
    recordings.close()
    assert said == [f"film saved in {here}: a.mp4 0 s"]
    moments = list(read_moments(here / "a.rtvis.jsonl"))
    assert [moment.older is not None for moment in moments] == [False, True, True]
    older = {moment.older.frame for moment in moments if moment.older is not None}
    assert len(older) == 1, "kept once"
    (place,) = older
    assert place.kept is not None
    with KeptFrames(here / "a.rtvis.zip") as kept:
        assert np.array_equal(kept.read(place.kept).image_HW3, frames[1].image_HW3)
    assert len(zipfile.ZipFile(here / "a.rtvis.zip").namelist()) == 4


def test_a_camera_s_frame_that_is_held_is_kept_beside_each_film_that_shows_it(
    here: Path, engine: Engine
) -> None:
    frame = Frame(image_HW3=noise(0), seq=7, captured_ns=1, wall_s=1234.5)
    turn = turn_of(engine, Compositor(engine.device))
    turn.show(frame, View(selection=Selection(layer="second"), canvas_size=(700, 1200)), 0)
    assert turn.composed is not None
    recordings = Recordings(
        here, lambda text, warning: None, setup={"stream": "rtsp://camera/1"}, keeping=LOSSLESS
    )
    for name in "ab":
        recordings.start(here / f"{name}.mp4", pace="fast")
        recordings.show(turn.composed)
        recordings.stop()
    recordings.close()
    for name in "ab":
        (moment,) = read_moments(here / f"{name}.rtvis.jsonl")
        assert moment.frame is not None
        with (
            KeptFrames(here / f"{name}.rtvis.zip") as kept,
            FoundFrames("rtsp://camera/1", kept=kept) as found,
        ):
            again = found.find(moment.frame, "only")
            assert again is not None
            assert np.array_equal(again.image_HW3, frame.image_HW3)
            assert (again.seq, again.wall_s) == (7, 1234.5)


def record_cameras(
    engine: Engine,
    here: Path,
    keeping: Kept | None,
    script: Callable[[MemorySink, Camera, Camera], None],
    *,
    second: bool = True,
) -> tuple[Camera, Camera]:
    """Record a.mp4 of one camera or two while `script` plays camera and user."""
    first, other = (
        Camera("rtsp://camera/1", seed=100),
        Camera("rtsp://camera/2", seed=900, size=(30, 30)),
    )
    window = MemorySink()
    view = View(
        selection=Selection(layer="second", unit=3),
        canvas_size=(700, 1200),
        compared="difference" if second else "off",
    )
    setup = {"stream": "rtsp://camera/1", "network": f"{here}/net.py:Net", "size": [32, 32]}
    if second:
        setup["compare_stream"] = "rtsp://camera/2"
    failures: list[BaseException] = []
    pipeline = Pipeline(
        engine=engine,
        source=first,
        compositor=Compositor(engine.device),
        session=Session(view),
        window=window,
        folder=here,
        setup=setup,
        keeping=keeping,
        rival=StreamRival(other) if second else None,
    )
    pipeline.record(here / "a.mp4")

    def play() -> None:
        try:
            wait_for(first.started.is_set)
            script(window, first, other)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        window.send(KeyEvent(key="q"))

    user = threading.Thread(target=play)
    user.start()
    with pipeline:
        pipeline.run()
    user.join()
    if failures:
        raise failures[0]
    return first, other


def frames_and_keys(window: MemorySink, first: Camera, second: Camera) -> None:
    """Ten frames of the first camera, seven of the second, and a key after each."""
    for index, key in enumerate("/uo/bmz/gv"):
        first.put()
        wait_for(lambda seq=index: bool(window.pictures) and window.pictures[-1].frame_seq == seq)
        if index > 2 and second.started.is_set():
            second.put()
        window.send(KeyEvent(key=key))
        time.sleep(0.12)


# The program


def test_two_cameras_are_replayed_to_the_pixel_from_the_frames_that_were_kept(
    here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    first, other = record_cameras(engine, here, LOSSLESS, frames_and_keys)
    before = watched.take()
    moments = list(read_moments(here / "a.rtvis.jsonl"))
    numbers = {moment.frame.kept for moment in moments if moment.frame}
    assert len(numbers) > 5
    walls = [moment.frame.wall_s for moment in moments if moment.frame]
    assert walls == sorted(walls)
    assert abs(walls[-1] - time.time()) < 60, "when it was, for moments of a replay"
    assert None not in numbers
    assert not numbers & {moment.second.frame.kept for moment in moments if moment.second}
    with KeptFrames(here / "a.rtvis.zip") as kept:
        for moment in moments:
            for place, camera in (
                (moment.frame, first),
                (moment.second.frame if moment.second else None, other),
            ):
                if place is not None and place.kept is not None:
                    np.testing.assert_array_equal(
                        kept.read(place.kept).image_HW3, camera.sent[place.seq]
                    )
    argv = [*SMALL, "--replay", "a.mp4", "--record", "b.mp4"]
    assert cli.main(argv) == 0
    after = watched.take()
    assert differing_panes(engine, before, after) == {}
    assert "grid" in differing_panes(engine, before[2:], after[:-2]), "there was something to see"
    assert not (here / "b.rtvis.zip").exists(), "nothing new was kept"


def test_without_kept_frames_a_camera_is_gone_and_the_error_says_what_would_have_helped(
    here: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    record_cameras(engine, here, None, frames_and_keys, second=False)
    assert not (here / "a.rtvis.zip").exists()
    assert cli.main([*SMALL, "--replay", "a.mp4"]) == 1
    assert "record with --keep-frames" in capsys.readouterr().err


def test_a_frame_that_was_not_kept_is_counted_and_the_one_before_stands_for_it(
    here: Path, engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 5 frames of 7200 bytes of noise: there is room for three of them.
    def script(window: MemorySink, camera: Camera, _: Camera) -> None:
        for index in range(5):
            camera.put()
            wait_for(
                lambda seq=index: bool(window.pictures) and window.pictures[-1].frame_seq == seq
            )
            time.sleep(0.15)

    watched = Watched(monkeypatch)
    limited = dataclasses.replace(LOSSLESS, limit_bytes=25_000)
    record_cameras(engine, here, limited, script, second=False)
    before = watched.take()
    with zipfile.ZipFile(here / "a.rtvis.zip") as file:
        assert file.namelist() == ["00000000.png", "00000001.png", "00000002.png"]
    moments = list(read_moments(here / "a.rtvis.jsonl"))
    missing = [
        moment for moment in moments if moment.frame is not None and moment.frame.kept is None
    ]
    seqs = {moment.frame.seq for moment in missing if moment.frame is not None}
    assert 4 in seqs
    capsys.readouterr()
    # The fourth was taken before it was known that there is no room for it.
    if 3 in seqs:
        assert cli.main([*SMALL, "--replay", "a.mp4", "--record", "b.mp4"]) == 0
        assert "have frames that were not kept; the frame before" in capsys.readouterr().err
        assert len(watched.take()) == len(before)


def test_numbers_are_computed_where_others_are_there_and_a_picture_lacks_its_frames_once(
    tmp_path: Path,
) -> None:
    kept, stood_in = Frame(image_HW3=noise(0), seq=5, captured_ns=1), {"seq": 5, "stand_in": "m"}
    changes = (
        {"frame": {"seq": 5, "kept": 0}, "older": {"frame": {"seq": 5, "kept": 0}}},  # is there
        {"older": {"frame": {**stood_in, "kept": 0}}},  # another picture of the same number
        {"older": {"frame": {"seq": 5, "kept": 0}, "selection": {"unit": 3}}},
        {"older": {"frame": {"seq": 4}}},
        {"older": None, "second": {"frame": {"seq": 1}}},
        {"frame": {"seq": 6}, "older": {"frame": {"seq": 4}}},
    )
    lines = [json.dumps(each) for each in ({}, *changes)]
    (tmp_path / "a.rtvis.jsonl").write_text("".join(f"{line}\n" for line in lines))
    computed: list[Frame] = []
    turn = SimpleNamespace(
        show=lambda *_, **__: None,
        leave_source=lambda: None,
        compute=lambda frame, *_: computed.append(frame),
        computing=SimpleNamespace(computed=SimpleNamespace(frame=kept, selection=Selection())),
    )
    replay = Replay(
        tmp_path / "a.rtvis.jsonl",
        find=lambda place, side: kept if place.kept is not None else None,
        resume=lambda colour_range: None,
        rival=SimpleNamespace(show=lambda second: second.frame.kept is not None),  # type: ignore[arg-type]
    )
    so_far = []
    while replay.step(turn):  # type: ignore[arg-type]
        so_far.append((replay.num_missing, len(computed)))
    assert so_far == [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (3, 2)]


@pytest.mark.parametrize("second", ["pictures", "film.avi"])
def test_two_inputs_with_files_are_replayed_to_the_pixel(
    here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    watched = Watched(monkeypatch)
    (here / "both.yaml").write_text("display: {compared: second}\n")
    flags = (*SMALL, *NET_FLAGS, "--config", "both.yaml", "--layer", "second")
    inputs = ("--stream", "film.avi", "--compare-stream", second, "--frames", "8")
    assert cli.main([*flags, *inputs, "--record", "a.mkv"]) == 0
    before = watched.take()
    seconds = [moment.second for moment in read_moments(here / "a.rtvis.jsonl")]
    places = [place.frame for place in seconds if place is not None]
    assert len(places) == len(before) == 8
    if second == "pictures":  # three of them: the last one stays, and its source is over
        assert [Path(place.path or "").name for place in places[:4]] == [
            "0.png", "1.png", "2.png", "2.png"
        ]  # fmt: skip
        assert seconds[-1] is not None
        assert seconds[-1].trouble == "ended"
    else:
        assert [place.pts_seconds for place in places] == pytest.approx(
            [index / 25 for index in range(8)]
        )
    assert cli.main([*SMALL, "--replay", "a.mkv", "--record", "b.mkv"]) == 0
    after = watched.take()
    assert differing_panes(engine, before, after) == {}
    assert lines_of(here / "a.rtvis.jsonl") == lines_of(here / "b.rtvis.jsonl")
    assert "grid" in differing_panes(engine, before[:2], after[1:3])


def test_the_second_names_of_a_list_are_replayed(
    here: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    (here / "pairs.txt").write_text("pictures/0.png pictures/1.png\npictures/2.png pictures/0.png")
    flags = (*SMALL, *NET_FLAGS, "--stream", "pairs.txt", "--compare-stream", "second")
    assert cli.main([*flags, "--record", "a.mkv"]) == 0
    before = watched.take()
    assert cli.main([*SMALL, "--replay", "a.mkv", "--record", "b.mkv"]) == 0
    assert differing_panes(engine, before, watched.take()) == {}


# The file


def keeper(path: Path, **options: object) -> FrameKeeper:
    settings = {"keeping": "png", "limit_bytes": 1 << 30, "pace": "fast", **options}
    return FrameKeeper(path, **settings)  # type: ignore[arg-type]


def test_png_keeps_every_bit_and_jpeg_what_the_eye_sees(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:64, 0:96]
    smooth_HW3 = np.stack([rows * 2, columns * 2, rows + columns], axis=2).astype(np.uint8)
    sizes = {}
    for keeping, most in (("png", 0), ("jpeg", 8)):
        path = tmp_path / f"{keeping}.rtvis.zip"
        writer = keeper(path, keeping=keeping)
        assert [writer.keep(image) for image in (smooth_HW3, noise(1), smooth_HW3)] == [0, 1, 2]
        writer.finish(keep=True)
        with KeptFrames(path) as kept:
            frame = kept.read(2)
        difference = np.abs(frame.image_HW3.astype(int) - smooth_HW3)
        assert difference.max() <= most
        assert (frame.seq, frame.path) == (2, None)
        sizes[keeping] = writer.num_bytes
        assert writer.note() == "frames 0 MB"
    assert sizes["jpeg"] < sizes["png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jpeg.rtvis.zip", "png.rtvis.zip"]


def test_a_slow_disk_drops_frames_and_counts_them_or_makes_a_film_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    encode = cv2.imencode

    def slow(*args: object) -> object:
        assert gate.wait(10)
        return encode(*args)

    monkeypatch.setattr(frame_keeper.cv2, "imencode", slow)
    writer = keeper(tmp_path / "a.zip", pace="live")
    writer.keep(noise(0))
    wait_for(lambda: writer._writer.is_empty)  # one is in the encoder, and eight fit into the queue
    numbers = [writer.keep(noise(seed)) for seed in range(1, 12)]
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 8, None, None, None]
    assert writer.num_dropped == 3
    assert "3 dropped" in writer.note()
    gate.set()
    writer.finish(keep=True)
    with KeptFrames(tmp_path / "a.zip") as kept:
        np.testing.assert_array_equal(kept.read(8).image_HW3, noise(8))
        with pytest.raises(SourceError, match=r"a\.zip: frame 9: it is missing; copy the file"):
            kept.read(9)
    fast = keeper(tmp_path / "b.zip", pace="fast")
    assert [fast.keep(noise(seed)) for seed in range(20)] == list(range(20))
    fast.finish(keep=True)


def test_the_limit_and_a_full_disk_end_the_file_but_leave_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = keeper(tmp_path / "a.zip", limit_bytes=16_000)
    for seed in range(3):
        writer.keep(noise(seed))
    wait_for(lambda: bool(writer.fault))
    assert writer.keep(noise(3)) is None
    assert "full at 1.4" in writer.fault
    assert "--keep-gb takes more" in writer.fault
    assert "full" in writer.note()
    writer.finish(keep=True)
    with KeptFrames(tmp_path / "a.zip") as kept:
        np.testing.assert_array_equal(kept.read(1).image_HW3, noise(1))
    monkeypatch.setattr(frame_keeper, "free_bytes", lambda folder: 1000)
    writer = keeper(tmp_path / "b.zip")
    writer.keep(noise(0))
    wait_for(lambda: "the disk is full" in writer.fault)
    writer.finish(keep=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip"}
    with pytest.raises(SinkError, match="cannot be written to"):
        keeper(tmp_path / "no" / "a.zip")


def test_a_disk_that_refuses_a_frame_leaves_no_half_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(b"an older film's")
    writer = keeper(tmp_path / "a.zip")
    writer.keep(noise(0))
    wait_for(lambda: writer.num_kept == 1)
    write = zipfile.ZipFile.writestr

    def refuse(file: zipfile.ZipFile, name: str, data: bytes) -> None:
        write(file, name, data[:100])
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", refuse)
    writer.keep(noise(1))
    wait_for(lambda: bool(writer.fault))
    writer.finish(keep=True)
    assert (
        writer.fault == f"{tmp_path / 'a.zip'}: the frames could not be kept (Disk quota exceeded)"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"an older film's"


def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"something else")
    with pytest.raises(SourceError, match=r"a\.zip: the frames that were kept cannot be read"):
        KeptFrames(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("00000000.png", b"no picture")
        file.writestr("00000001.png", b"")
    with KeptFrames(tmp_path / "b.zip") as kept:
        with pytest.raises(SourceError, match=r"frame 0: it is damaged"):
            kept.read(0)
        with pytest.raises(SourceError, match=r"frame 1: it is damaged"):
            kept.read(1)
        with FoundFrames("rtsp://c/1", kept=kept) as found:
            assert found.find(FramePlace(seq=3), "only") is None

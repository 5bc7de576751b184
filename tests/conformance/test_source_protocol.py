"""What every source must do, whatever it reads."""

import itertools
import threading
import time

import cv2
import numpy as np
import psutil
import pytest
from stream_servers import Server

from rtvis.slot import LatestSlot
from rtvis.sources import next_frame, open_source, open_sources
from rtvis.sources.stream import StreamLimits
from tests.waiting import wait_for

FINITE = ["picture-fast", "folder-fast", "glob-fast", "list-fast", "film-fast", "demo-fast"]
ENDLESS = [
    "picture-live",
    "folder-live",
    "film-loop-live",
    "film-loop-fast",
    "beside-live",
    "mjpeg",
    pytest.param("rtsp", marks=pytest.mark.stream),
]
NUM_FRAMES = {"picture": 1, "folder": 3, "glob": 2, "list": 2, "film": 12, "demo": 500}


def write_film(path, *, num_frames=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(num_frames):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()


@pytest.fixture
def make(tmp_path):
    """Opens the source of a kind; servers that it needs run until the test is over."""
    servers = {}
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        cv2.imwrite(str(pictures / f"{index}.png"), np.full((30 + index, 40, 3), 50 * index))
    write_film(tmp_path / "film.avi")
    (tmp_path / "list.txt").write_text("pictures/2.png\npictures/0.png\n")

    def opened(kind):
        what, *options = kind.split("-")
        pace = "fast" if "fast" in options else "live"
        if what == "beside":
            return open_sources(str(tmp_path / "film.avi"), str(pictures), loop=True)
        if what in {"mjpeg", "rtsp"}:
            if what not in servers:
                servers[what] = Server(what)
                servers[what].start()
            return open_source(servers[what].uri(), limits=StreamLimits(stale_s=5.0))
        uri = {
            "picture": pictures / "1.png",
            "folder": pictures,
            "glob": pictures / "[12].png",
            "list": tmp_path / "list.txt",
            "film": tmp_path / "film.avi",
            "demo": "demo",
        }[what]
        return open_source(uri, loop="loop" in options, pace=pace)

    yield opened
    for server in servers.values():
        server.kill()


@pytest.mark.parametrize("kind", FINITE)
def test_fast_gives_every_frame_once_and_then_ends(make, kind):
    slot = LatestSlot()
    with make(kind) as source:
        assert source.status().state == "opening"
        source.start(slot)
        seqs = []
        while (frame := next_frame(source, slot)) is not None:
            seqs.append(frame.seq)
        status = source.status()
        expected = NUM_FRAMES[kind.split("-", maxsplit=1)[0]]
        assert source.num_frames == expected
    assert seqs == list(range(expected))
    assert slot.num_dropped == 0
    assert (status.state, status.message, status.num_captured) == ("ended", "", expected)


@pytest.mark.parametrize("kind", FINITE + ENDLESS)
def test_frames_are_rgb_bytes_with_growing_seq_and_time(make, kind):
    slot = LatestSlot()
    began_ns = time.monotonic_ns()
    with make(kind) as source:
        source.start(slot)
        frames = []
        while len(frames) < 4:
            frame = next_frame(source, slot, timeout_s=20 if not frames else 1)
            if frame is None:
                break
            frames.append(frame)
            source.step(1)
        assert frames, "no frame came"
        for frame in frames:
            image = frame.image_HW3
            assert image.dtype == np.uint8
            assert image.flags.c_contiguous
            assert image.ndim == 3
            assert image.shape[2] == 3
            if source.size is not None:
                assert image.shape[:2] == source.size
        assert all(a.seq < b.seq for a, b in itertools.pairwise(frames))
        times = [began_ns, *(frame.captured_ns for frame in frames), time.monotonic_ns()]
        assert times == sorted(times)
    assert source.status().num_captured == slot.num_put
    second = frames[1:2] or frames[:1]
    kept = second[0].image_HW3.copy()
    frames[0].image_HW3[...] = 77
    if len(frames) > 1:
        assert np.array_equal(second[0].image_HW3, kept), "two frames share memory"


@pytest.mark.parametrize("kind", FINITE + ENDLESS)
def test_close_works_twice_and_before_the_start(make, kind):
    source = make(kind)
    source.close()
    source.close()
    assert source.status().state == "ended"


@pytest.mark.parametrize("kind", FINITE + ENDLESS)
def test_close_stops_a_source_whose_frames_nobody_takes(make, kind):
    """In pace "fast" its thread is then blocked, waiting for room in the slot."""
    slot = LatestSlot()
    source = make(kind)
    source.start(slot)
    wait_for(lambda: slot.num_put > 0, limit_s=20, what="a first frame")
    began = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - began < 2
    num_put = slot.num_put
    time.sleep(0.1)
    assert slot.num_put == num_put
    assert source.status().state == "ended"


@pytest.mark.parametrize("kind", ENDLESS)
def test_close_wakes_the_reader_that_waits_for_a_frame(make, kind):
    slot = LatestSlot()
    source = make(kind)
    source.start(slot)
    outcome = []

    def read():
        while (frame := next_frame(source, slot)) is not None:
            outcome.append(frame)
        outcome.append(None)

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: outcome, limit_s=20, what="a first frame")
    source.close()
    reader.join(2)
    assert not reader.is_alive()
    assert outcome[-1] is None


@pytest.mark.parametrize("kind", FINITE + ENDLESS)
def test_nothing_is_left_open(make, kind):
    process = psutil.Process()

    def use():
        slot = LatestSlot()
        with make(kind) as source:
            source.start(slot)
            wait_for(lambda: slot.num_put > 0, limit_s=20, what="a first frame")

    use()  # What is opened once for all: libraries, the pipe of the server.
    before = process.num_fds(), threading.active_count(), len(process.children())
    use()
    assert (process.num_fds(), threading.active_count(), len(process.children())) == before


@pytest.mark.parametrize("kind", ["film-loop-live", "film-loop-fast"])
def test_a_loop_goes_on_after_the_end_with_growing_seq(make, kind):
    slot = LatestSlot()
    with make(kind) as source:
        source.start(slot)
        seqs, positions = [], []
        while len(seqs) < 30:
            frame = next_frame(source, slot, timeout_s=10)
            assert frame is not None
            seqs.append(frame.seq)
            positions.append(frame.pts_seconds)
    assert seqs == sorted(set(seqs))
    assert max(positions) == pytest.approx(11 / 25)
    assert positions.count(0.0) >= 2

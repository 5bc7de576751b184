"""Streams from servers that die, freeze and lie; the process that reads them; and secrets."""

import importlib.util
import itertools
import json
import logging
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from stream_servers import Server, free_port

from rtvis.errors import SourceError
from rtvis.slot import LatestSlot
from rtvis.sources import next_frame, open_source
from rtvis.sources import stream as stream_module
from rtvis.sources.stream import Backoff, StreamLimits, StreamSource
from rtvis.sources.stream_process import StreamProcess
from rtvis.sources.uri import Secret, check_stream_uri, public_name
from tests.waiting import wait_for

ROOT = Path(__file__).parent.parent
SERVERS = ["mjpeg", pytest.param("rtsp", marks=pytest.mark.stream)]
HASTY = StreamLimits(open_s=2.0, stale_s=0.8)
"""For tests that wait for limits to pass; the rest of the limits are the defaults."""


class Watcher:
    """A started source with its slot, and what was seen of them."""

    def __init__(self, uri, *, limits=None):
        self.slot = LatestSlot()
        self.source = open_source(uri, limits=limits)

    def __enter__(self):
        self.source.start(self.slot)
        return self

    def __exit__(self, *_):
        self.source.close()

    @property
    def status(self):
        return self.source.status()

    @property
    def reader(self):
        """The reader process, as psutil sees it."""
        process = self.source._process
        return None if process is None else psutil.Process(process.pid)

    def wait_frames(self, count=3, *, limit_s=15.0):
        """Wait for `count` new frames and return the seconds that the first took."""
        target = self.slot.num_put
        took_s = wait_for(lambda: self.slot.num_put > target, limit_s=limit_s, what="a frame")
        target += count
        wait_for(lambda: self.slot.num_put >= target, limit_s=limit_s, what=f"{count} frames")
        return took_s

    def wait_message(self, text, *, limit_s=15.0, state="reconnecting"):
        """Wait until the status says `text`."""

        def is_said():
            return self.status.state == state and text in self.status.message

        try:
            wait_for(is_said, limit_s=limit_s, what=text)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {self.status}") from None


# --- what comes through ---------------------------------------------------------------------


def test_mjpeg_frames_arrive_in_colour_soon_and_at_the_servers_rate():
    with Server("mjpeg") as server, Watcher(server.uri()) as watcher:
        watcher.wait_frames()
        colours, delays_ms = set(), []
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            frame = next_frame(watcher.source, watcher.slot, timeout_s=1)
            delays_ms.append((time.monotonic_ns() - frame.captured_ns) / 1e6)
            assert frame.image_HW3.shape == (120, 160, 3)
            colours.add(tuple(frame.image_HW3[60, 80] // 64 * 64))
        assert colours == {(192, 0, 0), (0, 0, 192)}, "red, then blue"
        assert 15 < watcher.status.captured_fps < 35
        assert np.median(delays_ms) < 40
        assert watcher.source.size == (120, 160)


@pytest.mark.stream
def test_rtsp_frames_arrive_in_colour():
    with Server("rtsp") as server, Watcher(server.uri()) as watcher:
        watcher.wait_frames()
        image = next_frame(watcher.source, watcher.slot, timeout_s=2).image_HW3
        assert image.shape == (240, 320, 3)
        assert image[120, 160] == pytest.approx([255, 0, 0], abs=6)
        assert watcher.source.name == server.uri()


# --- faults of the server -------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
def test_a_killed_server_is_found_again_within_2_s_of_its_return(kind):
    with Server(kind) as server, Watcher(server.uri()) as watcher:
        watcher.wait_frames()
        before = watcher.status
        server.kill()
        watcher.wait_message("trying again", limit_s=5)
        assert watcher.status.since_ns > before.since_ns
        watcher.wait_message("connection refused", limit_s=5)
        since_ns = watcher.status.since_ns
        watcher.wait_message("(3 times so far)", limit_s=8)
        assert watcher.status.since_ns == since_ns, "one outage, one beginning"
        server.start()
        assert watcher.wait_frames() < 2
        assert (watcher.status.state, watcher.status.message) == ("live", "")


@pytest.mark.parametrize("kind", SERVERS)
def test_a_frozen_server_is_noticed_and_its_thaw_too(kind):
    with Server(kind) as server, Watcher(server.uri()) as watcher:
        watcher.wait_frames()
        server.freeze()
        watcher.wait_message("no frame for 3 s", limit_s=6)
        time.sleep(1.0)
        server.thaw()
        assert watcher.wait_frames() < 2
        assert watcher.status.state == "live"


LIES = {
    "stall": "no frame for 1 s",
    "half": "no frame for 1 s",
    "headers": "no answer for 2 s",
    "silent": "no answer for 2 s",
    "html": "cannot be opened as a video stream",
    "garbage": "cannot be opened as a video stream",
    "slam": "cannot be opened as a video stream",
    "brief": "the stream broke off",
}


@pytest.mark.parametrize("mode", LIES)
def test_a_lying_server_is_named_and_a_good_one_in_its_place_is_seen_within_2_s(mode):
    with Server("mjpeg", mode=mode) as server, Watcher(server.uri(), limits=HASTY) as watcher:
        watcher.wait_message(LIES[mode])
        server.kill()
        watcher.wait_message("connection refused")
        server.start("good")
        assert watcher.wait_frames(10) < 2
        assert watcher.status.state == "live"


def test_a_camera_that_is_slow_but_honest_is_waited_for():
    """A frame each 0.5 s, when 0.3 s is the limit: doubled for it after a fault or two."""
    limits = StreamLimits(open_s=5.0, stale_s=0.3)
    with Server("mjpeg", mode="slow") as server, Watcher(server.uri(), limits=limits) as watcher:
        watcher.wait_frames(8, limit_s=20)
        began_ns = watcher.status.since_ns
        watcher.wait_frames(5)
        assert watcher.status.since_ns == began_ns, "no fault any more"


def test_a_server_that_comes_back_with_larger_pictures_is_read():
    with Server("mjpeg") as server, Watcher(server.uri()) as watcher:
        watcher.wait_frames()
        reader = watcher.reader.pid
        server.kill()
        watcher.wait_message("connection refused")
        server.start("big")
        watcher.wait_frames(12)
        image = watcher.slot.take(timeout_s=2).image_HW3
        assert image.shape == (480, 640, 3)
        assert watcher.source.size == (480, 640)
        assert (image[240, 320] // 64 * 64).tolist() in ([192, 0, 0], [0, 0, 192])
        assert watcher.reader.pid == reader, "a clean fault needs no new process"


def test_nobody_listens_at_first():
    server = Server("mjpeg")
    with Watcher(server.uri()) as watcher:
        watcher.wait_message("connection refused")
        with server:
            assert watcher.wait_frames() < 2


# --- faults of the reader -------------------------------------------------------------------


def test_a_decoder_that_hangs_is_killed_and_replaced():
    """SIGSTOP is a read that never returns, as opencv#22677 has it."""
    with Server("mjpeg") as server, Watcher(server.uri(), limits=HASTY) as watcher:
        watcher.wait_frames()
        hung = watcher.reader
        hung.suspend()
        watcher.wait_message("no frame for 2 s", limit_s=5)
        assert watcher.wait_frames() < 3
        assert watcher.reader.pid != hung.pid
        assert not hung.is_running()


def test_a_decoder_that_crashes_is_replaced():
    with Server("mjpeg") as server, Watcher(server.uri()) as watcher:
        watcher.wait_frames()
        watcher.reader.send_signal(signal.SIGSEGV)
        watcher.wait_message("its reader crashed (signal 11)", limit_s=5)
        assert watcher.wait_frames() < 3


def test_a_machine_without_processes_left_is_told_of(monkeypatch):
    def refuse():
        raise OSError(11, "Resource temporarily unavailable")

    with Server("mjpeg") as server:
        with monkeypatch.context() as patch:
            patch.setattr(stream_module, "StreamProcess", refuse)
            watcher = Watcher(server.uri())
            watcher.source.start(watcher.slot)
            watcher.wait_message("its reader cannot be started: Resource temporarily")
        watcher.wait_frames()
        watcher.source.close()


def test_the_reader_is_light_and_dies_with_its_parent():
    """The parent is killed; nobody can tell the reader to end."""
    code = (
        "import sys, time\n"
        "from rtvis.slot import LatestSlot\n"
        "from rtvis.sources import open_source, next_frame\n"
        "slot, source = LatestSlot(), open_source(sys.argv[1])\n"
        "source.start(slot)\n"
        "assert next_frame(source, slot, timeout_s=20) is not None\n"
        "print(source._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with Server("mjpeg") as server:
        parent = subprocess.Popen(
            [sys.executable, "-c", code, server.uri()], stdout=subprocess.PIPE, cwd=ROOT
        )
        with parent:
            reader = psutil.Process(int(parent.stdout.readline()))
            libraries = {Path(region.path).name for region in reader.memory_maps()}
            assert any("cv2" in name for name in libraries)
            assert not any("torch" in name for name in libraries)
            parent.kill()
            parent.wait()
        wait_for(lambda: not reader.is_running(), limit_s=3, what="the reader's end")


@pytest.mark.parametrize("mode", ["silent", "headers", "slam", "good"])
def test_close_takes_under_a_second_whatever_the_server_does(mode):
    with Server("mjpeg", mode=mode) as server:
        for wait_s in (0.0, 0.05, 0.7):
            with Watcher(server.uri()) as watcher:
                time.sleep(wait_s)
                began = time.monotonic()
                watcher.source.close()
                assert time.monotonic() - began < 1
            assert watcher.status.state == "ended"
            assert psutil.Process().children() == [psutil.Process(server._process.pid)]


def test_100_faults_leak_nothing(monkeypatch: pytest.MonkeyPatch):
    """90 connections slammed, and 10 readers killed in the middle of their work."""
    limits = StreamLimits(retry_s=0.01, retry_soon_s=0.01)
    # Of this process and its children; other tests run beside this one, with semaphores of theirs.
    monkeypatch.setitem(multiprocessing.current_process()._config, "semprefix", "/rtvis-faults")

    def shared() -> set[str]:
        names = {path.name for path in Path("/dev/shm").iterdir()}
        return {name for name in names if not name.startswith("sem.mp-")}

    shared_before = shared()
    us = psutil.Process()

    def measure(watcher):
        return us.num_fds(), us.num_threads(), watcher.reader.num_fds()

    with Server("mjpeg", mode="slam") as server, Watcher(server.uri(), limits=limits) as watcher:
        watcher.wait_message("(5 times so far)")
        before, rss_before = measure(watcher), us.memory_info().rss
        child_rss_before = watcher.reader.memory_info().rss
        for count in (30, 60):
            wait_for(
                lambda count=count: watcher.source._backoff.num_tries >= count,
                limit_s=30, what=f"{count} faults",
            )  # fmt: skip
        wait_for(lambda: watcher.source._backoff.num_tries >= 95, limit_s=30, what="95 faults")
        assert watcher.reader.memory_info().rss - child_rss_before < 20e6
        for _ in range(10):
            victim, tries = watcher.reader, watcher.source._backoff.num_tries
            victim.kill()
            wait_for(
                lambda victim=victim, tries=tries: watcher.source._backoff.num_tries > tries + 1
                and watcher.reader not in {victim, None},
                limit_s=15, what="a new reader",
            )  # fmt: skip
        # A reader that is just being opened has a socket more: look a few times.
        wait_for(lambda: measure(watcher) <= before, limit_s=5, what=f"back to {before}")
        assert us.memory_info().rss - rss_before < 20e6
        assert len(us.children()) == 2, "the server and one reader"
        server.kill()
        server.start("good")
        watcher.wait_frames(limit_s=5)
    assert shared() <= shared_before
    assert us.children() == []


# --- secrets --------------------------------------------------------------------------------

PASSWORD = "hunt/er@2:3"
ESCAPED = "hunt%2Fer%402%3A3"


def assert_no_secret(*texts):
    for text in texts:
        for secret in (PASSWORD, ESCAPED, "hunt"):
            assert secret not in text


@pytest.mark.parametrize("kind", SERVERS)
def test_a_password_works_and_is_seen_nowhere(kind, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    server = Server(kind, user="me", password=PASSWORD)
    with server, Watcher(server.uri(f"me:{ESCAPED}")) as watcher:
        watcher.wait_frames()
        reader = watcher.reader
        assert_no_secret(" ".join(reader.cmdline()), json.dumps(reader.environ()))
        assert_no_secret(watcher.source.name, str(vars(watcher.source)), repr(watcher.source))
        server.kill()
        watcher.wait_message("connection refused")
        assert_no_secret(str(watcher.status))
    assert_no_secret(caplog.text, *capfd.readouterr())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_wrong_password_is_told_and_not_shown(kind, capfd):
    server = Server(kind, user="me", password="right")
    with server, Watcher(server.uri(f"me:{ESCAPED}")) as watcher:
        watcher.wait_message("the user name or password is wrong or missing")
        assert_no_secret(str(watcher.status))
    assert_no_secret(*capfd.readouterr())


def test_a_port_number_is_not_taken_for_an_answer():
    """FFmpeg's complaints quote the port, and 34401 holds a 401."""
    process = StreamProcess()
    try:
        process._clue = "Connection to tcp://127.0.0.1:34401 failed: Connection refused"
        assert process.clue().startswith("connection refused")
        process._clue = "[rtsp @ 0x404] method DESCRIBE failed: 401 Unauthorized"
        assert process.clue() == "the user name or password is wrong or missing"
        process._clue = "something new about rtsp://me:hunter2@host"
        assert not process.clue()
    finally:
        process.close()
        process.close()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://host/path", "rtsp://host/path"),
        ("RTSP://host:554/a/b", "rtsp://host:554/a/b"),
        ("rtsp://me:pw@host:554/a", "rtsp://host:554/a"),
        ("rtsp://me:p@w@host/a", "rtsp://host/a"),
        ("http://host/video?user=me&pwd=pw", "http://host/video"),
        ("http://host/video#pw", "http://host/video"),
        ("rtsp://host/user=me&password=pw&channel=1/0", "rtsp://host/…/0"),
        ("rtsp://me:p/w@host/a", "rtsp://…"),
        ("rtsp://me:p?w@host/a", "rtsp://…"),
        ("rtsp://me:p#w@host/a", "rtsp://…"),
        ("rtsp://a:b@c/d@host/a", "rtsp://…"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("udp://:5000", "udp://:5000"),
    ],
)
def test_the_public_name_of_an_address(uri, shown):
    assert public_name(uri) == shown


def test_a_secret_hides_itself():
    secret = Secret("rtsp://me:pw@host")
    assert "pw" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "rtsp://me:pw@host"


def test_an_address_that_cannot_be_parsed_is_not_quoted():
    with pytest.raises(SourceError) as caught:
        check_stream_uri("rtsp://me:hunter2@host:not-a-port/x")
    assert "hunter2" not in str(caught.value)
    # urlsplit's own error quotes the port; with --debug a chained one would be printed.
    assert caught.value.__context__ is None


# --- the parts ------------------------------------------------------------------------------


def test_backoff_doubles_to_1_s_while_the_outage_is_young_and_to_8_s_later():
    backoff = Backoff(StreamLimits())
    assert [backoff.next_s(now_s=0, jitter=0) for _ in range(4)] == [0.5, 1.0, 1.0, 1.0]
    assert [backoff.next_s(now_s=200, jitter=0) for _ in range(5)] == [2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff.next_s(now_s=200, jitter=1) == 6.0, "jitter takes up to a quarter off"
    assert backoff.num_tries == 10
    backoff.reset()
    assert backoff.next_s(now_s=300, jitter=0) == 0.5


@pytest.fixture(scope="module")
def child():
    """The reader's program as a module; the parent never imports it."""
    path = ROOT / "rtvis" / "sources" / "stream_child.py"
    spec = importlib.util.spec_from_file_location("stream_child", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakeCapture:
    """A webcam that is plugged in; there is none on the machines that run the tests."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.wishes = []

    def isOpened(self):
        return True

    def set(self, key, value):
        self.wishes.append((key, value))


@pytest.mark.parametrize(
    ("size", "wishes"),
    [
        (None, []),
        ((480, 640), [(cv2.CAP_PROP_FRAME_WIDTH, 640), (cv2.CAP_PROP_FRAME_HEIGHT, 480)]),
        (
            (720, 1280),
            [
                (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
                (cv2.CAP_PROP_FRAME_WIDTH, 1280),
                (cv2.CAP_PROP_FRAME_HEIGHT, 720),
            ],
        ),
    ],
)
def test_a_webcam_is_asked_for_its_size_and_for_mjpg_where_it_is_large(
    child, monkeypatch, size, wishes
):
    monkeypatch.setattr(child.cv2, "VideoCapture", FakeCapture)
    capture = child.open_capture({"target": 3, "size": size})
    assert capture.arguments[0] == 3
    assert capture.wishes == wishes


@pytest.mark.parametrize(
    ("pixel", "rgb"),
    [
        (np.uint8([1, 2, 3]), [3, 2, 1]),
        (np.uint8([1, 2, 3, 4]), [3, 2, 1]),
        (np.uint8([7]), [7, 7, 7]),
        (np.uint16([256, 512, 65535]), [255, 2, 1]),
    ],
)
def test_the_reader_writes_rgb_whatever_the_decoder_gives(child, pixel, rgb):
    image = np.broadcast_to(pixel, (3, 5, len(pixel)))
    out = np.zeros((3, 5, 3), np.uint8)
    child.write_rgb(np.ascontiguousarray(image), out)
    assert (out == rgb).all()
    if len(pixel) == 1:
        out[...] = 0
        child.write_rgb(np.ascontiguousarray(image[:, :, 0]), out)
        assert (out == rgb).all()


def test_places_of_the_ring_are_never_given_twice_and_grow_only_when_all_are_back(child, tmp_path):
    with (tmp_path / "memory").open("w+b") as file:
        ring = child.Ring(file.fileno())
        taken = [ring.take(100) for _ in range(4)]
        assert taken[3] is None
        assert sorted(offset for _, offset in taken[:3]) == [0, 100, 200]
        for slot, _ in taken[:2]:
            ring.give_back(slot)
        assert ring.take(101) is None, "the parent still reads one"
        ring.give_back(taken[2][0])
        slots = dict(ring.take(101) for _ in range(3))
        assert sorted(slots.values()) == [0, 101, 202]
        assert file.seek(0, 2) == 303


def test_an_unplugged_webcam_is_reported_and_asked_for_again(monkeypatch):
    """There is no /dev/video987: the reader tries to open it all the same."""
    source = StreamSource(987, name="camera 987", limits=StreamLimits(retry_s=0.05))
    with source:
        source.start(LatestSlot())
        wait_for(lambda: source.status().state == "reconnecting", limit_s=10, what="the report")
        message = source.status().message
        assert message.startswith("the camera cannot be opened; is it plugged in")
        assert "its number?" in message
        wait_for(lambda: "(2 times" in source.status().message, limit_s=10, what="a second try")


def test_a_film_on_a_server_keeps_its_time_and_ends(tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(30):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with Watcher(f"http://127.0.0.1:{port}/film.avi") as watcher:
            times = []
            for _ in itertools.count():
                frame = next_frame(watcher.source, watcher.slot, timeout_s=10)
                if frame is None:
                    break
                times.append((frame.captured_ns / 1e9, frame.pts_seconds))
            assert watcher.status.state == "ended"
            assert watcher.source.num_frames == 30
    finally:
        server.kill()
        server.wait()
    (first_s, first_pts), (last_s, last_pts) = times[0], times[-1]
    assert last_s - first_s == pytest.approx(last_pts - first_pts, abs=0.15)
    assert last_pts == pytest.approx(29 / 25, abs=0.05)

"""Films: they play, keep time, and a disk that refuses leaves nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtvis.data import ClosedEvent, Picture
from rtvis.errors import SinkError
from rtvis.sinks import recorder as recorder_module
from rtvis.sinks.recorder import CODECS, Recorder
from tests.waiting import wait_for

MS = 1_000_000


def picture(level: int, size: tuple[int, int] = (480, 640)) -> Picture:
    canvas_HW3 = np.full((*size, 3), level, np.uint8)
    return Picture(canvas_HW3=canvas_HW3, seq=level, frame_seq=level, captured_ns=0)


def play(path: Path) -> list[np.ndarray]:
    """Every frame of the film."""
    capture = cv2.VideoCapture(str(path))
    assert capture.isOpened(), f"{path} does not play"
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames


def levels(path: Path) -> list[int]:
    """The grey level in the middle of each frame."""
    return [int(frame[frame.shape[0] // 2, frame.shape[1] // 2, 0]) for frame in play(path)]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def settle(recorder: Recorder) -> None:
    """Wait until the encoder has taken everything."""
    wait_for(lambda: recorder._writer.is_empty)


@pytest.mark.parametrize("suffix", CODECS)
def test_pace_fast_writes_each_picture_once_in_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    with Recorder(path, pace="fast") as recorder:
        for level in range(0, 240, 4):
            recorder.show(picture(level))
    seen = levels(path)
    assert len(seen) == recorder.num_written == 60
    assert recorder.num_dropped == 0
    assert max(abs(a - b) for a, b in zip(seen, range(0, 240, 4), strict=True)) <= 6
    assert (recorder.fault, recorder.exists) == ("", True)


def test_pace_live_repeats_and_skips_to_keep_real_time(tmp_path: Path) -> None:
    # 25 frames a second: 40 ms each. 50 at 0 ms, 100 and 150 within one frame time, then nothing
    # for a fifth of a second, then 200, and the end at 400 ms.
    clock = Clock()
    with Recorder(tmp_path / "film.mp4", fps=25, now_ns=clock) as recorder:
        for at_ms, level in ((0, 50), (80, 100), (90, 150), (280, 200)):
            clock.now = at_ms * MS
            recorder.show(picture(level))
            settle(recorder)
        clock.now = 400 * MS
    seen = levels(tmp_path / "film.mp4")
    assert [round(level / 50) * 50 for level in seen] == [50] * 2 + [150] * 5 + [200] * 3


def test_a_film_in_real_time_is_as_long_as_it_took(tmp_path: Path) -> None:
    with Recorder(tmp_path / "film.mp4", fps=25) as recorder:
        started_s = time.monotonic()
        while time.monotonic() - started_s < 0.6:
            recorder.show(picture(90))
            time.sleep(0.004)
        time.sleep(0.4)  # paused: nothing new to show
        lasted_s = time.monotonic() - started_s
    assert abs(len(play(tmp_path / "film.mp4")) - 25 * lasted_s) <= 3


@pytest.mark.parametrize("size", [(481, 641), (480, 641), (481, 640), (799, 1279)])
def test_odd_sizes_gain_a_line_of_background(tmp_path: Path, size: tuple[int, int]) -> None:
    with Recorder(tmp_path / "film.mp4", pace="fast") as recorder:
        recorder.show(picture(200, size))
    (frame,) = play(tmp_path / "film.mp4")
    assert frame.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert abs(int(frame[100, 100, 0]) - 200) <= 4


def test_a_canvas_of_another_size_is_fitted_into_the_film(tmp_path: Path) -> None:
    with Recorder(tmp_path / "film.mp4", pace="fast") as recorder:
        recorder.show(picture(100, (480, 640)))
        recorder.show(picture(200, (960, 640)))  # half as wide: bars of 200 pixels at both sides
    first, second = play(tmp_path / "film.mp4")
    assert first.shape == second.shape == (480, 640, 3)
    assert abs(int(second[240, 320, 0]) - 200) <= 4
    assert second[240, 100].max() < 16
    assert second[240, 540].max() < 16


def test_a_slow_encoder_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    recorder = Recorder(tmp_path / "film.mp4", now_ns=clock)
    write = recorder._write
    monkeypatch.setattr(recorder, "_write", lambda film: (time.sleep(0.05), write(film)))
    for level in range(40):
        clock.now += 40 * MS
        recorder.show(picture(level))
    recorder.close()
    assert recorder.num_dropped > 20
    assert f"{recorder.num_dropped} dropped" in recorder.note()
    assert recorder.fault == ""
    assert len(play(tmp_path / "film.mp4")) == recorder.num_written


def test_an_encoder_that_stays_behind_leaves_time_out_and_ends_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_MOST_BEHIND_S", 0.0)  # it is always behind
    clock = Clock()
    recorder = Recorder(tmp_path / "film.mp4", fps=25, now_ns=clock)
    for level in range(6):  # one each ten minutes: 75,000 frames in all
        recorder.show(picture(level * 40))
        settle(recorder)
        clock.now += 600 * 1000 * MS
    recorder.close()
    seen = levels(tmp_path / "film.mp4")
    assert [round(level / 40) for level in seen] == list(range(6))
    assert recorder.omitted_s == pytest.approx(3600 - 6 / 25)
    assert recorder.note() == "film.mp4 0 s, 3600 s left out"


def test_nothing_is_at_the_path_before_the_film_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("an older film")
    recorder = Recorder(path, pace="fast")
    recorder.show(picture(1))
    settle(recorder)
    assert path.read_text() == "an older film"
    assert not recorder.exists
    recorder.close()
    assert len(play(path)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_without_pictures_leaves_no_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "film.mp4")
    recorder.close()
    recorder.close()
    recorder.show(picture(1))
    assert not recorder.exists
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("film.gif", "cannot be written as '.gif'; name it with one of .mp4"),
        ("film", "name it with one of"),
        ("nowhere/film.mp4", "cannot be written to (No such file or directory)"),
        ("file.txt/film.mp4", "cannot be written to (Not a directory)"),
        ("folder.mp4", "is a folder"),
    ],
)
def test_a_path_that_cannot_be_is_refused_at_once(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SinkError) as caught:
        Recorder(tmp_path / name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file.txt", "folder.mp4"}


def test_a_disk_that_fills_up_ends_the_film_there_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([100 << 20, 50 << 20, *[1 << 20] * 100])
    monkeypatch.setattr("rtvis.sinks.recorder.free_bytes", lambda folder: next(left))
    recorder = Recorder(tmp_path / "film.mp4", pace="fast")
    for level in range(100):
        recorder.show(picture(level))
    (event,) = recorder.poll(5)
    assert isinstance(event, ClosedEvent)
    assert "the disk is full: the film ends here" in event.reason
    assert recorder.poll() == [], "told once"
    recorder.close()
    assert recorder.exists
    assert len(play(tmp_path / "film.mp4")) == 50, "looked at after 25 and after 50 frames"


def test_a_disk_that_is_full_already_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtvis.sinks.recorder.free_bytes", lambda folder: 1000)
    with pytest.raises(SinkError, match="the disk is full"):
        Recorder(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_is_slow_is_waited_for_as_long_as_it_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(
        tmp_path / "film.mp4", pace="fast", on_frame=lambda _: time.sleep(0.1), patience_s=0.5
    )
    for level in range(8):  # so many find room at once
        recorder.show(picture(level))
    started_s = time.monotonic()
    recorder.close()
    assert time.monotonic() - started_s > 0.5, "or it proves nothing"
    assert recorder.fault == ""
    assert recorder.exists
    assert len(play(tmp_path / "film.mp4")) == 8


def test_a_disk_that_does_not_answer_is_given_up_and_an_older_film_stays(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"older")
    answers = threading.Event()
    recorder = Recorder(path, pace="fast", on_frame=lambda _: answers.wait(), patience_s=0.3)
    try:
        recorder.show(picture(1))
        recorder.close()
        assert not recorder.exists, "the film that lies there is an older one"
        assert recorder.fault.startswith(f"{path}: the disk does not answer; what was written is")
        assert path.read_bytes() == b"older"
    finally:
        answers.set()


NOISE = """
import sys, numpy as np
from rtvis.sinks.recorder import Recorder
from rtvis.data import Picture
rng = np.random.default_rng(0)
{limit}
recorder = Recorder(sys.argv[1], pace="fast")
for i in range(200):
    canvas = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    recorder.show(Picture(canvas_HW3=canvas, seq=i, frame_seq=i, captured_ns=0))
recorder.close()
print(recorder.exists, recorder.num_written, recorder.fault)
"""


def record_noise(path: Path, limit: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", NOISE.format(limit=limit), str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_quota_that_refuses_to_write_leaves_no_broken_film(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))"
    said = record_noise(tmp_path / "film.mp4", limit)
    assert said.startswith("False 0")
    assert "frames could be written (disk or quota full?); the film was removed" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_real_disk_that_fills_up_keeps_a_film_that_plays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("not allowed to mount")
    try:
        said = record_noise(disk / "film.mp4")
        assert "the disk is full: the film ends here" in said
        num_written = int(said.split()[1])
        assert 25 <= num_written < 200
        assert len(play(disk / "film.mp4")) == num_written
        assert [path.name for path in disk.iterdir()] == ["film.mp4"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_encoder_that_will_not_open_is_a_fault_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CODECS, ".mp4", "nope")
    recorder = Recorder(tmp_path / "film.mp4", pace="fast")
    for level in range(30):
        recorder.show(picture(level))
    recorder.close()
    assert "this OpenCV has no encoder for nope" in recorder.fault
    assert list(tmp_path.iterdir()) == []

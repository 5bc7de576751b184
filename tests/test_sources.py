"""Pictures, folders and films: their pixels, their order, their clock, and what cannot be read."""

import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rtvis.errors import SourceError
from rtvis.slot import LatestSlot
from rtvis.sources import demo_path, next_frame, open_source, read_image
from rtvis.sources.pixels import rgb_from_bgr
from tests.waiting import wait_for

ROOT = Path(__file__).parent.parent
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


def quarters(height, width):
    """RGB: red and green above, blue and grey below. Tells every turn and every swap apart."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = RED
    image[: height // 2, width // 2 :] = GREEN
    image[height // 2 :, : width // 2] = BLUE
    image[height // 2 :, width // 2 :] = GREY
    return image


def corners(image):
    """The colours in the middle of the quarters, row by row, as the nearest of the four."""
    height, width = image.shape[:2]
    names = {"red": RED, "green": GREEN, "blue": BLUE, "grey": GREY}
    found = []
    for row in (height // 4, 3 * height // 4):
        for column in (width // 4, 3 * width // 4):
            pixel = image[row, column].astype(int)
            found.append(min(names, key=lambda name: np.abs(pixel - names[name]).sum()))
    return found


def all_frames(uri, **options):
    """Every frame of a finite source, and its last status."""
    slot = LatestSlot()
    with open_source(uri, pace="fast", **options) as source:
        source.start(slot)
        frames = []
        while (frame := next_frame(source, slot)) is not None:
            frames.append(frame)
        return frames, source.status()


def write_film(path, images, *, codec="MJPG", fps=25.0, in_colour=True):
    height, width = images[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height), in_colour)
    assert writer.isOpened()
    for image in images:
        writer.write(image)
    writer.release()


# --- pixels ---------------------------------------------------------------------------------


def test_16_bits_are_scaled_so_that_black_white_and_the_middle_stay():
    image = np.array([[0, 257, 128 * 257, 65535, 100, 200]], np.uint16)
    # 100 / 257 = 0.39 -> 0 and 200 / 257 = 0.78 -> 1.
    assert rgb_from_bgr(image)[0, :, 0].tolist() == [0, 1, 128, 255, 0, 1]


def test_floats_from_0_to_1_are_scaled_and_the_rest_is_clipped():
    image = np.array([[0.0, 0.5, 1.0, 7.0, -1.0, np.nan]], np.float32)
    assert rgb_from_bgr(image)[0, :, 1].tolist() == [0, 128, 255, 255, 0, 0]


def test_grey_becomes_three_equal_channels_and_alpha_is_dropped():
    grey = rgb_from_bgr(np.array([[[9]]], np.uint8))
    assert grey.tolist() == [[[9, 9, 9]]]
    assert rgb_from_bgr(np.array([[[1, 2, 3, 0]]], np.uint8)).tolist() == [[[3, 2, 1]]]


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2), np.int64), np.zeros((2,), np.uint8)]
)
def test_other_shapes_and_types_are_refused(image):
    with pytest.raises(SourceError):
        rgb_from_bgr(image)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff", "webp", "ppm"])
def test_red_is_red_in_every_format(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(quarters(48, 64)).save(path)
    assert corners(read_image(path)) == ["red", "green", "blue", "grey"]


@pytest.mark.parametrize(
    ("mode", "pixel"),
    [("1", 255), ("L", 200), ("P", None), ("RGBA", (10, 20, 30, 0)), ("LA", (40, 9)),
     ("I;16", 200 * 257), ("CMYK", (0, 0, 0, 0))],
)  # fmt: skip
def test_every_kind_of_pixel_is_read(tmp_path, mode, pixel):
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    if mode == "P":
        image = Image.new("RGB", (5, 3), (10, 20, 30)).quantize(4)
    else:
        image = Image.new(mode, (5, 3), pixel)
    image.save(path)
    expected = {"1": (255,) * 3, "L": (200,) * 3, "P": (10, 20, 30), "RGBA": (10, 20, 30),
                "LA": (40,) * 3, "I;16": (200,) * 3, "CMYK": (255,) * 3}[mode]  # fmt: skip
    image = read_image(path)
    assert image.shape == (3, 5, 3)
    assert np.abs(image.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, ["red", "green", "blue", "grey"]),
        (2, ["green", "red", "grey", "blue"]),
        (3, ["grey", "blue", "green", "red"]),
        (4, ["blue", "grey", "red", "green"]),
        (5, ["red", "blue", "green", "grey"]),
        (6, ["blue", "red", "grey", "green"]),
        (7, ["grey", "green", "blue", "red"]),
        (8, ["green", "grey", "red", "blue"]),
    ],
)
def test_exif_orientation_is_obeyed(tmp_path, orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Image.fromarray(quarters(32, 64)).save(path, exif=exif, quality=95)
    image = read_image(path)
    assert image.shape[:2] == ((32, 64) if orientation < 5 else (64, 32))
    assert corners(image) == expected


# --- folders and steps ----------------------------------------------------------------------


def write_pictures(folder, names):
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 10 * index, np.uint8))


def test_a_folder_is_in_the_order_of_its_numbers(tmp_path):
    write_pictures(tmp_path, ["10.png", "2.PNG", "1.jpg", "b7.png", "B10.png"])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture either")
    (tmp_path / "folder.png").mkdir()
    frames, _ = all_frames(tmp_path)
    assert [frame.name for frame in frames] == ["1.jpg", "2.PNG", "10.png", "b7.png", "B10.png"]


def test_a_glob_goes_through_folders(tmp_path):
    write_pictures(tmp_path / "a", ["1.png"])
    write_pictures(tmp_path / "b", ["1.png", "2.jpg"])
    frames, _ = all_frames(f"{tmp_path}/**/*.png")
    assert [frame.name for frame in frames] == ["1.png", "1.png"]


def test_a_broken_picture_in_a_folder_is_passed_over_and_told(tmp_path):
    write_pictures(tmp_path, ["1.png", "3.png"])
    (tmp_path / "2.png").write_bytes(b"broken")
    (tmp_path / "4.png").write_bytes(b"")
    frames, status = all_frames(tmp_path)
    assert [frame.name for frame in frames] == ["1.png", "3.png"]
    assert status.state == "ended"
    assert status.message.startswith("2 of 4 passed over: ")
    assert "4.png: the file is empty" in status.message


def test_steps_go_on_and_back_round_the_end_and_see_new_files(tmp_path):
    write_pictures(tmp_path, ["1.png", "2.png", "4.png"])
    slot = LatestSlot()
    with open_source(tmp_path) as source:
        source.start(slot)

        def shown(step):
            if step:
                source.step(step)
            frame = next_frame(source, slot, timeout_s=5)
            assert frame is not None
            return frame.seq, frame.name

        assert shown(0) == (0, "1.png")
        assert slot.take(timeout_s=0.2) is None, "a folder waits for the next step"
        assert shown(1) == (1, "2.png")
        write_pictures(tmp_path, ["3.png"])
        assert shown(1) == (2, "3.png")
        assert shown(2) == (3, "1.png")
        assert shown(-1) == (4, "4.png")
        (tmp_path / "3.png").write_bytes(b"broken")
        assert shown(-1) == (5, "2.png")
        assert "passed over" in source.status().message
        for name in "1234":
            (tmp_path / f"{name}.png").unlink()
        source.step(1)
        wait_for(lambda: "no such file" in source.status().message, limit_s=5, what="the reason")
        assert source.status().state == "live"
        assert slot.take(timeout_s=0.1) is None


# --- films ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "suffix"), [("MJPG", "avi"), ("mp4v", "mp4"), ("FFV1", "mkv")])
def test_red_is_red_in_a_film(tmp_path, codec, suffix):
    path = tmp_path / f"film.{suffix}"
    write_film(path, [quarters(64, 96)[:, :, ::-1]] * 3, codec=codec)
    frames, _ = all_frames(path)
    assert len(frames) == 3
    assert corners(frames[2].image_HW3) == ["red", "green", "blue", "grey"]


def test_a_film_is_known_by_its_content_not_by_its_name(tmp_path):
    write_film(tmp_path / "film.avi", [quarters(64, 96)] * 3)
    (tmp_path / "film.avi").rename(tmp_path / "film.png")
    Image.fromarray(quarters(8, 8)).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    assert len(all_frames(tmp_path / "film.png")[0]) == 3
    assert len(all_frames(tmp_path / "picture.mp4")[0]) == 1


def test_an_animated_gif_is_a_film(tmp_path):
    pictures = [Image.new("RGB", (20, 10), colour) for colour in (RED, BLUE, GREEN)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=40)
    frames, _ = all_frames(tmp_path / "a.gif")
    assert [frame.image_HW3[5, 10].argmax() for frame in frames] == [0, 2, 1]


@pytest.mark.parametrize(
    ("kind", "planes"),
    [
        ("C444", bytes([90]) * (51 * 67) + bytes([128]) * (2 * 51 * 67)),
        ("C420jpeg", bytes([90]) * (51 * 67) + bytes([128]) * (2 * 26 * 34)),
        ("Cmono", bytes([90]) * (51 * 67)),
        ("Cmono16", bytes([0, 90]) * (51 * 67)),
    ],
)
def test_odd_sizes_grey_and_16_bit_films_keep_their_shape(tmp_path, kind, planes):
    """A film without compression, written by hand; luma 90 of 16..235 is grey 86."""
    path = tmp_path / "film.y4m"
    path.write_bytes(b"YUV4MPEG2 W67 H51 F25:1 Ip %b\n" % kind.encode() + 2 * (b"FRAME\n" + planes))
    frames, _ = all_frames(path)
    assert len(frames) == 2
    image = frames[1].image_HW3.astype(int)
    assert image.shape == (51, 67, 3)
    # (90 - 16) * 255 / 219 = 86.2; what has the full range stays 90.
    assert np.abs(image - 88).max() <= 3


def test_a_phone_held_upright_is_turned(tmp_path):
    """The mp4 track header's matrix says: turn by 90 degrees, clockwise."""
    path = tmp_path / "film.mp4"
    write_film(path, [quarters(64, 96)[:, :, ::-1]] * 3, codec="mp4v")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    plain = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    assert data[matrix : matrix + 36] == plain
    turn = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 64 << 16, 0, 0x40000000)
    data[matrix : matrix + 36] = turn
    path.write_bytes(data)
    frames, _ = all_frames(path)
    assert frames[0].image_HW3.shape == (96, 64, 3)
    assert corners(frames[0].image_HW3) == ["blue", "red", "grey", "green"]


def write_counting_film(path, num_frames, fps=25.0):
    """Frame i is grey with the value 4 i."""
    images = [np.full((32, 32, 3), 4 * index, np.uint8) for index in range(num_frames)]
    write_film(path, images, codec="FFV1", fps=fps)


def test_fast_loses_nothing_however_slow_the_reader_is(tmp_path):
    write_counting_film(tmp_path / "film.mkv", 30)
    slot = LatestSlot()
    values, positions = [], []
    with open_source(tmp_path / "film.mkv", pace="fast") as source:
        source.start(slot)
        while (frame := next_frame(source, slot)) is not None:
            values.append(round(frame.image_HW3.mean() / 4))
            positions.append(frame.pts_seconds)
            time.sleep(0.02 if len(values) % 7 == 0 else 0)
    assert values == list(range(30))
    assert positions == pytest.approx([index / 25 for index in range(30)], abs=2e-3)
    assert slot.num_dropped == 0


def test_live_keeps_the_films_time_and_drops_what_a_slow_reader_misses(tmp_path):
    write_counting_film(tmp_path / "film.mkv", 26)
    slot = LatestSlot()
    taken = []
    with open_source(tmp_path / "film.mkv") as source:
        began = time.monotonic()
        source.start(slot)
        while (frame := next_frame(source, slot)) is not None:
            taken.append(frame)
            time.sleep(0.15)
        status = source.status()
        took_s = time.monotonic() - began
    # The last of 26 frames comes after 25 / 25 = 1 s.
    assert 0.95 < took_s < 1.6
    assert 5 <= len(taken) <= 12
    for frame in taken:
        assert round(frame.image_HW3.mean() / 4) == frame.seq
        assert (frame.captured_ns / 1e9 - began) == pytest.approx(frame.pts_seconds, abs=0.15)
    assert taken[-1].seq == 25
    assert len(taken) + slot.num_dropped == status.num_captured


def test_a_film_that_is_cut_short_ends_and_says_so(tmp_path):
    images = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(40)]
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    write_film(whole, images)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    try:
        frames, status = all_frames(cut)
    except SourceError as error:
        frames, message = [], str(error)
    else:
        assert status.state == "ended"
        message = status.message
    assert "damaged or incomplete" in message or "or it is damaged" in message
    assert len(frames) < 25


def test_a_clip_whose_tail_is_missing_shows_its_head_first(tmp_path):
    """The bundled clip has its index in front, so its head can be read."""
    data = demo_path().read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 3])
    frames, status = all_frames(path)
    assert 20 < len(frames) < 250
    assert status.state == "ended"
    assert f"damaged or incomplete: {len(frames)} of 500" in status.message


def test_demo_is_the_bundled_clip():
    slot = LatestSlot()
    with open_source("demo") as source:
        assert (source.name, source.size, source.num_frames) == ("demo", (360, 640), 500)
        source.start(slot)
        assert next_frame(source, slot, timeout_s=5) is not None


def test_every_sample_has_its_licence_and_is_small():
    folder = ROOT / "sample_images"
    text = (folder / "LICENSES.md").read_text(encoding="utf-8")
    samples = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".md"]
    assert len(samples) >= 8
    for path in samples:
        assert f"| `{path.name}` |" in text, f"{path.name} has no licence"
        limit = 1.5e6 if path.suffix == ".mp4" else 3e5
        assert path.stat().st_size < limit


# --- what cannot be read --------------------------------------------------------------------


def refusal(uri, **options):
    """The one line that opening it fails with."""
    with pytest.raises(SourceError) as caught:
        open_source(uri, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "there is no such file or folder"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("this is no film\n" * 99), "is a text file"),
        (lambda path: path.write_text("hi"), "is a text file"),
        (lambda path: path.write_bytes(os.urandom(5000)), "neither a picture nor a film"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 99), "cannot be decoded"),
        (lambda path: path.write_bytes(demo_path().read_bytes()[:3000]), "damaged"),
        (lambda path: path.write_bytes(demo_path().read_bytes()[9000:]), "damaged"),
        (lambda path: path.mkdir(), "no pictures in this folder"),
        (os.mkfifo, "is neither a file nor a folder"),
    ],
    ids=["missing", "empty", "text", "two letters", "noise", "broken png", "no frame", "no head",
         "empty folder", "fifo"],
)  # fmt: skip
def test_a_file_that_cannot_be_shown_is_refused_in_one_line(tmp_path, make, found, capfd):
    path = tmp_path / "input.mp4"
    make(path)
    message = refusal(path)
    assert message.startswith(str(path))
    assert found in message
    assert ";" in message, "it says what would do"


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("htp://host/x", "unknown scheme 'htp'; nearest is 'http'"),
        ("gopher://host/x", "unknown scheme 'gopher'"),
        ("rtsp://", "not a valid address"),
        ("rtsp://host:99999/x", "not a valid address"),
        ("rtsp://host:port/x", "not a valid address"),
        ("http://host/a b", "not a valid address"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("/no/such/*.png", "matches no file"),
        ("/no\0thing", "not a name that a file can have"),
        ("x" * 5000, "name a readable file"),
        ("-1", "camera -1"),
        ("987", "camera 987: there is no /dev/video987"),
        ("/dev/video987", "camera 987: there is no /dev/video987"),
        (str(ROOT / "sample_images" / "*.md"), "none of them a picture"),
    ],
)
def test_a_name_that_means_nothing_is_refused_in_one_line(uri, found):
    assert found in refusal(uri)


def test_a_wrong_webcam_number_names_what_would_do():
    message = refusal(987)
    assert "there are: " in message or "this machine has none; name a file" in message


def test_a_socket_is_no_film(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert "neither a file nor a folder" in refusal(tmp_path / "s")


def test_an_unreadable_folder_or_file_is_refused(tmp_path):
    """Root may read everything, so root runs this as somebody else."""
    closed = tmp_path / "closed"
    write_pictures(closed, ["1.png"])
    shutil.copy(closed / "1.png", tmp_path / "closed.png")
    closed.chmod(0)
    (tmp_path / "closed.png").chmod(0)
    code = (
        "import os, sys\n"
        "from rtvis.errors import SourceError\n"
        "from rtvis.sources import open_source\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "for uri in sys.argv[1:]:\n"
        "    try: open_source(uri)\n"
        "    except SourceError as error: print(error)\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == Path("/").owner() and folder != Path("/tmp"):
            mode = stat.S_IMODE(folder.stat().st_mode)
            if folder.is_relative_to("/tmp") and not mode & 1:
                folder.chmod(mode | 0o055)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code, str(closed), str(tmp_path / "closed.png")],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
    finally:
        closed.chmod(0o700)
    folder_line, file_line = ran.stdout.splitlines()
    assert "no permission to read this folder" in folder_line
    assert "Permission denied; name a file that you may read" in file_line


def test_a_password_in_a_mistyped_address_is_not_repeated():
    for uri in ("rtsp:/me:hunter2@host/x", "me:hunter2@host", "rtps://me:hunter2@host/x",
                "rtsp://me:hun/ter2@host/x", "rtsp://me:hunter2@host:no/x"):  # fmt: skip
        message = refusal(uri)
        assert "hunter2" not in message
        assert "ter2" not in message


# --- the slot -------------------------------------------------------------------------------


def test_wait_empty_ends_when_the_value_is_taken_or_the_slot_closed():
    slot = LatestSlot()
    assert slot.wait_empty(timeout_s=0)
    slot.put(1)
    assert not slot.wait_empty(timeout_s=0.01)
    for act in (slot.take, slot.close):
        slot.put(1)
        timer = threading.Timer(0.05, act)
        timer.start()
        began = time.monotonic()
        assert slot.wait_empty(timeout_s=5)
        assert time.monotonic() - began < 2
        timer.join()

"""Where a source begins: a film at a time of it, a folder at one of its pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rtvis.data import Frame
from rtvis.errors import SourceError
from rtvis.slot import LatestSlot
from rtvis.sources import demo_path, next_frame, open_source
from rtvis.sources import video as video_module
from rtvis.sources.images import find_name


def frames_of(uri: object, limit: int = 10_000, **options: object) -> list[Frame]:
    """The first frames of a finite source."""
    slot: LatestSlot[Frame] = LatestSlot()
    with open_source(str(uri), pace="fast", **options) as source:
        source.start(slot)
        frames: list[Frame] = []
        while len(frames) < limit and (frame := next_frame(source, slot)) is not None:
            frames.append(frame)
        return frames


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 frames at 25 a second; each is as bright as its number."""
    path = tmp_path_factory.mktemp("film") / "count.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for level in range(200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path


def level(frame: Frame) -> int:
    return round(float(frame.image_HW3.mean()))


@pytest.mark.parametrize("index", [1, 3, 50, 51, 77, 150, 198, 199])
def test_a_film_begins_at_the_frame_of_that_time_and_counts_from_there(
    film: Path, index: int
) -> None:
    first = frames_of(film, 1, start_seconds=index / 25)[0]
    assert abs(level(first) - index) <= 1, "JPEG may change a grey level by one"
    assert first.seq == 0
    assert first.pts_seconds == pytest.approx(index / 25)
    assert first.path == film


def test_between_two_frames_the_later_one_is_the_beginning(film: Path) -> None:
    (first,) = frames_of(film, 1, start_seconds=100.5 / 25)
    assert abs(level(first) - 101) <= 1


def test_the_rest_of_the_film_follows(film: Path) -> None:
    frames = frames_of(film, start_seconds=190 / 25)
    assert [frame.seq for frame in frames] == list(range(10))
    assert [round((frame.pts_seconds or 0) * 25) for frame in frames] == list(range(190, 200))
    with open_source(str(film), start_seconds=190 / 25) as source:
        assert source.num_frames == 10


def test_a_loop_goes_on_from_the_films_own_beginning(film: Path) -> None:
    frames = frames_of(film, 4, start_seconds=198 / 25, loop=True)
    assert [round((frame.pts_seconds or 0) * 25) for frame in frames] == [198, 199, 0, 1]


def test_the_frame_is_the_same_as_when_the_film_plays_up_to_it() -> None:
    # Predicted frames: a decoder that begins in between would show something else.
    played = frames_of(demo_path(), 130)
    for index in (60, 97, 128):
        (sought,) = frames_of("demo", 1, start_seconds=played[index].pts_seconds)
        assert sought.pts_seconds == played[index].pts_seconds
        np.testing.assert_array_equal(sought.image_HW3, played[index].image_HW3)


@pytest.mark.parametrize("landed", [None, 120.0])
def test_a_film_that_cannot_be_jumped_in_is_gone_through(
    film: Path, landed: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A jump that fails, or lands behind the wanted frame, must not be believed.
    opened = video_module._open
    tried = []

    class Stubborn:
        def __init__(self, path: Path) -> None:
            self._capture = opened(path)

        def __getattr__(self, name: str) -> object:
            return getattr(self._capture, name)

        def set(self, key: int, value: float) -> bool:
            tried.append(value)
            if landed is None:
                return False
            return bool(self._capture.set(cv2.CAP_PROP_POS_MSEC, landed / 25 * 1e3))

    monkeypatch.setattr(video_module, "_open", Stubborn)
    (first,) = frames_of(film, 1, start_seconds=100 / 25)
    assert tried == [pytest.approx(3000.0)]
    assert abs(level(first) - 100) <= 1


def test_a_start_behind_the_end_says_where_the_film_ends(film: Path) -> None:
    with pytest.raises(SourceError, match=r"count.avi: ends at 8.00 s, before the start at 9 s"):
        frames_of(film, start_seconds=9.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.png", "2.png", "10.png", "b/2.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), len(name), np.uint8)).save(path)
    return tmp_path / "pictures"


def test_a_folder_begins_with_the_picture_of_that_name(folder: Path) -> None:
    frames = frames_of(folder, picture="2.png")
    assert [frame.name for frame in frames] == ["2.png", "10.png"]
    assert frames[0].path == folder / "2.png"


def test_of_two_pictures_with_one_name_more_of_the_path_tells(folder: Path) -> None:
    (first, *_) = frames_of(folder / "**" / "*.png", picture="b/2.png")
    assert first.path == folder / "b" / "2.png"


def test_a_picture_that_is_not_there_names_the_nearest(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no picture '1.jpg'; nearest is '1.png'"):
        frames_of(folder, picture="1.jpg")
    assert find_name("10.png", [folder / "1.png", folder / "10.png"], "x") == 1, "not a mere end"


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("pictures", {"start_seconds": 1.0}, "pictures: is no film"),
        ("rtsp://a/b", {"start_seconds": 0.0}, "rtsp://a/b: is no film"),
        ("rtsp://a/b", {"picture": "x.png"}, "has no picture 'x.png'"),
        ("demo", {"picture": "x.png"}, "demo: has no picture 'x.png'"),
        ("0", {"start_seconds": 1.0}, "camera 0: is no film"),
    ],
)
def test_a_place_that_a_source_cannot_have_is_refused(
    folder: Path,
    uri: str,
    options: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(SourceError, match=message):
        open_source(uri, **options)

"""List files, folders that change, names that match, and what is done to a stream's frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rtvis.data import Frame
from rtvis.errors import SourceError
from rtvis.slot import LatestSlot
from rtvis.sources import Source, next_frame, open_source
from rtvis.sources.lists import ListRow, read_list
from rtvis.sources.retouch import Retouch


def write_pictures(folder: Path, *names: str) -> None:
    """Grey pictures of 8x8, the first of level 0, the second of level 10 ..."""
    folder.mkdir(exist_ok=True, parents=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 10 * index, np.uint8))


def all_frames(uri: Path | str, **options: object) -> list[Frame]:
    """Every frame of a finite source."""
    slot: LatestSlot[Frame] = LatestSlot()
    with open_source(uri, pace="fast", **options) as source:  # type: ignore[arg-type]
        source.start(slot)
        frames = []
        while (frame := next_frame(source, slot)) is not None:
            frames.append(frame)
        return frames


def names(frames: list[Frame]) -> list[str]:
    return [frame.name for frame in frames]


class Stepper:
    """A live source of pictures, stepped by hand."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.slot: LatestSlot[Frame] = LatestSlot()
        source.start(self.slot)
        assert next_frame(source, self.slot, timeout_s=5) is not None

    def step(self, count: int) -> str:
        assert self.source.step(count) == "stepped"
        frame = next_frame(self.source, self.slot, timeout_s=5)
        assert frame is not None
        return frame.name


# Lists


def test_a_line_is_names_between_spaces_commas_or_tabs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(
        "\n"
        "# a comment\n"
        "a.png\n"
        "  b.png  label\n"
        "left.png,right.png\n"
        "one.png\ttwo.png , three.png\n"
        "   \t \n"
        "\"a name.png\", 'the other name.png'  # and a comment\n"
        "it's.png #4\n"
        "/abs/c#1.png\n"
    )
    assert read_list(path) == [
        ListRow(line=3, paths=(tmp_path / "a.png",)),
        ListRow(line=4, paths=(tmp_path / "b.png", tmp_path / "label")),
        ListRow(line=5, paths=(tmp_path / "left.png", tmp_path / "right.png")),
        ListRow(line=6, paths=(tmp_path / "one.png", tmp_path / "two.png", tmp_path / "three.png")),
        ListRow(line=8, paths=(tmp_path / "a name.png", tmp_path / "the other name.png")),
        ListRow(line=9, paths=(tmp_path / "it's.png",)),
        ListRow(line=10, paths=(Path("/abs/c#1.png"),)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a.png\n\n"b.png\n', r"list.txt:3: the quote before '\"b.png' has no end"),
        (b'"a.png"b.png\n', "list.txt:1: the quote before"),
        (b'a.png\n"" b.png\n', "list.txt:2: an empty name"),
        (b"a.png\nb\0.png\n", "list.txt:2: an empty name"),
        (b"a.png\nb.png\n\xff\xfe.png\n", "list.txt:3: is not UTF-8 text"),
        (b"~nobody-here/a.png\n", "list.txt:1: .*~nobody-here/a.png: there is no such file"),
        (b"# nothing\n\n", "list.txt: this list names no picture"),
        (b"gone.png\n", "list.txt:1: .*gone.png: there is no such file"),
    ],
)
def test_a_mistake_in_a_list_names_file_and_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "list.txt")


@pytest.mark.parametrize("suffix", ["txt", "LST", "csv"])
def test_a_list_is_a_source_in_its_own_order_relative_to_its_folder(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "some where", "1.png", "2.png")
    write_pictures(tmp_path / "lists", "3.png")
    path = tmp_path / "lists" / f"list.{suffix}"
    absolute = tmp_path / "some where" / "1.png"
    path.write_text(f'3.png,7\n"../some where/2.png" dog\n\n"{absolute}"\n3.png\n', "utf-8-sig")
    monkeypatch.chdir(tmp_path)
    assert names(all_frames(path)) == ["3.png", "2.png", "1.png", "3.png"]


def test_a_missing_picture_of_a_list_is_passed_over_and_told_with_its_line(tmp_path: Path) -> None:
    write_pictures(tmp_path, "1.png", "2.png")
    (tmp_path / "list.txt").write_text("1.png\nmissing.png\n2.png\n")
    with open_source(tmp_path / "list.txt") as source:
        stepper = Stepper(source)
        assert stepper.step(1) == "2.png"
        message = source.status().message
    assert message.startswith(f"passed over {tmp_path}/list.txt:2: {tmp_path}/missing.png: there")


def test_a_list_is_read_again_at_each_step_and_goes_on_where_it_was(tmp_path: Path) -> None:
    write_pictures(tmp_path, *(f"{number}.png" for number in range(1, 6)))
    path = tmp_path / "list.txt"
    path.write_text("1.png\n2.png\n1.png\n3.png\n")
    with open_source(path) as source:
        stepper = Stepper(source)
        shown = [stepper.step(1) for _ in range(4)]
        assert shown == ["2.png", "1.png", "3.png", "1.png"], "a name may come twice"
        path.write_text("5.png\n1.png\n4.png\n2.png\n")
        assert stepper.step(1) == "4.png"
        assert source.num_frames == 4
        path.write_text('"no end\n')
        assert stepper.step(1) == "2.png", "the list as it was"
        assert "list.txt:1: the quote" in source.status().message
        path.write_text("2.png\n3.png\n")
        assert stepper.step(1) == "3.png"
        assert source.status().message == ""


def test_a_text_file_with_a_films_name_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "page.mp4").write_text("<html>not found</html>")
    with pytest.raises(SourceError, match=r"is a text file; .* a list .* ends in \.txt"):
        open_source(tmp_path / "page.mp4")


def test_a_picture_with_a_lists_name_is_a_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, "1.png")
    (tmp_path / "1.png").rename(tmp_path / "1.txt")
    assert len(all_frames(tmp_path / "1.txt")) == 1


# Folders


def test_a_folder_goes_on_at_the_right_place_when_pictures_come_and_go(tmp_path: Path) -> None:
    write_pictures(tmp_path, *(f"{number}.png" for number in (1, 3, 5, 7)))
    with open_source(tmp_path) as source:
        stepper = Stepper(source)
        assert stepper.step(1) == "3.png"
        (tmp_path / "3.png").unlink()
        assert stepper.step(1) == "5.png", "the one after it, not the one after that"
        (tmp_path / "5.png").unlink()
        assert stepper.step(-1) == "1.png"
        write_pictures(tmp_path, "0.png", "2.png")
        assert stepper.step(1) == "2.png"
        assert source.num_frames == 4
        for name in ("0.png", "1.png", "2.png"):
            (tmp_path / name).unlink()
        write_pictures(tmp_path, "9.png")
        assert stepper.step(1) == "7.png", "all before it are gone: on to the first that is left"
        assert stepper.step(1) == "9.png"
        assert stepper.step(1) == "7.png", "round the end"


def test_only_names_that_match_are_taken_in_any_case(tmp_path: Path) -> None:
    write_pictures(tmp_path, "Cat1.png", "cat2.JPG", "dog.png", "wildcat.jpeg")
    (tmp_path / "cat.txt").write_text("no picture")
    assert names(all_frames(tmp_path, match="cat")) == ["Cat1.png", "cat2.JPG", "wildcat.jpeg"]
    # DVT-07's own expression.
    expression = r".*\.(jpg|jpeg|png)$"
    assert len(all_frames(tmp_path, match=expression)) == 4
    assert names(all_frames(tmp_path, match=r"^cat.*\.png$")) == ["Cat1.png"]
    with pytest.raises(SourceError, match="no picture in this folder matches 'horse'"):
        open_source(tmp_path, match="horse")
    with pytest.raises(SourceError, match=r"--match \(cat: is no regular expression"):
        open_source(tmp_path, match="(cat")


# What is done to frames


def test_contrast_is_stretched_as_dvt_does_it() -> None:
    image = np.full((2, 4, 3), 50, np.uint8)
    image[0, 0] = (60, 100, 150)
    # f - 50, times 255 / (100 + 1e-6): 10 -> 25.5, 50 -> 127.5 and 100 -> 255, less than a half.
    stretched = Retouch(stretched=True).apply(image)
    assert stretched[0, 0].tolist() == [25, 127, 255]
    assert (stretched[1] == 0).all()
    assert image[0, 0].tolist() == [60, 100, 150], "the frame that was given is left alone"


def test_what_spans_the_whole_range_is_left_and_a_flat_picture_is_black() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (30, 40, 3), np.uint8)
    image[0, 0] = (0, 255, 9)
    assert np.array_equal(Retouch(stretched=True).apply(image), image)
    assert (Retouch(stretched=True).apply(np.full((3, 3, 3), 77, np.uint8)) == 0).all()


def test_a_mirror_exchanges_left_and_right() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    mirrored = Retouch(mirrored=True).apply(image)
    assert mirrored[0, :, 0].tolist() == [6, 3, 0]
    assert mirrored[1, 0].tolist() == [15, 16, 17]
    assert mirrored.flags.c_contiguous
    assert np.array_equal(Retouch(mirrored=True).apply(mirrored), image)


@pytest.mark.parametrize(("mirror", "mirrored"), [("auto", False), ("off", False), ("on", True)])
def test_a_film_is_mirrored_only_on_demand(tmp_path: Path, mirror: str, mirrored: bool) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = 200
    writer = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48)
    )
    writer.write(image)
    writer.release()
    (frame,) = all_frames(tmp_path / "film.avi", mirror=mirror)
    left, right = frame.image_HW3[24, 8, 0], frame.image_HW3[24, 56, 0]
    assert (left < right) == mirrored
    (frame,) = all_frames(tmp_path / "film.avi", stretch_contrast=True)
    assert (frame.image_HW3.min(), frame.image_HW3.max()) == (0, 255)


def test_a_webcam_is_mirrored_unless_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtvis.sources.choose.check_linux_camera", lambda _: None)
    monkeypatch.setattr("sys.platform", "linux")

    def of(uri: str, **options: str) -> Retouch:
        with open_source(uri, **options) as source:  # type: ignore[arg-type]
            return source._retouch  # type: ignore[attr-defined, no-any-return]

    assert of("0").mirrored
    assert of("/dev/video0").mirrored
    assert of("0", mirror="on").mirrored
    assert not of("0", mirror="off").mirrored
    assert not of("rtsp://camera/1").mirrored
    assert of("rtsp://camera/1", mirror="on").mirrored

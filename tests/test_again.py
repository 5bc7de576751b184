"""Frames of an earlier run, found again by their file and time."""

from pathlib import Path

import numpy as np
import pytest

from rtvis.data import FramePlace
from rtvis.errors import SourceError
from rtvis.sources.again import FoundFrames
from tests.test_replay import here

__all__ = ["here"]  # a fixture


def place(seq: int, path: Path | None = None, pts_seconds: float | None = None) -> FramePlace:
    text = str(path) if path is not None else None
    return FramePlace(seq=seq, path=text, pts_seconds=pts_seconds)


def test_frames_of_cameras_are_gone_unless_a_film_takes_their_place(here: Path) -> None:
    with pytest.raises(SourceError, match="c/1: its frames were not kept, so nothing can"):
        FoundFrames("rtsp://me:secret@c/1")
    with FoundFrames("rtsp://me:secret@c/1", "pictures") as both:
        with pytest.raises(SourceError, match="c/1: frame 4 came from there, and was not kept"):
            both.find(place(4, pts_seconds=0.1), "stream")
        listed = place(5, here / "pictures" / "2.png")
        assert both.find(listed, "files").name == "2.png"
    with (
        FoundFrames("pictures") as pictures,
        pytest.raises(SourceError, match=r"7\.png: there is no such file"),
    ):
        pictures.find(place(5, here / "pictures" / "7.png"), "only")


def test_frames_of_a_film_are_found_by_their_time_in_any_order(here: Path) -> None:
    with FoundFrames("film.avi") as film:
        for seq, index in enumerate((4, 5, 2, 29, 0, 0)):  # as a loop, or a step back, has them
            frame = film.find(place(seq, here / "film.avi", index / 25), "only")
            assert (frame.seq, frame.pts_seconds) == (seq, pytest.approx(index / 25))
        # 1.21 s and more is behind the last frame, at 29 / 25 s.
        with pytest.raises(SourceError, match=r"film.avi: ends before 1.21 s; is it the film"):
            film.find(place(9, here / "film.avi", 1.21), "only")


def test_pictures_are_retouched_as_they_were(here: Path) -> None:
    first = here / "pictures" / "0.png"
    with FoundFrames("pictures", mirror="on") as mirrored, FoundFrames("pictures") as plain:
        ours = mirrored.find(place(0, first), "only").image_HW3
        theirs = plain.find(place(0, first), "only").image_HW3
    np.testing.assert_array_equal(ours, theirs[:, ::-1])
    with FoundFrames("demo", "pictures", mirror="on") as both:
        np.testing.assert_array_equal(both.find(place(0, first), "files").image_HW3, theirs)


def test_pictures_of_a_glob_that_were_moved_are_found_by_their_names(here: Path) -> None:
    then = here / "pictures" / "1.png"
    (here / "pictures").rename(here / "moved")
    with FoundFrames("moved/*.png") as found:
        frame = found.find(place(0, then), "only")
    assert frame is not None
    assert frame.path == Path("moved/1.png")

"""The frames of an earlier run, found again by their file and time."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from rtvis.closing import Closing
from rtvis.data import Frame, FramePlace, Side, SourceStatus
from rtvis.errors import SourceError
from rtvis.paths import path_of
from rtvis.slot import LatestSlot
from rtvis.sources.base import ONLY_ONE, Move, Source, next_frame
from rtvis.sources.choose import open_source
from rtvis.sources.images import list_glob
from rtvis.sources.kept import KeptFrames
from rtvis.sources.pixels import is_image
from rtvis.sources.retouch import Mirror
from rtvis.sources.uri import public_name, scheme_of

_SAME_S: Final = 1e-6
_JUMP_S: Final = 5.0
"""So far on it is quicker to jump than to decode all that lies between."""


class FoundFrames(Closing):
    """Gives the frames that it is asked for; quick where they are asked for in their order.

    A source to everyone who wants to know its name and state; it puts nothing into a slot.
    """

    def __init__(
        self,
        stream: str,
        files: str | None = None,
        *,
        mirror: Mirror = "auto",
        stretch_contrast: bool = False,
        kept: KeptFrames | None = None,
    ) -> None:
        """Look whether the sources of the earlier run are there.

        Args:
            stream: As for `open_sources`, and so are the others. Another film or folder than that
                of the earlier run gives its own frames, of the same time or name.
            files: As there.
            mirror: As there.
            stretch_contrast: As there.
            kept: Frames of a camera that were kept; closed by the caller.

        Raises:
            SourceError: They are not, or there is only a camera, whose frames are gone.
        """
        self._kept = kept
        self._stream = stream
        self._files = files
        self._at: tuple[FramePlace, Side] | None = None
        self._names: dict[Side, str] = {"only": _live_name(stream), "files": ""}
        self.size: tuple[int, int] | None = None
        self.num_frames: int | None = None
        self.shown: Side = "only"
        self._since_ns = time.monotonic_ns()

        self._mirror: Mirror = mirror
        self._stretch_contrast = stretch_contrast
        self._film: _Film | None = None
        self._frame: Frame | None = None
        if _is_live(stream) and files is None and kept is None:
            raise SourceError(
                f"{_live_name(stream)}: its frames were not kept, so nothing can be shown "
                "again; record with --keep-frames, or --stream FILM puts a film in its place"
            )
        opened: tuple[tuple[str | None, Side], ...] = (
            (None if _is_live(stream) else stream, "only"),
            (files, "files"),
        )
        for uri, side in opened:
            if uri is not None:
                with open_source(uri) as source:
                    self._names[side] = source.name
        self._names["stream"] = self._names["only"]

    @property
    def name(self) -> str:
        """Of the source that the last frame came from, as it called itself."""
        side: Side = "only" if self._files is None else "files"
        return self._names[self._at[1] if self._at is not None else side]

    def find(self, place: FramePlace, side: Side) -> Frame | None:
        """A frame; None for one that was not kept though others were.

        Args:
            place: Where it was.
            side: Which of two sources it came from.

        Raises:
            SourceError: There is no such frame.
        """
        if self._frame is None or self._at != (place, side):
            if place.stand_in:
                if self._kept is None or place.kept is None:
                    return None
                frame = self._kept.read(place.kept)
                frame = replace(frame, name=place.stand_in, stands_in=True)
            elif side == "files" and self._files is not None:
                frame = self._picture(place, self._files, retouched=False)
            elif _is_live(self._stream) and self._kept is not None:
                if place.kept is None:
                    return None
                frame = replace(self._kept.read(place.kept), wall_s=place.wall_s)
            else:
                frame = self._of_stream(place, self._stream)
            self._frame, self._at = replace(frame, seq=place.seq), (place, side)
        return self._frame

    def _of_stream(self, place: FramePlace, uri: str) -> Frame:
        if _is_live(uri):
            raise SourceError(
                f"{public_name(uri)}: frame {place.seq} came from there, and was not kept; "
                "--stream FILM puts a film in its place"
            )
        if place.pts_seconds is None:
            return self._picture(place, uri, retouched=True)
        if self._film is None:
            self._film = _Film(lambda start_s: self._opened(uri, start_s, retouched=True))
        return self._film.find(place.pts_seconds)

    def _picture(self, place: FramePlace, uri: str, *, retouched: bool) -> Frame:
        if place.path is None:
            raise SourceError(f"{uri}: frame {place.seq} came from a camera, and is gone")
        path = _where(Path(place.path), path_of(uri))
        with self._opened(str(path), None, retouched=retouched) as source:
            slot: LatestSlot[Frame] = LatestSlot()
            source.start(slot)
            frame = next_frame(source, slot, timeout_s=60.0)
        if frame is None:
            raise SourceError(f"{path}: cannot be read any more")
        return frame

    def _opened(self, uri: str, start_s: float | None, *, retouched: bool) -> Source:
        return open_source(
            uri,
            pace="fast",
            start_seconds=start_s,
            mirror=self._mirror if retouched else "off",
            stretch_contrast=self._stretch_contrast and retouched,
        )

    def start(self, slot: LatestSlot[Frame]) -> None:
        """Nothing: frames are asked for."""

    def status(self) -> SourceStatus:
        """Opening until the first frame is found, as it was."""
        state: Literal["opening", "live"] = "opening" if self._frame is None else "live"
        return SourceStatus(state=state, since_ns=self._since_ns)

    def step(self, count: int, *, held: Frame | None = None) -> Move:
        """Nothing: the recording says what comes next."""
        del count, held
        return "none"

    def switch(self, *, held: Frame | None = None) -> None:
        """Nothing either."""
        del held
        raise SourceError(ONLY_ONE)

    def close(self) -> None:
        """Close the film. Safe to call twice."""
        film, self._film = self._film, None
        if film is not None:
            film.close()


class _Film:
    """A film that is gone through, forward as a rule."""

    def __init__(self, opened: Callable[[float], Source]) -> None:
        self._opened = opened
        self._source: Source | None = None
        self._slot: LatestSlot[Frame] = LatestSlot()
        self._pts_s = -1.0

    def find(self, pts_s: float) -> Frame:
        """The frame at a time, or the first one after it where another film has none there."""
        if self._source is None or not self._pts_s < pts_s <= self._pts_s + _JUMP_S:
            self.close()
            self._slot = LatestSlot()
            self._source = self._opened(pts_s)
            self._source.start(self._slot)
        while (frame := next_frame(self._source, self._slot)) is not None:
            assert frame.pts_seconds is not None, "frames of films have a time"
            self._pts_s = frame.pts_seconds
            if self._pts_s >= pts_s - _SAME_S:
                return frame
        name = self._source.name
        raise SourceError(
            f"{name}: ends before {pts_s:.2f} s; is it the film that was recorded from?"
        )

    def close(self) -> None:
        """Close the film. Safe to call twice."""
        source, self._source = self._source, None
        if source is not None:
            source.close()


def _live_name(uri: str) -> str:
    """What a camera or stream calls itself on screen."""
    camera = re.fullmatch(r"(?:/dev/video)?(-?\d+)", uri)
    return public_name(uri) if camera is None else f"camera {camera[1]}"


def _is_live(uri: str) -> bool:
    """A camera or a stream from the network."""
    camera = re.fullmatch(r"-?\d+|/dev/video\d+", uri)
    return camera is not None or scheme_of(uri) not in {None, "file"}


def _where(path: Path, base: Path) -> Path:
    """The file of a picture, in the place that is opened now if that has moved."""
    if base.is_dir():
        beside = base / path.name
        return beside if beside.exists() else path
    if base.is_file():
        return base if is_image(base) else path
    if path.exists():
        return path
    return next((other for other in list_glob(str(base)) if other.name == path.name), path)

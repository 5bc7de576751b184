"""What each frame of a film shows, beside the film: one line of JSON a frame, for `--replay`.

The first line is a state (`rtvis.state`) and says what was run. Each line after it says, for one
frame of the film, what differs from the line before; `{}` is the same picture again.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from rtvis.config_files import RECORDING_KEY, RECORDING_VERSION, journal_of
from rtvis.data import Frame, FramePlace, Selection
from rtvis.errors import ConfigError
from rtvis.plain import Plain, fields_from_plain, to_plain
from rtvis.runtime.composed import Composed
from rtvis.runtime.save import resume_of
from rtvis.session import View
from rtvis.state import Resume, state_document

_OTHERWISE: Final = {"selection", "theme", "panes"}
"""Fields of View with a part of their own, or for all of a run in the journal's head."""

_VIEW_FIELDS: Final = tuple(one.name for one in fields(View) if one.name not in _OTHERWISE)

_SELECTION_FIELDS: Final = tuple(one.name for one in fields(Selection))

_WALL_FROM_NS: Final = time.time_ns() - time.monotonic_ns()
"""What leads from one clock to the other; the same for all frames, for their distance counts."""

_WHOLE: Final = ("frame", "second", "stale_s", "older", "resume")
"""Parts of a moment that are written whole where they differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPlace:
    """What the second of two inputs shows."""

    frame: FramePlace
    trouble: str = ""
    """As `rtvis.render.scene.Half.trouble`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Older:
    """What numbers are of that stay while newer ones cannot be had. The film may have passed over
    the picture that showed them first."""

    frame: FramePlace
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What one picture shows."""

    frame: FramePlace | None = None
    """None before the first frame came."""
    second: SecondPlace | None = None
    """None where one input is all, and before the first frame of the second came."""
    stale_s: float = 0.0
    """How old the numbers were, in seconds, where they could not be computed anew."""
    older: Older | None = None
    """What they were of then; None where they are of what is asked for, and where there are none.
    """
    resume: Resume = field(default_factory=Resume)
    view: View = field(default_factory=View)
    """All of it: what floated above the panes, too."""


def moment_of(composed: Composed) -> Moment:
    """What a finished picture shows."""
    frame, second, computed = composed.frame, composed.second, composed.older
    half = older = None
    if second is not None and second.frame is not None:
        half = SecondPlace(frame=_place_of(second.frame), trouble=second.trouble)
    if computed is not None:
        older = Older(frame=_place_of(computed.frame), selection=computed.selection)
    return Moment(
        frame=_place_of(frame) if frame is not None else None,
        second=half,
        stale_s=composed.stale_s,
        older=older,
        resume=resume_of(composed),
        view=composed.view,
    )


def _place_of(frame: Frame) -> FramePlace:
    if frame.stands_in:
        return FramePlace(seq=frame.seq, stand_in=frame.name or "picture")
    if frame.path is None:
        wall_s = frame.wall_s
        if wall_s is None:
            wall_s = (frame.captured_ns + _WALL_FROM_NS) / 1e9
        return FramePlace(seq=frame.seq, pts_seconds=frame.pts_seconds, wall_s=wall_s)
    path = str(frame.path.absolute())
    return FramePlace(seq=frame.seq, pts_seconds=frame.pts_seconds, path=path)


class Journal:
    """Writes the file beside a film; it gets its name when the film has.

    Whoever records hands over moments and finishes; the encoder's thread writes.
    """

    def __init__(self, film: Path, setup: Mapping[str, Plain], *, fps: float) -> None:
        """Nothing is opened before the first frame.

        Args:
            film: The film.
            setup: Source and network as keys of a state.
            fps: Of the film.
        """
        self.path = journal_of(film)
        self._part = self.path.with_name(f".{self.path.name}.part-{os.getpid()}")
        self._setup = dict(setup)
        self._fps = fps
        self._file: Any = None
        self._before: Moment | None = None
        self.fault = ""
        """Why there is no file; empty while all is well."""

    def write(self, moment: object) -> None:
        """Add the line of one frame of the film. Never raises for a disk that refuses."""
        assert isinstance(moment, Moment)
        if self.fault:
            return
        try:
            if self._file is None:
                self._file = self._part.open("w", encoding="utf-8")
                self._add(self._header(moment))
            self._add(self._difference(moment))
        except OSError as error:
            self.fault = f"{self.path}: not written ({error.strerror})"

    def finish(self, *, keep: bool) -> None:
        """Close the file and give it its name, or remove it with a film that came to nothing."""
        try:
            if self._file is not None:
                self._file.close()
                if keep and not self.fault:
                    self._part.replace(self.path)
        except OSError as error:
            self.fault = f"{self.path}: not written ({error.strerror})"
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _header(self, moment: Moment) -> dict[str, Plain]:
        document = state_document(
            self._setup, frame=None, view=moment.view, resume=moment.resume, about={}
        )
        return {RECORDING_KEY: RECORDING_VERSION, "fps": self._fps, **document}

    def _difference(self, moment: Moment) -> dict[str, Plain]:
        """What differs from the line before."""
        before, self._before = self._before, moment
        if moment is before:
            return {}
        changed: dict[str, Plain] = {}
        for name in _WHOLE:
            if before is None or getattr(moment, name) != getattr(before, name):
                changed[name] = to_plain(getattr(moment, name))
        now, old = moment.view, before.view if before is not None else None
        chosen = _changed_fields(now.selection, old.selection if old is not None else None)
        shown = _changed_fields(now, old)
        return changed | _filled(selection=chosen, view=shown)

    def _add(self, line: Mapping[str, Plain]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def _changed_fields(now: View | Selection, old: View | Selection | None) -> dict[str, Plain]:
    """The plain form of the fields that differ; it takes longer than comparing them."""
    if now is old:
        return {}
    names = _VIEW_FIELDS if isinstance(now, View) else _SELECTION_FIELDS
    return {
        name: to_plain(getattr(now, name))
        for name in names
        if old is None or getattr(now, name) != getattr(old, name)
    }


def _filled(**parts: dict[str, Plain]) -> dict[str, Plain]:
    return {key: part for key, part in parts.items() if part}


def read_moments(path: Path, begin: View = View()) -> Iterator[Moment]:  # noqa: B008 - frozen
    """The moments of a journal, one for each frame of its film; the same object for the same
    picture. `begin` has what the lines do not say.

    Raises:
        ConfigError: A line is damaged; says which.
    """
    moment = Moment(view=begin)
    try:
        with path.open(encoding="utf-8") as file:
            next(file, None)
            for number, line in enumerate(file, start=2):
                change = _change(line, f"{path}:{number}")
                if change:
                    moment = _changed(moment, change, f"{path}:{number}")
                yield moment
    except OSError as error:
        raise ConfigError(f"{path}: cannot read it: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is damaged: not text; record again") from error


def _change(line: str, where: str) -> dict[str, Any]:
    try:
        change = json.loads(line)
    except ValueError:
        change = None
    if not isinstance(change, dict):
        raise ConfigError(f"{where}: is damaged or cut off; remove the lines from here on")
    return change


def _changed(moment: Moment, change: dict[str, Any], where: str) -> Moment:
    selection = fields_from_plain(
        Selection, change.pop("selection", {}), where=f"{where}: selection"
    )
    display = fields_from_plain(
        View, change.pop("view", {}), where=f"{where}: view", names=_VIEW_FIELDS
    )
    view = replace(moment.view, selection=replace(moment.view.selection, **selection), **display)
    rest = fields_from_plain(Moment, change, where=where, names=_WHOLE)
    return replace(moment, view=view, **rest)

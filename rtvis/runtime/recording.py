"""Films started and stopped with a key, or for the whole run."""

import datetime
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from rtvis.config_files import frames_of
from rtvis.data import Frame
from rtvis.errors import SinkError
from rtvis.plain import Plain
from rtvis.runtime.composed import Composed
from rtvis.runtime.journal import Journal, Moment, moment_of
from rtvis.sinks.frame_keeper import FrameKeeper, Keeping
from rtvis.sinks.recorder import Recorder
from rtvis.sinks.writer_thread import Pace

Say = Callable[[str, bool], None]
"""Takes a notice, and whether it is a warning."""


_Role: TypeAlias = Literal["frame", "second", "older"]
"""What a picture has a frame for: as the fields of a Moment."""

STAND_INS_BYTES: Final = 10**9
"""Beside a film, of pictures that stood in the place of the source, where no camera's are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """How the frames of cameras are kept, which nobody can ask for again."""

    keeping: Keeping
    limit_bytes: int
    """Of the file beside each film."""


class Recordings:
    """At most one film at a time. Films are finished on a thread of their own.

    The main thread starts and stops, the engine thread shows pictures.
    """

    def __init__(
        self,
        folder: Path,
        say: Say,
        *,
        fps: float = 25.0,
        key: str = "r",
        setup: Mapping[str, Plain] | None = None,
        keeping: Kept | None = None,
    ) -> None:
        """Films go to `folder`.

        Args:
            folder: Of films that are not named.
            say: Tells the user.
            fps: Of the films.
            key: That stops a film, for the notice.
            setup: Source and network as keys of a state, for the journal beside each film; None
                writes none.
            keeping: How frames of cameras are kept beside the journal; None keeps none.
        """
        self._folder = folder
        self._say = say
        self._fps = fps
        self._key = key
        self._lock = threading.Lock()
        self._setup = setup
        self._recorder: Recorder | None = None
        self._journal: Journal | None = None
        self._keeping = keeping
        self._keeper: FrameKeeper | None = None
        self._pace: Pace = "live"
        self._cannot_keep = False
        """There is no file for pictures that stand in."""
        self._numbers: dict[_Role, tuple[Frame, int]] = {}
        """The frame that was kept last for each, and its number."""
        self._moment: tuple[int, Moment] | None = None
        self._finishing: list[threading.Thread] = []
        self.faults: list[str] = []
        """Why films ended early."""
        self.paths: list[Path] = []
        """Films that were finished."""

    @property
    def is_on(self) -> bool:
        """True while a film is being made."""
        return self._recorder is not None

    def note(self) -> str:
        """Where the film goes and how long it is; empty without one."""
        recorder, keeper = self._recorder, self._keeper
        notes = [one.note() for one in (recorder, keeper) if one is not None]
        return " · ".join(notes) if recorder is not None else ""

    def start(self, path: Path | None = None, *, pace: Pace = "live") -> None:
        """Begin a film, named by the time unless `path` is given.

        Raises:
            SinkError: It cannot be written.
        """
        now = datetime.datetime.now().astimezone()
        chosen = path or self._folder / now.strftime("rtvis-%Y-%m-%d-%H%M%S.mp4")
        journal = None
        if self._setup is not None:
            journal = Journal(chosen, self._setup, fps=self._fps)
        on_frame = journal.write if journal is not None else None
        recorder = Recorder(chosen, fps=self._fps, pace=pace, on_frame=on_frame)
        keeper = None
        if self._keeping is not None and journal is not None:
            keeper = FrameKeeper(
                frames_of(journal.path),
                keeping=self._keeping.keeping,
                limit_bytes=self._keeping.limit_bytes,
                pace=pace,
            )
        with self._lock:
            assert self._recorder is None, "one film at a time"
            self._recorder, self._journal, self._keeper = recorder, journal, keeper
            self._numbers, self._moment = {}, None
            self._pace, self._cannot_keep = pace, False

    def toggle(self) -> bool:
        """Start or stop for the user; what goes wrong is a notice. True if a film now runs."""
        if self.is_on:
            self.stop()
            return False
        try:
            self.start()
        except SinkError as error:
            self._say(f"not recording: {error}", True)
            return False
        stops = f"; {self._key} stops" if self._key else ""
        self._say(f"recording{stops} ({self.note()})", False)
        return True

    def show(self, composed: Composed) -> None:
        """Hand the picture to the film, if there is one."""
        recorder = self._recorder
        if recorder is not None:
            recorder.show(composed.picture, self._moment_of(composed))

    def _moment_of(self, composed: Composed) -> Moment | None:
        """What it shows; the same object for the same picture again."""
        if self._setup is None:
            return None
        if self._moment is None or self._moment[0] != composed.picture.seq:
            self._moment = composed.picture.seq, self._with_numbers(composed)
        return self._moment[1]

    def _with_numbers(self, composed: Composed) -> Moment:
        """What it shows, and where the frames are that could not be found again."""
        moment, second = moment_of(composed), composed.second
        if composed.frame is not None and moment.frame is not None:
            number = self._number(composed.frame, "frame")
            moment = replace(moment, frame=replace(moment.frame, kept=number))
        if second is not None and second.frame is not None and moment.second is not None:
            number = self._number(second.frame, "second")
            place = replace(moment.second.frame, kept=number)
            moment = replace(moment, second=replace(moment.second, frame=place))
        if composed.older is not None and moment.older is not None:
            number = self._number(composed.older.frame, "older")
            place = replace(moment.older.frame, kept=number)
            moment = replace(moment, older=replace(moment.older, frame=place))
        return moment

    def _number(self, frame: Frame, role: _Role) -> int | None:
        """The number under which a frame is kept; None where it has a file, or there is no room."""
        if frame.path is not None:
            return None
        for last, number in self._numbers.values():
            if last is frame:
                return number
        keeper = self._keeper_for(frame)
        if keeper is None:
            return None
        kept = keeper.keep(frame.image_HW3)
        if kept is not None:
            self._numbers[role] = frame, kept
        return kept

    def _keeper_for(self, frame: Frame) -> FrameKeeper | None:
        """Who keeps it. A picture that stands in is always kept: nobody could make it again."""
        if self._keeper is not None or not frame.stands_in:
            return self._keeper
        with self._lock:
            if self._journal is not None and not self._cannot_keep:
                try:
                    self._keeper = FrameKeeper(
                        frames_of(self._journal.path),
                        keeping="png",
                        limit_bytes=STAND_INS_BYTES,
                        pace=self._pace,
                    )
                except SinkError as error:
                    self._cannot_keep = True
                    self._say(str(error), True)
            return self._keeper

    def check(self) -> bool:
        """Stop a film that cannot go on, such as on a full disk; True if that happened."""
        recorder = self._recorder
        if recorder is None or not recorder.fault:
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Finish the film in the background; a notice tells the outcome."""
        with self._lock:
            recorder, self._recorder = self._recorder, None
            journal, self._journal = self._journal, None
            keeper, self._keeper = self._keeper, None
        if recorder is None:
            return
        thread = threading.Thread(
            target=self._finish, args=(recorder, journal, keeper), name="rtvis-film", daemon=True
        )
        self._finishing = [other for other in self._finishing if other.is_alive()] + [thread]
        thread.start()

    @property
    def is_finishing(self) -> bool:
        """True while a film that was stopped is not whole yet."""
        return any(thread.is_alive() for thread in self._finishing)

    def close(self) -> None:
        """Finish every film, however long the encoder has to go on. Safe to call twice."""
        self.stop()
        for thread in self._finishing:
            thread.join()

    def _finish(
        self, recorder: Recorder, journal: Journal | None, keeper: FrameKeeper | None
    ) -> None:
        recorder.close()
        if keeper is not None:
            keeper.finish(keep=recorder.exists)
        if journal is not None:
            journal.finish(keep=recorder.exists)
        if recorder.exists:
            self.paths.append(recorder.path)
        if journal is not None and journal.fault:
            self._say(journal.fault, True)
        if keeper is not None and keeper.fault:
            self._say(keeper.fault, True)
        if recorder.fault:
            self.faults.append(recorder.fault)
            self._say(recorder.fault, True)
        elif recorder.exists:
            self._say(f"film saved in {recorder.path.resolve().parent}: {recorder.note()}", False)
        else:
            self._say("nothing was recorded", False)

"""Films started and stopped with a key, or for the whole run."""

import datetime
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from rtvis.errors import SinkError
from rtvis.plain import Plain
from rtvis.runtime.composed import Composed
from rtvis.runtime.journal import Journal, Moment, moment_of
from rtvis.sinks.recorder import Recorder

Say = Callable[[str, bool], None]
"""Takes a notice, and whether it is a warning."""


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
    ) -> None:
        """Films go to `folder`.

        Args:
            folder: Of films that are not named.
            say: Tells the user.
            fps: Of the films.
            key: That stops a film, for the notice.
            setup: Source and network as keys of a state, for the journal beside each film; None
                writes none.
        """
        self._folder = folder
        self._say = say
        self._fps = fps
        self._key = key
        self._lock = threading.Lock()
        self._setup = setup
        self._recorder: Recorder | None = None
        self._journal: Journal | None = None
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
        recorder = self._recorder
        return recorder.note() if recorder is not None else ""

    def start(self, path: Path | None = None, *, pace: Literal["live", "fast"] = "live") -> None:
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
        with self._lock:
            assert self._recorder is None, "one film at a time"
            self._recorder, self._journal = recorder, journal

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
            self._moment = composed.picture.seq, moment_of(composed)
        return self._moment[1]

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
        if recorder is None:
            return
        thread = threading.Thread(
            target=self._finish, args=(recorder, journal), name="rtvis-film", daemon=True
        )
        self._finishing = [other for other in self._finishing if other.is_alive()] + [thread]
        thread.start()

    def close(self, timeout_s: float = 30.0) -> None:
        """Finish every film. Safe to call twice."""
        self.stop()
        for thread in self._finishing:
            thread.join(timeout_s)

    def _finish(self, recorder: Recorder, journal: Journal | None) -> None:
        recorder.close()
        if journal is not None:
            journal.finish(keep=recorder.exists)
        if recorder.exists:
            self.paths.append(recorder.path)
        if journal is not None and journal.fault:
            self._say(journal.fault, True)
        if recorder.fault:
            self.faults.append(recorder.fault)
            self._say(recorder.fault, True)
        elif recorder.exists:
            self._say(f"film saved: {recorder.note()} in {recorder.path.resolve().parent}", False)
        else:
            self._say("nothing was recorded", False)

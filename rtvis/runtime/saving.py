"""What is saved while the film goes on: gathered at once, pictures of moments some at a time."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rtvis import filing
from rtvis.data import ImageU8, Selection
from rtvis.errors import SinkError
from rtvis.plain import Plain
from rtvis.runtime.composed import Composed
from rtvis.runtime.moment_files import SavedMoments
from rtvis.runtime.moment_keeping import copied_pictures, saved_moments, saved_others
from rtvis.runtime.moments import LiveMoments
from rtvis.runtime.save import Saver, Snapshot, shows_moments, take_snapshot, write_snapshot

Say = Callable[[str, bool], None]


class Saving:
    """Takes snapshots. Owned by the engine thread while the loop runs.

    Args:
        folder: Where snapshots go.
        setup: Source and network as keys of a state.
        moments: What is known of moments.
        say: Tells the user something; the second argument: whether it is a warning.
    """

    def __init__(
        self, folder: Path, *, setup: Mapping[str, Plain], moments: LiveMoments, say: Say
    ) -> None:
        self._saver = Saver(folder, say)
        self._setup = dict(setup)
        self._moments = moments
        self._say = say
        self._snapshot: Snapshot | None = None
        """What waits for its pictures."""
        self._pictures: dict[int, ImageU8] = {}
        self._others: list[SavedMoments] = []
        """Of layers that are not selected."""
        self._copying: Iterator[float] = iter(())

    def begin(self, composed: Composed | None, about: Mapping[str, Plain]) -> None:
        """Save a picture and what it was made of; a notice tells the outcome.

        Args:
            composed: The picture; None before the first one.
            about: What else people want to know.
        """
        if self._snapshot is not None:
            self._say("still saving the one before", True)
            return
        self._snapshot = self._taken(composed, about)

    def step(self) -> None:
        """Go on with what was begun. Called once a turn; takes about a millisecond."""
        if self._snapshot is not None and next(self._copying, None) is None:
            self._saver.save(self._whole(self._snapshot))
            self._snapshot = None

    def close(self) -> None:
        """Finish what was begun; the loop has ended. Safe to call twice."""
        while self._snapshot is not None:
            self.step()
        self._saver.close()

    def save_now(self, composed: Composed | None, about: Mapping[str, Plain], parent: Path) -> Path:
        """Save in a new folder in `parent`; waits for it.

        Returns:
            The folder.

        Raises:
            SinkError: There is nothing to save yet, or it cannot be written.
        """
        snapshot = self._taken(composed, about)
        if snapshot is None:
            raise SinkError(f"{parent}: nothing to save, as no frame was computed")
        for _ in self._copying:
            pass
        try:
            return write_snapshot(self._whole(snapshot), parent, now=datetime.now().astimezone())
        except OSError as error:
            hint = filing.remedy(error, otherwise="name a folder that is yours")
            raise SinkError(f"{parent}: cannot be saved to ({error.strerror}); {hint}") from None

    def _taken(self, composed: Composed | None, about: Mapping[str, Plain]) -> Snapshot | None:
        if composed is None:
            return None
        selection: Selection | None = None
        if composed.result is not None:
            selection = composed.result.selection
        moments = saved_moments(self._moments, selection)
        self._pictures, self._others = {}, []
        self._copying = iter(())
        if moments is not None and shows_moments(composed.view):
            self._copying = itertools.chain(
                saved_others(self._moments, selection, self._others),
                copied_pictures(self._moments, self._pictures),
            )
        return take_snapshot(composed, setup=self._setup, about=about, moments=moments)

    def _whole(self, snapshot: Snapshot) -> Snapshot:
        if snapshot.moments is None:
            return snapshot
        moments = replace(snapshot.moments, pictures=self._pictures, others=tuple(self._others))
        self._pictures, self._others = {}, []
        return replace(snapshot, moments=moments)

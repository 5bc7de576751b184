"""Which picture or source is looked at, as the user steps and switches."""

import queue
from collections.abc import Callable
from typing import Final

from rtvis.data import SourceStatus
from rtvis.errors import SourceError
from rtvis.runtime.bindings import Steer
from rtvis.runtime.compare import Rival
from rtvis.runtime.stand_in import StandIns
from rtvis.runtime.turn import Turn
from rtvis.session import Session
from rtvis.sources.base import Move, Source

_SAYS: Final = frozenset({"live", "ended", "failed"})
"""What is wrong with a source in another state is in the header, as long as it lasts."""


class Steering:
    """Steps and switches the source between two turns: a turn must not take a frame of the source
    that is left. Owned by the engine thread; any thread may `ask`.

    Args:
        source: What is looked at.
        session: What the user wants.
        turn: Looks at it.
        stand_ins: What is looked at in the place of the source.
        rival: Steps with the source.
        say: Tells the user something; the second argument: whether it is a warning.
    """

    def __init__(
        self,
        *,
        source: Source,
        session: Session,
        turn: Turn,
        stand_ins: StandIns,
        rival: Rival | None,
        say: Callable[[str, bool], None],
    ) -> None:
        self._source = source
        self._session = session
        self._turn = turn
        self._stand_ins = stand_ins
        self._rival = rival
        self._say = say
        self._asked: queue.SimpleQueue[Steer] = queue.SimpleQueue()
        self._told = ""

    def ask(self, what: Steer) -> None:
        """Have this done before the next turn."""
        self._asked.put(what)

    def begin(self) -> None:
        """Show the source that the View asks for, where there are two."""
        wanted = self._session.read()[0].side
        if "only" not in (wanted, self._source.shown) and wanted != self._source.shown:
            self.ask("switch source")
        self._session.update(side=self._source.shown)

    def follow(self) -> None:
        """Do what was asked for."""
        while not self._asked.empty():
            self._steer(self._asked.get())

    def tell(self, status: SourceStatus) -> None:
        """Say once what a source has to say while a picture is shown, such as a file it cannot
        read."""
        if status.message != self._told:
            self._told = status.message
            if status.message and status.state in _SAYS:
                self._say(status.message, True)

    def _steer(self, what: Steer) -> None:
        """Go to another picture or source; from what stands in, back to the source."""
        if self._stand_ins.is_there:
            self._stand_ins.leave()
            return
        held = self._turn.frame if self._session.read()[0].paused else None
        move: Move = "switched"
        match what:
            case "optimised picture as input":
                self._stand_ins.show_learned()
                return
            case "switch source":
                try:
                    self._source.switch(held=held)
                except SourceError as error:
                    self._say(str(error), True)
                    return
            case "next picture" | "previous picture":
                count = 1 if what == "next picture" else -1
                move = self._source.step(count, held=held)
                if self._rival is not None:
                    self._rival.step(count)
        if move == "none":
            self._say("this source has no other picture to go to", False)
            return
        if move == "switched":
            self._turn.leave_source()
            self._session.update(side=self._source.shown)
        self._turn.want_frame()

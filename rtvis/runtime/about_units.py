"""What is known of units, beside the film: pictures that grow, the best of a data set, moments."""

import queue
import threading
import time
from collections.abc import Callable

from torch import Tensor

from rtvis.runtime.bindings import OfUnits
from rtvis.runtime.generate import Generate
from rtvis.runtime.growth import Grower
from rtvis.runtime.jobs import Jobs
from rtvis.runtime.known import MEMORY_BYTES
from rtvis.runtime.learning import NO_GRADIENTS, Learning
from rtvis.runtime.moments import LiveMoments
from rtvis.runtime.shelf import Shelf
from rtvis.runtime.stand_in import StandIns
from rtvis.runtime.step_timer import step_timer
from rtvis.runtime.turn import Turn
from rtvis.runtime.turn_parts import EngineLike
from rtvis.session import Session

_IDLE_S = 0.01
"""How long a turn waits for a frame: also how late it sees a change of the session."""
_BUSY_S = 0.0005
"""The same while the device is busy with a step of long work."""


class AboutUnits:
    """Looks after what is known of units, before and after each turn.

    Owned by the engine thread; any thread may `ask`.
    """

    def __init__(
        self,
        *,
        engine: EngineLike,
        session: Session,
        turn: Turn,
        grower: Grower | None,
        shelf: Shelf | None,
        moments: LiveMoments,
        say: Callable[[str, bool], None],
        why_not: str = NO_GRADIENTS,
        known_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Let the turn show what is known.

        Args:
            engine: Prepares the picture that growing may begin with.
            session: What the user looks at.
            turn: Shows it.
            grower: Makes pictures that excite units; None: nobody does.
            shelf: Where what units have learned is kept; None: in memory alone.
            moments: The best moments of every unit, which the turn shows, too.
            say: Tells the user something; the second argument: whether it is a warning.
            why_not: Why nobody makes pictures, where nobody does.
            known_bytes: Of pictures of units in memory.
        """
        self._engine = engine
        self._session = session
        self._turn = turn
        self._say = say
        self._jobs = Jobs(step_timer(engine.device))
        self.learning = Learning(
            layers=engine.layers,
            device=engine.device,
            jobs=self._jobs,
            grower=grower,
            shelf=shelf,
            say=say,
            start=self._network_input,
            now_s=time.monotonic,
            why_not=why_not,
            max_bytes=known_bytes,
        )
        self.moments = moments
        turn.attend(self.learning)
        self.stand_ins = StandIns(
            session=session, turn=turn, learning=self.learning, moments=moments, say=say
        )
        self._forget_wanted = threading.Event()
        self._generating: queue.SimpleQueue[Generate] = queue.SimpleQueue()

    def ask(self, what: OfUnits) -> None:
        """Have this done before or after the next turn."""
        if what == "forget moments":
            self._forget_wanted.set()
        else:
            self._generating.put(what)

    def before_turn(self) -> float:
        """Put in the place of the source what the user chose, and make a step of long work if
        nobody waits.

        Returns:
            How long the turn may wait for a frame.
        """
        if self._forget_wanted.is_set():
            self._forget_wanted.clear()
            self._forget()
        self.stand_ins.follow()
        if self._jobs.run(self._turn.traffic()):
            return 0.0
        return _BUSY_S if self._jobs.is_busy else _IDLE_S

    def after_turn(self) -> None:
        """Look after the unit that the turn was about."""
        view, _ = self._session.read()
        self.learning.follow(view, self._turn.selection)
        while not self._generating.empty():
            self.learning.do(self._generating.get(), self._turn.selection)

    def stop(self) -> None:
        """Cancel what grows. On the engine thread."""
        self.learning.stop()

    def close(self) -> None:
        """Write what is done. From any thread, safe to call twice."""
        self.learning.close()

    def _forget(self) -> None:
        self.moments.clear()
        self._turn.count_again()
        self._say("all moments are forgotten; counting begins anew", False)

    def _network_input(self) -> Tensor | None:
        image_HW3 = self._turn.picture
        if image_HW3 is None:
            return None
        return self._engine.preprocess(image_HW3, fit=self._session.read()[0].selection.fit)

"""What every place that takes finished pictures can do. Host memory only, no torch."""

from types import TracebackType
from typing import Protocol, Self

from rtvis.data import Event, Picture


class Sink(Protocol):
    """A window, a recorder, a list in a test.

    Opening one may raise `SinkError`. Once it is open nothing raises into the loop: what goes
    wrong later comes out of `poll` as one ClosedEvent that says why, and `show` then does nothing.
    """

    def show(self, picture: Picture) -> None:
        """Take a picture and return at once; a sink that is behind drops the older one."""
        ...

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """What happened since the last call, oldest first; waits up to `timeout_s` for something.

        Returns early when `wake` is called. After a ClosedEvent it returns nothing more.
        """
        ...

    def wake(self) -> None:
        """Make a `poll` that is waiting return. May be called from any thread."""
        ...

    def close(self) -> None:
        """Give everything back; a recorder finishes its file. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

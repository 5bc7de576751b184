"""A one-place mailbox in which the newest thing wins."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Hands the newest value from one thread to another and counts what nobody took.

    Live paths drop instead of queueing: a slow reader sees fewer values, never old ones.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False
        self._num_put = 0
        self._num_dropped = 0

    @property
    def num_put(self) -> int:
        """How many values were put in so far."""
        return self._num_put

    @property
    def num_dropped(self) -> int:
        """How many of them were replaced before anybody took them."""
        return self._num_dropped

    @property
    def is_full(self) -> bool:
        """Whether a value waits to be taken."""
        return self._value is not None

    @property
    def is_closed(self) -> bool:
        """True once `close` was called; a value left in the slot can still be taken."""
        return self._closed

    def put(self, value: T) -> None:
        """Replace what is in the slot. Ignored after `close`."""
        with self._changed:
            if self._closed:
                return
            if self._value is not None:
                self._num_dropped += 1
            self._value = value
            self._num_put += 1
            self._changed.notify_all()

    def take(self, *, timeout_s: float = 0.0) -> T | None:
        """The newest value, waiting up to `timeout_s` for one; None if none came in time."""
        with self._changed:
            if self._value is None and timeout_s > 0:
                self._changed.wait_for(
                    lambda: self._value is not None or self._closed, timeout=timeout_s
                )
            value, self._value = self._value, None
            if value is not None:
                self._changed.notify_all()
            return value

    def wait_empty(self, *, timeout_s: float) -> bool:
        """Wait until the last value was taken or the slot was closed; False if not in time.

        A giver that must lose nothing waits for this before each `put`.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: self._value is None or self._closed, timeout=timeout_s
            )

    def close(self) -> None:
        """Wake whoever waits. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

"""A sink that keeps pictures in a list, and hands on events as if a user had caused them."""

import threading
import time
from collections import deque

from rtvis.closing import Closing
from rtvis.data import ClosedEvent, Event, Picture, ShownEvent


class MemorySink(Closing):
    """Keeps the last `max_pictures` pictures; `send` plays the user. Safe from any thread."""

    def __init__(self, *, max_pictures: int = 1000) -> None:
        self.pictures: deque[Picture] = deque(maxlen=max_pictures)
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._woken = False
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """True after `close`, or once a ClosedEvent was sent."""
        return self._closed

    def send(self, *events: Event) -> None:
        """Let `poll` return these events."""
        with self._changed:
            if not self._closed:
                self._events.extend(events)
                self._closed = any(isinstance(event, ClosedEvent) for event in events)
                self._changed.notify_all()

    def show(self, picture: Picture) -> None:
        """Append the picture to `pictures`."""
        with self._changed:
            if self._closed:
                return
            self.pictures.append(picture)
            self._events.append(
                ShownEvent(
                    seq=picture.seq,
                    captured_ns=picture.captured_ns,
                    shown_ns=time.monotonic_ns(),
                )
            )
            self._changed.notify_all()

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """All events that wait; see `Sink.poll`."""
        with self._changed:
            if timeout_s > 0:
                self._changed.wait_for(
                    lambda: bool(self._events) or self._woken or self._closed, timeout=timeout_s
                )
            self._woken = False
            events = list(self._events)
            self._events.clear()
            return events

    def wake(self) -> None:
        """Make a waiting `poll` return."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more pictures."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

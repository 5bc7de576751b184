"""When pictures were shown: how many a second, and how long after they were captured."""

from rtvis.timing import RateMeter


class ShownMeter:
    """Counts pictures. Owned by the thread that shows them."""

    def __init__(self) -> None:
        self._rate = RateMeter()
        self._captured_ns = 0
        self.fps = 0.0
        """Read by other threads."""
        self.latency_ms = 0.0
        """Likewise: a running mean over frames, each at its first picture."""

    def note(self, captured_ns: int, shown_ns: int) -> None:
        """Count a picture."""
        self._rate.tick(shown_ns)
        if captured_ns <= self._captured_ns:
            return  # no frame yet, or not its first picture
        self._captured_ns = captured_ns
        latency_ms = (shown_ns - captured_ns) / 1e6
        weight = 0.1 if self.latency_ms else 1.0
        self.latency_ms += (latency_ms - self.latency_ms) * weight

    def read(self) -> None:
        """Bring `fps` up to date: it falls while nothing is shown."""
        self.fps = self._rate.rate()

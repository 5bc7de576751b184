"""Two sources behind one slot: a stream, and files beside it; one of them is shown (DVT-05)."""

import contextlib
import threading
import time
from dataclasses import replace

from rtvis.closing import Closing
from rtvis.data import Frame, Side, SourceStatus
from rtvis.errors import SourceError
from rtvis.slot import LatestSlot
from rtvis.sources.base import Move, Source


class SwitchSource(Closing):
    """Gives the frames of the shown source; those of the other one never come through.

    Both run all the time, so that changing over takes no longer than a frame: a camera stays open
    and its newest frame is there at once; the picture of the files is given again. A film can be
    held meanwhile and goes on where it was left. Frames are numbered anew, in the order given.

    `step` and `switch` are for the thread that takes the frames: then none that it has already
    taken is followed by one of the source that was left.
    """

    def __init__(
        self,
        *,
        files: Source,
        stream: Source | None,
        why_no_stream: str = "",
        holds_stream: bool = False,
        holds_files: bool = False,
    ) -> None:
        """Show the files first. Nothing begins before `start`.

        Args:
            files: Pictures.
            stream: A camera, film or network stream; None where it cannot be had.
            why_no_stream: Says so when the user wants it.
            holds_stream: Stop it at the next frame while the files are shown.
            holds_files: The same for the files.
        """
        assert stream is not None or why_no_stream, "say why there is no stream"
        self._why_no_stream = why_no_stream
        self._changed = threading.Condition()
        self._closed = False
        self._num_given = 0
        self._slot: LatestSlot[Frame] | None = None
        self._seq = -1
        self._files = _Gate(self, files, holds=holds_files)
        self._stream = _Gate(self, stream, holds=holds_stream) if stream is not None else None
        self._open = self._files

    @property
    def name(self) -> str:
        """Of the source that is shown."""
        return self._open.source.name

    @property
    def size(self) -> tuple[int, int] | None:
        """Of the source that is shown."""
        return self._open.source.size

    @property
    def num_frames(self) -> int | None:
        """Of the source that is shown."""
        return self._open.source.num_frames

    @property
    def shown(self) -> Side:
        """Which one that is."""
        return "files" if self._open is self._files else "stream"

    def start(self, slot: LatestSlot[Frame]) -> None:
        """Begin both."""
        assert self._slot is None, "a source is started once"
        self._slot = slot
        for gate in self._gates():
            gate.source.start(gate)

    def status(self) -> SourceStatus:
        """What the source that is shown is doing."""
        return replace(self._open.source.status(), num_captured=self._num_given)

    def step(self, count: int, *, held: Frame | None = None) -> Move:
        """Go through the files; from the stream the first step only leads back to them (DVT-06)."""
        if self._open is self._files:
            return self._files.source.step(count)
        self._change_to(self._files, held)
        return "switched"

    def switch(self, *, held: Frame | None = None) -> None:
        """Show the other source: the frame that was held on it, or else its newest one, comes
        through at once, where it has one."""
        if self._stream is None:
            raise SourceError(self._why_no_stream)
        self._change_to(self._stream if self._open is self._files else self._files, held)

    def close(self) -> None:
        """Close both."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with contextlib.ExitStack() as stack:
            for gate in self._gates():
                stack.callback(gate.source.close)

    def _gates(self) -> "list[_Gate]":
        return [gate for gate in (self._files, self._stream) if gate is not None]

    def _change_to(self, gate: "_Gate", held: Frame | None) -> None:
        assert self._slot is not None, "changed over before the start"
        with self._changed:
            self._open.held = held
            self._open = gate
            self._slot.take()  # what the other one gave and nobody took
            # Without a held picture the user has let go: the newest one counts.
            again = (gate.held if held is not None else None) or gate.newest
            gate.held, gate.is_repeating = None, held is not None
            if again is not None:
                self._give(again, step=1)
            self._changed.notify_all()

    def let_through(self, gate: "_Gate", frame: Frame) -> None:
        """Give a frame if its source is the one that is shown, else keep it as the newest."""
        with self._changed:
            step = max(frame.seq - gate.last_seq, 1)
            gate.newest, gate.last_seq = frame, frame.seq
            if self._open is not gate:
                if gate.holds:  # its newest is given as soon as it is shown, not by this thread
                    self._changed.wait_for(lambda: self._open is gate or self._closed)
                return
            if self._closed:
                return
            assert self._slot is not None, "frames come after the start"
            if gate.is_repeating and not self._slot.wait_empty(timeout_s=0.0):
                return  # the picture that the user holds must be taken first
            gate.is_repeating = False
            self._give(frame, step=step, captured_ns=frame.captured_ns)

    def wait_room(self, gate: "_Gate", *, timeout_s: float) -> bool:
        """Wait until a source may give its next frame without loss; False if not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._open is gate, timeout=timeout_s):
                return False
        assert self._slot is not None, "frames come after the start"
        return self._slot.wait_empty(timeout_s=timeout_s)

    def _give(self, frame: Frame, *, step: int, captured_ns: int | None = None) -> None:
        """A picture given again is as new as the moment: latency counts from there."""
        assert self._slot is not None
        self._seq += step
        captured_ns = time.monotonic_ns() if captured_ns is None else captured_ns
        self._num_given += 1
        self._slot.put(replace(frame, seq=self._seq, captured_ns=captured_ns))


class _Gate(LatestSlot[Frame]):
    """The slot that one of the two sources is given. What it lets through lands in the real one."""

    def __init__(self, switch: SwitchSource, source: Source, *, holds: bool) -> None:
        super().__init__()
        self._switch = switch
        self.source = source
        self.holds = holds
        # Under the lock of the switch:
        self.newest: Frame | None = None
        self.held: Frame | None = None
        """What the user held on the screen when this source was left."""
        self.last_seq = -1
        self.is_repeating = False
        """The held picture was given again, and perhaps nobody has taken it yet."""

    def put(self, value: Frame) -> None:
        """Hand a frame to the switch."""
        self._switch.let_through(self, value)

    def wait_empty(self, *, timeout_s: float) -> bool:
        """Wait until the frame before was taken and this source is shown."""
        return self._switch.wait_room(self, timeout_s=timeout_s)

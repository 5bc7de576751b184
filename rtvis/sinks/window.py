"""A window on the desktop, shown by OpenCV in a process of its own."""

import logging
import mmap
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Literal, cast

import cv2
import numpy as np

from rtvis.closing import Closing
from rtvis.data import (
    ClosedEvent,
    Event,
    ImageU8,
    KeyEvent,
    Picture,
    PointerEvent,
    ResizeEvent,
    ShownEvent,
)
from rtvis.errors import SinkError
from rtvis.sinks.keys import key_name

_LOG = logging.getLogger(__name__)

MIN_SIZE = (480, 640)
MAX_SIZE = (2160, 3840)
"""(height, width) between which canvases are composed; the window scales what lies outside."""

_NUM_BUFFERS = 2
_BUFFER_BYTES = MAX_SIZE[0] * MAX_SIZE[1] * 3
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 2.0
_CHILD = Path(__file__).with_name("window_child.py")


def why_no_window(environment: "os._Environ[str] | dict[str, str] | None" = None) -> str:
    """Why a window cannot be opened here and what would do; empty where it can be tried.

    Asked before anything touches the display, as OpenCV aborts the process where there is none.
    """
    framework = cv2.currentUIFramework()
    if not framework:
        return (
            "this OpenCV was built without windows (opencv-python-headless?); "
            "install opencv-python, or use --view none --record FILE"
        )
    environment = os.environ if environment is None else environment
    if sys.platform.startswith("linux") and not (
        environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    ):
        return (
            "there is no display (DISPLAY and WAYLAND_DISPLAY are not set); "
            "log in to a desktop, use ssh -X, or use --view none --record FILE"
        )
    return ""


class WindowSink(Closing):
    """The live window. Shows the newest picture; what the user does comes out of `poll`.

    The window's own process draws and listens at 250 Hz whatever this process is busy with, and a
    display that goes away (Qt then ends its process, no exception) is a ClosedEvent here.
    """

    def __init__(self, *, title: str = "rtvis", size: tuple[int, int] = (800, 1280)) -> None:
        """Open a window.

        Args:
            title: In its title bar.
            size: (height, width) of the picture inside the frame, in pixels.

        Raises:
            SinkError: There is no display, or the window did not come up.
        """
        reason = why_no_window()
        if reason:
            raise SinkError(f"window: {reason}")
        self._events: deque[Event] = deque()
        self._pending: Picture | None = None
        self._free = deque(range(_NUM_BUFFERS))
        self._over = False
        self._closed = False
        self._lock = threading.Lock()
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        memory_fd = _anonymous_memory(_NUM_BUFFERS * _BUFFER_BYTES)
        self._memory = mmap.mmap(memory_fd, _NUM_BUFFERS * _BUFFER_BYTES)
        ours, theirs = socket.socketpair()
        self._link = Connection(ours.detach())
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._link.fileno(), selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        arguments = [str(theirs.fileno()), str(memory_fd), title, str(size[0]), str(size[1])]
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD), *arguments],
            pass_fds=(theirs.fileno(), memory_fd),
            stdin=subprocess.DEVNULL,
            stdout=self._complaints,
            stderr=self._complaints,
        )
        theirs.close()
        os.close(memory_fd)
        self._wait_until_ready()

    @property
    def pid(self) -> int:
        """Of the process that owns the window."""
        return self._child.pid

    def show(self, picture: Picture) -> None:
        """Send the picture to the window; while the window is busy only the newest one waits."""
        if self._over or self._closed:
            return
        self._pending = picture
        self._send_pending()

    def poll(self, timeout_s: float = 0.0) -> list[Event]:
        """Events since the last call; see `Sink.poll`."""
        if self._closed:
            return []
        if not self._events and not self._over:
            for key, _ in self._selector.select(timeout_s):
                if key.fileobj is self._wake_out:
                    self._drain_wake()
        self._read_link()
        events = list(self._events)
        self._events.clear()
        return events

    def wake(self) -> None:
        """Make a waiting `poll` return. May be called from any thread."""
        with self._lock:
            if not self._closed:
                try:
                    self._wake_in.send(b"w")
                except BlockingIOError:
                    return  # enough wakes wait already

    def close(self) -> None:
        """Close the window and end its process."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake_in.close()
            self._wake_out.close()
        self._selector.close()
        if not self._over:
            try:
                self._link.send(("quit",))
            except OSError:
                self._over = True
        self._link.close()
        try:
            self._child.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(_STOP_TIMEOUT_S)
        self._memory.close()
        self._complaints.close()

    def _wait_until_ready(self) -> None:
        try:
            if not self._link.poll(_START_TIMEOUT_S):
                raise SinkError(f"window: nothing on screen after {_START_TIMEOUT_S:.0f} s")
            message = self._link.recv()
            if message != ("ready",):
                raise SinkError(f"window: {' '.join(str(message[-1]).split())}")
        except (EOFError, ConnectionResetError):
            self._over = True
            self._child.wait(_STOP_TIMEOUT_S)
            reason = self._last_complaint()
            self.close()
            raise SinkError(
                f"window: could not be opened{reason}; is DISPLAY "
                f"({os.environ.get('DISPLAY', 'not set')}) right? "
                "--view none --record FILE needs no display"
            ) from None
        except SinkError:
            self.close()
            raise

    def _send_pending(self) -> None:
        if self._pending is None or not self._free or self._over:
            return
        picture, self._pending = self._pending, None
        canvas_HW3 = _fit(picture.canvas_HW3)
        height, width = canvas_HW3.shape[:2]
        buffer = self._free.popleft()
        start = buffer * _BUFFER_BYTES
        target = np.frombuffer(self._memory, np.uint8, canvas_HW3.size, start)
        target[:] = canvas_HW3.reshape(-1)
        try:
            self._link.send(("show", buffer, picture.seq, picture.captured_ns, height, width))
        except OSError:
            self._lost()

    def _read_link(self) -> None:
        try:
            while not self._over and self._link.poll():
                self._take(self._link.recv())
        except (EOFError, OSError):
            self._lost()

    def _take(self, message: tuple[object, ...]) -> None:
        match message:
            case ("free", int(buffer), int(seq), int(captured_ns), int(shown_ns)):
                self._free.append(buffer)
                if shown_ns:
                    self._events.append(
                        ShownEvent(seq=seq, captured_ns=captured_ns, shown_ns=shown_ns)
                    )
                self._send_pending()
            case ("key", int(code)):
                name = key_name(code)
                if name is not None:
                    self._events.append(KeyEvent(key=name))
            case ("pointer", str(kind), int(x), int(y), str(button), int(delta)):
                self._take_pointer(kind, x, y, button, delta)
            case ("resize", int(height), int(width)):
                self._events.append(
                    ResizeEvent(
                        height=min(MAX_SIZE[0], max(MIN_SIZE[0], height)),
                        width=min(MAX_SIZE[1], max(MIN_SIZE[1], width)),
                    )
                )
            case ("closed", str(reason)):
                self._over = True
                self._events.append(ClosedEvent(reason=reason))
            case _:
                raise AssertionError(message)

    def _take_pointer(self, kind: str, x: int, y: int, button: str, delta: int) -> None:
        last = self._events[-1] if self._events else None
        if (
            kind == "move"
            and isinstance(last, PointerEvent)
            and (last.kind, last.button) == (kind, button)
        ):
            self._events.pop()  # only where the pointer is now matters, and where it let go
        steps = 0
        if kind == "wheel":
            steps = max(1, round(delta / 120)) if delta > 0 else min(-1, round(delta / 120))
        self._events.append(
            PointerEvent(
                kind=cast("Literal['move', 'down', 'double', 'wheel']", kind),
                x=x,
                y=y,
                button=cast("Literal['left', 'middle', 'right', 'none']", button),
                wheel_steps=steps,
            )
        )

    def _lost(self) -> None:
        if self._over:
            return
        self._over = True
        try:
            self._child.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._events.append(ClosedEvent(reason=f"the display went away{self._last_complaint()}"))

    def _drain_wake(self) -> None:
        try:
            while self._wake_out.recv(4096):
                pass
        except BlockingIOError:
            return

    def _last_complaint(self) -> str:
        self._complaints.seek(0)
        text = self._complaints.read().decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            _LOG.debug("the window's process said: %s", " | ".join(lines))
        telling = [line for line in lines if "isplay" in line or "X11" in line]
        return f" ({telling[0][:160]})" if telling else ""


def _fit(canvas_HW3: ImageU8) -> ImageU8:
    if canvas_HW3.size <= _BUFFER_BYTES:
        return np.ascontiguousarray(canvas_HW3)
    scale = (_BUFFER_BYTES / canvas_HW3.size) ** 0.5
    height, width = (int(side * scale) for side in canvas_HW3.shape[:2])
    scaled: ImageU8 = cv2.resize(canvas_HW3, (width, height), interpolation=cv2.INTER_AREA)
    return scaled


def _anonymous_memory(num_bytes: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("rtvis-window")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, num_bytes)
    return descriptor

"""The program that owns the window, in a process of its own.

Qt ends the whole process when the X server goes away (exit code 1, or an abort where there is no
display to begin with), and no exception can be caught. So the window lives here and a lost display
takes down nothing but this. Started by `rtvis.sinks.window` by its file name, and it imports
nothing of rtvis: it needs no torch, and is on screen in a third of a second.

Messages are tuples over one socket; pictures travel in shared memory, two buffers deep.
"""

import ctypes
import importlib.util
import mmap
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

ImageU8 = npt.NDArray[np.uint8]

NUM_BUFFERS = 2
WAIT_MS = 4
"""How long one turn listens for keys: 250 turns a second, a hundredth of a core."""
GEOMETRY_EVERY_S = 0.05
_NAME = "rtvis"
"""Of the window for OpenCV, which loses windows whose names are not plain ASCII."""
BACKGROUND = (26, 22, 20)


def let_qt_own_the_events() -> bool:
    """Make Qt the only one that takes events off the X connection; to be called before a window.

    The connection is shared by Qt, through xcb, and by libX11, which must be told to leave the
    events alone: `XSetEventQueueOwner` of libX11-xcb writes that into a private struct of libX11.
    opencv-python brings a libX11-xcb of its own (1.6.8) but takes libX11 from the system, where
    the field lies 8 bytes further since a later version. So the word goes elsewhere, libX11 goes on
    reading events, and those that it gets hold of first Qt never sees. Without its MapNotify a
    window stays black for good (3 to 40 of 100, more on a busy machine). The system's own
    libX11-xcb fits its libX11, and a library that is loaded globally is asked first.

    Returns:
        False where the system has none: nothing is changed then.
    """
    try:
        ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def all_keys() -> Any:
    """The reader of X's keys (`x_keys.XKeys`, loaded by its file as this program is); None where
    there is no X."""
    spec = importlib.util.spec_from_file_location("x_keys", Path(__file__).with_name("x_keys.py"))
    assert spec is not None, "it lies beside this file"
    assert spec.loader is not None, "and is a module"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.XKeys()
    except (OSError, AttributeError):
        return None


class _Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int))


class _Argument(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("name", ctypes.c_char_p))


class WheelUnzoom:
    """Takes back the zoom that OpenCV's Qt window makes on every turn of the wheel.

    There is no flag against that zoom, and a canvas that grows under the wheel cannot scroll a
    list. The widget has a slot that resets it, which only a toolbar button calls; it is called
    through Qt's own meta-object here. The call is queued, hence it runs after the zoom and before
    the repaint, and nothing flickers. Without Qt, or with one that lacks the symbols, it does
    nothing.
    """

    _NAMESPACES = ("14QtOpenCVPython", "")

    def __init__(self) -> None:
        self._call: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Queue the reset for the widget under the pointer."""
        if self._call is None:
            self._call = self._find()
        self._call()

    def _find(self) -> Callable[[], None]:
        paths: dict[str, str] = {}
        maps = Path("/proc/self/maps")
        for line in maps.read_text().splitlines() if maps.exists() else []:
            found = re.search(r"(/\S*libQt[56](Core|Gui|Widgets)[^/\s]*)$", line)
            if found:
                paths[found[2]] = found[1]
        if len(paths) < 3:
            return lambda: None
        core, gui, widgets = (ctypes.CDLL(paths[name]) for name in ("Core", "Gui", "Widgets"))
        for space in self._NAMESPACES:
            inner = "NS_" if space else ""
            end = "E" if space else ""
            repeat = "S8_" if space else "S7_"
            prefix = f"_ZN{space}"
            try:
                position = gui[f"{prefix}7QCursor3posEv"]
                widget_at = widgets[f"{prefix}12QApplication8widgetAtERK{inner}6QPoint{end}"]
                invoke = core[
                    f"{prefix}11QMetaObject12invokeMethodEP{inner}7QObject{end}PKc"
                    + (f"{inner}2Qt14ConnectionTypeE" if space else "N2Qt14ConnectionTypeE")
                    + f"{inner}22QGenericReturnArgument{end}{inner}16QGenericArgument{end}"
                    + repeat * 9
                ]
            except AttributeError:
                continue
            return _queued_reset(position, widget_at, invoke)
        return lambda: None


def _queued_reset(position: Any, widget_at: Any, invoke: Any) -> Callable[[], None]:
    position.restype, position.argtypes = _Point, []
    widget_at.restype, widget_at.argtypes = ctypes.c_void_p, [ctypes.POINTER(_Point)]
    invoke.restype = ctypes.c_bool
    invoke.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, *[_Argument] * 11]
    nothing = [_Argument(None, None)] * 11
    queued = 2

    def reset() -> None:
        viewport = widget_at(ctypes.byref(position()))
        if viewport:
            # QObject is {vtable, d}, QObjectData {vtable, q, parent, ...}, in Qt 5 and Qt 6.
            data = ctypes.c_void_p.from_address(viewport + ctypes.sizeof(ctypes.c_void_p)).value
            assert data is not None
            view = ctypes.c_void_p.from_address(data + 2 * ctypes.sizeof(ctypes.c_void_p)).value
            if view:
                invoke(view, b"resetZoom", queued, *nothing)

    return reset


class Placement:
    """Where a canvas lies in a window of another shape: scaled to fit, centred."""

    def __init__(self, canvas: tuple[int, int], window: tuple[int, int]) -> None:
        self.scale = min(window[0] / canvas[0], window[1] / canvas[1])
        self.size = (
            max(1, min(window[0], round(canvas[0] * self.scale))),
            max(1, min(window[1], round(canvas[1] * self.scale))),
        )
        self.top = (window[0] - self.size[0]) // 2
        self.left = (window[1] - self.size[1]) // 2
        self._canvas = canvas
        self._window = window

    def draw(self, canvas_HW3: ImageU8) -> ImageU8:
        """The picture for the whole window."""
        if self._canvas == self._window:
            return canvas_HW3
        height, width = self.size
        shrinks = self.scale < 1
        scaled = cv2.resize(
            canvas_HW3,
            (width, height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        image = np.full((*self._window, 3), BACKGROUND, np.uint8)
        image[self.top : self.top + height, self.left : self.left + width] = scaled
        return image

    def to_canvas(self, x: int, y: int) -> tuple[int, int]:
        """(x, y) on the canvas, clamped to it, of a point of the window."""
        return (
            min(self._canvas[1] - 1, max(0, int((x - self.left) / self.scale))),
            min(self._canvas[0] - 1, max(0, int((y - self.top) / self.scale))),
        )


class Window:
    """One OpenCV window: pictures in, messages out."""

    def __init__(self, link: Connection, memory: mmap.mmap, title: str, size: tuple[int, int]):
        self._link = link
        self._memory = memory
        self._size = size
        self._canvas: ImageU8 = np.full((*size, 3), BACKGROUND, np.uint8)
        self._placement = Placement(size, size)
        self._unzoom = WheelUnzoom()
        self._is_doubled = False
        self._looked_s = 0.0
        self._keys = all_keys()
        self._has_all_keys = False
        let_qt_own_the_events()
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(_NAME, flags)
        cv2.setWindowTitle(_NAME, title)
        cv2.resizeWindow(_NAME, size[1], size[0])
        cv2.setMouseCallback(_NAME, self._on_mouse)
        self._draw()  # on screen with the first turn of `run`, which also loses no key

    def run(self) -> str:
        """Serve until the user or the parent wants no more; returns the reason."""
        self._link.send(("ready",))
        while True:
            self._listen(WAIT_MS)
            if not self._is_open():
                return "the window was closed"
            self._follow_size()
            shown: tuple[int, int, int] | None = None
            while self._link.poll():
                message = self._link.recv()
                if message[0] == "quit":
                    return ""
                if shown is not None:
                    self._link.send(("free", *shown, 0))
                shown = message[1:4]
                self._take(message)
            if shown is not None:
                self._draw()
                self._listen(1)  # paints
                self._link.send(("free", *shown, time.monotonic_ns()))

    def _listen(self, wait_ms: int) -> None:
        """Let the window paint and take its events."""
        if self._keys is not None and not self._has_all_keys:
            self._has_all_keys = bool(self._keys.watch())
        code = cv2.waitKeyEx(wait_ms)  # the last one of the keys of a pass of Qt's loop
        codes = [] if code == -1 else [code]
        if self._keys is not None and self._has_all_keys:
            codes = self._keys.read()
        for each in codes:
            self._link.send(("key", each))

    def _take(self, message: tuple[Any, ...]) -> None:
        _, buffer, _, _, height, width = message
        start = buffer * (len(self._memory) // NUM_BUFFERS)
        flat = np.frombuffer(self._memory, np.uint8, height * width * 3, start)
        self._canvas = flat.reshape(height, width, 3).copy()
        self._placement = Placement((height, width), self._size)

    def _draw(self) -> None:
        cv2.imshow(_NAME, self._placement.draw(self._canvas))

    def _is_open(self) -> bool:
        try:
            return bool(cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) >= 1)
        except cv2.error:  # Qt has ended with its last window
            return False

    def _follow_size(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s < GEOMETRY_EVERY_S:
            return
        self._looked_s = now_s
        _, _, width, height = cv2.getWindowImageRect(_NAME)
        if width < 1 or height < 1 or (height, width) == self._size:
            return
        self._size = (height, width)
        self._placement = Placement(self._canvas.shape[:2], self._size)
        self._draw()
        self._link.send(("resize", height, width))

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        column, row = self._placement.to_canvas(x, y)
        buttons = {
            cv2.EVENT_LBUTTONDOWN: ("down", "left"),
            cv2.EVENT_RBUTTONDOWN: ("down", "right"),
            cv2.EVENT_MBUTTONDOWN: ("down", "middle"),
            cv2.EVENT_LBUTTONDBLCLK: ("double", "left"),
            cv2.EVENT_MOUSEMOVE: ("move", "left" if flags & cv2.EVENT_FLAG_LBUTTON else "none"),
        }
        # OpenCV's Qt window reports the second press of a double click twice, the second time as a
        # single one.
        again = self._is_doubled and event == cv2.EVENT_LBUTTONDOWN
        if event in {cv2.EVENT_LBUTTONDBLCLK, cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONUP}:
            self._is_doubled = event == cv2.EVENT_LBUTTONDBLCLK
        if again:
            return
        if event == cv2.EVENT_MOUSEWHEEL:
            self._unzoom()
            self._link.send(("pointer", "wheel", column, row, "none", flags >> 16))
        elif event in buttons:
            kind, button = buttons[event]
            self._link.send(("pointer", kind, column, row, button, 0))


def main() -> int:
    """Arguments: socket descriptor, memory descriptor, title, height, width."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    link_fd, memory_fd, height, width = (int(sys.argv[index]) for index in (1, 2, 4, 5))
    link = Connection(link_fd)
    memory = mmap.mmap(memory_fd, os.fstat(memory_fd).st_size, prot=mmap.PROT_READ)
    try:
        reason = Window(link, memory, sys.argv[3], (height, width)).run()
        cv2.destroyAllWindows()
        link.send(("closed", reason))
    except (BrokenPipeError, EOFError, ConnectionResetError):
        return 0  # the parent is gone
    except cv2.error as error:
        link.send(("closed", f"the window failed: {error}"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The keys pressed in this process's windows, all of them, by an X connection of their own.

OpenCV's `waitKeyEx` keeps one key: of several that arrive within one pass of Qt's event loop it
gives the last, and the others are gone. X hands each key press to every client that asks for it, so
this asks too. For the process that owns the window (`rtvis.sinks.window_child`), and like that it
imports nothing of rtvis. Needs libX11, which OpenCV's Qt needs as well; where there is no X there
are no keys to be had this way, and the caller stays with OpenCV's.
"""

import ctypes
import os
from typing import Any, Final

_KEY_PRESS: Final = 2
_KEY_PRESS_MASK: Final = 1
_MAPPING_NOTIFY: Final = 34
_CONTROL: Final = 4
_SHIFT_AND_LOCK: Final = 3

_CODES: Final = {
    0xFF08: 8, 0xFF09: 9, 0xFE20: 9, 0xFF0D: 13, 0xFF8D: 13, 0xFF1B: 27,
    0xFF9E: 0xFF63, 0xFF9F: 0xFFFF,  # Insert and Delete of the keypad
    0xFFAA: 42, 0xFFAB: 43, 0xFFAC: 44, 0xFFAD: 45, 0xFFAE: 46, 0xFFAF: 47, 0xFF80: 32,
    **{0xFFB0 + digit: 48 + digit for digit in range(10)},
}  # fmt: skip
"""X's names of keys to the codes that `waitKeyEx` gives for the same; others are equal."""


class _KeyEvent(ctypes.Structure):
    """XKeyEvent of Xlib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("root", ctypes.c_ulong),
        ("subwindow", ctypes.c_ulong),
        ("time", ctypes.c_ulong),
        ("x", ctypes.c_int),
        ("y", ctypes.c_int),
        ("x_root", ctypes.c_int),
        ("y_root", ctypes.c_int),
        ("state", ctypes.c_uint),
        ("keycode", ctypes.c_uint),
        ("same_screen", ctypes.c_int),
    )


class _Event(ctypes.Union):
    _fields_ = (("type", ctypes.c_int), ("key", _KeyEvent), ("room", ctypes.c_long * 24))


_ON_ERROR = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _pass_over(display: int, error: int) -> int:
    """A window that is gone meanwhile must not end the process, as Xlib would have it."""
    del display, error
    return 0


_ignoring = _ON_ERROR(_pass_over)  # kept: Xlib holds no reference


class XKeys:
    """The key presses of this process's windows, in their order."""

    def __init__(self) -> None:
        """Connect.

        Raises:
            OSError: There is no libX11, or no X server.
        """
        self._x = _xlib()
        self._x.XSetErrorHandler(_ignoring)
        self._display = self._x.XOpenDisplay(None)
        if not self._display:
            raise OSError("no X server")

    def watch(self) -> bool:
        """Ask for the keys of the windows that this process has now; False where it has none."""
        pid = self._x.XInternAtom(self._display, b"_NET_WM_PID", False)
        own = [
            window
            for window in self._windows(self._x.XDefaultRootWindow(self._display), depth=3)
            if self._number(window, pid) == os.getpid()
        ]
        for window in own:
            self._x.XSelectInput(self._display, window, _KEY_PRESS_MASK)
        self._x.XSync(self._display, False)
        return bool(own)

    def read(self) -> list[int]:
        """Codes of the keys that were pressed since the last call, oldest first, as `waitKeyEx`
        gives them; without those held down together with Control."""
        codes = []
        event = _Event()
        while self._x.XPending(self._display):
            self._x.XNextEvent(self._display, ctypes.byref(event))
            if event.type == _MAPPING_NOTIFY:
                self._x.XRefreshKeyboardMapping(ctypes.byref(event))
            if event.type != _KEY_PRESS or event.key.state & ~_SHIFT_AND_LOCK & 0xFF == _CONTROL:
                continue
            name = ctypes.c_ulong()
            self._x.XLookupString(ctypes.byref(event), None, 0, ctypes.byref(name), None)
            if name.value:
                codes.append(_code(name.value))
        return codes

    def _windows(self, window: int, *, depth: int) -> list[int]:
        """Those within a window; window managers put them into frames."""
        ids, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_uint()
        other = ctypes.c_ulong()
        is_there = self._x.XQueryTree(
            self._display, window, ctypes.byref(other), ctypes.byref(other), ctypes.byref(ids),
            ctypes.byref(count),
        )  # fmt: skip
        if not is_there or not count.value:
            return []
        found = ids[: count.value]
        self._x.XFree(ids)
        below = [self._windows(each, depth=depth - 1) if depth else [] for each in found]
        return [*found, *(each for part in below for each in part)]

    def _number(self, window: int, property_: int) -> int | None:
        """A property of a window that is one number."""
        kind, form = ctypes.c_ulong(), ctypes.c_int()
        count, rest = ctypes.c_ulong(), ctypes.c_ulong()
        value = ctypes.POINTER(ctypes.c_ulong)()
        self._x.XGetWindowProperty(
            self._display, window, property_, 0, 1, False, 0, ctypes.byref(kind),
            ctypes.byref(form), ctypes.byref(count), ctypes.byref(rest), ctypes.byref(value),
        )  # fmt: skip
        if not count.value:
            return None
        number = int(value[0]) if count.value == 1 and form.value == 32 else None
        self._x.XFree(value)
        return number


def _code(name: int) -> int:
    """What `waitKeyEx` gives for a key of X; letters are small, whether Shift is held or not."""
    if ord("A") <= name <= ord("Z"):
        return name + 32
    return _CODES.get(name, name)


def _xlib() -> Any:
    x = ctypes.CDLL("libX11.so.6")
    pointer, number = ctypes.c_void_p, ctypes.c_ulong
    signatures: tuple[tuple[Any, ...], ...] = (
        (x.XSetErrorHandler, pointer, _ON_ERROR),
        (x.XOpenDisplay, pointer, ctypes.c_char_p),
        (x.XInternAtom, number, pointer, ctypes.c_char_p, ctypes.c_int),
        (x.XDefaultRootWindow, number, pointer),
        (x.XSelectInput, ctypes.c_int, pointer, number, ctypes.c_long),
        (x.XSync, ctypes.c_int, pointer, ctypes.c_int),
        (x.XPending, ctypes.c_int, pointer),
        (x.XNextEvent, ctypes.c_int, pointer, pointer),
        (x.XRefreshKeyboardMapping, ctypes.c_int, pointer),
        (x.XLookupString, ctypes.c_int, pointer, pointer, ctypes.c_int, pointer, pointer),
        (x.XQueryTree, ctypes.c_int, pointer, number, *[pointer] * 4),
        (x.XFree, ctypes.c_int, pointer),
        (
            x.XGetWindowProperty, ctypes.c_int, pointer, number, number, ctypes.c_long,
            ctypes.c_long, ctypes.c_int, number, *[pointer] * 5,
        ),
    )  # fmt: skip
    for function, result, *arguments in signatures:
        function.restype, function.argtypes = result, arguments
    return x

"""The user of a running program: keys, clicks, and what must be seen on the screen after each."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from rtvis.render.grid import Rect
from rtvis.render.layout import Layout
from rtvis.render.moment_numbers import Moment, moments_of
from rtvis.runtime.bindings import BINDINGS
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import PageName, View
from tests.xvfb import Display

_X_NAMES: Final = {
    "left": "Left", "right": "Right", "up": "Up", "down": "Down", "page-up": "Prior",
    "page-down": "Next", "home": "Home", "end": "End", "tab": "Tab", "backspace": "BackSpace",
    "escape": "Escape", "f1": "F1", "?": "question", ",": "comma", ".": "period",
    ";": "semicolon", "/": "slash", "-": "minus", "'": "apostrophe", "[": "bracketleft",
    "]": "bracketright", "insert": "Insert", "\\": "backslash", "f3": "F3", "f4": "F4",
    "f8": "F8", "f9": "F9", "f11": "F11", "f12": "F12", "delete": "Delete",
}  # fmt: skip
"""xdotool's names of the keys that it calls otherwise."""

SHOWN_IN: Final = {
    "move left": "grid", "move right": "grid", "move up": "grid", "move down": "grid",
    "previous layer": "layers", "next layer": "layers", "cycle rule": "backprop",
    "cycle display": "backprop", "cycle backward easily": "backprop", "toggle gradients": "grid",
    "toggle freeze": "grid", "knock out": "unit", "double": "unit", "hold": "unit",
    "weaken": "unit", "strengthen": "unit", "undo change": "unit", "clear changes": "unit",
    "cycle zoom": "grid", "cycle cam": "input", "cycle cam method": "input",
    "cycle palette": "grid", "cycle gamma": "grid", "cycle unit boost": "grid",
    "toggle tap": "grid", "next page": "details", "toggle log counts": "details",
    "next dense layer": "details", "toggle classes": "details", "cycle fit": "input",
    "toggle pause": "header", "switch source": "header", "record": "header",
    "next picture": "input", "previous picture": "input", "toggle help": "input",
    "reset": "layers", "next pattern": "grid", "toggle growing": "details",
    "next beginning": "details",
}  # fmt: skip
"""The pane in which a command must be seen; others somewhere."""

_FIRST: Final = {
    "undo change": ("knock out",),
    "clear changes": ("knock out",),
    "hold": ("toggle tap",),
}
"""What must be done before, for a command to have something to do."""


class User:
    """Plays the user of a running program."""

    def __init__(self, pipeline: Pipeline, *, brief: bool) -> None:
        self._pipeline = pipeline
        self._display = Display(os.environ["DISPLAY"])
        self.done: dict[str, list[str]] = {
            name: [] for name in ("keys", "buttons", "panes", "pages", "lines", "pictures")
        }
        self.brief = brief

    @property
    def view(self) -> View:
        """The session's state."""
        return self._pipeline.session.read()[0]

    @property
    def num_processed(self) -> int:
        """Frames that went through the network."""
        return self._pipeline.loop.turn.figures.num_processed

    @property
    def num_cam_methods(self) -> int:
        """How many explain this network."""
        return len(self._pipeline.controller.cam_methods)

    @property
    def has_stand_in(self) -> bool:
        """Whether an optimised picture is looked at."""
        return self._pipeline.loop.turn.stand_in is not None

    @property
    def form(self) -> str:
        """In which form the network runs."""
        composed = self._pipeline.loop.turn.composed
        return composed.result.form if composed is not None and composed.result is not None else ""

    @property
    def seconds(self) -> float:
        """How far the clip is in the picture; -1 before the first one."""
        composed = self._pipeline.loop.turn.composed
        if composed is None or composed.frame is None or composed.frame.pts_seconds is None:
            return -1.0
        return composed.frame.pts_seconds

    @property
    def is_grown(self) -> bool:
        """Whether the page of what was learned has the selected unit's finished picture."""
        view = self.view
        learned = self._pipeline.loop.units.learning.shown(view, view.selection)
        return learned is not None and learned.optimized == "done"

    def moments(self) -> tuple[Moment, ...]:
        """What the page of moments shows."""
        composed = self._pipeline.loop.turn.composed
        return moments_of(composed.readout) if composed is not None else ()

    @property
    def layout(self) -> Layout:
        """Where everything lies that is on the screen."""
        drawn = self._pipeline.controller.drawn
        assert drawn is not None
        return drawn.layout

    def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Until something is so."""
        until_s = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < until_s, f"it never came: {what}; {self.view}"
            time.sleep(0.005)

    def canvas(self) -> npt.NDArray[np.uint8]:
        """The picture of the present state, once it is drawn, uint8 BGR."""

        def is_current() -> bool:
            composed = self._pipeline.loop.turn.composed
            if composed is None or composed.result is None:
                return False
            return _choices(composed.view) == _choices(self.view)

        self.wait(is_current, "a picture of the present state")
        turn = self._pipeline.loop.turn
        assert turn.composed is not None
        assert turn.num_faults == 0, "a turn went wrong"
        return turn.composed.picture.canvas_HW3

    def set_out(self, start: View) -> npt.NDArray[np.uint8]:
        """Everything as at the start, but for what the window and the source decide."""
        self._display.do("mousemove", 3, self.layout.panes["status"].bottom - 3)
        self._pipeline.session.apply(
            lambda view: replace(
                start, side=view.side, hover=view.hover, recording=view.recording, notice=""
            )
        )
        return self.canvas()

    def key(self, key: str) -> None:
        """Press a key."""
        self._display.do("key", _X_NAMES.get(key, key))

    def change(self, key: str) -> None:
        """Press a key that changes the state, and see the picture of that."""
        before = self.view
        self.key(key)
        self.wait(lambda: _asked(self.view) != _asked(before), f"what {key} changes")
        self.canvas()

    def click(self, rect: Rect, *, twice: bool = False, share: float = 0.5) -> None:
        """Click into a rectangle."""
        x, y = rect.left + int(rect.width * share), rect.top + int(rect.height * share)
        clicks = ("click", "--repeat", 2, "--delay", 40, 1) if twice else ("click", 1)
        self._display.do("mousemove", x, y, *clicks)

    def wheel(self, rect: Rect, button: int) -> None:
        """Turn the wheel over a rectangle, 4 up or 5 down."""
        x, y = rect.left + rect.width // 2, rect.top + rect.height // 2
        self._display.do("mousemove", x, y, "click", button)

    def check(self, act: Callable[[], None], start: View, name: str, what: str) -> None:
        """Do something from the start, and see that the state and the right pane answer."""
        before = self.set_out(start)
        for first in _FIRST.get(name, ()):
            earlier = self.view
            self.key(next(b for b in BINDINGS if b.name == first).keys[0])
            self.wait(lambda earlier=earlier: self.view != earlier, f"{what}: {first}")  # type: ignore[misc]
            before = self.canvas()
        view, num_frames = self.view, self._num_frames()
        panes = self.layout.panes
        act()
        self.wait(
            lambda: _asked(self.view) != _asked(view) or self._num_frames() != num_frames,
            f"{what}: {name} changes something",
        )
        self.canvas()  # a turn that fails is told here
        pane = SHOWN_IN.get(name)
        self.wait(
            lambda: _differs(before, self.canvas(), panes[pane] if pane else None),
            f"{what}: {name} is seen in {pane or 'some pane'}",
        )

    def _num_frames(self) -> str:
        composed = self._pipeline.loop.turn.composed
        return "" if composed is None or composed.frame is None else composed.frame.name

    def page(self, name: PageName) -> None:
        """Turn the details pane to a page, by its key."""
        while self.view.page != name:
            page = self.view.page
            self.key("9")
            self.wait(lambda page=page: self.view.page != page, "another page")  # type: ignore[misc]
            self.canvas()

    def photograph(self, name: str) -> None:
        """Keep what is on the screen, which must be what was drawn."""
        self._display.do("mousemove", 3, self.layout.panes["status"].bottom - 3)
        self.wait(lambda: self.view.hover.kind in {"none", "pane"}, "the pointer away")
        time.sleep(1.0)  # rates, notices and a smoothed range come to rest
        path = Path(f"{name}.png").absolute()

        def is_shown() -> bool:
            canvas = self.canvas()
            image = self._display.photograph(path)
            width = canvas.shape[1]
            status = self.layout.panes["status"].top
            header = self.layout.panes["header"].bottom
            return bool((image[header:status, :width] == canvas[header:status]).all())

        self.wait(is_shown, f"{name} on the screen")
        self.done["pictures"].append(name)

    def photograph_running(
        self, name: str, *, seconds: tuple[float, float], num_rounds: int, limit_s: float = 120.0
    ) -> None:
        """Keep what is drawn of a running clip, at its best rate.

        Args:
            name: Of the picture.
            seconds: Between which times of the clip.
            num_rounds: How often the clip comes by.
            limit_s: Of all that.
        """
        self._display.do("mousemove", 3, self.layout.panes["status"].bottom - 3)
        best_fps, was_there, num_gone = 0.0, False, 0
        until_s = time.monotonic() + limit_s
        while num_gone < num_rounds:
            assert time.monotonic() < until_s, f"the clip came by {num_gone} times"
            time.sleep(0.01)
            composed = self._pipeline.loop.turn.composed
            if composed is None or composed.frame is None or composed.frame.pts_seconds is None:
                continue
            is_there = seconds[0] <= composed.frame.pts_seconds <= seconds[1]
            num_gone += was_there and not is_there
            was_there = is_there
            fps = self._pipeline.delivery.shown.fps
            if is_there and fps > best_fps:
                best_fps = fps
                cv2.imwrite(f"{name}.png", composed.picture.canvas_HW3)
        self.done["pictures"].append(name)

    def choose_layer(self, is_it: Callable[[str], bool]) -> None:
        """Click the first layer in sight whose name is so."""
        strip = self.layout.strip
        chip = next(c for c in strip.chips if c.layer and is_it(c.layer) and strip.rect(c))
        rect = strip.rect(chip)
        assert rect is not None
        self.click(rect)
        self.wait(lambda: self.view.selection.layer == chip.layer, f"the layer {chip.layer}")

    def text_of_buttons(self) -> list[str]:
        """Names of the buttons in sight."""
        return [button.name for button in self.layout.buttons]


def _choices(view: View) -> View:
    """Without what comes and goes by itself."""
    return replace(view, notice="", notice_is_warning=False, recording=False)


def _asked(view: View) -> View:
    """Without what only follows the pointer."""
    return replace(view, hover=View().hover)


def _differs(before: npt.NDArray[Any], after: npt.NDArray[Any], pane: Rect | None) -> bool:
    if pane is None:
        return bool((before != after).any())
    return bool((before[pane.rows, pane.columns] != after[pane.rows, pane.columns]).any())

"""main.py with somebody at its keyboard: started by `tools.tour`, one script a run.

The program is started as a user starts it. A thread beside it presses keys and moves the pointer
with xdotool, reads off the running program what they did, and looks at what came on the screen.
"""

import json
import os
import runpy
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rtvis.render.grid import Rect
from rtvis.render.help_table import lay_help
from rtvis.render.layout import Layout
from rtvis.render.moments_plan import lay_moments
from rtvis.render.pages.moments import Moment, moments_of
from rtvis.runtime.bindings import BINDINGS, KeyBinding, by_button, help_lines
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import PageName, View
from tests.xvfb import Display

ROOT: Final = Path(__file__).resolve().parent.parent

_X_NAMES: Final = {
    "left": "Left", "right": "Right", "up": "Up", "down": "Down", "page-up": "Prior",
    "page-down": "Next", "home": "Home", "end": "End", "tab": "Tab", "backspace": "BackSpace",
    "escape": "Escape", "f1": "F1", "?": "question", ",": "comma", ".": "period",
    ";": "semicolon", "/": "slash", "-": "minus", "'": "apostrophe", "[": "bracketleft",
    "]": "bracketright", "insert": "Insert", "\\": "backslash", "f3": "F3", "f4": "F4",
    "f8": "F8", "f9": "F9", "f11": "F11", "f12": "F12", "delete": "Delete",
}  # fmt: skip
"""xdotool's names of the keys that it calls otherwise."""

_SHOWN_IN: Final = {
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
    def has_stand_in(self) -> bool:
        """Whether an optimised picture is looked at."""
        return self._pipeline._turn.stand_in is not None

    def moments(self) -> tuple[Moment, ...]:
        """What the page of moments shows."""
        composed = self._pipeline._turn.composed
        return moments_of(composed.readout) if composed is not None else ()

    @property
    def layout(self) -> Layout:
        """Where everything lies that is on the screen."""
        drawn = self._pipeline._controller.drawn
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
            composed = self._pipeline._turn.composed
            if composed is None or composed.result is None:
                return False
            return _choices(composed.view) == _choices(self.view)

        self.wait(is_current, "a picture of the present state")
        turn = self._pipeline._turn
        assert turn.composed is not None
        assert turn.faults.num_faults + turn.draw_faults.num_faults == 0, "a turn went wrong"
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
        pane = _SHOWN_IN.get(name)
        self.wait(
            lambda: _differs(before, self.canvas(), panes[pane] if pane else None),
            f"{what}: {name} is seen in {pane or 'some pane'}",
        )

    def _num_frames(self) -> str:
        composed = self._pipeline._turn.composed
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


def keys(user: User) -> None:
    """Every key of the table, from the same state each."""
    start = user.view
    last = [b for b in BINDINGS if b.action == "leave"]
    for binding in (b for b in BINDINGS if b not in last):
        for key in binding.keys[:1] if user.brief else binding.keys:
            user.check(lambda key=key: user.key(key), start, binding.name, f"key {key}")  # type: ignore[misc]
            _see_to_it(user, binding)
            user.done["keys"].append(key)
    user.set_out(start)
    user.key("h")
    user.wait(lambda: user.view.help_shown, "help")
    user.canvas()
    if not user.brief:
        user.photograph("help")
    user.key("escape")
    user.wait(lambda: not user.view.help_shown, "Esc closes the help")
    user.done["keys"].append("escape")
    user.photograph("screen")


def _see_to_it(user: User, binding: KeyBinding) -> None:
    """What reaches beyond the picture."""
    if binding.action == "save":
        user.wait(lambda: any(Path().glob("*/state.yaml")), "a saved state")
    if binding.action == "record":
        user.wait(lambda: user.view.recording, "a recording")
        time.sleep(0.5)
        user.key(binding.keys[0])
        user.wait(lambda: not user.view.recording, "its end")
        user.wait(lambda: any(path.stat().st_size for path in Path().glob("*.mp4")), "a film")
    if binding.action == "optimised picture as input" and user.has_stand_in:
        user.key(binding.keys[0])
        user.wait(lambda: not user.has_stand_in, "the film again")
    if binding.action == "switch source":
        user.key(binding.keys[0])
        user.wait(lambda: user.view.side == "files", "the files again")


def clicks(user: User) -> None:
    """Every button on every page, and every pane."""
    start = user.view
    table = by_button()
    for page in ("unit", "learned", "moments", "dense", "changes", "histogram", "correlation"):
        user.set_out(start)
        user.page(page)
        user.done["pages"].append(page)
        here = replace(user.view, notice="")
        for name in user.text_of_buttons():
            if name in user.done["buttons"]:
                continue
            _press(user, name, table[name], here)
            user.done["buttons"].append(name)
        user.set_out(here)
        time.sleep(0.3)
        user.photograph(f"page-{page}")
        _click_page(user, page, here)
    _click_panes(user, start)
    _click_help(user, start)
    missing = set(table) - set(user.done["buttons"]) - {"labels", "compared"}
    assert not missing, f"no such buttons in sight: {missing}"


def _press(user: User, name: str, binding: KeyBinding, here: View) -> None:
    def act() -> None:
        button = user.layout.button(name)
        assert button is not None, f"the button {name} is gone"
        user.click(button.rect)

    user.check(act, here, binding.name, f"button {name}")
    if name == "as-input" and user.has_stand_in:
        act()
        user.wait(lambda: not user.has_stand_in, "the film again")
    if name in {"record", "source"}:
        side, recording = user.view.side, user.view.recording
        user.canvas()
        act()
        user.wait(lambda: (user.view.side, user.view.recording) != (side, recording), f"{name} off")
        user.canvas()


def _click_page(user: User, page: str, here: View) -> None:
    """Somewhere on a page that answers clicks, and the wheel on that of the changes."""
    area = user.layout.contents["details"]
    if page == "dense":
        user.click(Rect(area.top + area.height // 4, area.left, 4, area.width), share=0.3)
    if page == "changes":
        view = user.view
        user.wheel(area, 4)
        user.wait(lambda: user.view.selection != view.selection, "the wheel changes the unit")
        user.canvas()
    if page == "correlation":
        user.click(Rect(area.top + 20, area.left + 20, 80, 80))
    if page == "moments":
        _click_moment(user, area)
    user.canvas()
    user.set_out(here)


def _click_moment(user: User, area: Rect) -> None:
    """Look at the best moment, and at the source again."""
    grid = lay_moments(area, user.layout.metrics).grid
    best = grid.tile(0) if grid is not None else None
    assert best is not None, "there is room for moments"
    user.key("e")  # all that was seen before may be forgotten
    user.wait(lambda: bool(user.moments()), "a moment")
    for wanted in (True, False):
        user.click(best)
        user.wait(lambda wanted=wanted: user.has_stand_in == wanted, "a moment as the input")  # type: ignore[misc]
        user.canvas()


def _click_help(user: User, start: View) -> None:
    """Every line of the help that changes the view, by the pointer."""
    listed = [binding for binding in BINDINGS if binding.keys]
    for index, binding in enumerate(listed):
        if isinstance(binding.action, str) or binding.name == "toggle help":
            continue

        def act(index: int = index) -> None:
            user.key("h")
            user.wait(lambda: user.view.help_shown, "help")
            user.canvas()
            layout = user.layout
            user.click(lay_help(help_lines(), layout.metrics, layout.size).rows[index])
            user.wait(lambda: not user.view.help_shown, "a line of the help")

        user.check(act, start, binding.name, f"line {index} of the help")
        user.done["lines"].append(binding.name)


def _click_panes(user: User, start: View) -> None:
    """What a click into each pane asks for."""

    def expect(pane: str, act: Callable[[], None], is_so: Callable[[], bool]) -> None:
        user.set_out(start)
        act()
        user.wait(is_so, f"a click into {pane}")
        user.canvas()
        user.done["panes"].append(pane)

    user.set_out(start)
    layout = user.layout
    assert layout.grid is not None
    other = next(
        unit for unit in range(layout.grid.num) if layout.grid.tile(unit) and unit != layout.unit
    )
    tile = layout.grid.tile(other)
    assert tile is not None
    expect("grid", lambda: user.click(tile), lambda: user.view.selection.unit == other)
    expect(
        "unit",
        lambda: user.click(layout.images["unit"], share=0.4),
        lambda: user.view.selection.position is not None,
    )
    expect(
        "layers",
        lambda: user.choose_layer(lambda name: name != start.selection.layer),
        lambda: user.view.cursor == "layers",
    )
    row = layout.class_rows[1]
    expect("classes", lambda: user.click(row), lambda: user.view.selection.class_index is not None)
    expect(
        "classes twice",
        lambda: user.click(row, twice=True),
        lambda: user.view.selection.layer != start.selection.layer,
    )
    expect(
        "grid wheel",
        lambda: user.wheel(layout.panes["grid"], 5),
        lambda: layout.max_grid_scroll == 0 or user.view.grid_scroll > start.grid_scroll,
    )
    for pane in ("input", "backprop", "details", "header", "status"):
        user.set_out(start)
        user.click(layout.panes[pane], share=0.5)
        time.sleep(0.2)
        user.canvas()
        user.done["panes"].append(pane)


def pictures(user: User) -> None:
    """What README and docs/ show of the default network."""
    user.wait(lambda: user._pipeline._turn.num_processed > 20, "frames")
    user.key("space")
    user.wait(lambda: user.view.paused, "the picture held")
    start = replace(user.view, hint_shown=False)
    user.set_out(start)
    user.photograph("window")

    user.set_out(start)
    user.choose_layer(lambda name: name == "conv_stem")
    user.canvas()
    assert user.layout.grid is not None
    tile = user.layout.grid.tile(0)
    assert tile is not None
    user.click(tile)
    user.wait(lambda: user.view.selection.unit == 0, "the first unit")
    for key in ("t", "."):
        before = user.view
        user.key(key)
        user.wait(lambda before=before: _asked(user.view) != _asked(before), key)  # type: ignore[misc]
        user.canvas()
    user.photograph("maps")

    user.set_out(start)
    user.page("histogram")
    user.key(".")
    user.key("-")
    user.photograph("histogram")

    user.set_out(start)
    user.page("correlation")
    user.photograph("correlation")

    user.set_out(start)
    user.click(user.layout.class_rows[0], twice=True)
    user.wait(lambda: user.view.selection.layer != start.selection.layer, "the class's unit")
    user.canvas()
    user.key("d")
    user.wait(lambda: user.view.selection.origin is not None, "a frozen start")
    user.choose_layer(lambda name: name == "blocks.5.0.conv_pw")
    user.key("a")
    user.wait(lambda: user.view.selection.gradients, "gradients")
    user.photograph("gradients")

    user.set_out(start)
    user.page("changes")
    for keys_ in ("1", "right", "2", "2", "right", "]", "u", "1"):
        before = user.view
        user.key(keys_)
        user.wait(lambda before=before: user.view != before, keys_)  # type: ignore[misc]
        user.canvas()
    user.photograph("changes")


def compared(user: User) -> None:
    """Two pictures with one selection: A, B, and their difference."""
    start = replace(user.view, hint_shown=False)
    user.set_out(start)
    for wanted in ("second", "difference", "first", "second", "difference"):
        user.key("/")
        user.wait(lambda wanted=wanted: user.view.compared == wanted, wanted)  # type: ignore[misc]
        user.canvas()
    user.done["keys"].append("/")
    user.photograph("compare")
    user.set_out(start)
    button = user.layout.button("compared")
    assert button is not None
    user.click(button.rect)
    user.wait(lambda: user.view.compared == "second", "the button")
    user.done["buttons"].append("compared")


def dense(user: User) -> None:
    """The label picture, a clicked pixel, and its class."""
    user.canvas()
    user.click(user.layout.images["input"], share=0.45)
    user.wait(lambda: user.view.selection.region is not None, "a clicked pixel")
    user.done["panes"].append("input")
    user.photograph("dense")
    button = user.layout.button("labels")
    assert button is not None
    user.click(button.rect)
    user.wait(lambda: not user.view.labels_shown, "labels off")
    user.done["buttons"].append("labels")
    user.photograph("dense-cam")
    user.key(",")
    user.wait(lambda: user.view.labels_shown, "labels on")
    user.done["keys"].append(",")


def tokens(user: User) -> None:
    """Every layer of a transformer, and every CAM method."""
    for _ in range(6):
        user.key("u")
        user.canvas()
    for _ in user._pipeline._controller._cam_methods:
        before = user.view
        user.key("y")
        user.wait(lambda before=before: user.view != before, "the next method")  # type: ignore[misc]
        user.canvas()
    user.choose_layer(lambda name: name.endswith("attn"))
    user.photograph("tokens")


SCRIPTS: Final = {each.__name__: each for each in (keys, clicks, pictures, compared, dense, tokens)}


def main() -> None:
    """Start main.py with what stands behind `--`, and the script beside it."""
    script, flags = SCRIPTS[sys.argv[1]], sys.argv[sys.argv.index("--") + 1 :]
    brief = "--brief" in sys.argv[: sys.argv.index("--")]
    run: Callable[..., Any] = Pipeline.run

    def toured(pipeline: Pipeline, **options: Any) -> Any:
        user = User(pipeline, brief=brief)

        def play() -> None:
            try:
                user.canvas()
                script(user)
                Path(f"{script.__name__}.json").write_text(json.dumps(user.done))
                user.key("q")
                user.done["keys"].append("q")
            except BaseException:  # noqa: BLE001 - the exit code and the log tell it
                traceback.print_exc()
                pipeline._end("failed", "the tour failed")

        player = threading.Thread(target=play, daemon=True)
        player.start()
        return run(pipeline, **options)

    Pipeline.run = toured  # type: ignore[method-assign,assignment]
    sys.argv = [str(ROOT / "main.py"), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()

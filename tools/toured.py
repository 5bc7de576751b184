"""main.py with somebody at its keyboard: started by `tools.tour`, one script a run.

The program is started as a user starts it. A thread beside it presses keys and moves the pointer
with xdotool, reads off the running program what they did, and looks at what came on the screen.
"""

import json
import runpy
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rtvis.render.grid import Rect
from rtvis.render.help_table import lay_help
from rtvis.render.moments_plan import lay_moments
from rtvis.runtime.bindings import BINDINGS, KeyBinding, by_button, help_lines
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import View
from tools.tour_user import User

ROOT: Final = Path(__file__).resolve().parent.parent


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


_CAT_S: Final = (0.2, 0.9)
"""When the clip shows most of the cat."""


def pictures(user: User) -> None:
    """What README and docs/ show of the default network."""
    start = replace(user.view, hint_shown=False)
    user.wait(lambda: user.form == "compiled", "the compiled form", timeout_s=600)
    held = replace(start, paused=True)
    user.set_out(held)  # beside a running film it grows in the spare time, which may be little
    user.page("learned")
    user.wait(lambda: user.is_grown, "a picture that has grown", timeout_s=240)
    user.set_out(replace(start, page="learned"))
    user.photograph_running("window", seconds=_CAT_S, num_rounds=3)
    user.set_out(start)
    user.wait(lambda: _CAT_S[0] < user.seconds < _CAT_S[1], "the cat")
    user.key("space")
    user.wait(lambda: user.view.paused, "the picture held")
    start = held
    scenes: dict[str, Callable[[], None]] = {
        "maps": lambda: _choose_a_map(user),
        "histogram": lambda: _open_histogram(user),
        "correlation": lambda: user.page("correlation"),
        "gradients": lambda: _follow_a_class(user),
        "score": lambda: _start_at_the_score(user),
        "learned": lambda: _open_what_was_learned(user),
        "changes": lambda: _change_units(user),
    }
    for name, act in scenes.items():
        user.set_out(start)
        act()
        user.photograph(name)


def _choose_a_map(user: User) -> None:
    """A unit of the first layer that finds edges, all values brighter."""
    user.choose_layer(lambda name: name == "conv_stem")
    user.canvas()
    assert user.layout.grid is not None
    tile = user.layout.grid.tile(15)
    assert tile is not None
    user.click(tile)
    user.wait(lambda: user.view.selection.unit == 15, "a unit that finds edges")
    for key in ("t", "."):
        user.change(key)


def _open_histogram(user: User) -> None:
    user.page("histogram")
    user.key(".")
    user.key("-")


def _follow_a_class(user: User) -> None:
    """Gradients of the best class's unit, at a layer below it."""
    last = user.view.selection.layer
    user.click(user.layout.class_rows[0], twice=True)
    user.wait(lambda: user.view.selection.layer != last, "the class's unit")
    user.canvas()
    user.key("d")
    user.wait(lambda: user.view.selection.origin is not None, "a frozen start")
    user.choose_layer(lambda name: name == "blocks.5.0.conv_pw")
    user.key("a")
    user.wait(lambda: user.view.selection.gradients, "gradients")
    user.canvas()
    tile = user.layout.grid.tile(44) if user.layout.grid is not None else None
    assert tile is not None
    user.click(tile)
    user.wait(lambda: user.view.selection.unit == 44, "a unit that speaks for the cat")
    for _ in range(2):  # a few gradients are far larger than all others
        user.change("t")


def _start_at_the_score(user: User) -> None:
    """What speaks for the best class, large."""
    while user.view.selection.seed != "score":
        user.change("p")
    for _ in range(2):
        user.change("z")


def _open_what_was_learned(user: User) -> None:
    """What excites the unit: a picture that has grown, and the best of the clip."""
    user.page("learned")
    user.wait(lambda: user.is_grown, "the picture that has grown")


def _change_units(user: User) -> None:
    user.page("changes")
    for key in ("1", "right", "2", "2", "right", "]", "u", "2"):
        user.change(key)


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
    user.wait(lambda: not user.view.labels_shown, "its CAM")
    user.photograph("dense-cam")
    button = user.layout.button("labels")
    assert button is not None
    user.click(button.rect)
    user.wait(lambda: user.view.labels_shown, "labels on")
    user.done["buttons"].append("labels")
    user.photograph("dense")
    user.key(",")
    user.wait(lambda: not user.view.labels_shown, "labels off")
    user.done["keys"].append(",")


def tokens(user: User) -> None:
    """Every layer of a transformer, and every CAM method."""
    user.wait(lambda: user.view.selection.unit is not None, "a unit to begin with")
    for _ in range(6):
        user.key("u")
        user.canvas()
    for _ in range(user.num_cam_methods):
        user.change("y")
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
                pipeline.end("failed", "the tour failed")

        player = threading.Thread(target=play, daemon=True)
        player.start()
        return run(pipeline, **options)

    Pipeline.run = toured  # type: ignore[method-assign,assignment]
    sys.argv = [str(ROOT / "main.py"), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()

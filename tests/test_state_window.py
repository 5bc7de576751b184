"""What is saved from the real window shows the same again, pane by pane."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest
import yaml

from rtvis import cli
from tests.conftest import ROOT
from tests.waiting import wait_for
from tests.workplace import write_workplace
from tests.xvfb import Screen

PANES = ("input", "unit", "backprop", "layers", "grid", "classes", "details")
SIZE = (900, 1300)


class Program:
    """`main.py` in a window, in a folder of its own."""

    def __init__(self, screen: Screen, here: Path, *argv: str) -> None:
        self.screen = screen
        self.here = here
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), "--compile", "off", "--device", "cpu", *argv],
            cwd=here,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self.window = screen.window(timeout_s=150)
        except AssertionError:
            self.__exit__()
            raise

    def press(self, *keys: str) -> None:
        for key in keys:
            self.screen.do("key", "--window", self.window, key)

    def point(self, row: int, column: int) -> None:
        self.screen.do("mousemove", "--window", self.window, column, row)

    def saved(self, says: Callable[[dict[str, Any]], bool]) -> Path:
        """Save until the picture was drawn as `says` wants it; returns the folder."""
        found: list[Path] = []

        def is_there() -> bool:
            before = set(self.here.glob("rtvis-*"))
            self.press("x")
            until_s = time.monotonic() + 5  # one that still writes the one before takes no other
            while not (new := set(self.here.glob("rtvis-*")) - before):
                if time.monotonic() > until_s:
                    return False
                time.sleep(0.02)
            found.append(new.pop())
            return says(yaml.safe_load((found[-1] / "state.yaml").read_text()))

        wait_for(is_there, "a saved view")
        return found[-1]

    def leave(self) -> None:
        self.press("q")
        _, told = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    with Screen(SIZE) as screen:
        monkeypatch.setenv("DISPLAY", screen.name)
        yield screen


def differing(first: Path, second: Path) -> dict[str, int]:
    """How many pixels of each pane are not the same."""
    found = {}
    for pane in PANES:
        one, other = (cv2.imread(str(folder / f"{pane}.png")) for folder in (first, second))
        assert one.shape == other.shape, pane
        found[pane] = int((one != other).any(axis=2).sum())
    return found


SAME = dict.fromkeys(PANES, 0)


@pytest.mark.window
@pytest.mark.timeout(900)  # three starts of the program, on a machine that may be busy
def test_what_was_saved_from_the_window_opens_with_every_pane_the_same(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    with Program(
        screen, tmp_path, "--network", "net.py:Net", "--size", "32", "--stream", "film.avi",
        "--loop", "--canvas", f"{SIZE[0]}x{SIZE[1]}", "--layer", "first", "--unit", "2",
    ) as program:  # fmt: skip
        # Whatever is saved of a film says that it is held; what was drawn with a later key is.
        program.press("space", "z")
        program.saved(lambda state: state["display"]["zoom"] == "unit")
        program.press("z", "z")
        held = program.saved(lambda state: state["display"]["zoom"] == "grid")
        # The pointer lies on a map, whose outline and words are on the screen.
        grid = cv2.imread(str(held / "grid.png"))
        canvas = cv2.imread(str(held / "canvas.png"))
        top, left = _place(grid, canvas)
        program.point(top + grid.shape[0] // 2, left + grid.shape[1] // 4)

        def shows_more() -> bool:
            photo = screen.photograph(tmp_path / "screen.png")
            rows, columns = grid.shape[:2]
            return bool((photo[top : top + rows, left : left + columns] != grid).any())

        wait_for(shows_more)
        pointed = program.saved(lambda state: True)
        views = [held, pointed]
        assert differing(held, pointed) == SAME, "the pointer passes"
        for keys, says in (
            (("Right", "a"), lambda s: s["selection"]["gradients"]),
            (("a", "9", "9"), lambda s: s["display"]["page"] == "moments"),
            (("s", "s", "s"), lambda s: s["display"]["pattern"] == "moments"),
            (("s", "9", "9", "9", "9"), lambda s: s["display"]["page"] == "correlation"),
            (
                ("1", "z"),
                lambda s: s["display"]["zoom"] == "unit" and s["selection"]["interventions"],
            ),
        ):
            program.press(*keys)
            views.append(program.saved(says))
        program.leave()

    for view in views:
        argv = ["--config", f"{view}/state.yaml", "--view", "none", "--frames", "1"]
        assert cli.main([*argv, "--compile", "off", "--device", "cpu", "--save", "out"]) == 0
        again = Path(capsys.readouterr().out.strip())
        assert differing(view, again) == SAME, (view / "state.yaml").read_text()
    assert differing(views[0], views[2]) != SAME, "it can fail"

    for view, flag in ((views[2], "--config"), (views[3], "--state")):
        with Program(screen, tmp_path, flag, f"{view}/state.yaml") as program:
            again = program.saved(lambda state: True)
            program.leave()
        assert differing(view, again) == SAME


def _place(part: np.ndarray, whole: np.ndarray) -> tuple[int, int]:
    """(top, left) of a part of a picture."""
    found = cv2.matchTemplate(whole, part, cv2.TM_SQDIFF)
    row, column = np.unravel_index(int(found.argmin()), found.shape)
    return int(row), int(column)

"""The scripted tour of `tools.tour`: the real program, with somebody at its keys and pointer."""

from pathlib import Path

import pytest

from rtvis.runtime.bindings import BINDINGS, by_button
from tools.tour import STOPS, take
from tools.tour_user import SHOWN_IN
from tools.toured import SCRIPTS


@pytest.mark.window
def test_each_command_of_the_table_answers_its_first_key(tmp_path: Path) -> None:
    found = take("keys", tmp_path, brief=True)
    first = {b.keys[0] for b in BINDINGS if b.keys and b.action != "leave"}
    assert set(found["keys"]) == {*first, "escape"}


@pytest.mark.window
@pytest.mark.slow
def test_every_key_of_the_table_answers(tmp_path: Path) -> None:
    found = take("keys", tmp_path)
    leaving = {key for b in BINDINGS if b.action == "leave" for key in b.keys}
    assert set(found["keys"]) | leaving == {key for b in BINDINGS for key in b.keys}


@pytest.mark.window
@pytest.mark.slow
def test_every_button_and_every_pane_answers(tmp_path: Path) -> None:
    buttons, panes = set(), set()
    for name in ("clicks", "compare", "dense"):
        found = take(name, tmp_path / name)
        buttons |= set(found["buttons"])
        panes |= set(found["panes"])
    assert buttons == set(by_button())
    assert panes >= {"input", "unit", "backprop", "layers", "grid", "classes", "details"}


@pytest.mark.window
@pytest.mark.slow
@pytest.mark.parametrize("name", ["pictures", "tokens"])
def test_the_other_stops_go_through(name: str, tmp_path: Path) -> None:
    assert take(name, tmp_path)["pictures"]


def test_the_tour_knows_what_it_expects_of_which_command() -> None:
    assert set(SHOWN_IN) <= {binding.name for binding in BINDINGS}
    assert {stop.script for stop in STOPS.values()} == set(SCRIPTS)

"""The user's own keys: which file gives which, what is refused, and where they are shown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rtvis import cli
from rtvis.config import Config
from rtvis.data import KeyEvent, Selection
from rtvis.errors import ConfigError
from rtvis.flags import parse_config
from rtvis.render.help_table import lay_help
from rtvis.render.layout import layout
from rtvis.render.metrics import metrics_for
from rtvis.render.text import measure
from rtvis.runtime.bindings import BINDINGS, KeyBinding, by_key, help_lines, key_of, markdown_table
from rtvis.runtime.drawn import Drawn
from rtvis.runtime.keymap import with_keys
from rtvis.session import Session, View
from rtvis.sinks.keys import KEY_NAMES, key_name
from tests.nets_fake import LAYERS, controller_of

ROOT = Path(__file__).parents[1]

Read = Callable[[str], tuple[KeyBinding, ...]]


def bound(*paths: str) -> tuple[KeyBinding, ...]:
    """The table with the keys of config files."""
    words = [word for path in paths for word in ("--config", path)]
    config = parse_config(Config, words, prog="main.py", description="Test.")
    return with_keys(config.sections.keys)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reader(text: str) -> tuple[KeyBinding, ...]:
        path = tmp_path / "keys.yaml"
        path.write_text(text)
        return bound(str(path))

    return reader


def keys_of(bindings: tuple[KeyBinding, ...], name: str) -> tuple[str, ...]:
    return next(binding.keys for binding in bindings if binding.name == name)


def test_a_command_gets_the_keys_of_the_file_and_the_others_keep_theirs(read: Read) -> None:
    bindings = read("keys:\n  cycle zoom: f5\n  next-layer: [f7, '=']\n  toggle_smoothing: f6\n")
    assert keys_of(bindings, "cycle zoom") == ("f5",)
    assert keys_of(bindings, "next layer") == ("f7", "=")
    assert keys_of(bindings, "toggle smoothing") == ("f6",)
    changed = {"cycle zoom", "next layer", "toggle smoothing"}
    for before, after in zip(BINDINGS, bindings, strict=True):
        assert (before == after) is (before.name not in changed)


def test_two_commands_can_swap_their_keys(read: Read) -> None:
    bindings = read("keys:\n  cycle zoom: v\n  toggle smoothing: z\n")
    assert by_key(bindings)["v"].name == "cycle zoom"
    assert by_key(bindings)["z"].name == "toggle smoothing"


def test_an_empty_list_takes_the_key_and_an_empty_value_leaves_it(read: Read) -> None:
    bindings = read("keys:\n  cycle zoom: []\n  toggle smoothing:\n")
    assert keys_of(bindings, "cycle zoom") == ()
    assert keys_of(bindings, "toggle smoothing") == ("v",)
    assert len(help_lines(bindings)) == len(BINDINGS) - 1
    assert key_of("cycle zoom", bindings) == ""


def test_a_later_file_adds_to_an_earlier_one_and_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("keys: {cycle zoom: f5, toggle smoothing: f6}")
    second.write_text("keys: {cycle zoom: f7}")
    bindings = bound(str(first), str(second))
    assert keys_of(bindings, "cycle zoom") == ("f7",)
    assert keys_of(bindings, "toggle smoothing") == ("f6",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "keys: {cycle zoom: v}",
            "keys.cycle zoom: the key 'v' is bound to both 'cycle zoom' and 'toggle smoothing'; "
            "give 'toggle smoothing' another one, or []",
        ),
        (
            "keys: {toggle smoothing: z}",
            "keys.toggle smoothing: the key 'z' is bound to both 'cycle zoom' and "
            "'toggle smoothing'; give 'cycle zoom' another one, or []",
        ),
        (
            "keys: {toggle smoothing: f5, cycle zoom: f5}",
            "the key 'f5' is bound to both 'cycle zoom' and 'toggle smoothing'",
        ),
        (
            "keys: {cycle zom: c}",
            "keys.cycle zom: there is no such command; nearest is 'cycle zoom'; `--list keys`",
        ),
        (
            "keys: {cycle zoom: pagedown}",
            "keys.cycle zoom: there is no key 'pagedown'; nearest is 'page-down'; give one",
        ),
        (
            "keys: {cycle zoom: Z}",
            "there is no key 'Z', as Shift is not told apart; nearest is 'z'",
        ),
        ("keys: {cycle zoom: yes}", 'True cannot be used; give a key in quotes, such as "z"'),
        ("keys: {cycle zoom: {z: 1}}", "{'z': 1} cannot be used; give a key in quotes"),
        ("keys: {cycle zoom: [[z]]}", "['z'] cannot be used"),
        ("keys: z", "keys: 'z' cannot be used; give `key: value` lines"),
        ("key: {cycle zoom: c}", "key: unknown key; nearest is 'keys'"),
    ],
)
def test_bad_keys_say_where_what_and_what_would_do(text: str, message: str, read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "keys.yaml: key" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_key_that_a_window_reports_has_a_name_that_can_be_bound() -> None:
    codes = [*range(1, 256), *range(65280, 65536), *range(63232, 63280)]
    named = {key_name(code) for code in codes} - {None}
    reported = {name for name in named if name is not None and not name.startswith("key-")}
    assert reported == set(KEY_NAMES)


def test_the_keys_of_the_table_can_be_bound() -> None:
    assert {key for binding in BINDINGS for key in binding.keys} <= set(KEY_NAMES)


def test_no_two_commands_have_one_name() -> None:
    names = [binding.name for binding in BINDINGS]
    assert len(set(names)) == len(names)


def test_help_readme_and_hints_show_the_keys_of_the_user(read: Read) -> None:
    bindings = read("keys:\n  cycle zoom: [f5, up]\n  move up: []\n  toggle help: f2\n")
    assert any(line.keys == "F5 / ↑" for line in help_lines(bindings))
    assert "| F5 / ↑ | enlarge unit, then backward | View |" in markdown_table(bindings)

    session = Session(View(selection=Selection(layer="middle", unit=5), canvas_size=(700, 1200)))
    controller = controller_of(session, bindings=bindings)
    controller.drawn = Drawn(layout(session.read()[0], LAYERS))
    controller.handle(KeyEvent(key="z"))
    assert session.read()[0].notice == "the key z does nothing; F2 shows the keys"
    controller.handle(KeyEvent(key="f5"))
    assert session.read()[0].zoom == "unit"


def test_the_key_that_leaves_closes_the_help_first_whichever_it_is(read: Read) -> None:
    bindings = read("keys: {leave: f10, reset: escape}")
    done: list[str] = []
    session = Session(View(help_shown=True, canvas_size=(700, 1200)))
    controller = controller_of(session, do=done.append, bindings=bindings)
    controller.handle(KeyEvent(key="f10"))
    assert (session.read()[0].help_shown, done) == (False, [])
    controller.handle(KeyEvent(key="f10"))
    assert done == ["leave"]


def test_the_toolbox_layout_has_its_keys() -> None:
    table = by_key(bound(str(ROOT / "configs" / "keys_dvt.yaml")))
    wanted = {
        "escape": "reset",
        "q": "leave",
        "f": "toggle pause",
        "e": "next picture",
        "page-down": "next picture",
        "w": "previous picture",
        "page-up": "previous picture",
        "c": "switch source",
        "0": "cycle fit",
        "5": "cycle timing",
        "8": "toggle classes",
        "9": "next page",
        "a": "toggle gradients",
        "d": "toggle freeze",
        "t": "cycle gamma",
        ".": "cycle unit boost",
        "u": "previous layer",
        "o": "next layer",
        "z": "cycle zoom",
        "b": "cycle backward easily",
        "n": "cycle rule",
        "m": "cycle display",
        "h": "toggle help",
        "i": "move up",
        "k": "move down",
    }
    assert {key: table[key].name for key in wanted} == wanted


def test_the_table_is_listed_with_the_keys_of_the_files(
    read: Read, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read("keys: {cycle zoom: [f5, '=']}")
    assert cli.main(["--list", "keys", "--config", str(tmp_path / "keys.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["command", "keys", "does"]
    assert len(lines) == 1 + len(BINDINGS)
    assert any(line.startswith("cycle zoom") and " f5, = " in line for line in lines)


@pytest.mark.parametrize("size", [(700, 1000), (800, 1280), (1080, 1920), (2160, 3840)])
def test_every_line_of_the_help_has_its_room_in_the_window(size: tuple[int, int]) -> None:
    metrics, lines = metrics_for(size), help_lines()
    table = lay_help(lines, metrics, size)
    bottom = table.panel.top + table.panel.height
    for line, row, keys_width in zip(lines, table.rows, table.key_widths, strict=True):
        assert row.height >= metrics.text.size
        assert row.top + row.height <= bottom, f"{line.text} lies below the edge"
        assert measure(line.keys, metrics.text) <= keys_width - metrics.pad, f"{line.keys} is cut"
        assert measure(line.text, metrics.text) <= row.width - keys_width, f"{line.text} is cut"

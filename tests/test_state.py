"""A saved view opens again as it was; what cannot be opened says so in one line."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from rtvis.config import Config
from rtvis.data import Frame, Intervention, Selection
from rtvis.errors import ConfigError
from rtvis.flags import parse_config
from rtvis.plain import from_plain, to_plain
from rtvis.session import DISPLAY_FIELDS, View
from rtvis.state import (
    Resume,
    absolute,
    place_of,
    restored,
    resume_of,
    setup_of,
    state_document,
    state_text,
)
from rtvis.theme import Panes, Theme

# Every field, whoever added it


def another(hint: Any, value: Any) -> Any:
    """A value of a type that is not `value`, where the type has another one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return next((choice for choice in inner if choice != value), value)
    if origin in {typing.Union, types.UnionType}:
        return another(next(kind for kind in inner if kind is not types.NoneType), None)
    if origin is tuple:
        kinds = (inner[0],) * 2 if inner[1:] == (...,) else inner
        old = value if isinstance(value, tuple) and len(value) == len(kinds) else kinds
        return tuple(another(kind, one) for kind, one in zip(kinds, old, strict=True))
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{name: another(kind, None) for name, kind in hints.items()})
    samples = {bool: not value, int: 7, float: 0.1 + 0.2, str: "grün: [1]"}
    return samples[hint]


def all_changed(kind: type) -> Any:
    """An instance of a dataclass with no field at its default."""
    hints, default = typing.get_type_hints(kind), kind()
    names = [one.name for one in dataclasses.fields(kind)]
    return kind(**{name: another(hints[name], getattr(default, name)) for name in names})


def sections_of(path: Path) -> Any:
    config = parse_config(Config, ["--state", str(path)], prog="main.py", description="Test.")
    return config.sections


def test_every_choice_travels_through_a_file(tmp_path: Path) -> None:
    looks = {"theme": Theme(text="#123456"), "panes": Panes(left=())}  # tested: test_theme.py
    view = dataclasses.replace(all_changed(View), selection=all_changed(Selection), **looks)
    assert view.selection.interventions != ()
    assert view.grid_scroll != View().grid_scroll
    document = state_document({}, frame=None, view=view, resume=Resume(), about={})
    path = tmp_path / "state.yaml"
    path.write_text(state_text(document, name="state.yaml"), encoding="utf-8")
    again = restored(View(), sections_of(path))
    assert again.selection == view.selection
    for name in DISPLAY_FIELDS:
        assert getattr(again, name) == getattr(view, name), name
    passing = {"hover", "recording", "notice", "notice_is_warning", "earlier_changes", "nudged"}
    passing |= {"moment", "top_input"}  # of this session's film and store
    assert {*DISPLAY_FIELDS, *passing, *looks, "selection"} == set(View.__dataclass_fields__)
    assert (again.theme, again.panes) == (looks["theme"], looks["panes"])
    assert all(getattr(again, name) == getattr(View(), name) for name in passing)


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    resume = Resume(colour_range=(-1.1920928955078125e-07, 24.548770904541016))
    document = state_document({}, frame=None, view=View(), resume=resume, about={})
    path = tmp_path / "state.yaml"
    path.write_text(state_text(document, name="state.yaml"))
    assert resume_of(sections_of(path)) == resume


def test_plain_values_are_checked_and_not_converted() -> None:
    change = Intervention(layer="a", unit=3, scale=0.5)
    assert from_plain(Intervention, to_plain(change), where="x") == change
    assert from_plain(Intervention, {"layer": "a", "unit": 3}, where="x").scale == 1.0
    for plain, message in (
        ({"layer": "a"}, "x: unit is missing"),
        ({"layer": "a", "unit": 1.0}, "x.unit: 1.0 cannot be used; give a whole number"),
        ({"layer": "a", "unit": True}, "x.unit: True cannot be used; give a whole number"),
        ({"layer": "a", "unit": "1"}, "x.unit: '1' cannot be used; give a whole number"),
        ({"layer": 1, "unit": 1}, "x.layer: 1 cannot be used; give text"),
        ({"layer": "a", "unit": 1, "scala": 1}, "x.scala: unknown key; nearest is 'scale'"),
        ([1], "x: [1] cannot be used; give `key: value` lines"),
    ):
        with pytest.raises(ConfigError) as caught:
            from_plain(Intervention, plain, where="x")
        assert str(caught.value) == message


# Files that cannot be opened


def fault(*argv: str) -> str:
    """The message of the one line that refuses these flags."""

    def open_it() -> None:
        config = parse_config(Config, argv, prog="main.py", description="Test.")
        restored(View(), config.sections)
        resume_of(config.sections)

    with pytest.raises(ConfigError) as caught:
        open_it()
    assert "\n" not in str(caught.value)
    return str(caught.value)


HEAD = "rtvis_state: 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no state, which has a line `rtvis_state: 1`; use --config for other files"),
        ("stream: demo", "is no state, which has a line `rtvis_state: 1`"),
        ("rtvis_state: 2", "rtvis_state: is 2, and this rtvis reads up to 1; update rtvis"),
        ("rtvis_state: one", "rtvis_state: one cannot be used; give 1"),
        ("rtvis_state: true", "rtvis_state: True cannot be used; give 1"),
        (HEAD + "selection: [", "not valid YAML"),
        ("- 1", "a state is `key: value` lines, with the flags as keys"),
        (HEAD + "selektion: {}", "selektion: unknown key; nearest is 'selection'"),
        (HEAD + "selection: conv1", "selection: 'conv1' cannot be used; give `key: value` lines"),
        (HEAD + "selection: {layr: a}", "selection.layr: unknown key; nearest is 'layer'"),
        (HEAD + "selection: {unit: a}", "selection.unit: 'a' cannot be used; give a whole number"),
        (
            HEAD + "selection: {rule: gided}",
            "selection.rule: unknown value 'gided'; nearest is 'guided'; there are: gradient,",
        ),
        (
            HEAD + "selection: {position: [1, 2, 3]}",
            "selection.position: [1, 2, 3] cannot be used; give a list of 2 (a whole number, a",
        ),
        (
            HEAD + "selection: {interventions: [{layer: a, unit: 1}, {layer: a}]}",
            "selection.interventions[1]: unit is missing",
        ),
        (HEAD + "display: {zoom: big}", "display.zoom: unknown value 'big'"),
        (HEAD + "display: {hover: {kind: none}}", "display.hover: unknown key"),
        (HEAD + "display: {paused: 1}", "display.paused: 1 cannot be used; give true or false"),
        (HEAD + "resume: {colour_range: [0]}", "resume.colour_range: [0] cannot be used"),
        (HEAD + "unit: 1.5", "unit: 1.5 cannot be used; give a whole number from 0"),
        (HEAD + "state: other.yaml", "state: unknown key"),
    ],
)
def test_a_bad_state_says_where_what_and_what_would_do(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    told = fault("--state", str(path))
    assert told.startswith(str(path))
    assert message in told


def test_a_file_that_is_missing_or_no_text_says_so(tmp_path: Path) -> None:
    assert fault("--state", str(tmp_path)) == (
        f"{tmp_path}/state.yaml: cannot read it: No such file or directory"
    )
    assert fault("--state", "no.yaml") == "no.yaml: cannot read it: No such file or directory"
    (tmp_path / "film.mp4").write_bytes(b"\xff\xd8\x00")
    assert fault("--state", str(tmp_path / "film.mp4")).endswith("a state is YAML")
    assert fault("--state") == "--state: give a YAML file"
    assert fault("--state", "--debug") == "--state: give a YAML file"
    (tmp_path / "a.yaml").write_text("state: 3")
    assert fault("--config", str(tmp_path / "a.yaml")).endswith(
        "3 cannot be used; give a state file"
    )


# Who wins


STATE = """rtvis_state: 1
stream: /films/a.mp4
start: 3.5
network: resnet50
weights: random
size: [240, 320]
selection: {layer: layer1.0.conv1, unit: 5, position: [1, 2], rule: gradient, class_index: 3}
display: {zoom: unit, canvas_size: [700, 1000]}
resume: {colour_range: [0.0, 2.0]}
about: {anything: [at, all]}
"""


def opened(tmp_path: Path, *argv: str, state: str = STATE) -> tuple[Config, View]:
    """The config and the view that a state and flags give."""
    path = tmp_path / "state.yaml"
    path.write_text(state)
    words = ["--state", str(path), *argv]
    config = parse_config(Config, words, prog="main.py", description="Test.")
    wanted = config.selection
    flat = Selection(
        layer=wanted.layer,
        unit=wanted.unit,
        position=wanted.position,
        rule=wanted.rule,
        class_index=int(wanted.class_) if wanted.class_ else None,
    )
    view = View(selection=flat, canvas_size=config.output.canvas)
    return config, restored(view, config.sections)


def test_a_state_gives_source_place_network_selection_and_display(tmp_path: Path) -> None:
    config, view = opened(tmp_path)
    assert (config.input.stream, config.input.start) == ("/films/a.mp4", 3.5)
    network = config.network
    assert (network.network, network.weights, network.size) == ("resnet50", "random", (240, 320))
    assert view == View(
        selection=Selection(
            layer="layer1.0.conv1", unit=5, position=(1, 2), rule="gradient", class_index=3
        ),
        zoom="unit",
        canvas_size=(700, 1000),
    )
    assert resume_of(config.sections) == Resume(colour_range=(0.0, 2.0))


def test_flags_beside_a_state_win_wherever_they_stand(tmp_path: Path) -> None:
    config, view = opened(
        tmp_path, "--rule", "guided", "--class", "7", "--canvas", "900x1200", "--weights", "w.pt"
    )
    assert (view.selection.rule, view.selection.class_index) == ("guided", 7)
    assert (view.selection.unit, view.selection.position) == (5, (1, 2))
    assert view.canvas_size == (900, 1200)
    assert config.network.weights == "w.pt"


def test_what_belongs_to_something_else_goes_with_it(tmp_path: Path) -> None:
    _, view = opened(tmp_path, "--layer", "conv1")
    assert view.selection == Selection(layer="conv1", rule="gradient", class_index=3)
    _, view = opened(tmp_path, "--unit", "6")
    assert (view.selection.unit, view.selection.position) == (6, None)
    _, view = opened(tmp_path, "--layer", "conv1", "--unit", "2")
    assert (view.selection.unit, view.selection.position) == (2, None)
    config, _ = opened(tmp_path, "--stream", "0")
    assert (config.input.start, config.sections.resume) == (None, {})
    config, _ = opened(tmp_path, "--network", "vgg16")
    assert (config.network.weights, config.network.size) == (None, None)
    config, _ = opened(tmp_path, "--no-loop", "--rule", "guided")
    assert config.input.start == 3.5
    assert config.sections.resume


def test_files_after_a_state_win_and_a_config_can_name_a_state(tmp_path: Path) -> None:
    state, mine = tmp_path / "state.yaml", tmp_path / "mine.yaml"
    state.write_text(STATE)
    mine.write_text(f"unit: 9\nstate: {state}\ndisplay: {{zoom: backprop}}\n")
    config = parse_config(Config, ["--config", str(mine)], prog="main.py", description="Test.")
    view = restored(View(selection=Selection(unit=config.selection.unit)), config.sections)
    assert (view.selection.layer, view.selection.unit) == ("layer1.0.conv1", 9)
    assert (view.zoom, view.canvas_size) == ("backprop", (700, 1000))
    both = ["--config", str(mine), "--config", str(state)]
    config = parse_config(Config, both, prog="main.py", description="Test.")
    assert restored(View(), config.sections).selection.unit == 5


def test_what_a_config_names_after_a_state_is_its_own_and_stays_as_the_layer_changes(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.yaml").write_text("unit: 9\n")
    config, view = opened(tmp_path, "--config", str(tmp_path / "mine.yaml"), "--layer", "conv1")
    assert config.selection.unit == 9
    assert (view.selection.layer, view.selection.unit) == ("conv1", 9)
    assert view.selection.position is None, "which was the state's"


def test_a_later_state_adds_to_what_was_chosen_and_replaces_what_was_gone_on_with(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.yaml").write_text("rtvis_state: 1\ndisplay: {zoom: unit}\nresume: {means: m}\n")
    later = "rtvis_state: 1\ndisplay: {gamma: 0.5}\nresume: {second_name: b}\n"
    (tmp_path / "b.yaml").write_text(later)
    flags = [word for name in "ab" for word in ("--config", str(tmp_path / f"{name}.yaml"))]
    sections = parse_config(Config, flags, prog="main.py", description="Test.").sections
    assert {name: value for name, (value, _) in sections.resume.items()} == {"second_name": "b"}
    view = restored(View(), sections)
    assert (view.zoom, view.gamma) == ("unit", 0.5)


def test_files_beside_a_state_are_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "frame.png").write_bytes(b"x")
    (tmp_path / "labels.txt").write_bytes(b"x")
    state = "rtvis_state: 1\nstream: frame.png\nlabels: labels.txt\nweights: elsewhere.pt\n"
    config, _ = opened(tmp_path, state=state)
    assert config.input.stream == str(tmp_path / "frame.png")
    assert config.network.labels == str(tmp_path / "labels.txt")
    assert config.network.weights == "elsewhere.pt"


# What is written


def test_a_state_holds_the_run_without_what_belongs_to_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(b"")
    words = (
        "--stream demo --network net.py:Net --weights w.pt --size 32 --dtype float16 --loop "
        "--device cuda:1 --compile off --pace fast --frames 9 --trust-pickle --mean 0.5"
    )
    config = parse_config(Config, words.split(), prog="main.py", description="Test.")
    assert setup_of(config) == {
        "stream": "demo",
        "loop": True,
        "network": f"{tmp_path}/net.py:Net",
        "weights": f"{tmp_path}/w.pt",
        "size": [32, 32],
        "mean": [0.5],
        "dtype": "float16",
    }


def test_only_names_of_files_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert absolute("a") == f"{tmp_path}/a"
    assert absolute("a/*.png") == f"{tmp_path}/a/*.png"
    for name in ("demo", "0", "resnet50", "random", "rtsp://camera/1", "http://c/?a=[1]"):
        assert absolute(name) == name


def frame(path: str | None, pts_seconds: float | None = None) -> Frame:
    return Frame(
        image_HW3=np.zeros((2, 2, 3), np.uint8),
        seq=3,
        captured_ns=0,
        pts_seconds=pts_seconds,
        path=Path(path) if path is not None else None,
    )


def test_the_place_of_a_frame_is_named_by_its_source(tmp_path: Path) -> None:
    film, folder = "/f/a.mp4", str(tmp_path)
    assert place_of(frame(film, 1.25), {"stream": film}) == {"stream": film, "start": 1.25}
    assert place_of(frame(film, 1.25), {"stream": "demo"}) == {"stream": "demo", "start": 1.25}
    picture = f"{folder}/a.png"
    assert place_of(frame(picture), {"stream": folder}) == {"stream": folder, "picture": "a.png"}
    assert place_of(frame(picture), {"stream": picture}) == {"stream": picture}
    glob = f"{folder}/**/*.png"
    assert place_of(frame(picture), {"stream": glob}) == {"stream": glob, "picture": picture}
    both = {"stream": film, "start": 2.0, "files": folder}
    assert place_of(frame(picture), both, side="files") == {
        "stream": film,
        "start": 2.0,
        "picture": "a.png",
    }
    assert place_of(frame(film, 1.25), both, side="stream") == {"stream": film, "start": 1.25}
    both["stream"] = "/elsewhere"
    assert place_of(frame(picture), both, side="stream") == {"stream": picture}
    # A camera's moment does not come again; what it showed lies beside the state.
    assert place_of(frame(None, 7.0), {"stream": "rtsp://x"}) == {"stream": "frame.png"}


def test_what_was_done_to_a_camera_s_frame_is_not_done_to_the_copy_of_it_again() -> None:
    setup = {"stream": "0", "mirror": "on", "stretch_contrast": True, "files": "/pictures"}

    def written(shown: Frame) -> dict[str, Any]:
        return state_document(setup, frame=shown, view=View(), resume=Resume(), about={})

    camera = written(frame(None))
    assert (camera["stream"], camera["files"]) == ("frame.png", "/pictures")
    assert not {"mirror", "stretch_contrast"} & camera.keys()
    film = written(frame("/films/a.mp4", 2.0))
    assert (film["mirror"], film["stretch_contrast"]) == ("on", True)

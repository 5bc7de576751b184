"""Whatever names a flag names one that there is."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rtvis import cli
from rtvis.cli.stills import gradcam_main, guided_backprop_main
from rtvis.cli.units import WORDS

ROOT = Path(__file__).resolve().parent.parent / "rtvis"

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])")

OTHERS = {"--check", "--fmad", "--segments"}
"""Of sha256sum, nvcc and a benchmark."""

CSS_NAME = re.compile(r"var\(--[a-z-]+\)")
STYLE_SHEET = "units/pages/skeleton.py"
"""Where `--text` is a variable of CSS."""

COMMAND_OF = {
    r"cli/inspect\.py": "inspect",
    r"cli/units/scan.*|units/(data_set|dump|growth|scan.*|cluster.*)\.py": "units scan",
    r"cli/units/optimize.*|units/study\.py": "units optimize",
    **{rf"cli/units/{word}\.py": f"units {word}" for word in WORDS if word not in {"scan"}},
    r"units/export\.py": "units export",
    r"cli/stills\.py|stills/.*": "stills",
    r"cli/(live|view|compare|replay|learned)\.py|plugins\.py|runtime/.*|sinks/.*|state\.py": "",
}
"""Modules whose words are one command's alone; in the others each flag is some command's."""


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The flags that `--help` shows."""
    mains = [gradcam_main, guided_backprop_main] if command == "stills" else [cli.main]
    words = [] if command == "stills" else command.split()
    for main in mains:
        with pytest.raises(SystemExit) as left:
            main([*words, "--help"])
        assert left.value.code == 0
    return {*FLAG.findall(capsys.readouterr().out)}


def written(path: Path) -> Iterator[tuple[int, str]]:
    """Line and flag of everything that a module says, comments aside."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            said = CSS_NAME.sub("", node.value)
            yield from ((node.lineno, flag) for flag in FLAG.findall(said))


@cache
def command_of(name: str) -> str | None:
    fitting = {command for shape, command in COMMAND_OF.items() if re.fullmatch(shape, name)}
    assert len(fitting) <= 1, f"{name}: {fitting}"
    return next(iter(fitting), None)


def test_every_flag_that_is_named_is_one_of_the_command_that_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = ["", "inspect", "stills", *(f"units {word}" for word in WORDS)]
    flags = {command: helped(command, capsys) for command in commands}
    assert {"--stream", "--layer"} <= flags[""]
    assert "--classes" in flags["units scan"]
    known = set().union(*flags.values())
    wrong, num = [], 0
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name == STYLE_SHEET:
            continue
        command = command_of(name)
        there = OTHERS | (known if command is None else flags[command])
        for line, flag in written(path):
            num += 1
            if flag not in there:
                wrong.append(f"{name}:{line} {flag}")
    assert num > 150
    assert wrong == []


@pytest.mark.parametrize("flag", ["--state", "--compare-network", "--compare-weights", "--replay"])
def test_only_the_live_program_takes_what_it_alone_heeds(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(f"{flag.removeprefix('--')}: x\n")
    for words in (["inspect"], ["units", "scan"], ["units", "ls"]):
        assert cli.main([*words, flag, "x"]) == 2
        assert f"{flag}: unknown flag" in capsys.readouterr().err
        assert cli.main([*words, "--config", str(config)]) == 2
        assert f"{config}: {flag.removeprefix('--')}: unknown key" in capsys.readouterr().err

"""How the programs end while they still start, and what they call themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rtvis.cli import main
from rtvis.cli.stills import gradcam_program, guided_backprop_program
from rtvis.leaving import INTERRUPTED, called, import_torch, interrupts_held, leaving_at_once

ROOT = Path(__file__).parents[1]

# Stands for torch, whose C++ aborts the process when Python's KeyboardInterrupt comes out of it.
IMPORTING = """
import signal, os
from rtvis.leaving import leaving_at_once
{before}
with leaving_at_once():
    try:
        os.kill(os.getpid(), signal.{name})
        for _ in range(1000): pass
        print("ignored")
    except KeyboardInterrupt:
        os.abort()
print("after", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def run_importing(name: str, before: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING.format(name=name, before=before)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_ctrl_c_within_ends_the_process_without_raising() -> None:
    assert run_importing("SIGINT") == (INTERRUPTED, "")
    sigterm_too = "signal.signal(signal.SIGTERM, signal.default_int_handler)"
    assert run_importing("SIGTERM", sigterm_too) == (INTERRUPTED, "")


def test_a_held_ctrl_c_comes_behind_what_would_lose_it() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_held():  # noqa: PT012
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        with interrupts_held():
            done.append("the next, without one")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            done.append("ignored")
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["all of it", "the next, without one", "ignored"]


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert run_importing("SIGINT", ignored) == (0, "ignored\nafter False\n")


def test_afterwards_ctrl_c_raises_again() -> None:
    with leaving_at_once():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_says_what_the_start_waits_for_and_is_clean_afterwards(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    import_torch()
    words = "loading PyTorch"
    assert capsys.readouterr().err == f"{words}\r{' ' * len(words)}\r" * is_terminal


@pytest.mark.parametrize("script", ["main.py", "gradcam.py", "guided_backprop.py"])
def test_a_python_without_the_packages_is_told_in_a_line(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", script, "--help"],  # as the system's own Python: no site-packages
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("rtvis: ")
    assert f"is not installed for {sys.executable}; " in line
    assert ". .venv/bin/activate" in line
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("typed", "name"), [("/usr/bin/rtvis", "rtvis"), ("main.py", "main.py"), ("pytest", "main.py")]
)
def test_a_program_calls_itself_what_the_user_typed(
    typed: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [typed])
    assert called("main.py", installed="rtvis") == name


@pytest.mark.parametrize("name", ["rtvis", "rtvis-gradcam", "rtvis-guided-backprop"])
def test_each_installed_command_starts_and_names_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    command = EntryPoint(name=name, value=scripts[name], group="console_scripts").load()
    command = main if name == "rtvis" else command  # `program` ends the process
    assert command in {main, gradcam_program, guided_backprop_program}
    monkeypatch.setattr(sys, "argv", [f"/somewhere/{name}", "--help"])
    with pytest.raises(SystemExit) as left:
        command()
    assert left.value.code == 0
    assert capsys.readouterr().out.lower().startswith(f"usage: {name} ")

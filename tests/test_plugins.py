"""Code of others that adds to rtvis: files that a flag names, and installed packages."""

import ast
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rtvis.methods
from rtvis import cli, plugins
from rtvis.registry import CAM_METHODS
from tests.workplace import write_workplace

PLUGIN = """
from rtvis.registry import CAM_METHODS

@CAM_METHODS.add("{name}")
def energy(maps_BCHW, grads_BCHW):
    return maps_BCHW.float().norm(dim=1)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder; what is registered in a test is forgotten after it."""
    write_workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = dict(CAM_METHODS)
    yield tmp_path
    CAM_METHODS._things.clear()
    CAM_METHODS._things.update(before)


def test_a_file_adds_a_cam_method_that_the_program_runs_and_lists(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "energy.py").write_text(PLUGIN.format(name="energy"))
    flags = ["--network", "net.py:Net", "--size", "32", "--compile", "off", "--device", "cpu"]
    flags += ["--layer", "second", "--tap", "pre", "--cam-layer", "second"]
    run = [*flags, "--view", "none", "--pace", "fast", "--stream", "pictures/0.png"]
    assert cli.main([*run, "--cam", "energy"]) == 2, "nobody knows it yet"
    assert "unknown CAM method 'energy'" in capsys.readouterr().err
    assert cli.main([*run, "--plugin", "energy.py", "--cam", "energy", "--save", "out"]) == 0
    numbers = np.load(Path(capsys.readouterr().out.strip()) / "raw.npz")
    expected_BHW = np.linalg.norm(numbers["maps_BCHW"], axis=1)
    assert expected_BHW.min() > 0
    np.testing.assert_allclose(numbers["cam_BHW"], expected_BHW, rtol=1e-5)
    CAM_METHODS._things.pop("energy")
    assert cli.main(["--list", "methods", "--plugin", "energy.py"]) == 0
    assert "energy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "--plugin bad.py: there is no such file"),
        ("import nothing_of_that_name", "--plugin bad.py: ModuleNotFoundError: No module named"),
        ("x = ", "--plugin bad.py: SyntaxError"),
        (PLUGIN.format(name="grad-cam"), "'grad-cam' is registered twice"),
    ],
)
def test_a_file_that_fails_is_told_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], text: str | None, told: str
) -> None:
    if text is not None:
        (here / "bad.py").write_text(text)
    assert cli.main(["--list", "methods", "--plugin", "bad.py"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told in lines[0]


def test_installed_ones_are_loaded_and_a_broken_one_is_left_out(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "my_methods.py").write_text(PLUGIN.format(name="mine"))
    monkeypatch.syspath_prepend(str(here))
    entries = [
        importlib.metadata.EntryPoint("mine", "my_methods", plugins.GROUP),
        importlib.metadata.EntryPoint("broken", "no_such_module", plugins.GROUP),
    ]
    asked = []

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        asked.append(group)
        return entries

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert cli.main(["--list", "methods"]) == 0
    told = capsys.readouterr()
    assert "mine" in told.out
    assert asked == ["rtvis.plugins"]
    assert "plug-in broken (no_such_module): ModuleNotFoundError" in told.err


def test_an_engine_that_is_made_without_load_knows_the_cam_methods() -> None:
    """`rtvis.Engine` alone refused them all: what has it must import them."""
    home = importlib.util.find_spec(rtvis._HOMES["Engine"])
    assert home is not None
    assert home.origin is not None
    tree = ast.parse(Path(home.origin).read_text())
    imports = [each for each in tree.body if isinstance(each, ast.Import)]
    assert "rtvis.methods" in {alias.name for each in imports for alias in each.names}
    assert "grad-cam" in CAM_METHODS

"""The compiled form: the same numbers, made elsewhere, kept between runs, never in the way."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest
import torch
from torch import nn

from rtvis.data import Intervention, Origin, Selection
from rtvis.engine import steps as steps_module
from rtvis.engine.compiled import compile as compiling
from rtvis.engine.compiled import kernels, winograd
from rtvis.engine.engine import Engine
from rtvis.engine.joint import piece_builder
from tests.nets import CamNet, EverySpelling, engine_of, seeded
from tests.references import relative_error
from tests.waiting import wait_for

SIZE = (40, 48)
RULES = ("gradient", "guided", "deconvnet")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _few_segments() -> Iterator[None]:
    """Each piece takes seconds to compile, however small; three segments have every kind of cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps_module, "NUM_SEGMENTS", 3)
        yield


@pytest.fixture(scope="module")
def eager() -> Engine:
    return engine_of(seeded(EverySpelling), size=SIZE)


@pytest.fixture(scope="module")
def compiled(cache: Path) -> Iterator[Engine]:
    with engine_of(seeded(EverySpelling), size=SIZE, compile="auto", cache_dir=cache) as engine:
        assert engine.wait_compiled(600), engine.compile_note
        yield engine


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(5))


@pytest.mark.apart
@pytest.mark.timeout(700)
@pytest.mark.parametrize("rule", RULES)
def test_the_compiled_form_computes_what_the_eager_form_does(
    eager: Engine, compiled: Engine, x: torch.Tensor, rule: str
) -> None:
    assert compiled.form == "compiled"
    assert compiled.compile_note == ""
    for layer in eager.layers:
        selection = Selection(layer=layer.name, unit=layer.num_units - 1, rule=rule, seed="map")
        ours, reference = compiled.run(x, selection), eager.run(x, selection)
        assert relative_error(ours.scores_BK, reference.scores_BK) < 1e-5
        assert relative_error(ours.maps_BCHW, reference.maps_BCHW) < 1e-5
        assert relative_error(ours.cam_BHW, reference.cam_BHW) < 1e-4
        if reference.backprop_B3HW.any():
            assert relative_error(ours.backprop_B3HW, reference.backprop_B3HW) < 1e-4
        else:
            assert not ours.backprop_B3HW.any()


@pytest.mark.apart
def test_changed_units_are_the_same_in_both_forms(
    eager: Engine, compiled: Engine, x: torch.Tensor
) -> None:
    changes = tuple(
        Intervention(layer=layer.name, unit=0, scale=0.5, offset=0.25) for layer in eager.layers
    )
    for layer in eager.layers:
        selection = Selection(layer=layer.name, seed="map", interventions=changes)
        ours, reference = compiled.run(x, selection), eager.run(x, selection)
        assert relative_error(ours.scores_BK, reference.scores_BK) < 1e-5
        assert relative_error(ours.maps_BCHW, reference.maps_BCHW) < 1e-5
        assert relative_error(ours.backprop_B3HW, reference.backprop_B3HW) < 1e-4


@pytest.mark.apart
def test_a_cam_at_any_layer_is_the_same_in_both_forms(
    eager: Engine, compiled: Engine, x: torch.Tensor
) -> None:
    for layer in [layer for layer in eager.layers if layer.kind == "conv"]:
        selection = Selection(cam_layer=layer.name, cam="layercam", class_index=2)
        ours, reference = compiled.run(x, selection), eager.run(x, selection)
        assert relative_error(ours.cam_BHW, reference.cam_BHW) < 1e-4


@pytest.mark.apart
@pytest.mark.parametrize("tap", ["pre", "post"])
def test_gradients_at_layers_are_the_same_in_both_forms(
    eager: Engine, compiled: Engine, x: torch.Tensor, tap: str
) -> None:
    start = Origin(layer=eager.layers[-1].name, unit=1)
    for layer in eager.layers[:-1]:
        selection = Selection(layer=layer.name, origin=start, tap=tap, gradients=True)
        ours, reference = (engine.run(x, selection).grads_BCHW for engine in (compiled, eager))
        assert ours is not None
        assert reference is not None
        assert relative_error(ours, reference) < 1e-4


@pytest.mark.apart
def test_two_hundred_clicks_trace_and_compile_nothing(
    compiled: Engine, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a click must change numbers, not code")

    monkeypatch.setattr(piece_builder, "record", refuse)
    monkeypatch.setattr(compiling, "Compiler", refuse)
    monkeypatch.setattr(torch, "compile", refuse)
    chance = random.Random(7)
    convolutions = [layer.name for layer in compiled.layers if layer.kind == "conv"]
    pictures = set()
    for _ in range(200):
        layer = chance.choice(compiled.layers)
        height, width = layer.map_size
        changed = Intervention(layer=layer.name, unit=0, scale=chance.uniform(-2, 2))
        place = (chance.randrange(height), chance.randrange(width))
        result = compiled.run(
            x,
            Selection(
                layer=layer.name,
                unit=chance.randrange(layer.num_units),
                position=chance.choice([None, place]),
                seed=chance.choice([None, "max", "map", "activation"]),
                rule=chance.choice(RULES),
                class_index=chance.choice([None, 0, 5]),
                cam=chance.choice(["grad-cam", "hirescam", "eigen-cam"]),
                cam_layer=chance.choice([None, *convolutions]),
                interventions=chance.choice([(), (changed,)]),
                tap=chance.choice(["pre", "post"]),
                gradients=chance.choice([False, True]),
            ),
        )
        assert result.form == "compiled"
        pictures.add(round(float(result.backprop_B3HW.abs().sum()), 4))
    assert len(pictures) > 100  # they are pictures of different things


@pytest.mark.apart
def test_a_second_start_compiles_nothing(
    compiled: Engine, cache: Path, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling.Compiler, "_start_child", None)  # would fail if called
    with engine_of(seeded(EverySpelling), size=SIZE, compile="auto", cache_dir=cache) as again:
        assert again.wait_compiled(60), again.compile_note
        selection = Selection(layer="wide", unit=3)
        ours, reference = again.run(x, selection), compiled.run(x, selection)
        assert torch.equal(ours.backprop_B3HW, reference.backprop_B3HW)


@pytest.mark.apart
def test_other_weights_are_another_artifact(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "cpp_compiler", lambda: None)
    other = seeded(EverySpelling, seed=1)
    with engine_of(other, size=SIZE, compile="auto", cache_dir=cache) as engine:
        assert not engine.wait_compiled(60)


def test_without_a_compiler_the_eager_form_serves_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: torch.Tensor
) -> None:
    monkeypatch.setattr(compiling, "cpp_compiler", lambda: None)
    with engine_of(seeded(CamNet), size=SIZE, compile="auto", cache_dir=tmp_path) as engine:
        assert not engine.wait_compiled(30)
        assert "no C++ compiler" in engine.compile_note
        assert "g++" in engine.compile_note
        assert engine.run(x).form == "eager"


class Wide(nn.Module):
    """Its second convolution is one that our own kernel takes, on both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x).relu()).relu()
        return cast("torch.Tensor", self.fc(x.mean(dim=(2, 3))))


def calls_our_kernel(folder: Path) -> list[bool]:
    """Of each artifact."""
    found = []
    for path in sorted(folder.glob("*.pt2")):
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(name) for name in archive.namelist() if name.endswith(".so")]
        found.append(b"aoti_torch_cpu_convolve_3x3" in b"".join(parts))
    return found


@pytest.mark.apart
@pytest.mark.timeout(700)
@pytest.mark.skipif(not winograd.panel(), reason="no kernel for this processor")
def test_our_own_convolution_serves_on_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: torch.Tensor
) -> None:
    monkeypatch.setattr(kernels, "_loaded", None)  # as in a program that has just begun
    selections = [Selection(layer="second", unit=3, rule=rule, seed="map") for rule in RULES]
    wanted = [engine_of(seeded(Wide), size=SIZE).run(x, each) for each in selections]
    with engine_of(seeded(Wide), size=SIZE, compile="auto", cache_dir=tmp_path) as engine:
        assert engine.wait_compiled(600), engine.compile_note
        for selection, reference in zip(selections, wanted, strict=True):
            ours = engine.run(x, selection)
            assert ours.form == "compiled"
            assert relative_error(ours.scores_BK, reference.scores_BK) < 1e-5
            assert relative_error(ours.backprop_B3HW, reference.backprop_B3HW) < 1e-5
    assert list((tmp_path / "compiled").glob("kernels_*.so"))
    artifacts = sorted((tmp_path / "compiled").glob("*.pt2"))
    assert sum(calls_our_kernel(tmp_path / "compiled")) >= 2, "the way there and the way back"
    # Without the library none of them could be loaded: they are left for when it is there again.
    monkeypatch.setattr(kernels, "_loaded", None)
    monkeypatch.setattr(kernels, "prepare", lambda _: "it does not compile")
    monkeypatch.setattr(compiling, "cpp_compiler", lambda: None)
    with engine_of(seeded(Wide), size=SIZE, compile="auto", cache_dir=tmp_path) as engine:
        assert not engine.wait_compiled(60)
        assert "no C++ compiler" in engine.compile_note
    assert sorted((tmp_path / "compiled").glob("*.pt2")) == artifacts


@pytest.mark.apart
def test_a_damaged_artifact_is_compiled_again(
    compiled: Engine, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    victim = min((tmp_path / "compiled").glob("*.pt2"), key=lambda path: path.stat().st_size)
    victim.write_bytes(b"not an archive")
    with engine_of(seeded(EverySpelling), size=SIZE, compile="auto", cache_dir=tmp_path) as again:
        assert again.wait_compiled(250), again.compile_note
    assert victim.stat().st_size > 1000


def test_closing_stops_the_compiler_process_at_once(tmp_path: Path) -> None:
    engine = engine_of(seeded(EverySpelling), size=SIZE, compile="auto", cache_dir=tmp_path)
    child = _child_of(engine)
    started = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - started < 5
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not engine.wait_compiled(0)


def test_a_killed_program_leaves_no_compiler_behind(tmp_path: Path) -> None:
    """Killed, it cannot stop its compiler process, which does not look at its input meanwhile."""
    scratch, cache = tmp_path / "scratch", tmp_path / "cache"
    scratch.mkdir()
    program = (
        "from pathlib import Path; from tests.nets import *;"
        f"engine_of(seeded(EverySpelling), 40, compile='auto', cache_dir=Path({str(cache)!r}))"
        ".wait_compiled()"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    try:
        ours = psutil.Process(killed.pid)
        wait_for(lambda: any(scratch.rglob("*.pt")))  # a piece was given to it
        left = ours.children(recursive=True)
    finally:
        killed.kill()
        killed.wait()
    wait_for(lambda: not any(each.is_running() for each in left))
    wait_for(lambda: not list(scratch.glob("rtvis-compile-*")))
    assert not list(cache.rglob("*.pt2")), "it went on"


def test_a_killed_compiler_process_leaves_the_eager_form(tmp_path: Path, x: torch.Tensor) -> None:
    with engine_of(seeded(CamNet), size=SIZE, compile="auto", cache_dir=tmp_path) as engine:
        os.kill(_child_of(engine), signal.SIGKILL)
        assert not engine.wait_compiled(30)
        assert "running eagerly" in engine.compile_note
        assert engine.run(x).form == "eager"


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, x: torch.Tensor) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "cache"
    with engine_of(seeded(CamNet), size=SIZE, compile="auto", cache_dir=folder) as engine:
        assert not engine.wait_compiled(30)
        assert str(folder) in engine.compile_note
        assert engine.run(x).form == "eager"


def _child_of(engine: Engine) -> int:
    compiler = engine._forms.compiler
    assert compiler is not None
    for _ in range(400):
        if compiler._child is not None:
            return compiler._child.pid
        time.sleep(0.02)
    raise AssertionError("no compiler process was started")

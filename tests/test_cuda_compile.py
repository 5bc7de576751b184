"""The child process compiles every kind of piece for a GPU, as far as that goes without one."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
import torch
from torch import nn

from rtvis.engine.compiled import compile as compiling
from rtvis.engine.compiled.artifacts import artifact_path
from rtvis.engine.compiled.compile import _bare, _lacking
from rtvis.engine.flat.trace import flatten
from rtvis.engine.joint.build import build_pieces
from rtvis.engine.joint.pieces import Piece
from rtvis.engine.layers.find_layers import find_layers
from tests.nets import CamNet, EverySpelling, seeded

SIZE = (40, 48)
CUDA = torch.device("cuda", 0)


def pieces_of(model: nn.Module, dtype: torch.dtype = torch.float32) -> dict[str, Piece]:
    flat = flatten(model, torch.empty(1, 3, *SIZE, dtype=dtype), name="net")
    pieces = build_pieces(flat, find_layers(flat, 1), num_segments=3)
    assert pieces is not None
    return {piece.name: piece for piece in pieces.all_pieces()}


class Made(NamedTuple):
    package: Path
    names: list[str]
    """Of the kernels."""
    sources: list[str]
    """In C++, around them."""


def compile_piece(piece: Piece, folder: Path, extent: Literal["written", "whole"]) -> Made:
    """By what the child process does with a job."""
    file, out = folder / f"{piece.name}.pt", folder / f"{piece.name}.pt2"
    specs = [(tuple(e.shape), e.stride(), e.dtype) for e in piece.examples]
    torch.save((_bare(piece), specs), file)
    job = {
        "job": str(file),
        "out": str(out),
        "device": "cuda:0",
        "num_threads": 1,
        "may_replace": False,
    }
    found = subprocess.run(
        [sys.executable, "-m", "tests.pretend_compiler", json.dumps(job), str(folder), extent],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return Made(out, **json.loads(found.stdout))


@pytest.mark.timeout(300)
def test_the_way_back_becomes_machine_code_of_the_gpu(tmp_path: Path) -> None:
    made = compile_piece(pieces_of(seeded(CamNet))["tapped_0"], tmp_path, "written")
    (source,) = made.sources
    assert made.names
    assert all(f'"{name}"' in source for name in made.names)
    assert "aoti_torch_cuda_convolution(" in source
    assert "aoti_torch_cpu_" not in source


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cpp_compiler", "install g++"),
        ("c_compiler", "install gcc"),
        ("has_python_header", "install python3-dev"),
    ],
)
def test_what_compiling_for_a_gpu_lacks_is_said_with_what_would_do(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _lacking(CUDA) == ""
    monkeypatch.setattr(compiling, name, lambda: None)
    assert said in _lacking(CUDA)
    assert _lacking(torch.device("cpu")) == ("" if name != "cpp_compiler" else _lacking(CUDA))


def test_without_triton_compiling_for_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install triton" in _lacking(CUDA)
    assert _lacking(torch.device("cpu")) == ""


def test_what_was_compiled_is_for_one_gpu_and_one_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece, name, processor = pieces_of(seeded(CamNet))["cam"], "GPU A", "AVX512"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)

    def path(device: torch.device = CUDA) -> Path:
        return artifact_path(tmp_path, piece.module, piece.examples, device, num_threads=1)

    paths = [path(), path(torch.device("cpu"))]
    name = "GPU B"
    paths.append(path())
    processor = "AVX2"
    paths.append(path())
    assert len({*paths}) == 4
    name, processor = "GPU A", "AVX512"
    assert path() == paths[0]
    assert path(torch.device("cuda", 1)) == paths[0]  # another of the same kind


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("forward", torch.float32),
        ("cam", torch.bfloat16),
        ("intervened_1", torch.float16),
        ("tapped_1", torch.float16),
    ],
)
def test_a_library_for_the_gpu_wants_nothing_but_torch_and_the_driver(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    piece = pieces_of(seeded(EverySpelling).to(dtype), dtype)[name]
    made = compile_piece(piece, tmp_path, "whole")
    assert made.names
    with zipfile.ZipFile(made.package) as archive:
        (inside,) = [each for each in archive.namelist() if each.endswith(".so")]
        library = archive.extract(inside, tmp_path)
    wanted = subprocess.run(
        ["nm", "-D", "--undefined-only", "--format=just-symbols", library],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ours = [each for each in wanted if each.startswith("aoti_torch_")]
    assert any("cuda" in each for each in ours)
    libraries = Path(torch.__file__).parent / "lib"
    offered = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=just-symbols"]
        + [str(libraries / f"lib{part}.so") for part in ("torch_cpu", "torch_cuda")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(ours) <= {each.partition("@")[0] for each in offered}

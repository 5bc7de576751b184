"""The compiled form for a GPU finds CUDA's headers in the wheels where no toolkit is installed."""

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
import torch

from rtvis.engine.compiled import cuda_headers
from rtvis.engine.compiled.cuda_headers import NEEDED, lend_headers


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(folder))
    return folder


@pytest.fixture
def homes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Toolkits that are installed: none unless a test adds one."""
    found: list[Path] = []
    monkeypatch.setattr(cuda_headers, "_homes", lambda: iter(found))
    monkeypatch.setenv("CUDA_HOME", "as before")
    return found


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What torch's wheels, Triton's and CuPy's bring."""
    site = tmp_path / "site"
    write(site / "nvidia/cu13/include", "cuda.h", "cuda_runtime_api.h", "cuda_fp16.h")
    write(site / "triton/backends/nvidia/include", "cuda.h", "crt/host_defines.h")
    write(site / "cupy/_core/include/cupy/_cccl/libcudacxx", "nv/target")
    return site


def test_a_whole_toolkit_is_left_alone(tmp_path: Path, homes: list[Path], site: Path) -> None:
    homes.append(write(tmp_path / "toolkit", *(f"include/{name}" for name in NEEDED)))
    assert lend_headers(tmp_path / "lent", site=site) == ""
    assert os.environ["CUDA_HOME"] == "as before"
    assert not (tmp_path / "lent").exists()


def test_without_one_the_parts_that_wheels_bring_are_joined_torch_s_own_first(
    tmp_path: Path, homes: list[Path], site: Path
) -> None:
    homes.append(write(tmp_path / "half", "include/cuda.h", "include/cudnn.h"))
    lent = tmp_path / "lent"
    assert lend_headers(lent, site=site) == ""
    assert os.environ["CUDA_HOME"] == str(lent)
    assert all((lent / "include" / name).is_file() for name in NEEDED)
    assert (lent / "include/cuda.h").read_text() == str(site / "nvidia/cu13/include")
    assert (lent / "include/cudnn.h").is_file()
    assert (lent / "lib64").is_dir()


def test_what_is_missing_is_said_with_what_would_do(
    tmp_path: Path, homes: list[Path], site: Path
) -> None:
    (site / "cupy/_core/include/cupy/_cccl/libcudacxx/nv/target").unlink()
    said = lend_headers(tmp_path / "lent", site=site)
    assert "nv/target is not installed; pip install nvidia-cuda-cccl" in said
    assert os.environ["CUDA_HOME"] == "as before"
    assert not (tmp_path / "lent").exists()


def test_nvcc_on_path_names_the_toolkit_that_torch_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = write(tmp_path / "toolkit", "bin/nvcc") / "bin/nvcc"
    compiler.chmod(0o755)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setenv("PATH", str(compiler.parent), prepend=os.pathsep)
    assert next(cuda_headers._homes()) == tmp_path / "toolkit"


@pytest.mark.slow
def test_inductor_s_wrapper_compiles_with_the_headers_that_are_installed(
    tmp_path: Path, homes: list[Path]
) -> None:
    said = lend_headers(tmp_path / "lent")
    if torch.version.cuda is None:
        assert "is not installed" in said
        return
    assert said == ""
    source = tmp_path / "wrapper.cpp"
    source.write_text("#include <torch/csrc/inductor/aoti_include/cuda.h>\n")
    torch_headers = Path(torch.__file__).parent / "include"
    places = (
        torch_headers,
        torch_headers / "torch/csrc/api/include",
        tmp_path / "lent/include",
        Path(sysconfig.get_path("include")),
    )
    flags = ("-std=c++20", "-fsyntax-only", "-DUSE_CUDA", "-DTORCH_INDUCTOR_CPP_WRAPPER")
    found = subprocess.run(
        ["g++", *flags, *(f"-I{place}" for place in places), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr

"""CUDA's headers for the C++ that is compiled for a GPU, where no toolkit is installed.

AOTInductor compiles a C++ wrapper around CUDA's kernels. It takes the headers from CUDA_HOME, from
beside an `nvcc` on PATH or from /usr/local/cuda, and fails where that is no toolkit, although the
wheels of torch and Triton bring nearly all of them (pytorch#150442, pytorch#197765).
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch

NEEDED: Final = ("cuda.h", "cuda_runtime_api.h", "cuda_fp16.h", "crt/host_defines.h", "nv/target")
"""Whoever has these has all that the wrapper includes; torch 2.11 wants no wheel with the last."""

_SITE: Final = Path(torch.__file__).parents[1]
_IN_WHEELS: Final = (
    "nvidia/cu*/include",
    "nvidia/*/include",
    "nvidia/cu*/include/cccl",
    "triton/backends/nvidia/include",
    "cupy/_core/include/cupy/_cccl/libcudacxx",
)
"""Each name is taken from the first that has it: torch's own before those of others."""


def lend_headers(folder: Path, *, site: Path = _SITE) -> str:
    """Let inductor find a CUDA_HOME, made of what is installed unless there is a whole one.

    To be called before inductor is imported, with the GPU in use, whose driver is linked to.

    Args:
        folder: Where to make one; as long as it is there, it is what CUDA_HOME names.
        site: Where Python's packages are.

    Returns:
        What is missing and what would do, or nothing.
    """
    homes = list(_homes())
    if homes and not missing_of([homes[0] / "include"]):
        return ""
    places = [found for pattern in _IN_WHEELS for found in sorted(site.glob(pattern))]
    places += [home / part for home in homes for part in ("include", "include/cccl")]
    missing = missing_of(places)
    if missing:
        return (
            f"CUDA's header {missing[0]} is not installed; pip install nvidia-cuda-cccl "
            "nvidia-cuda-crt, or NVIDIA's CUDA toolkit"
        )
    _join(places, folder / "include")
    libraries = folder / "lib64"
    libraries.mkdir(exist_ok=True)
    driver = _driver()
    if driver is not None:  # drivers leave the name without a number to toolkits
        (libraries / "libcuda.so").symlink_to(driver)
    os.environ["CUDA_HOME"] = str(folder)
    extension = sys.modules.get("torch.utils.cpp_extension")
    if extension is not None:  # it looked when it was imported
        extension.CUDA_HOME = str(folder)  # type: ignore[attr-defined]
    return ""


def missing_of(places: Sequence[Path]) -> list[str]:
    """Headers that are in none of these folders."""
    return [name for name in NEEDED if not any((place / name).is_file() for place in places)]


def _homes() -> Iterator[Path]:
    """Toolkits, the one that torch takes first."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    compiler = shutil.which("nvcc")
    if compiler is not None:
        yield Path(compiler).parents[1]
    yield from sorted(Path("/usr/local").glob("cuda*"))


def _join(places: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for place in places:
        for entry in sorted(place.glob("*")):
            link = folder / entry.name
            if not link.exists():
                link.symlink_to(entry)


def _driver() -> str | None:
    """The file of the driver's library in this process."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[5] for line in maps.splitlines() if "/libcuda.so" in line)
    return next(paths, None)

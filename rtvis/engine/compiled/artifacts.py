"""Where compiled pieces are kept between runs, and under which names."""

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, fx

MAX_BYTES = 6 * 2**30
"""The oldest artifacts are removed above this; ResNet50 takes 0.3 GB at one input size."""


def default_cache_dir() -> Path:
    """The user's cache folder for rtvis: `$XDG_CACHE_HOME/rtvis`, or the platform's usual place.

    Read here and not in `cli`, so that the Python API and the scripts share the folder.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    if root:
        return Path(root) / "rtvis"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rtvis"
    return Path.home() / ".cache" / "rtvis"


def artifact_path(
    folder: Path,
    module: fx.GraphModule,
    examples: Iterable[Tensor],
    device: torch.device,
    *,
    num_threads: int,
    form: str = "",
) -> Path:
    """The file for a compiled graph: its name is made from all that the code depends on.

    That is the graph, its constants, the shapes, strides and dtypes of its inputs, the device,
    the torch version, the CPU's instruction set (the code that calls a GPU's kernels is of the
    processor that it was compiled on) and, on a CPU, the number of threads; and its form, where
    something is put in place of operations of the graph before it is compiled.
    """
    digest = hashlib.blake2b(digest_size=20)
    digest.update(module.code.encode())
    for name, value in sorted(module.named_buffers()):
        digest.update(f"{name} {tuple(value.shape)} {value.stride()} {value.dtype}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    for example in examples:
        digest.update(f"{tuple(example.shape)} {example.stride()} {example.dtype}".encode())
    digest.update(f"{torch.__version__} {_device_key(device, num_threads)} {form}".encode())
    return folder / f"{digest.hexdigest()}.pt2"


def _device_key(device: torch.device, num_threads: int) -> str:
    processor = torch.backends.cpu.get_cpu_capability()
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)} {torch.version.cuda} {processor}"
    return f"cpu {processor} {num_threads}"


def prune(folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Remove the least recently used artifacts until the rest fits."""
    files = sorted(folder.glob("*.pt2"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > max_bytes:
            path.unlink(missing_ok=True)

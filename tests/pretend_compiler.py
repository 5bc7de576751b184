"""Compiling for a GPU that is not there: inductor, Triton, its ptxas and the C++ compiler are real.

Constants and inputs are fake tensors, which have no numbers. What compiling asks of the GPU is
answered here: what it is, that it has loaded a kernel, and that none of several forms of a kernel
is faster than the others.

In a process of its own, for libraries remember what they were told of the machine.

What it does not see: whether a kernel computes what it should, and how fast.
"""

import contextlib
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from rtvis.engine.compiled import compile_worker, cuda_headers

_ELF = b"\x7fELF"


class Kernels:
    """What Triton has compiled.

    Args:
        capability: Of the GPU: 90 for a compute capability of 9.0.
    """

    def __init__(self, capability: int) -> None:
        self.capability = capability
        self.names: set[str] = set()
        self.sources: list[str] = []
        """In C++, that call the kernels."""

    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[Any, ...]:
        """As Triton's driver does it: (module, function, registers, spilled, most threads)."""
        assert kernel.startswith(_ELF), "machine code is loaded"
        # Of the word of flags in the header the second byte is the capability.
        assert self.capability in kernel[48:52], "it is for this GPU"
        self.names.add(name)
        return None, 1, 32, 0, 1024


def compile_for_cuda(job: dict[str, Any], folder: Path, *, is_only_written: bool) -> Kernels:
    """Do what the child process does with a job, in one that ends with this.

    Args:
        job: As `compile_worker` takes it.
        folder: For scratch files.
        is_only_written: Leave the C++ around the kernels as it is; compiling it takes longest.
    """
    kernels, patch = Kernels(90), pytest.MonkeyPatch()
    driver = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-x", "c", "/dev/null", "-o", str(driver)], check=True)
    patch.setattr(cuda_headers, "_driver", lambda: str(driver))
    patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
    patch.setenv("TRITON_CACHE_DIR", str(folder / "triton"))
    patch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    _with_device(patch, kernels.capability)
    _with_driver(patch, kernels)
    _with_fakes(patch)
    _with_inductor(patch)
    if is_only_written:
        _without_cpp(patch, kernels)
    try:
        compile_worker._compile(job, folder)
    except Exception:
        if not kernels.sources:
            raise
    return kernels


def _with_device(patch: pytest.MonkeyPatch, capability: int) -> None:
    from torch._dynamo import device_interface

    major, minor = divmod(capability, 10)
    properties = SimpleNamespace(
        name="pretended",
        major=major,
        minor=minor,
        multi_processor_count=132,
        regs_per_multiprocessor=65536,
        max_threads_per_multi_processor=2048,
        max_threads_per_block=1024,
        warp_size=32,
        shared_memory_per_block_optin=232448,
        L2_cache_size=50 * 2**20,
        total_memory=2**36,
    )
    answers: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "device": lambda _: contextlib.nullcontext(),
        "_DeviceGuard": lambda _: contextlib.nullcontext(),
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (major, minor),
        "get_device_name": lambda *_: "pretended",
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "_exchange_device": lambda _: 0,
        "_maybe_exchange_device": lambda _: 0,
    }
    interface = device_interface.CudaInterface
    for name, answer in answers.items():
        patch.setattr(torch.cuda, name, answer)
        kept = name.removeprefix("_")  # it keeps some of them, under these names
        if name != "is_available" and kept in vars(interface):
            patch.setattr(interface, kept, staticmethod(answer))
    torch._C._ensureCUDADeviceGuardSet()  # indexing asks which GPU is the current one
    patch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda _: 0)
    patch.delitem(device_interface.caching_worker_device_properties, "cuda", raising=False)


def _with_driver(patch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    import triton
    from torch._inductor.runtime import triton_helpers
    from triton.backends.compiler import GPUTarget

    driver = Mock()
    driver.utils.load_binary = kernels.load_binary
    driver.utils.get_device_properties = lambda _: {"max_shared_mem": 232448}
    driver.get_current_target = lambda: GPUTarget("cuda", kernels.capability, 32)
    driver.get_current_device = lambda: 0
    driver.launcher_cls = lambda *_: lambda *_, **__: None
    patch.setattr(triton.runtime.driver, "_active", driver)
    patch.setattr(triton.runtime.driver, "_default", driver)
    patch.setattr(triton_helpers, "set_driver_to_gpu", lambda: None)  # it makes a real one


def _with_fakes(patch: pytest.MonkeyPatch) -> None:
    """The child's constants and examples are fake, and have the number 1 wherever one is read."""
    read, export, modes = compile_worker._read, torch.export.export, []
    storage_cpu = torch.UntypedStorage.cpu

    def fake_read(*args: Any) -> Any:
        shapes = ShapeEnv(tracked_fakes=[])
        modes[:] = [FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True, export=True)]
        with modes[0]:
            return read(*args)

    def export_fakes(*args: Any, **options: Any) -> Any:
        with torch._guards.tracing(torch._guards.TracingContext(modes[0])):
            return export(*args, **options)

    def zeros(self: torch.UntypedStorage) -> torch.UntypedStorage:
        if self.device.type == "cpu":
            return storage_cpu(self)
        return torch.zeros(self.nbytes(), dtype=torch.uint8).untyped_storage()

    patch.setattr(compile_worker, "_read", fake_read)
    patch.setattr(torch.export, "export", export_fakes)
    patch.setattr(torch.UntypedStorage, "cpu", zeros)
    patch.setattr(FakeTensor, "item", lambda _: 1)
    patch.setattr(FakeTensor, "tolist", lambda self: [1] * self.numel())


def _with_inductor(patch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: neither forms of kernels nor whether padded matrices are faster."""
    from torch._inductor import config
    from torch._inductor.codegen.wrapper import PythonWrapperCodegen
    from torch._inductor.fx_passes import joint_graph
    from torch._inductor.runtime.triton_heuristics import CachingAutotuner

    try_kernels, learn_patterns = (
        PythonWrapperCodegen.generate_and_run_autotune_block,
        joint_graph.lazy_init,
    )

    def try_on_fakes(self: PythonWrapperCodegen) -> None:
        with FakeTensorMode(allow_non_fake_inputs=True):
            try_kernels(self)

    patch.setattr(PythonWrapperCodegen, "generate_and_run_autotune_block", try_on_fakes)
    patch.setattr(CachingAutotuner, "bench", lambda *_, **__: 1.0)
    config.shape_padding = False
    # Patterns are learned from real tensors, and hold for every device.
    patch.setattr(joint_graph, "lazy_init", lambda *_: learn_patterns(torch.device("cpu")))


def _without_cpp(patch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    from torch._inductor.codecache import AotCodeCompiler

    def keep(graph: object, source: str, *_: object, **__: object) -> None:
        kernels.sources.append(source)
        raise InterruptedError

    patch.setattr(AotCodeCompiler, "compile", keep)


def main() -> None:
    """Arguments: the job as JSON, a folder for scratch files, and `written` or `whole`."""
    job, folder, extent = sys.argv[1:]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):
        made = compile_for_cuda(json.loads(job), Path(folder), is_only_written=extent == "written")
    print(json.dumps({"names": sorted(made.names), "sources": made.sources}))


if __name__ == "__main__":
    main()

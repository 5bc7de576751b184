"""The yardstick: the network alone, compiled with its best settings."""

import copy
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.common import Call, median, say, time_ms


class Alone(NamedTuple):
    """The network by itself, in several forms."""

    best: Call
    name: str
    """Of the best form."""
    others: dict[str, Call]
    """The forms that were slower, by name."""


def network_alone(model: nn.Module, x_BCHW: Tensor, *, compiling: bool) -> Alone:
    """Every form that we know to make a network fast, the fastest of them first.

    On a CPU that is AOTInductor with freezing; on CUDA with or without freezing, or cuDNN called
    operation by operation, each as one replay of a CUDA graph. All channels_last.

    Args:
        model: Is copied.
        x_BCHW: An input, channels_last, on the device and in the dtype to measure.
        compiling: False leaves only the eager form.
    """
    device = x_BCHW.device
    private = copy.deepcopy(model).eval().requires_grad_(False)
    private = private.to(x_BCHW).to(memory_format=torch.channels_last)

    def eager() -> object:
        with torch.inference_mode():
            return private(x_BCHW)

    on_cuda = device.type == "cuda"
    forms: dict[str, Call] = {}
    if on_cuda:
        forms["eager in a CUDA graph"] = graphed(eager, device)
    if compiling:
        for freezing in (True, False) if on_cuda else (True,):
            name = f"AOTInductor{', frozen' if freezing else ''}{', CUDA graph' * on_cuda}"
            try:
                forms[name] = graphed(_compiled(private, x_BCHW, freezing=freezing), device)
            except Exception as fault:  # noqa: BLE001 - compilers fail in many ways; others remain
                say(f"network alone, {name}: {(str(fault).splitlines() or ['failed'])[0]}")
    if not forms:
        return Alone(eager, "eager, NOT COMPILED", {})
    speed_ms = {name: _typical_ms(call, device) for name, call in forms.items()}
    best = min(speed_ms, key=speed_ms.__getitem__)
    others = {name: call for name, call in forms.items() if name != best}
    return Alone(forms[best], best, {"eager": eager, **others})


def _compiled(model: nn.Module, x_BCHW: Tensor, *, freezing: bool) -> Call:
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    with tempfile.TemporaryDirectory(prefix="rtvis-bench-") as folder, torch.no_grad():
        path = Path(folder) / "alone.pt2"
        program = torch.export.export(model, (x_BCHW,), strict=False)
        aoti_compile_and_package(
            program, package_path=str(path), inductor_configs={"freezing": freezing}
        )
        package = aoti_load_package(
            str(path), run_single_threaded=True, device_index=x_BCHW.device.index or -1
        )
    return lambda: package(x_BCHW)


def graphed(call: Call, device: torch.device) -> Call:
    """On CUDA `call` as the replay of a graph; elsewhere `call` itself."""
    if device.type != "cuda":
        return call
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):  # what libraries set up on first use must not be captured
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = call()

    def replay() -> object:
        graph.replay()
        return outputs

    return replay


def _typical_ms(call: Call, device: torch.device) -> float:
    for _ in range(3):
        call()
    return median([time_ms(call, device) for _ in range(7)])

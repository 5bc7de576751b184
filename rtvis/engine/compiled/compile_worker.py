"""A child process that compiles one piece after another, so that the picture does not wait.

Compiling in a thread of the program took the frame time from 176 ms to 400 to 645 ms, 6 s at
worst. The child runs at the lowest priority, reads jobs as JSON lines from its standard input and
answers each with a JSON line. It does not outlive the program, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LOOK_EVERY_S = 0.5
_TIDY_UP = """
import os, shutil, signal, sys, time
os.killpg(int(sys.argv[1]), signal.SIGKILL)
time.sleep(0.2)
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


def main() -> None:
    """Serve jobs until standard input ends: {"job": file, "out": file, "device": ..., ...}.

    Or {"kernels": folder}: compile the library of our own kernels into it.

    Arguments: the program's process id, and the folder of scratch files.
    """
    program, scratch = int(sys.argv[1]), sys.argv[2]
    watch = threading.Thread(target=_end_with, args=(program, scratch), daemon=True)
    watch.start()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever compilers print is no answer
    with contextlib.suppress(OSError):
        os.nice(19)
    import torch

    warnings.simplefilter("ignore")
    answers.write(json.dumps({"ready": torch.__version__}) + "\n")
    answers.flush()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer: dict[str, Any] = {"done": _done(job, Path(scratch))}
        except Exception as fault:  # noqa: BLE001 - any failure leaves the eager form in place
            text = str(fault).strip().splitlines()
            answer = {"failed": text[0] if text else type(fault).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    watch.join()  # the program is ending, or was killed before it could tidy up


def _end_with(program: int, scratch: str) -> None:
    """End this process and its compilers once the program is gone, killed perhaps.

    Standard input ends then too, but nobody reads it while a piece is compiled, for minutes.
    """
    while os.getppid() == program:
        time.sleep(_LOOK_EVERY_S)
    # By another process: compilers write on until they are killed, and this one with them, as it
    # was started as the leader of their group.
    subprocess.Popen(
        [sys.executable, "-S", "-c", _TIDY_UP, str(os.getpgrp()), scratch],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _done(job: dict[str, Any], scratch: Path) -> str:
    """Do a job; returns the file or folder that it has filled."""
    if "kernels" not in job:
        _compile(job, scratch)
        return str(job["out"])
    from rtvis.engine.compiled import kernels

    if missing := kernels.prepare(Path(job["kernels"])):
        raise OSError(missing)
    return str(job["kernels"])


def _compile(job: dict[str, Any], scratch: Path) -> None:
    import torch

    from rtvis.engine.compiled import kernels, winograd
    from rtvis.engine.compiled.cuda_headers import lend_headers
    from rtvis.engine.device import make_current

    device = torch.device(job["device"])
    make_current(device)  # kernels are chosen for the GPU that they are tried on
    lent = scratch / "cuda"
    if device.type == "cuda" and not lent.exists() and (missing := lend_headers(lent)):
        raise FileNotFoundError(missing)
    from torch._inductor import aoti_compile_and_package

    torch.set_num_threads(job["num_threads"])
    module, examples = _read(job["job"], device)
    out = Path(job["out"])
    temporary = out.with_suffix(f".{os.getpid()}.pt2")
    try:
        with torch.no_grad():
            if job["may_replace"]:
                winograd.replace_convolutions(module, examples)
            program = torch.export.export(module, examples, strict=False)
            aoti_compile_and_package(
                program,
                package_path=str(temporary),
                inductor_configs={
                    # Without freezing the compiled CPU form was slower than the eager one.
                    "freezing": device.type == "cpu",
                    "aot_inductor.custom_ops_to_c_shims": (
                        kernels.shims() if device.type == "cpu" else {}
                    ),
                },
            )
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _read(file: str, device: torch.device) -> tuple[torch.fx.GraphModule, tuple[torch.Tensor, ...]]:
    """What is to be compiled, and inputs of its shapes, on the device."""
    import torch

    # The parent wrote this file into its private folder a moment ago: it is no foreign pickle.
    module, specs = torch.load(file, weights_only=False)
    examples = (
        torch.empty_strided(shape, stride, dtype=dtype, device=device).zero_()
        for shape, stride, dtype in specs
    )
    return module.to(device), tuple(examples)


if __name__ == "__main__":
    main()

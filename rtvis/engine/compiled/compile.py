"""Turn pieces into compiled ones, elsewhere, and hand each over as it becomes ready."""

import contextlib
import copy
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtvis.engine.compiled import kernels, winograd
from rtvis.engine.compiled.artifacts import artifact_path, prune
from rtvis.engine.compiled.compilers import c_compiler, cpp_compiler, has_python_header
from rtvis.engine.compiled.unheld import UnheldRunner
from rtvis.engine.device import make_current
from rtvis.engine.joint.pieces import Piece

log = logging.getLogger(__name__)

# Where a CUDA toolkit is installed and no GPU, torch warns of it on standard error while a package
# is loaded. What device is used, and why, is said by rtvis itself.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

Ready = Callable[[Piece, "CompiledPiece"], None]

_MOST_WAIT_S = 3.0
"""For a first picture that does not come, from a camera that does not answer."""


class CompileError(Exception):
    """Compiling failed; the text is one line. The eager form goes on serving."""


class Compiler:
    """Compiles pieces in a child process of low priority and loads the results.

    Args:
        pieces: In the order in which they are wanted.
        num_plain: How many of them, the first ones, every turn needs.
        device: Where they run.
        folder: Where artifacts are kept.
        on_ready: Called on the compiler's thread with each piece and its new runner.
        num_threads: That the code for a CPU uses; default: all of torch's.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        device: torch.device,
        folder: Path,
        on_ready: Ready,
        *,
        num_plain: int,
        num_threads: int | None = None,
    ) -> None:
        self._replaces = device.type == "cpu" and winograd.panel() > 0
        self._num_threads = num_threads or torch.get_num_threads()
        self._pieces = list(pieces)
        self._plain = {piece.name for piece in self._pieces[:num_plain]}
        self._device = device
        self._folder = folder
        self._on_ready = on_ready
        self._num_ready = 0
        self._failure = ""
        self._may_begin = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._work, name="rtvis-compiler", daemon=True)

    def start(self) -> None:
        """Begin soon, in a thread that waits for a child process."""
        self._thread.start()

    def begin(self) -> None:
        """Begin now: the first picture is out. Loading what is there takes from it else."""
        self._may_begin.set()

    @property
    def is_serving(self) -> bool:
        """True once every piece is compiled that a plain turn runs."""
        return not self._plain

    @property
    def is_complete(self) -> bool:
        """True once every piece is compiled."""
        return self._num_ready == len(self._pieces)

    @property
    def is_finished(self) -> bool:
        """True once it does nothing more, whether or not every piece is compiled."""
        return self._finished.is_set()

    @property
    def note(self) -> str:
        """Where it stands, in words for the screen."""
        if self.is_complete:
            return ""
        if self._failure:
            return self._failure
        return f"compiling {self._num_ready + 1} of {len(self._pieces)}"

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; True if every piece is compiled."""
        self.begin()
        self._finished.wait(timeout_s)
        return self.is_complete

    def close(self) -> None:
        """Stop the child and the thread. Safe to call twice."""
        self._stopping.set()
        self.begin()
        self._kill_child()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            # Importing inductor cannot be interrupted: 2 s, on a busy machine 10.
            self._thread.join(timeout=60.0)
            assert not self._thread.is_alive(), "the compiler thread did not stop"

    def _work(self) -> None:
        self._may_begin.wait(_MOST_WAIT_S)
        try:
            make_current(self._device)
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="rtvis-compile-") as scratch:
                self._prepare_kernels(scratch)
                missing = self._load_cached()
                if missing and not self._stopping.is_set():
                    self._compile_missing(missing, scratch)
        except CompileError as fault:
            self._failure = f"running eagerly: {fault}"
        except OSError as fault:
            self._failure = f"running eagerly: {self._folder}: {fault.strerror}"
        finally:
            self._kill_child()
            self._finished.set()
        if self._failure and not self._stopping.is_set():
            log.warning("%s", self._failure)

    def _load_cached(self) -> list[tuple[Piece, Path]]:
        missing = []
        for piece in self._pieces:
            if self._stopping.is_set():
                break
            path = artifact_path(
                self._folder,
                piece.module,
                piece.examples,
                self._device,
                num_threads=self._num_threads,
                form=f"winograd {winograd.VERSION}" if self._replaces else "",
            )
            if not path.exists():
                missing.append((piece, path))
                continue
            try:
                self._hand_over(piece, path)
            except RuntimeError as fault:  # a damaged file, or one of another machine
                log.info("compiling again, %s cannot be loaded: %s", path, fault)
                path.unlink(missing_ok=True)
                missing.append((piece, path))
        return missing

    def _prepare_kernels(self, scratch: str) -> None:
        """Load the library of our kernels, after the child has compiled it if need be."""
        if not self._replaces or kernels.library() is not None:
            return
        missing = ""
        if not kernels.built_path(self._folder).exists():
            missing = _lacking(self._device)
            if not missing:
                missing = self._ask(scratch, {"kernels": str(self._folder)}).get("failed", "")
        missing = missing or kernels.prepare(self._folder)
        if missing:
            log.info("convolutions take longer, as our kernels are missing: %s", missing)
            self._replaces = False

    def _compile_missing(self, missing: list[tuple[Piece, Path]], scratch: str) -> None:
        lacking = _lacking(self._device)
        if lacking:
            raise CompileError(lacking)
        for piece, path in missing:
            answer = self._ask(scratch, self._job(piece, path, Path(scratch)))
            if "failed" in answer:
                raise CompileError(f"compiling {piece.name} failed: {answer['failed']}")
            self._hand_over(piece, path)
        prune(self._folder)

    def _ask(self, scratch: str, job: dict[str, Any]) -> dict[str, str]:
        """What the child answers to a job; it is started with the first."""
        if self._stopping.is_set():
            raise CompileError("stopped")
        child = self._child
        if child is None:
            child = self._start_child(scratch)
            self._answer(child)  # ready
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            raise CompileError("the compiler process ended") from None
        return self._answer(child)

    def _start_child(self, scratch: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            # One compiler at a time leaves the picture a core; scratch code goes with the folder,
            # and so does what compilers write that are killed.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TMPDIR": scratch,
            "TORCHINDUCTOR_CACHE_DIR": str(Path(scratch) / "inductor"),
        }
        worker = "rtvis.engine.compiled.compile_worker"
        self._child = subprocess.Popen(
            [sys.executable, "-m", worker, str(os.getpid()), scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # so that its compilers can be stopped with it
        )
        return self._child

    def _job(self, piece: Piece, path: Path, scratch: Path) -> dict[str, Any]:
        file = scratch / f"{piece.name}.pt"
        specs = [(tuple(e.shape), e.stride(), e.dtype) for e in piece.examples]
        torch.save((_bare(piece), specs), file)
        return {
            "job": str(file),
            "out": str(path),
            "device": str(self._device),
            "num_threads": self._num_threads,
            "may_replace": self._replaces,
        }

    def _answer(self, child: subprocess.Popen[str]) -> dict[str, str]:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise CompileError("stopped" if self._stopping.is_set() else "its process ended")
        answer: dict[str, str] = json.loads(line)
        return answer

    def _hand_over(self, piece: Piece, path: Path) -> None:
        runner = CompiledPiece(piece, path, self._device)
        path.touch()  # recently used
        self._on_ready(piece, runner)
        self._num_ready += 1
        self._plain.discard(piece.name)

    def _kill_child(self) -> None:
        child = self._child
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class CompiledPiece:
    """Runs the artifact of a piece."""

    def __init__(self, piece: Piece, path: Path, device: torch.device) -> None:
        self._path = path
        # One lane: the engine thread alone calls it, and CUDA graphs need it so.
        package = torch._inductor.aoti_load_package(
            str(path), run_single_threaded=True, device_index=device.index or -1
        )
        # Not the package itself: at each call it reads its tree specs again from JSON, 0.2 ms.
        self._boxed_run: Callable[[list[Tensor]], Sequence[Tensor]] = package.loader.boxed_run
        self._strides = [example.stride() for example in piece.examples]
        self._shapes = [example.shape for example in piece.examples]

    def unheld(self) -> "CompiledPiece":
        """The same on a CPU, and other threads of Python go on meanwhile: one more lane.

        Raises:
            RuntimeError: It cannot be run in that way.
        """
        lane = copy.copy(self)
        lane._boxed_run = UnheldRunner(self._path)
        return lane

    def __call__(self, inputs: list[Tensor]) -> Sequence[Tensor]:
        """Run it. Inputs whose strides differ from those it was made for are copied first."""
        fitting = [
            given
            if given.stride() == stride
            else given.new_empty_strided(shape, stride).copy_(given)
            for given, stride, shape in zip(inputs, self._strides, self._shapes, strict=True)
        ]
        return self._boxed_run(fitting)


def _lacking(device: torch.device) -> str:
    """What is not installed that compiling needs, and what would do; or nothing."""
    if not cpp_compiler():
        return "no C++ compiler found; install g++ for twice the speed"
    if device.type != "cuda":
        return ""
    # Triton's launchers are in C, for Python; the wrapper around its kernels is in C++.
    if not c_compiler():
        return "no C compiler found; install gcc for the compiled form"
    if not has_python_header():
        return "Python.h not found; install python3-dev for the compiled form"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; pip install triton for the compiled form"
    return ""


def _bare(piece: Piece) -> torch.fx.GraphModule:
    """A copy of a piece's module without fake tensors, which cannot be pickled."""
    graph = torch.fx.Graph()
    copies: dict[torch.fx.Node, torch.fx.Node] = {}
    graph.output(graph.graph_copy(piece.module.graph, copies))
    for node in graph.nodes:
        node.meta = {}
    return torch.fx.GraphModule(piece.module, graph)

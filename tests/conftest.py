"""What holds for every test: no network, no real screen, no leftovers, and no silent skip.

The environment is set before torch is imported anywhere: OpenMP reads it once.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import multiprocessing
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import browser

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Compiled steps, weights and results of the tests stay out of the user's cache, and are kept
# between runs; `make clean` removes them.
os.environ["XDG_CACHE_HOME"] = str(ROOT / "build" / "test-cache")
# Nor to the user's stores of what units have learned.
os.environ["XDG_DATA_HOME"] = str(ROOT / "build" / "test-data")
# A test opens its windows on an Xvfb that it started, never on the desktop of whoever runs it.
# And children buffer their output as on a user's machine: with PYTHONUNBUFFERED, reasons arrived
# that otherwise stayed in a child's buffer.
for _name in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONUNBUFFERED"):
    os.environ.pop(_name, None)

# torch's tracer logs thousands of empty lines there, which pytest prints with every failure.
logging.getLogger("torch.__trace").propagate = False

# What tests write may be lost in a power cut, and a busy disk takes 20 ms for each file. Tests of
# that put a function of their own in this place.
os.fsync = lambda fd: None

FAILED = pytest.StashKey[bool]()
REQUIRE_CUDA = os.environ.get("RTVIS_REQUIRE_CUDA") == "1"

PROGRAMS = {
    "window": ("Xvfb", "xdotool", "xwininfo", "import"),
    "stream": ("gst-launch-1.0",),
    "browser": (),
}
"""What a marker needs on PATH; `import` is ImageMagick's screenshot."""


@functools.cache
def has_cuda() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


@functools.cache
def missing_for(marker: str) -> str:
    """What a test with `marker` needs and the system lacks, or ''."""
    missing = [name for name in PROGRAMS[marker] if shutil.which(name) is None]
    if marker == "stream" and not missing:
        asked = subprocess.run(
            [
                "/usr/bin/python3",
                "-c",
                "import gi; gi.require_version('GstRtspServer', '1.0'); "
                "from gi.repository import GstRtspServer",
            ],
            capture_output=True,
            check=False,
        )
        if asked.returncode != 0:
            missing.append("GStreamer's RTSP server for the system's python3")
    if marker == "browser" and browser.program() is None:
        missing.append(" or ".join(browser.PROGRAMS))
    return ", ".join(missing)


def pytest_collection_finish() -> None:
    """Let the collector pass over the million objects that imports have made."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let all of them go in order: Triton's bindings complain of what is left at the end."""
    gc.unfreeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, naming the target that helps, without a Debian package; skip CUDA without a GPU."""
    for marker in PROGRAMS:
        if item.get_closest_marker(marker) and (missing := missing_for(marker)):
            pytest.fail(f"missing: {missing}; `make setup-system` installs it", pytrace=False)
    if item.get_closest_marker("cuda") and not has_cuda():
        pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a CUDA test into a failure where CUDA was promised."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    if REQUIRE_CUDA and report.skipped and item.get_closest_marker("cuda"):
        report.outcome = "failed"
        report.longrepr = f"RTVIS_REQUIRE_CUDA=1, and this was skipped: {report.longrepr}"
    return report


def is_local(address: object) -> bool:
    """Whether a socket address stays on this machine."""
    if not isinstance(address, tuple):
        return True  # Unix sockets
    host = str(address[0])
    return host in {"", "localhost", "::1", "0.0.0.0", "::"} or host.startswith("127.")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse names and addresses beyond this machine, the way an unplugged cable does."""
    lookup, connect = socket.getaddrinfo, socket.socket.connect

    def local_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not is_local((name,)):
            raise socket.gaierror(socket.EAI_NONAME, f"tests do not look up {name!r}")
        return lookup(host, *args, **kwargs)

    def local_connect(self: socket.socket, address: Any) -> None:
        if not is_local(address):
            raise OSError(f"tests do not connect to {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", local_lookup)
    monkeypatch.setattr(socket.socket, "connect", local_connect)


def running() -> dict[int, str]:
    """Threads and child processes of ours, by identity."""
    threads = {
        id(one): f"thread {one.name!r}"
        for one in threading.enumerate()
        if one.name.startswith("rtvis")
    }
    return threads | {id(p): f"process {p.name!r}" for p in multiprocessing.active_children()}


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail a test whose engine, source or sink still runs two seconds after its end."""
    before = running()
    yield
    until_s = time.monotonic() + 2
    while (left := running().keys() - before.keys()) and time.monotonic() < until_s:
        time.sleep(0.02)
    names = running()
    if left := left & names.keys():
        what = ", ".join(names[one] for one in left)
        pytest.fail(f"left running: {what}; who closes it?", pytrace=False)


@pytest.fixture(autouse=True)
def a_failure_stays_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a failed test, end the child processes that it did not get to end itself.

    Else later tests that count processes fail too, and hide the one that is to blame.
    """
    own = psutil.Process()
    before = set(own.children())
    yield
    if request.node.stash.get(FAILED, False):
        for child in set(own.children()) - before:
            with contextlib.suppress(psutil.Error):
                child.kill()
                child.wait(timeout=5)


@pytest.fixture(autouse=True)
def same_torch_settings() -> Iterator[None]:
    """Seed torch, and fail a test that leaves a global switch of it moved."""
    import torch

    def switches() -> tuple[object, ...]:
        return (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.mkldnn.enabled,
        )

    torch.manual_seed(0)
    before = switches()
    yield
    after = switches()
    torch.set_grad_enabled(True)  # or every test that follows fails with this one
    assert after == before, "grad mode, dtype, threads, determinism, mkldnn: who restores them?"

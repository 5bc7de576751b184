"""Run a job in a fresh process, and watch from outside how much memory it and its children take."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PERIOD_S = 0.2
_ROOT = Path(__file__).parent.parent

_ROLES = {
    "compile_worker": "compiler process",
    "window_child": "window",
    "inductor": "compiler's helpers",
    "cc1plus": "C++ compiler",
}


@dataclass(slots=True)
class Memory:
    """Peaks in KiB."""

    main: int = 0
    total: int = 0
    """Of the sum over all processes at one time; pages that they share count in each."""
    children: dict[str, int] = field(default_factory=dict)
    """The largest process of each role."""

    def look(self, main_pid: int) -> None:
        """Take the present sizes into account. Linux only: elsewhere it sees nothing."""
        total = 0
        for pid in _family(main_pid):
            try:
                resident, peak = _sizes_kib(pid)
                role = "" if pid == main_pid else _role(pid)
            except OSError:
                continue  # it ended meanwhile
            if not peak:
                continue  # ended, and not yet waited for
            total += resident
            if pid == main_pid:
                self.main = max(self.main, peak)
            else:
                self.children[role] = max(self.children.get(role, 0), peak)
        self.total = max(self.total, total)


def observed(
    job: dict[str, Any], *, cache_home: Path, display: str | None, limit_s: float = 1800.0
) -> tuple[dict[str, Any], Memory]:
    """What a job answers (see `live_child`), and the memory that it took.

    Args:
        job: Handed to `benchmarks.live_child`.
        cache_home: Its XDG_CACHE_HOME: empty for a cold start.
        display: Its DISPLAY.
        limit_s: It is ended after so long.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache_home)}
    if display is not None:
        environment["DISPLAY"] = display
    memory = Memory()
    # A file takes whatever it says; a pipe that nobody reads would stop it.
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as complaints:
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.live_child", json.dumps(job)],
            cwd=_ROOT,
            env=environment,
            stdout=answer,
            stderr=complaints,
            text=True,
        )
        until_s = time.monotonic() + limit_s
        try:
            while child.poll() is None and time.monotonic() < until_s:
                memory.look(child.pid)
                time.sleep(_PERIOD_S)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
        answer.seek(0)
        complaints.seek(0)
        lines = answer.read().strip().splitlines()
        if child.returncode != 0 or not lines:
            last = (complaints.read().strip().splitlines() or ["no answer"])[-1]
            raise RuntimeError(f"live_child ended with {child.returncode}: {last}")
    found: dict[str, Any] = json.loads(lines[-1])
    memory.main = max(memory.main, found["main_peak_kib"])
    return found, memory


def _family(pid: int) -> Iterator[int]:
    """A process and all that come from it. Children belong to the thread that started them."""
    yield pid
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = listing.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _sizes_kib(pid: int) -> tuple[int, int]:
    """(resident now, VmHWM)."""
    sizes = {"VmRSS": 0, "VmHWM": 0}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0])
    return sizes["VmRSS"], sizes["VmHWM"]


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    line = " ".join(words)
    return next((role for part, role in _ROLES.items() if part in line), Path(words[0]).name)

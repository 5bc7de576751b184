"""Run the tests: those that only compute beside the others, which mostly wait, on what is left.

    python tools/run_tests.py          all but the slow ones, in three processes
    python tools/run_tests.py ARGS     one pytest with these arguments, as usual

Tests that are marked `apart` or `families` keep processors busy for minutes and look at no clock;
they run in a process for each of these marks, on one thread, at the lowest priority, so that tests
about time do not feel them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BESIDE = ("apart", "families")


def main(arguments: list[str]) -> int:
    """The exit status: of the first process of tests that did not succeed, or 0."""
    if arguments:
        return subprocess.run(_pytest("not slow", *arguments), check=False).returncode
    logs = {mark: Path("build") / f"tests-{mark}.log" for mark in BESIDE}
    beside = {mark: _start(mark, log) for mark, log in logs.items()}
    try:
        rest = " and ".join(f"not {mark}" for mark in (*BESIDE, "slow"))
        statuses = [subprocess.run(_pytest(rest), check=False).returncode]
        for mark, log in logs.items():
            print(f"\ntests beside these, {log}:", flush=True)
            statuses.append(beside[mark].wait())
            print(log.read_text(), end="")
    finally:
        for process in beside.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
    return next((status for status in statuses if status != 0), 0)


def _start(mark: str, log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(exist_ok=True)
    # Processes at once would overwrite each other's note of what failed last.
    command = ["nice", "-n", "19", *_pytest(f"{mark} and not slow", "-p", "no:cacheprovider")]
    with log.open("w") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def _pytest(marked: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-m", marked, *arguments]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

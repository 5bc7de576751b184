"""Run the tests: those that only compute beside the others, which mostly wait, on what is left.

    python tools/run_tests.py          all but the slow ones, in two processes
    python tools/run_tests.py ARGS     one pytest with these arguments, as usual

Tests that are marked `apart` keep processors busy for minutes and look at no clock; they run on one
thread each at the lowest priority, so that tests about time do not feel them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

APART_LOG = Path("build") / "tests-apart.log"


def main(arguments: list[str]) -> int:
    """The exit status: of the first process of tests that did not succeed, or 0."""
    if arguments:
        return subprocess.run(_pytest("not slow", *arguments), check=False).returncode
    APART_LOG.parent.mkdir(exist_ok=True)
    with APART_LOG.open("w") as log:
        # Two processes at once would overwrite each other's note of what failed last.
        apart = subprocess.Popen(
            ["nice", "-n", "19", *_pytest("apart and not slow", "-p", "no:cacheprovider")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        try:
            statuses = [subprocess.run(_pytest("not apart and not slow"), check=False).returncode]
            print(f"\ntests beside these, {APART_LOG}:", flush=True)
            statuses.append(apart.wait())
        finally:
            if apart.poll() is None:
                apart.terminate()
                apart.wait()
    print(APART_LOG.read_text(), end="")
    return next((status for status in statuses if status != 0), 0)


def _pytest(marked: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-m", marked, *arguments]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

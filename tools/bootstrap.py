"""What `make` needs before there is a virtual environment: an interpreter, Debian's packages, venv.

Runs under any python3 (3.8 or later), imports nothing but the standard library, and ends with one
line that says what to do when it cannot go on.

    python3 tools/bootstrap.py venv DIR    makes DIR, installing what is missing where it may
    python3 tools/bootstrap.py system      installs the Debian packages of the tests and the window
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ((3, 13), (3, 12), (3, 11))
"""Newest first: the newest one on PATH is taken."""

WINDOW_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
}
"""What OpenCV's wheel expects from the system; without the first two `import cv2` itself fails."""

TEST_PACKAGES = (
    *("xvfb", "xdotool", "x11-utils", "imagemagick"),
    *("gir1.2-gst-rtsp-server-1.0", "python3-gi"),
    *("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-bad"),
    *("gstreamer1.0-plugins-ugly", "gstreamer1.0-libav", "gstreamer1.0-rtsp", "gstreamer1.0-tools"),
)
"""A screen without a monitor and a pair of hands for it; an RTSP server for the stream tests."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Any of them will do. Debian has the first; Ubuntu has it as a snap alone."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that answers, with what it lacks."""

    path: str
    version: tuple[int, int]
    has_venv: bool
    has_headers: bool
    is_debian: bool
    """Debian's own: what it lacks are packages named after its version."""


def probe(command: str) -> Interpreter | None:
    """Ask `command` for its version and its parts; None when it does not run."""
    path = shutil.which(command)
    if path is None:
        return None
    question = (
        "import sys, sysconfig, os, importlib.util as u; "
        "print(sys.executable); print(*sys.version_info[:2]); "
        "print(int(all(u.find_spec(m) for m in ('venv', 'ensurepip')))); "
        "print(int(os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')))); "
        "print(os.path.realpath(sys.executable))"
    )
    try:
        # A pyenv shim exists for versions that are not chosen: only running it tells.
        answer = subprocess.run(
            [path, "-I", "-c", question], capture_output=True, text=True, check=True, timeout=30
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor = (int(part) for part in answer[1].split())
    return Interpreter(
        path=answer[0],
        version=(major, minor),
        has_venv=answer[2] == "1",
        has_headers=answer[3] == "1",
        is_debian=answer[4] == f"/usr/bin/python{major}.{minor}" and has_apt(),
    )


def choose_interpreter(wanted: str) -> Interpreter:
    """The interpreter that the user named, or the newest supported one that can make a venv.

    Args:
        wanted: A path or a command; empty to choose.

    Raises:
        SystemExit: With one line, where there is none.
    """
    names = [wanted] if wanted else [f"python{a}.{b}" for a, b in SUPPORTED] + ["python3", "python"]
    found = [one for one in map(probe, names) if one is not None]
    supported = [one for one in found if one.version in SUPPORTED]
    if not supported:
        had = ", ".join(f"{one.path} is {one.version[0]}.{one.version[1]}" for one in found)
        raise SystemExit(
            f"rtvis needs Python 3.11, 3.12 or 3.13 ({had or 'none found on PATH'}): "
            "install one and name it, as in `make setup PYTHON=/path/to/python3.12`"
        )
    return next((one for one in supported if one.has_venv), supported[0])


def has_apt() -> bool:
    """Whether packages can be had from Debian or a child of it."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-query") is not None


def has_library(name: str) -> bool:
    """Whether the dynamic loader finds `name`."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def missing_for_run(python: Interpreter) -> tuple[list[str], list[str]]:
    """Debian packages without which the program does not start, and those that make it better."""
    needed: list[str] = []
    wanted: list[str] = []
    suffix = f"{python.version[0]}.{python.version[1]}"
    if not python.has_venv and python.is_debian:
        needed.append(f"python{suffix}-venv")
    needed += [package for name, package in WINDOW_LIBRARIES.items() if not has_library(name)]
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        wanted.append("g++")  # torch.compile on a CPU
    if shutil.which("gcc") is None and shutil.which("clang") is None:
        wanted.append("gcc")  # Triton's launcher on a GPU
    if not python.has_headers and python.is_debian:
        wanted.append(f"python{suffix}-dev")
    return needed, wanted


def not_installed(packages: tuple[str, ...]) -> list[str]:
    """Those of `packages` that dpkg does not list as installed."""
    listing = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,  # names that dpkg has never heard of make it exit with 1
    ).stdout
    installed = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def become_root() -> list[str] | None:
    """What to put before a command so that it runs as root without a question; None if nothing."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(
        ["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def install_line(packages: list[str]) -> str:
    """The command that a person would type."""
    return f"sudo apt-get install --no-install-recommends {' '.join(packages)}"


def install(packages: list[str], prefix: list[str]) -> None:
    """Install Debian packages, showing apt's own progress.

    Raises:
        SystemExit: With one line, when apt fails.
    """
    print(f"installing Debian packages: {' '.join(packages)}", flush=True)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    # A fresh container has no package lists, and old lists name versions that are gone. A failing
    # third-party source must not stop us: the install that follows tells what really lacks.
    subprocess.run([*apt, "update"], stdin=subprocess.DEVNULL, check=False)
    done = subprocess.run(
        [*apt, "install", "-y", "--no-install-recommends", *packages],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"apt-get failed (see above); try: {install_line(packages)}")


def ready_system(python: Interpreter) -> Interpreter:
    """Install what the program needs from Debian, or say in one line what to type.

    Returns:
        The interpreter, probed again.

    Raises:
        SystemExit: Where something without which nothing works cannot be installed.
    """
    if not sys.platform.startswith("linux"):
        return python
    needed, wanted = missing_for_run(python)
    if needed + wanted and has_apt():
        prefix = become_root()
        if prefix is not None:
            install(needed + wanted, prefix)
            return probe(python.path) or python
    if needed:
        how = install_line(needed + wanted) if has_apt() else "install them from your distribution"
        raise SystemExit(f"missing on this system: {' '.join(needed)}; type: {how}")
    if wanted:
        how = f"; to have it: {install_line(wanted)}" if has_apt() else ""
        print(f"not on this system, going on without (slower): {' '.join(wanted)}{how}")
    return python


def make_venv(folder: Path, wanted: str) -> None:
    """Make the virtual environment, or keep one that works.

    Raises:
        SystemExit: With one line, where it cannot be made.
    """
    old = probe(str(folder / "bin" / "python"))
    if old is not None and old.version in SUPPORTED and not wanted:
        has_pip = subprocess.run(
            [old.path, "-m", "pip", "--version"], capture_output=True, check=False
        )
        if has_pip.returncode == 0:
            ready_system(old)
            return
    python = ready_system(choose_interpreter(wanted))
    print(
        f"making {folder} with {python.path} ({python.version[0]}.{python.version[1]})", flush=True
    )
    # --clear: a venv that failed half-way (no ensurepip) looks like one and has no pip.
    made = subprocess.run([python.path, "-m", "venv", "--clear", str(folder)], check=False)
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise SystemExit(f"{python.path} -m venv failed (see above); choose another with PYTHON=")


def install_test_packages(wanted: str) -> None:
    """Install what the tests and the window need from Debian.

    Raises:
        SystemExit: With one line, where that is not possible.
    """
    if not has_apt():
        raise SystemExit(
            f"no apt-get here: install the likes of {' '.join(TEST_PACKAGES)} yourself"
        )
    needed, better = missing_for_run(choose_interpreter(wanted))
    packages = needed + better + not_installed(TEST_PACKAGES)
    lacks_browser = all(shutil.which(name) is None for name in BROWSERS)
    if not packages and not lacks_browser:
        print("every Debian package that the tests need is installed")
        return
    prefix = become_root()
    if prefix is None:
        wanted_too = [BROWSERS[0]] if lacks_browser else []
        raise SystemExit(f"not root, and sudo would ask: {install_line(packages + wanted_too)}")
    if packages:
        install(packages, prefix)
    if lacks_browser:
        try:
            install([BROWSERS[0]], prefix)
        except SystemExit:
            print(f"no {BROWSERS[0]} here: tests of HTML pages need a browser, {BROWSERS[-1]} too")


def main() -> None:
    """Read the command line and do the one thing that it names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", default="", help="an interpreter; empty: the newest supported")
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("venv", help="make a virtual environment").add_argument("folder", type=Path)
    parts.add_parser("system", help="install the Debian packages of the tests")
    options = parser.parse_args()
    if options.part == "venv":
        make_venv(options.folder, options.python)
    else:
        install_test_packages(options.python)


if __name__ == "__main__":
    main()

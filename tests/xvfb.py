"""A screen of its own for each test: Xvfb, xdotool and pictures of what is on it."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np


class Display:
    """What can be done to an X server by its name, such as ":7"."""

    def __init__(self, name: str) -> None:
        self.name = name

    def do(self, *arguments: str | int) -> str:
        """Run xdotool with these arguments."""
        done = subprocess.run(
            ["xdotool", *map(str, arguments)],
            env={**os.environ, "DISPLAY": self.name},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.strip()

    def window(self, title: str = "rtvis", timeout_s: float = 30.0) -> str:
        """The id of the window with this title, once it is there."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            try:
                return self.do("search", "--onlyvisible", "--name", f"^{title}").split()[-1]
            except subprocess.CalledProcessError:
                time.sleep(0.05)
        raise AssertionError(f"no window '{title}' in {timeout_s} s")

    def photograph(self, path: Path) -> np.ndarray:
        """All of the screen, uint8 BGR, also kept at `path`."""
        subprocess.run(
            ["import", "-window", "root", str(path)],
            env={**os.environ, "DISPLAY": self.name},
            timeout=20,
            check=True,
        )
        image: np.ndarray | None = cv2.imread(str(path))
        assert image is not None
        return image


class Screen(Display):
    """An X server without hardware."""

    def __init__(self, size: tuple[int, int] = (1000, 1600)) -> None:
        reader, writer = os.pipe()
        height, width = size
        # The server chooses a free number and writes it: tests in parallel do not meet. Without
        # -noreset it starts anew whenever its last client leaves, which each xdotool is until there
        # is a window, and a program that connects just then is told that there is no display.
        screen = f"{width}x{height}x24"
        self.server = subprocess.Popen(
            ["Xvfb", "-noreset", "-displayfd", str(writer), "-screen", "0", screen],
            pass_fds=[writer],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        # The number and its newline come in two writes, and a server that cannot write ends.
        text = ""
        while not text.endswith("\n") and select.select([reader], [], [], 20)[0]:
            piece = os.read(reader, 20).decode()
            if not piece:
                break
            text += piece
        os.close(reader)
        assert text.strip(), "Xvfb did not start"
        super().__init__(f":{text.strip()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.terminate()
        self.server.wait(10)

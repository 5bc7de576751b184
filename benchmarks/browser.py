"""A browser without a screen, led through the pipes of its debugging protocol: nothing to install
but Debian's chromium, and no port is opened."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from rtvis.closing import Closing
from tools.bootstrap import BROWSERS

PROGRAMS: Final = BROWSERS
"""Any of them."""
FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
)
_TO, _FROM = 3, 4
"""The file descriptors that the protocol has in the browser."""
_PUT_THERE: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 63); os.dup2(int(sys.argv[2]), 62); "
    f"os.dup2(63, {_TO}); os.dup2(62, {_FROM}); os.execvp(sys.argv[3], sys.argv[3:])"
)


def program() -> str | None:
    """The browser that is installed; None where none is."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser(Closing):
    """One page of a browser that is its own: profile, cache, process."""

    def __init__(self, *, width: int = 1280, height: int = 800) -> None:
        found = program()
        assert found is not None, "`make setup-system` installs chromium"
        self._profile = tempfile.TemporaryDirectory(prefix="rtvis-browser-")
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        put = [sys.executable, "-I", "-S", "-c", _PUT_THERE, str(to_read), str(from_write)]
        self.process = subprocess.Popen(
            [*put, found, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            pass_fds=(to_read, from_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"XDG_CONFIG_HOME": self._profile.name},
        )
        os.close(to_read)
        os.close(from_write)
        self._to, self._from = to_write, from_read
        self._pipes = [to_write, from_read]
        self._rest, self._number = b"", 0
        self._events: deque[dict[str, Any]] = deque()
        self._session: str | None = None
        target = next(
            each["targetId"]
            for each in self.ask("Target.getTargets")["targetInfos"]
            if each["type"] == "page"
        )
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Performance", "Runtime"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)

    def close(self) -> None:
        """End it, with all that it wrote. Safe to call twice."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        while self._pipes:
            os.close(self._pipes.pop())
        # The browser's helpers end a little later, and write into the profile until then.
        until_s = time.monotonic() + 10
        while True:
            try:
                self._profile.cleanup()
                return
            except OSError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command of the protocol, and wait for its answer.

        Raises:
            RuntimeError: The browser refuses.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (found := self._next(60.0)).get("id") != self._number:
            if "id" not in found:
                self._events.append(found)
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']['message']}")
        return found["result"]

    def _next(self, timeout_s: float) -> dict[str, Any]:
        until_s = time.monotonic() + timeout_s
        while b"\0" not in self._rest:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([self._from], [], [], left_s)[0]:
                raise TimeoutError(f"the browser said nothing in {timeout_s} s")
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._rest += piece
        line, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def resize(self, width: int, height: int, *, scale: float = 1.0, phone: bool = False) -> None:
        """Give the page another size, in CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )

    def open(self, path: Path, fragment: str = "") -> list[str]:
        """Load a page from a file, and wait until all that it asks for at first is there.

        Returns:
            The addresses that it asked for, in order, its own among them.
        """
        self._events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri() + fragment)
        asked: list[str] = []
        while True:
            event = self._events.popleft() if self._events else self._next(120.0)
            if event.get("method") == "Network.requestWillBeSent":
                asked.append(event["params"]["request"]["url"])
            elif event.get("method") == "Page.loadEventFired":
                return asked

    def requests(self) -> list[str]:
        """The addresses that the page has asked for since it was loaded."""
        self.settle()
        found = [
            each["params"]["request"]["url"]
            for each in self._events
            if each.get("method") == "Network.requestWillBeSent"
        ]
        self._events.clear()
        return found

    def do(self, script: str) -> Any:
        """What an expression is worth in the page; a promise is waited for.

        Raises:
            RuntimeError: It fails there.
        """
        found = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def settle(self) -> None:
        """Wait until two pictures of the page have been drawn."""
        self.do("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def photograph(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is in sight, or of all of the page."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def memory_bytes(self) -> int:
        """What the processes of the pages hold: resident, without what they share."""
        session, self._session = self._session, None
        try:
            listed = self.ask("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            self._session = session
        return sum(_private_bytes(each["id"]) for each in listed if each["type"] == "renderer")


def _private_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = (line.split() for line in text.splitlines() if line.startswith("Private_"))
    return sum(int(words[1]) * 1024 for words in lines)

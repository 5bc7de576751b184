"""Servers of MJPEG and RTSP as processes of their own, to be killed, frozen and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent


def free_port() -> int:
    """A TCP port on loopback where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A server process; leaving the context kills it."""

    def __init__(
        self, kind: str, *, mode: str = "good", user: str = "", password: str = ""
    ) -> None:
        self.kind, self.mode, self.user, self.password = kind, mode, user, password
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def uri(self, credentials: str = "") -> str:
        """Where the stream is."""
        at = f"{credentials}@" if credentials else ""
        if self.kind == "rtsp":
            return f"rtsp://{at}127.0.0.1:{self.port}/test"
        return f"http://{at}127.0.0.1:{self.port}/video.mjpg"

    def start(self, mode: str | None = None) -> None:
        """Start it and wait until it listens."""
        self.mode = mode or self.mode
        if self.kind == "rtsp":
            command = ["/usr/bin/python3", str(HERE / "rtsp_server.py"), str(self.port)]
            command += [self.user, self.password] if self.user else []
        else:
            command = [sys.executable, str(HERE / "mjpeg_server.py"), str(self.port), self.mode]
            command += [f"{self.user}:{self.password}"] if self.user else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", f"the {self.kind} server failed"

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Stop it: its connections stay open and nothing comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

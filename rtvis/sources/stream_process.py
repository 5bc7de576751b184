"""The parent's side of the process that reads a stream: start it, talk to it, kill it."""

import contextlib
import json
import mmap
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rtvis.data import ImageU8

_CHILD = Path(__file__).with_name("stream_child.py")

_FFMPEG_OPTIONS = "|".join(
    (
        "rtsp_transport;tcp",  # UDP loses packets, and half frames look like what they are not.
        "flags;low_delay",
        # Do not watch 20 frames to learn the rate: 1.2 s became 0.4 s until the first frame. But
        # not fflags nobuffer: it throws the first key frame away, and that costs 0.7 s.
        "fpsprobesize;0",
        "analyzeduration;1000000",
    )
)

_MEANINGS = (
    (r"(error|failed:) 401", "the user name or password is wrong or missing"),
    (r"(error|failed:) 403", "the server refuses access"),
    (r"(error|failed:) 404", "the server has no such path"),
    (r"(error|failed:) 400", "the server does not understand the request"),
    (r"(error|failed:) 5\d\d", "the server reports a fault of its own"),
    ("connection refused", "connection refused: no server listens there"),
    ("no route to host", "no route to this host"),
    ("network is unreachable", "the network is unreachable"),
    ("failed to resolve", "this host name is unknown"),
    ("name or service not known", "this host name is unknown"),
    ("timed out", "the server does not answer"),
    ("connection reset", "the server broke the connection"),
    ("invalid data", "what it sends is no video"),
    ("could not find codec", "what it sends is no video"),
    ("protocol not found", "FFmpeg was built without this protocol"),
)
"""Patterns of the decoder's own text, and what they mean. The text itself may quote the address."""


class ProcessGoneError(Exception):
    """The reader ended by itself: killed, or crashed in the decoder."""


class StreamProcess:
    """One reader process with its shared memory. Owned by one thread, except for `kill`."""

    def __init__(self) -> None:
        """Start the process; its first message is "ready".

        Raises:
            OSError: The machine has no process, memory or descriptor left.
        """
        self._shared = _shared_memory_file()
        self._memory: mmap.mmap | None = None
        self._pending = b""
        self._messages: list[dict[str, Any]] = []
        self._clue = ""
        environment = dict(os.environ)
        environment.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _FFMPEG_OPTIONS)
        environment["OPENCV_LOG_LEVEL"] = "SILENT"
        environment["OPENCV_FFMPEG_LOGLEVEL"] = (
            "24"  # AV_LOG_WARNING: an HTTP 401 is no error there.
        )
        try:
            self._process = subprocess.Popen(
                # -P: this folder must not come first on the module path.
                [sys.executable, "-P", "-u", str(_CHILD), str(self._shared)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(self._shared,),
                env=environment,
                # Ctrl-C is for the parent, which then ends this one.
                start_new_session=True,
            )
        except BaseException:
            os.close(self._shared)
            raise
        self._selector = selectors.DefaultSelector()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """Of the reader."""
        return self._process.pid

    def open(
        self,
        target: str | int,
        *,
        open_s: float,
        read_s: float,
        size: tuple[int, int] | None,
    ) -> None:
        """Ask it to open a URI or a camera and to read until that is lost."""
        self._clue = ""
        self._send({"do": "open", "target": target, "open_s": open_s, "read_s": read_s,
                    "size": size})  # fmt: skip

    def next(self, *, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None if none came in time.

        Raises:
            ProcessGoneError: There will be no more.
        """
        deadline = time.monotonic() + timeout_s
        while not self._messages:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            for key, _ in self._selector.select(left_s):
                self._read(key.fileobj)
        return self._messages.pop(0)

    def copy_frame(self, message: dict[str, Any]) -> ImageU8:
        """The picture that a "frame" message tells of, copied out; its place is free again."""
        height, width, offset = message["height"], message["width"], message["offset"]
        count = height * width * 3
        if self._memory is None or len(self._memory) < offset + count:
            self._unmap()
            self._memory = mmap.mmap(self._shared, 0, prot=mmap.PROT_READ)
        shared = np.frombuffer(self._memory, dtype=np.uint8, count=count, offset=offset)
        image = shared.reshape(height, width, 3).copy()
        self._send({"do": "free", "slot": message["slot"]})
        return image

    def clue(self) -> str:
        """What the decoder complained of since `open`, in our words; empty where unknown."""
        for key, _ in self._selector.select(0):
            if key.fileobj is self._process.stderr:
                self._read(key.fileobj)
        text = self._clue.casefold()
        return next((meaning for sign, meaning in _MEANINGS if re.search(sign, text)), "")

    def kill(self) -> None:
        """End the process at once, and so wake who waits in `next`. From any thread."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and free all that belongs to it. Safe to call twice."""
        if self._shared < 0:
            return
        self._process.kill()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._unmap()
        os.close(self._shared)
        self._shared = -1

    def _read(self, pipe: Any) -> None:
        descriptor: int = pipe.fileno()
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if pipe is self._process.stderr:
            # The last words are enough, and a decoder that complains of each packet has many.
            self._clue = (self._clue + data.decode("utf-8", "replace"))[-4000:]
            if not data:
                self._selector.unregister(descriptor)
            return
        if not data:
            raise ProcessGoneError(_how_it_ended(self._process))
        *lines, self._pending = (self._pending + data).split(b"\n")
        self._messages += [json.loads(line) for line in lines]

    def _send(self, message: dict[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ProcessGoneError(_how_it_ended(self._process)) from None

    def _unmap(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None


def _how_it_ended(process: "subprocess.Popen[bytes]") -> str:
    try:
        code = process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return "its reader closed its output"
    return f"its reader crashed (signal {-code})" if code < 0 else f"its reader ended ({code})"


def _shared_memory_file() -> int:
    """A descriptor of memory without a name: nothing is left behind, however we end."""
    if hasattr(os, "memfd_create"):
        # Not limited by the size of /dev/shm, which containers keep at 64 MB.
        return os.memfd_create("rtvis-stream")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())

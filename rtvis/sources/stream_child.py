"""The program of the process that reads one network stream or webcam.

It is run as a file, not imported as a part of rtvis: so it starts in a third of a second, without
torch. The decoder may hang or crash here; the parent then kills this process and starts another.

Lines of JSON come on stdin and go out on stdout; pixels go through shared memory, a file without a
name, whose descriptor is the only argument. The address comes on stdin too: the list of processes
and the environment never hold it.

    in:   {"do": "open", "target": uri or number, "open_s": 8, "read_s": 3, "size": [h, w] or null}
          {"do": "free", "slot": 0}
    out:  {"is": "ready"}
          {"is": "opened", "num_frames": null or n}
          {"is": "frame", "slot", "offset", "height", "width", "seq", "captured_ns", "pts_seconds"}
          {"is": "lost", "why": "open" | "read" | "end" | "size", "silent_s": how long it waited}
"""

import json
import mmap
import os
import queue
import select
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np

NUM_SLOTS = 3
MAX_PIXELS = 1 << 26
"""64 megapixels. A stream that claims more than this lies."""

QUIET_S = 1.0
"""How often to look whether the parent is still there, should stdin not tell."""


class Ring:
    """Places for frames in the shared memory. The parent says when it is done with one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._slot_bytes = 0
        self._memory: mmap.mmap | None = None
        self._free = set(range(NUM_SLOTS))
        self._lock = threading.Lock()

    def give_back(self, slot: int) -> None:
        """The parent has copied what was in `slot`."""
        with self._lock:
            self._free.add(slot)

    def take(self, num_bytes: int) -> tuple[int, int] | None:
        """(slot, offset) of a free place for `num_bytes`; None while there is none."""
        with self._lock:
            if num_bytes > self._slot_bytes and not self._grow(num_bytes):
                return None
            if not self._free:
                return None
            slot = self._free.pop()
            return slot, slot * self._slot_bytes

    def view(self, offset: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The place as an image."""
        assert self._memory is not None
        return np.frombuffer(
            self._memory, dtype=np.uint8, count=height * width * 3, offset=offset
        ).reshape(height, width, 3)

    def _grow(self, num_bytes: int) -> bool:
        # Places move when they grow, so the parent must have none of them in hand.
        if len(self._free) < NUM_SLOTS:
            return False
        self._memory = None
        self._slot_bytes = num_bytes
        total = num_bytes * NUM_SLOTS
        # Reserve it where that is possible: touching memory that is not there would kill us.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, 0, total)
        else:
            os.ftruncate(self._descriptor, total)
        self._memory = mmap.mmap(self._descriptor, total)
        return True


class Reader:
    """Opens what the parent names, and passes its frames on."""

    def __init__(self, ring: Ring, output: Any) -> None:
        self._ring = ring
        self._output = output
        self._began_s = 0.0
        self.jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def say(self, kind: str, **values: object) -> None:
        """Write one line to the parent."""
        self._output.write(json.dumps({"is": kind, **values}) + "\n")
        self._output.flush()

    def run(self) -> None:
        """Serve one job after the other until the process is ended."""
        self.say("ready")
        while True:
            job = self.jobs.get()
            self._began_s = time.monotonic()
            try:
                capture = open_capture(job)
            except cv2.error:
                capture = None
            if capture is None or not capture.isOpened():
                self._say_lost("open")
                continue
            try:
                why = self._pass_on(capture, read_s=job["read_s"])
            except cv2.error:
                why = "read"
            self._say_lost(why)
            capture.release()

    def _say_lost(self, why: str) -> None:
        self.say("lost", why=why, silent_s=time.monotonic() - self._began_s)

    def _pass_on(self, capture: Any, *, read_s: float) -> str:
        """Pass frames on until there are no more. Returns why."""
        # A live stream has no count, or a nonsensical one. What has one is a film on a server.
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        num_frames = count if count > 0 else None
        self.say("opened", num_frames=num_frames)
        seq = 0
        self._began_s = clock_s = time.monotonic()
        while capture.grab():
            captured_ns = time.monotonic_ns()
            if time.monotonic() - self._began_s > 0.95 * read_s:
                # Timed out: this is an old frame, which the decoder lets go of at the end.
                return "read"
            pts_s = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
            if num_frames is not None:
                time.sleep(min(max(clock_s + pts_s - time.monotonic(), 0.0), 1.0))
                captured_ns = time.monotonic_ns()
            size = self._pass_frame(capture, seq, captured_ns, pts_s)
            if size > MAX_PIXELS:
                return "size"
            seq += 1
            self._began_s = time.monotonic()
        return "end" if num_frames is not None and seq >= num_frames - 2 else "read"

    def _pass_frame(self, capture: Any, seq: int, captured_ns: int, pts_s: float) -> int:
        """Pass the frame just grabbed on if there is a place for it. Returns its pixels."""
        is_there, image = capture.retrieve()
        if not is_there or image is None or image.size == 0:
            return 0
        height, width = image.shape[:2]
        if height * width > MAX_PIXELS:
            return int(height * width)
        place = self._ring.take(height * width * 3)
        if place is None:
            return 0
        slot, offset = place
        write_rgb(image, self._ring.view(offset, height, width))
        self.say(
            "frame",
            slot=slot,
            offset=offset,
            height=height,
            width=width,
            seq=seq,
            captured_ns=captured_ns,
            pts_seconds=pts_s if pts_s >= 0 else None,
        )
        return int(height * width)


def open_capture(job: dict[str, Any]) -> Any:
    """The capture that a job asks for; it may turn out not to be open."""
    target = job["target"]
    if isinstance(target, int):
        backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
        capture = cv2.VideoCapture(target, backend)
        if capture.isOpened() and job["size"]:
            height, width = job["size"]
            # Raw pictures of this size do not fit through USB 2 at 30 a second; MJPG does.
            if height * width > 640 * 480:
                capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        return capture
    # The timeouts work in the constructor only. One thread: each more delays by a frame.
    properties = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(job["open_s"] * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(job["read_s"] * 1000),
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, properties)


def write_rgb(image: Any, rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Write what OpenCV decoded (BGR, BGRA or grey; 8 or 16 bits) into `rgb`, [H, W, 3]."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        rgb[...] = image.reshape(*image.shape[:2], 1)
    elif image.shape[2] == 3 and image.dtype == np.uint8:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=rgb)
    else:
        rgb[...] = image[:, :, 2::-1]


def listen(reader: Reader, ring: Ring, parent: int) -> None:
    """Take lines from stdin; end the process when the parent is gone. Runs in a thread.

    `os._exit`, because the main thread may be stuck in the decoder for good.
    """
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], QUIET_S)
        if os.getppid() != parent:
            os._exit(0)
        if not readable:
            continue
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message["do"] == "free":
                ring.give_back(message["slot"])
            else:
                reader.jobs.put(message)


def main() -> None:
    """Read until killed or until the parent is gone."""
    parent = os.getppid()
    # What libraries print to stdout must not get between the messages.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    cv2.setNumThreads(1)
    ring = Ring(int(sys.argv[1]))
    reader = Reader(ring, output)
    threading.Thread(target=listen, args=(reader, ring, parent), daemon=True).start()
    try:
        reader.run()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()

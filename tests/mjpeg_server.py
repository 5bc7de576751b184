"""An MJPEG server on loopback that misbehaves on demand. Run as a process, so it can be stopped.

    python mjpeg_server.py PORT MODE [USER:PASSWORD]

It prints "ready" when it listens. Each picture is one colour: red, and blue for every 2nd second.
Modes:
    good      a stream at 25 frames a second
    slow      one frame every 0.5 s
    stall     10 frames, then nothing, with the connection kept open
    headers   the headers of a stream, then nothing
    half      5 frames, then half of one, and the connection kept open
    slam      the connection is closed as soon as it is made
    brief     3 frames, then the connection is closed
    garbage   the headers of a stream, then noise
    html      a web page, with the content type of a stream
    silent    takes connections and says nothing
    big       a stream of 480x640 instead of 120x160
"""

import base64
import contextlib
import itertools
import random
import socketserver
import sys
import time

import cv2
import numpy as np

BOUNDARY = b"frame"
HEADERS = (
    b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary="
    + BOUNDARY
    + b"\r\n\r\n"
)


def picture(*, height=120, width=160, is_red=True):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 2 if is_red else 0] = 220
    return cv2.imencode(".jpg", image)[1].tobytes()


def part(data):
    headers = b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    return headers % (BOUNDARY, len(data)) + data + b"\r\n"


class Handler(socketserver.BaseRequestHandler):
    mode = "good"
    credentials = ""

    def handle(self):
        with contextlib.suppress(OSError):  # The client may go away.
            self._serve()

    def _serve(self):
        mode = self.mode
        if mode == "slam":
            return
        if mode == "silent":
            time.sleep(3600)
        request = self.request.recv(65536)
        wanted = base64.b64encode(self.credentials.encode())
        if self.credentials and b"Basic " + wanted not in request:
            self.request.sendall(
                b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n"
            )
            return
        self.request.sendall(HEADERS)
        if mode == "html":
            self.request.sendall(b"<html><body>This camera needs an update.</body></html>" * 50)
        elif mode == "garbage":
            noise = random.Random(0)
            while True:
                self.request.sendall(noise.randbytes(4096))
                time.sleep(0.01)
        elif mode == "headers":
            time.sleep(3600)
        else:
            self._stream(mode)

    def _stream(self, mode):
        limits = {"stall": 10, "half": 5, "brief": 3}
        for count in itertools.count():
            if count == limits.get(mode):
                break
            scale = 4 if mode == "big" else 1
            data = picture(height=120 * scale, width=160 * scale, is_red=count // 25 % 2 == 0)
            self.request.sendall(part(data))
            time.sleep(0.5 if mode == "slow" else 0.04)
        if mode == "half":
            self.request.sendall(part(picture())[:300])
        if mode in {"half", "stall"}:
            time.sleep(3600)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    Handler.mode = sys.argv[2]
    Handler.credentials = sys.argv[3] if len(sys.argv) > 3 else ""
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()

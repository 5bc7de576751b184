"""The pictures that a data set's items are, found again one by one."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import cv2

from rtvis.closing import Closing
from rtvis.errors import SourceError
from rtvis.sources.pixels import Decoded, read_picture, rgb_from_bgr
from rtvis.units.items import Item

_MAX_BYTES: Final = 256 * 2**20
_EARLIER_S: Final = 1.0
"""So far before a wanted frame decoding begins: what a film says of its times is not exact."""
_NEAR_S: Final = 1e-3


class SourcePictures(Closing):
    """Reads items; the last ones are kept, for one picture excites many units.

    A context manager: it may hold a film open. Several threads may read at once: pictures beside
    each other, frames of films one after the other.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._kept: OrderedDict[int, Decoded] = OrderedDict()
        self._num_bytes = 0
        self._max_bytes = max_bytes
        self._film: tuple[Path, Any] | None = None
        self._lock, self._film_lock = threading.Lock(), threading.Lock()

    def close(self) -> None:
        """Close the film, if one is open."""
        if self._film is not None:
            self._film[1].release()
            self._film = None

    def read(self, item: Item) -> Decoded:
        """The picture of an item, with all the bits that a scan saw.

        Raises:
            SourceError: It cannot be read any more.
        """
        with self._lock:
            kept = self._kept.get(item.index)
            if kept is not None:
                self._kept.move_to_end(item.index)
                return kept
        if item.pts_seconds is None:
            picture = read_picture(item.path)
        else:
            with self._film_lock:
                picture = self._frame(item.path, item.pts_seconds)
        with self._lock:
            self._keep(item.index, picture)
        return picture

    def _keep(self, index: int, picture: Decoded) -> None:
        if index in self._kept:  # somebody else was faster
            return
        self._kept[index] = picture
        self._num_bytes += picture.num_bytes
        while self._num_bytes > self._max_bytes and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._num_bytes -= gone.num_bytes

    def _frame(self, path: Path, pts_s: float) -> Decoded:
        capture = self._opened(path)
        for start_s in (pts_s - _EARLIER_S, 0.0):
            if start_s < 0.0 or not capture.set(cv2.CAP_PROP_POS_MSEC, start_s * 1e3):
                self.close()
                capture = self._opened(path)
            while capture.grab():
                now_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                if abs(now_s - pts_s) < _NEAR_S:
                    is_there, image = capture.retrieve()
                    if is_there and image is not None:
                        return Decoded(image_HW3=rgb_from_bgr(image))
                if now_s > pts_s:  # it began too late, or the times are others: from the start
                    break
        raise SourceError(f"{path}: has no frame at {pts_s:.3f} s any more; scan it again")

    def _opened(self, path: Path) -> Any:
        if self._film is None or self._film[0] != path:
            self.close()
            capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
            if not capture.isOpened():
                capture.release()
                raise SourceError(f"{path}: is no film that can be read; is it still there?")
            self._film = path, capture
        return self._film[1]

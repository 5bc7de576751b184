"""Pictures of units kept in memory up to a number of bytes; the one used longest ago goes first."""

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.errors import StoreError

DEFAULT_BYTES = 256 * 2**20
"""400 pictures of 480x480."""


class PictureCache:
    """Decoded pictures by file. Any thread may ask.

    DVT let go of what had come first (DVT-98), so that a unit to which one goes back again and
    again was read again and again: here looking at it keeps it.

    A file that was replaced is read again: what is kept belongs to a file's time and size.

    Args:
        max_bytes: Of all pictures together; one that alone is larger is not kept.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        assert max_bytes >= 0, "a number of bytes"
        self.max_bytes = max_bytes
        self.num_bytes = 0
        """Of the pictures that are kept now."""
        self._kept: OrderedDict[tuple[Path, int, int], ImageU8] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path) -> ImageU8 | None:
        """The picture in a file: uint8 RGB, not to be written to; None where there is no file.

        Args:
            path: JPEG or PNG.

        Raises:
            StoreError: The file cannot be read, or is damaged.
        """
        try:
            about = path.stat()
            key = path, about.st_mtime_ns, about.st_size
            with self._lock:
                found = self._kept.get(key)
                if found is not None:
                    self._kept.move_to_end(key)
                    return found
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from None
        image_HW3 = decoded(data)
        if image_HW3 is None:
            raise StoreError(f"{path}: is damaged; `rtvis units verify` finds all that is")
        image_HW3.setflags(write=False)
        self._keep(key, image_HW3)
        return image_HW3

    def _keep(self, key: tuple[Path, int, int], image_HW3: ImageU8) -> None:
        if image_HW3.nbytes > self.max_bytes:
            return
        with self._lock:
            for old in [other for other in self._kept if other[0] == key[0]]:
                self.num_bytes -= self._kept.pop(old).nbytes
            self._kept[key] = image_HW3
            self.num_bytes += image_HW3.nbytes
            while self.num_bytes > self.max_bytes:
                _, gone = self._kept.popitem(last=False)
                self.num_bytes -= gone.nbytes


def decoded(data: bytes) -> ImageU8 | None:
    """A JPEG or PNG as uint8 RGB [H, W, 3]; None where that cannot be read."""
    if not data:
        return None
    image_bgr_HW3 = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    return None if image_bgr_HW3 is None else cv2.cvtColor(image_bgr_HW3, cv2.COLOR_BGR2RGB)

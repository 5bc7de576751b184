"""Frames of a camera or stream that were kept beside a film: a zip of pictures, by their number."""

import zipfile
from pathlib import Path

import cv2
import numpy as np

from rtvis.closing import Closing
from rtvis.data import Frame
from rtvis.errors import SourceError
from rtvis.sources.pixels import rgb_from_bgr


class KeptFrames(Closing):
    """Gives the frames that `rtvis.sinks.frame_keeper` wrote."""

    def __init__(self, path: Path) -> None:
        """Look what there is.

        Raises:
            SourceError: It cannot be read, or is something else.
        """
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            self._members = {int(Path(name).stem): name for name in self._zip.namelist()}
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "damaged, or something else"
            raise SourceError(
                f"{path}: the frames that were kept cannot be read ({why}); copy the file again"
            ) from None

    def read(self, number: int) -> Frame:
        """The frame with a number, as the source gave it.

        Raises:
            SourceError: It is not there, or damaged.
        """
        try:
            encoded = self._zip.read(self._members[number])
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            why = "it is missing" if isinstance(error, KeyError) else "it is damaged"
            raise SourceError(f"{self._path}: frame {number}: {why}; copy the file again") from None
        pixels = np.frombuffer(encoded, np.uint8)
        image_HW3 = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED) if pixels.size else None
        if image_HW3 is None or image_HW3.ndim != 3:
            raise SourceError(f"{self._path}: frame {number}: it is damaged; copy the file again")
        return Frame(image_HW3=rgb_from_bgr(image_HW3), seq=number, captured_ns=0)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._zip.close()

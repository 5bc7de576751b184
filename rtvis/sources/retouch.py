"""What is done to each frame before anybody sees it: mirrored, its contrast stretched (DVT-02)."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np

from rtvis.data import ImageF32, ImageU8

Mirror: TypeAlias = Literal["auto", "on", "off"]
"""Left and right exchanged: for webcams, where one sees oneself; always; or never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retouch:
    """Done on the source's own thread, while the engine computes the frame before."""

    mirrored: bool = False
    stretched: bool = False
    """From the darkest value of the whole picture to its brightest, 0..255."""

    def apply(self, image_HW3: ImageU8) -> ImageU8:
        """The picture, itself or new and C-contiguous; what was given is not written to.

        1280x720, one core: mirrored 0.35 ms, stretched 1.1 ms.
        """
        if self.mirrored:
            image_HW3 = cv2.flip(image_HW3, 1)
        return _stretched(image_HW3) if self.stretched else image_HW3

    def apply_precise(self, image_HW3: ImageF32) -> ImageF32:
        """The same for a picture in 0..1."""
        if self.mirrored:
            image_HW3 = np.ascontiguousarray(image_HW3[:, ::-1])
        if self.stretched:
            low, high = image_HW3.min(), image_HW3.max()
            image_HW3 = (image_HW3 - low) / (high - low + np.float32(1e-6 / 255))
        return image_HW3


def _stretched(image_HW3: ImageU8) -> ImageU8:
    """DVT-02: f - min, times 255 / (max + 1e-6) with the maximum taken after the subtraction.

    Rounded, and one scale for all three channels, so that colours stay. A flat picture is black.
    """
    height, width = image_HW3.shape[:2]
    low, high, _, _ = cv2.minMaxLoc(image_HW3.reshape(height, width * 3))
    levels = np.clip(np.arange(256) - low, 0, high - low) * (255 / (high - low + 1e-6))
    stretched: ImageU8 = cv2.LUT(image_HW3, np.rint(levels).astype(np.uint8))
    return stretched

"""The one upload of a turn."""

import torch
from torch import Tensor

from rtvis.data import Frame


def upload(frame: Frame, device: torch.device) -> Tensor:
    """The frame's picture on the device, without waiting for it."""
    pixels_HW3 = frame.image_HW3
    if not pixels_HW3.flags.writeable:  # torch warns about such memory
        pixels_HW3 = pixels_HW3.copy()
    image_HW3 = torch.from_numpy(pixels_HW3)
    if device.type != "cuda":
        return image_HW3
    return image_HW3.pin_memory().to(device, non_blocking=True)

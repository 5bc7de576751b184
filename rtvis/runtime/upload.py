"""Pictures onto the device: the one upload of a turn, and what a page shows beside it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rtvis.data import Frame, ImageF32, ImageU8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Uploaded:
    """A frame on the device."""

    image_HW3: Tensor
    """uint8: for the screen."""
    input_HW3: Tensor
    """For the network: the same, or float32 in 0..1 where the source has more than eight bits."""


def upload(frame: Frame, device: torch.device) -> Uploaded:
    """The frame's picture on the device, without waiting for it."""
    image_HW3 = on_device(frame.image_HW3, device)
    precise = frame.precise_HW3
    return Uploaded(
        image_HW3=image_HW3,
        input_HW3=image_HW3 if precise is None else on_device(precise, device),
    )


def on_device(pixels_HW3: ImageU8 | ImageF32, device: torch.device) -> Tensor:
    """The same pixels on the device, without waiting for them; on a CPU in the same memory."""
    if not pixels_HW3.flags.writeable:  # torch warns about such memory
        pixels_HW3 = pixels_HW3.copy()
    image_HW3 = torch.from_numpy(pixels_HW3)
    if device.type != "cuda":
        return image_HW3
    return image_HW3.pin_memory().to(device, non_blocking=True)

"""Class activation maps over still pictures, at the pictures' own size."""

import numpy as np
import torch
from torch import Tensor

from rtvis.data import Crop, ImageU8
from rtvis.render import display
from rtvis.render.lut import colormap
from rtvis.stills_requests import CamStyle


def draw_cam(image_HW3: ImageU8, crop: Crop, cam_HW: Tensor, style: CamStyle) -> ImageU8:
    """A CAM over its picture, uint8 BGR at the picture's size; what was cropped off is dimmed."""
    device = cam_HW.device
    bytes_HW3 = torch.from_numpy(image_HW3).to(device)
    height, width = image_HW3.shape[:2]
    rows = _pixels(crop.top, crop.height, height)
    columns = _pixels(crop.left, crop.width, width)
    share_HW = display.cam_share(cam_HW, (rows.stop - rows.start, columns.stop - columns.start))
    if style == "heat":
        index = (share_HW * 255).to(torch.int32)
        seen_HW3 = colormap("turbo", device).index_select(0, index.flatten())
        seen_HW3 = seen_HW3.reshape(*share_HW.shape, 3)
        drawn_HW3 = torch.zeros_like(bytes_HW3)
    else:
        draw = display.overlay_alpha if style == "overlay" else display.overlay_blend
        seen_HW3 = draw(bytes_HW3[rows, columns].float() / 255, share_HW)
        drawn_HW3 = display.dim_outside(bytes_HW3, (rows, columns))
    drawn_HW3[rows, columns] = display.to_bytes(seen_HW3)
    return bgr_on_host(drawn_HW3)


def _pixels(start: float, length: float, limit: int) -> slice:
    """The whole pixels, at least one, that a stretch of a picture covers."""
    first = min(max(round(start), 0), limit - 1)
    return slice(first, min(max(round(start + length), first + 1), limit))


def bgr_on_host(rgb_HW3: Tensor) -> ImageU8:
    """uint8 [H, W, 3] as OpenCV wants it."""
    image: ImageU8 = np.ascontiguousarray(rgb_HW3.flip(2).cpu().numpy())
    return image

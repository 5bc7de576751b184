"""Class activation maps over still pictures, at the pictures' own size."""

import numpy as np
import torch
from torch import Tensor

from rtvis.data import Crop, ImageU8
from rtvis.render import display
from rtvis.render.cover import cover
from rtvis.render.lut import colormap
from rtvis.stills.requests import CamStyle


def draw_cam(image_HW3: ImageU8, crop: Crop, cam_HW: Tensor, style: CamStyle) -> ImageU8:
    """A CAM over its picture, uint8 BGR at the picture's size; what was cropped off is dimmed."""
    device = cam_HW.device
    bytes_HW3 = torch.from_numpy(image_HW3).to(device)
    size = image_HW3.shape[0], image_HW3.shape[1]
    view = cover(crop, size, size)
    share_HW = display.cam_share(cam_HW, view.size)[view.within]
    if style == "heat":
        index = (share_HW * 255).to(torch.int32)
        seen_HW3 = colormap("turbo", device).index_select(0, index.reshape(-1))
        seen_HW3 = seen_HW3.reshape(*share_HW.shape, 3)
        drawn_HW3 = torch.zeros_like(bytes_HW3)
    else:
        draw = display.overlay_alpha if style == "overlay" else display.overlay_blend
        seen_HW3 = draw(bytes_HW3[view.seen].float() / 255, share_HW)
        drawn_HW3 = display.dim_outside(bytes_HW3, view.seen)
    drawn_HW3[view.seen] = display.to_bytes(seen_HW3)
    return bgr_on_host(drawn_HW3)


def bgr_on_host(rgb_HW3: Tensor) -> ImageU8:
    """uint8 [H, W, 3] as OpenCV wants it."""
    image: ImageU8 = np.ascontiguousarray(rgb_HW3.flip(2).cpu().numpy())
    return image

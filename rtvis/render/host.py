"""Pictures on a CPU: what `panes` and `display` do, in a few calls of NumPy and OpenCV.

A torch operation on a small tensor costs several microseconds before it begins, and lets other
threads take the interpreter. Each function here equals its torch twin up to one grey level.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.render import lut
from rtvis.render.cover import Cover
from rtvis.render.grid import Rect
from rtvis.session import CamStyle


def floats(x: Tensor) -> npt.NDArray[np.float32]:
    """The values of a CPU tensor as float32, in the same memory where they are that."""
    values: npt.NDArray[np.float32] = x.float().numpy()
    return values


def paint(canvas_HW: Tensor, rect: Rect, bytes_HW3: ImageU8) -> None:
    """Draw an RGB picture of the size of `rect` on a packed canvas."""
    words_HW = canvas_HW.numpy()
    height, width = words_HW.shape
    image_HW4 = words_HW.view(np.uint8).reshape(height, width, 4)[rect.rows, rect.columns]
    cv2.cvtColor(np.ascontiguousarray(bytes_HW3), cv2.COLOR_RGB2BGRA, dst=image_HW4)


def packed(bytes_HW3: ImageU8) -> Tensor:
    """As `display.pack_bytes`."""
    words_HW4 = cv2.cvtColor(bytes_HW3, cv2.COLOR_RGB2BGRA)
    return torch.from_numpy(words_HW4.view(np.int32)[..., 0])


def resize(image_HW3: ImageU8, height: int, width: int) -> ImageU8:
    """Halved by averaging as often as it goes, then bilinear, which below 2 : 1 still touches
    every pixel. Five times faster than averaging over cells of odd sizes."""
    while image_HW3.shape[0] >= 2 * height and image_HW3.shape[1] >= 2 * width:
        half = image_HW3.shape[0] // 2, image_HW3.shape[1] // 2
        even = image_HW3[: 2 * half[0], : 2 * half[1]]
        image_HW3 = cv2.resize(even, half[::-1], interpolation=cv2.INTER_AREA)
    if image_HW3.shape[:2] == (height, width):
        return image_HW3.copy()  # what this returns is drawn over
    sized: ImageU8 = cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_LINEAR)
    return sized


def framed(bytes_HW3: ImageU8, rect: Rect, inset: Rect, around: tuple[int, int, int]) -> ImageU8:
    """A picture of the size of `rect`: one colour, and the given picture at `inset`."""
    framed_HW3 = np.empty((rect.height, rect.width, 3), np.uint8)
    framed_HW3[:] = around
    top, left = inset.top - rect.top, inset.left - rect.left
    framed_HW3[top : top + inset.height, left : left + inset.width] = bytes_HW3
    return framed_HW3


def dim_outside(bytes_HW3: ImageU8, seen: tuple[slice, slice]) -> ImageU8:
    """As `display.dim_outside`."""
    dimmed: ImageU8 = np.right_shift(bytes_HW3, 1)
    dimmed[seen] = bytes_HW3[seen]
    return dimmed


def cam_over(
    bytes_HW3: ImageU8, cam_HW: Tensor, style: CamStyle, view: Cover | None = None
) -> ImageU8:
    """As `display.cam_over`."""
    height, width = view.size if view is not None else bytes_HW3.shape[:2]
    cam = floats(cam_HW)
    if not np.isfinite(cam).all():
        cam = np.nan_to_num(cam)
    share_HW = cv2.resize(cam, (width, height), interpolation=cv2.INTER_LINEAR)
    share_HW /= share_HW.max() + np.float32(1e-12)  # a product with 1 / max would miss 1
    np.clip(share_HW, 0, 1, out=share_HW)
    if view is not None:
        share_HW = np.ascontiguousarray(share_HW[view.within])
    # Rounded down, as a table is read.
    index_HW = (share_HW * np.float32(255)).astype(np.uint8)
    colours = lut.colormap_bytes("turbo" if style == "alpha" else "jet")
    colours_HW3 = cv2.applyColorMap(index_HW, colours[:, None])
    if style == "blend":
        # The last number rounds halves up: every tenth sum is one.
        blended: ImageU8 = cv2.addWeighted(bytes_HW3, 0.7, colours_HW3, 0.3, 1e-3)
        return blended
    alpha_HW = np.sqrt(share_HW)
    alpha_HW *= share_HW
    alpha_HW *= np.float32(0.85)
    mixed: ImageU8 = cv2.blendLinear(bytes_HW3, colours_HW3, 1 - alpha_HW, alpha_HW)
    return mixed


def to_bytes(image_CHW: Tensor) -> ImageU8:
    """As `display.to_bytes`, of values that lie in 0..1 or are NaN: RGB, uint8 [H, W, 3].

    Args:
        image_CHW: float32, one channel (grey) or three.
    """
    image_HWC = np.ascontiguousarray(floats(image_CHW).transpose(1, 2, 0))
    bytes_HWC: ImageU8 = cv2.convertScaleAbs(image_HWC, alpha=255.0)
    if bytes_HWC.ndim == 2:
        bytes_HWC = cv2.merge([bytes_HWC] * 3)
    return bytes_HWC


def fill_frame(
    canvas_HW: Tensor,
    rect: Rect,
    centre: tuple[int, int],
    reach: tuple[int, int],
    *,
    colour: int,
    thickness: int,
) -> None:
    """A frame that reaches so far from its centre; what lies outside `rect` goes to its border.

    The canvas may lie on a device: four slices are filled.
    """
    on_host = canvas_HW.device.type == "cpu"
    canvas: Any = canvas_HW.numpy() if on_host else canvas_HW
    part_HW = canvas[rect.rows, rect.columns]
    (y, x), (dy, dx) = centre, reach

    def span(first: int, last: int, size: int) -> slice:
        return slice(min(max(first, 0), size - 1), min(max(last, 0), size - 1) + 1)

    across, down = span(x - dx, x + dx, rect.width), span(y - dy, y + dy, rect.height)
    inner = thickness - 1
    part_HW[span(y - dy, y - dy + inner, rect.height), across] = colour
    part_HW[span(y + dy - inner, y + dy, rect.height), across] = colour
    part_HW[down, span(x - dx, x - dx + inner, rect.width)] = colour
    part_HW[down, span(x + dx - inner, x + dx, rect.width)] = colour


def pick(image_HWC: Tensor, index_Y: Tensor, index_X: Tensor) -> npt.NDArray[Any]:
    """The pixels at some rows and, in ascending order, some columns."""
    at_Y, at_X = index_Y.numpy(), index_X.numpy()
    rows_HWC = image_HWC.numpy()[at_Y, at_X[0] : at_X[-1] + 1]
    picked: npt.NDArray[Any] = np.take(rows_HWC, at_X - at_X[0], axis=1)
    return picked

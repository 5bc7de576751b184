"""What is done to a picture of pixels after or before a step, each picture for itself.

Nothing waits for the device. Blurs are products with matrices that know the border, so a radius
may be larger than the picture.
"""

import functools
import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Border: TypeAlias = Literal["mirror", "edge"]


def gaussian_blur(
    x_BCHW: Tensor, sigma: float, *, truncate: float = 4.0, border: Border = "mirror"
) -> Tensor:
    """Each channel under a Gaussian, as `scipy.ndimage.gaussian_filter`.

    Args:
        x_BCHW: Pictures.
        sigma: In pixels.
        truncate: Where the kernel ends, in sigmas, rounded to whole pixels.
        border: What lies outside: the picture in a mirror (d c b a | a b c d), or its edge again.
    """
    radius = int(truncate * sigma + 0.5)
    down_HH, across_WW = (
        _blur_matrix(length, sigma, radius, border, x_BCHW.device) for length in x_BCHW.shape[2:]
    )
    return down_HH.to(x_BCHW) @ x_BCHW @ across_WW.to(x_BCHW).T


@functools.lru_cache(maxsize=32)
def _blur_matrix(
    length: int, sigma: float, radius: int, border: Border, device: torch.device
) -> Tensor:
    """[length, length], float32: what each sample becomes of all."""
    with torch.inference_mode(mode=False):
        offset_K = torch.arange(-radius, radius + 1)
        weight_K = torch.exp(-0.5 * (offset_K.double() / sigma) ** 2)
        weight_K /= weight_K.sum()
        source_LK = torch.arange(length)[:, None] + offset_K
        if border == "mirror":
            source_LK = source_LK % (2 * length)
            source_LK = torch.minimum(source_LK, 2 * length - 1 - source_LK)
        source_LK = source_LK.clamp(0, length - 1)
        matrix_LL = torch.zeros(length, length, dtype=torch.float64)
        matrix_LL.scatter_add_(1, source_LK, weight_K.expand(length, -1))
        return matrix_LL.float().to(device)


def zero_small_values(x_BCHW: Tensor, percentile: float) -> Tensor:
    """Zero what is smaller in magnitude than that percentile of the picture's values."""
    size_BN = x_BCHW.abs().flatten(1)
    limit_B = percentile_of(size_BN, percentile)
    return torch.where(size_BN.view_as(x_BCHW) < limit_B[:, None, None, None], 0.0, x_BCHW)


def zero_small_norms(x_BCHW: Tensor, percentile: float) -> Tensor:
    """Zero the pixels whose channels' L2 norm is below that percentile of the picture's."""
    return _zero_pixels(x_BCHW, x_BCHW.norm(dim=1), percentile)


def zero_small_benefits(
    x_BCHW: Tensor, grad_BCHW: Tensor, percentile: float, *, by_magnitude: bool
) -> Tensor:
    """Zero the pixels whose contribution is below that percentile of the picture's.

    The contribution of a pixel is what zeroing it would add to the objective, to first order: the
    sum over channels of `gradient * -x`.

    Args:
        x_BCHW: Pictures.
        grad_BCHW: Gradient of the objective.
        percentile: Of the contributions.
        by_magnitude: Whether their magnitude counts.
    """
    benefit_BHW = (grad_BCHW * -x_BCHW).sum(dim=1)
    return _zero_pixels(x_BCHW, benefit_BHW.abs() if by_magnitude else benefit_BHW, percentile)


def _zero_pixels(x_BCHW: Tensor, rank_BHW: Tensor, percentile: float) -> Tensor:
    limit_B = percentile_of(rank_BHW.flatten(1), percentile)
    is_small_BHW = rank_BHW < limit_B[:, None, None]
    return torch.where(is_small_BHW[:, None], 0.0, x_BCHW)


def percentile_of(values_BN: Tensor, percentile: float) -> Tensor:
    """[B]: as `numpy.percentile`, between two values in proportion."""
    count = values_BN.shape[1]
    place = (count - 1) * percentile / 100
    below = min(math.floor(place), count - 1)
    # Its lower neighbour is the (below + 1)-th smallest value, whatever else is in order.
    low_B = values_BN.kthvalue(below + 1, dim=1).values
    if below == place:
        return low_B
    high_B = values_BN.kthvalue(below + 2, dim=1).values
    return low_B + (high_B - low_B) * (place - below)


def total_variation_gradient(x_BCHW: Tensor) -> Tensor:
    """Gradient of the sum of squared differences of neighbours over the number of pixels."""
    grad_BCHW = torch.zeros_like(x_BCHW)
    for axis in (2, 3):
        difference = x_BCHW.diff(dim=axis)
        before, behind = ((1, 0), (0, 1))
        pad = (lambda each: (0, 0, *each)) if axis == 2 else (lambda each: each)
        grad_BCHW += 2 * (F.pad(difference, pad(before)) - F.pad(difference, pad(behind)))
    return grad_BCHW / (x_BCHW.shape[2] * x_BCHW.shape[3])


def rolled(x_BCHW: Tensor, rows_B: Tensor, columns_B: Tensor) -> Tensor:
    """Each picture moved down and right by its own whole numbers; what leaves comes in behind."""
    batch, _, height, width = x_BCHW.shape
    device = x_BCHW.device
    row_BH = (torch.arange(height, device=device) - rows_B[:, None]) % height
    column_BW = (torch.arange(width, device=device) - columns_B[:, None]) % width
    picture_B = torch.arange(batch, device=device)[:, None, None]
    moved_BHWC = x_BCHW.permute(0, 2, 3, 1)[picture_B, row_BH[:, :, None], column_BW[:, None]]
    return moved_BHWC.permute(0, 3, 1, 2)


def warped(
    x_BCHW: Tensor,
    *,
    angle_B: Tensor,
    zoom_B: Tensor,
    shift_B2: Tensor | None = None,
    mode: Literal["bilinear", "nearest"] = "bilinear",
) -> Tensor:
    """Each picture rotated and enlarged about its middle, then moved; outside lies the mean.

    Args:
        x_BCHW: Pictures in which 0 is the mean.
        angle_B: Counter-clockwise, in radians.
        zoom_B: 1 leaves the size.
        shift_B2: Down and right, in pixels.
        mode: How values between pixels come about.
    """
    height, width = x_BCHW.shape[2:]
    cos_B, sin_B = angle_B.cos() / zoom_B, angle_B.sin() / zoom_B
    shift_B2 = torch.zeros_like(angle_B)[:, None].expand(-1, 2) if shift_B2 is None else shift_B2
    down_B, right_B = shift_B2.unbind(1)
    # From a place in the result to one in the source; the axes of `affine_grid` go from -1 to 1.
    right_B, down_B = right_B * (2 / width), down_B * (2 / height)
    rows = (
        (cos_B, -sin_B * (height / width)),
        (sin_B * (width / height), cos_B),
    )
    linear_B22 = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    moved_B21 = torch.stack((right_B, down_B), dim=1)[:, :, None]
    matrix_B23 = torch.cat((linear_B22, -linear_B22 @ moved_B21), dim=2).to(x_BCHW.dtype)
    grid = F.affine_grid(matrix_B23, list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, grid, mode=mode, padding_mode="zeros", align_corners=False)


def spread(x_BCHW: Tensor, share: float) -> Tensor:
    """Each picture, so much of the way to one of mean 0 and deviation 1."""
    mean_B111 = x_BCHW.mean(dim=(1, 2, 3), keepdim=True)
    std_B111 = x_BCHW.std(dim=(1, 2, 3), keepdim=True)
    return (1 - share) * x_BCHW + share * (x_BCHW - mean_B111) / std_B111

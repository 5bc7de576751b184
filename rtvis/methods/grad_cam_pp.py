"""Grad-CAM++."""

import torch
from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import CAM_METHODS


@CAM_METHODS.add("grad-cam++")
def grad_cam_pp(maps_BCHW: Tensor, grads_BCHW: Tensor) -> Tensor:
    """Grad-CAM that counts several instances (Chattopadhay et al. 2018, arXiv:1710.11063, eq. 19).

    `relu(sum_c w_c * A_c)` with `w_c = sum_hw(alpha * relu(g))` and
    `alpha = g^2 / (2 g^2 + sum_hw(A_c) * g^3)`: the closed form under the paper's assumption that
    the explained quantity is exp(score), whose second and third derivatives are powers of the
    first (behind piecewise linear layers). `g^2` is cancelled here, `alpha = 1 / (2 + sum(A) * g)`,
    so that gradients of 1e-20 do not become 0/0; where `g` is 0, `alpha` is 0.

    It does not multiply by exp(score), a factor common to the whole picture, so the values of two
    pictures or classes cannot be compared. The paper's maps are outputs of ReLU; on signed maps
    the denominator can pass through zero and change the sign of a weight. Exactly zero is taken
    as 1, nothing else is mended.

    Args:
        maps_BCHW: Output of the tapped layer.
        grads_BCHW: Plain gradient of the pre-softmax score with respect to `maps_BCHW`.

    Returns:
        [B, H, W] float32 (float64 for float64 input), not negative, not scaled to a range.
    """
    maps_BCHW, grads_BCHW = widened(maps_BCHW), widened(grads_BCHW)
    denominator_BCHW = 2 + maps_BCHW.sum(dim=(2, 3), keepdim=True) * grads_BCHW
    denominator_BCHW = torch.where(denominator_BCHW == 0, 1, denominator_BCHW)
    # relu(g) is 0 where g is 0, so alpha = 0 there needs no case of its own.
    weight_BC11 = (grads_BCHW.relu() / denominator_BCHW).sum(dim=(2, 3), keepdim=True)
    return (weight_BC11 * maps_BCHW).sum(dim=1).relu()

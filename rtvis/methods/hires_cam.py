"""HiResCAM."""

from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import CAM_METHODS


@CAM_METHODS.add("hirescam")
def hires_cam(maps_BCHW: Tensor, grads_BCHW: Tensor) -> Tensor:
    """Where the score really depends on the maps (Draelos & Carin 2020, arXiv:2011.08891, eq. 3).

    `relu(sum_c g * A_c)`: gradient times activation, not averaged over positions. If only linear
    layers follow, its sum before the ReLU is the score less its bias; behind other layers that
    holds to first order only. Negative evidence is not shown.

    Args:
        maps_BCHW: Output of the tapped layer.
        grads_BCHW: Plain gradient of the pre-softmax score with respect to `maps_BCHW`.

    Returns:
        [B, H, W] float32 (float64 for float64 input), not negative, in units of the score; not
        scaled to a range.
    """
    return (widened(grads_BCHW) * widened(maps_BCHW)).sum(dim=1).relu()

"""Grad-CAM."""

from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import CAM_METHODS


@CAM_METHODS.add("grad-cam")
def grad_cam(maps_BCHW: Tensor, grads_BCHW: Tensor) -> Tensor:
    """Where the evidence for a score lies (Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2).

    `relu(sum_c mean_hw(g_c) * A_c)`. Averaging the gradient over the map is exact only if a
    global average pool and a linear layer follow; elsewhere a unit that speaks for the class at
    one place and against it at another is given one common weight, so that places light up that
    the score does not depend on (HiResCAM does not do this). Negative evidence is not shown.

    Args:
        maps_BCHW: Output of the tapped layer.
        grads_BCHW: Plain gradient of the pre-softmax score with respect to `maps_BCHW`.

    Returns:
        [B, H, W] float32 (float64 for float64 input), not negative, in units of the score per
        neuron; not scaled to a range.
    """
    weight_BC11 = widened(grads_BCHW).mean(dim=(2, 3), keepdim=True)
    return (weight_BC11 * widened(maps_BCHW)).sum(dim=1).relu()

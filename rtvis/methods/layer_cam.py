"""LayerCAM."""

from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import CAM_METHODS


@CAM_METHODS.add("layercam")
def layer_cam(maps_BCHW: Tensor, grads_BCHW: Tensor) -> Tensor:
    """Evidence with a weight per position, sharp in shallow layers (Jiang et al. 2021, eq. 5-6).

    `relu(sum_c relu(g) * A_c)` (LayerCAM, IEEE TIP 30). Negative gradients are dropped, so it
    does not add up to the score, and it does not show what speaks against the class. The paper's
    scaling by tanh for shallow layers is a matter of display and is not done.

    Args:
        maps_BCHW: Output of the tapped layer.
        grads_BCHW: Plain gradient of the pre-softmax score with respect to `maps_BCHW`.

    Returns:
        [B, H, W] float32 (float64 for float64 input), not negative, in units of the score; not
        scaled to a range.
    """
    return (widened(grads_BCHW).relu() * widened(maps_BCHW)).sum(dim=1).relu()

"""Eigen-CAM."""

import torch
from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import CAM_METHODS

NUM_SQUARINGS = 20
"""The Gram matrix to the power 2^20: directions 0.002 % weaker than the first are gone by 1e-9."""


@CAM_METHODS.add("eigen-cam")
def eigen_cam(maps_BCHW: Tensor, grads_BCHW: Tensor) -> Tensor:
    """What the layer as a whole responds to most (Muhammad & Yeasin 2020, arXiv:2008.00299).

    The maps, one row per position and one column per unit, are projected onto their first right
    singular vector (not centred, as in the paper). The sign of a singular vector is arbitrary:
    the one with the larger sum over the picture is taken, so outputs of ReLU give no negative
    value at all; of other maps the negative part is dropped.

    It uses no gradient: it does not depend on the class, nor on anything behind the layer.

    The vector comes from repeated squaring of the smaller Gram matrix. `torch.linalg.eigh` and
    `svd` wait for the device to report convergence and cannot be captured in a CUDA graph.

    Args:
        maps_BCHW: Output of the tapped layer.
        grads_BCHW: Not used.

    Returns:
        [B, H, W] float32 (float64 for float64 input), not negative, in units of the maps; not
        scaled to a range.
    """
    del grads_BCHW
    height, width = maps_BCHW.shape[-2:]
    maps_BCN = widened(maps_BCHW).flatten(2)
    tiny = torch.finfo(maps_BCN.dtype).tiny
    scale_B11 = maps_BCN.abs().amax(dim=(1, 2), keepdim=True).clamp_min(tiny)
    maps_BCN = maps_BCN / scale_B11  # squares of 1e30 would be inf, of 1e-30 zero

    if maps_BCN.shape[1] <= maps_BCN.shape[2]:
        vector_BC1 = _leading_eigenvector(maps_BCN @ maps_BCN.mT)
        cam_BN = (vector_BC1 * maps_BCN).sum(dim=1)
    else:
        vector_BN1 = _leading_eigenvector(maps_BCN.mT @ maps_BCN)
        cam_BN = vector_BN1.squeeze(2) * torch.linalg.vector_norm(maps_BCN @ vector_BN1, dim=1)

    cam_BN = torch.where(cam_BN.sum(dim=1, keepdim=True) < 0, -cam_BN, cam_BN) * scale_B11.squeeze(
        2
    )
    return cam_BN.relu().reshape(-1, height, width)


def _leading_eigenvector(gram_BMM: Tensor) -> Tensor:
    """Unit eigenvector [B, M, 1] of the largest eigenvalue; zero for a zero matrix.

    Where two eigenvalues are equal it is some vector of their common space, always the same one.
    """
    tiny = torch.finfo(gram_BMM.dtype).tiny
    for _ in range(NUM_SQUARINGS):
        trace_B = gram_BMM.diagonal(dim1=1, dim2=2).sum(dim=1)
        gram_BMM = gram_BMM / trace_B.clamp_min(tiny)[:, None, None]
        gram_BMM = gram_BMM @ gram_BMM
    # What is left is a multiple of v v^T; its longest column is the best conditioned copy of v.
    longest_B11 = gram_BMM.diagonal(dim1=1, dim2=2).argmax(dim=1)[:, None, None]
    column_BM1 = gram_BMM.gather(2, longest_B11.expand(-1, gram_BMM.shape[1], 1))
    length_B11: Tensor = torch.linalg.vector_norm(column_BM1, dim=1, keepdim=True)
    return column_BM1 / length_B11.clamp_min(tiny)

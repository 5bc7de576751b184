"""The number format in which CAMs are computed."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """`x` as float32, or as float64 where it is that already: half precision cannot hold sums."""
    return x if x.dtype == torch.float64 else x.to(torch.float32)

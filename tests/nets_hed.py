"""The edge detector HED (Xie and Tu 2015): VGG16's blocks, five side outputs and their fusion."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(units, convolutions) of each block."""


class Hed(nn.Module):
    """Logits of an edge at each pixel: `out`, and `sides` before the fusion.

    Args:
        divisor: Of the number of units, for a net that a test can afford.
    """

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        units = 3
        self.blocks = nn.ModuleList()
        self.dsn = nn.ModuleList()
        for wide, count in BLOCKS:
            convolutions = []
            for _ in range(count):
                convolutions.append(nn.Conv2d(units, wide // divisor, 3, padding=1))
                units = wide // divisor
            self.blocks.append(nn.ModuleList(convolutions))
            self.dsn.append(nn.Conv2d(units, 1, 1))
        self.fuse = nn.Conv2d(5, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor | list[Tensor]]:
        sides = []
        h = x
        for number, (block, dsn) in enumerate(zip(self.blocks, self.dsn, strict=True)):
            if number:
                h = F.max_pool2d(h, 2, ceil_mode=True)
            for convolution in block:  # type: ignore[attr-defined]
                h = F.relu(convolution(h))
            sides.append(F.interpolate(dsn(h), size=x.shape[2:], mode="bilinear"))
        return {"out": self.fuse(torch.cat(sides, dim=1)), "sides": sides}

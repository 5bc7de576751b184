"""NASNet-A (4 @ 1056), the mobile one of the Keras networks; timm has the large one only."""

from collections.abc import Iterable

import torch.nn.functional as F
from timm.models.nasnet import NASNetALarge
from torch import Tensor

_STAGES = ((0, 1, 2, 3), (6, 7, 8, 9), (12, 13, 14, 15))
"""Four of the six cells of each stage, under the large network's names."""


class NASNetMobile(NASNetALarge):  # type: ignore[misc]  # timm has no types
    """Learning Transferable Architectures (Zoph et al. 2018); input 224 x 224."""

    def __init__(self, *, num_classes: int = 1000) -> None:
        super().__init__(num_classes=num_classes, stem_size=32, num_features=1056)
        for index in (4, 5, 10, 11, 16, 17):
            delattr(self, f"cell_{index}")

    def forward_features(self, x: Tensor) -> Tensor:
        """The maps after the last cell."""
        stem = self.conv0(x)
        before = self.cell_stem_0(stem)
        now = self.cell_stem_1(stem, before)
        now, before = self._stage(_STAGES[0], now, before)
        # Unlike in the large network, the cell after a reduction also sees the reduction's input.
        now, before = self.reduction_cell_0(now, before), now
        now, before = self._stage(_STAGES[1], now, before)
        now, before = self.reduction_cell_1(now, before), now
        now, _ = self._stage(_STAGES[2], now, before)
        return F.relu(now)

    def _stage(self, cells: Iterable[int], now: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        for index in cells:
            now, before = getattr(self, f"cell_{index}")(now, before), now
        return now, before

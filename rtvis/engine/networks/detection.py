"""Detection models: the class scores of their heads, before boxes are chosen.

Which boxes come out depends on the scores in a way that no graph can hold: how many there are,
which suppress which. What is explained is what the boxes are chosen by: at each place of the finest
level the best score of any anchor of any level there, which is a dense output like any other. The
two-stage models (R-CNN) choose boxes by one score for "an object"; what they make of each box
afterwards is not looked at.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.engine.networks.outputs import Borrowing
from rtvis.engine.networks.preprocess import Preprocessing


class DetectionScores(Borrowing):
    """[B, K, H, W]: the best anchor's score of each class at each place of the finest level.

    Args:
        model: One of torchvision's detection models.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.cam_layer = _deepest_of_trunk(model)
        """Every level sees it; the coarsest levels have layers that others do not depend on."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores before any softmax or sigmoid."""
        inner: Any = self.inner
        features = inner.backbone(x)
        levels: list[Tensor] = [features] if isinstance(features, Tensor) else [*features.values()]
        if is_two_stage(inner):
            objectness, _ = inner.rpn.head(levels)
            return _best_of([level.amax(dim=1, keepdim=True) for level in objectness])
        scores_BAK: Tensor = inner.head.classification_head(levels)
        sizes = [(int(level.shape[2]), int(level.shape[3])) for level in levels]
        anchors = _anchors(inner, len(levels))
        counts = [h * w * a for (h, w), a in zip(sizes, anchors, strict=True)]
        parts = torch.split(scores_BAK, counts, dim=1)
        maps = [
            part.reshape(part.shape[0], *size, count, -1).amax(dim=3).permute(0, 3, 1, 2)
            for part, size, count in zip(parts, sizes, anchors, strict=True)
        ]
        return _best_of(maps)


def is_two_stage(model: nn.Module) -> bool:
    """Whether the model proposes boxes before it classifies them."""
    return hasattr(model, "rpn")


def detection_preprocessing(model: nn.Module) -> Preprocessing:
    """Size and statistics of a detection model's own transform; a square of its shorter side."""
    transform: Any = model.transform
    side = int(transform.min_size[-1])
    size = transform.fixed_size
    height, width = (side, side) if size is None else (int(size[1]), int(size[0]))
    return Preprocessing(
        size=(height, width),
        resize=min(height, width),
        mean=tuple(transform.image_mean),
        std=tuple(transform.image_std),
    )


def _anchors(model: Any, num_levels: int) -> list[int]:
    """Anchors at each place of each level."""
    counts: list[int] = model.anchor_generator.num_anchors_per_location()
    assert len(counts) == num_levels, f"{len(counts)} kinds of anchors for {num_levels} levels"
    return counts


def _best_of(maps: Sequence[Tensor]) -> Tensor:
    """The largest score at each place of the first map; coarser ones are repeated."""
    best = maps[0]
    for level in maps[1:]:
        best = best.maximum(F.interpolate(level, size=best.shape[2:], mode="nearest"))
    return best


def _deepest_of_trunk(model: Any) -> str:
    """Name of the last convolution before the levels part."""
    trunk = model.backbone
    prefix = "backbone"
    for part in ("body", "features"):
        if isinstance(getattr(trunk, part, None), nn.Module):
            trunk, prefix = getattr(trunk, part), f"{prefix}.{part}"
            break
    convolutions = [name for name, each in trunk.named_modules() if isinstance(each, nn.Conv2d)]
    return f"{prefix}.{convolutions[-1]}"

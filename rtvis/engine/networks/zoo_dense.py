"""torchvision's models with a dense output, by name: segmentation, and the heads of detection."""

import functools
from typing import Any

from torch import nn

from rtvis.engine.networks.detection import DetectionScores, detection_preprocessing, is_two_stage
from rtvis.engine.networks.model_config import from_torchvision
from rtvis.engine.networks.outputs import wrap
from rtvis.engine.networks.preprocess import Preprocessing


@functools.cache
def segmentation_names() -> tuple[str, ...]:
    """torchvision's segmentation models."""
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models.segmentation))


@functools.cache
def detection_names() -> tuple[str, ...]:
    """torchvision's detection models."""
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models.detection))


def build_segmentation(
    name: str, *, pretrained: bool, num_classes: int | None
) -> tuple[nn.Module, Preprocessing, tuple[str, ...] | None, int]:
    """Model, preprocessing, labels and number of classes; `out` is its output."""
    model, entry, count = _built(name, pretrained=pretrained, num_classes=num_classes)
    labels = tuple(entry.meta["categories"])
    known = labels if num_classes in {None, len(labels)} else None
    return wrap(model), from_torchvision(entry.transforms()), known, count


def build_detection(
    name: str, *, pretrained: bool, num_classes: int | None
) -> tuple[nn.Module, Preprocessing, tuple[str, ...] | None, int]:
    """The same for what boxes are chosen by (`rtvis.engine.networks.detection`)."""
    model, entry, count = _built(name, pretrained=pretrained, num_classes=num_classes)
    scores, prep = DetectionScores(model), detection_preprocessing(model)
    if is_two_stage(model):
        return scores, prep, ("an object",), 1
    labels = tuple(entry.meta["categories"])
    return scores, prep, labels if num_classes in {None, len(labels)} else None, count


def _built(name: str, *, pretrained: bool, num_classes: int | None) -> tuple[nn.Module, Any, int]:
    import torchvision

    entry = torchvision.models.get_model_weights(name).DEFAULT
    count = num_classes or len(entry.meta["categories"])
    options: dict[str, Any] = {"weights": entry} if pretrained else {"num_classes": count}
    # Else the backbone's weights are fetched, even for a network that gets weights of its own.
    model = torchvision.models.get_model(name, weights_backbone=None, **options)
    return model.eval(), entry, count

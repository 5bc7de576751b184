"""The picture of a dense output: the colour of the best class of each pixel, or one map's heat."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.render.class_colours import BACKGROUND_NAMES, NUM_COLOURS, class_colours
from rtvis.render.cover import Cover

OPACITY = 0.6
"""Of the colour over the photograph."""


def class_shares(labels_HW: Tensor, num_classes: int) -> Tensor:
    """float64 [K]: what part of the pixels has each class for its best one."""
    flat_N = labels_HW.reshape(-1)
    if flat_N.device.type == "cpu":
        count_K = torch.bincount(flat_N, minlength=num_classes)
    else:  # bincount waits for the largest label
        count_K = flat_N.new_zeros(num_classes).scatter_add_(0, flat_N, torch.ones_like(flat_N))
    return count_K.double() / flat_N.numel()


def heat(dense_1HW: Tensor) -> Tensor:
    """One output map from its smallest to its largest value: [H, W], not negative.

    A network with one output says nothing about its unit: an edge detector's are logits, a depth
    is in metres. So the picture shows the whole range, and the list of classes says which it is.
    """
    dense_HW = dense_1HW[0].float()
    return dense_HW - dense_HW.amin()


def labels_over(
    bytes_HW3: Tensor, labels_HW: Tensor, view: Cover, background: tuple[int, ...]
) -> Tensor:
    """The label picture over a photograph, uint8 [H, W, 3] both, by nearest pixels.

    Args:
        bytes_HW3: The part of the photograph that the network sees.
        labels_HW: int64, of any size: the best class of each pixel of the whole view.
        view: How the photograph lies in it.
        background: Classes where the photograph is left as it is.
    """
    index_Y, index_X = _nearest(view, (labels_HW.shape[0], labels_HW.shape[1]), labels_HW.device)
    shown_HW = labels_HW.index_select(0, index_Y).index_select(1, index_X)
    colour_HW3 = _colours(labels_HW.device)[shown_HW % NUM_COLOURS]
    mixed_HW3 = (bytes_HW3 * (1 - OPACITY) + colour_HW3 * OPACITY + 0.5).to(torch.uint8)
    for index in background:
        mixed_HW3 = torch.where((shown_HW == index)[..., None], bytes_HW3, mixed_HW3)
    return mixed_HW3


def labels_over_host(
    bytes_HW3: ImageU8, labels_HW: Tensor, view: Cover, background: tuple[int, ...]
) -> ImageU8:
    """`labels_over` in NumPy: one table look-up and one blend."""
    index_Y, index_X = _nearest(view, (labels_HW.shape[0], labels_HW.shape[1]), labels_HW.device)
    shown_HW = labels_HW.numpy()[index_Y.numpy()[:, None], index_X.numpy()]
    mixed_HW3 = bytes_HW3 * np.float32(1 - OPACITY)
    mixed_HW3 += class_colours().astype(np.float32)[shown_HW % NUM_COLOURS] * np.float32(OPACITY)
    mixed_HW3 += np.float32(0.5)
    over_HW3 = mixed_HW3.astype(np.uint8)
    if background:
        left_HW = np.isin(shown_HW, background)
        over_HW3[left_HW] = bytes_HW3[left_HW]
    return over_HW3


@lru_cache(maxsize=8)
def background_classes(labels: tuple[str, ...] | None) -> tuple[int, ...]:
    """Classes that mean that nothing is recognised, by their names."""
    return tuple(i for i, name in enumerate(labels or ()) if name in BACKGROUND_NAMES)


@lru_cache(maxsize=4)
def _colours(device: torch.device) -> Tensor:
    """float32 [32, 3]. Kept: a new tensor on a GPU would wait for it."""
    return torch.from_numpy(class_colours()).float().to(device)


def _nearest(view: Cover, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """int64: rows and columns of an output of `size` under the photograph's."""
    rows, columns = (seen.stop - seen.start for seen in view.seen)
    return (
        _places(view.start[0], rows, size[0], view.size[0], device),
        _places(view.start[1], columns, size[1], view.size[1], device),
    )


@lru_cache(maxsize=32)
def _places(first: int, length: int, size: int, drawn: int, device: torch.device) -> Tensor:
    return (torch.arange(first, first + length) * size // drawn).to(device)

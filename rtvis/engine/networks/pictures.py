"""Pictures of every kind that people hold in memory, to the one kind that is preprocessed."""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import RtvisError

Image: TypeAlias = npt.NDArray[np.generic] | Tensor
"""A picture, or a preprocessed float [B, C, H, W] tensor; see `as_picture`."""

_FULL_SCALE: Final = {torch.uint8: 255.0, torch.uint16: 65535.0}
_TOLERANCE: Final = 0.01
"""Resampled pictures in 0..1 overshoot a little; those in 0..255 by far more."""


def is_preprocessed(image: object) -> bool:
    """Whether it is a batch of float inputs rather than one picture or several."""
    if isinstance(image, np.ndarray):
        return image.ndim == 4 and image.dtype.kind == "f"
    return isinstance(image, Tensor) and image.ndim == 4 and image.is_floating_point()


def as_picture(
    image: Image, preprocessing: Preprocessing, device: torch.device, *, name: str
) -> Tensor:
    """A picture on the device, in the form that `Preprocessing.apply` takes.

    Args:
        image: [H, W], [H, W, 1] grey, [H, W, 3] RGB, [H, W, 4] RGBA, whose alpha is dropped, or
            [H, W, C] for a network with C channels, which get these as they are; uint8, uint16
            (65535 is white) or float (1 is white). In host or device memory.
        preprocessing: Of the network.
        device: Where the picture is wanted.
        name: Of the network, for errors.

    Returns:
        [H, W, 3] RGB, or [H, W, C] of the network's channels; uint8, or float32 in 0..255. What
        had more than eight bits keeps them.

    Raises:
        RtvisError: Another shape, type or range, or the network's channels cannot be had from it.
    """
    picture = _as_tensor(image)
    channels = picture.shape[2] if picture.ndim == 3 else 1 if picture.ndim == 2 else 0
    wanted = preprocessing.num_channels
    if channels not in {1, 3, 4, wanted} or 0 in picture.shape:
        raise RtvisError(
            f"a picture of shape {_shape(picture)} is none; give [height, width] grey, "
            f"[height, width, 3] RGB{_own_channels(wanted)}, or a preprocessed float "
            f"[batch, {wanted}, {preprocessing.size[0]}, {preprocessing.size[1]}]"
        )
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if channels != wanted:
        check_takes_pictures(preprocessing, name=name)
        picture = picture.expand(-1, -1, 3) if channels == 1 else picture[:, :, :3]
    return _scaled(picture).to(device, non_blocking=True)


def check_takes_pictures(preprocessing: Preprocessing, *, name: str) -> None:
    """Make sure that the network can be shown RGB pictures.

    Raises:
        RtvisError: It has other channels, and nobody said what to put there.
    """
    wanted = preprocessing.num_channels
    if wanted in {1, 3} or preprocessing.repeats_channels:
        return
    raise RtvisError(
        f"{name} takes {wanted} channels, and pictures have 3 (RGB) or 1 (grey): give float input "
        f"[batch, {wanted}, {preprocessing.size[0]}, {preprocessing.size[1]}] in Python, or "
        "--repeat-channels to give it red, green, blue, red, green ..."
    )


def _as_tensor(image: Any) -> Tensor:
    """As it is, bool apart, on whatever device it is."""
    if isinstance(image, np.ndarray):
        if image.dtype.kind not in "buf" or image.dtype.itemsize > 8:
            raise _unknown_type(image.dtype)
        if image.dtype.kind == "f":
            image = image.astype(np.float32, copy=False)
        image = np.ascontiguousarray(image)
        # Torch warns about memory that it may not write to, such as PIL's pictures.
        image = torch.from_numpy(image if image.flags.writeable else image.copy())
    if not isinstance(image, Tensor):
        raise RtvisError(
            f"a picture must be a numpy array or a tensor, not a {type(image).__name__}"
        )
    if image.dtype == torch.bool:
        return image.to(torch.uint8) * 255
    if image.dtype not in _FULL_SCALE and not image.is_floating_point():
        raise _unknown_type(str(image.dtype).removeprefix("torch."))
    return image


def _scaled(picture_HWC: Tensor) -> Tensor:
    """uint8 as it is; all else float32 in 0..255."""
    if picture_HWC.dtype == torch.uint8:
        return picture_HWC
    if picture_HWC.dtype == torch.uint16:
        return picture_HWC.float() * (255.0 / _FULL_SCALE[torch.uint16])
    picture_HWC = picture_HWC.float()
    if picture_HWC.device.type == "cpu":  # elsewhere looking would wait for the device
        low, high = (float(end) for end in torch.aminmax(picture_HWC))
        # So written, NaN is refused too.
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise RtvisError(
                f"a float picture has values from {low:.4g} to {high:.4g}; they must lie in 0..1 "
                "(a preprocessed input has four dimensions: [batch, channels, height, width])"
            )
    return picture_HWC.nan_to_num().clamp(0.0, 1.0) * 255.0


def _unknown_type(kind: object) -> RtvisError:
    return RtvisError(f"a picture of type {kind} is not supported; use uint8, uint16 or float")


def _own_channels(wanted: int) -> str:
    return "" if wanted in {1, 3, 4} else f", [height, width, {wanted}] of the network's channels"


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))

"""Which device and number format to compute with."""

from typing import get_args

import torch

from rtvis.choices import DtypeName
from rtvis.engine.memory import keep_freed_memory
from rtvis.errors import DeviceError, did_you_mean


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:n` means on this machine.

    Raises:
        DeviceError: Unknown name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        known = ("auto", "cpu", "cuda")
        raise DeviceError(
            f"unknown device '{name}'{did_you_mean(name, known)}; use auto, cpu, cuda or cuda:N"
        ) from None
    if device.type not in {"cpu", "cuda"}:
        raise DeviceError(f"device '{name}' is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise DeviceError(f"device '{name}': no usable NVIDIA GPU here; use cpu or auto")
        device = torch.device("cuda", device.index or 0)
        if (device.index or 0) >= count:
            raise DeviceError(f"device '{name}': there are {count} GPUs, numbered from 0")
    return device


def resolve_dtype(name: str) -> torch.dtype:
    """The torch dtype of a name.

    Raises:
        DeviceError: Unknown name.
    """
    if name not in get_args(DtypeName):
        known = get_args(DtypeName)
        raise DeviceError(
            f"unknown dtype '{name}'{did_you_mean(name, known)}; use one of {', '.join(known)}"
        )
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype


def prepare_device(device: torch.device, *, tf32: bool) -> None:
    """What holds for the whole process, and comes before a network is put on its device.

    Args:
        device: Where it will be computed.
        tf32: Let NVIDIA GPUs round float32 to TF32 in convolutions and matrix products. Torch by
            itself lets them do it in convolutions alone.
    """
    if device.type == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32


def make_current(device: torch.device) -> None:
    """Have events, streams and kernels of this thread be of that GPU where they name none."""
    if device.type == "cuda":
        torch.cuda.set_device(device)

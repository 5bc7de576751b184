"""What is read off a turn's maps and gradients, without waiting for the device."""

import torch
from torch import Tensor

from rtvis.data import Health


def at_least_float32(value: Tensor) -> Tensor:
    """Half precision as float32; other values as they are."""
    return value.float() if value.dtype in {torch.float16, torch.bfloat16} else value


def unit_map(maps_BCHW: Tensor, unit_B: Tensor) -> Tensor:
    """[B, H, W]: of each picture the map of one unit."""
    index_B1HW = unit_B[:, None, None, None].expand(-1, 1, *maps_BCHW.shape[2:])
    return maps_BCHW.gather(1, index_B1HW).squeeze(1)


def position_and_value(map_BHW: Tensor, row_B: Tensor, column_B: Tensor) -> tuple[Tensor, Tensor]:
    """(row, column) of the seed and the unit's value there; ties of the maximum go to the first."""
    width = map_BHW.shape[2]
    flat_BS = map_BHW.flatten(1)
    highest_B = flat_BS.argmax(dim=1)
    chosen_B = torch.where(row_B >= 0, row_B * width + column_B, highest_B)
    value_B = flat_BS.gather(1, chosen_B[:, None]).squeeze(1)
    position_B2 = torch.stack(
        (torch.div(chosen_B, width, rounding_mode="floor"), chosen_B % width), dim=1
    )
    return position_B2, value_B.float()


def health_of(
    maps_BCHW: Tensor,
    map_BHW: Tensor,
    start_BHW: Tensor,
    backprop: Tensor | None,
    cam_BHW: Tensor,
    grads_BCHW: Tensor | None,
) -> Tensor:
    """Bits of `Health` per picture. A NaN or inf anywhere shows in the smallest and largest."""
    maps_low, maps_high = _extremes(maps_BCHW)
    unit_low, unit_high = _extremes(map_BHW)
    start_low, start_high = (unit_low, unit_high)
    if start_BHW is not map_BHW:
        start_low, start_high = _extremes(start_BHW)
    _, cam_high = _extremes(cam_BHW)
    flags = {
        Health.MAPS_NAN: maps_low.isnan(),
        Health.MAPS_INF: maps_low.isinf() | maps_high.isinf(),
        Health.UNIT_ZERO: (unit_low == 0) & (unit_high == 0),
        Health.CAM_ZERO: cam_high == 0,
        Health.ORIGIN_ZERO: (start_low == 0) & (start_high == 0),
    }
    if backprop is not None:
        grad_low, grad_high = _extremes(backprop)
        flags[Health.GRADIENT_ZERO] = (grad_low == 0) & (grad_high == 0)
        flags[Health.GRADIENT_NAN] = grad_low.isnan()
        flags[Health.GRADIENT_INF] = grad_low.isinf() | grad_high.isinf()
    if grads_BCHW is not None:
        grads_low, grads_high = _extremes(grads_BCHW)
        flags[Health.GRADS_ZERO] = (grads_low == 0) & (grads_high == 0)
    health_B = torch.zeros_like(cam_high, dtype=torch.int64)
    for bit, flag_B in flags.items():
        health_B = health_B + flag_B.to(torch.int64) * bit
    return health_B


def _extremes(value: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each picture.

    In the order of memory: read across it, 800,000 values take 5.9 instead of 0.2 ms.
    """
    if value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last):
        value = value.permute(0, 2, 3, 1)
    pairs = [picture.reshape(-1).aminmax() for picture in value]
    return torch.stack([low for low, _ in pairs]), torch.stack([high for _, high in pairs])

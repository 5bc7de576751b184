"""An optimised input of one target: the picture, its numbers, and how it was made."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis._version import __version__
from rtvis.data import ImageU8, Layer
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.filing import encode_npz
from rtvis.plain import Plain, to_plain
from rtvis.render.display import norm01, to_bytes
from rtvis.units.ascent import Ascent
from rtvis.units.recipe import Recipe

FORMAT: Final = 1
"""Of the JSON record."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Optimized:
    """The result for one target, in host memory."""

    layer: Layer
    unit: int
    position: tuple[int, int]
    """(row, column) of the neuron."""
    image_HW3: ImageU8
    """The picture, uint8 RGB."""
    x_CHW: npt.NDArray[np.float32]
    """The same as the network's input, without any limit: a start for going on."""
    value: float
    """The objective that the picture was chosen by, at its run."""
    moments: Mapping[str, npt.NDArray[np.float32]]
    """Pictures as the network's input, [C, H, W]: "best", "last", and "majority" where the target
    ever led its layer."""
    record: Mapping[str, Any]
    """How it was made and what happened, as JSON has it."""

    @property
    def start(self) -> Tensor:
        """The picture as a start for `optimize`."""
        return torch.from_numpy(self.x_CHW)[None]


def results_of(ascent: Ascent, *, network: str, preset: str) -> tuple[Optimized, ...]:
    """What an ascent has come to by now. Waits for the device.

    Args:
        ascent: At least one run is made.
        network: Its name, for the record.
        preset: Name of the recipe, for the record.
    """
    assert ascent.iteration, "nothing is known before the first run"
    recipe, moments = ascent.recipe, ascent.moments()
    kept = moments[recipe.keep]
    x_BCHW = torch.where((kept.iteration_B >= 0)[:, None, None, None], kept.x_BCHW, ascent.inputs())
    images = picture_of(x_BCHW, ascent.preprocessing, recipe).cpu().numpy()
    pictures = {name: each.x_BCHW.cpu().numpy() for name, each in moments.items()}
    found = []
    for index, unit in enumerate(ascent.targets.units):
        record = {
            **_made_by(ascent, network=network, preset=preset, unit=unit),
            **ascent.record(index),
        }
        present = [name for name, each in record["moments"].items() if each is not None]
        found.append(
            Optimized(
                layer=ascent.layer,
                unit=unit,
                position=ascent.position,
                image_HW3=images[index],
                x_CHW=x_BCHW[index].cpu().numpy(),
                value=float(kept.value_B[index]),
                moments={name: pictures[name][index] for name in present},
                record=record,
            )
        )
    return tuple(found)


def picture_of(x_BCHW: Tensor, preprocessing: Preprocessing, recipe: Recipe) -> Tensor:
    """uint8 RGB [B, H, W, 3] of the network's input, on its device."""
    std_C11, mean_C11 = _statistics(preprocessing, x_BCHW.device)
    share_BCHW = x_BCHW.float() * std_C11 + mean_C11
    if share_BCHW.shape[1] != 3:  # a network of other channels shows the first
        share_BCHW = share_BCHW[:, :1].expand(-1, 3, -1, -1)
    if recipe.shown == "min-max":
        share_BCHW = torch.stack([norm01(each) for each in share_BCHW])
    return to_bytes(share_BCHW.permute(0, 2, 3, 1).contiguous())


@functools.lru_cache(maxsize=8)
def _statistics(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor]:
    """Deviation and mean for each channel; kept, for a new tensor on a GPU would wait for it."""
    with torch.inference_mode(mode=False):
        std_C = torch.tensor(preprocessing.std, device=device)
        mean_C = torch.tensor(preprocessing.mean, device=device)
        return std_C[:, None, None], mean_C[:, None, None]


def files_of(optimized: Optimized) -> dict[str, bytes]:
    """The contents of its numbers and its record, by suffix; the picture is any encoder's."""
    arrays = {"x": optimized.x_CHW, **optimized.moments}
    text = json.dumps(optimized.record, indent=1, allow_nan=False) + "\n"
    return {".npz": encode_npz(arrays), ".json": text.encode()}


def _made_by(ascent: Ascent, *, network: str, preset: str, unit: int) -> dict[str, Plain]:
    return {
        "format": FORMAT,
        "rtvis": __version__,
        "network": network,
        "layer": ascent.layer.name,
        "unit": unit,
        "position": list(ascent.position),
        "size": list(ascent.preprocessing.size),
        "preset": preset,
        "recipe": _finite(to_plain(ascent.recipe)),
        "seed": ascent.seed,
        "start": ascent.start_kind,
    }


def _finite(plain: Plain) -> Plain:
    """JSON knows no infinity: a limit that there is not is null."""
    assert isinstance(plain, dict)
    return {key: None if value == float("inf") else value for key, value in plain.items()}

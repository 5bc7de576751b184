"""What a page of the details has gathered, as a file beside a state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from rtvis import filing
from rtvis.errors import ConfigError
from rtvis.render.scene import Memory

_KEY: Final = "key"
_PREFIX: Final = "mean."


def means_arrays(memory: Memory | None) -> Mapping[str, np.ndarray[Any, Any]]:
    """The arrays of a file; none where nothing was gathered."""
    if memory is None:
        return {}
    arrays = {f"{_PREFIX}{name}": each.cpu().numpy() for name, each in memory.tensors.items()}
    return {_KEY: np.asarray(memory.key), **arrays}


def read_means(path: Path) -> Memory:
    """What was gathered, in host memory.

    Raises:
        ConfigError: The file cannot be read, or is something else.
    """
    try:
        arrays = filing.read_npz(path)
        tensors = {
            name.removeprefix(_PREFIX): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith(_PREFIX)
        }
        return Memory(key=str(arrays[_KEY]), tensors=tensors)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read it: {error.strerror or error}") from None
    except (KeyError, ValueError, TypeError):
        raise ConfigError(
            f"{path}: is not what a state has beside it; take the line `means` out of the state"
        ) from None

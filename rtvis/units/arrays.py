"""Arrays by name, as npz files and states hold them: the parts of a whole have prefixes."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy.typing as npt

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


def below(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> Arrays:
    """Those whose names begin with a prefix, without it."""
    return {
        key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
    }

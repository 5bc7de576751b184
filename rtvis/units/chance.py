"""Random numbers of an optimisation: each target has its own, so that its picture does not depend
on what is optimised beside it, and all of a run are drawn before it begins."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Draw(IntEnum):
    """What the numbers of an iteration are for."""

    ROTATE = 0
    SCALE = 1
    ROLL = 2
    ANGLE = 3
    ZOOM = 4
    DOWN = 5
    RIGHT = 6


class Chance:
    """Draws of a batch.

    Args:
        seed: Of the run.
        keys: One for each target, such as its unit.
        iterations: How many runs of the network there are.
        device: Where the draws are wanted.
    """

    def __init__(
        self, seed: int, keys: Sequence[int], iterations: int, device: torch.device
    ) -> None:
        self._device = device
        self._streams = [np.random.default_rng((seed, key)) for key in keys]
        draws = [
            stream.random((iterations, len(Draw)), dtype=np.float32) for stream in self._streams
        ]
        self._draws_IB7 = torch.from_numpy(np.stack(draws, axis=1)).to(device)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Unit noise, float32 [B, *shape]."""
        noise = [stream.standard_normal(shape, dtype=np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(noise)).to(self._device)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Numbers in 0..1, float32 [B, *shape]."""
        drawn = [stream.random(shape, dtype=np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(drawn)).to(self._device)

    def share(self, iteration: int, what: Draw) -> Tensor:
        """[B], in 0..1."""
        return self._draws_IB7[iteration, :, what]

    def between(self, iteration: int, what: Draw, limit: float) -> Tensor:
        """[B], from -limit to limit."""
        return (self.share(iteration, what) * 2 - 1) * limit

    def whole(self, iteration: int, what: Draw, limit: int) -> Tensor:
        """int64 [B], from -limit to limit, both included."""
        number = self.share(iteration, what) * (2 * limit + 1)
        return number.long().clamp(max=2 * limit) - limit

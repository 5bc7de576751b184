"""Running pieces, each in the best form that there is of it by now."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rtvis.engine.joint.pieces import Piece, Runner
from rtvis.engine.joint.placed import place_constants
from rtvis.threads import cpu_threads


class Runners:
    """Runs the pieces of a step by name: at first operation by operation.

    Belongs to the engine thread. Another thread may hand over a better form.

    Args:
        pieces: All of them; their constants move to the device.
        device: Where they run.
    """

    def __init__(self, pieces: Sequence[Piece], device: torch.device) -> None:
        self._num_threads = torch.get_num_threads()
        if device.type == "cuda":
            # cuDNN wants kernels in the order of their inputs; on a CPU oneDNN packs them anyway.
            place_constants([piece.module for piece in pieces], device)
        self._runners: dict[str, Runner] = {piece.name: piece.run_eager for piece in pieces}

    def replace(self, piece: Piece, runner: Runner) -> None:
        """Run `piece` by `runner` from the next call on. May be called from another thread: it is
        one assignment."""
        self._runners[piece.name] = runner

    def add(self, piece: Piece) -> None:
        """One more piece, made of another whose constants it shares."""
        self._runners[piece.name] = piece.run_eager

    def is_eager(self, piece: Piece) -> bool:
        """Whether it still runs operation by operation."""
        return self._runners[piece.name] == piece.run_eager

    def of(self, piece: Piece) -> Runner:
        """What runs it now."""
        return self._runners[piece.name]

    def run(self, piece: Piece, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its outputs by name, from values of which it takes its inputs; on all threads."""
        with cpu_threads(self._num_threads):
            outputs = self._runners[piece.name]([values[name] for name in piece.inputs])
        return dict(zip(piece.outputs, outputs, strict=True))

"""What changes to units did to the probabilities of the classes, packed with the readout."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_MOVERS: Final = 8


class Mover(NamedTuple):
    """A class, before and after."""

    class_index: int
    before: float
    """Probability in the untouched network, 0..1."""
    after: float

    @property
    def change(self) -> float:
        """Signed."""
        return self.after - self.before


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """Probabilities after a softmax, with the changes and without them."""

    movers: tuple[Mover, ...]
    """The classes that moved most, first the one that moved farthest."""
    top: Mover
    """The class that is the untouched network's best one."""
    before: tuple[float, ...]
    """Of the classes of `Readout.top`, in the untouched network."""


def pack_moved(
    scores_K: Tensor, untouched_scores_K: Tensor, top_N: Tensor, *, num_top: int
) -> Tensor:
    """float64 vector on the device, of one length whatever the number of classes.

    Args:
        scores_K: With the changes, before any softmax.
        untouched_scores_K: Without them.
        top_N: int64: the classes of `Readout.top`, at most `num_top`.
        num_top: Room for them.
    """
    after_K, before_K = (each.double().softmax(dim=0) for each in (scores_K, untouched_scores_K))
    movers_N = (after_K - before_K).abs().topk(min(NUM_MOVERS, after_K.numel())).indices
    best_1 = before_K.argmax(dim=0, keepdim=True)
    shown_N = torch.cat((best_1, movers_N))
    columns = (shown_N.double(), before_K[shown_N], after_K[shown_N])
    rows_N3 = padded(torch.stack(columns, dim=1).flatten(), 3 * (1 + NUM_MOVERS))
    return torch.cat((rows_N3, padded(before_K[top_N], num_top)))


def unpack_moved(numbers: list[float]) -> Moved:
    """The numbers of `pack_moved`, once they are in host memory."""
    end = 3 * (1 + NUM_MOVERS)
    rows = [numbers[at : at + 3] for at in range(0, end, 3)]
    top, *movers = (Mover(int(i), before, after) for i, before, after in rows if i >= 0)
    return Moved(
        movers=tuple(movers), top=top, before=tuple(share for share in numbers[end:] if share >= 0)
    )


def padded(numbers_N: Tensor, length: int) -> Tensor:
    """With -1, which is neither a class nor a probability, for classes that there are not."""
    missing = length - numbers_N.numel()
    return F.pad(numbers_N, (0, missing), value=-1.0) if missing else numbers_N

"""The moments of a film at which a unit's value is highest for a while around.

A frame is a hit of a unit if no frame nearer than a minimum distance has a larger value, nor an
earlier such frame the same. So two hits of one unit are at least that distance apart, and which
frames are hits follows from the film alone: not from where reading began or how it was divided.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Hits(NamedTuple):
    """Frames whose neighbours are all known."""

    values_FT: Tensor
    """-inf where a frame is no hit of a unit."""
    place_FT: Tensor
    item_F: Tensor


class PeakFilter:
    """Lets the hits of one film through, frame after frame.

    It holds the frames of twice the minimum distance: at 25 frames a second, one second and 22,000
    units 9 MB.
    """

    def __init__(self, min_distance_s: float) -> None:
        self._distance_s = min_distance_s
        self._values_FT: Tensor | None = None
        self._place_FT = torch.empty(0)
        self._item_F = torch.empty(0)
        self._pts_F = np.empty(0)
        self._num_decided = 0

    def push(
        self, values_FT: Tensor, place_FT: Tensor, item_F: Tensor, pts_F: npt.NDArray[np.float64]
    ) -> Hits:
        """Add the next frames; returns those that can be decided now, which may be none."""
        values_FT = values_FT.float().nan_to_num(
            nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf
        )
        if self._values_FT is None:
            self._values_FT, self._place_FT, self._item_F = values_FT, place_FT, item_F
            self._pts_F = pts_F
        else:
            self._values_FT = torch.cat((self._values_FT, values_FT))
            self._place_FT = torch.cat((self._place_FT, place_FT))
            self._item_F = torch.cat((self._item_F, item_F))
            self._pts_F = np.concatenate((self._pts_F, pts_F))
        # The next frame is later than the last one.
        known_until = self._pts_F[-1] - self._distance_s
        return self._decide(int(np.searchsorted(self._pts_F, known_until, side="right")))

    def flush(self) -> Hits | None:
        """At the end of the film: all that is left."""
        return None if self._values_FT is None else self._decide(len(self._pts_F))

    def _decide(self, stop: int) -> Hits:
        assert self._values_FT is not None, "something was pushed"
        start = min(self._num_decided, stop)
        rows = [self._masked(index) for index in range(start, stop)]
        empty = self._values_FT[:0]
        hits = Hits(
            torch.stack(rows) if rows else empty,
            self._place_FT[start:stop],
            self._item_F[start:stop],
        )
        self._forget(stop)
        return hits

    def _masked(self, index: int) -> Tensor:
        assert self._values_FT is not None
        pts_s = self._pts_F[index]
        first = int(np.searchsorted(self._pts_F, pts_s - self._distance_s, side="right"))
        last = int(np.searchsorted(self._pts_F, pts_s + self._distance_s, side="left"))
        own_T = self._values_FT[index]
        is_beaten_T = torch.zeros_like(own_T, dtype=torch.bool)
        if first < index:
            is_beaten_T |= self._values_FT[first:index].amax(dim=0) >= own_T
        if index + 1 < last:
            is_beaten_T |= self._values_FT[index + 1 : last].amax(dim=0) > own_T
        return own_T.masked_fill(is_beaten_T, -torch.inf)

    def _forget(self, num_decided: int) -> None:
        """Let go of frames that no later one can be near to."""
        assert self._values_FT is not None
        if num_decided < len(self._pts_F):
            horizon_s = self._pts_F[num_decided] - self._distance_s
        else:
            horizon_s = self._pts_F[-1] - self._distance_s
        keep = int(np.searchsorted(self._pts_F, horizon_s, side="right"))
        self._num_decided = num_decided - keep
        self._values_FT, self._place_FT = self._values_FT[keep:], self._place_FT[keep:]
        self._item_F, self._pts_F = self._item_F[keep:], self._pts_F[keep:]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it; empty before the first frame."""
        if self._values_FT is None:
            return {}
        return {
            "values": self._values_FT.cpu().numpy(),
            "place": self._place_FT.cpu().numpy(),
            "item": self._item_F.cpu().numpy(),
            "pts": self._pts_F,
            "num_decided": np.array(self._num_decided),
        }

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, npt.NDArray[Any]], min_distance_s: float, device: torch.device
    ) -> "PeakFilter":
        """What `to_arrays` gave."""
        new = PeakFilter(min_distance_s)
        if arrays:
            new._values_FT = torch.tensor(arrays["values"], device=device)
            new._place_FT = torch.tensor(arrays["place"], device=device)
            new._item_F = torch.tensor(arrays["item"], device=device)
            new._pts_F = arrays["pts"]
            new._num_decided = int(arrays["num_decided"])
        return new

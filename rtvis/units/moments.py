"""The best moments of every unit of a layer while pictures stream by, nine different ones.

Neighbouring frames of a film are one event, so of a unit's highest value in each frame only the
peaks count. **A moment is a peak**: no frame less than `apart` before it excites the unit as much,
and none less than `apart` after it more. Of all peaks each unit keeps the highest N; of equal ones
the earlier goes before. It follows that

- two kept moments are never less than `apart` from each other;
- the flank of an event is no moment, on the way up as on the way down, however long the event is,
  and a picture that stands still is one moment;
- the best frame of all is always kept.

When a frame comes nobody knows yet what follows: it is kept if nothing so far forbids it, and a
better one within its reach takes its place. As that one is higher, nothing that was displaced
meanwhile comes back: the result is that of looking at the whole film at the end.

A film that goes back (a loop, a jump) comes to times that were seen. A frame is then measured
against the kept moments within reach on both sides: if it excites the unit more than each of them
it takes the place of all (so that two kept ones can become one), otherwise it is passed over. The
same frame twice, of the same value, therefore counts once.

What is not finite is passed over. Nothing here waits for a device.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import torch
from torch import Tensor

NUM_TOP: Final = 9

NEVER: Final = -(2**62)
"""The time of a rank that nothing has taken."""

_MOST_RECENT: Final = 2048
"""Frames within reach that a frame is compared with; of more the earliest are forgotten."""
_FEW: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ranks:
    """What is kept of each of U units."""

    value_NU: Tensor
    """float32; -inf where fewer than N moments were found."""
    when_NU: Tensor
    """int64, microseconds; `NEVER` where there is none."""
    row_NU: Tensor
    """int32: of the largest value in the unit's map, the first of equals."""
    column_NU: Tensor
    frame_NU: Tensor
    """int64: number of the frame; -1 where there is none."""
    slot_NU: Tensor
    """int64: where its picture is in a `FramePool`, if it is still there."""

    @classmethod
    def none(cls, num_top: int, num_units: int, device: torch.device | None) -> Self:
        """Nothing yet."""
        size = num_top, num_units

        def full(value: float, dtype: torch.dtype) -> Tensor:
            return torch.full(size, value, dtype=dtype, device=device)

        return cls(
            value_NU=full(-torch.inf, torch.float32),
            when_NU=full(NEVER, torch.int64),
            row_NU=full(0, torch.int32),
            column_NU=full(0, torch.int32),
            frame_NU=full(-1, torch.int64),
            slot_NU=full(-1, torch.int64),
        )

    def of_units(self, start: int, stop: int) -> "Ranks":
        """Of some of the units, as views."""
        return Ranks(**{one.name: getattr(self, one.name)[:, start:stop] for one in fields(self)})

    def sorted(self) -> "Ranks":
        """Best first, of equals the earlier first."""
        by_time = self.when_NU.argsort(dim=0, stable=True)
        by_value = self.value_NU.gather(0, by_time).argsort(dim=0, descending=True, stable=True)
        order_NU = by_time.gather(0, by_value)
        return Ranks(
            **{one.name: getattr(self, one.name).gather(0, order_NU) for one in fields(self)}
        )

    @property
    def num_bytes(self) -> int:
        """In memory."""
        return sum(getattr(self, one.name).nbytes for one in fields(self))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Taken:
    """Which units keep a frame, and at which rank (`MomentTracker.file`)."""

    unit_M: Tensor | None
    """int64, with `rank_M`; None: `put_NC` tells it, on a device that is not waited for."""
    rank_M: Tensor
    put_NC: Tensor
    """bool; empty with `unit_M`."""

    @property
    def num(self) -> Tensor:
        """How many, a scalar."""
        return self.put_NC.sum() if self.unit_M is None else torch.tensor(len(self.unit_M))


class MomentTracker:
    """Keeps the moments of one layer, on a device. See the module for what counts."""

    def __init__(
        self,
        num_units: int,
        num_top: int = NUM_TOP,
        *,
        apart: int,
        device: torch.device | None = None,
        looks: bool | None = None,
    ) -> None:
        """Start with nothing.

        Args:
            num_units: C.
            num_top: N, moments kept of each unit.
            apart: Microseconds; less than that from each other, two frames are one event.
            device: Of the maps.
            looks: The host may look at values, to do less; default: on a CPU, where it need not
                wait for them.
        """
        assert num_top > 0, "at least one rank"
        assert apart >= 0, "a distance"
        self.ranks = Ranks.none(num_top, num_units, device)
        """Of all units, in no order."""
        self.num_frames = 0
        """That were looked at."""
        self._looks = self.ranks.value_NU.device.type == "cpu" if looks is None else looks
        self._apart = apart
        self._recent_WU = self.ranks.value_NU.new_full((0, num_units), -torch.inf)
        self._recent: list[int] = []
        """When the latest rows of that were, the last one last."""
        self._end = 0
        """The row behind the last one."""

    @property
    def num_bytes(self) -> int:
        """In memory."""
        return self.ranks.num_bytes + self._recent_WU.nbytes

    def rest(self) -> None:
        """Forget the frames just past, which only the next ones need."""
        self._recent_WU, self._recent, self._end = self._recent_WU[:0].clone(), [], 0

    def just_past(self) -> tuple[Tensor, list[int]]:
        """The frames that the next ones are compared with: highest values float32 [W, C], on the
        device, and when they were, the last one last."""
        num = len(self._recent)
        if not num:
            return self._recent_WU[:0], []
        index = torch.arange(self._end - num, self._end, device=self._recent_WU.device)
        return self._recent_WU[index % len(self._recent_WU)], list(self._recent)

    def recall(self, value_WC: Tensor, when: Sequence[int]) -> None:
        """Compare the next frames with these, as `just_past` gave them."""
        self.rest()
        for value_C, at in zip(value_WC, when, strict=True):
            self._remember(value_C, at)

    def update(self, maps_CHW: Tensor, *, when: int, frame: int) -> Taken | None:
        """Look at the layer's maps of one frame.

        Args:
            maps_CHW: Any floating dtype, on the device.
            when: Microseconds, on an axis on which `apart` is measured.
            frame: Its number, 0 and up; another one for each frame.

        Returns:
            Who keeps it; on a CPU None where no unit does.
        """
        self.num_frames += 1
        # Row by row, so that the place of the highest value is found without a second pass. With
        # the units innermost, as they lie in memory, it takes a tenth of the time on a CPU.
        row_HC = maps_CHW.permute(1, 2, 0).amax(dim=1)
        value_C = row_HC.amax(dim=0).float()
        value_C = torch.where(value_C.isfinite(), value_C, -torch.inf)
        before_C = self._before(when)
        self._remember(value_C, when)
        if not self._looks:
            return self._keep(maps_CHW, row_HC, value_C, before_C, when, frame)
        # Few units have a better moment than all before once there have been many.
        lowest_C = self.ranks.value_NU.amin(dim=0)
        if before_C is not None:
            lowest_C = torch.maximum(lowest_C, before_C)
        unit_M = (value_C > lowest_C).nonzero().squeeze(1)
        if not unit_M.numel():
            return None
        return self._keep_some(maps_CHW, row_HC, value_C, unit_M, when, frame)

    def file(self, taken: Taken, slot: Tensor) -> None:
        """Tell where the picture of the frame that was just looked at is kept.

        Args:
            taken: What `update` gave.
            slot: int64, a scalar on the device.
        """
        slot_NU = self.ranks.slot_NU
        if taken.unit_M is None:
            slot_NU.copy_(torch.where(taken.put_NC, slot, slot_NU))
        else:
            slot_NU[taken.rank_M, taken.unit_M] = slot

    def _before(self, when: int) -> Tensor | None:
        """The highest value of each unit in the frames just past that are within reach."""
        num = 0
        while num < len(self._recent) and abs(self._recent[-1 - num] - when) < self._apart:
            num += 1
        del self._recent[: len(self._recent) - num]
        if not num:
            return None
        size = len(self._recent_WU)
        first = (self._end - num) % size
        highest_C = self._recent_WU[first : first + num].amax(dim=0)
        if first + num > size:
            highest_C = torch.maximum(highest_C, self._recent_WU[: first + num - size].amax(dim=0))
        return highest_C

    def _remember(self, value_C: Tensor, when: int) -> None:
        size = len(self._recent_WU)
        if len(self._recent) == size and size < _MOST_RECENT:
            rows_WU = self._recent_WU.roll(-self._end, dims=0)
            more = rows_WU.new_full((max(size, _FEW), rows_WU.shape[1]), -torch.inf)
            self._recent_WU, self._end = torch.cat((rows_WU, more)), size
            size = len(self._recent_WU)
        self._recent_WU[self._end % size] = value_C
        self._recent = [*self._recent[-(size - 1) :], when]
        self._end = (self._end + 1) % size

    def _keep(
        self,
        maps_CHW: Tensor,
        row_HC: Tensor,
        value_C: Tensor,
        before_C: Tensor | None,
        when: int,
        frame: int,
    ) -> Taken:
        """Put a frame in where it belongs, in all units at once."""
        ranks = self.ranks
        takes_C, rank_C, in_reach_NC = _changes(
            ranks.value_NU, ranks.when_NU, value_C, when, self._apart
        )
        if before_C is not None:
            takes_C &= value_C > before_C
        rank_N1 = torch.arange(len(in_reach_NC), device=value_C.device)[:, None]
        put_NC = takes_C & (rank_N1 == rank_C)
        gone_NC = takes_C & in_reach_NC & ~put_NC
        row_C = row_HC.argmax(dim=0)
        column_C = maps_CHW.take_along_dim(row_C[:, None, None], dim=1).squeeze(1).argmax(dim=1)
        for kept, new, none in (
            (ranks.value_NU, value_C, -torch.inf),
            (ranks.when_NU, when, NEVER),
            (ranks.row_NU, row_C.int(), 0),
            (ranks.column_NU, column_C.int(), 0),
            (ranks.frame_NU, frame, -1),
        ):
            kept.masked_fill_(gone_NC, none).copy_(torch.where(put_NC, new, kept))
        return Taken(unit_M=None, rank_M=rank_C, put_NC=put_NC)

    def _keep_some(
        self,
        maps_CHW: Tensor,
        row_HC: Tensor,
        value_C: Tensor,
        unit_M: Tensor,
        when: int,
        frame: int,
    ) -> Taken | None:
        """The same for a few units on a CPU, of which it is known that it beats what was before."""
        ranks = self.ranks
        takes_M, rank_M, in_reach_NM = _changes(
            ranks.value_NU.index_select(1, unit_M),
            ranks.when_NU.index_select(1, unit_M),
            value_C.index_select(0, unit_M),
            when,
            self._apart,
        )
        unit_M, rank_M = unit_M[takes_M], rank_M[takes_M]
        if not unit_M.numel():
            return None
        gone_NM = in_reach_NM[:, takes_M]
        # `max` takes the first of equals, as `argmax` does in six times the time.
        row_M = row_HC.index_select(1, unit_M).max(dim=0).indices
        column_M = maps_CHW[unit_M, row_M].contiguous().max(dim=1).indices
        if bool((gone_NM.sum(dim=0) > 1).any()):  # after a jump alone
            for kept, none in ((ranks.value_NU, -torch.inf), (ranks.when_NU, NEVER)):
                kept[:, unit_M] = kept[:, unit_M].masked_fill(gone_NM, none)
            ranks.frame_NU[:, unit_M] = ranks.frame_NU[:, unit_M].masked_fill(gone_NM, -1)
        ranks.value_NU[rank_M, unit_M] = value_C[unit_M]
        ranks.when_NU[rank_M, unit_M] = when
        ranks.row_NU[rank_M, unit_M] = row_M.int()
        ranks.column_NU[rank_M, unit_M] = column_M.int()
        ranks.frame_NU[rank_M, unit_M] = frame
        return Taken(unit_M=unit_M, rank_M=rank_M, put_NC=gone_NM[:0])


def _changes(
    value_NU: Tensor, when_NU: Tensor, value_U: Tensor, when: int, apart: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Which units take a frame, which rank it then gets, and which ranks are within its reach."""
    in_reach_NU = ((when_NU - when).abs() < apart) & (when_NU != NEVER)
    rival_U = value_NU.masked_fill(~in_reach_NU, -torch.inf).amax(dim=0)
    lowest_U = value_NU.amin(dim=0)
    # The rank of one in reach; else the lowest, of equally low ones the latest; empty ones are
    # the lowest.
    order_NU = when_NU.masked_fill(value_NU > lowest_U, NEVER - 1)
    order_NU.masked_fill_(in_reach_NU, -NEVER)
    return value_U > torch.maximum(rival_U, lowest_U), order_NU.max(dim=0).indices, in_reach_NU

"""Pictures of frames that are still needed, in so many bytes and no more."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.units.moments import Ranks

_MOST: Final = 2**16
"""Pictures; for tiny ones more would take longer to count than they are worth."""

_COUNTS_EVERY: Final = 32
"""Pictures that come in between two counts on a CPU, unless there is no room."""


class FramePool:
    """Keeps small pictures on a device by the number of their frame, as long as a unit needs them.

    A picture that no unit refers to makes room for the next one. Where all are referred to, the
    one with the fewest references goes, of equals the oldest; but a new picture with still fewer
    is not taken at all. Whoever referred to what is gone keeps its numbers without a picture.

    The choice is made on the device: nothing waits for it, and the host does not know it.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        max_bytes: int,
        device: torch.device | None = None,
        looks: bool | None = None,
    ) -> None:
        """Set the memory aside; on a CPU it is taken as pictures come.

        Args:
            size: (height, width) of the pictures.
            max_bytes: Of all of them; at least one is kept.
            device: Of the pictures.
            looks: See `MomentTracker`.
        """
        height, width = size
        num = min(max(max_bytes // (height * width * 3), 1), _MOST)
        self.picture_PHW3 = torch.empty((num, height, width, 3), dtype=torch.uint8, device=device)
        """uint8 RGB; what it is where `frame_P` is -1 means nothing."""
        self.frame_P = torch.full((num,), -1, dtype=torch.int64, device=device)
        """int64: number of the frame in each slot."""
        self.num_given_up = torch.zeros((), dtype=torch.int64, device=device)
        """int64, a scalar: pictures that were still needed, or not taken though they were."""
        self._looks = self.frame_P.device.type == "cpu" if looks is None else looks
        self._num_used = 0
        """On a CPU: slots that have been written to at some time."""
        self._free: list[int] = []
        """On a CPU: of those, what nobody refers to."""
        self._num_admitted = 0
        """Since it was counted who refers to what."""

    @property
    def num_slots(self) -> int:
        """P: how many pictures there is room for."""
        return len(self.frame_P)

    def admit(
        self,
        frame: int,
        picture_HW3: Tensor,
        *,
        num_new: Tensor,
        count_refs: Callable[[], Tensor],
    ) -> Tensor:
        """Keep a picture where there is room for it.

        Args:
            frame: Its number, greater than all before.
            picture_HW3: uint8 RGB.
            num_new: An integer, a scalar: who will refer to it.
            count_refs: int64 [P]: who refers to what is there.

        Returns:
            int64, a scalar: its slot. It is there if `frame_P` says so.
        """
        if self._looks:
            return torch.tensor(self._admit_on_host(frame, picture_HW3, int(num_new), count_refs))
        num_refs_P = count_refs()
        slot = self._fewest(num_refs_P, frame)
        slot_1 = slot[None]
        num_old = num_refs_P.index_select(0, slot_1).squeeze(0)
        is_taken = (num_new > 0) & (num_new >= num_old)
        old_1HW3 = self.picture_PHW3.index_select(0, slot_1)
        self.picture_PHW3.index_copy_(0, slot_1, torch.where(is_taken, picture_HW3, old_1HW3))
        old_1 = self.frame_P.index_select(0, slot_1)
        self.frame_P.index_copy_(0, slot_1, torch.where(is_taken, frame, old_1))
        self.num_given_up += ((num_new > 0) & (num_old > 0)).long()
        return slot

    def _admit_on_host(
        self, frame: int, picture_HW3: Tensor, num_new: int, count_refs: Callable[[], Tensor]
    ) -> int:
        """The same where looking costs nothing, but counting does: it is done now and then.

        A slot that was never used costs memory, so that it comes after those that are free again.
        """
        self._num_admitted += 1
        is_full = self._num_used == self.num_slots
        if not self._free and (is_full or self._num_admitted >= _COUNTS_EVERY):
            self._num_admitted = 0
            num_refs_P = count_refs()
            self._free = (num_refs_P[: self._num_used] == 0).nonzero().squeeze(1).tolist()
            if is_full and not self._free:
                slot = int(self._fewest(num_refs_P, frame))
                self.num_given_up += 1
                if num_new < int(num_refs_P[slot]):
                    return slot
                self._free.append(slot)
        if not self._free:
            self._free.append(self._num_used)
            self._num_used += 1
        slot = self._free.pop()
        self.picture_PHW3[slot] = picture_HW3
        self.frame_P[slot] = frame
        return slot

    def _fewest(self, num_refs_P: Tensor, frame: int) -> Tensor:
        """The slot with the fewest references, of equals with the oldest frame: free ones first."""
        return (num_refs_P * (frame + 2) + self.frame_P).argmin()

    def holds(self, ranks: Ranks) -> Tensor:
        """bool [N, U]: whose picture is still there."""
        slot_NU = ranks.slot_NU
        there_NU = self.frame_P[slot_NU.clamp(min=0)] == ranks.frame_NU
        return there_NU & (slot_NU >= 0) & (ranks.frame_NU >= 0)

    def count_refs(self, ranks: Ranks) -> Tensor:
        """int64 [P]: how many ranks refer to each picture."""
        num = self.num_slots
        slot_M = torch.where(self.holds(ranks), ranks.slot_NU, num).flatten()
        if slot_M.device.type == "cpu":
            return slot_M.bincount(minlength=num + 1)[:num]
        # bincount would wait for the device.
        counts = torch.zeros(num + 1, dtype=torch.int64, device=slot_M.device)
        return counts.scatter_add_(0, slot_M, torch.ones_like(slot_M))[:num]

    def put_back(self, pictures: Mapping[int, ImageU8]) -> dict[int, int]:
        """Keep pictures of earlier frames, as far as there is room: the first ones.

        Args:
            pictures: Number of the frame -> uint8 RGB, of the pool's size.

        Returns:
            Number -> slot, of those that are kept.
        """
        slot_of = {}
        for slot, (number, image_HW3) in enumerate(list(pictures.items())[: self.num_slots]):
            self.picture_PHW3[slot] = torch.from_numpy(image_HW3).to(self.picture_PHW3.device)
            self.frame_P[slot] = number
            slot_of[number] = slot
        self._num_used = len(slot_of)
        return slot_of

    def clear(self) -> None:
        """Forget all pictures."""
        self.frame_P.fill_(-1)
        self.num_given_up.zero_()
        self._free = list(range(self._num_used))

"""The best moment of every unit as small pictures in host memory, for the tiles of the grid.

A few that have changed are fetched a turn, so that no turn takes longer: first the numbers of all
units travel to the host, then the crops of those units whose best moment is another one than the
host's. On a GPU both are under way while turns go on, and nothing waits for them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.data import ImageU8, Layer
from rtvis.render.moment_pictures import sees_all
from rtvis.render.resample import shrink
from rtvis.render.seen import seen_pixels
from rtvis.units.frame_pool import FramePool
from rtvis.units.moments import Ranks

TILE: Final = 96
"""Pixels that a side has at most."""

_AT_ONCE: Final = 24
"""Crops fetched together: 2 ms on a CPU for those of 224 pixels."""


class _Travelling:
    """Some tensors on their way to host memory."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self._done: torch.cuda.Event | None = None
        self._host = tensors
        if tensors[0].device.type == "cuda":
            self._host = tuple(
                torch.empty(each.shape, dtype=each.dtype, pin_memory=True).copy_(
                    each, non_blocking=True
                )
                for each in tensors
            )
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def arrived(self) -> tuple[Tensor, ...] | None:
        """The tensors; None while they are under way."""
        if self._done is not None and not self._done.query():  # type: ignore[no-untyped-call]
            return None
        return self._host


class _Best(NamedTuple):
    """A unit's best moment."""

    frame: int
    row: int
    column: int


class MomentTiles:
    """Pictures of one layer's units; those of another layer begin afresh."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._of: object = None
        self._tiles: dict[int, ImageU8] = {}
        self._have: dict[int, _Best] = {}
        self._numbers: _Travelling | None = None
        self._crops: tuple[_Travelling, dict[int, _Best]] | None = None
        self._window: Layer | None = None
        """The layer with what is shown of its neurons' fields."""
        self._in_sight = range(0)
        self._next = 0
        """Where the search for changed units goes on, so that each has its turn."""
        self._has_more = False

    @property
    def waits(self) -> bool:
        """There is more to fetch, though no other frame may come: call `of` again."""
        return self._has_more or self._numbers is not None or self._crops is not None

    def rest(self) -> None:
        """Forget everything."""
        self._of, self._tiles, self._have = None, {}, {}
        self._numbers = self._crops = None
        self._has_more = False

    def of(
        self, ranks: Ranks, pool: FramePool, layer: Layer, in_sight: range = range(0)
    ) -> Mapping[int, ImageU8]:
        """Unit -> uint8 RGB, of those that have arrived; a crop that has changed is another array.

        Args:
            ranks: Of all units.
            pool: Where their pictures are.
            layer: Whose units they are.
            in_sight: Units that go before others.
        """
        if self._of is not ranks:
            self.rest()
            self._of = ranks
            self._window = narrowed(layer, (pool.picture_PHW3.shape[1], pool.picture_PHW3.shape[2]))
        self._in_sight = in_sight
        layer = self._window or layer
        if self._numbers is None and self._crops is None:
            self._numbers = _Travelling((_best(ranks, pool),))
        if self._numbers is not None and (arrived := self._numbers.arrived()) is not None:
            self._numbers = None
            self._ask(arrived[0].numpy(), pool, layer)
        if self._crops is not None and (crops := self._crops[0].arrived()) is not None:
            self._take(self._crops[1], crops[0].numpy(), crops[1].tolist())
            self._crops = None
        return self._tiles

    def _ask(self, best_5C: npt.NDArray[np.int64], pool: FramePool, layer: Layer) -> None:
        """Have some of the crops that the host has not got yet cut out and sent."""
        num_units = best_5C.shape[1]
        wanted: dict[int, _Best] = {}
        crops, slots = [], []
        missing = self._missing(best_5C)
        self._has_more = len(missing) > _AT_ONCE
        for unit in missing[:_AT_ONCE]:
            frame, row, column, slot, _ = best_5C[:, unit].tolist()
            wanted[unit] = _Best(frame, row, column)
            crops.append(cut(pool.picture_PHW3, slot, layer, (row, column)))
            slots.append(pool.frame_P[slot])
        self._next = (max(wanted) + 1) % num_units if wanted else 0
        if wanted:
            crops_M3HW = torch.stack(crops).permute(0, 3, 1, 2)
            height, width = (min(side, TILE) for side in crops_M3HW.shape[2:])
            if (height, width) != crops_M3HW.shape[2:]:
                small_NHW = shrink(crops_M3HW.flatten(0, 1).float(), height, width)
                crops_M3HW = small_NHW.round().to(torch.uint8).view(-1, 3, height, width)
            images = crops_M3HW.permute(0, 2, 3, 1).contiguous()
            self._crops = _Travelling((images, torch.stack(slots))), wanted

    def _missing(self, best_5C: npt.NDArray[np.int64]) -> list[int]:
        """Units with a best moment whose picture is there and is not the host's."""
        there = best_5C[4] > 0
        have_3C = np.full((3, best_5C.shape[1]), -1, np.int64)
        for unit, best in self._have.items():
            have_3C[:, unit] = best
        changed = (there & (have_3C != best_5C[:3]).any(axis=0)).nonzero()[0]
        units = [*changed[changed >= self._next].tolist(), *changed[changed < self._next].tolist()]
        return sorted(units, key=lambda unit: unit not in self._in_sight)

    def _take(
        self, wanted: dict[int, _Best], images: npt.NDArray[np.uint8], frames: list[int]
    ) -> None:
        """Keep what is still what was asked for: a slot may have another picture by now."""
        for (unit, best), image_HW3, frame in zip(wanted.items(), images, frames, strict=True):
            if frame == best.frame:
                self._tiles[unit], self._have[unit] = image_HW3, best


def _best(ranks: Ranks, pool: FramePool) -> Tensor:
    """int64 [5, C]: frame, row, column, slot of each unit's best moment, and whether its picture
    is there."""
    best_1C = ranks.value_NU.argmax(dim=0, keepdim=True)
    fields = (ranks.frame_NU, ranks.row_NU, ranks.column_NU, ranks.slot_NU, pool.holds(ranks))
    return torch.cat([each.gather(0, best_1C).long() for each in fields])


def narrowed(layer: Layer, size: tuple[int, int]) -> Layer:
    """A layer whose neurons see all of the input, with half of it around each: small pictures of
    the whole tell nothing of where they are. Others as they are."""
    if not sees_all(layer, size):
        return layer
    assert layer.field_start is not None, "of one that is known"
    half = size[0] // 2, size[1] // 2
    (top, left), (height, width) = layer.field_start, layer.receptive_field
    start = top + (height - half[0]) / 2, left + (width - half[1]) / 2
    return replace(layer, receptive_field=half, field_start=start)


def window_of(
    layer: Layer, size: tuple[int, int], position: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """What a neuron sees of pictures of the input's size.

    Returns:
        (top, left) and (height, width), within the picture.
    """
    field = min(layer.receptive_field[0], size[0]), min(layer.receptive_field[1], size[1])
    index_Y, index_X = seen_pixels(
        torch.tensor(position),
        layer=layer,
        input_size=size,
        picture_size=size,
        crop=None,
        size=field,
    )
    return (int(index_Y[0]), int(index_X[0])), field


def cut(picture_PHW3: Tensor, slot: int, layer: Layer, position: tuple[int, int]) -> Tensor:
    """What a neuron saw, as a view."""
    size = picture_PHW3.shape[1], picture_PHW3.shape[2]
    (top, left), (height, width) = window_of(layer, size, position)
    return picture_PHW3[slot, top : top + height, left : left + width]

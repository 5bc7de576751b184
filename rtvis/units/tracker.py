"""The N largest values that every unit had, with the items and places they came from (DVT-81).

Of one item a unit keeps only its largest value, so that an item appears at most once per unit.
What is kept depends on the values alone, and not on the order, the batches or the workers in which
they came: of two equal values that of the earlier item (the smaller number) ranks higher, and a
value that equals the lowest one kept but belongs to a later item does not displace it.

Value and item are one 64-bit number, by which all of that is a plain comparison: above, the bits
of the value in an order that integers have; below, the item counted backwards.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

EMPTY: Final = -(2**63)
"""The key of a rank that nothing has taken."""

MAX_ITEMS: Final = 2**31 - 1
"""How many items can be told apart."""

_LOW: Final = 2**32 - 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Top:
    """The best items of each unit of a layer, best first."""

    values_CN: Tensor
    """float32 [C, N]; -inf where fewer than N items had a value."""
    item_CN: Tensor
    """int64 [C, N]: indices into the list of items; -1 where there is none."""
    position_CN2: Tensor
    """int32 [C, N, 2]: (row, column) of the largest value in the unit's map, the first one of
    equals; (0, 0) in dense layers and where there is none."""

    @property
    def num_top(self) -> int:
        """N."""
        return self.item_CN.shape[1]

    def of_units(self, start: int, stop: int) -> "Top":
        """Some of the units, as views."""
        return Top(
            values_CN=self.values_CN[start:stop],
            item_CN=self.item_CN[start:stop],
            position_CN2=self.position_CN2[start:stop],
        )


class TopTracker:
    """Keeps the N largest values of each of C units, on a device.

    For a million units and N = 9 that is 112 MB.
    """

    def __init__(self, num_units: int, num_top: int, *, device: torch.device | None = None) -> None:
        assert num_top > 0, "at least one rank"
        size = num_units, num_top
        self._key_CN = torch.full(size, EMPTY, dtype=torch.int64, device=device)
        self._place_CN = torch.zeros(size, dtype=torch.int32, device=device)
        self._lowest_C = torch.full((num_units,), -torch.inf, device=device)
        self._last_item = -1
        """On a CPU: the largest number of an item so far."""

    def update(self, values_BC: Tensor, positions_BC2: Tensor, items_B: Tensor) -> None:
        """Add items; of each unit the largest value that it has in each of them.

        Args:
            values_BC: Any floating dtype, on the device; compared as float32. What is NaN or
                -inf is passed over.
            positions_BC2: Integers: (row, column) of each value.
            items_B: int64, 0 and up, none of them seen before; -1: not an item, passed over.
        """
        self.update_packed(values_BC, pack_positions(positions_BC2), items_B)

    def update_packed(self, values_BC: Tensor, place_BC: Tensor, items_B: Tensor) -> None:
        """`update`, with positions as `pack_positions` makes them."""
        if values_BC.device.type != "cpu":
            self._key_CN, self._place_CN = _best_of(
                self._key_CN, self._place_CN, keys_of(values_BC, items_B).T, place_BC.T
            )
            return
        # Few items get among the best of a unit once there have been many: sort those units only.
        # On a GPU asking which would cost more than sorting all.
        highest_C = values_BC.amax(dim=0).float()  # NaN where one of them is
        known = items_B[items_B >= 0]
        if known.numel() == 0:
            return
        # What equals the lowest one gets in if its item is an earlier one.
        is_later = int(known.min()) > self._last_item
        self._last_item = max(self._last_item, int(known.max()))
        is_below_C = highest_C <= self._lowest_C if is_later else highest_C < self._lowest_C
        some = (~is_below_C).nonzero().squeeze(1)
        if some.numel() == 0:
            return
        key_CB = keys_of(values_BC[:, some], items_B).T
        self._key_CN[some], self._place_CN[some] = _best_of(
            self._key_CN[some], self._place_CN[some], key_CB, place_BC[:, some].T
        )
        self._lowest_C[some] = _values_of(self._key_CN[some, -1])

    def add(self, top: Top) -> None:
        """Add what another tracker of the same units had found; items that both have count once."""
        key_CN, place_CN = _packed(top)
        device = self._key_CN.device
        if device.type == "cpu" and top.item_CN.numel():
            self._last_item = max(self._last_item, int(top.item_CN.max()))
        self._key_CN, self._place_CN = _best_of_both(
            self._key_CN, self._place_CN, key_CN.to(device), place_CN.to(device)
        )
        self._lowest_C = _values_of(self._key_CN[:, -1])

    def top(self) -> Top:
        """What is found so far, on the device; shares no memory with the tracker."""
        return _unpacked(self._key_CN, self._place_CN)


def merge(first: Top, second: Top) -> Top:
    """The best of two findings about the same units: associative and commutative.

    An item that both have counts once, so that a part merged twice does no harm.
    """
    key_CN, place_CN = _packed(first)
    return _unpacked(*_best_of_both(key_CN, place_CN, *_packed(second)))


def keys_of(values_BC: Tensor, items_B: Tensor) -> Tensor:
    """int64 [B, C]: larger is better; `EMPTY` for NaN, -inf and the item -1."""
    values = values_BC.float() + 0.0  # -0.0 is no less than 0.0
    bits = values.view(torch.int32)
    # Negative numbers have their bits the other way round; so turned, they compare as integers.
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(torch.int64)
    keys = (ordered << 32) | (MAX_ITEMS - items_B)[:, None]
    return torch.where((values > -torch.inf) & (items_B >= 0)[:, None], keys, EMPTY)


def pack_positions(positions_BC2: Tensor) -> Tensor:
    """int32 [B, C]: (row, column) as one number; maps have at most 32768 rows and 65536 columns."""
    row_BC, column_BC = positions_BC2.to(torch.int32).unbind(-1)
    return (row_BC << 16) | column_BC


def _best_of(
    key_CN: Tensor, place_CN: Tensor, key_CM: Tensor, place_CM: Tensor
) -> tuple[Tensor, Tensor]:
    keys, places = torch.cat((key_CN, key_CM), dim=1), torch.cat((place_CN, place_CM), dim=1)
    # Keys differ, empty ones apart, so that their order is one and the same everywhere.
    best, index = keys.topk(key_CN.shape[1], dim=1)
    return best, torch.where(best == EMPTY, 0, places.gather(1, index))


def _best_of_both(
    key_CN: Tensor, place_CN: Tensor, key_CM: Tensor, place_CM: Tensor
) -> tuple[Tensor, Tensor]:
    is_known = (key_CM[:, :, None] == key_CN[:, None, :]).any(dim=2)
    return _best_of(key_CN, place_CN, key_CM.masked_fill(is_known, EMPTY), place_CM)


def _packed(top: Top) -> tuple[Tensor, Tensor]:
    num_units, num_top = top.item_CN.shape
    rows = top.values_CN.reshape(-1, 1), top.item_CN.reshape(-1)
    key_CN = keys_of(*rows).reshape(num_units, num_top)
    return key_CN, pack_positions(top.position_CN2)


def _unpacked(key_CN: Tensor, place_CN: Tensor) -> Top:
    is_empty = key_CN == EMPTY
    items = MAX_ITEMS - (key_CN & _LOW)
    return Top(
        values_CN=_values_of(key_CN),
        item_CN=items.masked_fill(is_empty, -1),
        position_CN2=torch.stack((place_CN >> 16, place_CN & 0xFFFF), dim=2),
    )


def _values_of(key: Tensor) -> Tensor:
    """float32: the value in each key; -inf of an empty one."""
    ordered = (key >> 32).to(torch.int32)
    values = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)
    return values.masked_fill(key == EMPTY, -torch.inf)

"""What a session knows of units: pictures in memory, up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from torch import Tensor

from rtvis.render.scene import TopShown

MEMORY_BYTES: Final = 2000 * 2**20
"""Of pictures that the session keeps: 13,900 of 224x224."""

Name: TypeAlias = tuple[str, int]
"""Layer and unit."""


@dataclass(slots=True)
class KnownUnit:
    """What is known of one unit."""

    image_HW3: Tensor | None = None
    """uint8 RGB: the optimised picture."""
    draw: Callable[[], Tensor] | None = None
    """Gives a newer picture; None where that is the newest."""
    share: float = 0.0
    """How much of it is done, 0..1."""
    value: float | None = None
    """What the unit says to it."""
    is_done: bool = False
    is_looked_up: bool = False
    """The shelf was asked."""
    fault: str = ""
    """Why it does not grow."""
    tops: tuple[TopShown, ...] = ()

    @property
    def has_picture(self) -> bool:
        """Whether there is anything to see of the optimised picture."""
        return self.image_HW3 is not None or self.draw is not None

    def picture(self) -> Tensor | None:
        """The newest picture, uint8 RGB [H, W, 3]."""
        if self.draw is not None:
            self.image_HW3, self.draw = self.draw(), None
        return self.image_HW3

    @property
    def num_bytes(self) -> int:
        """Of its pictures."""
        images = [self.image_HW3, *(top.crop_HW3 for top in self.tops)]
        images += [top.back_HW3 for top in self.tops]
        return sum(image.numel() for image in images if image is not None)


class KnownUnits:
    """Units by name; beyond `max_bytes` what was looked at longest ago is forgotten.

    Args:
        max_bytes: Of all pictures.
        are_looked_up: There is nobody who could be asked for them.
    """

    def __init__(self, max_bytes: int = MEMORY_BYTES, *, are_looked_up: bool = False) -> None:
        self.max_bytes = max_bytes
        self._are_looked_up = are_looked_up
        self._units: OrderedDict[Name, KnownUnit] = OrderedDict()

    def of(self, name: Name) -> KnownUnit:
        """All that is known of a unit, to be added to."""
        if name not in self._units:
            self._units[name] = KnownUnit(is_looked_up=self._are_looked_up)
        self._units.move_to_end(name)
        return self._units[name]

    def get(self, name: Name) -> KnownUnit | None:
        """The same if there is anything; it does not count as looked at."""
        return self._units.get(name)

    def put(self, name: Name, unit: KnownUnit) -> None:
        """Know this of a unit, in place of what was known."""
        self._units[name] = unit

    def done_of(self, layer: str) -> Iterator[tuple[int, Tensor]]:
        """Unit and picture of all of a layer whose picture is done."""
        for (own, unit), known in self._units.items():
            image_HW3 = known.picture() if own == layer and known.is_done else None
            if image_HW3 is not None:
                yield unit, image_HW3

    def trim(self, *, needed: Collection[Name]) -> list[Name]:
        """Forget as many as need be; what is on the shelf comes back from there.

        Args:
            needed: These stay.

        Returns:
            Who was forgotten.
        """
        total = sum(unit.num_bytes for unit in self._units.values())
        gone = []
        for name in list(self._units)[:-1]:
            if total <= self.max_bytes:
                break
            if name not in needed:
                total -= self._units.pop(name).num_bytes
                gone.append(name)
        return gone

"""Pictures of what units have learned, fetched and put away by a thread of their own."""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from rtvis.data import ImageU8
from rtvis.errors import RtvisError

SheetKind: TypeAlias = Literal["optimized", "top"]
"""Which picture of each unit."""

_JOIN_LIMIT_S: Final = 5.0
_MAX_KEEPS: Final = 64
"""Results that wait to be written; a disk that is slower than the optimiser loses the oldest."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptPicture:
    """A picture made to excite a unit, from a store."""

    image_HW3: ImageU8
    value: float | None = None
    """What the unit said to it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptTop:
    """One of a unit's best inputs, from a store."""

    crop_HW3: ImageU8
    back_HW3: ImageU8 | None = None
    value: float | None = None
    name: str = ""


class Shelf(Protocol):
    """Where results are kept beyond the session: a store. Asked by one thread, which may wait.

    All raise RtvisError where something is damaged or cannot be written.
    """

    @property
    def back_rule(self) -> str:
        """What the backward pictures of `tops` are, such as "deconvnet"."""
        ...

    def has(self, layer: str, unit: int) -> bool:
        """Whether an optimised picture is there; asked by any thread, quickly."""
        ...

    def optimized(self, layer: str, unit: int) -> KeptPicture | None: ...
    def tops(self, layer: str, unit: int, num: int) -> tuple[KeptTop, ...]: ...
    def sheet(self, layer: str, kind: SheetKind) -> Iterator[tuple[int, ImageU8 | None]]:
        """Unit and picture of all that are there; None between them where the search goes on."""
        ...

    def keep(self, layer: str, unit: int, result: object) -> None:
        """Write what the optimiser made, whole or not at all, over what was there."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UnitFound:
    """What the shelf has of a unit."""

    layer: str
    unit: int
    optimized: KeptPicture | None
    tops: tuple[KeptTop, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TileFound:
    """A picture for the grid; without a unit the sheet is complete."""

    layer: str
    kind: SheetKind
    unit: int | None = None
    image_HW3: ImageU8 | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Kept:
    """A result was written."""

    layer: str
    unit: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trouble:
    """The shelf cannot do what was asked."""

    text: str


News: TypeAlias = UnitFound | TileFound | Kept | Trouble


class Loader:
    """Asks a shelf in the background. One thread asks and hears the news.

    Of the units that are asked for the newest counts; a sheet comes picture by picture, while
    nothing else is wanted.
    """

    def __init__(self, shelf: Shelf, *, num_tops: int) -> None:
        self._shelf = shelf
        self._num_tops = num_tops
        self._wake = threading.Condition()
        self._unit: tuple[str, int] | None = None
        self._sheet: tuple[str, SheetKind] | None = None
        self._keeps: deque[tuple[str, int, object]] = deque()
        self._closed = False
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rtvis-learned", daemon=True)
        self._thread.start()

    def want_unit(self, layer: str, unit: int) -> None:
        """Look for all that there is of a unit."""
        with self._wake:
            self._unit = (layer, unit)
            self._wake.notify()

    def want_sheet(self, layer: str, kind: SheetKind) -> None:
        """Look for a picture of each unit of a layer, and for no other layer any more."""
        with self._wake:
            self._sheet = (layer, kind)
            self._wake.notify()

    def keep(self, layer: str, unit: int, result: object) -> None:
        """Write a result."""
        with self._wake:
            self._keeps.append((layer, unit, result))
            lost = self._keeps.popleft() if len(self._keeps) > _MAX_KEEPS else None
            self._wake.notify()
        if lost is not None:
            self._news.put(Trouble(text=f"{lost[0]}:{lost[1]} was not saved: the disk is too slow"))

    def news(self) -> Iterator[News]:
        """What has come since the last call; never waits."""
        while not self._news.empty():
            yield self._news.get()

    def close(self) -> None:
        """Write what waits to be written, and end. Safe to call twice."""
        with self._wake:
            self._closed = True
            self._unit = self._sheet = None
            self._wake.notify()
        self._thread.join(_JOIN_LIMIT_S)
        assert not self._thread.is_alive(), "the thread that reads pictures of units does not stop"

    def _run(self) -> None:
        tiles: Iterator[tuple[int, ImageU8 | None]] | None = None
        of: tuple[str, SheetKind] | None = None
        while True:
            with self._wake:
                while tiles is None and not self._is_wanted():
                    self._wake.wait()
                unit, self._unit = self._unit, None
                kept = self._keeps.popleft() if self._keeps and unit is None else None
                if self._sheet is not None:
                    of, self._sheet, tiles = self._sheet, None, None
                    tiles = self._shelf.sheet(*of)
                if self._closed and kept is None:
                    return
            try:
                if unit is not None:
                    self._news.put(self._look(*unit))
                elif kept is not None:
                    self._shelf.keep(*kept)
                    self._news.put(Kept(layer=kept[0], unit=kept[1]))
                elif tiles is not None and of is not None:
                    tiles = self._next_tile(tiles, of)
            except RtvisError as fault:
                if kept is None and unit is None:
                    tiles = None
                self._news.put(Trouble(text=str(fault)))

    def _is_wanted(self) -> bool:
        return (
            self._closed or self._unit is not None or self._sheet is not None or bool(self._keeps)
        )

    def _look(self, layer: str, unit: int) -> UnitFound:
        try:
            return UnitFound(
                layer=layer,
                unit=unit,
                optimized=self._shelf.optimized(layer, unit),
                tops=self._shelf.tops(layer, unit, self._num_tops),
            )
        except RtvisError as fault:
            self._news.put(Trouble(text=str(fault)))
            return UnitFound(layer=layer, unit=unit, optimized=None, tops=())

    def _next_tile(
        self, tiles: Iterator[tuple[int, ImageU8 | None]], of: tuple[str, SheetKind]
    ) -> Iterator[tuple[int, ImageU8 | None]] | None:
        found = next(tiles, None)
        if found is None:
            self._news.put(TileFound(layer=of[0], kind=of[1]))
            return None
        unit, image_HW3 = found
        if image_HW3 is not None:
            self._news.put(TileFound(layer=of[0], kind=of[1], unit=unit, image_HW3=image_HW3))
        return tiles

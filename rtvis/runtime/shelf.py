"""Pictures of what units have learned, fetched and put away by a thread of their own."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from rtvis.data import ImageU8
from rtvis.errors import RtvisError
from rtvis.session import TopInput

SheetKind: TypeAlias = Literal["optimized", "top"]
"""Which picture of each unit."""

_JOIN_LIMIT_S: Final = 5.0
_TOGETHER_S: Final = 0.05
"""Tiles that come within this are handed on together."""
_MAX_KEEPS: Final = 64
"""Results that wait to be written; a disk that is slower than the optimiser loses the oldest."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptPicture:
    """A picture made to excite a unit, from a store."""

    image_HW3: ImageU8
    value: float | None = None
    """What the unit said to it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptInput:
    """The whole picture of one of a unit's best inputs, as its file has it."""

    image_HW3: ImageU8
    name: str


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
    def whole_input(self, layer: str, unit: int, place: int) -> KeptInput:
        """The picture that `tops` has a crop of; it may be gone from where it was scanned."""
        ...

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
class InputFound:
    """The whole picture of one of a unit's best inputs; None where it cannot be had."""

    top: TopInput
    found: KeptInput | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TilesFound:
    """Pictures for the grid."""

    layer: str
    kind: SheetKind
    tiles: Mapping[int, ImageU8]
    """Unit -> uint8 RGB."""
    is_last: bool
    """The sheet is complete."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Kept:
    """A result was written."""

    layer: str
    unit: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trouble:
    """The shelf cannot do what was asked."""

    text: str


News: TypeAlias = UnitFound | InputFound | TilesFound | Kept | Trouble


class Loader:
    """Asks a shelf in the background. One thread asks and hears the news.

    Of the units that are asked for the newest counts; a sheet comes some pictures at a time, while
    nothing else is wanted.
    """

    def __init__(self, shelf: Shelf, *, num_tops: int) -> None:
        self._shelf = shelf
        self._num_tops = num_tops
        self._wake = threading.Condition()
        self._unit: tuple[str, int] | None = None
        self._input: TopInput | None = None
        self._sheet: tuple[str, SheetKind] | None = None
        self._keeps: deque[tuple[str, int, object]] = deque()
        self._tiles: Iterator[tuple[int, ImageU8 | None]] | None = None
        """The sheet that is being read."""
        self._tiles_of: tuple[str, SheetKind] = ("", "top")
        self._closed = False
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rtvis-learned", daemon=True)
        self._thread.start()

    def want_unit(self, layer: str, unit: int) -> None:
        """Look for all that there is of a unit."""
        with self._wake:
            self._unit = (layer, unit)
            self._wake.notify()

    def want_input(self, top: TopInput) -> None:
        """Look for the whole picture of one of a unit's best inputs."""
        with self._wake:
            self._input = top
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

    def news(self, *, wait_s: float = 0.0) -> Iterator[News]:
        """What has come since the last call; waits so long for the first, by default not at all."""
        with contextlib.suppress(queue.Empty):
            yield self._news.get(timeout=wait_s) if wait_s else self._news.get_nowait()
            while True:
                yield self._news.get_nowait()

    def close(self) -> None:
        """Write what waits to be written, and end. Safe to call twice."""
        with self._wake:
            self._closed = True
            self._unit = self._sheet = self._input = None
            self._wake.notify()
        self._thread.join(_JOIN_LIMIT_S)
        assert not self._thread.is_alive(), "the thread that reads pictures of units does not stop"

    def _run(self) -> None:
        while self._wait():
            try:
                self._do_next()
            except RtvisError as fault:
                self._news.put(Trouble(text=str(fault)))

    def _wait(self) -> bool:
        """Until there is something to do; False when all is done and the loader closed."""
        with self._wake:
            while self._tiles is None and not self._is_wanted():
                self._wake.wait()
            return not self._closed or bool(self._keeps)

    def _do_next(self) -> None:
        """What the user waits for first, one thing at a time."""
        with self._wake:
            unit, top, kept = self._unit, None, None
            self._unit = None
            if unit is None:
                top, self._input = self._input, None
            if unit is None and top is None and self._keeps:
                kept = self._keeps.popleft()
            if self._sheet is not None:
                self._tiles_of, self._sheet = self._sheet, None
                self._tiles = self._shelf.sheet(*self._tiles_of)
        if unit is not None:
            self._news.put(self._look(*unit))
        elif top is not None:
            self._news.put(InputFound(top=top, found=self._whole_input(top)))
        elif kept is not None:
            self._shelf.keep(*kept)
            self._news.put(Kept(layer=kept[0], unit=kept[1]))
        elif self._tiles is not None:
            self._next_tiles(self._tiles, self._tiles_of)

    def _is_wanted(self) -> bool:
        wanted = (self._unit, self._input, self._sheet)
        return self._closed or any(each is not None for each in wanted) or bool(self._keeps)

    def _whole_input(self, top: TopInput) -> KeptInput | None:
        try:
            return self._shelf.whole_input(top.layer, top.unit, top.place)
        except RtvisError as fault:
            self._news.put(Trouble(text=str(fault)))
            return None

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

    def _next_tiles(
        self, tiles: Iterator[tuple[int, ImageU8 | None]], of: tuple[str, SheetKind]
    ) -> None:
        """Some more tiles of a sheet, together."""
        found: dict[int, ImageU8] = {}
        is_last, until_s = False, time.monotonic() + _TOGETHER_S
        try:
            while time.monotonic() < until_s and not is_last:
                unit, image_HW3 = next(tiles, (None, None))
                is_last = unit is None
                if unit is not None and image_HW3 is not None:
                    found[unit] = image_HW3
        except RtvisError as fault:
            is_last = True
            self._news.put(Trouble(text=str(fault)))
        if is_last:
            self._tiles = None
        self._news.put(TilesFound(layer=of[0], kind=of[1], tiles=found, is_last=is_last))

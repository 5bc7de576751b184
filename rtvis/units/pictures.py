"""Pictures of each unit's strongest inputs: the crop, the whole, and what excited the unit there.

DVT-83 to -87: the crop is the receptive field of the neuron that was strongest; the gradient, the
guided and the deconvnet picture start at that one neuron with 1, and are cut out at the same place.
They are clipped, so that there is something to see; of those that DVT has the whole range is kept,
too.
The value is computed again: where it comes out differently the picture or the network is not the
one that was scanned.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from torch import Tensor

from rtvis.choices import BackpropDisplay
from rtvis.data import Crop, ImageU8, Layer
from rtvis.engine.engine import Engine
from rtvis.errors import SourceError, StoreError
from rtvis.render import display
from rtvis.threads import cpu_threads
from rtvis.units import names
from rtvis.units.crops import ZERO, Window, cut, field_window, in_source, marked, whole
from rtvis.units.items import Item, Items
from rtvis.units.seen import Group, ReadInput, Seen, Wanted, wanted_of
from rtvis.units.source_pictures import SourcePictures
from rtvis.units.store import Store
from rtvis.units.unit_inputs import EXPORTED, UnitInput, are_of, as_json, read_inputs
from rtvis.units.writer import StoreWriter, encoded, json_bytes

_AHEAD: Final = 2
"""Groups of units that are read before the network wants them, and that wait to be written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PicturesProgress:
    """How far it has come."""

    layer: str
    num_done: int
    """Units of this layer that have their pictures."""
    num_units: int
    """Of this layer that shall have some."""
    num_skipped: int = 0
    """Those among them that had theirs already."""
    warnings: tuple[str, ...] = ()
    """What came up since the last one."""


class _Written(NamedTuple):
    """What came of some units."""

    num_units: int
    warnings: list[str]


def make_pictures(
    engine: Engine,
    store: Store,
    writer: StoreWriter,
    layers: Sequence[str],
    *,
    batch: int = 8,
    units: Sequence[int] | None = None,
    force: bool = False,
    num_workers: int = 2,
) -> Iterator[PicturesProgress]:
    """Make the pictures of layers that were scanned, unit after unit.

    While the network looks at some units' inputs, threads read those of the next ones and write
    what the last ones gave. It may be closed at any time, and goes on where it was when it is
    called again.

    Args:
        engine: Of the network that was scanned.
        store: Has the scan.
        writer: Of the same store.
        layers: Names.
        batch: Pictures at once.
        units: These alone; default: all.
        force: Also where they are there already.
        num_workers: Threads that read.

    Raises:
        StoreError: A layer was not scanned, or the store cannot be read or written.
        SourceError: None of the first pictures can be read.
    """
    arrays = store.read_arrays(None, names.ITEMS_ARRAYS)
    if arrays is None:
        raise StoreError(f"{store.folder}: nothing was scanned into it; `rtvis units scan` does")
    items = Items.from_arrays(arrays)
    with (
        SourcePictures() as pictures,
        ThreadPoolExecutor(num_workers, thread_name_prefix="rtvis-decode") as reading,
        ThreadPoolExecutor(1, thread_name_prefix="rtvis-write") as writing,
    ):
        for name in layers:
            maker = _Maker(engine, store, writer, store.layer(name), items, pictures, batch)
            yield from maker.run(units, reading, writing, force=force)


class _Maker:
    """Makes the pictures of one layer."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        writer: StoreWriter,
        layer: Layer,
        items: Items,
        pictures: SourcePictures,
        batch: int,
    ) -> None:
        top = store.read_top(layer.name)
        if top is None:
            raise StoreError(
                f"{store.folder}: layer '{layer.name}' was not scanned; `rtvis units scan` does"
            )
        self._engine, self._store, self._writer = engine, store, writer
        # The engine's own knows where its fields start; one of an older store may not.
        self._layer = next((each for each in engine.layers if each.name == layer.name), layer)
        self._top, self._items, self._pictures, self._batch = top, items, pictures, batch
        self._warnings: list[str] = []

    def run(
        self, units: Sequence[int] | None, reading: Executor, writing: Executor, *, force: bool
    ) -> Iterator[PicturesProgress]:
        chosen = range(self._layer.num_units) if units is None else units
        wanted = {unit: wanted_of(self._top, unit) for unit in chosen}
        wanted = {unit: found for unit, found in wanted.items() if found}
        done = set() if force else {unit for unit in wanted if self._is_done(unit, wanted[unit])}
        num_done = num_skipped = len(done)
        yield self._progress(num_done, len(wanted), num_skipped)
        todo = [found for unit, found in wanted.items() if unit not in done]
        read: deque[tuple[Group, list[Future[ReadInput]]]] = deque()
        written: deque[Future[_Written]] = deque()
        groups = self._groups(todo)
        try:
            while True:
                for group in itertools.islice(groups, _AHEAD - len(read)):
                    read.append((group, [reading.submit(self._read, each) for each in group]))
                if not read:
                    break
                group, futures = read.popleft()
                seen = self._seen([future.result() for future in futures])
                written.append(writing.submit(self._write, group, seen))
                if len(written) == _AHEAD:
                    num_done += self._ended(written.popleft())
                    yield self._progress(num_done, len(wanted), num_skipped)
            while written:
                num_done += self._ended(written.popleft())
                yield self._progress(num_done, len(wanted), num_skipped)
        finally:
            for _, futures in read:
                for future in futures:
                    future.cancel()
        yield self._progress(num_done, len(wanted), num_skipped)

    def _ended(self, writing: Future[_Written]) -> int:
        """Waits until some units are written; returns how many."""
        written = writing.result()
        self._warnings += written.warnings
        return written.num_units

    def _groups(self, todo: Sequence[Group]) -> Iterator[Group]:
        """The inputs of whole units, and as many as fill a batch."""
        waiting: Group = []
        for found in todo:
            waiting = [*waiting, *found]
            if len(waiting) + self._top.num_top > max(self._batch, self._top.num_top):
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _progress(self, num_done: int, num_units: int, num_skipped: int) -> PicturesProgress:
        warnings, self._warnings = tuple(self._warnings), []
        return PicturesProgress(
            layer=self._layer.name,
            num_done=num_done,
            num_units=num_units,
            num_skipped=num_skipped,
            warnings=warnings,
        )

    def _is_done(self, unit: int, wanted: Sequence[Wanted]) -> bool:
        inputs = read_inputs(self._store, self._layer.name, unit)
        return are_of(inputs, [(each.item, each.value, None) for each in wanted])

    def _read(self, wanted: Wanted) -> ReadInput:
        """On a thread that reads."""
        item = self._items[wanted.item]
        try:
            return ReadInput(wanted, item, self._pictures.read(item))
        except SourceError as fault:
            return ReadInput(wanted, item, None, str(fault))

    def _seen(self, read: Sequence[ReadInput]) -> list[tuple[list[ReadInput], "Seen"]]:
        """What the network says of the inputs that could be read, batch by batch."""
        self._warnings += [each.fault for each in read if each.picture is None]
        found = []
        for start in range(0, len(read), self._batch):
            some = read[start : start + self._batch]
            readable = [each for each in some if each.picture is not None]
            if readable:
                seen = Seen.of(self._engine, self._layer, readable, self._batch)
                found.append((readable, seen))
        return found

    def _write(self, wanted: Group, seen: Sequence[tuple[list[ReadInput], "Seen"]]) -> _Written:
        """Write the pictures of some units, on the thread that writes."""
        warnings: list[str] = []
        inputs: dict[int, list[UnitInput]] = {each.unit: [] for each in wanted}
        files: dict[int, dict[str, bytes]] = {each.unit: {} for each in wanted}
        with cpu_threads(1):
            for readable, batch in seen:
                for index, (each, item, picture, _) in enumerate(readable):
                    assert picture is not None
                    rank = len(inputs[each.unit])
                    found, shown = self._shown(each, item, picture.image_HW3, batch, index)
                    inputs[each.unit].append(found)
                    for kind, picture_HW3 in shown.items():
                        name = names.ranked(kind, rank)
                        files[each.unit][name] = encoded(name, picture_HW3)
        for unit, found_inputs in inputs.items():
            warnings += self._check(unit, found_inputs)
            text = json_bytes(as_json(found_inputs))
            some = files[unit] | {names.INPUTS: text}
            self._writer.write_unit(self._layer.name, unit, some, synced=False)
        return _Written(len(inputs), warnings)

    def _shown(
        self, wanted: Wanted, item: Item, image_HW3: ImageU8, seen: "Seen", index: int
    ) -> tuple[UnitInput, dict[str, ImageU8]]:
        input_size = self._engine.input_size
        field = field_window(self._layer, wanted.position, input_size)
        size = image_HW3.shape[0], image_HW3.shape[1]
        source = in_source(field, input_size, self._engine.preprocessing.crop_of(*size))
        shown = {"crop": cut(seen.inputs[index], field), "full": marked(image_HW3, source)}
        for rule, gradients in seen.gradients.items():
            shown[rule] = cut(_scaled(gradients[index], field, "clipped"), field)
            if rule in EXPORTED:
                raw_HW3 = _scaled(gradients[index], field, "raw")
                shown[names.linear(rule)] = cut(raw_HW3, field, beyond=ZERO)
        found = UnitInput(
            item=item.index,
            name=item.name,
            label=item.label,
            pts_seconds=item.pts_seconds,
            value=wanted.value,
            position=wanted.position,
            recomputed=None if seen.values is None else seen.values[index],
            field=_as_crop(field),
            source=source,
            picture_size=size,
        )
        return found, shown

    def _check(self, unit: int, inputs: Sequence[UnitInput]) -> list[str]:
        """DVT-87: a value that does not come out again tells of a wrong list or network."""
        return [
            f"{self._layer.name}:{unit}: {each.name} gives {each.recomputed:.4g}, and the "
            f"scan found {each.value:.4g}: the picture or the network is another now"
            for each in inputs
            if not each.is_reproduced
        ]


def _scaled(gradient_CHW: Tensor, field: Window, shown_as: BackpropDisplay) -> ImageU8:
    """What lies in the field, by itself: beyond it, it is zero, which would be part of a mean."""
    size = gradient_CHW.shape[1], gradient_CHW.shape[2]
    seen = field.within(whole(size))
    bytes_HW3 = np.zeros((*size, 3), dtype=np.uint8)
    if seen.height and seen.width:
        part_CHW = gradient_CHW[:, seen.rows, seen.columns]
        shown_HW3 = display.BACKPROP_DISPLAYS[shown_as](part_CHW).permute(1, 2, 0)
        bytes_HW3[seen.rows, seen.columns] = display.to_bytes(shown_HW3).numpy()
    return bytes_HW3


def _as_crop(field: Window) -> Crop:
    return Crop(top=field.top, left=field.left, height=field.height, width=field.width)

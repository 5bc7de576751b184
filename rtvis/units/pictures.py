"""Pictures of each unit's strongest inputs: the crop, the whole, and what excited the unit there.

DVT-83 to -87: the crop is the receptive field of the neuron that was strongest; the gradient, the
guided and the deconvnet picture start at that one neuron with 1, and are cut out at the same place.
The value is computed again: where it comes out differently the picture or the network is not the
one that was scanned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from rtvis.data import Crop, ImageU8, Layer, Rule
from rtvis.engine.engine import Engine
from rtvis.engine.pictures import as_picture
from rtvis.engine.preprocess import Preprocessing
from rtvis.errors import SourceError, StoreError
from rtvis.render import display
from rtvis.units import names
from rtvis.units.crops import Window, cut, field_window, in_source, marked
from rtvis.units.items import Item, Items
from rtvis.units.source_pictures import SourcePictures
from rtvis.units.store import Store
from rtvis.units.tracker import Top
from rtvis.units.unit_inputs import UnitInput, are_of, as_json, read_inputs
from rtvis.units.writer import StoreWriter, encoded, json_bytes

RULES: Final[tuple[Rule, ...]] = ("gradient", "guided", "deconvnet")


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


class _Wanted(NamedTuple):
    """One picture to be looked at for one unit."""

    unit: int
    item: int
    value: float
    position: tuple[int, int]


def make_pictures(
    engine: Engine,
    store: Store,
    writer: StoreWriter,
    layers: Sequence[str],
    *,
    batch: int = 8,
    units: Sequence[int] | None = None,
    force: bool = False,
) -> Iterator[PicturesProgress]:
    """Make the pictures of layers that were scanned, unit after unit.

    It may be closed at any time, and goes on where it was when it is called again.

    Args:
        engine: Of the network that was scanned.
        store: Has the scan.
        writer: Of the same store.
        layers: Names.
        batch: Pictures at once.
        units: These alone; default: all.
        force: Also where they are there already.

    Raises:
        StoreError: A layer was not scanned, or the store cannot be read or written.
        SourceError: None of the first pictures can be read.
    """
    arrays = store.read_arrays(None, names.ITEMS_ARRAYS)
    if arrays is None:
        raise StoreError(f"{store.folder}: nothing was scanned into it; `rtvis units scan` does")
    items = Items.from_arrays(arrays)
    with SourcePictures() as pictures:
        for name in layers:
            maker = _Maker(engine, store, writer, store.layer(name), items, pictures, batch)
            yield from maker.run(units, force=force)


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

    def run(self, units: Sequence[int] | None, *, force: bool) -> Iterator[PicturesProgress]:
        chosen = range(self._layer.num_units) if units is None else units
        wanted = {unit: _wanted(self._top, unit) for unit in chosen}
        wanted = {unit: found for unit, found in wanted.items() if found}
        done = set() if force else {unit for unit in wanted if self._is_done(unit, wanted[unit])}
        num_done = num_skipped = len(done)
        yield self._progress(num_done, len(wanted), num_skipped)
        waiting: list[_Wanted] = []
        for unit, found in wanted.items():
            if unit in done:
                continue
            waiting += found
            # Whole units, and as many as fill a batch.
            if len(waiting) + self._top.num_top > max(self._batch, self._top.num_top):
                num_done += self._make(waiting)
                waiting = []
                yield self._progress(num_done, len(wanted), num_skipped)
        if waiting:
            num_done += self._make(waiting)
        yield self._progress(num_done, len(wanted), num_skipped)

    def _progress(self, num_done: int, num_units: int, num_skipped: int) -> PicturesProgress:
        warnings, self._warnings = tuple(self._warnings), []
        return PicturesProgress(
            layer=self._layer.name,
            num_done=num_done,
            num_units=num_units,
            num_skipped=num_skipped,
            warnings=warnings,
        )

    def _is_done(self, unit: int, wanted: Sequence[_Wanted]) -> bool:
        inputs = read_inputs(self._store, self._layer.name, unit)
        return are_of(inputs, [(each.item, each.value, None) for each in wanted])

    def _make(self, wanted: Sequence[_Wanted]) -> int:
        """Make and write the pictures of some units; returns how many units."""
        inputs: dict[int, list[UnitInput]] = {each.unit: [] for each in wanted}
        files: dict[int, dict[str, bytes]] = {each.unit: {} for each in wanted}
        for start in range(0, len(wanted), self._batch):
            readable = self._read(wanted[start : start + self._batch])
            if not readable:
                continue
            seen = _Seen.of(self._engine, self._layer, readable, self._batch)
            for index, (each, item, image_HW3) in enumerate(readable):
                rank = len(inputs[each.unit])
                found, shown = self._shown(each, item, image_HW3, seen, index)
                inputs[each.unit].append(found)
                for kind, picture_HW3 in shown.items():
                    name = names.ranked(kind, rank)
                    files[each.unit][name] = encoded(name, picture_HW3)
        for unit, found_inputs in inputs.items():
            self._check(unit, found_inputs)
            text = json_bytes(as_json(found_inputs))
            self._writer.write_unit(self._layer.name, unit, files[unit] | {names.INPUTS: text})
        return len(inputs)

    def _read(self, wanted: Sequence[_Wanted]) -> list[tuple[_Wanted, Item, ImageU8]]:
        found = []
        for each in wanted:
            item = self._items[each.item]
            try:
                found.append((each, item, self._pictures.read(item)))
            except SourceError as fault:
                self._warnings.append(str(fault))
        return found

    def _shown(
        self, wanted: _Wanted, item: Item, image_HW3: ImageU8, seen: "_Seen", index: int
    ) -> tuple[UnitInput, dict[str, ImageU8]]:
        input_size = self._engine.input_size
        field = field_window(self._layer, wanted.position, input_size)
        size = image_HW3.shape[0], image_HW3.shape[1]
        source = in_source(field, input_size, self._engine.preprocessing.crop_of(*size))
        shown = {"crop": cut(seen.inputs[index], field), "full": marked(image_HW3, source)}
        for rule, gradients in seen.gradients.items():
            shown[rule] = _gradient_crop(gradients[index], field)
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

    def _check(self, unit: int, inputs: Sequence[UnitInput]) -> None:
        """DVT-87: a value that does not come out again tells of a wrong list or network."""
        for each in inputs:
            if not each.is_reproduced:
                self._warnings.append(
                    f"{self._layer.name}:{unit}: {each.name} gives {each.recomputed:.4g}, and the "
                    f"scan found {each.value:.4g}: the picture or the network is another now"
                )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Seen:
    """What the network says of one batch, in host memory."""

    inputs: list[ImageU8]
    """As the network saw them."""
    values: list[float] | None
    gradients: dict[Rule, Tensor]
    """[B, C, H, W] each."""

    @staticmethod
    def of(
        engine: Engine,
        layer: Layer,
        readable: Sequence[tuple[_Wanted, Item, ImageU8]],
        batch: int,
    ) -> "_Seen":
        prep, device = engine.preprocessing, engine.device
        pictures = (as_picture(each[2], prep, device, name=engine.network) for each in readable)
        x_BCHW = prep.apply_batch(pictures)
        images_BHW3 = _in_colours(x_BCHW, prep)
        if layer.kind == "attention":  # what its neurons are depends on who asks
            return _Seen(inputs=images_BHW3, values=None, gradients={})
        num = len(x_BCHW)
        # Every batch has one size: the engine makes one form of the network for it.
        fill = [min(index, num - 1) for index in range(batch)]
        x_BCHW = x_BCHW[fill]
        unit_B = torch.tensor([readable[index][0].unit for index in fill], device=device)
        position_B2 = torch.tensor([readable[i][0].position for i in fill], device=device)
        reached = engine.reach(x_BCHW, layer=layer.name)
        rules = RULES if layer.reaches_input else ()
        found = {
            rule: reached.gradients(unit_B=unit_B, position_B2=position_B2, rule=rule)
            for rule in rules
        }
        maps_BCHW = reached.maps_BCHW[torch.arange(batch, device=device), unit_B]
        values_B = maps_BCHW[
            torch.arange(batch, device=device), position_B2[:, 0], position_B2[:, 1]
        ]
        return _Seen(
            inputs=images_BHW3,
            values=values_B[:num].float().tolist(),
            gradients={rule: each.grad_BCHW[:num].float().cpu() for rule, each in found.items()},
        )


def _wanted(top: Top, unit: int) -> list[_Wanted]:
    values, items = top.values_CN[unit].tolist(), top.item_CN[unit].tolist()
    positions = top.position_CN2[unit].tolist()
    return [
        _Wanted(unit=unit, item=item, value=value, position=(position[0], position[1]))
        for value, item, position in zip(values, items, positions, strict=True)
        if item >= 0
    ]


def _in_colours(x_BCHW: Tensor, prep: Preprocessing) -> list[ImageU8]:
    share_BCHW = prep.to_unit_range(x_BCHW)
    if share_BCHW.shape[1] != 3:  # a network of other channels shows the first
        share_BCHW = share_BCHW[:, :1].expand(-1, 3, -1, -1)
    bytes_BHW3 = display.to_bytes(share_BCHW.permute(0, 2, 3, 1)).contiguous().cpu().numpy()
    return list(bytes_BHW3)


def _gradient_crop(gradient_CHW: Tensor, field: Window) -> ImageU8:
    """Scaled by what lies in the field, which is all of it but for rounding."""
    shown_CHW = display.BACKPROP_DISPLAYS["raw"](gradient_CHW)
    bytes_HW3 = display.to_bytes(shown_CHW.permute(1, 2, 0)).expand(-1, -1, 3)
    return cut(bytes_HW3.contiguous().numpy(), field)


def _as_crop(field: Window) -> Crop:
    return Crop(top=field.top, left=field.left, height=field.height, width=field.width)

"""A scan and its store: where it goes on, what it keeps in between, and what it leaves."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from rtvis.data import Layer
from rtvis.engine.reduced.forward import unit_slices
from rtvis.engine.reduced.step import ReducedStep
from rtvis.errors import StoreError
from rtvis.filing import encode_npz
from rtvis.units import names
from rtvis.units.arrays import below
from rtvis.units.growth import with_new_files
from rtvis.units.items import Files, Items
from rtvis.units.scan import ScanSettings, ScanState, num_classes_of
from rtvis.units.store import Store
from rtvis.units.writer import StoreWriter

ITEMS_ARRAYS = names.ITEMS_ARRAYS
ITEMS_TEXT = f"{names.ITEMS}.json"
_TOGETHER_BYTES = 2**26
"""Of results of several layers that are written at once: each of them waits for the disk."""
_MOST_ERRORS = 1000
"""That are written out in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """What a value may depend on in its last bits; a scan keeps to it from beginning to end."""

    form: str
    batch: int
    dtype: str
    device: str
    """cpu or cuda."""
    tf32: bool = False

    @property
    def text(self) -> str:
        """For messages; two that differ in anything but the batch differ in it."""
        dtype = f"{self.dtype} as TF32" if self.tf32 else self.dtype
        return f"{self.form} in {dtype} on {self.device}"


def ordered_files(store: Store, found: Files) -> Files:
    """The files of a data set in the order that a store's items have.

    Raises:
        StoreError: The store is of other data, or of some that have changed.
    """
    arrays = store.read_arrays(None, ITEMS_ARRAYS)
    if arrays is None:
        return found
    before = Items.from_arrays(arrays)
    if before.num_files and not set(before.files.names) & set(found.names):
        raise StoreError(
            f"{store.folder}: is of other data, {before.num_files} files in {before.files.root}; "
            "--restart scans the new ones alone, or name another --store"
        )
    return with_new_files(before, found)


def state_name(layers: tuple[Layer, ...], settings: ScanSettings, *, with_classes: bool) -> str:
    """The file in which a scan for just these things keeps its state."""
    wanted = [[layer.name for layer in layers], asdict(settings), with_classes]
    digest = hashlib.blake2b(json.dumps(wanted).encode(), digest_size=5).hexdigest()
    return f"{names.ITEMS}_scan_{digest}.npz"


def read_how(store: Store, name: str) -> How | None:
    """How a scan that was begun computes; None where none was."""
    arrays = store.read_arrays(None, name)
    if arrays is None:
        return None
    try:
        return How(**json.loads(arrays["how"].tobytes()))
    except (KeyError, ValueError, TypeError):
        raise _damaged(store, name) from None


def read_state(
    store: Store, name: str, files: Files, step: ReducedStep, settings: ScanSettings
) -> ScanState:
    """The state in which a scan goes on; an empty one where none was begun.

    Raises:
        StoreError: It is damaged, or of files that have changed.
    """
    arrays = store.read_arrays(None, name)
    if arrays is None:
        return ScanState.empty(files, step, settings)
    before = Items.from_arrays(below(arrays, "items/"))
    if before.files.names != files.names[: before.num_files]:
        files = with_new_files(before, files)
    return ScanState.from_arrays(arrays, files, step, settings)


def write_state(writer: StoreWriter, name: str, state: ScanState, how: How) -> None:
    """Store a state, whole or not at all."""
    text = json.dumps(asdict(how)).encode()
    arrays = state.to_arrays() | {"how": np.frombuffer(text, dtype=np.uint8)}
    data = io.BytesIO()
    # Not compressed: most of it is written again within a minute.
    np.savez(data, allow_pickle=False, **arrays)
    items = state.ledger.items()
    texts = {ITEMS_TEXT: _items_text(items), name: data.getvalue()}
    writer.write_files(None, texts | _longer_items(writer, items))


def write_results(writer: StoreWriter, layers: tuple[Layer, ...], state: ScanState) -> None:
    """What is found so far, layer by layer, for everybody to read."""
    findings = state.findings
    top = findings.tracker.top()
    statistics = findings.statistics.of_layers(layers) if findings.statistics else {}
    classes = findings.classes.of_layers(layers) if findings.classes else {}
    slices = unit_slices(layers)
    waiting: list[Layer] = []
    files: dict[str, dict[str, bytes]] = {}
    num_bytes = 0
    for layer in layers:
        units = slices[layer.name]
        found = {
            names.TOP: top.of_units(units.start, units.stop),
            names.STATISTICS: statistics.get(layer.name),
            names.SELECTIVITY: classes.get(layer.name),
        }
        files[layer.name] = {
            name: encode_npz(_arrays_of(each)) for name, each in found.items() if each is not None
        }
        waiting.append(layer)
        num_bytes += sum(map(len, files[layer.name].values()))
        if num_bytes > _TOGETHER_BYTES or layer is layers[-1]:
            writer.write_layers(waiting, files)
            waiting, files, num_bytes = [], {}, 0


def forget(store: Store, writer: StoreWriter) -> None:
    """Remove all that scans have left: items, states, and each layer's results."""
    top = [path.name for path in store.folder.glob(f"{names.ITEMS}*") if path.is_file()]
    writer.remove_files(None, top)
    for layer in store.layers():
        kept = (names.TOP, names.STATISTICS, names.SELECTIVITY)
        found = [name for name in kept if store.path(layer.name, name).exists()]
        writer.remove_files(layer.name, found)


def classes_are_summed(files: Files, step: ReducedStep, settings: ScanSettings) -> bool:
    """Whether a scan of these files gathers class selectivity."""
    num_units = sum(layer.num_units for layer in step.layers)
    return num_classes_of(files, num_units, settings) is not None


def _longer_items(writer: StoreWriter, items: Items) -> dict[str, bytes]:
    """The list of items, unless the store has a longer one already, of a scan of other layers."""
    path = writer.folder / ITEMS_ARRAYS
    if path.exists():
        with np.load(path, allow_pickle=False) as before:
            if len(before["num_items"]) > items.num_files:
                return {}
    return {ITEMS_ARRAYS: encode_npz(items.to_arrays())}


def _items_text(items: Items) -> bytes:
    files = items.files
    errors = {files.names[index]: text for index, text in items.errors.items()}
    text = {
        "root": str(files.root),
        "num_files": items.num_files,
        "num_items": len(items),
        "classes": list(files.classes),
        "num_unreadable": len(errors),
        "unreadable": dict(list(errors.items())[:_MOST_ERRORS]),
    }
    return (json.dumps(text, indent=1) + "\n").encode()


def _arrays_of(found: Any) -> dict[str, npt.NDArray[Any]]:
    return {one.name: getattr(found, one.name).cpu().numpy() for one in fields(found)}


def _damaged(store: Store, name: str) -> StoreError:
    return StoreError(f"{store.path(None, name)}: is damaged; --restart scans everything anew")

"""How much a store knows of a layer."""

from dataclasses import dataclass

from rtvis.data import Layer
from rtvis.units import names, sums
from rtvis.units.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerContents:
    """Of one layer."""

    layer: Layer
    folder: str
    """Its name."""
    num_top: int
    """Top inputs that are known of a unit, of the one that has most; 0 without a scan."""
    num_with_inputs: int
    """Units that have pictures of their top inputs."""
    num_optimized: int
    """Units that have an optimised input."""
    num_bytes: int


def contents_of(store: Store, layer: Layer) -> LayerContents:
    """What is there of a layer, by the names of its files.

    Raises:
        StoreError: A file is damaged.
    """
    top = store.read_top(layer.name)
    files = files_by_unit(store, layer.name)
    return LayerContents(
        layer=layer,
        folder=names.folder_of(layer.name),
        num_top=0 if top is None else int((top.item_CN >= 0).sum(dim=1).max()),
        num_with_inputs=sum(names.INPUTS in found for found in files.values()),
        num_optimized=sum(
            any(name.startswith(names.OPTIMIZED) for name in found) for found in files.values()
        ),
        num_bytes=store.num_bytes(layer.name),
    )


def files_by_unit(store: Store, layer: str) -> dict[int, dict[str, str]]:
    """Of each unit that has files: their names and checksums. Reads two files in all."""
    folder = store.path(layer)
    listed = dict(sums.read_sums(folder))
    for name, digests in sums.read_journal(folder).items():
        if (folder / name).exists():
            listed[name] = digests[-1]
    found: dict[int, dict[str, str]] = {}
    for path, digest in listed.items():
        unit, _, name = path.partition("/")
        if name and unit.isdecimal():
            found.setdefault(int(unit), {})[name] = digest
    return found

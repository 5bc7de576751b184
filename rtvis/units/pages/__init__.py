"""HTML for a store: a page for the network, one for each layer and one for each unit.

They are files beside the pictures that they show and need neither rtvis nor a server. Only what has
changed is written again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtvis.errors import StoreError
from rtvis.units import names
from rtvis.units.pages.facts import LayerFacts, facts_of
from rtvis.units.pages.layer import layer_page
from rtvis.units.pages.network import network_page
from rtvis.units.pages.sheets import sheets
from rtvis.units.pages.skeleton import SCRIPT, STYLE
from rtvis.units.pages.unit import unit_page
from rtvis.units.store import Store
from rtvis.units.unit_inputs import UnitInput, read_inputs
from rtvis.units.writer import StoreWriter, encoded

_AT_ONCE = 64
"""Pages of units between two steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PagesProgress:
    """How far it has come."""

    layer: str
    num_done: int
    """Units of this layer that have their page."""
    num_units: int
    num_written: int
    """Files of all layers that had to be written."""


def write_pages(
    store: Store, writer: StoreWriter, layers: Sequence[str] | None = None
) -> Iterator[PagesProgress]:
    """Write the pages of a store.

    Args:
        store: Which.
        writer: Of that store.
        layers: Names of the layers whose pages may have changed; default: all.

    Raises:
        StoreError: A file is damaged or cannot be written.
    """
    identity = store.identity
    if identity is None:
        raise StoreError(f"{store.folder}: there is nothing to write pages of")
    num_written = writer.write_changed(
        None, {names.STYLE: STYLE.encode(), names.SCRIPT: SCRIPT.encode()}
    )
    every = [facts_of(store, layer) for layer in store.layers()]
    for facts in every:
        if layers is not None and facts.layer.name not in layers:
            continue
        # The sheets first: a page that is there shows nothing that is not.
        num_written += _write_sheets(store, writer, facts)
        page = layer_page(facts, network=identity.network)
        num_written += writer.write_changed(facts.layer.name, {names.PAGE: page})
        for num_done, pages in _unit_pages(store, facts, identity.network):
            num_written += writer.write_changed(facts.layer.name, pages)
            yield PagesProgress(
                layer=facts.layer.name,
                num_done=num_done,
                num_units=len(facts.units),
                num_written=num_written,
            )
    with_page = {f.layer.name for f in every if store.path(f.layer.name, names.PAGE).exists()}
    writer.write_changed(None, {names.PAGE: network_page(identity, every, with_page)})


def _unit_pages(
    store: Store, facts: LayerFacts, network: str
) -> Iterator[tuple[int, dict[str, bytes]]]:
    units = facts.units
    pages: dict[str, bytes] = {}
    for index, unit in enumerate(units):
        inputs: tuple[UnitInput, ...] = ()
        if names.INPUTS in facts.files.get(unit, ()):
            inputs = read_inputs(store, facts.layer.name, unit)
        before = units[index - 1] if index else None
        behind = units[index + 1] if index + 1 < len(units) else None
        pages[names.unit_page(unit)] = unit_page(
            facts, unit, inputs, network=network, neighbours=(before, behind)
        )
        if len(pages) == _AT_ONCE or behind is None:
            yield index + 1, pages
            pages = {}


def _write_sheets(store: Store, writer: StoreWriter, facts: LayerFacts) -> int:
    layer = facts.layer.name
    found = store.read_json(layer, names.SHEETS)
    before = found if isinstance(found, dict) else {}
    made_of, num_written = {}, 0
    for name, digest, image_HW3 in sheets(store, facts, before):
        made_of[name] = digest
        if image_HW3 is not None:
            writer.write_files(layer, {name: encoded(name, image_HW3)})
            num_written += 1
    if made_of != before:
        writer.write_json(layer, names.SHEETS, made_of)
        writer.remove_files(layer, before.keys() - made_of.keys())  # all their units are gone
    return num_written


__all__ = ["PagesProgress", "write_pages"]

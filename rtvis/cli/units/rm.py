"""`rtvis units rm STORE`: remove a store, some of its layers, or units of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtvis.cli.units.bars import by_layer
from rtvis.cli.units.chosen import (
    chosen_layers,
    chosen_store,
    confirm,
    root_of,
    size_text,
    split,
)
from rtvis.command import Command
from rtvis.errors import ConfigError, SelectionError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import debug_option, layers_option, number_option, option, store_option

if TYPE_CHECKING:
    from rtvis.units.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class RmOptions:
    """What."""

    layers: tuple[str, ...] | None = layers_option()
    unit: int | None = number_option("of these layers this unit's pictures alone", 0)
    yes: bool = option("do not ask", default=False)
    store: str | None = store_option()
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class RmConfig:
    """All of it."""

    rm: RmOptions = field(default_factory=RmOptions)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: No store is named, an unknown flag, or a value that cannot be used.
    """
    name, flags = split(words, prog=prog)
    config = parse_config(
        RmConfig,
        flags,
        prog=f"{prog} STORE",
        description="Remove a store, some of its layers, or units of them, after a question.",
    )
    if name is None:
        raise ConfigError(f"{prog}: name a store; `rtvis units ls` shows all")
    return Command(run=lambda: _run(name, config.rm), debug=config.rm.debug)


def _run(name: str, options: RmOptions) -> int:
    import_torch()
    store = chosen_store(name, root_of(options.store))
    if options.layers is None and options.unit is None:
        return _remove_store(store, is_confirmed=options.yes)
    return _remove_layers(store, options)


def _remove_store(store: "Store", *, is_confirmed: bool) -> int:
    from rtvis.units.store import remove_store

    size = size_text(store.num_bytes())
    if confirm(f"Remove {store.folder} with all its layers ({size})?", is_confirmed=is_confirmed):
        remove_store(store)
        print(f"removed {store.folder} ({size})")
    return DONE


def _remove_layers(store: "Store", options: RmOptions) -> int:
    from rich.console import Console

    from rtvis.units import names
    from rtvis.units.pages import write_pages

    messages = Console(stderr=True, highlight=False)
    layers = chosen_layers(store, options.layers)
    unit = options.unit
    if unit is None:
        size = size_text(sum(store.num_bytes(layer) for layer in layers))
        what = f"{', '.join(layers)} ({size})"
    else:
        layers = tuple(layer for layer in layers if store.unit_files(layer, unit))
        if not layers:
            raise SelectionError(f"{store.folder}: has no pictures of unit {unit} there")
        what = ", ".join(f"unit {unit} of {layer}" for layer in layers)
    if confirm(f"Remove from {store.folder}: {what}?", is_confirmed=options.yes):
        with store.writing("rtvis units rm") as writer:
            for layer in layers:
                writer.remove(layer, unit)
            if store.path(None, names.PAGE).exists():
                # No page that is there shows what is gone.
                left = [layer for layer in layers if store.path(layer, names.PAGE).exists()]
                for _ in by_layer(write_pages(store, writer, left), messages):
                    pass
        print(f"removed from {store.folder}: {what}")
    return DONE


__all__ = ["parse"]

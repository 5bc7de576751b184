"""`rtvis units pages`: HTML that shows a store to anyone, without rtvis."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rtvis.cli.units.bars import by_layer
from rtvis.cli.units.chosen import chosen_layers, chosen_store, root_of, split
from rtvis.command import Command
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import debug_option, layers_option, store_option


@dataclass(frozen=True, kw_only=True, slots=True)
class PagesOptions:
    """Of what."""

    layers: tuple[str, ...] | None = layers_option()
    store: str | None = store_option()
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class PagesConfig:
    """All of it."""

    pages: PagesOptions = field(default_factory=PagesOptions)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    name, flags = split(words, prog=prog)
    config = parse_config(
        PagesConfig,
        flags,
        prog=f"{prog} [STORE]",
        description="Write a page of the network, one of each layer and one of each unit into the "
        "store: open its index.html. Only what has changed is written again.",
    )
    return Command(run=lambda: _run(name, config.pages), debug=config.pages.debug)


def _run(name: str | None, options: PagesOptions) -> int:
    from rich.console import Console

    import_torch()
    from rtvis.units import names
    from rtvis.units.pages import write_pages

    messages = Console(stderr=True, highlight=False)
    store = chosen_store(name, root_of(options.store))
    layers = chosen_layers(store, options.layers)
    num_written = 0
    with store.writing("rtvis units pages") as writer:
        for progress in by_layer(write_pages(store, writer, layers), messages):
            num_written = progress.num_written
    print(f"{store.path(None, names.PAGE)}: {num_written} files were new or had changed")
    return DONE


__all__ = ["parse"]

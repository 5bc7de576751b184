"""`rtvis units verify`: whether every file of the stores is as it was written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtvis.cli.units.chosen import chosen_store, root_of, split, stores_in
from rtvis.command import Command
from rtvis.flags import parse_config
from rtvis.leaving import DONE, FAILED, import_torch
from rtvis.options import debug_option, store_option

if TYPE_CHECKING:
    from rich.console import Console

    from rtvis.units.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyOptions:
    """Where."""

    store: str | None = store_option()
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """All of it."""

    verify: VerifyOptions = field(default_factory=VerifyOptions)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    name, flags = split(words, prog=prog)
    config = parse_config(
        VerifyConfig,
        flags,
        prog=f"{prog} [STORE]",
        description="Compare every file of a store, or of all, with its checksum.",
        epilog="Exits with 1 where something is damaged or missing. Without rtvis: "
        "`sha256sum --check SHA256SUMS` in a store and in each folder of it.",
    )
    return Command(run=lambda: _run(name, config.verify), debug=config.verify.debug)


def _run(name: str | None, options: VerifyOptions) -> int:
    from rich.console import Console

    import_torch()
    root = root_of(options.store)
    stores = stores_in(root) if name is None else (chosen_store(name, root),)
    messages = Console(stderr=True, highlight=False)
    num_faults = sum(_verify(store, messages) for store in stores)
    return FAILED if num_faults else DONE


def _verify(store: "Store", messages: "Console") -> int:
    """Tell of one store; returns the number of faults."""
    from rich.progress import track

    from rtvis.units.verify import verify

    num_files = num_faults = 0
    description = f"reading {store.folder.name}"
    for checked in track(
        verify(store),
        description,
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    ):
        num_files += 1
        if checked.fault:
            num_faults += 1
            print(f"{store.folder / checked.path}: {checked.fault}")
    told = f"{num_faults} of them damaged or missing" if num_faults else "all as they were written"
    print(f"{store.folder}: {num_files} files, {told}")
    return num_faults


__all__ = ["parse"]

"""`rtvis units ls`: which stores there are, what is in them, and how large they are."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rtvis.cli.units.chosen import chosen_store, root_of, size_text, split, stores_in
from rtvis.command import Command
from rtvis.errors import StoreError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import debug_option, option, store_option

if TYPE_CHECKING:
    from rtvis.units.contents import LayerContents
    from rtvis.units.store import Store

_WIDE: Final = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class LsOptions:
    """What to tell."""

    store: str | None = store_option()
    json_: bool = option("JSON instead of a table", default=False)
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class LsConfig:
    """All of it."""

    ls: LsOptions = field(default_factory=LsOptions)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    name, flags = split(words, prog=prog)
    config = parse_config(
        LsConfig,
        flags,
        prog=f"{prog} [STORE]",
        description="Tell which stores there are, or of one its layers: what is in it, how large.",
    )
    return Command(run=lambda: _run(name, config.ls), debug=config.ls.debug)


def _run(name: str | None, options: LsOptions) -> int:
    import_torch()
    root = root_of(options.store)
    if name is not None:
        _tell_layers(chosen_store(name, root), as_json=options.json_)
    else:
        _tell_stores(root, as_json=options.json_)
    sys.stdout.flush()
    return DONE


def _tell_stores(root: Path, *, as_json: bool) -> None:
    rows = [_store_row(store) for store in stores_in(root)]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(root)
    header = ("store", "network", "layers", "input", "size", "")
    cells = [
        (
            row["store"],
            row["network"],
            str(row["layers"]),
            row["input"],
            size_text(row["bytes"]),
            row["note"],
        )
        for row in rows
    ]
    _print_table(header, cells, right={2, 3, 4})


def _store_row(store: "Store") -> dict[str, Any]:
    row = {"store": store.folder.name, "network": "", "layers": 0, "input": "", "note": ""}
    writer = store.writer()
    if writer is not None:
        row["note"] = f"{writer.what} writes to it"
    try:
        identity = store.identity
        assert identity is not None, "it has a store.json"
        row["network"] = identity.network
        row["input"] = "{}x{}".format(*identity.preprocessing.size)
        row["layers"] = len(store.layers())
    except StoreError as fault:  # the others are worth telling of
        row["note"] = str(fault)
    return row | {"bytes": store.num_bytes()}


def _tell_layers(store: "Store", *, as_json: bool) -> None:
    from rtvis.units.contents import contents_of

    rows = [contents_of(store, layer) for layer in store.layers()]
    if as_json:
        print(json.dumps([_layer_row(row) for row in rows], indent=1))
        return
    identity = store.identity
    assert identity is not None, "it has layers"
    print(f"{store.folder}: {identity.network}, weights {identity.weights}")
    header = ("layer", "units", "top inputs", "pictures", "optimised", "size")
    cells = [
        (
            row.layer.name,
            str(row.layer.num_units),
            str(row.num_top or ""),
            str(row.num_with_inputs or ""),
            str(row.num_optimized or ""),
            size_text(row.num_bytes),
        )
        for row in rows
    ]
    _print_table(header, cells, right={1, 2, 3, 4, 5})


def _layer_row(row: "LayerContents") -> dict[str, Any]:
    return {
        "layer": row.layer.name,
        "folder": row.folder,
        "units": row.layer.num_units,
        "top_inputs": row.num_top,
        "units_with_pictures": row.num_with_inputs,
        "units_optimised": row.num_optimized,
        "bytes": row.num_bytes,
    }


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A narrow terminal folds the lines; rich would cut numbers short.
    Console(width=_WIDE, highlight=False, markup=False).print(table)


__all__ = ["parse"]

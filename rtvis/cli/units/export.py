"""`rtvis units export`: a store's pictures in a folder or zip, under names of one's choice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rtvis.cli.units.chosen import chosen_layers, chosen_store, root_of, split
from rtvis.command import Command
from rtvis.errors import ConfigError, StoreError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, import_torch
from rtvis.options import debug_option, layers_option, option, store_option
from rtvis.paths import path_of

_NO_INPUTS = "no pictures of the strongest inputs (`rtvis units crops` makes them)"
_NO_OPTIMIZED = "no optimised inputs (`rtvis units optimize` makes them)"
_MISSING = {
    "folder": "nothing",
    "units": _NO_INPUTS,
    "montages": f"{_NO_INPUTS} and {_NO_OPTIMIZED}",
    "channels": _NO_OPTIMIZED,
    "runs": _NO_OPTIMIZED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """What, and where to."""

    output: str | None = option(
        "a new folder, or a file that ends in .zip",
        metavar="PATH",
        expects="a folder or a .zip file",
    )
    form: Literal["folder", "units", "montages", "channels", "runs"] = option(
        "folder: all of it, with pages; units: LAYER/unit_0130/maxim_000.png, deconv_000.png ... "
        "and info.txt; montages: regularized_opt, max_im and max_deconv with 3x3 pictures a unit; "
        "channels: layer_0/130.png, the optimised inputs; runs: the same as "
        "PRESET/opt_LAYER_0130_0_best_X.jpg, best_Xpm.jpg, info.txt ...",
        default="folder",
    )
    layers: tuple[str, ...] | None = layers_option()
    force: bool = option(
        "also where something is: files of these names are replaced", default=False
    )
    store: str | None = store_option()
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """All of it."""

    export: ExportOptions = field(default_factory=ExportOptions)


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: No output, an unknown flag, or a value that cannot be used.
    """
    name, flags = split(words, prog=prog)
    config = parse_config(
        ExportConfig,
        flags,
        prog=f"{prog} [STORE]",
        description="Copy a store, or its pictures under names that other tools look for.",
    )
    output = config.export.output
    if output is None:
        raise ConfigError("--output is missing; give a new folder, or a file that ends in .zip")
    return Command(run=lambda: _run(name, config.export, output), debug=config.export.debug)


def _run(name: str | None, options: ExportOptions, output: str) -> int:
    from rich.console import Console
    from rich.progress import track

    import_torch()
    from rtvis.units.export import exported, write_export

    store = chosen_store(name, root_of(options.store))
    files = exported(store, chosen_layers(store, options.layers), options.form)
    target, num_files = path_of(output), 0
    if target.resolve().is_relative_to(store.folder.resolve()):
        raise StoreError(f"{target}: lies in the store; name an --output elsewhere")
    if store.folder.resolve().is_relative_to(target.resolve()):
        raise StoreError(f"{target}: holds the store; name an --output elsewhere")
    writing = write_export(files, target, force=options.force)
    messages = Console(stderr=True)
    for number in track(
        writing, "exporting", console=messages, transient=True, disable=not messages.is_terminal
    ):
        num_files = number
    if not num_files:
        raise StoreError(f"{store.folder}: has {_MISSING[options.form]} of these layers")
    print(f"{target}: {num_files} files")
    return DONE


__all__ = ["parse"]

"""Which store a command line means, and what it may do to it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtvis.errors import ConfigError, StoreError, did_you_mean
from rtvis.paths import path_of

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rtvis.units.store import Store


def split(words: Sequence[str], *, prog: str) -> tuple[str | None, list[str]]:
    """The name that stands before the flags, if there is one, and the flags.

    Raises:
        ConfigError: There are two.
    """
    words = list(words)
    if not words or words[0].startswith("-"):
        return None, words
    if len(words) > 1 and not words[1].startswith("-"):
        raise ConfigError(f"{prog}: '{words[1]}' is one name too many; give one store")
    return words[0], words[1:]


def root_of(folder: str | None) -> Path:
    """Where the stores are: what `--store` says, or the usual place."""
    from rtvis.units.store import default_root

    return default_root() if folder is None else path_of(folder)


def stores_in(root: Path) -> "tuple[Store, ...]":
    """All that are there.

    Raises:
        StoreError: None is.
    """
    from rtvis.units.store import find_stores

    found = find_stores(root)
    if not found:
        raise StoreError(f"{root}: holds no store; `rtvis units scan` makes one, or name --store")
    return found


def chosen_store(name: str | None, root: Path) -> "Store":
    """The one store that is meant.

    Args:
        name: Its folder, the name of that, the beginning of it (the network's name), or None where
            there is but one.
        root: See `root_of`.

    Raises:
        StoreError: None is meant, or several.
    """
    from rtvis.units.store import find_stores

    if name is not None:
        at = find_stores(path_of(name))
        if len(at) == 1:
            return at[0]
    stores = stores_in(root)
    known = {store.folder.name: store for store in stores}
    if name is None:
        fitting = list(known)
    elif name in known:
        fitting = [name]
    else:
        fitting = [each for each in known if each.startswith(name)]
    if len(fitting) == 1:
        return known[fitting[0]]
    if not fitting:
        assert name is not None, "there is at least one"
        raise StoreError(
            f"{root}: has no store '{name}'{did_you_mean(name, known)}; `rtvis units ls` shows all"
        )
    raise StoreError(f"{root}: has several stores; name one of {', '.join(fitting)}")


def chosen_layers(store: "Store", patterns: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the store's layers that patterns choose.

    Raises:
        SelectionError: A pattern fits none, with the nearest name.
    """
    from rtvis.engine.networks.layer_rules import layers_that_fit

    known = [layer.name for layer in store.layers()]
    return layers_that_fit(patterns, known, name=str(store.folder), where="--layers")


def confirm(question: str, *, is_confirmed: bool) -> bool:
    """Whether the user wants that.

    Args:
        question: Asked at the terminal.
        is_confirmed: `--yes` was given.

    Raises:
        ConfigError: There is nobody to ask.
    """
    if is_confirmed:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is there to ask; give --yes to say so")
    print(f"{question} [y/N] ", end="", flush=True, file=sys.stderr)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def size_text(num_bytes: int) -> str:
    """`12.3 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} B"

"""Whose store a folder is: one network's, with its weights and its preprocessing."""

from pathlib import Path
from typing import Final

from rtvis.engine.networks.identity import Identity
from rtvis.errors import ConfigError, StoreError
from rtvis.plain import Plain, from_plain, to_plain
from rtvis.units import names
from rtvis.units.store_files import read_json

FORMAT: Final = 1
"""Of the folder; a later one may not be readable by this code."""


def about(identity: Identity) -> dict[str, Plain]:
    """What a store's own file says of it."""
    return {"format": FORMAT, "identity": to_plain(identity)}


def identity_in(folder: Path) -> Identity | None:
    """Whose store it is; None where nothing has been written yet.

    Raises:
        StoreError: A later format, or damaged.
    """
    path = folder / names.STORE
    plain = read_json(path)
    if plain is None:
        return None
    found = plain.get("format") if isinstance(plain, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise StoreError(f"{path}: is not of a store of rtvis: it names no format")
    if found > FORMAT:
        raise StoreError(
            f"{path}: is of format {found}, of a later rtvis; this one reads up to {FORMAT}"
        )
    try:
        return from_plain(Identity, plain.get("identity"), where=f"{path}: ")
    except ConfigError as fault:
        raise StoreError(str(fault)) from None


def check_is_of(folder: Path, identity: Identity) -> None:
    """Make sure that a folder is a network's store, or can become it.

    Raises:
        StoreError: It is another network's, or has other things in it.
    """
    found = identity_in(folder)
    if found is None:
        if folder.is_dir() and any(folder.iterdir()):
            _check_is_beginning(folder)
    elif found != identity:
        raise StoreError(
            f"{folder}: is another network's: {_differences(found, identity)}; name another --store"
        )


def _check_is_beginning(folder: Path) -> None:
    """A folder without `store.json` is a store's only if no more than a beginning is there."""
    ours = {names.SUMS, names.JOURNAL, names.LOCK}
    for path in folder.iterdir():
        if path.name not in ours and not path.name.startswith("."):
            raise StoreError(
                f"{folder}: is no store of rtvis: it has {path.name} and no {names.STORE}; "
                "name another --store"
            )


def _differences(there: Identity, here: Identity) -> str:
    """`preprocessing.size [224, 224] there and [160, 160] here`."""
    ours, theirs = _flat(to_plain(here)), _flat(to_plain(there))
    return ", ".join(
        f"{name} {theirs.get(name)} there and {ours.get(name)} here"
        for name in {**theirs, **ours}
        if theirs.get(name) != ours.get(name)
    )


def _flat(plain: Plain, prefix: str = "") -> dict[str, Plain]:
    if not isinstance(plain, dict):
        return {prefix.rstrip("."): plain}
    found: dict[str, Plain] = {}
    for name, value in plain.items():
        found |= _flat(value, f"{prefix}{name}.")
    return found

"""The user's own keys in place of the table's."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from rtvis.errors import ConfigError, did_you_mean
from rtvis.options import Entry
from rtvis.runtime.bindings import BINDINGS, KeyBinding
from rtvis.sinks.keys import KEY_NAMES


def with_keys(
    entries: Mapping[str, Entry], bindings: Iterable[KeyBinding] = BINDINGS
) -> tuple[KeyBinding, ...]:
    """The table with other keys for some commands.

    Args:
        entries: Name of a command -> a key, or a list of keys, which replace those of the table;
            an empty list leaves the command without a key.
        bindings: The table.

    Raises:
        ConfigError: A command or key is unknown, or a key is left with two commands.
    """
    bindings = tuple(bindings)
    names = [binding.name for binding in bindings]
    wheres: dict[str, str] = {}
    keys_of = {binding.name: binding.keys for binding in bindings}
    for given, (value, where) in entries.items():
        name = given.replace("-", " ").replace("_", " ")
        if name not in names:
            raise ConfigError(
                f"{where}: there is no such command{did_you_mean(name, names)}; "
                "`--list keys` shows all"
            )
        if value is not None:  # `name:` alone leaves the table's keys
            keys_of[name], wheres[name] = _keys(value, where), where
    changed = tuple(replace(binding, keys=keys_of[binding.name]) for binding in bindings)
    _refuse_conflicts(changed, wheres)
    return changed


def _keys(value: object, where: str) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(_key(one, where) for one in given))


def _key(value: object, where: str) -> str:
    """The checked name of a key; a digit may be a number in YAML."""
    key = str(value) if isinstance(value, str) or type(value) is int else ""
    if key in KEY_NAMES or re.fullmatch(r"key-\d+", key):
        return key
    if not key:
        raise ConfigError(f'{where}: {value!r} cannot be used; give a key in quotes, such as "z"')
    if key.lower() in KEY_NAMES:
        raise ConfigError(
            f"{where}: there is no key '{key}', as Shift is not told apart; nearest is "
            f"'{key.lower()}'"
        )
    raise ConfigError(
        f"{where}: there is no key '{key}'{did_you_mean(key, KEY_NAMES)}; give one character, or "
        "a name such as page-up, f5 or space"
    )


def _refuse_conflicts(bindings: Iterable[KeyBinding], wheres: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for binding in bindings:
        for key in binding.keys:
            other = taken.setdefault(key, binding.name)
            if other != binding.name:
                where = wheres.get(binding.name) or wheres[other]
                moved = other if binding.name in wheres else binding.name
                raise ConfigError(
                    f"{where}: the key '{key}' is bound to both '{other}' and '{binding.name}'; "
                    f"give '{moved}' another one, or []"
                )

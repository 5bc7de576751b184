"""Frozen dataclasses to plain values, as YAML and JSON have them, and back with every type checked.

A field that somebody adds to a dataclass is written and read without a line here, as long as its
type is one of: bool, int, float, str, None, a Literal, a dataclass, a union of these, or a tuple or
mapping of them.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

from rtvis.errors import ConfigError, did_you_mean

T = TypeVar("T")

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def to_plain(value: Any, names: Collection[str] | None = None) -> Plain:
    """A value as YAML and JSON have it: dataclasses and mappings as dicts, tuples as lists.

    Args:
        value: A dataclass, or what one may hold.
        names: Of a dataclass, the fields to take; default: all.
    """
    if dataclasses.is_dataclass(value):
        return {
            one.name: to_plain(getattr(value, one.name))
            for one in dataclasses.fields(value)
            if names is None or one.name in names
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    assert value is None or isinstance(value, bool | int | float | str), f"no plain {type(value)}"
    return value


def from_plain(kind: type[T], plain: object, *, where: str) -> T:
    """A dataclass from its plain form; what is left out has its default.

    Args:
        kind: The dataclass.
        plain: As `to_plain` gives it, or as a person wrote it.
        where: Begins every error: "view.yaml: selection", or a file alone: "view.yaml: ".

    Raises:
        ConfigError: A field is unknown, missing, or of another type.
    """
    values = fields_from_plain(kind, _mapping(plain, where), where=where)
    assert dataclasses.is_dataclass(kind), f"{kind} is no dataclass"
    for one in dataclasses.fields(kind):
        has_default = not (
            one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        )
        if one.name not in values and not has_default:
            raise ConfigError(f"{where}: {one.name} is missing")
    return kind(**values)


def fields_from_plain(
    kind: type,
    plain: Mapping[str, object],
    *,
    where: str,
    names: Collection[str] | None = None,
) -> dict[str, Any]:
    """Checked values of some fields of a dataclass, for `dataclasses.replace`.

    Args:
        kind: The dataclass.
        plain: Field name -> plain value.
        where: Begins every error.
        names: The fields that may be given; default: all.

    Raises:
        ConfigError: A field is unknown or of another type.
    """
    hints = _hints(kind)
    known = [one.name for one in dataclasses.fields(kind) if names is None or one.name in names]
    values = {}
    for name, value in plain.items():
        if name not in known:
            near = did_you_mean(str(name), known)
            raise ConfigError(f"{_below(where, name)}: unknown key{near}")
        values[name] = _decode(hints[name], value, _below(where, name))
    return values


def _below(where: str, name: str) -> str:
    return where + name if where.endswith(" ") else f"{where}.{name}"


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(hint: Any, plain: object, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _choice(inner, plain, where)
    if origin in {typing.Union, types.UnionType}:
        return _one_of(inner, hint, plain, where)
    if origin is tuple:
        return _tuple(inner, hint, plain, where)
    if origin is not None and issubclass(origin, Mapping):
        values = _mapping(plain, where).items()
        return {key: _decode(inner[1], value, f"{where}.{key}") for key, value in values}
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast("type[Any]", hint), plain, where=where)
    return _scalar(hint, plain, where)


def _scalar(hint: Any, plain: object, where: str) -> Any:
    assert hint in _WORDS, f"no plain form for {hint}: teach rtvis.plain"
    if hint is float and type(plain) is int:
        return float(plain)
    if type(plain) is not hint:  # a bool is an int to isinstance
        raise _unusable(hint, plain, where)
    return plain


def _choice(choices: tuple[Any, ...], plain: object, where: str) -> Any:
    if plain not in choices:
        near = did_you_mean(str(plain), map(str, choices))
        known = ", ".join(map(str, choices))
        raise ConfigError(f"{where}: unknown value {plain!r}{near}; there are: {known}")
    return plain


def _one_of(kinds: tuple[Any, ...], hint: Any, plain: object, where: str) -> Any:
    if plain is None and types.NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not types.NoneType)
    if len(kinds) == 1:
        return _decode(kinds[0], plain, where)
    for kind in kinds:
        try:
            return _decode(kind, plain, where)
        except ConfigError:
            continue
    raise _unusable(hint, plain, where)


def _tuple(kinds: tuple[Any, ...], hint: Any, plain: object, where: str) -> tuple[Any, ...]:
    if not isinstance(plain, list | tuple):
        raise _unusable(hint, plain, where)
    if len(kinds) == 2 and kinds[1] is ...:
        kinds = (kinds[0],) * len(plain)
    if len(plain) != len(kinds):
        raise _unusable(hint, plain, where)
    return tuple(
        _decode(kind, value, f"{where}[{index}]")
        for index, (kind, value) in enumerate(zip(kinds, plain, strict=True))
    )


def _mapping(plain: object, where: str) -> Mapping[str, object]:
    if not isinstance(plain, Mapping) or not all(isinstance(key, str) for key in plain):
        raise ConfigError(f"{where}: {plain!r} cannot be used; give `key: value` lines")
    return plain


def _unusable(hint: Any, plain: object, where: str) -> ConfigError:
    return ConfigError(f"{where}: {plain!r} cannot be used; give {_described(hint)}")


_WORDS: typing.Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}


def _described(hint: Any) -> str:
    """What a type takes, in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_described(kind) for kind in inner)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is ...:
            return f"a list ({_described(inner[0])} each)"
        return f"a list of {len(inner)} ({', '.join(map(_described, inner))})"
    return _WORDS.get(hint, "`key: value` lines")

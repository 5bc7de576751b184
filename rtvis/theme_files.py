"""The sections `theme` and `panes` of files, to values and back."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from rtvis.errors import ConfigError, did_you_mean
from rtvis.options import Entry
from rtvis.plain import Plain, to_plain
from rtvis.theme import MOST_OF_WIDTH, Panes, Theme

T = TypeVar("T", Theme, Panes)


def theme_of(entries: Mapping[str, Entry], theme: Theme | None = None) -> Theme:
    """A theme with what a section says.

    Raises:
        ConfigError: A key or value is wrong; says where.
    """
    return replace(theme or Theme(), **_values(Theme, entries))


def panes_of(entries: Mapping[str, Entry], panes: Panes | None = None) -> Panes:
    """An arrangement with what a section says. A pane that it moves to one column leaves the other,
    where nothing is said of that.

    Raises:
        ConfigError: A key or value is wrong, or a pane would stand in two places; says where.
    """
    before, values = panes or Panes(), _values(Panes, entries)
    for moved, other in (("left", "right"), ("right", "left")):
        if moved in values and other not in values:
            rest = (name for name in getattr(before, other) if name not in values[moved])
            values[other] = tuple(rest)
    arranged = replace(before, **values)
    twice = next((name for name in arranged.left if name in arranged.right), None)
    if twice is not None:
        where = _where(entries, "right", "left")
        raise ConfigError(f"{where}: '{twice}' stands in both columns; keep one of them")
    shares = (arranged.left_width or 0) + (arranged.right_width or 0)
    if shares > MOST_OF_WIDTH:
        where = _where(entries, "right_width", "left_width")
        raise ConfigError(
            f"{where}: both columns would take {shares:g} of the width; give them at most "
            f"{MOST_OF_WIDTH:g} together"
        )
    return arranged


def _where(entries: Mapping[str, Entry], *names: str) -> str:
    """Where the first of some keys stands that was given."""
    wheres = {key.replace("-", "_"): where for key, (_, where) in entries.items()}
    return next(wheres[name] for name in names if name in wheres)


def _values(kind: type, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Checked values of fields."""
    known = {one.name: one for one in fields(kind)}
    values: dict[str, Any] = {}
    for given, (value, where) in entries.items():
        name = given.replace("-", "_")
        if name not in known:
            raise ConfigError(f"{where}: unknown key{did_you_mean(name, known)}")
        parse, expects = known[name].metadata["parse"], known[name].metadata["expects"]
        try:
            values[name] = parse(value)
        except ConfigError as fault:
            raise ConfigError(f"{where}: {fault}") from fault
        except (ValueError, TypeError) as fault:
            # `text: #e6e8eb` is a comment in YAML.
            found = "has no value" if value is None else f"{value!r} cannot be used"
            raise ConfigError(f"{where}: {found}; give {expects}") from fault
    return values


def sections_of(theme: Theme, panes: Panes) -> dict[str, Plain]:
    """What differs from the defaults, as sections of a file; without those that are empty."""
    sections: dict[str, Plain] = {}
    for name, value, default in (("theme", theme, Theme()), ("panes", panes, Panes())):
        if value != default:
            sections[name] = {
                one.name: _plain(one.name, getattr(value, one.name))
                for one in fields(value)
                if getattr(value, one.name) != getattr(default, one.name)
            }
    return sections


def _plain(name: str, value: Any) -> Plain:
    return to_plain(dict(value) if name == "heights" else value)


def file_lines(theme: Theme, panes: Panes) -> Iterator[str]:
    """Both sections in full, as lines of a file that `--config` takes; each tells what it sets."""
    for name, value in (("theme", theme), ("panes", panes)):
        yield f"{name}:"
        for one in fields(value):
            # JSON is YAML, and has quotes around colours.
            plain = json.dumps(_plain(one.name, getattr(value, one.name)))
            yield f"  {one.name}: {plain}  # {one.metadata['help']}"

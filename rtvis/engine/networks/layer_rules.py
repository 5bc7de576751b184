"""Which layers are shown, under which names, and in which groups: chosen by pattern (DVT-93)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from rtvis.config_network import NetworkConfig
from rtvis.data import Layer
from rtvis.errors import NetworkError, SelectionError, did_you_mean, nearest_name

SiteT = TypeVar("SiteT", bound=Any)
"""A dataclass with `layer`, `first` and `is_rest`."""

_ENDING = re.compile(r"(#\d+)?(:\w+)*$")
"""What is no part of a module's name: the second use of it, its class and register tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerRules:
    """Patterns for the names of layers: `*` stands for any text, `?` for one character.

    A pattern is held against the name as the model has it, with and without what rtvis appends
    (`#2`, `:tokens`). So `conv` fits each use of that module, `conv` and `conv#2`, and `conv#2`
    its second one alone: who names a module means all that it does. A bracket is a part of a name.
    """

    include: str | tuple[str, ...] = ()
    """Show these layers alone; empty: all."""
    exclude: str | tuple[str, ...] = ()
    """Hide these, whatever `include` says."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Pattern -> name; in the name `{1}` is what the first `*` stands for. The first that fits."""
    group: Mapping[str, str] = field(default_factory=dict)
    """Pattern -> name of the group, likewise; the pattern may fit the new name too."""

    def hiding_nothing(self) -> "LayerRules":
        """The same names and groups, for all layers: a layer's number, where it is kept, must not
        depend on which others are shown."""
        return replace(self, include=(), exclude=())

    def or_else(self, other: "LayerRules") -> "LayerRules":
        """These rules, with those of `other` where these say nothing."""
        chooses = bool(self.include or self.exclude)
        return LayerRules(
            include=self.include if chooses else other.include,
            exclude=self.exclude if chooses else other.exclude,
            rename=self.rename or other.rename,
            group=self.group or other.group,
        )


def layer_rules(config: NetworkConfig) -> LayerRules:
    """The rules that flags or a config file give."""
    chosen = config.layers or ()
    return LayerRules(
        include=tuple(each for each in chosen if not each.startswith("!")),
        exclude=tuple(each.removeprefix("!") for each in chosen if each.startswith("!")),
        rename=dict(config.rename_layers or ()),
        group=dict(config.group_layers or ()),
    )


def apply_rules(
    sites: Sequence[SiteT], rules: LayerRules, *, name: str, where: str = "layers"
) -> tuple[SiteT, ...]:
    """The sites that are shown, in their order, with their names and groups.

    Args:
        sites: All of a network.
        rules: What is wanted.
        name: Of the network, for errors.
        where: What the rules came from, for errors.

    Raises:
        NetworkError: A pattern fits no layer, two layers get one name, or none is left.
    """
    if rules == LayerRules():
        return tuple(sites)
    _check_patterns(sites, rules, name=name, where=where)
    kept: list[SiteT] = []
    names: dict[str, str] = {}
    first, next_first, layer_is_shown = 0, 0, False
    for site in sites:
        is_shown = _is_shown(site.layer.name, rules)
        if site.is_rest:  # right behind its layer, whose units it shares
            is_shown = is_shown and layer_is_shown
        else:
            layer_is_shown = is_shown
        if not is_shown:
            continue
        if not site.is_rest:
            first, next_first = next_first, next_first + site.layer.num_units
        layer = _named(site.layer, rules, len(kept))
        if layer.name in names:
            raise NetworkError(
                f"{where}: '{names[layer.name]}' and '{site.layer.name}' would both be "
                f"'{layer.name}'; give them names of their own, such as with {{1}}"
            )
        names[layer.name] = site.layer.name
        kept.append(replace(site, layer=layer, first=first))
    if not kept:
        raise NetworkError(f"{where}: hides all {len(sites)} layers of {name}; exclude fewer")
    return tuple(kept)


def layers_that_fit(
    patterns: Sequence[str] | None, known: Sequence[str], *, name: str, where: str = "layers"
) -> tuple[str, ...]:
    """Those of some names of layers that patterns choose, in their order.

    Args:
        patterns: As `LayerRules.include`, and with ! before them as `exclude`; None: all.
        known: The names.
        name: Of what they are in, for errors.
        where: What the patterns came from, for errors.

    Raises:
        SelectionError: A pattern fits no layer, or none is left.
    """
    rules = LayerRules(
        include=tuple(each for each in patterns or () if not each.startswith("!")),
        exclude=tuple(each.removeprefix("!") for each in patterns or () if each.startswith("!")),
    )
    for pattern in (*_texts(rules.include), *_texts(rules.exclude)):
        if not any(_match(pattern, each) for each in known):
            near = _nearest(pattern, known)
            some = f"has {len(known)}, such as {', '.join(known[:3])}" if known else "has none"
            raise SelectionError(f"{where}: no layer of {name} fits '{pattern}'{near}; it {some}")
    kept = tuple(each for each in known if _is_shown(each, rules))
    if not kept and known:
        raise SelectionError(f"{where}: hides all {len(known)} layers of {name}; exclude fewer")
    return kept


def _check_patterns(sites: Sequence[SiteT], rules: LayerRules, *, name: str, where: str) -> None:
    known = [site.layer.name for site in sites]
    renamed = [_named(site.layer, rules, 0).name for site in sites]
    for pattern in (*_texts(rules.include), *_texts(rules.exclude), *rules.rename, *rules.group):
        if pattern in rules.group and any(_match(pattern, each) for each in renamed):
            continue
        if not any(_match(pattern, each) for each in known):
            raise NetworkError(
                f"{where}: no layer of {name} fits '{pattern}'{_nearest(pattern, known)}; "
                "`rtvis --list layers` shows all"
            )


def _nearest(pattern: str, known: Sequence[str]) -> str:
    """`did_you_mean` for a pattern: `block.3*` was meant to be `blocks.3*`, not one layer of it."""
    stem = pattern.rstrip("*?.")
    ending = pattern[len(stem) :]
    if ending and not set(stem) & set("*?"):
        heads = (".".join(each.split(".")[: stem.count(".") + 1]) for each in known)
        if (near := nearest_name(stem, heads)) is not None:
            return f"; nearest is '{near}{ending}'"
    return did_you_mean(pattern.strip("*?."), known)


def _is_shown(name: str, rules: LayerRules) -> bool:
    included, excluded = _texts(rules.include), _texts(rules.exclude)
    if included and not any(_match(pattern, name) for pattern in included):
        return False
    return not any(_match(pattern, name) for pattern in excluded)


def _named(layer: Layer, rules: LayerRules, index: int) -> Layer:
    ending = _ending(layer.name)
    new = _first_that_fits(rules.rename, layer.name)
    shown = layer.name if new is None else new if new.endswith(ending) else new + ending
    names = (layer.name, shown)
    groups = (found for name in names if (found := _first_that_fits(rules.group, name)))
    group = next(groups, layer.group)
    if new is None:
        return replace(layer, index=index, group=group)
    return replace(layer, index=index, name=shown, name_in_model=layer.name, group=group)


def _first_that_fits(names: Mapping[str, str], name: str) -> str | None:
    for pattern, new in names.items():
        if (found := _match(pattern, name)) is not None:
            return re.sub(r"\{(\d+)\}", _capture_of(found), new)
    return None


def _capture_of(found: re.Match[str]) -> Callable[[re.Match[str]], str]:
    def capture(brace: re.Match[str]) -> str:
        number = int(brace[1])
        # A brace that no `*` belongs to stays as it is, to be seen.
        return found[number] if 1 <= number <= (found.lastindex or 0) else brace[0]

    return capture


def _match(pattern: str, name: str) -> re.Match[str] | None:
    compiled = _compiled(pattern)
    return compiled.fullmatch(name.removesuffix(_ending(name))) or compiled.fullmatch(name)


def _ending(name: str) -> str:
    found = _ENDING.search(name)
    return found[0] if found is not None else ""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": "(.*)", "?": "."}
    return re.compile("".join(parts.get(each, re.escape(each)) for each in pattern))


def _texts(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns

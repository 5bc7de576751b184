"""What `rtvis units optimize` can be told."""

import re
from dataclasses import dataclass, field
from typing import Any

from rtvis.config_network import ComputeConfig, NetworkConfig
from rtvis.option_values import pair, patterns, text
from rtvis.options import debug_option, number_option, option, store_option


def _assignments(value: Any) -> tuple[tuple[str, str], ...]:
    """`lr=0.1,policy=l2`, or with several values each `lr=0.1,0.2 policy=l2,rms`."""
    if isinstance(value, dict | list | tuple):  # of a config file, or parsed before
        pairs = value.items() if isinstance(value, dict) else value
        return tuple((text(name), str(given)) for name, given in pairs)
    found = []
    for part in re.split(r"\s+|,(?=\s*\w+=)", text(value).strip()):
        name, equals, given = part.partition("=")
        if not (equals and name.strip() and given.strip()):
            raise ValueError("no name=value")
        found.append((name.strip(), given.strip()))
    return tuple(found)


def _units(value: Any) -> str:
    units = text(value).replace(" ", "")
    if not re.fullmatch(r"all|random:[1-9]\d*|\d+(-\d+)?(,\d+(-\d+)?)*", units):
        raise ValueError("no units")
    return units


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizeOptions:
    """What to make."""

    layer: tuple[str, ...] | None = option(
        "layers by name, or patterns such as 'blocks.3*,!*dw'; default: the last one, whose units "
        "are the classes",
        metavar="PATTERN",
        parse=patterns,
        expects="names or patterns of layers",
    )
    units: str = option(
        "which units: all, 0-31, 3,5,9-12, or random:N",
        default="0",
        metavar="UNITS",
        parse=_units,
        expects="all, 0-31, 3,5,9-12 or random:4",
    )
    position: tuple[int, int] | None = option(
        "the neuron: row and column in the unit's map; default: the middle one",
        metavar="ROW,COLUMN",
        parse=pair(0),
        expects="row and column such as 3,5",
    )
    preset: str = option(
        "how: default, dvt-a, dvt-b, dvt-c, dvt-d, dvt, dvt-class, dv, dv-1 or dv-0",
        default="default",
        metavar="NAME",
        expects="the name of a preset",
    )
    set_: tuple[tuple[str, str], ...] = option(
        "numbers of the preset to change: iterations=100,lr=0.1,objective=mean; docs/units.md "
        "lists all",
        default=(),
        metavar="NAME=VALUE",
        parse=_assignments,
        expects="name=value, several with commas between them",
    )
    minimise: bool = option("drive the units down instead", default=False)
    start: str | None = option(
        "where to begin: noise, uniform, mean, a picture, or the .npz of an earlier result; "
        "default: as the preset says",
        metavar="START",
        expects="noise, uniform, mean or a file",
    )
    seed: int = number_option("of the random numbers", 0, default=0)
    batch: int = number_option("units at once", 1, default=8)
    out: str | None = option(
        "write to this folder instead of a store", metavar="FOLDER", parse=text, expects="a folder"
    )
    store: str | None = store_option()
    force: bool = option("replace what is there; else it is left, and left out", default=False)
    study: tuple[tuple[str, str], ...] = option(
        "try every combination: 'lr=0.02,0.05 rotation=0,10'; pictures on the way, meta.json, a "
        "sheet and a page go to --out",
        default=(),
        metavar="GRID",
        parse=_assignments,
        expects="name=value,value with a blank between names",
    )
    every: int = number_option("of a study: runs between two pictures", 1, default=50)
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizeConfig:
    """All of it."""

    optimize: OptimizeOptions = field(default_factory=OptimizeOptions)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

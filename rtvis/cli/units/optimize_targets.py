"""What `rtvis units optimize` is of: layers and units by name and number, and where it begins."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rtvis.cli.units.optimize_options import OptimizeOptions
from rtvis.errors import ConfigError, SelectionError, SourceError

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rtvis.data import Layer
    from rtvis.engine.engine import Engine
    from rtvis.units.ascent import Start
    from rtvis.units.targets import Targets

_STARTS: Final = ("noise", "uniform", "mean")


def targets_of(engine: "Engine", options: OptimizeOptions) -> "tuple[Targets, ...]":
    """Layers, units and position that the flags name.

    Raises:
        ConfigError: A range of units ends before it begins.
        SelectionError: The network has no such layer or unit.
    """
    from rtvis.engine.networks.layer_rules import layers_that_fit
    from rtvis.units.targets import Targets

    by_name = {layer.name: layer for layer in engine.layers}
    if options.layer is None:
        chosen: tuple[str, ...] = (engine.layers[-1].name,)
    else:
        chosen = layers_that_fit(options.layer, list(by_name), name=engine.network, where="--layer")
    return tuple(
        Targets(
            layer=name,
            units=_expanded(options.units, by_name[name], options.seed),
            position=options.position,
        )
        for name in chosen
    )


def doubts_of(engine: "Engine", all_targets: "Sequence[Targets]") -> list[str]:
    """What is seldom meant of the targets, in words."""
    layers = {layer.name: layer for layer in engine.layers}
    found = []
    for targets in all_targets:
        height, width = layers[targets.layer].map_size
        if targets.position == (0, 0) and (height, width) != (1, 1):
            found.append(
                f"{targets.layer}: 0,0 is the corner, which sees mostly what lies outside the "
                f"picture; the middle is {height // 2},{width // 2}"
            )
    return found


def _expanded(units: str, layer: "Layer", seed: int) -> tuple[int, ...]:
    """The numbers that `all`, `random:4` or `3,5,9-12` mean for a layer.

    Raises:
        ConfigError: A range ends before it begins.
        SelectionError: The layer has no such unit.
    """
    count = layer.num_units
    if units == "all":
        return tuple(range(count))
    if units.startswith("random:"):
        number = min(int(units.removeprefix("random:")), count)
        return tuple(sorted(random.Random(seed).sample(range(count), number)))  # noqa: S311
    found: dict[int, None] = {}
    for part in units.split(","):
        first, _, last = part.partition("-")
        start, end = int(first), int(last or first)
        if end < start:
            raise ConfigError(f"--units {part}: the last comes before the first")
        if end >= count:
            raise SelectionError(
                f"layer '{layer.name}' has no unit {end}; its units are 0 to {count - 1}"
            )
        found.update(dict.fromkeys(range(start, end + 1)))
    return tuple(found)


def start_of(engine: "Engine", given: str | None) -> "Start | None":
    """Where to begin; a picture is preprocessed.

    Raises:
        SourceError: It is no picture and no result.
    """
    if given is None or given in _STARTS:
        return given  # type: ignore[return-value]
    import numpy as np
    import torch

    from rtvis.filing import read_npz
    from rtvis.paths import path_of
    from rtvis.sources.pixels import read_image

    path = path_of(given)
    if path.suffix.lower() != ".npz":
        return engine.preprocess(read_image(path))
    try:
        x_3HW = np.asarray(read_npz(path)["x"], dtype=np.float32)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file; name the .npz of a result") from None
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path}: holds no optimised input ({error})") from None
    return torch.from_numpy(x_3HW)[None]

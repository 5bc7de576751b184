"""What `--list` prints: one thing a line, fit for grep."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rtvis.data import Layer


def network_lines() -> Iterator[str]:
    """Every name that `--network` takes, by where it comes from."""
    from rtvis.engine.networks.models import names

    for origin, group in names().items():
        yield f"# {origin}"
        yield from group
    yield "# your own"
    yield "path/to/file.py:factory"


def method_lines() -> Iterator[str]:
    """Every CAM method with the first line of its documentation."""
    from rtvis.methods import ATTENTION_METHODS, CAM_METHODS

    attention = {name: method.explain for name, method in ATTENTION_METHODS.items()}
    yield from _described({**CAM_METHODS, **attention})


def key_lines(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """A table of the commands with their keys; the first column is for a `keys:` section."""
    yield from _table([("command", "keys", "does"), *rows])


def layer_lines(layers: Sequence[Layer], note: str = "") -> Iterator[str]:
    """A table of the layers that can be looked at, in order of execution.

    Args:
        layers: Of the network.
        note: A last line, such as which of its layers are not among them.
    """
    head = ("layer", "kind", "units", "map", "stride", "receptive field", "in the model", "group")
    rows = [
        (
            layer.name,
            layer.kind,
            str(layer.num_units),
            "{}x{}".format(*layer.map_size),
            "{:g}x{:g}".format(*layer.stride),
            "{}x{}".format(*layer.receptive_field),
            layer.name_in_model,
            layer.group,
        )
        for layer in layers
    ]
    # The last two say something only where rules gave names or groups.
    used = [any(row[column] for row in rows) for column in range(len(head))]
    yield from _table([tuple(itertools.compress(row, used)) for row in (head, *rows)])
    if note:
        yield f"# {note}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _described(things: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, things), default=0)
    for name, thing in things.items():
        first = (thing.__doc__ or "").strip().splitlines()
        yield f"{name.ljust(width)}  {first[0] if first else ''}".rstrip()

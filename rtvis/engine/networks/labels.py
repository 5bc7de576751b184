"""Names of classes: from a file, from the weights, or ImageNet's, which need no network."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rtvis.errors import NetworkError, SelectionError, did_you_mean

_SUBSETS = {
    11221: "imagenet-21k-miil",
    11821: "imagenet-12k",
    21841: "imagenet-22k",
    21842: "imagenet-22k-ms",
    21843: "imagenet-21k-goog",
}
"""Number of classes -> timm's name of the list."""


@functools.cache
def imagenet_labels(num_classes: int) -> tuple[str, ...] | None:
    """The names for a network trained on ImageNet or a known larger part of it, else None.

    Told by the number of classes alone; 1001 is ImageNet behind a background class.
    """
    if num_classes in {1000, 1001}:
        from torchvision.models import ResNet18_Weights

        names = tuple(ResNet18_Weights.DEFAULT.meta["categories"])
        return names if num_classes == 1000 else ("background", *names)
    if num_classes not in _SUBSETS:
        return None
    from timm.data import ImageNetInfo

    info = ImageNetInfo(_SUBSETS[num_classes])
    # The first lemma of "tench, Tinca tinca": a name has to fit beside a bar.
    return tuple(text.split(", ")[0] for text in info.label_descriptions())


def read_labels(path: str) -> tuple[str, ...]:
    """Names from a file: one a line, or JSON.

    JSON may be a list of names, or an object from class numbers to names (or to lists whose last
    item is the name, as in Keras' `{"0": ["n01440764", "tench"]}`).

    Raises:
        NetworkError: The file cannot be read, or holds no names.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise NetworkError(f"{path}: cannot read labels: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise NetworkError(f"{path}: not a text file; labels are one name a line") from fault
    if text.lstrip().startswith(("[", "{")):
        try:
            names = as_labels(json.loads(text))
        except json.JSONDecodeError as fault:
            raise NetworkError(f"{path}:{fault.lineno}: not valid JSON: {fault.msg}") from fault
    else:
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise NetworkError(
            f"{path}: holds no labels; one name a line, or JSON: a list, or numbers to names"
        )
    return names


def as_labels(value: Any) -> tuple[str, ...] | None:
    """Labels from whatever a checkpoint or JSON holds, or None if it is no such thing."""
    if isinstance(value, str):
        return tuple(line for line in value.splitlines() if line) or None
    if isinstance(value, Mapping):
        try:
            by_index = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        if sorted(by_index) != list(range(len(by_index))):
            return None
        value = [by_index[index] for index in range(len(by_index))]
    if not isinstance(value, Sequence) or not value:
        return None
    names = [item[-1] if isinstance(item, list | tuple) and item else item for item in value]
    return tuple(names) if all(isinstance(name, str) for name in names) else None


def class_index(wanted: str, labels: Sequence[str] | None, *, network: str) -> int:
    """The number of a class that is given by number or name, in any case.

    Labels such as "tabby, tabby cat" answer to each of their names. Whether the network has a class
    of a number is for others to check.

    Args:
        wanted: Number or name.
        labels: Names of the classes; None where they are not known.
        network: Its name, for errors.

    Raises:
        SelectionError: No class has that name, with the nearest.
    """
    if wanted.lstrip("-").isdecimal():
        return int(wanted)
    if labels is None:
        raise SelectionError(
            f"class '{wanted}': the names of {network}'s classes are not known; "
            "give its number, or --labels FILE"
        )
    known: dict[str, int] = {}
    for index, label in enumerate(labels):
        known.setdefault(label.casefold(), index)
    for index, label in enumerate(labels):
        for part in label.split(","):
            known.setdefault(part.strip().casefold(), index)
    if wanted.casefold() in known:
        return known[wanted.casefold()]
    raise SelectionError(
        f"{network} has no class '{wanted}'{did_you_mean(wanted, known)}; "
        f"give a name or a number from 0 to {len(labels) - 1}"
    )

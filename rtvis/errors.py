"""Faults of the user's input, each with where it is, what was found and what would do.

Three kinds of fault exist: the user's are raised as `RtvisError`, ours as `AssertionError`, and
the world's (a camera that went away) become a status on screen.
"""

import difflib
from collections.abc import Iterable


class RtvisError(Exception):
    """Something the user can mend. Its text is one line, fit to be shown as it is."""


class ConfigError(RtvisError):
    """A flag or a key of a config file is unknown or has a value that cannot be used."""


class NetworkError(RtvisError):
    """A network cannot be found, loaded, or looked into."""


class WeightsError(NetworkError):
    """Weights cannot be read, or belong to another network."""


class SelectionError(RtvisError):
    """A layer, unit, position, class or method that this network does not have."""


class SourceError(RtvisError):
    """A picture, film, camera or stream cannot be opened or holds nothing to show."""


class SinkError(RtvisError):
    """A window or an output file cannot be opened or written."""


class DeviceError(RtvisError):
    """The device does not exist, or has not enough memory."""


class StoreError(RtvisError):
    """A store of what units have learned cannot be read or written, or is another network's."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be, or None if none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; nearest is 'layer4.1'"`, or an empty string where nothing is near."""
    nearest = nearest_name(name, known)
    return f"; nearest is '{nearest}'" if nearest is not None else ""

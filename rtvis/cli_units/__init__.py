"""`rtvis units WHAT ...`: each word is a module here with `parse(words, prog=...)` and `run`."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rtvis.errors import ConfigError, did_you_mean

COMMAND: Final = "units"
"""The word that begins its command lines."""

WORDS: Final[dict[str, tuple[str, str]]] = {}
"""What comes behind it: the module here (loaded when it is wanted), and what it does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One of them, ready to run."""

    run: Callable[[], int]
    """Does it; returns the exit code."""
    debug: bool
    """Whether tracebacks and a log are wanted."""


def parse(words: Sequence[str], *, prog: str) -> Command | None:
    """What a command line without its first word asks for; None where it was help, now printed.

    Raises:
        ConfigError: No such word, an unknown flag, or a value that cannot be used.
    """
    name = words[0] if words else ""
    if name in {"", "-h", "--help"}:
        print(_help(prog))
        return None
    if name not in WORDS:
        known = ", ".join(WORDS)
        raise ConfigError(
            f"{prog} {COMMAND}: unknown word '{name}'{did_you_mean(name, WORDS)}; there are: {known}"
        )
    module: Any = importlib.import_module(f"rtvis.cli_units.{WORDS[name][0]}")
    config = module.parse(words[1:], prog=f"{prog} {COMMAND} {name}")
    return Command(run=lambda: int(module.run(config)), debug=bool(config.debug))


def _help(prog: str) -> str:
    width = max((len(name) for name in WORDS), default=0)
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in WORDS.items()]
    return "\n".join(
        [
            f"usage: {prog} {COMMAND} WORD ...",
            "",
            "What the units of a network have learned.",
            "",
            *lines,
            "",
            f"`{prog} {COMMAND} WORD --help` tells of each.",
        ]
    )

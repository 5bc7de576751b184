"""`rtvis units WORD ...`: each word has a module here whose `parse` gives a `Command`."""

import importlib
from collections.abc import Sequence
from typing import Any, Final

from rtvis.command import Command
from rtvis.errors import ConfigError, did_you_mean
from rtvis.leaving import DONE

COMMAND: Final = "units"
"""The word that begins its command lines."""

WORDS: Final[dict[str, tuple[str, str]]] = {
    "optimize": ("optimize", "make the inputs that drive units, classes or a layer furthest"),
    "crops": ("crops", "pictures of the inputs that excite each unit most, and of what in them"),
    "pages": ("pages", "HTML that shows a store to anyone"),
    "ls": ("ls", "which stores there are, and what is in them"),
    "scan": ("scan", "the items of a data set at which every unit is strongest, and statistics"),
    "verify": ("verify", "whether every file of a store is as it was written"),
    "export": ("export", "a store's pictures in a folder or zip, under names of one's choice"),
    "rm": ("rm", "remove a store, some of its layers, or units of them"),
}
"""What comes behind it: the module here (loaded when it is wanted), and what it does."""


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first word asks for.

    Raises:
        ConfigError: No such word, an unknown flag, or a value that cannot be used.
    """
    name = words[0] if words else ""
    if name in {"", "-h", "--help"}:
        return Command(run=lambda: _print_help(prog), debug=False)
    if name not in WORDS:
        near, known = did_you_mean(name, WORDS), ", ".join(WORDS)
        raise ConfigError(f"{prog} {COMMAND}: unknown word '{name}'{near}; there are: {known}")
    module: Any = importlib.import_module(f"rtvis.cli.units.{WORDS[name][0]}")
    command: Command = module.parse(words[1:], prog=f"{prog} {COMMAND} {name}")
    return command


def _print_help(prog: str) -> int:
    width = max((len(name) for name in WORDS), default=0)
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in WORDS.items()]
    text = "\n".join(
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
    print(text)
    return DONE

"""Writes docs/keys.md from the table that binds the keys: `python -m tools.keys_page`."""

from itertools import groupby
from pathlib import Path
from typing import Final

from rtvis.render.scene import Binding
from rtvis.runtime.bindings import help_lines

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "keys.md"

_HEAD: Final = """# Keys

Made from the table that binds them. All that a key does to the picture can be done with the mouse
too, and `h` shows this list in the window.
[Save, share, repeat](share.md) tells how to bind others.
"""

_MOUSE: Final = """
## Mouse

| where | click | wheel |
|---|---|---|
| layers | looks at that layer | scrolls |
| grid | selects that unit; over one, the page *learned* shows what is known of it | scrolls |
| unit | explains the neuron there; again: the whole unit | |
| input, of a dense output | explains that pixel; again: the whole output | |
| top classes | explains that class; twice: starts the backward picture there | |
| details, *dense* | starts the backward picture at that value | |
| details, *changes* | takes that change back | that unit, or the selected one, weaker or stronger |
| details, *correlation* | goes to that unit | |
| a word with a frame around it | as its key | |
"""


def keys_page() -> str:
    """The page: a table for each group."""
    parts = [_HEAD]
    for group, lines in groupby(help_lines(), key=_group):
        rows = [f"| {_keys(line)} | {line.text} |" for line in lines]
        parts.append("\n".join([f"\n## {group}\n", "| key | does |", "|---|---|", *rows, ""]))
    return "".join([*parts, _MOUSE])


def _group(line: Binding) -> str:
    return line.group


def _keys(line: Binding) -> str:
    return " ".join(f"`{key}`" for key in line.keys.split(" / "))


if __name__ == "__main__":
    PAGE.write_text(keys_page())

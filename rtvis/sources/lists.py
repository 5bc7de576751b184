"""List files: the names of pictures in a text file, one line a picture (DVT-08).

    # comments and empty lines are passed over
    cat.png
    "a name with spaces.jpg"   anything after the first name
    left.png, right.png

Names are separated by spaces, commas or tabs, and are relative to the list's folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from rtvis.errors import SourceError
from rtvis.paths import path_of

LIST_SUFFIXES = frozenset({".csv", ".lst", ".txt"})
"""Text files with these suffixes are lists; others are a mistake, such as a web page saved as a
film."""

_TOKEN = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s,"'#][^\s,]*))(?=[\s,]|$)""")
_GAP = re.compile(r"[\s,]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRow:
    """The names on one line."""

    line: int
    """Counted from 1."""
    paths: tuple[Path, ...]
    """At least one; what follows the first may be no name at all, such as a label."""


def read_list(path: Path) -> list[ListRow]:
    """The lines of a list file that name something.

    Raises:
        SourceError: It cannot be read, is no text, names nothing, or has a line that cannot be
            taken apart; the text begins with file and line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; name a list that you may read") from None
    except UnicodeDecodeError as error:
        at = error.object[: error.start].count(b"\n") + 1
        raise SourceError(f"{path}:{at}: is not UTF-8 text; save the list as UTF-8") from None
    rows = []
    # Not splitlines: it also splits at signs that editors do not count as ends of lines.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        names = _names(line, where=f"{path}:{number}")
        if names:
            paths = tuple(path.parent / path_of(name) for name in names)
            rows.append(ListRow(line=number, paths=paths))
    if not rows:
        raise SourceError(f"{path}: this list names no picture; write one name a line")
    return rows


def _names(line: str, *, where: str) -> list[str]:
    names = []
    at = _gap_end(line, 0)
    while at < len(line) and line[at] != "#":
        match = _TOKEN.match(line, at)
        if match is None:
            raise SourceError(
                f"{where}: the quote before {line[at : at + 20]!r} has no end, or something "
                "follows it; put the whole name in quotes"
            )
        name = next(part for part in match.groups() if part is not None)
        if not name or "\0" in name:
            raise SourceError(f"{where}: an empty name; write the name of a picture")
        names.append(name)
        at = _gap_end(line, match.end())
    return names


def _gap_end(line: str, at: int) -> int:
    gap = _GAP.match(line, at)
    assert gap is not None, "a gap may be empty"
    return gap.end()

"""Checksums of a folder's files, in a form that `sha256sum --check` reads.

A sum is in a journal before its file gets its name, so that a writer may be killed between any two
instructions: what the journal says of a file is then either true already or not true yet, and
`settled` finds out which. At the writer's end the journal goes into the list itself.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from rtvis import filing
from rtvis.units.names import JOURNAL, SUMS


def digest_of(data: bytes) -> str:
    """SHA-256 as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """The same of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_sums(folder: Path) -> dict[str, str]:
    """Digest by path within `folder`; empty where there is no list. Lines without sense, as a
    writer that was killed leaves them, are passed over."""
    return {name: digest for digest, name in _lines(folder / SUMS)}


def read_journal(folder: Path) -> dict[str, tuple[str, ...]]:
    """What a writer has written, or was about to write when it ended: the digests that each path
    may have, the newest last."""
    found: dict[str, tuple[str, ...]] = {}
    for digest, name in _lines(folder / JOURNAL):
        found[name] = (*found.get(name, ()), digest)
    return found


def _lines(path: Path) -> list[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and len(pair[0]) == 64]


def append(folder: Path, digests: Mapping[str, str]) -> None:
    """Add to the folder's journal, wholly or not at all.

    Raises:
        OSError: There is no space left, for example.
    """
    path = folder / JOURNAL
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    with path.open("ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            # A newline first: the last line of a writer that was killed may be torn.
            data = b"\n" * (before > 0) + lines.encode()
            while data:
                data = data[file.write(data) :]
        except OSError as error:
            os.ftruncate(file.fileno(), before)
            error.filename = str(path)
            raise


def write_sums(sums: Mapping[Path, Mapping[str, str]]) -> None:
    """Put the lists of folders in place and drop their journals.

    Args:
        sums: For each folder its list.

    Raises:
        OSError: One cannot be written; the old lists and the journals are still there.
    """
    lists = {
        folder / SUMS: "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items()))
        for folder, known in sums.items()
    }
    filing.write_all({path: lines.encode() for path, lines in lists.items()}, synced=True)
    for folder in sums:
        (folder / JOURNAL).unlink(missing_ok=True)
    filing.sync_folders(sums)


def settled(folder: Path) -> dict[str, str]:
    """The list as it should be after a writer that did not come to its end.

    Of the digests that the journal gives a file the one counts that the file has. A file that was
    never there is not in the list; one that has another content keeps the digest that it should
    have, and `verify` will tell of it.
    """
    sums = read_sums(folder)
    for name, digests in read_journal(folder).items():
        path = folder / name
        if not path.exists():
            continue
        known = (*digests, *([sums[name]] if name in sums else []))
        found = digest_of_file(path)
        sums[name] = found if found in known else known[-1]
    return sums


def without(sums: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The list without some files."""
    gone = set(names)
    return {name: digest for name, digest in sums.items() if name not in gone}

"""Whether every file of a store is as it was written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtvis import filing
from rtvis.errors import StoreError
from rtvis.units import names, sums
from rtvis.units.store import Store
from rtvis.units.writer import GONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One file."""

    path: Path
    """Within the store."""
    fault: str = ""
    """What is wrong with it; empty where nothing is."""


def verify(store: Store) -> Iterator[Checked]:
    """Read every file and compare it with its checksum.

    A writer may be at work meanwhile. What one that was killed had not finished is no fault: the
    next one tidies it up.

    Yields:
        Each file that is there or should be.
    """
    try:
        if store.identity is None:
            yield Checked(path=Path(names.STORE), fault="is missing")
    except StoreError as fault:
        yield Checked(path=Path(names.STORE), fault=str(fault))
    listed = dict(_listed(store.folder))
    doubtful = []
    for path in sorted(listed):
        if _fault(store.folder, path, listed[path]):
            doubtful.append(path)
        else:
            yield Checked(path=path)
    doubtful += sorted(_present(store.folder) - set(listed))
    # A writer may have replaced, removed or added them since the lists were read.
    listed = dict(_listed(store.folder))
    for path in doubtful:
        wrong = _fault(store.folder, path, listed.get(path))
        if wrong or (store.folder / path).exists():
            yield Checked(path=path, fault=wrong)


def _listed(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """All digests that each file may have; none where the journal alone knows it."""
    for part in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        journal = sums.read_journal(part)  # first: at a writer's end it goes into the list
        known = sums.read_sums(part)
        for name in {**known, **journal}:
            listed = (known[name],) if name in known else ()
            path = (part / name).relative_to(folder)
            if listed or (folder / path).exists():
                yield path, (*listed, *journal.get(name, ()))


def _present(folder: Path) -> set[Path]:
    ours = {names.SUMS, names.JOURNAL, names.LOCK}
    found = set()
    for path in folder.rglob("*"):
        within = path.relative_to(folder)
        is_left = path.name.endswith(filing.PART_SUFFIX) or any(
            part.startswith(GONE) for part in within.parts
        )
        if path.name not in ours and not is_left and path.is_file():
            found.add(within)
    return found


def _fault(folder: Path, path: Path, digests: tuple[str, ...] | None) -> str:
    """What is wrong with a file that may have these digests; None where no list has it."""
    if digests is None:
        return "is in no list of checksums" if (folder / path).exists() else ""
    try:
        is_same = sums.digest_of_file(folder / path) in digests
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if is_same else "is not as it was written: its checksum is another"

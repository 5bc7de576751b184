"""Progress bars that several words have."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console


class OfLayer(Protocol):
    """How far the units of a layer have come."""

    @property
    def layer(self) -> str:
        """Its name."""

    @property
    def num_done(self) -> int:
        """Of its units."""

    @property
    def num_units(self) -> int:
        """How many there are to do."""


OfLayerT = TypeVar("OfLayerT", bound=OfLayer)


def by_layer(passing: Iterable[OfLayerT], messages: "Console") -> Iterator[OfLayerT]:
    """The same, with a bar for one layer after the other."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(
        *columns, console=messages, transient=True, disable=not messages.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        for progress in passing:
            yield progress
            bar.update(
                task,
                description=progress.layer,
                completed=progress.num_done,
                total=progress.num_units,
            )

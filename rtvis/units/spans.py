"""A data set in spans: what an actor looks at in one go, and tells about as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtvis.units.items import Files

PIXEL_BYTES = 64 * 2**20
"""Of the pictures of a span, prepared for the network."""

MOST_FILES = 256
"""In a span. Its findings take 0.8 kB a unit, as much as 37 pictures' own numbers."""

_SHARES = 4
"""Spans for each actor at least: none of them waits long for the last one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Span:
    """Pictures that follow one another, or one film."""

    first: int
    """Index of the first file."""
    files: Files
    """These alone."""
    start_frame: int = 0
    """Of a film: frames that were looked at before."""

    @property
    def is_film(self) -> bool:
        """Whether it is a film."""
        return bool(self.files.is_film_F[0])


def spans(files: Files, *, start: int, start_frame: int, size: int) -> Iterator[Span]:
    """All from file `start` on, in order.

    Args:
        files: The data set.
        start: Index of the first file that is wanted.
        start_frame: See `Span.start_frame`; if the first file is a film.
        size: Pictures in a span, a multiple of the batch.
    """
    ends_F = np.flatnonzero(files.is_film_F)
    first = start
    while first < len(files):
        if files.is_film_F[first]:
            stop = first + 1
        else:
            film = int(np.searchsorted(ends_F, first))
            until = int(ends_F[film]) if film < len(ends_F) else len(files)
            stop = min(first + size, until)
        part = files.take(np.arange(first, stop))
        yield Span(first=first, files=part, start_frame=start_frame if first == start else 0)
        first = stop


def span_size(num_files: int, *, batch: int, picture_bytes: int, num_actors: int) -> int:
    """How many pictures a span should have: a multiple of the batch."""
    share = -(-num_files // (_SHARES * num_actors))
    wanted = min(MOST_FILES, PIXEL_BYTES // picture_bytes, share)
    return max(1, wanted // batch) * batch

"""The items of a scan as they come up: who has which number, and what went wrong with whom."""

import numpy as np

from rtvis.units.items import Files, Items
from rtvis.units.reading import Sample


class Ledger:
    """Numbers items in the order of their files.

    Args:
        files: All of the data set.
        before: What an earlier part of the scan looked at: the first of `files`.
        open_pts: The times of the frames that were seen of the film behind these, if one was.
    """

    def __init__(
        self, files: Files, before: Items | None = None, open_pts: tuple[float, ...] = ()
    ) -> None:
        self.files = files
        self._num_items: list[int] = [] if before is None else before.num_items_D.tolist()
        self._checksums: list[int] = [] if before is None else before.checksum_D.tolist()
        self._film_pts = [] if before is None else list(before.film_pts)
        self.errors: dict[int, str] = {} if before is None else dict(before.errors)
        self._open_pts = list(open_pts)
        self.num_items = sum(self._num_items) + len(self._open_pts)
        """How many numbers are given; unreadable pictures have theirs."""

    @property
    def num_files(self) -> int:
        """Files that were looked at to their end."""
        return len(self._num_items)

    @property
    def open_pts(self) -> tuple[float, ...]:
        """The times of the frames seen so far of the film that is being read."""
        return tuple(self._open_pts)

    def enter(self, sample: Sample) -> int:
        """The number of a sample; -1 if it is no item, or none that can be seen."""
        assert sample.file == self.num_files, "files come in their order"
        number = -1
        if self.files.is_film_F[sample.file]:
            if sample.image is not None:
                assert sample.pts_seconds is not None, "a frame has a time"
                self._open_pts.append(sample.pts_seconds)
                number, self.num_items = self.num_items, self.num_items + 1
        else:
            number = self.num_items if sample.image is not None else -1
            self.num_items += 1
        if sample.is_last:
            self._close(sample)
        return number

    def _close(self, sample: Sample) -> None:
        if self.files.is_film_F[sample.file]:
            self._num_items.append(len(self._open_pts))
            self._film_pts.append(np.array(self._open_pts, dtype=np.float64))
            self._open_pts.clear()
        else:
            self._num_items.append(1)
        self._checksums.append(sample.checksum)
        if sample.error is not None:
            self.errors[sample.file] = sample.error

    def items(self) -> Items:
        """Those of the files that were looked at to their end."""
        return Items(
            files=self.files,
            num_items_D=np.array(self._num_items, dtype=np.int64),
            checksum_D=np.array(self._checksums, dtype=np.int64),
            film_pts=tuple(self._film_pts),
            errors=dict(self.errors),
        )

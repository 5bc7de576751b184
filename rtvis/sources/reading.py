"""How what is stored is read: where it begins, how it goes on, and what is done to each frame."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rtvis.errors import SourceError
from rtvis.sources.base import Pace, Source
from rtvis.sources.images import ImageSource, Listed
from rtvis.sources.retouch import Retouch
from rtvis.sources.video import VideoSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One way to read a film, or the pictures of a folder, glob or list."""

    loop: bool
    pace: Pace
    start_seconds: float | None
    picture: str | None
    pattern: re.Pattern[str] | None
    """Of the names of a folder's pictures."""
    retouch: Retouch
    column: int = 0
    """Which of the names on each line of a list."""
    steps: bool = True
    """Whether somebody goes from picture to picture; else each is given once, as in pace "fast"."""

    def film(self, path: Path, *, name: str | None = None) -> Source:
        """A film from that beginning."""
        self._refuse_picture(name or str(path))
        return VideoSource(
            path,
            loop=self.loop,
            pace=self.pace,
            name=name,
            start_seconds=self.start_seconds or 0.0,
            retouch=self.retouch,
        )

    def pictures(self, name: str, look: Callable[[], list[Listed]]) -> Source:
        """Pictures from that beginning."""
        self._refuse_start(name)
        return ImageSource(
            name,
            look,
            loop=self.loop,
            pace=self.pace if self.steps else "fast",
            first_name=self.picture,
            retouch=self.retouch,
        )

    def refuse_place(self, name: str) -> None:
        """Raise SourceError if a place was asked for: what is live has only now."""
        self._refuse_start(name)
        self._refuse_picture(name)
        self.refuse_column(name)

    def refuse_column(self, name: str) -> None:
        """Raise SourceError if other names than the first are asked for: this is no list."""
        if self.column:
            raise SourceError(
                f"{name}: is no list with two names a line (.txt, .lst or .csv); name the second "
                "source itself"
            )

    def _refuse_start(self, name: str) -> None:
        if self.start_seconds is not None:
            raise SourceError(f"{name}: is no film, and has no start in seconds; leave it out")

    def _refuse_picture(self, name: str) -> None:
        if self.picture is not None:
            raise SourceError(
                f"{name}: has no picture '{self.picture}', for it is no folder; leave that out"
            )


def compiled(match: str | None) -> re.Pattern[str] | None:
    """A regular expression for names, in any case.

    Raises:
        SourceError: It is none.
    """
    try:
        return re.compile(match, re.IGNORECASE) if match is not None else None
    except re.error as error:
        raise SourceError(
            f"--match {match}: is no regular expression: {error}; "
            r"give one such as '^cat.*\.png$', or part of a name"
        ) from None

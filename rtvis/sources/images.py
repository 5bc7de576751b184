"""One picture, or the pictures of a folder, glob or list, one at a time."""

import glob
import os
import queue
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtvis.data import Frame
from rtvis.errors import SourceError, did_you_mean
from rtvis.sources.base import Move, Pace, ThreadSource
from rtvis.sources.lists import read_list
from rtvis.sources.pixels import Decoded, is_image, read_picture
from rtvis.sources.retouch import Retouch

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".exr", ".gif", ".hdr", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Files of a folder that are taken for pictures without opening them."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture to be read."""

    path: Path
    where: str = ""
    """File and line of the list that names it, for messages."""

    def read(self) -> Decoded:
        """The picture.

        Raises:
            SourceError: Not there, not readable, or not a whole picture.
        """
        try:
            return read_picture(self.path)
        except SourceError as error:
            raise SourceError(f"{self.where}: {error}") if self.where else error from None


class ImageSource(ThreadSource):
    """Pictures in an order.

    In pace "live" the first is given, then another with each `step`, which looks at the folder or
    list again first (DVT-06); in pace "fast" each is given once, in order. One that cannot be
    decoded is passed over, and the status says so.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], list[Listed]],
        *,
        loop: bool = False,
        pace: Pace = "live",
        first_name: str | None = None,
        retouch: Retouch | None = None,
    ) -> None:
        """Look at the pictures' names, and decode the first one that can be.

        Args:
            name: What to call the whole on screen.
            look: Gives the pictures in order; raises SourceError where there are none.
            loop: In pace "fast", begin again after the last one.
            pace: See `rtvis.sources.base`.
            first_name: Begin with this file instead of the first one.
            retouch: Done to each picture.

        Raises:
            SourceError: No pictures, none that can be decoded, or none of that name.
        """
        self._look = look
        self._listed = look()
        self._loop = loop
        self._steps: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._index = -1
        self._num_skipped = 0
        self._skipped = self._notice = self._not_listed = ""
        paths = [listed.path for listed in self._listed]
        start = find_name(first_name, paths, name) if first_name is not None else 0
        self._first = self._read_first_of(range(start, len(self._listed)))
        if self._first is None:
            raise SourceError(self._skipped)
        height, width = self._first.image_HW3.shape[:2]
        super().__init__(
            name,
            pace=pace,
            size=(height, width) if len(self._listed) == 1 else None,
            num_frames=len(self._listed),
            retouch=retouch,
        )

    def step(self, count: int, *, held: Frame | None = None) -> Move:
        """Go `count` pictures on (negative: back), round the end. Nothing in pace "fast"."""
        del held
        if self._pace == "fast":
            return "none"
        self._steps.put(count)
        return "stepped"

    def _wake(self) -> None:
        self._steps.put(None)

    def _run(self) -> None:
        image, self._first = self._first, None
        if self._pace == "live":
            self._follow_steps(image)
            return
        while image is not None:
            if not self._give(image):
                return
            if self._loop:
                image = self._read_first_of(self._round_from(self._index + 1, direction=1))
            else:
                image = self._read_first_of(range(self._index + 1, len(self._listed)))
        if self._loop:
            self._set_state("failed", self._skipped)
        else:
            count = f"{self._num_skipped} of {len(self._listed)}"
            self._set_state(
                "ended", f"{count} passed over: {self._skipped}" if self._num_skipped else ""
            )

    def _follow_steps(self, image: Decoded | None) -> None:
        while True:
            if image is None:
                self._set_state("live", self._skipped)
            elif not self._give(image):
                return
            count = self._steps.get()
            if count is None:
                return
            start = self._look_again(count)
            direction = -1 if count < 0 else 1
            image = self._read_first_of(self._round_from(start, direction))

    def _round_from(self, start: int, direction: int) -> list[int]:
        """Every index once, from `start` on, round the end."""
        return [(start + direction * i) % len(self._listed) for i in range(len(self._listed))]

    def _look_again(self, count: int) -> int:
        """Look at the folder or list again. Returns the index `count` away from what is shown."""
        try:
            found = self._look()
        except SourceError as error:
            # All gone: reading the next one then says so. Or a mistake in a list.
            self._not_listed = str(error)
            return self._index + count
        self._not_listed = ""
        at, is_gone = _place_of(self._index, self._listed, found)
        self._listed, self._index, self._num_frames = found, at, len(found)
        # What is gone lay between `at` and the picture after it.
        return at + count + (1 if is_gone and count < 0 else 0)

    def _read_first_of(self, indices: Iterable[int]) -> Decoded | None:
        """The first picture that can be decoded; None if there is none."""
        message = ""
        for index in indices:
            try:
                image = self._listed[index].read()
            except SourceError as error:
                self._num_skipped += 1
                message = self._skipped = str(error)
                continue
            self._index = index
            self._notice = f"passed over {message}" if message else self._not_listed
            return image
        return None

    def _give(self, image: Decoded) -> bool:
        path = self._listed[self._index].path
        return self._deliver(
            image.image_HW3,
            precise_HW3=image.precise_HW3,
            name=path.name,
            path=path,
            message=self._notice,
        )


def find_name(name: str, paths: Sequence[Path], where: str) -> int:
    """The index of a picture by its file's name, or by its path's end where names are not enough.

    Raises:
        SourceError: There is none; the text names the nearest.
    """
    wanted = Path(name).parts
    for index, path in enumerate(paths):
        if path.parts[-len(wanted) :] == wanted:
            return index
    near = did_you_mean(name, [path.name for path in paths])
    raise SourceError(f"{where}: there is no picture '{name}'{near}; there are {len(paths)}")


def _place_of(index: int, before: Sequence[Listed], now: Sequence[Listed]) -> tuple[int, bool]:
    """Where a picture is after the folder or list has changed.

    Returns:
        Its index in `now`; or, if it is gone, that of the last picture before it that is left (-1
        if none is), and True. Of a picture that a list names twice the place nearest to `index`.
    """
    places: dict[Path, list[int]] = {}
    for place, listed in enumerate(now):
        places.setdefault(listed.path, []).append(place)
    for old in range(index, -1, -1):
        found = places.get(before[old].path)
        if found:
            return min(found, key=lambda place: abs(place - old)), old != index
    return -1, True


def list_file(path: Path, column: int = 0) -> list[Listed]:
    """The first name of each line of a list file (`rtvis.sources.lists`), or a later one.

    Raises:
        SourceError: As `read_list`, or a line has fewer names.
    """
    rows = read_list(path)
    for row in rows:
        if len(row.paths) <= column:
            raise SourceError(
                f"{path}:{row.line}: names one picture, not two; write two names a line to compare"
            )
    return [Listed(row.paths[column], where=f"{path}:{row.line}") for row in rows]


def list_folder(folder: Path, *, pattern: re.Pattern[str] | None = None) -> list[Path]:
    """The pictures in a folder, by name with numbers as numbers (`2.png` before `10.png`).

    Args:
        folder: Its own files only, none that is hidden.
        pattern: Only names in which this is found (DVT-07).

    Raises:
        SourceError: It cannot be read or has no pictures.
    """
    try:
        paths = [
            Path(entry.path)
            for entry in os.scandir(folder)
            if not entry.name.startswith(".")
            and Path(entry.name).suffix.lower() in IMAGE_SUFFIXES
            and (pattern is None or pattern.search(entry.name))
            and entry.is_file()
        ]
    except PermissionError:
        raise SourceError(
            f"{folder}: no permission to read this folder; change its mode or name another"
        ) from None
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}; name a folder of pictures") from None
    if not paths and pattern is not None:
        raise SourceError(
            f"{folder}: no picture in this folder matches '{pattern.pattern}'; "
            "give another --match, or none"
        )
    if not paths:
        raise SourceError(f"{folder}: no pictures in this folder; put PNG or JPEG files there")
    return sorted(paths, key=natural_order)


def list_glob(pattern: str) -> list[Path]:
    """The pictures that a glob matches, `**` being any folders; in the order of `list_folder`.

    Raises:
        SourceError: It matches nothing, or nothing that is a picture.
    """
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - absolute too
    files = [path for path in matches if path.is_file()]
    paths = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES or is_image(path)]
    if not files:
        raise SourceError(
            f"{pattern}: matches no file; quote it if the shell should leave it alone"
        )
    if not paths:
        raise SourceError(
            f"{pattern}: matches {len(files)} files, none of them a picture; "
            "to see a film, name one file"
        )
    return sorted(paths, key=natural_order)


def natural_order(name: str | Path) -> list[tuple[int, int, str]]:
    """A sort key by which runs of digits compare as numbers."""
    parts = re.split(r"(\d+)", str(name).casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]

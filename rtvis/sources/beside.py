"""A stream with files beside it, as one source."""

from collections.abc import Callable

from rtvis.errors import SourceError
from rtvis.sources.base import Pace, Source
from rtvis.sources.choose import DEMO_NAME, open_source
from rtvis.sources.images import ImageSource
from rtvis.sources.retouch import Mirror
from rtvis.sources.switch import SwitchSource
from rtvis.sources.uri import public_name, scheme_of
from rtvis.sources.video import VideoSource


def open_sources(
    stream: str,
    files: str | None = None,
    *,
    loop: bool = False,
    pace: Pace = "live",
    start_seconds: float | None = None,
    picture: str | None = None,
    match: str | None = None,
    mirror: Mirror = "auto",
    stretch_contrast: bool = False,
    steps: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> Source:
    """The stream, with the files beside it where there are any; the files are shown first.

    Args:
        stream: As `uri` of `open_source`, and so are the other arguments. Mirror and contrast are
            the stream's own: files are shown as they are.
        files: A picture, folder, glob or list.
        loop: As there.
        pace: As there.
        start_seconds: As there, of the stream.
        picture: As there, of the files where there are any.
        match: As there.
        mirror: As there.
        stretch_contrast: As there.
        steps: As there, where there are no files.
        warn: Told when the stream cannot be opened; the files are shown all the same (DVT-01).

    Raises:
        SourceError: As `open_source`; for the stream only where there are no files.
    """

    def open_stream(picture: str | None, *, steps: bool = True) -> Source:
        return open_source(
            stream,
            loop=loop,
            pace=pace,
            start_seconds=start_seconds,
            picture=picture,
            match=match,
            mirror=mirror,
            stretch_contrast=stretch_contrast,
            steps=steps,
        )

    if files is None:
        return open_stream(picture, steps=steps)
    shown = open_files(files, loop=loop, pace=pace, picture=picture, match=match)
    other: Source | None = None
    why = ""
    try:
        other = open_stream(None)
    except SourceError as error:
        why = str(error)
        warn(why)
    is_folder = isinstance(other, ImageSource)
    return SwitchSource(
        files=shown,
        stream=other,
        why_no_stream=why,
        # A film goes on where it was left; a camera that was held would show the past.
        holds_stream=isinstance(other, VideoSource) or (is_folder and pace == "fast"),
        holds_files=pace == "fast",
    )


def open_files(
    name: str,
    *,
    loop: bool = False,
    pace: Pace = "live",
    picture: str | None = None,
    match: str | None = None,
) -> Source:
    """The pictures that `name` names: one, or those of a folder, glob or list.

    Raises:
        SourceError: There are none, or it is something else.
    """
    shown = public_name(name)
    if name.isdecimal() or name == DEMO_NAME or scheme_of(name) not in {None, "file"}:
        raise SourceError(f"--files {shown}: is no folder of pictures; is --stream meant?")
    source = open_source(name, loop=loop, pace=pace, picture=picture, match=match)
    if not isinstance(source, ImageSource):
        source.close()
        raise SourceError(f"--files {shown}: is no picture; is --stream meant?")
    return source

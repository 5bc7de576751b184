"""From what the user names to the source that reads it."""

import os
import re
import stat
import sys
from pathlib import Path

from rtvis.errors import SourceError
from rtvis.paths import path_of
from rtvis.sources.base import Pace, Source
from rtvis.sources.cameras import check_linux_camera
from rtvis.sources.images import Listed, list_file, list_folder, list_glob
from rtvis.sources.lists import LIST_SUFFIXES
from rtvis.sources.pixels import is_image
from rtvis.sources.reading import Reading, compiled
from rtvis.sources.retouch import Mirror, Retouch
from rtvis.sources.stream import StreamLimits, StreamSource
from rtvis.sources.uri import Secret, check_stream_uri, public_name, scheme_of

DEMO_NAME = "demo"


def open_source(
    uri: str | int | os.PathLike[str],
    *,
    loop: bool = False,
    pace: Pace = "live",
    match: str | None = None,
    mirror: Mirror = "auto",
    stretch_contrast: bool = False,
    camera_size: tuple[int, int] | None = None,
    limits: StreamLimits | None = None,
    start_seconds: float | None = None,
    picture: str | None = None,
    column: int = 0,
    steps: bool = True,
) -> Source:
    """The source that `uri` names. It begins when `start` is called.

    Args:
        uri: `demo`; a number or `/dev/videoN` for a webcam; a URI with a scheme such as rtsp or
            http for a network stream; a picture or a film, told apart by their content; a folder,
            a glob, or a list file (.txt, .lst or .csv) for pictures.
        loop: Films, and folders in pace "fast", begin again after the end.
        pace: "live" or "fast", see `rtvis.sources.base`. Cameras and streams are always live.
        match: A regular expression: of a folder only the pictures in whose name it is found,
            in any case (DVT-07).
        mirror: Exchange left and right; "auto" does so for webcams.
        stretch_contrast: Spread each frame's values over 0..255 (DVT-02).
        camera_size: (height, width) to ask of a webcam, which may choose another.
        limits: How long to wait for cameras and streams; the defaults suit people.
        start_seconds: Where in a film to begin.
        column: Which of the names on each line of a list file; others than 0 need a list.
        picture: Name of the picture of a folder or glob to begin with.
        steps: Whether somebody is there to go from picture to picture. Else all of them are given
            one after the other in any pace, and the source ends, as a film does.

    Raises:
        SourceError: Unknown, missing, empty, unreadable or damaged, or a beginning that it does
            not have. A network stream that does not answer is no error: its status says so, and
            it is tried again and again.
    """
    assert pace in {"live", "fast"}
    text = os.fspath(uri) if not isinstance(uri, int) else str(uri)
    retouch = Retouch(mirrored=mirror == "on", stretched=stretch_contrast)
    camera_retouch = Retouch(mirrored=mirror != "off", stretched=stretch_contrast)
    how = Reading(
        loop=loop,
        pace=pace,
        start_seconds=start_seconds,
        picture=picture,
        pattern=compiled(match),
        retouch=retouch,
        column=column,
        steps=steps,
    )
    if re.fullmatch(r"-?\d+", text):
        how.refuse_place(f"camera {text}")
        return _open_camera(int(text), camera_size, limits, camera_retouch)
    if text == DEMO_NAME:
        how.refuse_column(DEMO_NAME)
        return how.film(demo_path(), name=DEMO_NAME)
    if not text.strip():
        raise SourceError("the name of the source is empty; name a file, a URI, a number or demo")
    scheme = scheme_of(text)
    if scheme == "file":
        text = text[len("file://") :]
    elif scheme is not None:
        check_stream_uri(text)
        how.refuse_place(public_name(text))
        return StreamSource(Secret(text), name=public_name(text), limits=limits, retouch=retouch)
    camera = re.fullmatch(r"/dev/video(\d+)", text)
    if camera:
        how.refuse_place(text)
        return _open_camera(int(camera.group(1)), camera_size, limits, camera_retouch)
    return _open_path(text, how)


def demo_path() -> Path:
    """The bundled clip: in the wheel inside the package, in a checkout in sample_images."""
    package = Path(__file__).parent.parent
    for folder in (package / "_demo", package.parent / "sample_images"):
        if (folder / "demo.mp4").is_file():
            return folder / "demo.mp4"
    raise SourceError("demo: this installation lacks its clip demo.mp4; name a file or a camera")


def _open_path(text: str, how: Reading) -> Source:
    path = path_of(text)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if re.search(r"[*?\[]", text):
            how.refuse_column(text)
            return how.pictures(text, lambda: [Listed(found) for found in list_glob(str(path))])
        raise SourceError(
            f"{_shown(text)}: there is no such file or folder; name one, a camera's number, a URI "
            "such as rtsp://host/path, or demo"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not a name that a file can have"
        raise SourceError(f"{_shown(text)}: {reason}; name a readable file or folder") from None
    if stat.S_ISDIR(mode):
        how.refuse_column(text)
        pattern = how.pattern
        return how.pictures(
            path.resolve().name or text,
            lambda: [Listed(found) for found in list_folder(path, pattern=pattern)],
        )
    if not stat.S_ISREG(mode):
        raise SourceError(f"{text}: is neither a file nor a folder; name a picture or a film")
    return _open_file(path, how)


def _open_file(path: Path, how: Reading) -> Source:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; name a file that you may read") from None
    if not head:
        raise SourceError(f"{path}: the file is empty; name a picture or film with something in it")
    # An animated GIF has a picture's signature, and is a film.
    if is_image(path) and not head.startswith(b"GIF8"):
        how.refuse_column(str(path))
        return how.pictures(path.name, lambda: [Listed(path)])
    if path.suffix.lower() in LIST_SUFFIXES:
        return how.pictures(path.name, lambda: list_file(path, how.column))
    how.refuse_column(str(path))
    if _is_text(head):
        raise SourceError(
            f"{path}: is a text file; name a picture or a film, or a list of pictures that ends "
            "in .txt, .lst or .csv"
        )
    return how.film(path)


def _open_camera(
    index: int, size: tuple[int, int] | None, limits: StreamLimits | None, retouch: Retouch
) -> StreamSource:
    if sys.platform == "linux":
        check_linux_camera(index)
    elif index < 0:
        raise SourceError(f"camera {index}: cameras are counted from 0")
    name = f"camera {index}"
    return StreamSource(index, name=name, camera_size=size, limits=limits, retouch=retouch)


def _is_text(head: bytes) -> bool:
    # A YUV4MPEG2 film begins with a line of text, and dark pixels may look like more of it.
    if b"\0" in head or head.startswith(b"YUV4MPEG2"):
        return False
    try:
        head[:-3].decode("utf-8")  # The last character may be cut in two.
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: str) -> str:
    """A mistyped URI (`rtsp:/user:password@host`) may be taken for a path: hide what it holds."""
    return f"…{text.rpartition('@')[2]}" if "@" in text and ":" in text else text

"""Addresses of network streams, and what of them may be shown."""

import re
from urllib.parse import urlsplit

from rtvis.errors import SourceError, did_you_mean

STREAM_SCHEMES = (
    "rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "tcp", "rtp", "srt", "mmsh",
)  # fmt: skip
"""What is read as a network stream. All of them FFmpeg knows."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PRIVATE = re.compile(r"(?i)(pass|pwd|token|secret|auth|login|user|key)\w*=")


class Secret:
    """Text that must not be shown: its repr and str hide it, `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one who needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


def scheme_of(text: str) -> str | None:
    """The scheme of a URI in lower case; None where `text` is none."""
    match = _SCHEME.match(text)
    return match.group(1).lower() if match else None


def public_name(uri: str) -> str:
    """A URI as it may be shown: scheme, host, port and path.

    User name, password and query are left out, and so are parts of the path such as
    `user=me&password=mine`, which some cameras want. Where it is not certain which part is a
    password (an `@` beyond the host: a password with a bare `/`, `?` or `#`), only the scheme
    stays.
    """
    scheme = scheme_of(uri)
    if scheme is None:
        return "…" if "@" in uri else uri
    rest = uri[len(scheme) + 3 :]
    authority, *_ = re.split(r"[/?#]", rest, maxsplit=1)
    beyond = rest[len(authority) :]
    if "@" in beyond:
        return f"{scheme}://…"
    host = authority.rpartition("@")[2]
    path = re.split(r"[?#]", beyond, maxsplit=1)[0]
    parts = ["…" if _PRIVATE.search(part) else part for part in path.split("/")]
    return f"{scheme}://{host}{'/'.join(parts)}"


def check_stream_uri(uri: str) -> None:
    """Raise SourceError unless `uri` has a known scheme, a host and a sensible port."""
    scheme = scheme_of(uri)
    shown = public_name(uri)
    if scheme not in STREAM_SCHEMES:
        known = ", ".join(STREAM_SCHEMES)
        raise SourceError(
            f"{shown}: unknown scheme '{scheme}'{did_you_mean(scheme or '', STREAM_SCHEMES)}; "
            f"there are: {known}, or name a file, a folder, a camera's number or demo"
        )
    try:
        parts = urlsplit(uri)
        is_good = parts.port != 0 and (bool(parts.hostname) or scheme in {"udp", "rtp"})
    except ValueError:  # Its text quotes the URI.
        is_good = False
    if not is_good or any(character.isspace() for character in uri):
        raise SourceError(
            f"{shown}: not a valid address; write {scheme}://[user:password@]host[:port]/path, "
            "with special characters of a password as %40 for @, %2F for /, %3A for :"
        )

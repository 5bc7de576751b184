"""Where frames come from: cameras, films, streams and pictures, behind one protocol."""

from rtvis.sources.base import Pace, Source, next_frame
from rtvis.sources.beside import open_sources
from rtvis.sources.choose import demo_path, open_source
from rtvis.sources.pixels import read_image

__all__ = [
    "Pace",
    "Source",
    "demo_path",
    "next_frame",
    "open_source",
    "open_sources",
    "read_image",
]

"""What a page of the details pane is."""

from collections.abc import Callable
from dataclasses import dataclass

from rtvis.render.layout import Layout
from rtvis.render.region import Region
from rtvis.render.scene import Scene
from rtvis.render.surface import Surface
from rtvis.render.text import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Words from the host, pictures from the device. Only the page in sight is asked.

    Everything lies in `layout.contents["details"]`, which is there when this is called.
    """

    title: Callable[[Region], tuple[Run, ...]]
    write: Callable[[Region], None]
    """Brings the page's slots up to date; the names of slots begin with the page's."""
    paint: Callable[[Surface, Scene, Layout], None]
    """Draws what the host does not know, without waiting for it; only with a result."""

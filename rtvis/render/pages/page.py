"""What a page of the details pane is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rtvis.data import Target
from rtvis.render import wording
from rtvis.render.layout import Layout
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.scene import Measured, Memory, Scene
from rtvis.render.surface import Surface
from rtvis.render.text import SEMIBOLD, Run
from rtvis.theme import Ink


class Gauge(Protocol):
    """Computes what a page shows, on the device, without waiting for it. One for a compositor."""

    def measure(self, scene: Scene, ends: tuple[Tensor, Tensor]) -> Measured:
        """Called for every picture that shows the page, with a scene that has a result.

        Args:
            scene: What is shown.
            ends: Smallest and largest value of the layer as the grid's colours follow them,
                scalars on the device: low <= 0 <= high.
        """
        ...


@runtime_checkable
class RememberingGauge(Gauge, Protocol):
    """A gauge whose numbers depend on earlier pictures, too."""

    @property
    def memory(self) -> Memory:
        """What it has gathered; nothing of it is written to again."""
        ...

    def resume(self, memory: Memory) -> None:
        """Make the next picture, if it is of the same layer, that with which the memory ended."""
        ...


def _nothing(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    del layout, readout, x, y
    return None


def unit_title(region: Region) -> tuple[Run, ...]:
    """The number of the selected unit."""
    return (wording.dim("unit "), Run(f"{region.layout.unit}", Ink.SELECTED, SEMIBOLD))


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
    make_gauge: Callable[[torch.device], Gauge] | None = None
    """What computes `Scene.measured` for the other functions; None where the result is enough."""
    hit: Callable[[Layout, Readout, int, int], Target | None] = _nothing
    """What lies under a pixel (x, y) of the page; None for nothing in particular."""

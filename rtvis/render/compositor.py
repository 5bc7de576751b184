"""Draws a scene on one canvas. (Signatures first; the drawing follows.)"""

import torch
from torch import Tensor

from rtvis.render.download import Pending
from rtvis.render.layout import Layout
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene


class Compositor:
    """Owns the canvas, the caches and the smoothed colour ranges. One owning thread."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.layout: Layout | None = None
        """Of the canvas composed last; what the pointer is tested against."""
        self.readout = Readout()
        """The newest numbers in host memory (on CUDA of the last picture downloaded)."""

    def compose(self, scene: Scene) -> Tensor:
        """The canvas, int32 [H, W] of packed BGRA, valid until the next call."""
        raise NotImplementedError

    def download(self) -> Pending:
        """Start the one download of the canvas composed last; `Pending.wait` gives BGR uint8."""
        raise NotImplementedError

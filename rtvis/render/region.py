"""What every part of the canvas's text needs to be drawn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtvis.data import Target
from rtvis.render import lut, wording
from rtvis.render.chrome import Brush, Chrome
from rtvis.render.grid import Rect
from rtvis.render.layout import Layout, Metrics, names_classes
from rtvis.render.map_panes import palette_of
from rtvis.render.pairs import lay_pairs
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.theme import Ink


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One scene, where it goes, and the slots that it is drawn into."""

    chrome: Chrome
    scene: Scene
    layout: Layout
    readout: Readout

    @property
    def _metric(self) -> Metrics:
        return self.layout.metrics

    @property
    def _radius(self) -> int:
        return self.layout.metrics.corner

    @property
    def _scale_width(self) -> int:
        return round(184 * self.layout.metrics.scale)

    @property
    def _scale_shown(self) -> bool:
        """Whether the grid's title has room for its colour scale, and the grid colours."""
        if self.scene.pattern is not None:
            return False
        lefts = [button.rect.left for button in self.layout.buttons if button.pane == "grid"]
        room = min(lefts, default=0) - self.layout.panes["grid"].left
        return self.layout.grid is not None and room >= 3 * self._scale_width // 2

    @property
    def unit_name(self) -> str:
        """Of the class that the selected unit is; empty for others."""
        layer = self.layout.layer
        if layer is None or not names_classes(layer, self.scene.layers, self.scene.labels):
            return ""
        return wording.class_name(self.scene.labels, self.layout.unit)

    def _ramp(self, *, signed: bool) -> npt.NDArray[np.int32]:
        view = self.scene.view
        palette = palette_of(view, self.scene.result)
        words = lut.table_words(palette, view.gamma)
        zero = lut.DIVERGING_ZERO if signed else lut.SEQUENTIAL_ZERO
        return words[zero - lut.STEPS * signed : zero + lut.STEPS + 1]

    def _scrollbar(self, brush: Brush, bar: Rect, first: int, shown: int, num: int) -> None:
        if num <= shown:
            return
        thickness = round(3 * self.layout.metrics.scale)
        margin = thickness
        length = bar.height - 2 * margin
        top = bar.top + margin + length * first // num
        height = max(length * shown // num, 2 * thickness)
        track = Rect(bar.top + margin, bar.right - thickness - 1, length, thickness)
        brush.fill(track, Ink.RAISED)
        brush.fill(Rect(top, track.left, height, thickness), Ink.FAINT)


def corner_size(rect: Rect, metrics: Metrics) -> int:
    """Side of the corner that marks what the user has changed, in pixels."""
    return min(max(min(rect.height, rect.width) // 4, 3 * metrics.line // 2), 4 * metrics.line)


def patches_shown(scene: Scene) -> tuple[bool, bool]:
    """Whether the picture and the backward picture of the receptive field are drawn."""
    if scene.result is None or scene.maps_note:
        return False, False
    wanted = scene.view.backward_shown and scene.result.selection.backward
    return scene.image_HW3 is not None, wanted


def target_rect(layout: Layout, target: Target) -> Rect | None:
    """What to outline for a target, and where its name and value belong."""
    if target.kind == "unit" and layout.grid is not None and target.unit is not None:
        return layout.grid.tile(target.unit) if target.unit < layout.grid.num else None
    if target.kind == "position" and target.position is not None and layout.layer is not None:
        height, width = layout.layer.map_size
        within = target.position[0] < height and target.position[1] < width
        if within and "unit" in layout.images:
            return layout.neuron(target.position)
    if target.kind in {"pair", "top"}:
        return _on_page(layout, target)
    if target.kind == "pixel" and target.position is not None and layout.pixels is not None:
        return layout.pixels.rect((*target.position, 1, 1))
    if target.kind == "layer":
        for chip in layout.strip.chips:
            if chip.layer == target.layer:
                return layout.strip.rect(chip)
    return None


def _on_page(layout: Layout, target: Target) -> Rect | None:
    """The same of the details pane."""
    if target.kind == "pair" and layout.page == "correlation" and "details" in layout.contents:
        assert target.unit is not None
        assert target.other_unit is not None
        return lay_pairs(layout).cell(target.unit, target.other_unit)
    if target.kind == "top" and layout.learned is not None and target.place is not None:
        return layout.learned.grids[0].tile(target.place) if layout.learned.grids else None
    return None

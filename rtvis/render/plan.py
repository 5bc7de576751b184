"""Where everything lies on one canvas, and what lies under the pointer. Numbers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rtvis.data import Layer, Target
from rtvis.render.buttons import Button
from rtvis.render.changes_plan import ChangesPlan
from rtvis.render.grid import Grid, Rect
from rtvis.render.learned_plan import LearnedPlan
from rtvis.render.metrics import Metrics
from rtvis.render.pixels import Pixels
from rtvis.render.strip import Strip
from rtvis.session import PageName


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """All rectangles of one canvas. Panes that are folded away are absent from `panes`."""

    size: tuple[int, int]
    """(height, width) of the canvas."""
    metrics: Metrics
    panes: dict[str, Rect]
    """"header", "input", "unit", "backprop", "layers", "grid", "classes", "details", "status":
    the whole panels, without overlap. All but the grid may be missing."""
    contents: dict[str, Rect]
    """Of the panes with a title: what lies below it."""
    images: dict[str, Rect]
    """"input", "unit", "backprop": where the pictures themselves are drawn; one of the latter two
    moves into the grid's pane when zoomed. While two are compared "second" is beside "input". Those
    of missing panes are missing."""
    inset: Rect | None
    """Where the source's picture lies within the image "input", if that is letterboxed: bars are
    around it."""
    layer: Layer | None
    """Whose maps are shown."""
    unit: int
    """Unit that is shown enlarged."""
    beside: Layer | None
    """Whose values are shown beside the maps, if the network has it."""
    strip: Strip
    grid: Grid | None
    """None while another picture is zoomed into its place, or without layers."""
    class_rows: tuple[Rect, ...]
    """Rows of the top classes, best first."""
    patches: tuple[Rect, ...]
    """Where the picture and the backward picture within the neuron's receptive field are drawn;
    empty where there is no room or no receptive field."""
    buttons: tuple[Button, ...]
    page: PageName = "unit"
    """What the details pane shows."""
    changes: ChangesPlan | None = None
    """The page of changes, while it is in sight."""
    learned: LearnedPlan | None = None
    """The page of what the unit has learned, while it is in sight."""
    pixels: Pixels | None = None
    """Of a dense output, over the input; None for a network without one."""

    @property
    def max_grid_scroll(self) -> int:
        """Largest useful `View.grid_scroll`."""
        return self.grid.max_scroll if self.grid is not None else 0

    @property
    def max_layer_scroll(self) -> int:
        """Largest useful `View.layer_scroll`."""
        return self.strip.max_scroll

    def grid_scroll_to(self, unit: int) -> int:
        """`View.grid_scroll` that brings a unit into sight, moving as little as can be."""
        return self.grid.scroll_to(unit) if self.grid is not None else 0

    def layer_scroll_to(self, layer: str) -> int:
        """`View.layer_scroll` that brings a layer into sight, moving as little as can be."""
        return self.strip.scroll_to(layer)

    def button(self, name: str) -> Button | None:
        """A button by name; None where it is folded away."""
        return next((button for button in self.buttons if button.name == name), None)

    def pane_at(self, x: int, y: int) -> str:
        """Name of the pane that holds the pixel; empty between panes."""
        for name, rect in self.panes.items():
            if rect.contains(x, y):
                return name
        return ""

    def hit(self, x: int, y: int, *, classes: Sequence[int] = ()) -> Target:
        """What lies under a pixel.

        Args:
            x: Column of the canvas.
            y: Row of the canvas.
            classes: Class indices of the rows of top classes, best first, as they were drawn
                (`Readout.top`).
        """
        pane = self.pane_at(x, y)
        if not pane:
            return Target(kind="none")
        for button in self.buttons:
            if button.rect.contains(x, y):
                kind: Literal["rule", "pane"] = "rule" if button.name == "rule" else "pane"
                return Target(kind=kind, pane=f"button:{button.name}")
        return self._data_at(pane, x, y, classes) or Target(kind="pane", pane=pane)

    def _data_at(self, pane: str, x: int, y: int, classes: Sequence[int]) -> Target | None:
        if pane == "layers":
            chip = self.strip.at(x, y)
            if chip is not None and chip.layer is not None:
                return Target(kind="layer", pane=pane, layer=chip.layer)
        if pane == "classes":
            for row, class_index in zip(self.class_rows, classes, strict=False):
                if row.contains(x, y):
                    return Target(kind="class", pane=pane, class_index=class_index)
        if pane == "input" and self.pixels is not None:
            pixel = self.pixels.at(x, y)
            if pixel is not None:
                return Target(kind="pixel", pane=pane, position=pixel)
        if self.layer is not None:
            if pane == "grid" and self.grid is not None:
                unit = self.grid.at(x, y)
                if unit is not None:
                    return Target(kind="unit", pane=pane, layer=self.layer.name, unit=unit)
            position = self.position_at(x, y)
            if position is not None:
                return Target(
                    kind="position",
                    pane=pane,
                    layer=self.layer.name,
                    unit=self.unit,
                    position=position,
                )
        return None

    def position_at(self, x: int, y: int) -> tuple[int, int] | None:
        """(row, column) of the enlarged map under a pixel; None outside it."""
        image = self.images.get("unit")
        if image is None or not image.contains(x, y):
            return None
        if self.layer is None or self.layer.map_size == (1, 1):
            return None
        map_height, map_width = self.layer.map_size
        row = (y - image.top) * map_height // image.height
        column = (x - image.left) * map_width // image.width
        return row, column

    def neuron(self, position: tuple[int, int]) -> Rect:
        """The pixels of one neuron in the enlarged map, which is there; the inverse of
        `position_at`."""
        assert self.layer is not None, "there is no enlarged map without a layer"
        image = self.images["unit"]
        map_height, map_width = self.layer.map_size
        top = -(-position[0] * image.height // map_height)
        left = -(-position[1] * image.width // map_width)
        bottom = -(-(position[0] + 1) * image.height // map_height)
        right = -(-(position[1] + 1) * image.width // map_width)
        return Rect(image.top + top, image.left + left, bottom - top, right - left)

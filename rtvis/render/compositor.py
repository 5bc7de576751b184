"""Draws a scene on one canvas, on the device, without waiting for it."""

from dataclasses import replace

import torch
from torch import Tensor

from rtvis.data import Layer, Result, Target
from rtvis.render import display, panes
from rtvis.render.chrome import Chrome
from rtvis.render.download import Downloader, Pending
from rtvis.render.empty_words import backward_message, grid_message
from rtvis.render.floating import Floating
from rtvis.render.grid import Grid, Rect
from rtvis.render.label_picture import background_classes, heat
from rtvis.render.layout import Layout, layout, shown_layer
from rtvis.render.map_panes import draw_grid, draw_unit
from rtvis.render.marks import draw_marks
from rtvis.render.measuring import Measuring, Numbers
from rtvis.render.overlays import Overlays
from rtvis.render.pages import PAGES
from rtvis.render.pattern import PatternPainter, draw_picture
from rtvis.render.pictures_plan import Sizes
from rtvis.render.readout import Readout, unpack_readout
from rtvis.render.regions import draw_regions
from rtvis.render.scene import Half, Memory, PatternShown, Scene
from rtvis.render.surface import Surface
from rtvis.render.wording import class_name
from rtvis.session import PageName
from rtvis.theme import inks_of
from rtvis.threads import cpu_threads

_NOTHING = Target(kind="none")


class Compositor:
    """Owns the canvas, the caches and the smoothed colour ranges. One owning thread.

    The canvas is kept from turn to turn: text is drawn again where it changed, panes are drawn
    over, and what floated above them is taken away first.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.layout: Layout | None = None
        """Of the canvas composed last; what the pointer is tested against."""
        self.readout = Readout()
        """The newest numbers in host memory (on CUDA, of the last picture downloaded)."""
        self.memory: Memory | None = None
        """What the page in sight has gathered up to the canvas composed last."""
        self._layout_key: object = None
        self._layout_of: object = None
        self._measuring = Measuring(device)
        self._numbers: Numbers | None = None
        self._chrome = Chrome(device)
        self._overlays = Overlays(device)
        self._downloader = Downloader(device)
        self._surface = Surface(device)
        self._floating = Floating(self._overlays)
        self._pattern = PatternPainter(device)

    def compose(self, scene: Scene) -> Tensor:
        """The canvas, int32 [H, W] of packed BGRA, valid until the next call."""
        with cpu_threads(1):
            return self._compose(scene)

    def _compose(self, scene: Scene) -> Tensor:
        scene = self._measured(scene)
        plan = self._plan(scene)
        readout = self._readout_for(scene)

        geometry = (
            plan.size,
            tuple(plan.panes.items()),
            tuple(plan.images.items()),
            plan.grid.area if plan.grid is not None else None,
            plan.layer.map_size == (1, 1) if plan.layer is not None else None,
            plan.patches,
            scene.view.page,
        )
        inks = inks_of(scene.view.theme)
        fresh = self._chrome.begin(geometry, plan.size, inks)
        self._overlays.begin(inks)
        draw_regions(self._chrome, scene, plan, readout, fresh=fresh)
        self._surface.begin(self._chrome)
        self._draw_panes(scene, plan, readout)
        draw_marks(self._surface, scene, plan, readout)
        self._floating.draw(self._surface, scene, plan, readout)
        return self._surface.words_HW

    def download(self) -> Pending:
        """Start the one download of the canvas composed last."""
        numbers = self._numbers
        packed_N, subject = (None, None) if numbers is None else (numbers.packed_N, numbers.subject)
        return self._downloader.submit(self._surface.words_HW, packed_N, subject=subject)

    def receive(self, readout: Readout | None) -> None:
        """Take over the numbers that a finished download brought (`Pending.readout`)."""
        if readout is not None:
            self.readout = readout

    def resume(self, colour_range: tuple[float, float]) -> None:
        """Draw the grid in the range of an earlier run (`Readout.range_ends`); go on from it."""
        self._measuring.resume(colour_range)

    def resume_page(self, page: PageName, memory: Memory) -> None:
        """Let a page go on from what it had gathered in an earlier run (`memory`)."""
        self._measuring.resume_page(page, memory)

    def _measured(self, scene: Scene) -> Scene:
        """The scene with what its page measured; its numbers are kept for the text."""
        scene, numbers = self._measuring.measure(scene)
        self._numbers, self.memory = numbers, numbers.memory if numbers is not None else None
        if numbers is not None and self.device.type == "cpu":
            # Nothing to wait for: the text can use this picture's own numbers.
            self.readout = unpack_readout(numbers.packed_N.tolist(), numbers.subject)
        return scene

    def _readout_for(self, scene: Scene) -> Readout:
        """The newest numbers; those about a unit are blank when they are of another one."""
        result = scene.result
        if result is None:
            return Readout()
        readout = self.readout
        same = (readout.layer, readout.unit) == (result.selection.layer, result.selection.unit)
        if same and not scene.maps_note:
            return readout
        kept = {"top": readout.top, "top_pair": readout.top_pair, "moved": readout.moved}
        return replace(Readout(), **kept)  # type: ignore[arg-type]

    def _plan(self, scene: Scene) -> Layout:
        """The layout, made anew only when something changed that it depends on."""
        result, view = scene.result, scene.view
        layer = _layer_of(scene)
        # What the pointer is over and what a notice says moves nothing.
        view = replace(view, hover=_NOTHING, notice="", notice_is_warning=False)
        unit = (result.selection.unit or 0) if result is not None else None
        halves = _halves(scene)
        sizes = Sizes(
            frame=_size_of(halves[0].image_HW3),
            second=_size_of(halves[-1].image_HW3),
            input=_input_size(scene),
            output=_output_size(scene),
        )
        crop = result.crop if result is not None else None
        key = (view, id(scene.layers), id(scene.labels), layer, unit, sizes, crop)
        if self.layout is None or self._layout_key != key:
            self._layout_key = key
            self._layout_of = (scene.layers, scene.labels)  # keeps their ids from being reused
            self.layout = layout(
                view,
                scene.layers,
                labels=scene.labels,
                layer=layer,
                unit=unit,
                sizes=sizes,
                crop=crop,
            )
        return self.layout

    def _draw_panes(self, scene: Scene, plan: Layout, readout: Readout) -> None:
        self._draw_inputs(scene, plan)
        canvas_HW, view, result = self._surface.words_HW, scene.view, scene.result
        numbers = self._numbers
        if result is None or numbers is None or plan.layer is None or scene.maps_note:
            return
        if plan.grid is not None and not grid_message(scene, readout):
            if scene.pattern is None:
                draw_grid(self._surface, scene, plan, numbers.ranges)
            else:
                self._draw_pattern(scene, scene.pattern, plan, plan.grid)
            self._draw_captions(scene, plan)
        if plan.layer.map_size != (1, 1):
            draw_unit(self._surface, scene, plan)
        rect = plan.images.get("backprop")
        if rect is not None and not backward_message(scene, readout):
            gradient_3HW = result.backprop_B3HW[scene.batch_index]
            panes.draw_backprop(canvas_HW, rect, gradient_3HW, how=view.backprop_display)
            if scene.stale_since_ns:
                self._surface.fade(rect)
        if "details" in plan.panes:
            PAGES[view.page].paint(self._surface, scene, plan)

    def _draw_inputs(self, scene: Scene, plan: Layout) -> None:
        """The source picture; of two that are compared both."""
        for name, half in zip(("input", "second"), _halves(scene), strict=False):
            if half.image_HW3 is None or name not in plan.images:
                continue
            cam_HW, labels_HW = _over_input(scene, half.result)
            panes.draw_input(
                self._surface.words_HW,
                plan.images[name],
                half.image_HW3,
                cam_HW=cam_HW,
                crop=half.result.crop if half.result is not None else None,
                style=scene.view.cam_style,
                labels_HW=labels_HW,
                background=background_classes(scene.labels),
                inset=plan.inset if name == "input" else None,
                around=scene.mean_rgb,
            )

    def _draw_pattern(self, scene: Scene, pattern: PatternShown, plan: Layout, grid: Grid) -> None:
        """What the units have learned; the picture that is growing now in its own tile."""
        canvas_HW, learned = self._surface.words_HW, scene.learned
        self._pattern.draw(self._surface, pattern, grid, plan.metrics.line)
        if scene.view.pattern != "optimized" or learned is None or learned.layer != pattern.layer:
            return
        tile = grid.tile(learned.unit)
        if learned.optimized_HW3 is not None and tile is not None:
            draw_picture(canvas_HW, tile, learned.optimized_HW3)

    def _draw_captions(self, scene: Scene, plan: Layout) -> None:
        """Names of the classes under their cells."""
        grid = plan.grid
        if grid is None or not grid.caption_height or scene.labels is None:
            return
        for first in range(grid.first, grid.last, grid.num_cols):
            last = min(first + grid.num_cols, grid.last)
            names = tuple(class_name(scene.labels, unit) for unit in range(first, last))
            tile = grid.tile(first)
            assert tile is not None, "rows in sight begin with a tile in sight"
            row_HW = self._overlays.captions(f"row {first}", names, plan.metrics, grid)
            rect = Rect(tile.bottom, tile.left, row_HW.shape[0], row_HW.shape[1])
            self._surface.words_HW[rect.rows, rect.columns] = row_HW


def _over_input(scene: Scene, result: Result | None) -> tuple[Tensor | None, Tensor | None]:
    """What lies over the input: a CAM or the heat of one output map, or a label picture."""
    view = scene.view
    if result is None:
        return None, None
    if result.dense_BKHW is not None and view.labels_shown:
        if result.labels_BHW is None:
            return heat(result.dense_BKHW[scene.batch_index]), None
        return None, result.labels_BHW[scene.batch_index]
    if not view.cam_shown:
        return None, None
    return display.above_floor(result.cam_BHW[scene.batch_index], result.selection.cam), None


def _layer_of(scene: Scene) -> Layer | None:
    if scene.result is not None:
        name = scene.result.selection.layer
        for layer in scene.layers:
            if layer.name == name:
                return layer
    return shown_layer(scene.view, scene.layers)


def _halves(scene: Scene) -> tuple[Half, ...]:
    """What the input pane shows: of two that are compared both."""
    if scene.pair is None:
        return (Half(name="", image_HW3=scene.image_HW3, result=scene.result),)
    return scene.pair.first, scene.pair.second


def _size_of(image_HW3: Tensor | None) -> tuple[int, int] | None:
    return (image_HW3.shape[0], image_HW3.shape[1]) if image_HW3 is not None else None


def _output_size(scene: Scene) -> tuple[int, int] | None:
    dense = scene.result.dense_BKHW if scene.result is not None else None
    return (dense.shape[2], dense.shape[3]) if dense is not None else None


def _input_size(scene: Scene) -> tuple[int, int] | None:
    if scene.result is None:
        return None
    _, channels, height, width = scene.result.backprop_B3HW.shape
    return height, 2 * width if channels == 6 else width  # as `display.side_by_side`

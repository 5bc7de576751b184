"""Draws a scene on one canvas, on the device, without waiting for it."""

from dataclasses import replace

import torch
from torch import Tensor

from rtvis.data import Layer, Result, Target, units_of
from rtvis.render import display, lut, panes
from rtvis.render.chrome import Chrome
from rtvis.render.download import Downloader, Pending
from rtvis.render.empty_words import backward_message, grid_message
from rtvis.render.grid import Grid, Rect
from rtvis.render.help_table import help_line, lay_help
from rtvis.render.hover_words import hover_text
from rtvis.render.label_picture import background_classes, heat
from rtvis.render.layout import Layout, layout, shown_layer
from rtvis.render.map_panes import draw_grid, draw_unit, shown_maps
from rtvis.render.overlays import HINT, Overlays, beside
from rtvis.render.pages import PAGES
from rtvis.render.pages.page import Gauge, RememberingGauge
from rtvis.render.panes_plan import has_details
from rtvis.render.pattern import PatternPainter, draw_picture
from rtvis.render.pictures_plan import Sizes
from rtvis.render.readout import Ranked, Readout, pack_readout, rank, subject_of, unpack_readout
from rtvis.render.region import corner_size, target_rect
from rtvis.render.regions import draw_regions
from rtvis.render.scene import Half, Memory, PatternShown, Scene
from rtvis.render.surface import Surface
from rtvis.render.text import Run
from rtvis.render.times import HeldTimes, Table
from rtvis.render.wording import class_name
from rtvis.session import PageName
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
        self._range = display.ColourRange(device)
        self._chrome = Chrome(device)
        self._overlays = Overlays(device)
        self._downloader = Downloader(device)
        self._surface = Surface(device)
        self._times = HeldTimes()
        self._packed_N: Tensor | None = None
        self._subject: Readout | None = None
        self._pattern = PatternPainter(device)
        self._gauges: dict[PageName, Gauge] = {}

    def compose(self, scene: Scene) -> Tensor:
        """The canvas, int32 [H, W] of packed BGRA, valid until the next call."""
        with cpu_threads(1):
            return self._compose(scene)

    def _compose(self, scene: Scene) -> Tensor:
        scene, ranges = self._measure(scene)
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
        fresh = self._chrome.begin(geometry, plan.size)
        draw_regions(self._chrome, scene, plan, readout, fresh=fresh)
        self._surface.begin(self._chrome)
        self._draw_panes(scene, plan, readout, ranges)
        self._draw_marks(scene, plan)
        self._draw_overlays(scene, plan)
        return self._surface.words_HW

    def download(self) -> Pending:
        """Start the one download of the canvas composed last."""
        return self._downloader.submit(
            self._surface.words_HW, self._packed_N, subject=self._subject
        )

    def receive(self, readout: Readout | None) -> None:
        """Take over the numbers that a finished download brought (`Pending.readout`)."""
        if readout is not None:
            self.readout = readout

    def resume(self, colour_range: tuple[float, float]) -> None:
        """Draw the grid in the range of an earlier run (`Readout.range_ends`); go on from it."""
        self._range.resume(colour_range)

    def resume_page(self, page: PageName, memory: Memory) -> None:
        """Let a page go on from what it had gathered in an earlier run (`memory`)."""
        gauge = self._gauge(page)
        if isinstance(gauge, RememberingGauge):
            gauge.resume(memory)

    def _measure(self, scene: Scene) -> tuple[Scene, tuple[Tensor, Tensor] | None]:
        """Follow the layer's range, have the page measure, and pack the numbers for the text."""
        self._packed_N, self._subject, self.memory = None, None, None
        result, page = scene.result, scene.view.page
        if result is None:
            return scene, None
        maps_CHW = shown_maps(result, scene.batch_index)
        low, high = display.extremes(maps_CHW)
        key = _range_key(scene, result)
        ranges = self._range.update(low, high, key=key, smoothed=scene.view.range_smoothed)
        page_N: Tensor | None = None
        ranked = _ranked(scene)
        in_sight = has_details(scene.view) and not scene.maps_note
        gauge = self._gauge(page) if in_sight else None
        if gauge is not None:
            measured = gauge.measure(scene, self._range.ends)
            scene, page_N = replace(scene, measured=measured), measured.page_numbers
            if isinstance(gauge, RememberingGauge):
                self.memory = gauge.memory
        self._packed_N = pack_readout(
            result,
            maps_CHW,
            batch_index=scene.batch_index,
            hover=scene.view.hover,
            low=low,
            high=high,
            range_low=ranges[0],
            range_high=ranges[1],
            range_ends=self._range.ends,
            page_N=page_N,
            ranked=ranked,
        )
        self._subject = subject_of(result, page=page, page_N=page_N, ranked=ranked)
        if self.device.type == "cpu":
            # Nothing to wait for: the text can use this picture's own numbers.
            self.readout = unpack_readout(self._packed_N.tolist(), self._subject)
        return scene, ranges

    def _gauge(self, page: PageName) -> Gauge | None:
        """What measures for a page; pages not in sight cost nothing."""
        make = PAGES[page].make_gauge
        if make is not None and page not in self._gauges:
            self._gauges[page] = make(self.device)
        return self._gauges.get(page)

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

    def _draw_panes(
        self,
        scene: Scene,
        plan: Layout,
        readout: Readout,
        ranges: tuple[Tensor, Tensor] | None,
    ) -> None:
        canvas_HW, view, result = self._surface.words_HW, scene.view, scene.result
        batch = scene.batch_index
        for name, half in zip(("input", "second"), _halves(scene), strict=False):
            if half.image_HW3 is None or name not in plan.images:
                continue
            cam_HW, labels_HW = _over_input(scene, half.result)
            panes.draw_input(
                canvas_HW,
                plan.images[name],
                half.image_HW3,
                cam_HW=cam_HW,
                crop=half.result.crop if half.result is not None else None,
                style=view.cam_style,
                labels_HW=labels_HW,
                background=background_classes(scene.labels),
                inset=plan.inset if name == "input" else None,
                around=scene.mean_rgb,
            )
        if result is None or ranges is None or plan.layer is None or scene.maps_note:
            return
        if plan.grid is not None and not grid_message(scene, readout):
            if scene.pattern is None:
                draw_grid(self._surface, scene, plan, ranges)
            else:
                self._draw_pattern(scene, scene.pattern, plan, plan.grid)
            self._draw_captions(scene, plan)
        if plan.layer.map_size != (1, 1):
            draw_unit(self._surface, scene, plan)
        if not backward_message(scene, readout):
            rect = plan.images["backprop"]
            how = view.backprop_display
            panes.draw_backprop(canvas_HW, rect, result.backprop_B3HW[batch], how=how)
            self._fade_if_stale(scene, rect)
        if "details" in plan.panes:
            PAGES[view.page].paint(self._surface, scene, plan)

    def _draw_pattern(self, scene: Scene, pattern: PatternShown, plan: Layout, grid: Grid) -> None:
        """What the units have learned; the picture that is growing now in its own tile."""
        canvas_HW, learned = self._surface.words_HW, scene.learned
        self._pattern.draw(canvas_HW, pattern, grid, plan.metrics.line)
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

    def _fade_if_stale(self, scene: Scene, rect: Rect) -> None:
        if scene.stale_since_ns:
            self._surface.fade(rect)

    def _draw_marks(self, scene: Scene, plan: Layout) -> None:
        """Outlines of the selected tile and of what is under the pointer."""
        if scene.result is None or scene.maps_note:
            return
        line = plan.metrics.line
        self._mark_changes(scene.result, plan)
        if plan.grid is not None and not grid_message(scene, self._readout_for(scene)):
            tile = plan.grid.tile(plan.unit) if plan.unit < plan.grid.num else None
            if tile is not None:
                self._surface.outline(tile, lut.SELECTED, line)
            origin = scene.result.selection.origin
            if origin is not None and plan.layer is not None and origin.layer == plan.layer.name:
                start = plan.grid.tile(origin.unit)
                if start is not None and origin.unit != plan.unit:
                    self._surface.outline(start, lut.SOURCE, line)
        region = scene.result.selection.region
        if region is not None and plan.pixels is not None:
            rect = plan.pixels.rect(region)
            if rect is not None:
                self._surface.outline(rect, lut.TEXT, line)
        hover = scene.view.hover
        rect = target_rect(plan, hover) if hover.kind in {"unit", "position", "pair"} else None
        if rect is not None and hover.layer == scene.result.selection.layer:
            self._surface.outline(rect, lut.TEXT, max(line // 2, 1))

    def _mark_changes(self, result: Result, plan: Layout) -> None:
        """A corner on the tiles of units that the user has changed."""
        if plan.grid is None:
            return
        for change in result.selection.interventions:
            shown = units_of(result.selection.layer or "")
            if units_of(change.layer) != shown or change.unit >= plan.grid.num:
                continue
            tile = plan.grid.tile(change.unit)
            if tile is not None:
                self._surface.corner(tile, lut.CHANGED, corner_size(tile, plan.metrics))

    def _draw_overlays(self, scene: Scene, plan: Layout) -> None:
        view, metrics = scene.view, plan.metrics
        width = plan.size[1]
        if view.help_shown:
            self._surface.fade_all()
            table = lay_help(scene.bindings, metrics, plan.size)
            lit = help_line(view.hover)
            table_HW = self._overlays.help(scene.bindings, table, metrics, lit=lit)
            self._surface.float(table.panel, table_HW)
            return
        anchor = target_rect(plan, view.hover)
        runs = hover_text(scene, self._readout_for(scene), view.hover)
        if anchor is not None and runs:
            chip_HW = self._overlays.chip("hover", runs, metrics, max_width=width)
            size = (chip_HW.shape[0], chip_HW.shape[1])
            self._surface.float(beside(anchor, size, plan.size, metrics.gap // 2), chip_HW)
        if view.panes_shown:
            self._name_panes(plan)
        times = self._times.of(scene)
        if times:
            self._corner("times", times, plan)
        if view.notice:
            colour = lut.WARNING if view.notice_is_warning else lut.TEXT
            self._bottom_line(plan, "notice", (Run(view.notice, colour),))
        elif view.hint_shown and scene.result is not None:
            self._bottom_line(plan, "hint", (Run(HINT, lut.TEXT),))

    def _name_panes(self, plan: Layout) -> None:
        """Outline each pane, and say its name, place and size (DVT-47)."""
        line = max(plan.metrics.line // 2, 1)
        for name, rect in plan.panes.items():
            self._surface.outline(rect.inset(line), lut.CHANGED, line)
            place = f"  {rect.height}×{rect.width} at {rect.top}, {rect.left}"
            runs = (Run(name, lut.CHANGED), Run(place, lut.TEXT))
            chip_HW = self._overlays.chip(f"pane {name}", runs, plan.metrics, max_width=rect.width)
            height, width = min(chip_HW.shape[0], rect.height), min(chip_HW.shape[1], rect.width)
            top = rect.top + (rect.height - height) // 2
            left = rect.left + (rect.width - width) // 2
            self._surface.float(Rect(top, left, height, width), chip_HW[:height, :width])

    def _corner(self, name: str, rows: Table, plan: Layout) -> None:
        """A table in the lower right corner of the large pane, above the line for notices."""
        table_HW = self._overlays.table(name, rows, plan.metrics)
        pane, metrics = plan.panes["grid"], plan.metrics
        height, width = min(table_HW.shape[0], pane.height), min(table_HW.shape[1], pane.width)
        bottom = pane.bottom - 2 * metrics.gap - metrics.row - metrics.pad // 2
        top, left = max(bottom - height, pane.top), pane.right - width - metrics.gap
        self._surface.float(Rect(top, left, height, width), table_HW)

    def _bottom_line(self, plan: Layout, name: str, runs: tuple[Run, ...]) -> None:
        pane = plan.panes["grid"]
        chip_HW = self._overlays.chip(
            name, runs, plan.metrics, max_width=pane.width - 2 * plan.metrics.gap
        )
        height, width = chip_HW.shape
        top = pane.bottom - height - plan.metrics.gap
        self._surface.float(
            Rect(top, pane.left + (pane.width - width) // 2, height, width), chip_HW
        )


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


def _range_key(scene: Scene, result: Result) -> object:
    """What has a range of colours of its own."""
    chosen, compared = result.selection, scene.view.compared
    # Of pictures in files each has its own: there are no more turns to follow the next one's in.
    key: tuple[object, ...] = (chosen.layer, chosen.tap, scene.picture_name)
    if chosen.gradients:
        key = (*key, chosen.origin)
    return key if compared in {"off", "first"} else (key, compared)


def _ranked(scene: Scene) -> Ranked | None:
    """The classes to list of two that are compared and have the same ones."""
    pair = scene.pair
    if pair is None or not pair.same_classes:
        return None
    first, second = pair.first.result, pair.second.result
    if first is None or second is None or first.dense_BKHW is not None:
        return None
    return rank(first.scores_BK[0], second.scores_BK[0], scene.view.compared)


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

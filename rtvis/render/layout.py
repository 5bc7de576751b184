"""Divides a canvas among its parts. Numbers only."""

from collections.abc import Sequence
from dataclasses import replace

from rtvis.data import Crop, Layer
from rtvis.render.buttons import (
    BUTTONS,
    Button,
    lay_buttons,
    lay_change_buttons,
    lay_learned_buttons,
)
from rtvis.render.changes_plan import lay_changes
from rtvis.render.grid import Grid, Rect, fit_grid
from rtvis.render.learned_plan import lay_learned
from rtvis.render.metrics import Metrics, canvas_scale, metrics_for
from rtvis.render.panes_plan import canvas_size, give_rows, lay_panes
from rtvis.render.pictures_plan import Sizes, lay_patches, lay_pictures
from rtvis.render.pixels import lay_pixels
from rtvis.render.plan import Layout
from rtvis.render.strip import Strip, lay_strip
from rtvis.render.text import measure
from rtvis.session import View

__all__ = ["BUTTONS", "Button", "Layout", "Metrics", "canvas_scale", "layout", "shown_layer"]


def shown_layer(view: View, layers: Sequence[Layer]) -> Layer | None:
    """The layer that a view selects: by name, else the last convolution, else the last."""
    for layer in layers:
        if layer.name == view.selection.layer:
            return layer
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    candidates = convolutions or layers
    return candidates[-1] if candidates else None


def names_classes(layer: Layer, layers: Sequence[Layer], labels: Sequence[str] | None) -> bool:
    """True if the units of `layer` are the classes that `labels` names."""
    return (
        labels is not None
        and layer.index == layers[-1].index
        and layer.num_units == len(labels)
        and layer.map_size == (1, 1)
    )


def layout(
    view: View,
    layers: Sequence[Layer],
    *,
    labels: Sequence[str] | None = None,
    layer: Layer | None = None,
    unit: int | None = None,
    sizes: Sizes = Sizes(),  # noqa: B008 - frozen
    crop: Crop | None = None,
) -> Layout:
    """Lay out a canvas.

    Args:
        view: Gives the canvas size, the scroll positions and what is zoomed.
        layers: All layers of the network.
        labels: Names of the classes.
        layer: Whose maps are shown; default: the one that the view selects.
        unit: The unit that is shown enlarged; default: the view's, or 0.
        sizes: Of the pictures.
        crop: What the network sees of the source picture; None is all of it.
    """
    size = canvas_size(view)
    metrics = metrics_for(size, view.ui_scale, view.theme)
    layer = layer if layer is not None else shown_layer(view, layers)
    unit = unit if unit is not None else view.selection.unit or 0
    panes, contents = lay_panes(view, size, metrics)

    nowhere = Rect(0, 0, 0, contents["grid"].width)
    strip_area = contents.get("layers", nowhere)
    strip = _strip(layers, strip_area, metrics, view.layer_scroll)
    if "layers" in panes:
        # The strip takes the rows that it needs, and the grid what is left.
        spare = strip_area.height - strip.rows_in_sight * strip.row_height
        give_rows(panes, contents, rows=spare)
        strip = replace(strip, area=contents["layers"])

    map_size = layer.map_size if layer is not None else None
    images, inset = lay_pictures(
        view, contents, sizes, map_size=map_size, crop=crop, metrics=metrics
    )
    grid = None
    if view.zoom == "grid" and layer is not None:
        grid = _grid(layer, layers, labels, contents["grid"], metrics, view.grid_scroll)
    pixels = None
    if sizes.output is not None and sizes.frame is not None and "input" in images:
        pixels = lay_pixels(
            images["input"],
            frame_size=sizes.frame,
            crop=crop if inset is None else None,  # the image is all that the network sees
            output_size=sizes.output,
        )
    details = contents.get("details")
    changes, learned = None, None
    if details is not None and view.page == "changes":
        changes = lay_changes(details, view.selection.interventions, metrics)
    if details is not None and view.page == "learned":
        learned = lay_learned(details, metrics)
    change = view.selection.change_of(layer.name, unit) if layer is not None else None
    buttons = lay_buttons(view, panes, metrics, change=change, is_dense=pixels is not None)
    if changes is not None:
        buttons += lay_change_buttons(changes.buttons, metrics)
    if learned is not None:
        buttons += lay_learned_buttons(view, learned, metrics)
    return Layout(
        size=size,
        metrics=metrics,
        panes=panes,
        contents=contents,
        images=images,
        inset=inset,
        layer=layer,
        unit=unit,
        beside=next((each for each in layers if each.name == view.selection.beside), None),
        strip=strip,
        grid=grid,
        class_rows=_class_rows(contents.get("classes"), view.num_top),
        patches=lay_patches(details, layer, metrics),
        buttons=buttons,
        page=view.page,
        changes=changes,
        learned=learned,
        pixels=pixels,
    )


def _class_rows(area: Rect | None, num_rows: int) -> tuple[Rect, ...]:
    if area is None:
        return ()
    height = area.height // num_rows
    tops = (area.top + index * height for index in range(num_rows))
    return tuple(Rect(top, area.left, height, area.width) for top in tops)


def _strip(layers: Sequence[Layer], area: Rect, metrics: Metrics, scroll: int) -> Strip:
    def lay(*, group_rows: bool) -> Strip:
        return lay_strip(
            layers,
            area,
            measure=lambda text: measure(text, metrics.text),
            row_height=metrics.row,
            pad=metrics.pad * 3 // 4,
            gap=metrics.gap // 2,
            scroll=scroll,
            group_rows=group_rows,
        )

    # A row for each group while all of them are in sight within five sixths of the room.
    grouped = lay(group_rows=True)
    roomy = grouped.num_rows * grouped.row_height <= area.height * 5 // 6
    return grouped if roomy else lay(group_rows=False)


def _grid(
    layer: Layer,
    layers: Sequence[Layer],
    labels: Sequence[str] | None,
    area: Rect,
    metrics: Metrics,
    scroll: int,
) -> Grid:
    if layer.map_size == (1, 1):
        # DVT-24: values of a dense layer are cells of at least 3 pixels.
        cells = fit_grid(layer.num_units, (1, 1), area, min_tile=3, gap=1, scroll=scroll)
        if not names_classes(layer, layers, labels):
            return cells
        named = fit_grid(
            layer.num_units,
            (2, 5),
            area,
            min_tile=3,
            gap=metrics.pad,
            caption_height=metrics.row,
            scroll=scroll,
        )
        return named if named.tile_width >= 64 * metrics.scale else cells

    def fit(gap: int) -> Grid:
        return fit_grid(
            layer.num_units,
            layer.map_size,
            area,
            min_tile=round(24 * metrics.scale),
            gap=gap,
            scroll=scroll,
        )

    roomy = fit(metrics.tile_gap)
    # Between small tiles a wide gap would take a tenth of the pane.
    small = min(roomy.tile_height, roomy.tile_width) < 40 * metrics.scale
    return fit(min(metrics.tile_gap, round(2 * metrics.scale))) if small else roomy

"""Divides a canvas among its parts. Numbers only."""

from collections.abc import Sequence
from typing import Final

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
from rtvis.render.pixels import lay_pixels
from rtvis.render.plan import Layout
from rtvis.render.strip import Strip, lay_strip
from rtvis.render.text import measure
from rtvis.session import View

__all__ = ["BUTTONS", "Button", "Layout", "Metrics", "canvas_scale", "layout", "shown_layer"]

MIN_SIZE: Final = (480, 640)
"""(height, width): for a smaller place the canvas has this size, and the place shrinks it."""


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
    frame_size: tuple[int, int] | None = None,
    second_size: tuple[int, int] | None = None,
    input_size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    crop: Crop | None = None,
) -> Layout:
    """Lay out a canvas.

    Args:
        view: Gives the canvas size, the scroll positions and what is zoomed.
        layers: All layers of the network.
        labels: Names of the classes.
        layer: Whose maps are shown; default: the one that the view selects.
        unit: The unit that is shown enlarged; default: the view's, or 0.
        frame_size: (height, width) of the source picture; default: square.
        second_size: Of the one that it is compared with; default: that of the first.
        input_size: (height, width) of the backward picture; default: square.
        output_size: (height, width) of the dense output; None without one.
        crop: What the network sees of the source picture; None is all of it.
    """
    size = (max(view.canvas_size[0], MIN_SIZE[0]), max(view.canvas_size[1], MIN_SIZE[1]))
    metrics = metrics_for(size, view.ui_scale)
    layer = layer if layer is not None else shown_layer(view, layers)
    unit = unit if unit is not None else view.selection.unit or 0
    panes, contents = _panes(view, size, metrics)

    strip_area = contents["layers"]
    strip = _strip(layers, strip_area, metrics, view.layer_scroll)
    # The strip takes the rows that it needs, and the grid what is left.
    spare = strip_area.height - strip.rows_in_sight * strip.row_height
    _give_rows(panes, contents, from_pane="layers", to_pane="grid", rows=spare)

    images = {
        "input": contents["input"].fit(*(frame_size or (1, 1))),
        "unit": _unit_area(contents["unit"], metrics),
        "backprop": contents["backprop"].fit(*(input_size or (1, 1))),
    }
    inset = None
    if view.compared != "off":
        images |= _halves(contents["input"], frame_size, second_size, metrics)
    elif crop is not None and frame_size is not None and crop.reaches_beyond(frame_size):
        images["input"] = contents["input"].fit(round(crop.height), round(crop.width))
        inset = _inset(images["input"], frame_size, crop)
    grid = None
    if view.zoom == "unit":
        images["unit"] = _unit_area(contents["grid"], metrics)
    elif view.zoom == "backprop":
        images["backprop"] = contents["grid"].fit(*(input_size or (1, 1)))
    elif layer is not None:
        grid = _grid(layer, layers, labels, contents["grid"], metrics, view.grid_scroll)
    if layer is not None:
        images["unit"] = images["unit"].fit(*layer.map_size)
    pixels = None
    if output_size is not None and frame_size is not None:
        pixels = lay_pixels(
            images["input"],
            frame_size=frame_size,
            crop=crop if inset is None else None,  # the image is all that the network sees
            output_size=output_size,
        )
    class_rows: tuple[Rect, ...] = ()
    if "classes" in contents:
        area = contents["classes"]
        height = area.height // view.num_top
        class_rows = tuple(
            Rect(area.top + i * height, area.left, height, area.width) for i in range(view.num_top)
        )
    changes, learned, details = None, None, contents.get("details")
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
        class_rows=class_rows,
        patches=_patches(contents.get("details"), layer, metrics),
        buttons=buttons,
        page=view.page,
        changes=changes,
        learned=learned,
        pixels=pixels,
    )


def has_details(view: View) -> bool:
    """Whether there is a details pane: the right column folds away on a narrow canvas, until the
    user wants it."""
    return view.column_shown or is_wide(view)


def is_wide(view: View) -> bool:
    """Whether the canvas has room for the right column."""
    size = (max(view.canvas_size[0], MIN_SIZE[0]), max(view.canvas_size[1], MIN_SIZE[1]))
    return size[1] >= 1100 * metrics_for(size, view.ui_scale).scale


def _panes(
    view: View, size: tuple[int, int], metrics: Metrics
) -> tuple[dict[str, Rect], dict[str, Rect]]:
    height, width = size
    gap, scale = metrics.gap, metrics.scale
    header = Rect(0, 0, metrics.title + 2 * gap, width)
    status = Rect(height - metrics.title, 0, metrics.title, width)
    body = Rect(header.bottom, gap, status.top - gap // 2 - header.bottom, width - 2 * gap)

    # Left: three panes of equal height, as wide as a square picture and a colour scale need.
    third = (body.height - 2 * gap) // 3
    ideal = third - metrics.title + metrics.scale_width
    left_width = round(min(max(ideal, 0.17 * width, 200 * scale), 0.26 * width))
    panes = {"header": header}
    for index, name in enumerate(("input", "unit", "backprop")):
        top = body.top + index * (third + gap)
        bottom = body.bottom if index == 2 else top + third
        panes[name] = Rect(top, body.left, bottom - top, left_width)

    right_width = 0
    if has_details(view):
        right_width = round(min(max(0.175 * width, 224 * scale), 340 * scale))
        left = body.right - right_width
        below = body.top
        if view.classes_shown:
            rows_height = view.num_top * round(1.75 * metrics.row)
            # What lies below keeps a third of the column.
            height = min(metrics.title + rows_height + metrics.pad, body.height * 2 // 3)
            panes["classes"] = Rect(body.top, left, height, right_width)
            below += height + gap
        panes["details"] = Rect(below, left, body.bottom - below, right_width)

    centre_left = body.left + left_width + gap
    centre_width = body.right - centre_left - (right_width + gap if right_width else 0)
    # At most 30 % for the list of layers, in whole rows.
    rows = max(int(0.3 * body.height - metrics.pad * 2) // metrics.row, 2)
    strip_height = rows * metrics.row + 2 * metrics.pad
    panes["layers"] = Rect(body.top, centre_left, strip_height, centre_width)
    grid_top = body.top + strip_height + gap
    panes["grid"] = Rect(grid_top, centre_left, body.bottom - grid_top, centre_width)
    panes["status"] = status

    contents = {}
    for name in ("input", "unit", "backprop", "grid", "classes", "details"):
        if name in panes:
            pane = panes[name]
            contents[name] = Rect(
                pane.top + metrics.title, pane.left, pane.height - metrics.title, pane.width
            )
    for name in ("grid", "classes", "details"):
        if name in contents:
            area = contents[name]
            contents[name] = Rect(
                area.top,
                area.left + metrics.pad,
                area.height - metrics.pad,
                area.width - 2 * metrics.pad,
            )
    contents["layers"] = panes["layers"].inset(metrics.pad)
    return panes, contents


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


def _give_rows(
    panes: dict[str, Rect],
    contents: dict[str, Rect],
    *,
    from_pane: str,
    to_pane: str,
    rows: int,
) -> None:
    for rects in (panes, contents):
        above, below = rects[from_pane], rects[to_pane]
        rects[from_pane] = Rect(above.top, above.left, above.height - rows, above.width)
        rects[to_pane] = Rect(below.top - rows, below.left, below.height + rows, below.width)


def _unit_area(content: Rect, metrics: Metrics) -> Rect:
    """Where the enlarged map may go: the content without the colour scale at its right."""
    return Rect(content.top, content.left, content.height, content.width - metrics.scale_width)


def _inset(image: Rect, frame_size: tuple[int, int], crop: Crop) -> Rect:
    """Where a picture lies within what the network sees of it."""
    down, across = image.height / crop.height, image.width / crop.width
    top, bottom = round(-crop.top * down), round((frame_size[0] - crop.top) * down)
    left, right = round(-crop.left * across), round((frame_size[1] - crop.left) * across)
    top, left = min(max(top, 0), image.height - 1), min(max(left, 0), image.width - 1)
    bottom, right = max(min(bottom, image.height), top + 1), max(min(right, image.width), left + 1)
    return Rect(image.top + top, image.left + left, bottom - top, right - left)


def _halves(
    area: Rect,
    first_size: tuple[int, int] | None,
    second_size: tuple[int, int] | None,
    metrics: Metrics,
) -> dict[str, Rect]:
    """Two pictures side by side, with a row for their names below."""
    width, height = (area.width - metrics.line) // 2, area.height - metrics.row
    first = Rect(area.top, area.left, height, width)
    second = Rect(area.top, area.right - width, height, width)
    first_size = first_size or (1, 1)
    return {"input": first.fit(*first_size), "second": second.fit(*(second_size or first_size))}


DETAIL_ROWS: Final = 7


def _patches(area: Rect | None, layer: Layer | None, metrics: Metrics) -> tuple[Rect, ...]:
    """Two pictures of the receptive field below the rows of numbers, each under its caption."""
    if area is None or layer is None or layer.map_size == (1, 1):
        return ()
    top = area.top + DETAIL_ROWS * metrics.row + metrics.pad
    height = area.bottom - top
    stacked = min((height - metrics.gap) // 2 - metrics.row, area.width)
    abreast = min((area.width - metrics.gap) // 2, height - metrics.row)
    side = max(stacked, abreast)
    if side < 48 * metrics.scale:
        return ()
    step_y, step_x = (0, abreast + metrics.gap)
    if stacked > abreast:
        step_y, step_x = (stacked + metrics.row + metrics.gap, 0)
    width = area.width if step_y else abreast
    return tuple(
        Rect(top + index * step_y + metrics.row, area.left + index * step_x, side, width).fit(
            *layer.receptive_field, align_left=True
        )
        for index in range(2)
    )


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
    return fit(metrics.line) if small else roomy

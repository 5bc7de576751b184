"""Where the panes of a canvas are, and what of each lies below its title. Numbers only."""

from typing import Final

from rtvis.render.grid import Rect
from rtvis.render.metrics import Metrics, metrics_for
from rtvis.session import View

MIN_SIZE: Final = (480, 640)
"""(height, width): for a smaller place the canvas has this size, and the place shrinks it."""


def has_details(view: View) -> bool:
    """Whether there is a details pane: the right column folds away on a narrow canvas, until the
    user wants it."""
    return view.column_shown or is_wide(view)


def is_wide(view: View) -> bool:
    """Whether the canvas has room for the right column."""
    size = canvas_size(view)
    return size[1] >= 1100 * metrics_for(size, view.ui_scale).scale


def canvas_size(view: View) -> tuple[int, int]:
    """(height, width) of the canvas that a view gets."""
    return max(view.canvas_size[0], MIN_SIZE[0]), max(view.canvas_size[1], MIN_SIZE[1])


def lay_panes(
    view: View, size: tuple[int, int], metrics: Metrics
) -> tuple[dict[str, Rect], dict[str, Rect]]:
    """Panes, and what lies below their titles; see `Layout.panes` and `Layout.contents`."""
    height, width = size
    gap = metrics.gap
    header = Rect(0, 0, metrics.title + 2 * gap, width)
    status = Rect(height - metrics.title, 0, metrics.title, width)
    body = Rect(header.bottom, gap, status.top - gap // 2 - header.bottom, width - 2 * gap)
    left = _left_column(body, width, metrics)
    right = _right_column(view, body, width, metrics)
    left_width, right_width = left["input"].width, 0
    if right:
        right_width = right["details"].width + gap
    centre_left = body.left + left_width + gap
    centre = Rect(body.top, centre_left, body.height, body.right - centre_left - right_width)
    panes = {"header": header, **left, **right, **_centre(centre, metrics), "status": status}
    return panes, _contents(panes, metrics)


def _left_column(body: Rect, width: int, metrics: Metrics) -> dict[str, Rect]:
    """Three panes of equal height, as wide as a square picture and a colour scale need."""
    gap = metrics.gap
    third = (body.height - 2 * gap) // 3
    ideal = third - metrics.title + metrics.scale_width
    left_width = round(min(max(ideal, 0.17 * width, 200 * metrics.scale), 0.26 * width))
    panes = {}
    for index, name in enumerate(("input", "unit", "backprop")):
        top = body.top + index * (third + gap)
        bottom = body.bottom if index == 2 else top + third
        panes[name] = Rect(top, body.left, bottom - top, left_width)
    return panes


def _right_column(view: View, body: Rect, width: int, metrics: Metrics) -> dict[str, Rect]:
    """The classes above the details, where there is room or the user wants them."""
    if not has_details(view):
        return {}
    scale = metrics.scale
    right_width = round(min(max(0.175 * width, 224 * scale), 340 * scale))
    left, below, panes = body.right - right_width, body.top, {}
    if view.classes_shown:
        rows_height = view.num_top * round(1.75 * metrics.row)
        # What lies below keeps a third of the column.
        height = min(metrics.title + rows_height + metrics.pad, body.height * 2 // 3)
        panes["classes"] = Rect(body.top, left, height, right_width)
        below += height + metrics.gap
    panes["details"] = Rect(below, left, body.bottom - below, right_width)
    return panes


def _centre(area: Rect, metrics: Metrics) -> dict[str, Rect]:
    """The list of layers, at most 30 % high and in whole rows, above the grid."""
    rows = max(int(0.3 * area.height - metrics.pad * 2) // metrics.row, 2)
    strip_height = rows * metrics.row + 2 * metrics.pad
    grid_top = area.top + strip_height + metrics.gap
    return {
        "layers": Rect(area.top, area.left, strip_height, area.width),
        "grid": Rect(grid_top, area.left, area.bottom - grid_top, area.width),
    }


def _contents(panes: dict[str, Rect], metrics: Metrics) -> dict[str, Rect]:
    contents: dict[str, Rect] = {}
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
    return contents


def give_rows(
    panes: dict[str, Rect],
    contents: dict[str, Rect],
    *,
    from_pane: str,
    to_pane: str,
    rows: int,
) -> None:
    """Make a pane smaller at its bottom, by `rows` pixels, and the one below it larger."""
    for rects in (panes, contents):
        above, below = rects[from_pane], rects[to_pane]
        rects[from_pane] = Rect(above.top, above.left, above.height - rows, above.width)
        rects[to_pane] = Rect(below.top - rows, below.left, below.height + rows, below.width)

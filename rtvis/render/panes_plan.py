"""Where the panes of a canvas are, and what of each lies below its title. Numbers only."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from rtvis.render.grid import Rect
from rtvis.render.metrics import Metrics, metrics_for
from rtvis.session import View
from rtvis.theme import MOST_OF_WIDTH, PaneName

MIN_SIZE: Final = (480, 640)
"""(height, width): for a smaller place the canvas has this size, and the place shrinks it."""

_LISTS: Final = {"classes", "details"}
"""Panes of text: they have a width of their own, whatever their height."""


def has_details(view: View) -> bool:
    """Whether there is a details pane: the right column folds away on a narrow canvas, until the
    user wants it."""
    return has_place(view, "details")


def has_place(view: View, pane: PaneName) -> bool:
    """Whether a pane stands in one of the columns, or would if the user had not taken it away."""
    return any(pane in column for column in _columns(view))


_Columns: TypeAlias = tuple[tuple[PaneName, ...], tuple[PaneName, ...]]
"""The panes of the left and of the right column, from top to bottom."""


def _columns(view: View) -> _Columns:
    """With the classes, wherever they are.

    The right column folds away on a narrow canvas until the user wants it. A details pane that
    stands in neither comes into the right one when it is wanted.
    """
    left, right = view.panes.left, view.panes.right
    if view.column_shown and "details" not in (*left, *right):
        right = (*right, "details")
    elif not view.column_shown and not is_wide(view):
        right = ()
    return left, right


def _shown_columns(view: View) -> _Columns:
    left, right = _columns(view)
    if view.classes_shown:
        return left, right
    rest = [tuple(name for name in column if name != "classes") for column in (left, right)]
    return rest[0], rest[1]


def is_wide(view: View) -> bool:
    """Whether the canvas has room for the right column."""
    size = canvas_size(view)
    return size[1] >= 1100 * metrics_for(size, view.ui_scale, view.theme).scale


def canvas_size(view: View) -> tuple[int, int]:
    """(height, width) of the canvas that a view gets."""
    return max(view.canvas_size[0], MIN_SIZE[0]), max(view.canvas_size[1], MIN_SIZE[1])


def lay_panes(
    view: View, size: tuple[int, int], metrics: Metrics
) -> tuple[dict[str, Rect], dict[str, Rect]]:
    """Panes, and what lies below their titles; see `Layout.panes` and `Layout.contents`."""
    (height, width), gap = size, metrics.between
    panes: dict[str, Rect] = {}
    top, bottom = gap, height - gap
    if view.panes.header:
        panes["header"] = Rect(0, 0, metrics.title + metrics.gap + gap, width)
        top = panes["header"].bottom
    if view.panes.status:
        panes["status"] = Rect(height - metrics.title, 0, metrics.title, width)
        bottom = panes["status"].top - gap // 2
    body = Rect(top, gap, bottom - top, width - 2 * gap)
    columns = _shown_columns(view)
    heights = [_heights(view, names, body.height, metrics) for names in columns]
    widths = _widths(view, heights, metrics, width)
    left, right = ((wide + gap if wide else 0) for wide in widths)
    for rows, at, wide in zip(heights, (body.left, body.right - widths[1]), widths, strict=True):
        panes |= _stacked(view, rows, Rect(body.top, at, body.height, wide), gap)
    centre = Rect(body.top, body.left + left, body.height, body.width - left - right)
    panes |= _centre(view, centre, metrics)
    return panes, _contents(panes, metrics)


def _heights(
    view: View, names: Sequence[PaneName], height: int, metrics: Metrics
) -> dict[PaneName, int]:
    """Of the panes of a column: what the list of classes needs, and of the rest each its share, in
    whole pixels. Where there is no room for all, the last ones are left out, but for the details.
    """
    kept, gap = [*names], metrics.between
    least = {name: _least(name, height, metrics) for name in names}
    while len(kept) > 1 and sum(least[name] + gap for name in kept) - gap > height:
        kept.remove(next(name for name in reversed(kept) if name != "details"))
    room = height - (len(kept) - 1) * gap
    heights = dict.fromkeys(kept, 0)
    shared = [*kept]
    if "classes" in kept and view.panes.weight("classes") is None:
        shared.remove("classes")
        rows = view.num_top * round(1.75 * metrics.row)
        # What stands beside it keeps a third of the column.
        most = min(height * 2 // 3, room - sum(least[name] for name in shared))
        heights["classes"] = min(metrics.title + rows + metrics.pad, most if shared else room)
        room -= heights["classes"]
    while shared:
        total = sum(view.panes.weight(name) or 1.0 for name in shared)
        for name in shared:
            heights[name] = int(room * (view.panes.weight(name) or 1.0) / total)
        small = [name for name in shared if heights[name] < least[name]]
        if not small or len(small) == len(shared):
            break
        for name in small:
            heights[name] = least[name]
            room -= least[name]
            shared.remove(name)
    return heights


def _least(name: PaneName, height: int, metrics: Metrics) -> int:
    """Height below which a pane says nothing, in a column of `height`."""
    if name == "details":
        return min(metrics.title + 8 * metrics.row, height // 3 - metrics.between)
    return metrics.title + 3 * metrics.row


def _stacked(
    view: View, heights: Mapping[PaneName, int], column: Rect, gap: int
) -> dict[str, Rect]:
    """The panes of a column, one below the other; one that grows with it takes the odd pixels."""
    odd = column.height - sum(heights.values()) - (len(heights) - 1) * gap
    growing = [name for name in heights if name != "classes" or view.panes.weight(name) is not None]
    panes: dict[str, Rect] = {}
    top = column.top
    for name, high in heights.items():
        whole = high + odd if name in growing[-1:] else high
        panes[name] = Rect(top, column.left, whole, column.width)
        top += whole + gap
    return panes


def _widths(
    view: View, heights: Sequence[Mapping[PaneName, int]], metrics: Metrics, width: int
) -> tuple[int, int]:
    """Of both columns; 0 for one that is not there."""
    asked = view.panes.left_width, view.panes.right_width
    widths = [
        _width(view, rows, share, metrics, width) if rows else 0
        for rows, share in zip(heights, asked, strict=True)
    ]
    over = sum(widths) / (MOST_OF_WIDTH * width)
    left, right = (round(each / over) if over > 1 else each for each in widths)
    return left, right


def _width(
    view: View,
    heights: Mapping[PaneName, int],
    share: float | None,
    metrics: Metrics,
    width: int,
) -> int:
    """As wide as a square picture with a colour scale needs, or lists; or what was asked for, but
    not less than the buttons need."""
    pictures = [high for name, high in heights.items() if name not in _LISTS]
    has_lists = len(pictures) < len(heights)
    scale = metrics.scale
    wide = 0.0
    if pictures:
        ideal = max(pictures) - metrics.title + metrics.scale_width
        wide = min(max(ideal, 0.17 * width, 200 * scale), 0.26 * width)
    if has_lists:
        wide = max(wide, min(max(0.175 * width, 224 * scale), 340 * scale))
    # Words that are larger than by themselves, and more room around them.
    larger = max(metrics.text.size / (13 * scale), 1.0)
    more = 6 * max(metrics.pad - 8 * scale, 0.0)
    if share is not None or view.theme.text_size is not None or more >= 6:
        least = max(216.0 * bool(pictures), 224.0 * has_lists) * scale * larger + more
        wide = max(wide if share is None else share * width, min(least, 0.35 * width))
    return round(wide)


def _centre(view: View, area: Rect, metrics: Metrics) -> dict[str, Rect]:
    """The list of layers, at most 30 % high and in whole rows, above or below the grid."""
    place = view.panes.layers
    if place == "hidden":
        return {"grid": area}
    rows = max(int(0.3 * area.height - metrics.pad * 2) // metrics.row, 2)
    high = rows * metrics.row + 2 * metrics.pad
    rest = area.height - high - metrics.between
    if place == "below":
        top = area.bottom - high
        return {
            "layers": Rect(top, area.left, high, area.width),
            "grid": Rect(area.top, area.left, rest, area.width),
        }
    return {
        "layers": Rect(area.top, area.left, high, area.width),
        "grid": Rect(area.bottom - rest, area.left, rest, area.width),
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
    if "layers" in panes:
        contents["layers"] = panes["layers"].inset(metrics.pad)
    return contents


def give_rows(panes: dict[str, Rect], contents: dict[str, Rect], *, rows: int) -> None:
    """Make the list of layers smaller by `rows` pixels, where the grid is, and that larger."""
    for rects in (panes, contents):
        strip, grid = rects["layers"], rects["grid"]
        is_above = strip.top < grid.top
        top, grid_top = (strip.top, grid.top - rows) if is_above else (strip.top + rows, grid.top)
        rects["layers"] = Rect(top, strip.left, strip.height - rows, strip.width)
        rects["grid"] = Rect(grid_top, grid.left, grid.height + rows, grid.width)

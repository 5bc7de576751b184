"""Where pictures lie in their panes. Numbers only."""

from dataclasses import dataclass
from typing import Final

from rtvis.data import Crop, Layer
from rtvis.render.grid import Rect
from rtvis.render.metrics import Metrics
from rtvis.session import View


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """(height, width) of what is shown."""

    frame: tuple[int, int] | None = None
    """The source picture; None: not known yet."""
    second: tuple[int, int] | None = None
    """What it is compared with; None: as the first."""
    input: tuple[int, int] | None = None
    """The backward picture; None: square."""
    output: tuple[int, int] | None = None
    """The dense output; None without one."""


def lay_pictures(
    view: View,
    contents: dict[str, Rect],
    sizes: Sizes,
    *,
    map_size: tuple[int, int] | None,
    crop: Crop | None,
    metrics: Metrics,
) -> tuple[dict[str, Rect], Rect | None]:
    """Pictures, and where the source's lies within a letterboxed one; see `Layout`.

    Args:
        view: What is compared and zoomed.
        contents: Of the panes.
        sizes: Of what is shown.
        map_size: (height, width) of the enlarged unit's map; None without a layer.
        crop: What the network sees of the source picture; None is all of it.
        metrics: Sizes at the canvas's scale.
    """
    square = (1, 1)
    images: dict[str, Rect] = {}
    inset = None
    if "input" in contents:
        images["input"] = contents["input"].fit(*(sizes.frame or square))
        if view.compared != "off":
            images |= _halves(contents["input"], sizes.frame, sizes.second, metrics)
        elif crop is not None and sizes.frame is not None and crop.reaches_beyond(sizes.frame):
            images["input"] = contents["input"].fit(round(crop.height), round(crop.width))
            inset = _inset(images["input"], sizes.frame, crop)
    unit_content = contents.get("grid" if view.zoom == "unit" else "unit")
    if unit_content is not None:
        unit_area = _unit_area(unit_content, metrics)
        images["unit"] = unit_area.fit(*map_size) if map_size is not None else unit_area
    backprop_area = contents.get("grid" if view.zoom == "backprop" else "backprop")
    if backprop_area is not None:
        images["backprop"] = backprop_area.fit(*(sizes.input or square))
    return images, inset


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


def lay_patches(area: Rect | None, layer: Layer | None, metrics: Metrics) -> tuple[Rect, ...]:
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

"""The selected unit in numbers, and what its neuron sees of the picture."""

from rtvis.render import layer_words, wording
from rtvis.render.grid import Rect
from rtvis.render.layout import Layout
from rtvis.render.pages.page import Page, unit_title
from rtvis.render.pictures_plan import DETAIL_ROWS
from rtvis.render.region import Region, patches_shown
from rtvis.render.scene import Scene
from rtvis.render.seen import draw_seen_gradient, draw_seen_picture
from rtvis.render.surface import Surface
from rtvis.render.text import Run, measure
from rtvis.theme import Ink


def _title(region: Region) -> tuple[Run, ...]:
    return (*unit_title(region), wording.bright(f"   {region.unit_name}"))


def _write(region: Region) -> None:
    _write_numbers(region)
    layout, chrome, metrics = region.layout, region.chrome, region.layout.metrics
    shown = patches_shown(region.scene)
    captions = ("what it sees", "backward")
    for index, patch in enumerate(layout.patches):
        # The picture itself is drawn on the device; here only the panel that it leaves behind.
        chrome.slot(f"unit patch {index}", patch, shown[index], lambda _: None)
        above = Rect(patch.top - metrics.row, patch.left, metrics.row, patch.width)
        words = (wording.dim(captions[index] if shown[index] else ""),)
        chrome.text(f"unit patch title {index}", above, words, metrics.text)


def _write_numbers(region: Region) -> None:
    layout, chrome, metrics = region.layout, region.chrome, region.layout.metrics
    area, layer = layout.contents["details"], layout.layer
    rows: tuple[tuple[str, str], ...] = ()
    if layer is not None and region.scene.result is not None:
        rows = tuple(layer_words.details(region.scene, layer, region.readout))
    rect = Rect(area.top, area.left, min(DETAIL_ROWS * metrics.row, area.height), area.width)
    labels = tuple(label for label, _ in rows)
    # Wiped when there are other rows; then each shows its words by itself.
    chrome.slot("unit rows", rect, labels, lambda _: None, beneath=True)
    for index, (label, value) in enumerate(rows):
        row = Rect(rect.top + index * metrics.row, rect.left, metrics.row, rect.width)
        if row.bottom > rect.bottom:
            break
        end = row.left + measure(label, metrics.text)
        left = Rect(row.top, row.left, row.height, end - row.left)
        chrome.text(f"unit label {index}", left, (wording.dim(label),), metrics.text)
        right = Rect(row.top, end + metrics.pad, row.height, row.right - end - metrics.pad)
        words = (wording.bright(value),)
        chrome.text(f"unit value {index}", right, words, metrics.text, align=1.0)


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    """What the neuron sees, and the backward picture there, below the unit's numbers."""
    result, layer = scene.result, layout.layer
    if not layout.patches or layer is None or result is None:
        return
    position_2 = result.position_B2[scene.batch_index]
    gradient_3HW = result.backprop_B3HW[scene.batch_index]
    picture_shown, gradient_shown = patches_shown(scene)
    if picture_shown and scene.image_HW3 is not None:
        draw_seen_picture(
            surface.words_HW,
            layout.patches[0],
            scene.image_HW3,
            position_2,
            layer=layer,
            input_size=(gradient_3HW.shape[1], gradient_3HW.shape[2]),
            crop=result.crop,
            around=surface.inks[Ink.PANEL],
        )
    if gradient_shown:
        how = scene.view.backprop_display
        draw_seen_gradient(
            surface.words_HW, layout.patches[1], gradient_3HW, position_2, layer=layer, how=how
        )
    if scene.stale_since_ns:
        for patch, shown in zip(layout.patches, (picture_shown, gradient_shown), strict=True):
            if shown:
                surface.fade(patch)


PAGE = Page(title=_title, write=_write, paint=_paint)

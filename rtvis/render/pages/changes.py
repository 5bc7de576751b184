"""What the user has changed in the network, and which classes that moved."""

from rtvis.data import Intervention, Target
from rtvis.render import wording
from rtvis.render.changes_plan import ChangesPlan
from rtvis.render.chrome import Brush
from rtvis.render.grid import Rect
from rtvis.render.layout import Layout
from rtvis.render.moved import Mover
from rtvis.render.pages.page import Page
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.scene import Scene
from rtvis.render.strip import short_names
from rtvis.render.surface import Surface
from rtvis.render.text import SEMIBOLD, Run, measure
from rtvis.theme import Ink

_HELP = (
    "the buttons of the unit's pane knock it out, double it, or hold it at its value; "
    "the wheel over this page changes it little by little"
)


def _title(region: Region) -> tuple[Run, ...]:
    num = len(region.scene.view.selection.interventions)
    if not num:
        return (wording.dim("no changes"),)
    return (Run(wording.num_changes(num), Ink.CHANGED, SEMIBOLD),)


def _write(region: Region) -> None:
    plan = region.layout.changes
    assert plan is not None, "laid out while this page is in sight"
    _write_list(region, plan)
    _write_movers(region, plan)


def _write_list(region: Region, plan: ChangesPlan) -> None:
    """One line for each change, or how to make one."""
    chrome, metrics, chosen = region.chrome, region.layout.metrics, region.scene.view.selection
    top = plan.buttons.bottom + metrics.pad
    area = Rect(top, plan.buttons.left, plan.heading.top - top, plan.buttons.width)
    text = "" if chosen.interventions else _HELP

    def explain(brush: Brush) -> None:
        brush.paragraph(area, text, Ink.DIM, metrics.text)

    # Wiped when the list grows or shrinks; then each line shows its words by itself.
    lines = tuple(row.rect for row in plan.rows)
    chrome.slot("changes list", area, (text, lines), explain, beneath=True)
    if plan.more.size:
        words = (wording.dim(f"{plan.num_more} earlier"),)
        chrome.text("changes more", plan.more, words, metrics.text)
    names = short_names(tuple(layer.name for layer in region.scene.layers))
    short = {layer.name: names[layer.index] for layer in region.scene.layers}
    for index, (rect, layer, unit) in enumerate(plan.rows):
        change = chosen.change_of(layer, unit)
        assert change is not None, "a line for each change"
        _write_line(region, index, rect, change, short.get(layer, layer))


def _write_line(region: Region, index: int, rect: Rect, change: Intervention, name: str) -> None:
    """Unit and what is done to it; under the pointer, that a click takes it back."""
    metrics, hover = region.layout.metrics, region.scene.view.hover
    lit = hover.kind == "change" and (hover.layer, hover.unit) == (change.layer, change.unit)
    sign = "restore" if lit else wording.change_sign(change)
    inset = metrics.pad // 2 if lit else 0
    left = Run(f"{name}:{change.unit}", Ink.TEXT if lit else Ink.DIM)
    right = Run(sign, Ink.TEXT if lit else Ink.CHANGED)

    def draw(brush: Brush) -> None:
        if lit:
            brush.rounded(rect, Ink.LIT, metrics.pad // 2)
        inner = Rect(rect.top, rect.left + inset, rect.height, rect.width - 2 * inset)
        brush.line(inner, (right,), metrics.text, align=1.0)
        room = inner.width - measure(right.text, metrics.text) - metrics.pad
        brush.line(Rect(inner.top, inner.left, inner.height, room), (left,), metrics.text)

    region.chrome.slot(f"changes line {index}", rect, (left, right, lit), draw)


def _write_movers(region: Region, plan: ChangesPlan) -> None:
    """The classes that moved most, before and after."""
    chrome, metrics, moved = region.chrome, region.layout.metrics, region.readout.moved
    shown = moved if region.scene.view.selection.interventions else None
    room = measure("before → after", metrics.text)
    head = plan.heading
    left = Rect(head.top, head.left, head.height, head.width - room - metrics.pad)
    right = Rect(head.top, head.right - room, head.height, room)
    words = ("moved most", "before → after") if shown is not None else ("", "")
    chrome.text("changes heading", left, (wording.dim(words[0]),), metrics.text)
    chrome.text("changes heading right", right, (wording.dim(words[1]),), metrics.text)
    for place, rect in enumerate(plan.movers):
        mover = None
        if shown is not None and place < len(shown.movers):
            mover = shown.movers[place]
        _write_mover(region, place, rect, mover)


def _write_mover(region: Region, place: int, rect: Rect, mover: Mover | None) -> None:
    """Name and difference above, bar and numbers below."""
    chrome, metrics = region.chrome, region.layout.metrics
    size, row = metrics.text, metrics.row
    name = difference = numbers = ""
    if mover is not None:
        name = wording.class_name(region.scene.labels, mover.class_index)
        sign = "−" if mover.change < 0 else "+"
        difference = sign + wording.share(abs(mover.change), 3)
        numbers = f"{wording.share(mover.before, 3)} → {wording.share(mover.after, 3)}"
    room = measure("−.000", size) + metrics.pad // 2
    upper = Rect(rect.top, rect.left, row, rect.width - room)
    chrome.text(f"changes class {place}", upper, (wording.bright(name),), size)
    upper = Rect(rect.top, rect.right - room, row, room)
    chrome.text(
        f"changes difference {place}", upper, (wording.bright(difference),), size, align=1.0
    )
    room = measure("1.000 → 1.000", size)
    below = Rect(rect.top + row, rect.right - room, rect.height - row, room)
    chrome.text(f"changes numbers {place}", below, (wording.dim(numbers),), size, align=1.0)
    thick = round(4 * metrics.scale)
    width = below.left - rect.left - metrics.pad
    track = Rect(below.top + (below.height - thick) // 2, rect.left, thick, width)
    _write_bar(region, place, track, mover)


def _write_bar(region: Region, place: int, track: Rect, mover: Mover | None) -> None:
    """Two tones: what is common to before and after, and what came (bright) or went (dark)."""
    widths: tuple[int, int] | None = None
    if mover is not None and mover.before >= 0 and mover.after >= 0:  # not NaN
        widths = round(mover.before * track.width), round(mover.after * track.width)

    def draw(brush: Brush) -> None:
        if widths is None:
            return
        before, after = widths
        brush.fill(track, Ink.RAISED)
        farther = Rect(track.top, track.left, track.height, max(before, after))
        brush.fill(farther, Ink.CHANGED if after > before else Ink.LOST)
        common = Rect(track.top, track.left, track.height, min(before, after))
        brush.fill(common, Ink.FAINT)

    region.chrome.slot(f"changes bar {place}", track, widths, draw)


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    """Nothing: all of it is text and bars."""
    del surface, scene, layout


def _hit(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    """The change whose line holds the pixel."""
    del readout
    line = layout.changes.at(x, y) if layout.changes is not None else None
    if line is None:
        return None
    return Target(kind="change", pane="details", layer=line.layer, unit=line.unit)


PAGE = Page(title=_title, write=_write, paint=_paint, hit=_hit)

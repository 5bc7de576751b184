"""What the unit has learned: the picture made to excite it, its best inputs, and why these."""

from rtvis.data import Target
from rtvis.render import wording
from rtvis.render.chrome import Brush
from rtvis.render.grid import Grid, Rect
from rtvis.render.job_words import job_name, job_share
from rtvis.render.layout import Layout
from rtvis.render.learned_plan import LearnedPlan
from rtvis.render.pages.page import Page, unit_title
from rtvis.render.pattern import draw_picture, missing_tile
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.scene import Known, Learned, Scene
from rtvis.render.surface import Surface
from rtvis.render.text import SEMIBOLD, Run, measure
from rtvis.theme import Ink

_WORDS: dict[Known, str] = {
    "missing": "not made yet",
    "loading": "looking for it",
    "growing": "growing",
    "held": "held",
    "done": "optimised",
}


def _title(region: Region) -> tuple[Run, ...]:
    learned = region.scene.learned
    if learned is not None and learned.follows:  # of the one under the pointer
        return (wording.dim("unit "), Run(f"{learned.unit}", Ink.TEXT, SEMIBOLD))
    return unit_title(region)


def _write(region: Region) -> None:
    plan = region.layout.learned
    assert plan is not None, "laid out while this page is in sight"
    learned = region.scene.learned
    _write_optimized(region, plan, learned)
    _write_tops(region, plan, learned)
    _write_jobs(region, plan)


def _write_optimized(region: Region, plan: LearnedPlan, learned: Learned | None) -> None:
    """Caption and bar; where there is no picture, what would make one."""
    chrome, metrics = region.chrome, region.layout.metrics
    state: Known = learned.optimized if learned is not None else "missing"
    is_there = learned is not None and learned.optimized_HW3 is not None
    note = "" if is_there or learned is None else _hint(state, learned)

    def draw(brush: Brush) -> None:
        if not is_there:
            missing_tile(brush, plan.optimized, metrics.line, is_loading=state == "loading")
            inner = plan.optimized.inset(metrics.pad)
            brush.paragraph(inner, note, Ink.DIM, metrics.text)

    chrome.slot("learned picture", plan.optimized, (is_there, state, note), draw, beneath=True)
    words: tuple[Run, ...] = ()
    value: tuple[Run, ...] = ()
    share = 0.0
    if learned is not None:
        colour = {"growing": Ink.SELECTED, "held": Ink.WARNING, "done": Ink.TEXT}
        words = (Run(_WORDS[state], colour.get(state, Ink.DIM)),)
        if state in {"growing", "held"}:
            share = learned.share
            words = (*words, wording.dim(f"  {share:4.0%}"))
        if learned.value is not None:
            value = (wording.bright(wording.number(learned.value)),)
    room = measure("−000.00", metrics.text)
    left = Rect(
        plan.caption.top,
        plan.caption.left,
        plan.caption.height,
        plan.caption.width - room - metrics.pad,
    )
    right = Rect(plan.caption.top, plan.caption.right - room, plan.caption.height, room)
    chrome.text("learned caption", left, words, metrics.text)
    chrome.text("learned value", right, value, metrics.text, align=1.0)
    _write_progress(region, "learned progress", plan.progress, share, held=state == "held")


def _hint(state: Known, learned: Learned) -> str:
    return learned.note if state == "missing" else ""


def _write_progress(region: Region, name: str, rect: Rect, share: float, *, held: bool) -> None:
    width = round(share * rect.width)

    def draw(brush: Brush) -> None:
        if not share:
            return
        brush.fill(rect, Ink.RAISED)
        done = Rect(rect.top, rect.left, rect.height, width)
        brush.fill(done, Ink.WARNING if held else Ink.SELECTED)

    region.chrome.slot(name, rect, (bool(share), width, held), draw)


def _write_tops(region: Region, plan: LearnedPlan, learned: Learned | None) -> None:
    chrome, metrics = region.chrome, region.layout.metrics
    tops = learned.tops if learned is not None else ()
    state: Known = learned.top if learned is not None else "missing"
    rule = learned.back_rule if learned is not None else ""
    texts = ("top inputs", rule or "backward") if plan.grids is not None else ()
    for index, (rect, text) in enumerate(zip(plan.headings, texts, strict=False)):
        chrome.text(f"learned heading {index}", rect, (wording.dim(text),), metrics.text)
    for index, grid in enumerate(plan.grids or ()):
        have = tuple(
            top.crop_HW3 is not None if index == 0 else top.back_HW3 is not None for top in tops
        )
        chosen = _chosen(region.scene) if index == 0 else None

        def draw(
            brush: Brush,
            grid: Grid = grid,
            have: tuple[bool, ...] = have,
            chosen: int | None = chosen,
        ) -> None:
            for place in range(grid.first, grid.last):
                tile = grid.tile(place)
                if tile is not None and not (place < len(have) and have[place]):
                    missing_tile(brush, tile, metrics.line, is_loading=state == "loading")
            tile = grid.tile(chosen) if chosen is not None and chosen < len(have) else None
            if tile is not None:
                brush.outline(tile.inset(-metrics.line), Ink.SELECTED, metrics.line)

        around = grid.area.inset(-metrics.line)
        chrome.slot(f"learned tops {index}", around, (have, state, chosen), draw, beneath=True)


def _chosen(scene: Scene) -> int | None:
    """Which of the best inputs is looked at in the place of the source."""
    top, learned = scene.view.top_input, scene.learned
    if top is None or learned is None or (top.layer, top.unit) != (learned.layer, learned.unit):
        return None
    return top.place


def _write_jobs(region: Region, plan: LearnedPlan) -> None:
    """Name, share and time left of what goes on beside the film."""
    chrome, metrics, jobs, rect = (
        region.chrome,
        region.layout.metrics,
        region.scene.jobs,
        plan.job,
    )
    name: tuple[Run, ...] = ()
    left: tuple[Run, ...] = ()
    share, is_held = 0.0, False
    chosen = [job for job in jobs if job.is_chosen]
    if chosen:
        name = (wording.bright(job_name(jobs, region.scene.layers)),)
        share, is_held = job_share(jobs), all(job.is_paused for job in chosen)
        lefts = [job.left_s for job in chosen if job.left_s is not None]
        # They take turns: the last one to end is the end of all.
        text = "paused" if is_held else wording.time_left(max(lefts, default=None))
        left = (Run(text, Ink.WARNING if is_held else Ink.DIM), wording.dim(f" {share:4.0%}"))
    bar = Rect(rect.bottom - plan.progress.height, rect.left, plan.progress.height, rect.width)
    _write_progress(region, "learned job progress", bar, share, held=is_held)
    rect = Rect(rect.top, rect.left, rect.height - bar.height, rect.width)
    room = measure("00 min left  100%", metrics.text)
    words = Rect(rect.top, rect.left, rect.height, rect.width - room - metrics.pad // 2)
    right = Rect(rect.top, rect.right - room, rect.height, room)
    chrome.text("learned job", words, name, metrics.text)
    chrome.text("learned left", right, left, metrics.text, align=1.0)


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    plan, learned = layout.learned, scene.learned
    if plan is None or learned is None:
        return
    if learned.optimized_HW3 is not None:
        image_HW3 = learned.optimized_HW3
        draw_picture(surface.words_HW, plan.optimized, image_HW3)
    for index, grid in enumerate(plan.grids or ()):
        for place, top in enumerate(learned.tops[: grid.num]):
            image = top.crop_HW3 if index == 0 else top.back_HW3
            tile = grid.tile(place)
            if image is not None and tile is not None:
                draw_picture(surface.words_HW, tile, image)


def _hit(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    """One of the best inputs, or the picture made to excite the unit."""
    del readout
    plan = layout.learned
    if plan is None:
        return None
    place = plan.top_at(x, y)
    if place is None:
        return None
    return Target(kind="top", pane="details", place=place)


PAGE = Page(title=_title, write=_write, paint=_paint, hit=_hit)

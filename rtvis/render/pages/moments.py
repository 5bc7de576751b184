"""The best moments of the selected unit so far: what its neuron saw, how much, and when."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from rtvis.counting import counted
from rtvis.data import Target
from rtvis.render import wording
from rtvis.render.chrome import Brush
from rtvis.render.layout import Layout
from rtvis.render.moment_numbers import NUM_OF_POOL, Moment, moments_of, time_in, when
from rtvis.render.moment_pictures import mark_neuron, paint_moment, sees_all
from rtvis.render.moments_plan import NUM_MOMENTS, lay_moments
from rtvis.render.pages.page import Page, unit_title
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.scene import MomentsShown, Scene
from rtvis.render.surface import Surface
from rtvis.render.text import Run
from rtvis.theme import Ink


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Measured:
    """The numbers for the text."""

    page_numbers: Tensor


class _Gauge:
    """Hands on what was gathered; nothing is computed."""

    def __init__(self, device: torch.device) -> None:
        self._nothing = torch.zeros(0, dtype=torch.float64, device=device)

    def measure(self, scene: Scene, ends: tuple[Tensor, Tensor]) -> _Measured:
        """See `pages.page.Gauge`."""
        del ends
        shown = scene.moments
        if shown is None or shown.moments_NF is None or shown.pool_2 is None:
            return _Measured(page_numbers=self._nothing)
        numbers = (shown.pool_2.double(), shown.moments_NF.flatten())
        return _Measured(page_numbers=torch.cat(numbers))


def _write(region: Region) -> None:
    layout, metrics, chrome = region.layout, region.layout.metrics, region.chrome
    plan = lay_moments(layout.contents["details"], metrics)
    shown, moments = region.scene.moments, moments_of(region.readout)
    have = tuple(moment.has_picture for moment in moments)
    chosen = next((i for i, each in enumerate(moments) if _is_chosen(shown, each)), None)
    hover = region.scene.view.hover
    lit = hover.place if hover.kind == "moment" else None
    grid = plan.grid
    if grid is not None:

        def draw(brush: Brush) -> None:
            for place in range(NUM_MOMENTS):
                tile = grid.tile(place)
                if tile is None or (place < len(have) and have[place]):
                    continue
                # What was there and is gone is lighter than what has not come yet.
                brush.fill(tile, Ink.RAISED if place < len(have) else Ink.BACKGROUND)
                brush.outline(tile, Ink.HAIRLINE, max(metrics.line // 2, 1))

            for marked, colour, line in (
                (lit, Ink.TEXT, max(metrics.line // 2, 1)),
                (chosen, Ink.SELECTED, metrics.line),
            ):
                tile = grid.tile(marked) if marked is not None else None
                if tile is not None:
                    brush.outline(tile.inset(-line), colour, line)

        around = grid.area.inset(-metrics.line)
        chrome.slot("moments pictures", around, (have, lit, chosen), draw, beneath=True)
        for place in range(NUM_MOMENTS):
            _write_caption(region, place, moments[place] if place < len(moments) else None)
    for index, (rect, words) in enumerate(
        zip(plan.facts, _facts(region, shown, moments), strict=True)
    ):
        chrome.text(f"moments fact {index}", rect, words, metrics.text)


def _is_chosen(shown: MomentsShown | None, moment: Moment) -> bool:
    return shown is not None and shown.chosen == moment.frame


def _write_caption(region: Region, place: int, moment: Moment | None) -> None:
    metrics, shown = region.layout.metrics, region.scene.moments
    plan = lay_moments(region.layout.contents["details"], metrics)
    texts = [wording.dim("not yet"), wording.dim("")]
    if moment is not None and shown is not None:
        clips = shown.clips
        texts = [wording.bright(wording.number(moment.value)), wording.dim(when(clips, moment))]
    for line in range(plan.num_lines):
        rect = plan.caption(place, line, metrics)
        if rect is not None:
            name = f"moments {place} line {line}"
            region.chrome.text(name, rect, (texts[line],), metrics.text, align=0.5)


def _facts(
    region: Region, shown: MomentsShown | None, moments: tuple[Moment, ...]
) -> tuple[tuple[Run, ...], ...]:
    """What was seen, how far apart, and what is to be known of it."""
    if shown is None or not shown.num_frames:
        why = shown.note if shown is not None and shown.note else "counts from the next frame on"
        return (wording.dim(why),), (), ()
    since = time.strftime("%H:%M:%S", time.localtime(shown.since_s))
    frames = "frame" if shown.num_frames == 1 else "frames"
    seen = (wording.bright(f"{shown.num_frames:,}"), wording.dim(f" {frames} since {since}"))
    apart = (wording.dim(f"at least {shown.apart_s:g} s apart"),)
    hover = region.scene.view.hover
    if hover.kind == "moment" and hover.place is not None and hover.place < len(moments):
        moment = moments[hover.place]
        at = f"({moment.row}, {moment.column})"
        clip = shown.clips[moment.clip] if moment.clip < len(shown.clips) else None
        where = f"  {time_in(clip, moment.seconds)} {clip.name}" if clip is not None else ""
        return seen, apart, (wording.bright(at), wording.dim(where))
    return seen, apart, _state(region, shown, moments)


def _state(region: Region, shown: MomentsShown, moments: tuple[Moment, ...]) -> tuple[Run, ...]:
    """The worst that there is to say."""
    if shown.note:
        return (Run(shown.note, Ink.WARNING),)
    if any(not moment.has_picture for moment in moments):
        return (Run("no room for every picture", Ink.WARNING),)
    numbers = region.readout.page_numbers
    if region.readout.page != "moments" or len(numbers) < NUM_OF_POOL:
        return ()
    return (wording.dim(f"{counted(numbers[0], 'picture')} kept"),)


def _paint(surface: Surface, scene: Scene, layout: Layout) -> None:
    shown, layer = scene.moments, layout.layer
    plan = lay_moments(layout.contents["details"], layout.metrics)
    if shown is None or layer is None or plan.grid is None:
        return
    numbers_NF, slot_N, pictures = shown.moments_NF, shown.slot_N, shown.picture_PHW3
    if numbers_NF is None or slot_N is None or pictures is None:
        return
    for place in range(min(NUM_MOMENTS, len(slot_N))):
        tile = plan.grid.tile(place)
        assert tile is not None, "all nine are in sight"
        paint_moment(surface.words_HW, tile, numbers_NF[place], slot_N[place], pictures, layer)
        size, line = (pictures.shape[1], pictures.shape[2]), layout.metrics.line
        if sees_all(layer, size):
            inner = tile.fit(*size)
            mark_neuron(
                surface.words_HW,
                inner,
                numbers_NF[place],
                layer,
                size,
                line,
                surface.inks[Ink.SOURCE],
            )
    if scene.stale_since_ns:
        surface.fade(plan.grid.area)


def _hit(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    grid = lay_moments(layout.contents["details"], layout.metrics).grid
    place = grid.at(x, y) if grid is not None else None
    if place is None or place >= len(moments_of(readout)):
        return None
    return Target(kind="moment", pane="details", place=place)


PAGE = Page(title=unit_title, write=_write, paint=_paint, make_gauge=_Gauge, hit=_hit)

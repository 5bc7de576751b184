"""The best moments of the selected unit so far: what its neuron saw, how much, and when."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import torch
from torch import Tensor

from rtvis.data import ImageU8, Layer, Target
from rtvis.render import display, host, lut, wording
from rtvis.render.chrome import Brush, edges
from rtvis.render.grid import Rect
from rtvis.render.layout import Layout
from rtvis.render.moments_plan import NUM_MOMENTS, lay_moments
from rtvis.render.pages.page import Page, unit_title
from rtvis.render.panes import resize_picture
from rtvis.render.readout import Readout
from rtvis.render.region import Region
from rtvis.render.resample import grow
from rtvis.render.scene import Clip, MomentsShown, Scene
from rtvis.render.seen import seen_pixels
from rtvis.render.surface import Surface
from rtvis.render.text import Run

_HEAD = 2
_FIELDS = 7


class Moment(NamedTuple):
    """One of the numbers' rows on the host."""

    value: float
    clip: int
    seconds: float
    row: int
    column: int
    frame: int
    """-1 where there is none yet."""
    has_picture: bool


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


def moments_of(readout: Readout) -> tuple[Moment, ...]:
    """Those in the text, best first; empty places are left out."""
    numbers = readout.page_numbers[_HEAD:]
    if readout.page != "moments":
        return ()
    rows = [numbers[i : i + _FIELDS] for i in range(0, len(numbers), _FIELDS)]
    return tuple(
        Moment(v, int(clip), s, int(row), int(column), int(frame), bool(has))
        for v, clip, s, row, column, frame, has in rows
        if frame >= 0
    )


def when(clips: Sequence[Clip], moment: Moment) -> str:
    """A moment's time, or its picture's name."""
    if moment.clip >= len(clips):
        return ""
    clip = clips[moment.clip]
    return time_in(clip, moment.seconds) or clip.name


def time_in(clip: Clip, seconds: float) -> str:
    """Of a film as 1:02.5, of a camera as 14:03:07; empty for a picture in a file."""
    if clip.kind == "picture":
        return ""
    if clip.kind == "camera":
        return time.strftime("%H:%M:%S", time.localtime(clip.begun_wall_s + seconds))
    tenths = int(seconds * 10 + 1e-6)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{tenths // 10:02}"
    return f"{minutes}:{tenths // 10:02}.{tenths % 10}"


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
                brush.fill(tile, lut.RAISED if place < len(have) else lut.BACKGROUND)
                brush.outline(tile, lut.HAIRLINE, max(metrics.line // 2, 1))

            for marked, colour, line in (
                (lit, lut.TEXT, max(metrics.line // 2, 1)),
                (chosen, lut.SELECTED, metrics.line),
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
    seen = (wording.bright(f"{shown.num_frames:,}"), wording.dim(f" frames since {since}"))
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
        return (Run(shown.note, lut.WARNING),)
    if any(not moment.has_picture for moment in moments):
        return (Run("no room for every picture", lut.WARNING),)
    numbers = region.readout.page_numbers
    if region.readout.page != "moments" or len(numbers) < _HEAD:
        return ()
    return (wording.dim(f"{numbers[0]:,.0f} pictures kept"),)


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
            mark_neuron(surface.words_HW, inner, numbers_NF[place], layer, size, line)
    if scene.stale_since_ns:
        surface.fade(plan.grid.area)


def paint_moment(
    canvas_HW: Tensor,
    rect: Rect,
    numbers_F: Tensor,
    slot: Tensor,
    picture_PHW3: Tensor,
    layer: Layer,
) -> None:
    """What a neuron saw, as large as fits, if its picture is there.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where.
        numbers_F: See `MomentsShown.moments_NF`.
        slot: int64, a scalar on the device.
        picture_PHW3: uint8 RGB.
        layer: The neuron's.
    """
    size = picture_PHW3.shape[1], picture_PHW3.shape[2]
    field = min(layer.receptive_field[0], size[0]), min(layer.receptive_field[1], size[1])
    inner = rect.fit(*field)
    position_2 = numbers_F[3:5].long()
    index_Y, index_X = seen_pixels(
        position_2, layer=layer, input_size=size, picture_size=size, crop=None, size=field
    )
    if canvas_HW.device.type == "cpu":
        if numbers_F[6]:
            crop_HW3 = host.pick(picture_PHW3[int(slot)], index_Y, index_X)
            host.paint(canvas_HW, inner, sized(crop_HW3, inner.height, inner.width))
        return
    picture_HW3 = picture_PHW3.index_select(0, slot[None]).squeeze(0)
    seen_HW3 = picture_HW3.index_select(0, index_Y).index_select(1, index_X)
    if inner.height <= field[0]:
        shown_HW3 = resize_picture(seen_HW3, (inner.height, inner.width))
    else:
        shown_3HW = grow(seen_HW3.permute(2, 0, 1), inner.height, inner.width)
        shown_HW3 = shown_3HW.permute(1, 2, 0)
    # Nobody here knows whether it is there.
    before_HW = canvas_HW[inner.rows, inner.columns]
    words_HW = display.pack_bytes(shown_HW3)
    canvas_HW[inner.rows, inner.columns] = torch.where(numbers_F[6] > 0, words_HW, before_HW)


def sees_all(layer: Layer, size: tuple[int, int]) -> bool:
    """Whether neurons see all of an input of (height, width), each from a place of its own."""
    is_whole = layer.receptive_field[0] >= size[0] and layer.receptive_field[1] >= size[1]
    return is_whole and layer.field_start is not None and layer.map_size != (1, 1)


def mark_neuron(
    canvas_HW: Tensor,
    rect: Rect,
    numbers_F: Tensor,
    layer: Layer,
    size: tuple[int, int],
    line: int,
) -> None:
    """Where in the input a neuron lies: an outline as large as its step in the map.

    Args:
        canvas_HW: Packed pixels, written in place.
        rect: Where the whole input is drawn.
        numbers_F: See `MomentsShown.moments_NF`; without a picture nothing is drawn.
        layer: The neuron's.
        size: (height, width) of the input.
        line: Thickness.
    """
    assert layer.field_start is not None, "asked before"
    sides = rect.height, rect.width
    halves, centres = [], []
    for axis in (0, 1):
        zoom = sides[axis] / size[axis]
        half = max(layer.stride[axis] * zoom / 2, 3.0 * line)
        first = layer.field_start[axis] + layer.receptive_field[axis] / 2
        centre = (first + numbers_F[3 + axis] * layer.stride[axis]) * zoom
        halves.append(half)
        centres.append(centre.clamp(half, sides[axis] - half))
    if canvas_HW.device.type == "cpu":
        if numbers_F[6]:
            top, left = (round(float(c) - h) for c, h in zip(centres, halves, strict=True))
            height, width = (round(2 * half) for half in halves)
            box = Rect(rect.top + top, rect.left + left, height, width)
            for edge in edges(box, line):
                canvas_HW[edge.rows, edge.columns] = lut.SOURCE
        return
    off_H1, off_1W = (
        (torch.arange(side, device=canvas_HW.device) + 0.5 - centre).abs()
        for side, centre in zip(sides, centres, strict=True)
    )
    off_H1, off_1W = off_H1[:, None], off_1W[None, :]
    inside_HW = (off_H1 <= halves[0]) & (off_1W <= halves[1])
    within_HW = (off_H1 <= halves[0] - line) & (off_1W <= halves[1] - line)
    before_HW = canvas_HW[rect.rows, rect.columns]
    is_edge_HW = inside_HW & ~within_HW & (numbers_F[6] > 0)
    canvas_HW[rect.rows, rect.columns] = before_HW.masked_fill(is_edge_HW, lut.SOURCE)


def sized(image_HW3: ImageU8, height: int, width: int) -> ImageU8:
    """Averaged when it shrinks; when it grows, its own pixels."""
    if height <= image_HW3.shape[0]:
        return host.resize(image_HW3, height, width)
    grown: ImageU8 = cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_NEAREST)
    return grown


def _hit(layout: Layout, readout: Readout, x: int, y: int) -> Target | None:
    grid = lay_moments(layout.contents["details"], layout.metrics).grid
    place = grid.at(x, y) if grid is not None else None
    if place is None or place >= len(moments_of(readout)):
        return None
    return Target(kind="moment", pane="details", place=place)


PAGE = Page(title=unit_title, write=_write, paint=_paint, make_gauge=_Gauge, hit=_hit)

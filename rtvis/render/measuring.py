"""What is measured of a scene: the range of colours, the text's numbers, those of the page."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rtvis.data import Result
from rtvis.render import display
from rtvis.render.map_panes import shown_maps
from rtvis.render.pages import PAGES
from rtvis.render.pages.page import Gauge, RememberingGauge
from rtvis.render.panes_plan import has_details
from rtvis.render.readout import Ranked, Readout, pack_readout, rank, subject_of
from rtvis.render.scene import Memory, Scene
from rtvis.session import PageName


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Numbers:
    """Of one scene, on the device."""

    ranges: tuple[Tensor, Tensor]
    """Lower and upper end of the grid's colours."""
    packed_N: Tensor
    """As `pack_readout` gives them."""
    subject: Readout
    """What they are about."""
    memory: Memory | None
    """What the page in sight has gathered so far."""


class Measuring:
    """Follows the ranges of layers, and measures for the page in sight. One owning thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._range = display.ColourRange(device)
        self._gauges: dict[PageName, Gauge] = {}

    def resume(self, colour_range: tuple[float, float]) -> None:
        """Go on from the range of an earlier run (`Readout.range_ends`)."""
        self._range.resume(colour_range)

    def resume_page(self, page: PageName, memory: Memory) -> None:
        """Let a page go on from what it had gathered in an earlier run (`memory`)."""
        gauge = self._gauge(page)
        if isinstance(gauge, RememberingGauge):
            gauge.resume(memory)

    def measure(self, scene: Scene) -> tuple[Scene, Numbers | None]:
        """The scene with what its page measured, and its numbers; None without a result."""
        result, page = scene.result, scene.view.page
        if result is None:
            return scene, None
        maps_CHW = shown_maps(result, scene.batch_index)
        low, high = display.extremes(maps_CHW)
        key = _range_key(scene, result)
        ranges = self._range.update(low, high, key=key, smoothed=scene.view.range_smoothed)
        scene, page_N, memory = self._measured_by_page(scene)
        ranked = _ranked(scene)
        packed_N = pack_readout(
            result,
            maps_CHW,
            batch_index=scene.batch_index,
            hover=scene.view.hover,
            low=low,
            high=high,
            range_low=ranges[0],
            range_high=ranges[1],
            range_ends=self._range.ends,
            page_N=page_N,
            ranked=ranked,
        )
        subject = subject_of(result, page=page, page_N=page_N, ranked=ranked)
        return scene, Numbers(ranges=ranges, packed_N=packed_N, subject=subject, memory=memory)

    def _measured_by_page(self, scene: Scene) -> tuple[Scene, Tensor | None, Memory | None]:
        """The scene with what the page in sight measures, its numbers, and what it gathers."""
        in_sight = has_details(scene.view) and not scene.maps_note
        gauge = self._gauge(scene.view.page) if in_sight else None
        if gauge is None:
            return scene, None, None
        measured = gauge.measure(scene, self._range.ends)
        memory = gauge.memory if isinstance(gauge, RememberingGauge) else None
        return replace(scene, measured=measured), measured.page_numbers, memory

    def _gauge(self, page: PageName) -> Gauge | None:
        """What measures for a page; pages not in sight cost nothing."""
        make = PAGES[page].make_gauge
        if make is not None and page not in self._gauges:
            self._gauges[page] = make(self._device)
        return self._gauges.get(page)


def _range_key(scene: Scene, result: Result) -> object:
    """What has a range of colours of its own."""
    chosen, compared = result.selection, scene.view.compared
    # Of pictures in files each has its own: there are no more turns to follow the next one's in.
    key: tuple[object, ...] = (chosen.layer, chosen.tap, scene.picture_name)
    if chosen.gradients:
        key = (*key, chosen.origin)
    return key if compared in {"off", "first"} else (key, compared)


def _ranked(scene: Scene) -> Ranked | None:
    """The classes to list of two that are compared and have the same ones."""
    pair = scene.pair
    if pair is None or not pair.same_classes:
        return None
    first, second = pair.first.result, pair.second.result
    if first is None or second is None or first.dense_BKHW is not None:
        return None
    return rank(first.scores_BK[0], second.scores_BK[0], scene.view.compared)

"""How long the film stands still after a key: gaps between new frames, in medians of the run."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2

from benchmarks import common
from benchmarks.common import median
from benchmarks.turns import film_pictures
from rtvis.data import ClosedEvent, KeyEvent, Layer, Selection
from rtvis.engine.engine import Engine
from rtvis.runtime.store_shelf import StoreShelf
from rtvis.session import View
from rtvis.units import names
from rtvis.units.store import open_store

WATCHED_S: Final = 1.0
"""How long after a key gaps count as its own."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something a user does."""

    name: str
    keys: tuple[str, ...] = ()
    change: Callable[[Any], Any] | None = None
    """Of the View, where a click would say which unit or layer."""


class Times(NamedTuple):
    """When a new frame was drawn, by three clocks, in ns."""

    wall: int
    engine: int
    """Processor time of the engine's thread."""
    process: int
    """Of all threads: what the background does counts in full, though it runs beside."""


@dataclass(slots=True)
class Presser:
    """Does one thing after another while a film runs, and takes the time of each new frame.

    Its `look` is handed to `Pipeline.run` as `on_progress`, which is called on the main thread.
    """

    pipeline: Any
    sink: Any
    acts: Sequence[Act]
    settle_s: float = 3.0
    frames: list[Times] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)
    """(what, time.monotonic_ns() when it was done)."""
    _next_s: float = 0.0

    def __post_init__(self) -> None:
        give, newest = self.pipeline.delivery.give, [0]

        def noting(composed: Any) -> None:
            give(composed)
            if composed is not None and composed.picture.captured_ns > newest[0]:
                newest[0] = composed.picture.captured_ns
                times = Times(time.monotonic_ns(), time.thread_time_ns(), time.process_time_ns())
                self.frames.append(times)

        self.pipeline.delivery.give = noting

    def look(self, progress: Any) -> None:
        """Do the next thing if it is time; leave after the last."""
        del progress
        now_s = time.monotonic()
        if not self.frames:
            return
        self._next_s = self._next_s or now_s + self.settle_s
        if now_s < self._next_s:
            return
        self._next_s = now_s + WATCHED_S
        if len(self.done) == len(self.acts):
            self.sink.send(ClosedEvent())
            return
        act = self.acts[len(self.done)]
        self.done.append((act.name, time.monotonic_ns()))
        if act.change is not None:
            self.pipeline.session.apply(act.change)
        self.sink.send(*(KeyEvent(key=key) for key in act.keys))

    def gaps(self) -> dict[str, tuple[float, float, float]]:
        """Of each thing that was done, the longest gap within a second by each clock, in medians
        of the gaps before the first one."""
        pairs = list(itertools.pairwise(self.frames))
        before = [pair for pair in pairs if pair[1].wall < self.done[0][1]]
        found = {}
        for index, (name, since_ns) in enumerate(self.done):
            own = [p for p in pairs if since_ns <= p[1].wall < since_ns + WATCHED_S * 1e9]
            found[f"{index} {name}"] = tuple(
                max((b[clock] - a[clock] for a, b in own), default=0)
                / median([b[clock] - a[clock] for a, b in before])
                for clock in range(3)
            )
        return found


def acts_on(layers: Sequence[Layer], largest: Layer) -> list[Act]:
    """Every key that draws or computes something else, with a large layer selected."""
    others = [layers[len(layers) * share // 4].name for share in (0, 1, 2)] + [layers[-1].name]

    def select(name: str, unit: int) -> Callable[[Any], Any]:
        return lambda view: replace(
            view, selection=replace(view.selection, layer=name, unit=unit, position=None)
        )

    acts = [Act(f"click: {name}", change=select(name, 1)) for name in (*others, largest.name)]
    acts += [Act(f"page {number + 1}", ("9",)) for number in range(7)]
    acts += [Act(f"pattern {number + 1}", ("s",)) for number in range(4)]
    acts += [
        Act(f"key {key}", (key,))
        for key in (
            "right", "down", "page-down", "end", "home", "a", "a", "b", "n", "m", "p", "d", "d",
            "1", "4", "z", "z", "z", "c", "y", "g", "t", ".", ";", "8", "8", "0", "5", "h", "h",
            "x", "f9", "backspace",
        )
    ]  # fmt: skip
    return acts


def filled_store(engine: Engine, root: Path) -> tuple[StoreShelf, Layer]:
    """A store with a crop of each unit of the layer with the most units, and that layer."""
    layer = max(engine.layers, key=lambda each: (each.num_units, each.map_size[0]))
    pictures = [
        cv2.resize(image_HW3, (224, 224), interpolation=cv2.INTER_AREA)
        for image_HW3 in film_pictures(16)
    ]
    store = open_store(root, engine.identity)
    with store.writing("a benchmark") as writer:
        writer.write_layer(layer)
        for unit in range(layer.num_units):
            files = {names.ranked("crop", 0): pictures[unit % len(pictures)]}
            writer.write_pictures(layer.name, unit, files)
    shelf = StoreShelf(root, lambda: engine.identity, engine.layers, preset_name="default")
    return shelf, layer


def selected(layer: Layer) -> View:
    """What a run begins with: the grid with that layer's maps."""
    return View(selection=Selection(layer=layer.name, unit=0), growing=False)


def rows_of(found: dict[str, tuple[float, float, float]]) -> str:
    """A table of the longest gaps, the worst first by the engine thread's clock."""
    worst = sorted(found.items(), key=lambda pair: -pair[1][1])
    rows = [[name, *(f"{gap:.2f}" for gap in gaps)] for name, gaps in worst[:12]]
    counts = [sum(gaps[clock] > 3 for gaps in found.values()) for clock in range(3)]
    text = (
        f"\nAfter each of {len(found)} keys and clicks the longest gap between two new frames "
        f"within {WATCHED_S:g} s, in medians of the gaps before the first, by the clock on the "
        "wall, by the processor time of the engine's thread, and by that of all threads: "
        f"{counts[0]}, {counts[1]} and {counts[2]} over 3.\n\n"
    )
    head = ("longest gaps in medians", "wall", "engine's thread", "all threads")
    return text + common.table(head, rows)

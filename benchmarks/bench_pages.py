"""The HTML pages of a store in a real browser: how soon they are there, and what they load.

python -m benchmarks.bench_pages [--quick] [--units 4096,2048] [--layers 150]

Each page is opened from its file in a browser that has the style and script already. The smallest
page, of a layer with 16 units, is what the others are compared with.
"""

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import numpy as np
import torch

from benchmarks import browser, common
from benchmarks.browser import Browser
from benchmarks.made_store import made_store
from rtvis.units import names
from rtvis.units.store import Store

SMALL: Final = 16
"""Units of the smallest layer."""
_LOADED: Final = """new Promise(done => {
const page = performance.getEntriesByType("navigation")[0];
const look = () => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  if (paint) done({picture: paint.startTime, loaded: page.loadEventEnd});
  else requestAnimationFrame(look);
};
look();})"""
_SCROLLED: Final = """new Promise(done => {
const gaps = [], end = document.documentElement.scrollHeight - innerHeight;
let before = performance.now(), y = 0;
const step = now => {
  gaps.push(now - before); before = now; y += 400; scrollTo(0, y);
  if (y < end) requestAnimationFrame(step); else done(gaps.slice(1));
};
requestAnimationFrame(step);})"""
_CHANGED: Final = """new Promise(done => {
const one = document.querySelector("form").elements["%s"], began = performance.now();
if (one.options) one.selectedIndex = 1; else one.value = "%s";
one.dispatchEvent(new Event(one.options ? "change" : "input"));
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));})"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """One page, opened once."""

    picture_ms: float
    """Until anything of it was on screen."""
    loaded_ms: float
    """Until all that it asks for at first was there."""
    num_files: int
    """Asked for at first, itself among them."""
    num_bytes: int
    """Of these."""
    memory_bytes: int
    """Of the page's process, after it was scrolled through."""
    gaps_ms: tuple[float, ...]
    """Between two pictures while it is scrolled, 400 pixels each."""
    sorted_ms: float
    """Until units in another order were on screen; NaN where there is no such choice."""
    filtered_ms: float
    """Until those of one class, or of one layer, were."""


def main() -> None:
    """Measure, and publish the table."""
    arguments = _parse()
    if arguments.device != "cpu":
        common.say("pages are the same whatever computed them: nothing to measure")
        return
    if browser.program() is None:
        common.say("no Chromium on PATH: `make setup-system` installs it")
        return
    sizes = [*arguments.units, *[SMALL] * arguments.layers]
    with tempfile.TemporaryDirectory(prefix="rtvis-pages-") as folder:
        common.say(f"making a store of {len(sizes)} layers, {sum(sizes)} units")
        store = made_store(Path(folder), sizes, num_complete=1)
        first, *_, last = (layer.name for layer in store.layers())
        warm = store.path(last, names.unit_page(0))
        found = {
            what: [_opened(path, warm) for _ in range(1 if arguments.quick else 5)]
            for what, path in _pages(store, arguments.units).items()
        }
        page_bytes = store.path(first, names.PAGE).stat().st_size
    common.publish(
        "Pages of a store in a browser",
        _told(found, page_bytes, sizes[0]),
        device=torch.device("cpu"),
        arguments=arguments,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_pages", description=__doc__.partition("\n")[0])
    common.add_common_flags(parser)
    parser.add_argument("--units", default="4096,2048", help="of the first layers")
    parser.add_argument("--layers", type=int, default=150, help=f"of {SMALL} units behind them")
    arguments = parser.parse_args()
    arguments.units = [int(each) for each in arguments.units.split(",")]
    if arguments.quick:
        arguments.units, arguments.layers = [96], 3
    return arguments


def _pages(store: Store, units: Sequence[int]) -> dict[str, Path]:
    """What is opened, the smallest first."""
    layers = [each.name for each in store.layers()]
    pages = {f"layer of {SMALL} units": store.path(layers[-1], names.PAGE)}
    for name, count in zip(layers, units, strict=False):
        pages[f"layer of {count} units"] = store.path(name, names.PAGE)
    pages[f"network of {len(layers)} layers"] = store.path(None, names.PAGE)
    pages["unit, all pictures"] = store.path(layers[0], names.unit_page(0))
    pages["unit, a crop and an optimised input"] = store.path(layers[0], names.unit_page(1))
    return pages


def _opened(path: Path, warm: Path) -> Opened:
    """In a browser of its own, which has shown another page, `warm`."""
    with Browser(width=1280, height=800) as page:
        page.open(warm)
        page.settle()
        asked = page.open(path) + page.requests()
        times = page.do(_LOADED)
        gaps = page.do(_SCROLLED)
        memory_bytes = page.memory_bytes()
        page.do("scrollTo(0, 0)")
        filtered = [_changed(page, *each) for each in (("class", "daisy"), ("layer", "blocks.1"))]
        return Opened(
            picture_ms=times["picture"],
            loaded_ms=times["loaded"],
            num_files=len(asked),
            num_bytes=sum(num_bytes_of(each) for each in asked),
            memory_bytes=memory_bytes,
            gaps_ms=tuple(gaps),
            sorted_ms=_changed(page, "sort", ""),
            filtered_ms=next((each for each in filtered if not math.isnan(each)), math.nan),
        )


def _changed(page: Browser, name: str, value: str) -> float:
    if not page.do(f'Boolean(document.querySelector("form")?.elements["{name}"])'):
        return float("nan")
    return float(page.do(_CHANGED % (name, value)))


def num_bytes_of(address: str) -> int:
    """Of a file that a page asked for."""
    return Path(unquote(urlsplit(address).path)).stat().st_size


def _told(found: Mapping[str, Sequence[Opened]], page_bytes: int, num_units: int) -> str:
    smallest = next(iter(found.values()))
    first = common.median([each.picture_ms for each in smallest])
    rows = []
    for what, each in found.items():
        pictures = [one.picture_ms for one in each]
        gaps = [gap for one in each for gap in one.gaps_ms]
        rows.append(
            [
                what,
                f"{common.median(pictures):.0f}",
                f"**{common.median(pictures) / first:.2f}**",
                _ms([one.loaded_ms for one in each]),
                str(each[0].num_files),
                f"{each[0].num_bytes / 1e6:.2f}",
                f"{common.median([one.memory_bytes for one in each]) / 1e6:.0f}",
                _ms(gaps),
                f"{np.percentile(gaps, 95):.0f}" if gaps else "",
                _ms([one.sorted_ms for one in each]),
                _ms([one.filtered_ms for one in each]),
            ]
        )
    head = (
        *("page", "first picture ms", "ratio", "loaded ms", "files", "MB", "memory MB"),
        *("scroll ms", "95 %", "sort ms", "filter ms"),
    )
    return (
        f"{common.machine_facts(torch.device('cpu'))}- Chromium without a GPU, 1280x800, "
        f"{len(smallest)} times each, medians; files from a disk that has them in memory\n"
        f"- the page of {num_units} units is {page_bytes / num_units:.0f} bytes a unit\n\n"
        + common.table(head, rows)
        + "\nFirst picture: until anything was on screen; loaded: all that is asked for at first, "
        "which is what lies in sight and a little below. Scroll: between two pictures, 400 pixels "
        "each. Sort and filter: until the change was on screen.\n"
    )


def _ms(values: Sequence[float]) -> str:
    known = [each for each in values if not math.isnan(each)]
    return f"{common.median(known):.0f}" if known else ""


if __name__ == "__main__":
    main()

"""The pages of a store in a browser: what they load, and that nothing on them is cut off."""

import time
from collections.abc import Iterator

import pytest

from benchmarks.bench_pages import num_bytes_of
from benchmarks.browser import Browser
from benchmarks.made_store import CLASSES, made_store
from rtvis.units import names
from rtvis.units.store import Store

pytestmark = pytest.mark.browser

LARGE = 800
LAYERS = 40
NAME = "blocks.0.conv"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_store(tmp_path_factory.mktemp("store"), [LARGE, *[2] * LAYERS], num_complete=1)


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with Browser() as found:
        yield found


def numbers(page: Browser) -> list[int]:
    """The units that are shown, in their order."""
    found: list[int] = page.do('[...document.querySelectorAll(".t")].map(t => +t.id.slice(1))')
    return found


def choose(page: Browser, name: str, value: str) -> None:
    """Do with a field of the form what somebody does."""
    page.do(
        f"""(() => {{ const one = document.querySelector("form").elements["{name}"];
        one.value = "{value}"; one.dispatchEvent(new Event(one.options ? "change" : "input"));
        }})()"""
    )


def asks_for(page: Browser, name: str) -> None:
    """Wait until it asks for a file whose address ends so."""
    until_s, asked = time.monotonic() + 20, list[str]()
    while not any(each.endswith(name) for each in asked):
        assert time.monotonic() < until_s, asked
        asked += page.requests()


def test_a_layers_page_loads_what_is_in_sight_and_no_more(store: Store, page: Browser) -> None:
    """800 units lie on four sheets: of these the first one or two are in sight or near it."""
    path = store.path(NAME, names.PAGE)
    assert path.stat().st_size < 260 * LARGE
    page.resize(1280, 800)
    asked = page.open(path) + page.requests()
    assert len(asked) <= 5, asked
    assert sum(map(num_bytes_of, asked)) < 260 * LARGE + 800_000
    page.do("scrollTo(0, document.documentElement.scrollHeight)")
    last = names.sheet(names.OPTIMIZED, (LARGE - 1) // 256)
    asks_for(page, last)


def test_a_networks_page_loads_the_strips_that_are_in_sight(store: Store, page: Browser) -> None:
    page.resize(1280, 800)
    asked = page.open(store.path(None, names.PAGE)) + page.requests()
    strips = [each for each in asked if each.endswith(names.STRIP)]
    assert 8 < len(strips) < LAYERS
    assert store.path(None, names.PAGE).stat().st_size < 600 * (LAYERS + 1)
    page.do("scrollTo(0, document.documentElement.scrollHeight)")
    asks_for(page, f"blocks.{LAYERS}.conv/{names.STRIP}")


def test_a_units_page_is_small(store: Store, page: Browser) -> None:
    path = store.path(NAME, names.unit_page(0))
    assert path.stat().st_size < 20_000
    assert len(page.open(path) + page.requests()) == 1 + 2 + 1 + 45


def test_units_are_found_by_class_and_put_in_order(store: Store, page: Browser) -> None:
    page.resize(1280, 800)
    page.open(store.path(NAME, names.PAGE))
    assert numbers(page) == list(range(LARGE))
    choose(page, "sort", "largest value")
    top = store.read_top(NAME)
    assert top is not None
    order = top.values_CN[:, 0].argsort(descending=True).tolist()
    assert numbers(page)[:20] == order[:20]
    choose(page, "class", "TRIP")
    arrays = store.read_arrays(NAME, names.SELECTIVITY)
    assert arrays is not None
    tripods = set((arrays["top_class_CN"][:, 0] == CLASSES.index("tripod")).nonzero()[0].tolist())
    assert numbers(page) == [unit for unit in order if unit in tripods]
    assert page.do('document.querySelector("output").textContent') == (
        f"{len(tripods)} of {LARGE} units"
    )
    choose(page, "sort", "number")
    assert numbers(page) == sorted(tripods)
    choose(page, "class", "")
    assert numbers(page) == list(range(LARGE))


def test_layers_are_found_by_name(store: Store, page: Browser) -> None:
    page.open(store.path(None, names.PAGE))
    shown = 'document.querySelectorAll(".layers tr:not([hidden]) a:not(.strip)").length'
    assert page.do(shown) == LAYERS + 1
    choose(page, "layer", "Blocks.1")
    assert page.do(shown) == 11  # 1, 10 to 19
    choose(page, "layer", "")
    assert page.do(shown) == LAYERS + 1


CUT = """[...document.querySelectorAll("body *")].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width && box.right > innerWidth + 0.5 && !one.closest(".strip");
}).map(one => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [360, 701, 1000, 1280, 1920])
def test_nothing_is_cut_off_at_any_width(store: Store, page: Browser, width: int) -> None:
    page.resize(width, 800, phone=width < 500)
    for path in (
        store.path(None, names.PAGE),
        store.path(NAME, names.PAGE),
        store.path(NAME, names.unit_page(0)),
    ):
        page.open(path)
        page.settle()
        assert page.do(CUT) == [], path
        assert page.do("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("width", [360, 701, 1000, 1280])
def test_a_strip_ends_with_a_whole_unit(store: Store, page: Browser, width: int) -> None:
    """A unit is 48 pixels wide, and 1.5 lie between two."""
    page.resize(width, 800, phone=width < 500)
    page.open(store.path(None, names.PAGE))
    page.settle()
    strip = page.do('document.querySelector(".strip").getBoundingClientRect().width')
    image = page.do('document.querySelector(".strip img").getBoundingClientRect().width')
    assert image == pytest.approx(12 * 49.5 - 1.5, abs=0.5)
    units = (strip + 1.5) / 49.5
    assert units == pytest.approx(round(units), abs=0.05)
    assert 1 <= round(units) <= 12


def test_the_unit_that_a_link_names_is_marked(store: Store, page: Browser) -> None:
    page.resize(1280, 800)
    page.open(store.path(NAME, names.PAGE), "#u700")
    page.settle()
    where = page.do('document.getElementById("u700").getBoundingClientRect().top')
    assert 0 <= where < 800
    style = 'getComputedStyle(document.querySelector("%s")).outlineStyle'
    assert page.do(style % "#u700") == "solid"
    assert page.do(style % "#u699") == "none"

"""The pages of a store: every link leads somewhere, and only what changed is written again."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch

from rtvis.cli import main
from rtvis.data import Crop, Layer
from rtvis.engine.networks.identity import Identity
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.units import names
from rtvis.units.pages import write_pages
from rtvis.units.pages.facts import facts_of
from rtvis.units.pages.sheets import TILE, tile_source
from rtvis.units.pages.study import study_page
from rtvis.units.store import Store, open_store
from rtvis.units.tracker import Top
from rtvis.units.unit_inputs import KINDS, UnitInput, as_json
from rtvis.units.writer import json_bytes

NUM_UNITS = 300
CONV = Layer(
    index=0,
    name="block#2.Conv",
    kind="conv",
    num_units=NUM_UNITS,
    map_size=(8, 8),
    stride=(2.0, 2.0),
    receptive_field=(3, 3),
    field_start=(-1.0, -1.0),
)
BEHIND = replace(CONV, index=1, name="<b>fc</b>", kind="dense", num_units=4, field_start=None)
INPUT = UnitInput(
    item=0,
    name="a/<script>alert(1)</script>.jpg",
    label="R&D",
    pts_seconds=1.5,
    value=3.25,
    position=(1, 2),
    recomputed=7.5,
    field=Crop(top=1, left=3, height=3, width=3),
    source=Crop(top=1, left=3, height=3, width=3),
    picture_size=(32, 32),
)


def picture(red: int) -> np.ndarray:
    image_HW3 = np.zeros((32, 24, 3), dtype=np.uint8)
    image_HW3[..., 0] = red
    return image_HW3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    prep = Preprocessing(size=(32, 32))
    store = open_store(tmp_path, Identity(network="net", weights="0" * 40, preprocessing=prep))
    with store.writing("a test") as writer:
        writer.write_layer(CONV)
        writer.write_layer(BEHIND)
        top = Top(
            values_CN=torch.arange(NUM_UNITS).float()[:, None],
            item_CN=torch.zeros(NUM_UNITS, 1, dtype=torch.int64),
            position_CN2=torch.zeros(NUM_UNITS, 1, 2, dtype=torch.int32),
        )
        writer.write_top(CONV.name, top)
        for unit in (0, 17, 299):
            images = {names.ranked(kind, 0): picture(100 + unit % 100) for kind in KINDS}
            writer.write_pictures(CONV.name, unit, images)
            writer.write_unit(CONV.name, unit, {names.INPUTS: json_bytes(as_json([INPUT]))})
        writer.write_pictures(BEHIND.name, 2, {names.optimized("default", 0, ".png"): picture(9)})
        writer.write_unit(BEHIND.name, 2, {names.optimized("default", 0, ".json"): b"{}"})
    return store


def written(store: Store, layers: list[str] | None = None) -> int:
    """Write all pages; returns the number of files that had to be."""
    with store.writing("a test") as writer:
        return list(write_pages(store, writer, layers))[-1].num_written


class Links(HTMLParser):
    """Every address of a page, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.said = ""
        self.rel: dict[str, str] = {}
        text = path.read_text()
        self.addresses += re.findall(r"url\((.*?)\)", text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag != "b" or "name" not in given
        for name in ("href", "src"):
            if given.get(name):
                self.addresses.append(str(given[name]))
        if tag == "a" and given.get("rel"):
            self.rel[str(given["rel"])] = str(given["href"])

    def handle_data(self, data: str) -> None:
        self.said += data


def every_page(store: Store) -> Iterator[tuple[Path, Links]]:
    for path in sorted(store.folder.rglob("*.html")):
        yield path, Links(path)


def test_every_link_of_every_page_leads_to_a_file_of_the_store(store: Store) -> None:
    written(store)
    num_pages = num_links = 0
    for path, links in every_page(store):
        num_pages += 1
        for address in links.addresses:
            parts = urlsplit(address)
            assert not parts.scheme, f"{path}: {address} is fetched from elsewhere"
            assert not parts.netloc
            target = (path.parent / unquote(parts.path)).resolve()
            assert target.is_file(), f"{path}: {address}"
            assert target.is_relative_to(store.folder.resolve())
            num_links += 1
    assert num_pages == 1 + 2 + NUM_UNITS + 1
    assert num_links > 5 * NUM_UNITS
    for name in (names.STYLE, names.SCRIPT):
        assert "http" not in (store.folder / name).read_text()


def test_a_units_page_is_found_by_its_name_and_says_what_is_known(store: Store) -> None:
    written(store)
    page = Links(store.folder / "block=232.Conv~20" / "0017.html")
    assert page.rel == {"prev": "0016.html", "next": "0018.html", "up": "index.html"}
    for said in ("unit 17", CONV.name, "3.25", INPUT.name, "R&D", "1.50 s", "now 7.5"):
        assert said in page.said
    assert "0017/guided_00.jpg" in page.addresses
    first = Links(store.folder / "block=232.Conv~20" / "0000.html")
    assert "prev" not in first.rel
    other = Links(store.path(BEHIND.name, "0002.html"))
    assert BEHIND.name in other.said, "a name is text, whatever it looks like"
    assert "0002/optimized_default_0.png" in other.addresses


def test_what_drives_a_unit_down_is_not_shown_as_what_drives_it_most(store: Store) -> None:
    up, down = names.optimized("default", 0, ".png"), names.optimized("dv-down-0e0380", 0, ".png")
    whole = names.optimized("default-layer-0e0380", 0, ".png")
    with store.writing("a test") as writer:
        writer.write_pictures(BEHIND.name, 2, {down: picture(8)})
        writer.write_pictures(BEHIND.name, 1, {down: picture(8), whole: picture(7)})
    facts = facts_of(store, BEHIND)
    assert facts.optimized(2) == (up, down)
    assert tile_source(facts, names.OPTIMIZED, 2) == up
    assert tile_source(facts, names.OPTIMIZED, 1) is None
    written(store)
    both = Links(store.path(BEHIND.name, "0002.html")).said
    assert both.index("drives it most") < both.index("drives it down")
    other = Links(store.path(BEHIND.name, "0001.html")).said
    assert "drives it most" not in other
    assert "drives the layer" in other


def test_a_layers_units_lie_on_sheets_of_256(store: Store) -> None:
    written(store)
    first = store.cache.read(store.path(CONV.name, names.sheet("crop", 0)))
    second = store.cache.read(store.path(CONV.name, names.sheet("crop", 1)))
    assert first is not None
    assert second is not None
    assert first.shape == (2 * TILE, 16 * TILE, 3)  # units 0 and 17: the second row
    assert second.shape == (3 * TILE, 16 * TILE, 3)  # unit 299 is 43 of the second sheet
    middle = TILE // 2
    assert abs(int(first[middle, middle, 0]) - 100) < 5
    assert abs(int(first[TILE + middle, TILE + middle, 0]) - 117) < 5
    assert abs(int(second[2 * TILE + middle, 11 * TILE + middle, 0]) - 199) < 5
    text = store.path(CONV.name, names.PAGE).read_text()
    assert ".crop .s1{background-image:url(sheet_crop_001.jpg)}" in text
    assert '<i class="s1" style="background-position:-704px -128px"></i>299</a>' in text
    assert text.count('class="t"') == NUM_UNITS
    assert len(text) < 300 * NUM_UNITS


def test_only_what_has_changed_is_written_again(store: Store) -> None:
    assert written(store) > NUM_UNITS
    assert written(store) == 0
    with store.writing("a test") as writer:
        writer.write_pictures(CONV.name, 17, {"crop_00.jpg": picture(250)})
    assert written(store) == 2, "its sheet and the strip"
    sheet = store.cache.read(store.path(CONV.name, names.sheet("crop", 0)))
    assert sheet is not None
    assert sheet[TILE + 32, TILE + 32, 0] > 240
    with store.writing("a test") as writer:
        writer.write_unit(CONV.name, 17, {names.INPUTS: json_bytes(as_json([]))})
    assert written(store) == 1, "its page"
    store.path(CONV.name, "0003.html").unlink()
    assert written(store, [BEHIND.name]) == 0
    assert written(store, [CONV.name]) == 1


def test_a_tile_is_found_by_its_units_number_and_not_by_its_place(store: Store) -> None:
    written(store)
    assert "<a id=u299 class=" in store.path(CONV.name, names.PAGE).read_text()
    # The only unit of its layer that there is something to tell of is number 2.
    assert "<a id=u2 class=" in store.path(BEHIND.name, names.PAGE).read_text()
    assert (
        "getElementById(`u${parseInt(event.target.value)}`)"
        in store.path(None, names.SCRIPT).read_text()
    )


def test_no_page_leads_to_what_was_removed(store: Store) -> None:
    written(store)
    root = ["--store", str(store.folder.parent), "--yes"]
    assert main(["units", "rm", "net", *root, "--layers", "block*", "--unit", "299"]) == 0
    assert not store.path(CONV.name, names.sheet("crop", 1)).exists(), "it was its only unit"
    assert main(["units", "rm", "net", *root, "--layers", "<b>fc*"]) == 0
    pages = list(every_page(store))
    assert len(pages) == 1 + 1 + NUM_UNITS
    for path, links in pages:
        for address in links.addresses:
            assert (path.parent / unquote(urlsplit(address).path)).is_file(), f"{path}: {address}"
    assert main(["units", "verify", "net", *root[:2]]) == 0


def test_the_command_tells_what_it_wrote(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--store", str(store.folder.parent)]
    assert main(["units", "pages", "net", *root, "--layers", "block*"]) == 0
    assert f"{store.folder}/index.html: " in capsys.readouterr().out
    index = Links(store.folder / names.PAGE)
    assert "block=232.Conv~20/index.html" in index.addresses
    assert not any("fc" in address for address in index.addresses), "it has no page yet"
    assert main(["units", "verify", "net", *root]) == 0
    assert main(["units", "pages", "net", *root, "--layers", "blok"]) == 2
    assert "nearest is 'block#2.Conv'" in capsys.readouterr().err


def test_a_studys_page_stands_alone_whatever_its_layers_are_called() -> None:
    name = "</script><img src=x>"
    shown = {"path": "5_10_0.jpg", "channel": 5, "epoch": 10, "module_name": name, "lr": 0.1}
    meta = {"network": "net", "parameters": {"lr": [0.1]}, "seed": 3, "visualizations": [shown]}
    text = study_page(meta).decode()
    assert text.count("</script>") == 2, "of the data and of the code"
    assert "<img src=x>" not in text
    assert "\\u003c/script>" in text
    assert "&lt;/script&gt;&lt;img src=x&gt; · lr 0.1 · seed 3" in text
    assert "<link" not in text
    assert "://" not in text

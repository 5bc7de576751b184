"""Colours, sizes and places of panes are settings; the default is what it always was."""

import itertools
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import inks
import numpy as np
import pytest
import torch
import yaml
from test_compositor import CPU, part, pixels, result_for, scene_for
from test_layout import SIZES, laid

from rtvis import cli
from rtvis.cli.view import view_of
from rtvis.config import Config
from rtvis.data import Target
from rtvis.errors import ConfigError
from rtvis.flags import parse_config
from rtvis.render import lut
from rtvis.render.compositor import Compositor
from rtvis.render.layout import Layout
from rtvis.runtime.commands.context import Context
from rtvis.runtime.commands.looking import next_page, reset, toggle_classes
from rtvis.runtime.journal import Moment, read_moments
from rtvis.session import View, settled
from rtvis.state import Resume, restored, state_document, state_text
from rtvis.theme import PANE_NAMES, Ink, Panes, Theme, inks_of
from rtvis.theme_files import file_lines, panes_of, sections_of, theme_of

ROOT = Path(__file__).resolve().parent.parent
NEW = 0x010203
"""A colour that nothing has."""


def read(tmp_path: Path, text: str, *more: str) -> View:
    """The view of config files that say this."""
    argv = []
    for index, each in enumerate((text, *more)):
        path = tmp_path / f"{index}.yaml"
        path.write_text(each, encoding="utf-8")
        argv += ["--config", str(path)]
    return restored(View(), parse_config(Config, argv, prog="rtvis", description="").sections)


def drawn(scene_view: dict[str, Any] | None = None, **changes: Any) -> tuple[np.ndarray, Layout]:
    compositor = Compositor(CPU)
    canvas_HW = pixels(compositor, scene_for(**changes, **(scene_view or {})))
    assert compositor.layout is not None
    return canvas_HW, compositor.layout


# Files


def test_files_set_colours_sizes_and_places_and_later_ones_win_key_by_key(tmp_path: Path) -> None:
    first = 'theme: {text: "#FFEEDD", gap: 3}\npanes: {left: [unit], left-width: 0.2}'
    second = "theme: {gap: 4.5}\npanes: {heights: {classes: 2}, layers: below}"
    view = read(tmp_path, first, second)
    assert view.theme == Theme(text="#ffeedd", gap=4.5)
    expected = Panes(left=("unit",), left_width=0.2, heights=(("classes", 2.0),), layers="below")
    assert view.panes == expected
    assert read(tmp_path, "stream: demo").theme == Theme()


def test_a_pane_that_moves_to_one_column_leaves_the_other(tmp_path: Path) -> None:
    view = read(tmp_path, "panes: {left: [details, input]}")
    assert view.panes == Panes(left=("details", "input"), right=("classes",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("theme: {pannel: '#000000'}", "theme.pannel: unknown key; nearest is 'panel'"),
        ("theme: {text: '#12345'}", "theme.text: '#12345' cannot be used; give a colour in quotes"),
        ("theme: {text: 123456}", "theme.text: 123456 cannot be used; give a colour in quotes"),
        ("theme:\n  text: #e6e8eb\n", "theme.text: has no value; give a colour in quotes"),
        ("theme: {gap: -1}", "theme.gap: -1 cannot be used; give pixels from 0 to 32"),
        ("theme: {line: true}", "theme.line: True cannot be used; give pixels from 1 to 6"),
        ("theme: {text_size: 40}", "theme.text_size: 40 cannot be used; give pixels from 9 to 24"),
        ("theme: {font: no.ttf}", "theme.font: 'no.ttf' cannot be used; give sans, italic, or a"),
        ("theme: dark", "theme: 'dark' cannot be used; give `key: value` lines"),
        ("panes: {left: [unit, unit]}", "panes.left: 'unit' stands there twice; keep one of them"),
        ("panes: {left: [unlt]}", "panes.left: there is no pane 'unlt'; nearest is 'unit'; there"),
        ("panes: {left: unit}", "panes.left: 'unit' cannot be used; give a list of these: input,"),
        (
            "panes: {left: [unit], right: [unit]}",
            "panes.right: 'unit' stands in both columns; keep one",
        ),
        ("panes: {left_width: 0.9}", "panes.left_width: 0.9 cannot be used; give a share of the"),
        (
            "panes: {left_width: 0.4, right_width: 0.4}",
            "panes.right_width: both columns would take 0.8 of the width; give them at most 0.7",
        ),
        ("panes: {heights: {input: 0}}", "panes.heights: {'input': 0} cannot be used; give panes"),
        ("panes: {heights: {grid: 2}}", "panes.heights: there is no pane 'grid'"),
        ("panes: {layers: left}", "panes.layers: 'left' cannot be used; give above, below or"),
        ("panes: {header: 1}", "panes.header: 1 cannot be used; give true or false"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / '0.yaml'}: {message}")


def test_a_saved_view_holds_what_differs_and_opens_as_it_was(tmp_path: Path) -> None:
    theme = Theme(panel="#ffffff", tile_gap=5, text_size=11)
    panes = Panes(left=("backprop",), right=(), heights=(("backprop", 0.5),), status=False)

    def saved(view: View) -> str:
        document = state_document({}, frame=None, view=view, resume=Resume(), about={})
        return state_text(document, name="state.yaml")

    text = saved(View(theme=theme, panes=panes))
    again = read(tmp_path, text)
    assert (again.theme, again.panes) == (theme, panes)
    assert yaml.safe_load(text)["theme"] == {"panel": "#ffffff", "text_size": 11.0, "tile_gap": 5.0}
    assert not {"theme", "panes"} & {*yaml.safe_load(saved(View()))}
    # A file beside it wins.
    assert read(tmp_path, text, "theme: {tile_gap: 1}").theme == replace(theme, tile_gap=1)


def test_what_passes_is_no_theme() -> None:
    view = View(theme=Theme(gap=1), panes=Panes(left=()), notice="saved")
    assert settled(view) == replace(view, notice="")


def test_a_replay_has_the_theme_that_it_begins_with(tmp_path: Path) -> None:
    path = tmp_path / "a.rtvis.jsonl"
    path.write_text('{}\n{"view": {"zoom": "unit"}}\n')
    theme = Theme(panel="#ffffff")
    (moment,) = read_moments(path, View(theme=theme))
    assert (moment.view.theme, moment.view.zoom) == (theme, "unit")
    assert Moment().view.theme == Theme()


def test_the_list_is_a_file_that_sets_every_key_to_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = read(tmp_path, 'theme: {dim: "#777777"}\npanes: {left: [input], heights: {input: 2}}')
    assert cli.main(["--list", "theme", "--config", str(tmp_path / "0.yaml")]) == 0
    listed = capsys.readouterr().out
    assert {key: {*keys} for key, keys in yaml.safe_load(listed).items()} == {
        "theme": {one.name for one in fields(Theme)},
        "panes": {one.name for one in fields(Panes)},
    }
    again = read(tmp_path, listed)
    assert (again.theme, again.panes) == (view.theme, view.panes)
    assert all("  # " in line for line in file_lines(Theme(), Panes()) if line[0] == " ")


# Colours

SHOWN: dict[Ink, dict[str, Any]] = {
    Ink.LIT: {"hover": Target(kind="pane", pane="button:zoom")},
    Ink.BEHIND: {"page": "histogram"},
    Ink.WARNING: {"notice": "no", "notice_is_warning": True},
    Ink.GRADIENT_LINE: {"result": replace(result_for(), grads_BCHW=torch.ones(1, 6, 8, 8))},
    Ink.NAN: {"result": replace(result_for(), maps_BCHW=torch.full((1, 6, 8, 8), torch.nan))},
    Ink.CHANGED: {"panes_shown": True},
}
"""What brings a colour to the screen that is not on every one."""


@pytest.mark.parametrize("ink", [ink for ink in Ink if ink not in {Ink.STALE, Ink.LOST}])
def test_each_colour_is_that_of_the_theme_and_no_pixel_has_the_old_one(ink: Ink) -> None:
    old = inks.INKS[ink]
    same = [other.value for other in Ink if inks.INKS[other] == old]
    before, _ = drawn(SHOWN.get(ink))
    theme = Theme(**dict.fromkeys(same, f"#{NEW:06x}"))
    after, _ = drawn(SHOWN.get(ink), theme=theme)
    assert not (before == NEW).any()
    assert (before == old).sum() > 3, "it is on the screen"
    # Smooth edges have colours of their own, and data the background's.
    gone = (before == old) & (after != NEW)
    assert gone.sum() < (2000 if ink is Ink.BACKGROUND else 60), ink
    assert (after == NEW).sum() >= 0.7 * (before == old).sum()
    unlike = Theme(**{ink.value: f"#{NEW:06x}"})
    assert (drawn(SHOWN.get(ink), theme=unlike)[0] == NEW).any(), "by this key alone"


def test_old_pictures_are_halfway_to_the_stale_colour() -> None:
    fresh, plan = drawn()
    for stale, added in (("#000000", 0), ("#ffffff", 0x7F7F7F), ("#ff0080", 0x7F0040)):
        canvas_HW, _ = drawn(theme=Theme(stale=stale), stale_since_ns=10**9)
        assert plan.grid is not None
        tile = plan.grid.tile(0)
        assert tile is not None
        inner = tile.inset(3)
        expected = ((part(fresh, inner) >> 1) & 0x7F7F7F) + added
        assert np.array_equal(part(canvas_HW, inner), expected)


def test_maps_have_the_colours_of_data_in_every_theme() -> None:
    theme = theme_of({}, Theme(background="#ffffff", panel="#ffffff", text="#000000"))
    plain, plan = drawn()
    changed, _ = drawn(theme=theme)
    assert plan.grid is not None
    tile = plan.grid.tile(0)
    assert tile is not None
    assert np.array_equal(part(plain, tile), part(changed, tile))


def test_a_theme_costs_its_colours_once() -> None:
    theme, again = (Theme(nan="#00ff00", panel="#101010") for _ in range(2))
    assert inks_of(theme) is inks_of(again)
    tables = [lut.table("colour", CPU, 1.0, lut.ground_of(each)) for each in (theme, again)]
    assert tables[0] is tables[1]
    compositor = Compositor(CPU)
    scene = scene_for(theme=theme)
    compositor.compose(scene)
    compositor.compose(replace(scene, view=replace(scene.view, theme=again)))
    compositor._chrome.dirty()
    compositor.compose(scene)
    drawn_again = compositor._chrome.dirty()
    assert sum(rect.height * rect.width for rect in drawn_again) == 0, "nothing has changed"


def test_another_theme_is_drawn_from_the_next_picture_on() -> None:
    compositor = Compositor(CPU)
    pixels(compositor, scene_for())
    light = Theme(background="#eeeeee", panel="#ffffff")
    changed = pixels(compositor, scene_for(theme=light))
    assert np.array_equal(changed, drawn(theme=light)[0])
    assert np.array_equal(pixels(compositor, scene_for()), drawn()[0])


# Sizes


def test_gaps_and_lines_are_as_wide_as_they_are_set() -> None:
    for gap in (0, 8, 20):
        plan = laid((800, 1280), theme=Theme(gap=gap))
        panes = plan.panes
        assert panes["input"].left == gap
        assert panes["grid"].left - panes["input"].right == gap
        assert panes["unit"].top - panes["input"].bottom == gap
        assert panes["details"].left - panes["grid"].right == gap
        assert 1280 - panes["details"].right == gap
    wide = laid((800, 1280), theme=Theme(pad=12, tile_gap=10))
    assert wide.contents["grid"].left - wide.panes["grid"].left == 12
    assert wide.grid is not None
    assert wide.grid.pitch_x - wide.grid.tile_width == 10
    # At twice the scale everything is twice as large.
    large = laid((1600, 2560), ui_scale=2.0, theme=Theme(gap=5, line=3, corner=2))
    metrics = large.metrics
    assert (metrics.scale, metrics.between, metrics.line, metrics.corner) == (2, 10, 6, 4)


def test_outlines_and_corners_follow_the_theme() -> None:
    canvas_HW, plan = drawn(theme=Theme(line=4, corner=0, tile_gap=8))
    assert plan.grid is not None
    tile = plan.grid.tile(2)
    assert tile is not None
    row = tile.top + 5
    assert (canvas_HW[row, tile.left - 4 : tile.left] == inks.SELECTED).all()
    assert canvas_HW[row, tile.left - 5] != inks.SELECTED
    button = plan.button("zoom")
    assert button is not None
    assert canvas_HW[button.rect.top, button.rect.left] == inks.RAISED, "square"
    round_HW, _ = drawn()
    assert round_HW[button.rect.top, button.rect.left] == inks.PANEL


def test_text_is_as_large_as_it_is_set_where_there_is_room() -> None:
    def size(asked: float | None, canvas: tuple[int, int] = (1080, 1920)) -> int:
        return laid(canvas, theme=Theme(text_size=asked)).metrics.text.size

    assert [size(None), size(10), size(20)] == [15, 10, 20]
    # 15 by itself, and half as much room again in the lower of both directions.
    assert size(24) == round(15 * 1.5)
    assert size(24, (700, 1000)) == 13


@pytest.mark.parametrize("font", ["italic", "file"])
def test_another_font_draws_and_measures_otherwise(font: str) -> None:
    if font == "file":
        found = sorted(Path("/usr/share/fonts").rglob("DejaVuSansMono.ttf"))
        if not found:
            pytest.skip("no TrueType file here")
        font = str(found[0])
    plain, plan = drawn()
    other, other_plan = drawn(theme=theme_of({"font": (font, "a")}))
    title = plan.panes["classes"]
    assert (part(plain, title) != part(other, title)).sum() > 100
    assert other_plan.metrics.text.file == font


def test_a_file_that_is_no_font_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ttf"
    path.write_text("no font")
    config = tmp_path / "config.yaml"
    config.write_text(f"theme: {{font: {json.dumps(str(path))}}}")
    parsed = parse_config(Config, ["--config", str(config)], prog="rtvis", description="")
    with pytest.raises(ConfigError, match=r"a.ttf: is no TrueType font; give `theme.font` another"):
        view_of(parsed, clickable=True)


# Places

ARRANGED = [
    Panes(left=(), right=()),
    Panes(left=("details", "unit"), right=("backprop", "classes", "input")),
    Panes(left=PANE_NAMES, right=()),
    Panes(left=(), right=PANE_NAMES, layers="below"),
    Panes(left_width=0.1, right_width=0.1, layers="hidden", header=False, status=False),
    Panes(left_width=0.35, right_width=0.35, heights=(("unit", 10.0),)),
    Panes(heights=(("unit", 0.1), ("classes", 1.0))),
]
THEMES = [
    Theme(),
    Theme(gap=0, pad=2, tile_gap=0, line=1, corner=0),
    Theme(gap=32, pad=12, text_size=24, line=6, tile_gap=24),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", THEMES, ids=["default", "small", "large"])
@pytest.mark.parametrize("panes", ARRANGED, ids=range(len(ARRANGED)))
def test_however_it_is_arranged_nothing_overlaps_and_the_pointer_finds_it(
    size: tuple[int, int], theme: Theme, panes: Panes
) -> None:
    for page, column in itertools.product(("unit", "changes", "learned"), (False, True)):
        plan = laid(
            size, theme=theme, panes=panes, page=page, column_shown=column, compared="difference"
        )
        for one, other in itertools.combinations(plan.panes.values(), 2):
            assert not one.overlaps(other), (one, other)
        for name, rect in plan.panes.items():
            assert min(rect.height, rect.width, rect.top + 1, rect.left + 1) > 0, name
            assert (rect.bottom <= size[0], rect.right <= size[1]) == (True, True), name
            y, x = rect.top + rect.height // 2, rect.left + rect.width // 2
            assert plan.hit(x, y).pane in {name, *(f"button:{b.name}" for b in plan.buttons)}
        assert all(min(rect.height, rect.width) > 8 for rect in plan.images.values())
        for one_button, other_button in itertools.combinations(plan.buttons, 2):
            assert not one_button.rect.overlaps(other_button.rect), (one_button, other_button)
        for button in plan.buttons:
            pane, rect = plan.panes[button.pane], button.rect
            assert pane.contains(rect.left, rect.top), button
            assert pane.contains(rect.right - 1, rect.bottom - 1), button
            target = plan.hit(rect.left + rect.width // 2, rect.top + rect.height // 2)
            assert target.pane == f"button:{button.name}"
        for chip in plan.strip.chips:
            chip_rect = plan.strip.rect(chip)
            if chip_rect is not None and chip.layer and "layers" in plan.panes:
                assert plan.hit(chip_rect.left, chip_rect.top).layer == chip.layer


def test_panes_stand_in_the_order_that_is_given() -> None:
    arranged = Panes(left=("backprop", "input"), right=("details", "unit"))
    plan = laid((800, 1280), panes=arranged)
    assert {"header", "layers", "grid", "status", *arranged.left, *arranged.right} == {*plan.panes}
    panes = plan.panes
    assert panes["backprop"].bottom < panes["input"].top
    assert panes["details"].bottom < panes["unit"].top
    assert panes["backprop"].right < panes["grid"].left < panes["unit"].left
    # A click finds what moved: the first neuron of the unit's map, at the right.
    image = plan.images["unit"]
    target = plan.hit(image.left, image.top)
    assert (target.kind, target.pane, target.position) == ("position", "unit", (0, 0))


def test_columns_and_panes_have_the_shares_that_are_given() -> None:
    panes = Panes(
        left=("input", "unit"),
        left_width=0.25,
        right_width=0.3,
        heights=(("input", 1.0), ("unit", 3.0)),
    )
    plan = laid((800, 1280), panes=panes)
    assert (plan.panes["input"].width, plan.panes["details"].width) == (320, 384)
    body = plan.panes["unit"].bottom - plan.panes["input"].top
    assert plan.panes["input"].height == (body - 8) // 4
    assert plan.panes["unit"].height == body - 8 - (body - 8) // 4
    # What is not there leaves its room to the grid.
    alone = laid((800, 1280), panes=Panes(left=(), right=(), header=False, status=False))
    assert alone.panes["grid"].width == 1280 - 2 * 8
    assert alone.panes["layers"].top == 8
    assert alone.panes["grid"].bottom == 800 - 8


def test_the_list_of_layers_stands_above_below_or_nowhere() -> None:
    above, below, hidden = (
        laid((800, 1280), panes=Panes(layers=place))  # type: ignore[arg-type]
        for place in ("above", "below", "hidden")
    )
    assert above.panes["layers"].bottom + 8 == above.panes["grid"].top
    assert below.panes["grid"].bottom + 8 == below.panes["layers"].top
    assert below.panes["layers"].height == above.panes["layers"].height
    assert hidden.panes["grid"].height == above.panes["grid"].height + 8 + (
        above.panes["layers"].height
    )


@pytest.mark.parametrize("panes", ARRANGED, ids=range(len(ARRANGED)))
@pytest.mark.parametrize("zoom", ["grid", "unit", "backprop"])
def test_every_arrangement_is_drawn_with_every_picture(panes: Panes, zoom: str) -> None:
    dense = result_for("fc", 1)
    for result, page in ((None, "unit"), (dense, "histogram"), (None, "correlation")):
        compositor = Compositor(CPU)
        scene = scene_for((700, 1280), result=result, panes=panes, zoom=zoom, page=page)
        canvas_HW = pixels(compositor, scene)
        assert compositor.layout is not None
        for name, image in compositor.layout.images.items():
            flat = (part(canvas_HW, image) == inks.PANEL).mean()
            assert flat < (1.0 if result is dense else 0.5), name
        hover = Target(kind="position", pane="unit", layer="conv1", unit=2, position=(0, 0))
        pixels(compositor, replace(scene, view=replace(scene.view, hover=hover)))


def test_a_page_that_a_key_asks_for_brings_the_pane_that_has_no_place(
    context: Context,
) -> None:
    view = View(panes=Panes(right=("classes",)))
    assert "details" not in laid((800, 1280), panes=view.panes).panes
    view = next_page(view, context)
    plan = laid((800, 1280), panes=view.panes, column_shown=view.column_shown)
    assert plan.panes["classes"].bottom < plan.panes["details"].top


def test_classes_without_a_place_say_so_and_reset_keeps_the_theme(context: Context) -> None:
    view = View(panes=Panes(right=("details",)), theme=Theme(gap=3))
    told = toggle_classes(view, context).notice
    assert told == "the configuration gives the top classes no place"
    again = reset(view, context)
    assert (again.panes, again.theme) == (view.panes, view.theme)
    # On the left they are never folded away.
    left = View(panes=Panes(left=("classes",), right=()), canvas_size=(700, 1000))
    assert not toggle_classes(left, context).classes_shown


@pytest.fixture
def context() -> Context:
    from test_changes import context as made

    return made()


# The ready one


def contrast(one: int, other: int) -> float:
    """By WCAG 2: 1 to 21."""

    def luminance(word: int) -> float:
        shares = np.array(lut.channels(word)) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["default", "light"])
def test_words_can_be_read_on_what_they_stand_on(name: str) -> None:
    assert contrast(0, 0xFFFFFF) == pytest.approx(21)
    theme = Theme()
    if name == "light":
        argv = ["--config", str(ROOT / "configs" / "light.yaml")]
        theme = theme_of(parse_config(Config, argv, prog="", description="").sections.theme)
    of = inks_of(theme)
    for ground in (Ink.PANEL, Ink.BACKGROUND, Ink.RAISED):
        assert contrast(of[Ink.TEXT], of[ground]) > 10
        assert contrast(of[Ink.DIM], of[ground]) > 4.5
    for mark in (Ink.SELECTED, Ink.SOURCE, Ink.WARNING, Ink.CHANGED):
        assert contrast(of[mark], of[Ink.PANEL]) > 3.5, mark
        assert contrast(of[mark], lut.ZERO) > 3, mark  # outlines over maps
    for low, high in itertools.pairwise((Ink.LOST, Ink.CHANGED)):
        assert contrast(of[low], of[high]) > 1.5
    assert sections_of(theme, panes_of({})).keys() == ({"theme"} if name == "light" else set())


def test_the_light_one_is_light_wherever_there_is_no_data() -> None:
    argv = ["--config", str(ROOT / "configs" / "light.yaml")]
    theme = theme_of(parse_config(Config, argv, prog="", description="").sections.theme)
    for canvas_HW, plan in (drawn(theme=theme), drawn(theme=theme, page="histogram")):
        for name in {*plan.panes} - {"grid", "input", "unit", "backprop"}:
            green = part(canvas_HW, plan.panes[name]) >> 8 & 0xFF
            assert np.median(green) > 200, name
            assert (green < 60).mean() < 0.12, name

"""Where everything lies, from 1000x700 to 4K, and that the pointer finds what is drawn."""

import itertools
from dataclasses import replace
from typing import get_args

import pytest

from rtvis.data import Layer, Selection
from rtvis.render.grid import Rect
from rtvis.render.layout import BUTTONS, Layout, canvas_scale, layout, shown_layer
from rtvis.render.pictures_plan import Sizes
from rtvis.render.strip import group_title, lay_strip, short_names
from rtvis.render.text import measure
from rtvis.session import PageName, View

SIZES = [(700, 1000), (800, 1280), (1080, 1920), (1440, 2560), (2160, 3840)]


def conv(index: int, name: str, units: int, size: int, field: int = 19) -> Layer:
    return Layer(
        index=index,
        name=name,
        kind="conv",
        num_units=units,
        map_size=(size, size),
        stride=(224 / size, 224 / size),
        receptive_field=(field, field),
    )


def dense(index: int, name: str, units: int) -> Layer:
    return Layer(
        index=index,
        name=name,
        kind="dense",
        num_units=units,
        map_size=(1, 1),
        stride=(224, 224),
        receptive_field=(224, 224),
    )


def network(blocks: int = 12) -> tuple[Layer, ...]:
    layers = [conv(0, "stem", 32, 112, 3)]
    for block in range(blocks):
        size, units = 56 >> (block * 4 // blocks), 24 << (block * 4 // blocks)
        layers.append(conv(len(layers), f"blocks.{block}.conv_dw", units, size, 11 + block))
        layers.append(conv(len(layers), f"blocks.{block}.conv_pw", units * 4, size, 11 + block))
    layers.append(dense(len(layers), "classifier", 1000))
    return tuple(layers)


LAYERS = network()


def laid(size: tuple[int, int], layer: str = "blocks.4.conv_dw", **changes: object) -> Layout:
    selection = Selection(layer=layer, unit=3)
    view = View(selection=selection, canvas_size=size, side="files", **changes)  # type: ignore[arg-type]
    return layout(view, LAYERS, sizes=Sizes(frame=(360, 640), input=(224, 224)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layer", ["stem", "blocks.4.conv_dw", "blocks.11.conv_pw", "classifier"])
@pytest.mark.parametrize("zoom", ["grid", "unit", "backprop"])
def test_panes_lie_on_the_canvas_and_never_overlap(
    size: tuple[int, int], layer: str, zoom: str
) -> None:
    plan = laid(size, layer, zoom=zoom)
    for rect in plan.panes.values():
        assert rect.top >= 0
        assert rect.left >= 0
        assert rect.bottom <= size[0]
        assert rect.right <= size[1]
        assert rect.height > 20
    for one, other in itertools.combinations(plan.panes.values(), 2):
        apart = (
            one.bottom <= other.top
            or other.bottom <= one.top
            or one.right <= other.left
            or other.right <= one.left
        )
        assert apart, (one, other)


ON_PAGE = {
    "counts": "histogram",
    "beside": "dense",
    "forget": "moments",
    **dict.fromkeys(("weaken", "strengthen", "undo", "clear"), "changes"),
    **dict.fromkeys(("grow", "beginning", "as-input", "generate-layer", "generate-all"), "learned"),
    **dict.fromkeys(("next-job", "pause-jobs", "cancel-jobs"), "learned"),
}
"""Buttons that only one page of the details pane has."""


def buttons_of(plan: Layout, page: str) -> set[str]:
    """The buttons that there should be; "labels" is for dense outputs only."""
    if "details" not in plan.panes:
        return set(BUTTONS) - {"labels", *ON_PAGE}
    return {name for name in BUTTONS if ON_PAGE.get(name, page) == page} - {"labels"}


@pytest.mark.parametrize("page", get_args(PageName))
@pytest.mark.parametrize("size", SIZES)
def test_pictures_and_buttons_lie_inside_their_panes(size: tuple[int, int], page: str) -> None:
    plan = laid(size, page=page, compared="difference")
    for name in ("input", "unit", "backprop"):
        image, pane = plan.images[name], plan.panes[name]
        assert pane.contains(image.left, image.top)
        assert pane.contains(image.right - 1, image.bottom - 1)
    assert {button.name for button in plan.buttons} == buttons_of(plan, page)
    for one, other in itertools.combinations(plan.buttons, 2):
        assert not one.rect.contains(other.rect.left, other.rect.top), (one, other)
    for button in plan.buttons:
        pane = plan.pane_at(button.rect.left, button.rect.top)
        assert pane
        assert plan.panes[pane].contains(button.rect.right - 1, button.rect.bottom - 1)


@pytest.mark.parametrize("size", SIZES)
def test_the_grid_takes_at_least_half_of_the_canvas_s_width_and_height(
    size: tuple[int, int],
) -> None:
    grid = laid(size).panes["grid"]
    assert grid.height > 0.5 * size[0]
    assert grid.width > 0.5 * size[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layer", [layer.name for layer in LAYERS])
@pytest.mark.parametrize("scroll", [0, 7])
def test_the_centre_of_every_tile_hits_its_unit(
    size: tuple[int, int], layer: str, scroll: int
) -> None:
    plan = laid(size, layer, grid_scroll=scroll)
    assert plan.grid is not None
    assert plan.layer is not None
    assert plan.grid.num == plan.layer.num_units
    for unit in range(plan.grid.first, plan.grid.last):
        tile = plan.grid.tile(unit)
        assert tile is not None
        target = plan.hit(tile.left + tile.width // 2, tile.top + tile.height // 2)
        assert (target.kind, target.layer, target.unit) == ("unit", layer, unit)
        assert target.pane == "grid"
        gap = plan.hit(tile.right, tile.top)
        assert gap.kind == "pane"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layer", [x.name for x in LAYERS if x.kind == "conv"])
def test_maps_are_never_smaller_than_24_pixels_at_any_scale(
    size: tuple[int, int], layer: str
) -> None:
    grid = laid(size, layer).grid
    assert grid is not None
    assert min(grid.tile_height, grid.tile_width) >= 24 * canvas_scale(size)


@pytest.mark.parametrize("size", SIZES)
def test_every_layer_can_be_hit_once_it_is_scrolled_into_sight(size: tuple[int, int]) -> None:
    for layer in LAYERS:
        plan = laid(size)
        plan = laid(size, layer_scroll=plan.layer_scroll_to(layer.name))
        chip = next(chip for chip in plan.strip.chips if chip.layer == layer.name)
        rect = plan.strip.rect(chip)
        assert rect is not None
        target = plan.hit(rect.left + rect.width // 2, rect.top + rect.height // 2)
        assert (target.kind, target.layer) == ("layer", layer.name)


def test_a_long_list_of_layers_scrolls_and_leaves_the_grid_its_room() -> None:
    layers = network(blocks=150)
    view = View(canvas_size=(700, 1000), layer_scroll=10_000)
    plan = layout(view, layers)
    assert plan.max_layer_scroll > 0
    assert plan.strip.first_row == plan.max_layer_scroll
    assert plan.panes["layers"].height < 0.35 * 700
    last = plan.strip.chips[-1]
    assert last.layer == "classifier"
    assert plan.strip.rect(last) is not None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("zoom", ["grid", "unit"])
@pytest.mark.parametrize("layer", ["stem", "blocks.4.conv_dw", "blocks.11.conv_pw"])
def test_every_neuron_of_the_enlarged_map_is_hit_where_it_is_drawn(
    size: tuple[int, int], zoom: str, layer: str
) -> None:
    plan = laid(size, layer, zoom=zoom)
    assert plan.layer is not None
    height, width = plan.layer.map_size
    for position in [(0, 0), (height - 1, width - 1), (height // 2, width // 3)]:
        rect = plan.neuron(position)
        for x, y in ((rect.left, rect.top), (rect.right - 1, rect.bottom - 1)):
            target = plan.hit(x, y)
            assert (target.kind, target.position) == ("position", position)
            assert (target.layer, target.unit) == (layer, 3)


def test_a_dense_unit_has_no_positions() -> None:
    plan = laid((800, 1280), "classifier")
    image = plan.images["unit"]
    assert plan.hit(image.left + 5, image.top + 5).kind == "pane"


@pytest.mark.parametrize("size", [size for size in SIZES if size[1] >= 1100])
def test_rows_of_top_classes_hit_the_classes_that_were_drawn(size: tuple[int, int]) -> None:
    plan = laid(size)
    classes = (281, 285, 7, 8, 9)
    for row, class_index in zip(plan.class_rows, classes, strict=True):
        target = plan.hit(row.left + 9, row.top + row.height // 2, classes=classes)
        assert (target.kind, target.class_index) == ("class", class_index)
    assert plan.hit(plan.class_rows[4].left, plan.class_rows[4].top, classes=(1, 2)).kind == "pane"


@pytest.mark.parametrize("page", get_args(PageName))
@pytest.mark.parametrize("size", SIZES)
def test_buttons_are_hit(size: tuple[int, int], page: str) -> None:
    plan = laid(size, page=page, compared="difference")
    for name in buttons_of(plan, page):
        button = plan.button(name)
        assert button is not None
        rect = button.rect
        target = plan.hit(rect.left + rect.width // 2, rect.top + rect.height // 2)
        assert target.pane == f"button:{name}"
        assert target.kind == ("rule" if name == "rule" else "pane")


def test_between_panes_nothing_is_hit() -> None:
    plan = laid((800, 1280))
    pane = plan.panes["input"]
    assert plan.hit(pane.right + 2, pane.top + 40).kind == "none"
    assert plan.hit(pane.left + 2, pane.bottom + 2).kind == "none"


def test_the_right_column_folds_away_below_1100_pixels() -> None:
    assert "classes" in laid((800, 1100)).panes
    narrow = laid((800, 1099))
    assert "classes" not in narrow.panes
    assert "details" not in narrow.panes
    assert narrow.class_rows == ()


def test_text_is_13_to_15_pixels_and_scales_by_one_and_a_half_and_two() -> None:
    sizes = [laid(size).metrics for size in SIZES]
    assert [metrics.scale for metrics in sizes] == [1, 1, 1, 1.5, 2]
    assert [round(metrics.text.size / metrics.scale) for metrics in sizes][0::2] == [13, 15, 15]
    for metrics in sizes:
        assert 13 <= metrics.text.size / metrics.scale <= 15


def test_a_canvas_is_never_smaller_than_640_by_480() -> None:
    assert laid((100, 100)).size == (480, 640)


def test_an_odd_size_and_a_tall_one_work() -> None:
    for size in [(701, 1003), (1600, 900), (500, 3000)]:
        plan = laid(size)
        assert plan.size == size
        assert all(rect.height > 0 and rect.width > 0 for rect in plan.panes.values())


def test_the_zoomed_picture_moves_into_the_large_pane() -> None:
    plan = laid((800, 1280), zoom="unit")
    assert plan.grid is None
    assert plan.panes["grid"].contains(plan.images["unit"].left, plan.images["unit"].top)
    plan = laid((800, 1280), zoom="backprop")
    assert plan.panes["grid"].contains(plan.images["backprop"].left, plan.images["backprop"].top)


def test_classes_have_names_under_their_cells_where_there_is_room() -> None:
    layers = (conv(0, "conv", 8, 10), dense(1, "fc", 10))
    view = View(selection=Selection(layer="fc"), canvas_size=(800, 1280))
    labels = tuple("abcdefghij")
    named = layout(view, layers, labels=labels).grid
    assert named is not None
    assert named.caption_height > 0
    other = layout(view, layers, labels=labels[:9]).grid
    assert other is not None
    assert other.caption_height == 0


def test_without_a_name_the_last_convolution_is_shown() -> None:
    chosen = shown_layer(View(), LAYERS)
    assert chosen is not None
    assert chosen.name == "blocks.11.conv_pw"
    assert shown_layer(View(), ()) is None
    assert layout(View(), ()).grid is None


@pytest.mark.parametrize("width", range(800, 1000, 20))
def test_the_backward_pane_s_words_are_whole_in_narrower_windows_too(width: int) -> None:
    plan = laid((600, width))
    row = sorted((b for b in plan.buttons if b.pane == "backprop"), key=lambda b: b.rect.left)
    assert [button.name for button in row] == ["backward", "rule", "display"]
    for left, right in itertools.pairwise(row):
        assert left.rect.right < right.rect.left
    widest = {"backward": "backward", "rule": "deconvnet", "display": "normblur"}
    for button in row:
        assert measure(widest[button.name], plan.metrics.text) <= button.rect.width
    assert row[-1].rect.right <= plan.panes["backprop"].right


@pytest.mark.parametrize("width", [640, 700, 760])
def test_the_backward_pane_of_a_small_window_has_a_word_less(width: int) -> None:
    plan = laid((480, width))
    row = sorted((b for b in plan.buttons if b.pane == "backprop"), key=lambda b: b.rect.left)
    names = [button.name for button in row]
    assert names == ["backward", "rule", "display"][: len(names)]
    assert len(names) >= 2
    for left, right in itertools.pairwise(row):
        assert left.rect.right < right.rect.left
    for button in row:
        assert measure(button.text, plan.metrics.text) <= button.rect.width


def test_short_names_drop_what_most_names_share_but_stay_different() -> None:
    names = ("stem", "blocks.0.conv_dw", "blocks.0.conv_pw", "blocks.1.conv_dw", "head.fc")
    assert short_names(names) == ("stem", "0.dw", "0.pw", "1.dw", "head.fc")
    # Both would be "c.x".
    names = ("a.c.conv_x", "a.c.x", "b.y")
    assert short_names(names) == names


def words(*layers: Layer, width: int = 1000) -> list[str]:
    """The rows of the strip, headings in brackets, every letter a pixel wide."""
    strip = lay_strip(
        layers, Rect(0, 0, width, 99), measure=len, row_height=10, pad=0, gap=1, scroll=0
    )
    rows = [""] * strip.num_rows
    for chip in strip.chips:
        rows[chip.row] += f" {chip.text}" if chip.layer else f"[{chip.text}]"
    return rows


def test_what_has_no_map_does_not_break_a_stage_into_pieces() -> None:
    squeeze = replace(conv(2, "a.squeeze", 4, 1), receptive_field=(224, 224))
    layers = [conv(0, "a.one", 8, 56, 3), conv(1, "b.two", 8, 56, 7), squeeze]
    layers += [conv(3, "c.three", 8, 56, 11), conv(4, "d", 8, 28), dense(5, "e", 9)]
    stage = "[56×56  rf 3–11] a.one b.two a.squeeze c.three"
    assert words(*layers) == [f"{stage}[28×28  rf 19] d[dense] e"]
    # What a user groups stays together, and apart from what lies around it.
    grouped = [replace(each, group="mine" if each is squeeze else "") for each in layers]
    assert "b.two[mine  1×1] a.squeeze[56×56  rf 11] c.three" in words(*grouped)[0]


def test_tokens_stand_behind_their_own_layer_and_need_not_say_whose_they_are() -> None:
    layers = [replace(conv(0, "x.q", 8, 14), kind="attention"), dense(1, "x.q:tokens", 8)]
    layers += [conv(2, "x.mlp", 8, 14), dense(3, "x.mlp:tokens", 8), dense(4, "y:tokens", 8)]
    assert words(*layers) == ["[14×14  rf 19] q :tokens mlp :tokens[tokens] y:tokens"]
    # They never begin a row.
    heading = "[14×14  rf 19]"
    for width in range(30, 45):
        rows = words(*layers, width=width)
        assert not any(row.startswith((" :tokens", ":tokens")) for row in rows), (width, rows)
        assert rows[0].startswith(heading)


def test_a_group_s_heading_tells_map_size_and_receptive_fields() -> None:
    assert group_title([conv(0, "a", 8, 56, 11), conv(1, "b", 8, 56, 19)]) == "56×56  rf 11–19"
    assert group_title([conv(0, "a", 8, 56, 11)]) == "56×56  rf 11"
    assert group_title([dense(0, "fc", 10)]) == "dense"


SCALES = [0.75, 1.0, 1.25, 2.0, 3.0]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("column", [False, True])
def test_at_any_scale_nothing_overlaps_and_all_lies_inside(
    size: tuple[int, int], scale: float, column: bool
) -> None:
    plan = laid(size, ui_scale=scale, column_shown=column, compared="difference", page="changes")
    for one, other in itertools.combinations(plan.panes.values(), 2):
        apart_y = one.bottom <= other.top or other.bottom <= one.top
        assert apart_y or one.right <= other.left or other.right <= one.left, (one, other)
    for name in ("input", "unit", "backprop"):
        image, pane = plan.images[name], plan.panes[name]
        assert pane.contains(image.left, image.top)
        assert pane.contains(image.right - 1, image.bottom - 1)
        assert min(image.height, image.width) >= 60 * plan.metrics.scale
    for one, other in itertools.combinations(plan.buttons, 2):
        apart_y = one.rect.bottom <= other.rect.top or other.rect.bottom <= one.rect.top
        apart_x = one.rect.right <= other.rect.left or other.rect.right <= one.rect.left
        assert apart_y or apart_x, (one, other)
    for button in plan.buttons:
        pane = plan.panes[button.pane]
        assert pane.contains(button.rect.left, button.rect.top), button
        assert pane.contains(button.rect.right - 1, button.rect.bottom - 1), button
        if button.pane == "grid":
            assert button.rect.left >= pane.left + 110 * plan.metrics.scale


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        ((800, 1280), None, 1.0),
        ((2160, 3840), None, 2.0),
        ((800, 1280), 0.75, 0.75),
        ((2160, 3840), 1.0, 1.0),
        ((2160, 3840), 3.0, 3.0),
        ((1440, 2040), 3.0, 2.0),  # 720x1020 at scale 1 are left
        ((700, 1000), 3.0, 1.0),
        ((480, 640), 0.75, 0.75),
        ((480, 640), 2.0, 1.0),
    ],
)
def test_the_scale_is_the_users_as_far_as_there_is_room(
    size: tuple[int, int], asked: float | None, expected: float
) -> None:
    assert canvas_scale(size, asked) == expected
    assert laid(size, ui_scale=asked).metrics.line == round(2 * expected)
    assert laid(size, ui_scale=asked).metrics.text.size == pytest.approx(
        14 * expected, abs=1.1 * max(expected, 1)
    )


def test_a_narrow_canvas_has_the_right_column_when_it_is_wanted() -> None:
    folded, shown = laid((700, 1000)), laid((700, 1000), column_shown=True)
    assert not {"classes", "details"} & {*folded.panes}
    assert folded.button("page") is not None
    assert folded.button("page").pane == "header"
    assert shown.button("page").pane == "details"
    assert {"classes", "details"} <= {*shown.panes}
    assert shown.panes["details"].right <= 1000
    assert shown.panes["details"].width >= 224, "the width for which pages are made"
    for name in ("input", "unit", "backprop"):
        assert shown.panes[name] == folded.panes[name], "nothing else jumps"
    assert shown.panes["grid"].width >= 480
    wide = laid((800, 1280))
    assert wide.panes == laid((800, 1280), column_shown=True).panes

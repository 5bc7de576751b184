"""Keys and clicks: what each does to the View, on layouts worked out by hand or by `layout`."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from rtvis.data import KeyEvent, Layer, Origin, PointerEvent, ResizeEvent, Selection
from rtvis.render.grid import Rect
from rtvis.render.help_table import help_line, lay_help
from rtvis.render.layout import BUTTONS, Layout, layout
from rtvis.render.pictures_plan import Sizes
from rtvis.runtime.bindings import (
    BINDINGS,
    Effect,
    KeyBinding,
    by_button,
    by_key,
    help_lines,
    markdown_table,
)
from rtvis.runtime.commands.colours import cycle_cam
from rtvis.runtime.commands.looking import cycle_zoom
from rtvis.runtime.controller import Controller
from rtvis.runtime.drawn import Drawn
from rtvis.session import PageName, Session, View
from tests.nets_fake import LAYERS, make_layer

METHODS = ("grad-cam", "layer-cam")


class Desk:
    """A controller with its session; draws after every event, as the loop does."""

    def __init__(self, layers: tuple[Layer, ...] = LAYERS, **view: object) -> None:
        selection = Selection(layer="middle", unit=5)
        self.session = Session(View(**{"selection": selection, "canvas_size": (700, 1200), **view}))
        self.layers = layers
        self.output_size: tuple[int, int] | None = None
        """Of a dense output."""
        self.effects: list[Effect] = []
        self.controller = Controller(
            self.session,
            layers=layers,
            default_layer=2,
            cam_methods=METHODS,
            lay_out=self.lay_out,
            do=self.effects.append,
        )
        self.draw()

    @property
    def view(self) -> View:
        return self.session.read()[0]

    @property
    def selection(self) -> Selection:
        return self.view.selection

    def lay_out(self, view: View) -> Layout:
        return layout(view, self.layers, sizes=Sizes(frame=(6, 6), output=self.output_size))

    def draw(self) -> Layout:
        drawn = self.lay_out(self.view)
        self.controller.drawn = Drawn(drawn, top=(7, 3, 1, 0, 2))
        return drawn

    def press(self, *keys: str) -> View:
        for key in keys:
            self.controller.handle(KeyEvent(key=key))
            self.draw()
        return self.view

    def click(self, rect: Rect, *, kind: str = "down", button: str = "left") -> View:
        x, y = rect.left + rect.width // 2, rect.top + rect.height // 2
        self.controller.handle(PointerEvent(kind=kind, x=x, y=y, button=button))
        self.draw()
        return self.view

    def wheel(self, rect: Rect, steps: int) -> View:
        x, y = rect.left + rect.width // 2, rect.top + rect.height // 2
        self.controller.handle(PointerEvent(kind="wheel", x=x, y=y, wheel_steps=steps))
        self.draw()
        return self.view


def tile(desk: Desk, unit: int) -> Rect:
    grid = desk.draw().grid
    assert grid is not None
    rect = grid.tile(unit)
    assert rect is not None, "not in sight"
    return rect


def chip(desk: Desk, name: str) -> Rect:
    strip = desk.draw().strip
    rect = strip.rect(next(chip for chip in strip.chips if chip.layer == name))
    assert rect is not None, "not in sight"
    return rect


# The table


def test_no_key_and_no_button_is_bound_twice() -> None:
    assert len(by_key()) == sum(len(binding.keys) for binding in BINDINGS)
    assert set(by_button()) == set(BUTTONS)


def test_a_conflict_names_both_commands() -> None:
    table = [
        KeyBinding(keys=("z",), action=cycle_zoom, text="", group=""),
        KeyBinding(keys=("c", "z"), action=cycle_cam, text="", group=""),
    ]
    with pytest.raises(AssertionError, match="'z' is bound to both 'cycle zoom' and 'cycle cam'"):
        by_key(table)
    table = [
        KeyBinding(keys=("z",), action=cycle_zoom, text="", group="", button="b"),
        KeyBinding(keys=("c",), action="save", text="", group="", button="b"),
    ]
    with pytest.raises(AssertionError, match="'b' is bound to both 'cycle zoom' and 'save'"):
        by_button(table)


def test_no_binding_needs_shift() -> None:
    # Shift arrives as a key of its own and the letter stays lower case.
    assert not [key for key in by_key() if key != key.lower()]


def test_help_shows_each_binding_once_with_groups_together() -> None:
    lines = help_lines()
    assert len(lines) == len(BINDINGS)
    assert lines[0].keys == "← / j"
    groups = [line.group for line in lines]
    changes = sum(a != b for a, b in itertools.pairwise(groups))
    assert changes == len(set(groups)) - 1


def test_the_readme_table_has_a_line_for_each_binding() -> None:
    table = markdown_table().splitlines()
    assert len(table) == len(BINDINGS) + 2
    assert "| z | enlarge unit, then backward | View |" in table
    assert markdown_table() in (Path(__file__).parent.parent / "README.md").read_text()


# Moving: "middle" has 20 units


def columns(desk: Desk) -> int:
    grid = desk.draw().grid
    assert grid is not None
    return grid.num_cols


def test_arrows_move_by_one_unit_and_by_one_row() -> None:
    desk = Desk()
    assert desk.press("right").selection.unit == 6
    assert desk.press("left", "left").selection.unit == 4
    assert desk.press("j").selection.unit == 3
    assert desk.press("l").selection.unit == 4
    across = columns(desk)
    assert desk.press("down").selection.unit == 4 + across
    assert desk.press("i").selection.unit == 4


def test_moving_stops_at_the_first_and_the_last_unit() -> None:
    desk = Desk()
    assert desk.press("home", "left").selection.unit == 0
    assert desk.press("end", "right").selection.unit == 19
    assert desk.press("down").selection.unit == 19, "there is no row below"


def test_up_from_the_first_row_goes_to_the_layers_and_down_comes_back() -> None:
    desk = Desk()
    desk.press("home")
    assert desk.press("up").cursor == "layers"
    assert desk.press("right").selection.layer == "last"
    assert desk.press("left", "left").selection.layer == "stem"
    view = desk.press("down")
    assert (view.cursor, view.selection.unit) == ("grid", 0)
    assert desk.press("tab").cursor == "layers"
    assert desk.press("tab").cursor == "grid"


def test_fast_moves_go_three_rows_and_stay_in_their_column() -> None:
    desk = Desk(canvas_size=(480, 640))  # narrow, so that there are rows enough
    across = columns(desk)
    desk.press("home", "right")
    expected = min(1 + 3 * across, 1 + (18 // across) * across)
    assert desk.press("page-down").selection.unit == expected
    assert desk.press("page-up").selection.unit == 1
    assert desk.press("page-up").selection.unit == 1


def test_fast_moves_in_the_list_go_three_layers() -> None:
    desk = Desk(selection=Selection(layer="stem", unit=0), cursor="layers")
    assert desk.press("page-down").selection.layer == "classifier"
    assert desk.press("page-up").selection.layer == "stem"


def test_changing_the_layer_keeps_the_unit_where_the_layer_has_it() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=19, position=(1, 2)))
    desk.press("o")
    assert desk.selection == Selection(layer="last", unit=11), "12 units: clamped to 11"
    assert desk.press("u").selection.unit == 11
    assert desk.press("u", "u", "u").selection.layer == "stem"


def test_a_selection_without_a_layer_means_the_default_one() -> None:
    desk = Desk(selection=Selection())
    assert desk.press("right").selection == Selection(layer="last", unit=1)


def test_a_clicked_position_is_forgotten_with_its_unit() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=5, position=(3, 3)))
    assert desk.press("right").selection.position is None


# What is shown


def test_zoom_cycles_and_skips_the_backward_picture_while_it_is_off() -> None:
    desk = Desk()
    assert [desk.press("z").zoom for _ in range(3)] == ["unit", "backprop", "grid"]
    desk.session.update(backward_shown=False)
    assert [desk.press("z").zoom for _ in range(2)] == ["unit", "grid"]


def test_the_easy_loop_goes_through_the_ways_to_look_back() -> None:
    desk = Desk()
    seen = []
    for _ in range(5):
        view = desk.press("b")
        seen.append((view.selection.rule, view.backprop_display) if view.backward_shown else "off")
    assert seen == [
        ("gradient", "raw"),
        ("gradient", "norm"),
        ("deconvnet", "raw"),
        "off",
        ("guided", "clipped"),
    ]


def test_the_expert_key_goes_through_the_rules_and_off() -> None:
    desk = Desk(backprop_display="gray")
    seen = []
    for _ in range(4):
        view = desk.press("n")
        seen.append(view.selection.rule if view.backward_shown else "off")
    assert seen == ["deconvnet", "off", "gradient", "guided"]
    assert desk.view.backprop_display == "gray"


def test_turning_the_backward_picture_off_while_it_is_zoomed_shows_the_grid() -> None:
    desk = Desk(zoom="backprop", selection=Selection(rule="deconvnet"))
    view = desk.press("n")
    assert (view.backward_shown, view.zoom) == (False, "grid")


def test_the_display_cycles_through_all_six() -> None:
    desk = Desk()
    seen = [desk.press("m").backprop_display for _ in range(6)]
    assert seen == ["raw", "gray", "norm", "normblur", "positive", "clipped"]


def test_the_seed_cycles_and_lets_go_of_the_position() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=5, position=(0, 1)))
    assert desk.press("p").selection == Selection(layer="middle", unit=5, seed="map")
    assert desk.press("p").selection.seed == "activation"
    assert desk.press("p").selection.seed == "score"
    assert desk.press("p").selection.seed == "max"


def test_a_pass_from_a_class_s_score_ends_where_a_unit_is_chosen_and_not_where_a_layer_is() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=5, seed="activation"))
    desk.press("p")
    assert desk.press("o").selection.seed == "score"
    assert desk.press("down", "right").selection.seed == "activation"
    origin = Origin(layer="middle", unit=5)
    desk = Desk(selection=Selection(layer="middle", unit=5, seed="activation", origin=origin))
    assert desk.press("p").selection == Selection(layer="middle", unit=5, seed="score")
    frozen = desk.press("d").selection
    assert (frozen.origin, frozen.seed) == (origin, "activation")


@pytest.mark.parametrize(
    ("key", "field", "first"),
    [
        ("space", "paused", True),
        ("f", "paused", True),
        ("8", "classes_shown", False),
        ("v", "range_smoothed", False),
        ("h", "help_shown", True),
        ("?", "help_shown", True),
    ],
)
def test_toggles_go_there_and_back(key: str, field: str, first: bool) -> None:
    desk = Desk()
    assert getattr(desk.press(key), field) is first
    assert getattr(desk.press(key), field) is not first


def test_y_takes_the_next_cam_method_and_shows_it() -> None:
    desk = Desk(cam_shown=False)
    view = desk.press("y")
    assert (view.selection.cam, view.cam_shown) == ("layer-cam", True)
    assert desk.press("y").selection.cam == "grad-cam"


def test_backspace_puts_everything_back_but_the_window() -> None:
    desk = Desk(zoom="unit", palette="grey", gamma=0.5, paused=True, grid_scroll=0, side="stream")
    view = desk.press("backspace")
    assert view.selection == Selection(layer="stem", unit=0)
    assert (view.zoom, view.palette, view.gamma, view.paused, view.canvas_size, view.side) == (
        "grid",
        "colour",
        1.0,
        True,
        (700, 1200),
        "stream",
    )


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("q", "leave"),
        ("escape", "leave"),
        ("x", "save"),
        ("r", "record"),
        ("6", "switch source"),
        ("e", "next picture"),
        ("w", "previous picture"),
    ],
)
def test_keys_that_reach_beyond_the_view(key: str, effect: str) -> None:
    desk = Desk()
    before = desk.view
    assert desk.press(key) == before
    assert desk.effects == [effect]


def test_escape_and_q_close_the_help_before_they_leave() -> None:
    desk = Desk(help_shown=True)
    assert not desk.press("escape").help_shown
    assert desk.effects == []
    desk.press("h", "q", "q")
    assert desk.effects == ["leave"]


def test_a_key_that_does_nothing_says_so() -> None:
    desk = Desk()
    assert desk.press("f10").notice == "the key f10 does nothing; h shows the keys"


# The pointer


def test_a_click_on_a_tile_selects_the_unit_and_ends_the_hint() -> None:
    desk = Desk(cursor="layers")
    view = desk.click(tile(desk, 13))
    assert view.selection == Selection(layer="middle", unit=13)
    assert (view.cursor, view.hint_shown) == ("grid", False)


def test_a_second_quick_click_on_a_tile_counts_as_a_click() -> None:
    desk = Desk()
    assert desk.click(tile(desk, 2), kind="double").selection.unit == 2


def test_other_buttons_select_nothing() -> None:
    desk = Desk()
    assert desk.click(tile(desk, 13), button="right").selection.unit == 5


def test_a_click_on_a_layer_selects_it() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=19))
    view = desk.click(chip(desk, "stem"))
    assert view.selection == Selection(layer="stem", unit=7)
    assert view.cursor == "layers"


def test_a_click_on_a_class_explains_it_and_again_goes_back_to_the_top_one() -> None:
    desk = Desk()
    row = desk.draw().class_rows[1]
    assert desk.click(row).selection.class_index == 3
    assert desk.click(row).selection.class_index is None


def test_a_double_click_on_a_class_makes_its_unit_the_selected_one() -> None:
    desk = Desk()
    row = desk.draw().class_rows[0]
    desk.click(row)
    view = desk.click(row, kind="double")
    assert view.selection == Selection(layer="classifier", unit=7, class_index=7)


def test_a_double_click_on_a_class_of_a_net_without_a_dense_end_starts_at_its_score() -> None:
    desk = Desk(layers=LAYERS[:3], backward_shown=False)
    view = desk.click(desk.draw().class_rows[0], kind="double")
    assert view.selection == Selection(layer="middle", unit=5, class_index=7, seed="score")
    assert view.backward_shown


def test_a_click_in_the_enlarged_map_chooses_the_neuron_and_again_lets_go() -> None:
    desk = Desk()
    neuron = desk.draw().neuron((3, 1))
    assert desk.click(neuron).selection == Selection(layer="middle", unit=5, position=(3, 1))
    assert desk.click(desk.draw().neuron((0, 0))).selection.position == (0, 0)
    assert desk.click(desk.draw().neuron((0, 0))).selection.position is None


def test_a_click_means_what_was_on_screen_although_the_selection_has_moved_on() -> None:
    desk = Desk()
    neuron, other = desk.draw().neuron((3, 1)), tile(desk, 19)
    desk.session.update(selection=Selection(layer="last", unit=1))  # not drawn yet
    x, y = neuron.left, neuron.top
    desk.controller.handle(PointerEvent(kind="down", x=x, y=y, button="left"))
    assert desk.selection == Selection(layer="middle", unit=5, position=(3, 1))
    desk.session.update(selection=Selection(layer="last", unit=1))
    desk.controller.handle(PointerEvent(kind="down", x=other.left, y=other.top, button="left"))
    assert desk.selection == Selection(layer="middle", unit=19)


def test_each_button_does_what_its_key_does() -> None:
    shown_on = {"counts": "histogram", "beside": "dense", "forget": "moments"}
    shown_on |= dict.fromkeys(("weaken", "strengthen", "undo", "clear"), "changes")
    shown_on |= dict.fromkeys(("grow", "beginning", "as-input", "generate-layer"), "learned")
    shown_on |= dict.fromkeys(("generate-all", "next-job", "pause-jobs", "cancel-jobs"), "learned")
    for name, binding in by_button().items():
        page = shown_on.get(name, "unit")
        clicked, pressed = (Desk(page=page, side="files", compared="first") for _ in range(2))
        for desk in (clicked, pressed):
            desk.output_size = (6, 6) if name == "labels" else None
            desk.draw()
        button = clicked.draw().button(name)
        assert button is not None, name
        view = clicked.click(button.rect)
        pressed.press(binding.keys[0])
        assert (view, clicked.effects) == (pressed.view, pressed.effects), name


def test_hover_names_what_lies_under_the_pointer_and_moves_no_selection() -> None:
    desk = Desk()
    view = desk.click(tile(desk, 9), kind="move")
    assert (view.hover.kind, view.hover.unit, view.selection.unit) == ("unit", 9, 5)
    _, revision = desk.session.read()
    desk.controller.handle(PointerEvent(kind="move", x=tile(desk, 9).left, y=tile(desk, 9).top))
    assert desk.session.read()[1] == revision, "still the same tile: nothing to draw"
    desk.controller.handle(PointerEvent(kind="leave", x=0, y=0))
    assert desk.view.hover.kind == "none"


def test_a_click_while_help_is_shown_only_closes_it() -> None:
    desk = Desk(help_shown=True)
    view = desk.click(tile(desk, 13))
    assert (view.help_shown, view.selection.unit) == (False, 5)


def test_the_pointer_does_nothing_before_the_first_picture() -> None:
    desk = Desk()
    desk.controller.drawn = None
    desk.controller.handle(PointerEvent(kind="down", x=500, y=500, button="left"))
    assert desk.session.read()[1] == 0


# Scrolling


LONG = (make_layer(0, "wide", 4000, 8), *(make_layer(i, f"l{i}", 8, 8) for i in range(1, 200)))


def test_the_wheel_scrolls_what_lies_under_it_within_its_limits() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=0))
    drawn = desk.draw()
    assert drawn.max_grid_scroll > 5
    assert desk.wheel(drawn.panes["grid"], 1).grid_scroll == 0, "it is at the top"
    assert desk.wheel(drawn.panes["grid"], -2).grid_scroll == 2
    assert desk.wheel(drawn.panes["grid"], -10_000).grid_scroll == drawn.max_grid_scroll
    assert drawn.max_layer_scroll > 1
    assert desk.wheel(drawn.panes["layers"], -1).layer_scroll == 1
    assert desk.wheel(drawn.panes["input"], -1).layer_scroll == 1


def test_moving_the_selection_brings_it_into_sight() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=0))
    view = desk.press("end")
    grid = desk.lay_out(view).grid
    assert grid is not None
    assert view.selection.unit == 3999
    assert grid.tile(3999) is not None
    assert desk.press("home").grid_scroll == 0


def test_a_new_layer_comes_into_sight_in_the_list() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=0), cursor="layers")
    view = desk.press("end")
    assert view.selection.layer == "l199"
    assert chip(desk, "l199")
    assert view.layer_scroll > 0


def test_a_column_that_opens_leaves_the_selected_layer_in_sight() -> None:
    desk = Desk(LONG, selection=Selection(layer="l199", unit=0), canvas_size=(700, 1000))
    desk.controller.show_selected()
    assert not desk.view.column_shown
    desk.press("9")
    assert desk.view.column_shown
    assert chip(desk, "l199")


def test_what_is_selected_at_the_start_is_brought_into_sight() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=3999))
    assert desk.draw().grid.tile(3999) is None  # type: ignore[union-attr]
    desk.controller.show_selected()
    assert desk.draw().grid.tile(3999) is not None  # type: ignore[union-attr]
    desk = Desk(LONG, selection=Selection(layer="l199", unit=0))
    desk.controller.show_selected()
    assert chip(desk, "l199")


def test_clicking_a_tile_does_not_move_the_grid() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=0), grid_scroll=3)
    grid = desk.draw().grid
    assert grid is not None
    view = desk.click(tile(desk, grid.first))
    assert view.grid_scroll == 3


def test_a_resized_window_gets_a_canvas_of_its_size_with_the_selection_in_sight() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=3999))
    desk.controller.handle(ResizeEvent(height=500, width=800))
    view = desk.view
    assert view.canvas_size == (500, 800)
    grid = desk.lay_out(view).grid
    assert grid is not None
    assert grid.tile(3999) is not None


def test_every_key_leaves_a_view_that_can_be_laid_out() -> None:
    desk = Desk(LONG, selection=Selection(layer="wide", unit=2000))
    for binding in BINDINGS:
        for key in binding.keys:
            view = desk.press(key)
            assert replace(view) == view
            assert desk.lay_out(view).size == view.canvas_size


def test_t_and_the_full_stop_go_through_dvt_s_boosts() -> None:
    desk = Desk()
    assert [desk.press("t").gamma for _ in range(4)] == [0.7, 0.5, 0.3, 1.0]
    assert [desk.press(".").unit_boost for _ in range(5)] == [0.3, 0.5, 0.8, 1.0, 0.0]


def test_c_shows_the_cam_by_strength_then_blended_then_not_at_all() -> None:
    desk = Desk()
    looks = [(view.cam_shown, view.cam_style) for view in (desk.press("c") for _ in range(3))]
    assert looks == [(True, "blend"), (False, "blend"), (True, "alpha")]


def test_d_keeps_the_start_while_other_units_are_looked_at() -> None:
    desk = Desk(backward_shown=False)
    frozen = desk.press("d")
    start = frozen.selection.origin
    assert start == Origin(layer="middle", unit=5)
    assert frozen.backward_shown
    assert desk.press("o").selection.origin == start
    assert desk.press("d").selection.origin is None


def test_a_asks_for_gradients_and_turns_the_backward_pass_on() -> None:
    desk = Desk(backward_shown=False, zoom="unit")
    view = desk.press("a")
    assert (view.selection.gradients, view.backward_shown, view.zoom) == (True, True, "grid")
    assert not desk.press("a").selection.gradients


def test_a_leaves_the_tiles_of_pictures_first_and_changes_nothing_else() -> None:
    for gradients in (False, True):
        desk = Desk(
            pattern="optimized",
            backward_shown=False,
            selection=Selection(layer="middle", unit=1, gradients=gradients),
        )
        view = desk.press("a")
        assert view.pattern == "maps"
        assert (view.selection.gradients, view.backward_shown) == (gradients, False)
        assert desk.press("a").selection.gradients != gradients


def test_the_dense_page_asks_for_the_last_dense_layer_and_the_apostrophe_takes_the_next() -> None:
    desk = Desk(page="moments")
    view = desk.press("9")
    assert (view.page, view.selection.beside) == ("dense", "classifier")
    assert desk.press("9").selection.beside is None
    assert desk.press("'").page == "dense"


def test_every_line_of_the_help_does_what_its_key_does() -> None:
    listed = [binding for binding in BINDINGS if binding.keys]
    for index, binding in enumerate(listed):
        clicked, pressed = Desk(side="files"), Desk(side="files")
        layout = clicked.draw()
        table = lay_help(help_lines(BINDINGS), layout.metrics, layout.size)
        row = table.rows[index]
        clicked.session.update(help_shown=True)
        x, y = row.left + row.width // 2, row.top + row.height // 2
        clicked.controller.handle(PointerEvent(kind="move", x=x, y=y))
        assert help_line(clicked.view.hover) == index
        clicked.controller.handle(PointerEvent(kind="down", x=x, y=y, button="left"))
        pressed.draw()
        wanted = pressed.press(binding.keys[0])
        assert clicked.view == replace(wanted, help_shown=False), binding.name
        assert clicked.effects == pressed.effects


def test_a_click_beside_the_lines_closes_the_help_and_does_nothing_else() -> None:
    desk = Desk()
    layout = desk.draw()
    desk.session.update(help_shown=True)
    before = replace(desk.view, help_shown=False)
    tile = layout.panes["grid"]
    desk.controller.handle(PointerEvent(kind="down", x=2, y=tile.top, button="left"))
    assert desk.view == before


def test_on_a_narrow_canvas_the_key_of_pages_opens_them_goes_through_and_folds_them_away() -> None:
    desk = Desk(canvas_size=(700, 1000))
    pages = get_args(PageName)
    seen = [desk.press("9") for _ in range(len(pages) + 1)]
    assert [view.column_shown for view in seen] == [*[True] * len(pages), False]
    assert [view.page for view in seen] == [*pages, pages[0]]
    wide = Desk(canvas_size=(800, 1280))
    assert wide.press("9").page == pages[1], "where the pane is in sight already"
    for key, page in (("-", "histogram"), ("8", pages[0])):
        desk = Desk(canvas_size=(700, 1000))
        assert desk.press(key).page == page
        assert desk.view.column_shown
        assert desk.view.classes_shown
    desk = Desk(canvas_size=(700, 1000))
    button = desk.draw().button("page")
    assert button is not None
    assert desk.click(button.rect).column_shown

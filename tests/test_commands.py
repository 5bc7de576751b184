"""What keys do where a simpler rule would do nearly the same."""

from dataclasses import replace

from rtvis.data import Origin, Selection, Target
from rtvis.session import TopInput, View
from tests.nets_fake import LAYERS, make_layer
from tests.test_controller import Desk, columns

TWO_DENSE = (*LAYERS[:3], make_layer(3, "hidden", 9, 1), make_layer(4, "classifier", 10, 1))


def narrow(**view: object) -> Desk:
    """A canvas with several rows of tiles, the last one not full, and no right column."""
    desk = Desk(canvas_size=(480, 640), **view)
    assert 20 % columns(desk)
    assert 2 * columns(desk) < 20
    return desk


def test_up_from_the_second_row_goes_to_the_first_one() -> None:
    desk = narrow()
    desk.session.update(selection=Selection(layer="middle", unit=columns(desk)))
    view = desk.press("up")
    assert (view.cursor, view.selection.unit) == ("grid", 0)


def test_down_does_not_slip_to_another_column_where_the_last_row_has_none() -> None:
    desk = narrow()
    across = columns(desk)
    above_nothing = 20 - across  # the first unit with nothing below it
    desk.session.update(selection=Selection(layer="middle", unit=above_nothing))
    assert desk.press("down").selection.unit == above_nothing
    desk.session.update(selection=Selection(layer="middle", unit=above_nothing - 1))
    assert desk.press("down").selection.unit == 19


def test_a_fast_move_ends_in_the_last_row_that_has_the_column() -> None:
    desk = narrow()
    across = columns(desk)
    for column in range(across):
        desk.session.update(selection=Selection(layer="middle", unit=column))
        unit = desk.press("page-down", "page-down", "page-down").selection.unit
        assert unit == max(one for one in range(20) if one % across == column)


def test_the_dense_page_begins_at_the_last_dense_layer_and_goes_back_from_there() -> None:
    desk = Desk(layers=TWO_DENSE, page="moments")
    assert desk.press("9").selection.beside == "classifier"
    assert desk.press("'").selection.beside == "hidden"
    assert desk.press("'").selection.beside == "classifier"
    elsewhere = Desk(layers=TWO_DENSE, page="unit")
    assert elsewhere.press("'").selection.beside == "classifier"
    assert elsewhere.view.page == "dense"


def test_the_only_dense_layer_and_none_are_said() -> None:
    one = Desk(page="dense", selection=Selection(layer="middle", unit=5, beside="classifier"))
    assert one.press("'").notice == "classifier is the only dense layer"
    none = Desk(layers=LAYERS[:3])
    assert none.press("'").notice == "this network has no dense layer"


def test_tiles_of_pictures_come_into_sight_from_an_enlarged_map() -> None:
    desk = Desk(zoom="unit")
    view = desk.press("s")
    assert (view.zoom, view.pattern) == ("grid", "optimized")
    assert [desk.press("s").pattern for _ in range(3)] == ["top", "moments", "maps"]


def test_a_picture_that_is_asked_for_grows_and_is_held_by_the_next_press() -> None:
    desk = Desk(page="unit", growing=False)
    view = desk.press("\\")
    assert (view.page, view.growing) == ("learned", True)
    assert not desk.press("\\").growing


def test_the_key_of_log_counts_shows_the_histogram_first() -> None:
    desk = Desk(page="unit")
    view = desk.press("-")
    assert (view.page, view.log_counts) == ("histogram", False)
    assert desk.press("-").log_counts


def test_top_classes_that_are_off_come_with_the_column_of_a_narrow_canvas() -> None:
    desk = Desk(canvas_size=(700, 1000), classes_shown=False)
    view = desk.press("8")
    assert (view.column_shown, view.classes_shown) == (True, True)
    assert not desk.press("8").classes_shown


def test_backspace_goes_back_to_what_the_program_was_started_with() -> None:
    started = Selection(
        layer="last", unit=3, seed="activation", rule="deconvnet", tap="post",
        cam="layer-cam", cam_layer="middle", fit="letterbox",
    )  # fmt: skip
    kept = {"num_top": 7, "ui_scale": 1.5, "panes_shown": True, "hint_shown": False}
    desk = Desk(selection=started, **kept)
    changed = replace(
        started, layer="stem", unit=1, seed="map", rule="guided", cam="grad-cam",
        cam_layer="last", fit="crop", class_index=2, gradients=True,
    )  # fmt: skip
    desk.session.update(selection=changed, page="histogram", unit_boost=0.5, labels_shown=False)
    view = desk.press("backspace")
    assert view.selection == replace(started, layer="stem", unit=0)
    assert {name: getattr(view, name) for name in kept} == kept
    fresh = View()
    for name in ("page", "unit_boost", "labels_shown", "backprop_display", "cam_style"):
        assert getattr(view, name) == getattr(fresh, name), name


def test_a_pixel_is_explained_for_its_own_class() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=5, class_index=3))
    desk.output_size = (6, 6)
    desk.draw()
    desk.controller.click(Target(kind="pixel", pane="input", position=(2, 4)))
    assert (desk.selection.region, desk.selection.class_index) == ((2, 4, 1, 1), None)
    assert (desk.view.labels_shown, desk.view.cam_shown) == (False, True)
    desk.controller.click(Target(kind="pixel", pane="input", position=(2, 4)))
    assert desk.selection.region is None


def test_a_start_that_is_clicked_is_seen_although_the_backward_picture_was_off() -> None:
    desk = Desk(backward_shown=False)
    desk.controller.click(Target(kind="start", pane="details", layer="classifier", unit=4))
    assert desk.selection.origin == Origin(layer="classifier", unit=4)
    assert desk.view.backward_shown
    desk.controller.click(Target(kind="start", pane="details", layer="classifier", unit=4))
    assert desk.selection.origin is None


def test_a_top_input_that_is_looked_at_takes_the_place_of_a_moment() -> None:
    desk = Desk(moment=4)
    desk.controller.click(Target(kind="top", pane="details", place=1))
    assert desk.view.moment is None
    assert desk.view.top_input == TopInput(layer="middle", unit=5, place=1)
    desk.controller.click(Target(kind="top", pane="details", place=1))
    assert desk.view.top_input is None


def test_freezing_keeps_the_neuron_that_was_clicked() -> None:
    desk = Desk(selection=Selection(layer="middle", unit=5, position=(1, 2)))
    assert desk.press("d").selection.origin == Origin(layer="middle", unit=5, position=(1, 2))


def test_a_class_beyond_the_last_unit_starts_at_its_score() -> None:
    desk = Desk()
    target = Target(kind="class", pane="classes", class_index=10)
    desk.controller.click(target, twice=True)
    assert (desk.selection.layer, desk.selection.seed) == ("middle", "score")
    desk.controller.click(replace(target, class_index=9), twice=True)
    assert (desk.selection.layer, desk.selection.unit) == ("classifier", 9)

"""A rectangle of a dense output is chosen by dragging over the picture."""

import pytest

from rtvis.data import PointerEvent
from tests.test_dense_screen import Desk, engine  # noqa: F401 - a fixture

CANVAS = (800, 1280)


@pytest.fixture
def desk(engine: object) -> Desk:  # noqa: F811 - the fixture
    return Desk(engine, canvas_size=CANVAS)  # type: ignore[arg-type]


def region_of(desk: Desk) -> tuple[int, int, int, int] | None:
    return desk.view.selection.region


def test_what_is_dragged_over_is_explained_in_whatever_direction(desk: Desk) -> None:
    desk.pointer(*desk.over(3, 4))
    assert region_of(desk) == (3, 4, 1, 1)
    desk.pointer(*desk.over(7, 9), kind="move")
    assert region_of(desk) == (3, 4, 5, 6)
    desk.pointer(*desk.over(1, 2), kind="move")
    assert region_of(desk) == (1, 2, 3, 3)
    desk.pointer(*desk.over(9, 4), kind="move")
    assert region_of(desk) == (3, 4, 7, 1)
    desk.pointer(*desk.over(3, 4), kind="move")
    assert region_of(desk) == (3, 4, 1, 1), "back where it began"
    assert (desk.view.labels_shown, desk.view.cam_shown) == (False, True)
    assert desk.result.selection.region == (3, 4, 1, 1)


def test_a_hand_that_trembles_on_a_pixel_has_clicked_it(desk: Desk) -> None:
    for wanted in ((3, 4, 1, 1), None):
        x, y = desk.over(3, 4)
        desk.pointer(x, y)
        desk.pointer(x + 1, y, kind="move")
        assert region_of(desk) == wanted


def test_beyond_the_picture_it_ends_at_its_edge(desk: Desk) -> None:
    pixels = desk.layout.pixels
    assert pixels is not None
    height, width = pixels.size
    desk.pointer(*desk.over(3, 4))
    first = pixels.at(pixels.image.left + pixels.view.columns.start, desk.over(3, 4)[1])
    assert first is not None
    desk.pointer(CANVAS[1] - 1, CANVAS[0] - 1, kind="move")
    region = region_of(desk)
    assert region is not None
    assert region[:2] == (3, 4)
    assert (region[0] + region[2], region[1] + region[3]) == (height, width)
    desk.pointer(0, 0, kind="move")
    assert region_of(desk) == (0, first[1], 4, 5 - first[1])


def test_nothing_is_dragged_without_the_button_or_from_elsewhere(desk: Desk) -> None:
    desk.pointer(*desk.over(3, 4))
    x, y = desk.over(7, 9)
    desk.controller.handle(PointerEvent(kind="move", x=x, y=y))
    assert region_of(desk) == (3, 4, 1, 1)
    desk.pointer(x, y, kind="move")
    assert region_of(desk) == (3, 4, 1, 1), "it was let go"
    grid = desk.layout.panes["grid"]
    desk.pointer(grid.left + 40, grid.top + 60)
    desk.pointer(x, y, kind="move")
    assert region_of(desk) == (3, 4, 1, 1)

"""How it looks what units have learned: the page, and the tiles of the grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtvis.render import bar_words
from rtvis.render.compositor import Compositor
from rtvis.render.learned_plan import lay_learned
from rtvis.render.scene import Learned, PatternShown, Scene, TopShown
from rtvis.render.text import Font, measure
from rtvis.session import View
from tests.learning_desk import SIZE, STEM, flat
from tests.nets_fake import LAYERS, FakeEngine


def drawn(learned: Learned | None, **scene: object) -> tuple[Compositor, np.ndarray]:
    engine = FakeEngine()
    result = engine.run(torch.zeros(6, 6, 3), STEM, seq=0, revision=0, captured_ns=0)
    compositor = Compositor(torch.device("cpu"))
    view = scene.pop("view", View(canvas_size=SIZE, page="learned", selection=STEM))
    canvas = compositor.compose(
        Scene(  # type: ignore[arg-type]
            view=view, layers=LAYERS, result=result, learned=learned, **scene
        )
    )
    return compositor, canvas.numpy().copy()


def grey_of(word: int) -> tuple[int, int, int]:
    return (word >> 16) & 0xFF, (word >> 8) & 0xFF, word & 0xFF


def test_page_shows_the_picture_the_crops_and_their_backward_pictures_in_their_places() -> None:
    tops = tuple(
        TopShown(crop_HW3=flat(20 + place), back_HW3=flat(120 + place)) for place in range(9)
    )
    learned = Learned(
        layer="stem", unit=3, optimized_HW3=flat(77), optimized="growing", tops=tops, top="done"
    )
    compositor, canvas = drawn(learned)
    assert compositor.layout is not None
    plan = compositor.layout.learned
    assert plan is not None
    assert plan.grids is not None

    def at(rect) -> tuple[int, int, int]:
        return grey_of(canvas[rect.top + rect.height // 2, rect.left + rect.width // 2])

    assert at(plan.optimized) == (77, 77, 77)
    for index, first in enumerate((20, 120)):
        for place in range(9):
            tile = plan.grids[index].tile(place)
            assert tile is not None
            assert at(tile) == (first + place,) * 3
            hit = compositor.layout.hit(tile.left + 2, tile.top + 2)
            assert hit.pane == "details"


def test_states_of_the_page_look_different() -> None:
    def page(**fields: object) -> bytes:
        learned = Learned(layer="stem", unit=3, **fields)  # type: ignore[arg-type]
        compositor, canvas = drawn(learned)
        assert compositor.layout is not None
        pane = compositor.layout.panes["details"]
        return canvas[pane.rows, pane.columns].tobytes()

    image = flat(77)
    states = [
        page(optimized="missing", note="\\ lets it grow"),
        page(optimized="loading", top="loading"),
        page(optimized="growing", optimized_HW3=image, share=0.5),
        page(optimized="held", optimized_HW3=image, share=0.5),
        page(optimized="done", optimized_HW3=image, share=1.0),
    ]
    assert len(set(states)) == len(states)


@pytest.mark.parametrize("size", [(480, 640), (700, 1100), (800, 1280), (1080, 1920), (2160, 3840)])
def test_parts_of_the_page_keep_within_it_and_off_each_other(size: tuple[int, int]) -> None:
    from rtvis.render.layout import layout

    plan = layout(View(canvas_size=size, page="learned"), LAYERS)
    if "details" not in plan.contents:
        assert plan.learned is None
        return
    area, learned = plan.contents["details"], plan.learned
    assert learned is not None
    rects = [learned.optimized, learned.caption, learned.progress, learned.buttons]
    rects += [learned.job, learned.job_buttons]
    if learned.grids is not None:
        rects += [*learned.headings, *(grid.area for grid in learned.grids)]
    for index, rect in enumerate(rects):
        assert area.top <= rect.top
        assert rect.bottom <= area.bottom
        assert area.left <= rect.left
        assert rect.right <= area.right
        assert not any(rect.overlaps(other) for other in rects[index + 1 :]), rect


def test_a_low_page_gives_up_the_crops_before_the_picture() -> None:
    plan = lay_learned(_area(300), _metrics())
    assert plan.grids is None
    assert plan.optimized.height > 72
    assert lay_learned(_area(500), _metrics()).grids is not None


def _area(height: int):
    from rtvis.render.grid import Rect

    return Rect(0, 0, height, 208)


def _metrics():
    from rtvis.render.metrics import metrics_for

    return metrics_for(SIZE)


def test_tiles_show_pictures_where_the_maps_were_and_missing_ones_are_empty() -> None:
    tiles = {0: flat(50).numpy(), 6: flat(90).numpy()}
    pattern = PatternShown(layer="stem", tiles=tiles)
    view = View(canvas_size=SIZE, pattern="optimized", selection=STEM)
    learned = Learned(layer="stem", unit=3, optimized_HW3=flat(77), optimized="growing")
    compositor, canvas = drawn(learned, pattern=pattern, view=view)
    assert compositor.layout is not None
    grid = compositor.layout.grid
    assert grid is not None

    def at(unit: int) -> tuple[int, int, int]:
        tile = grid.tile(unit)
        assert tile is not None
        return grey_of(canvas[tile.top + tile.height // 2, tile.left + tile.width // 2])

    assert (at(0), at(6)) == ((50,) * 3, (90,) * 3)
    assert at(3) == (77,) * 3, "the one that is growing"
    assert at(1) == at(2) == (0x14, 0x16, 0x1A), "the background: nothing is there"
    maps, _ = drawn(None, view=View(canvas_size=SIZE, selection=STEM))
    assert maps.layout is not None
    assert maps.layout.grid == grid, "tiles keep their places"


def test_a_tile_that_comes_is_drawn_and_the_others_are_left_alone() -> None:
    view = View(canvas_size=SIZE, pattern="optimized", selection=STEM)
    tiles = {0: flat(50).numpy()}
    engine, compositor = FakeEngine(), Compositor(torch.device("cpu"))
    result = engine.run(torch.zeros(6, 6, 3), STEM, seq=0, revision=0, captured_ns=0)

    def compose() -> np.ndarray:
        pattern = PatternShown(layer="stem", tiles=tiles)
        scene = Scene(view=view, layers=LAYERS, result=result, pattern=pattern)
        return compositor.compose(scene).numpy().copy()

    compose()
    tiles[1] = flat(60).numpy()
    canvas = compose()
    assert compositor.layout is not None
    assert compositor.layout.grid is not None
    for unit, grey in ((0, 50), (1, 60)):
        tile = compositor.layout.grid.tile(unit)
        assert tile is not None
        assert grey_of(canvas[tile.top + 5, tile.left + 5]) == (grey,) * 3


def test_what_makes_missing_pictures_is_told_in_as_many_words_as_there_is_room_for() -> None:
    tiles = {unit: flat(50).numpy() for unit in range(131)}
    notes = ("units crops makes them", "units crops")
    pattern = PatternShown(layer="stem", tiles=tiles, notes=notes)
    scene = Scene(view=View(), layers=LAYERS, pattern=pattern)

    def told(room_for: str, num_units: int = 240) -> str:
        return bar_words.pattern_facts(scene, num_units, measure(room_for, Font(15)), Font(15))

    assert told("131 of 240; units crops makes them") == "131 of 240; units crops makes them"
    assert told("131 of 240; units crops makes") == "131 of 240; units crops"
    assert told("131 of 240; units") == "131 of 240"
    assert told("131 of 24") == "131/240"
    assert told("131/2") == "", "a number is never cut off"
    assert told("131 of 131; units crops makes them", 131) == "131 of 131", "none is missing"

"""What the screen says and marks of the state that it is in: status line, chips, empty panes."""

from dataclasses import replace

import inks
import numpy as np
import pytest
import torch

from rtvis.data import NO_GRADIENT_PATH, Health, Intervention, Origin, Rates, SourceStatus, Target
from rtvis.render import bar_words, empty_words, layer_words
from rtvis.render.compositor import Compositor
from rtvis.render.hover_words import hover_text
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.text import Font, Run, measure
from rtvis.render.wording import class_name, number_within, time_left
from rtvis.theme import Ink
from tests.test_compositor import LAYERS, compositor, part, pixels, result_for, scene_for

__all__ = ["compositor"]  # a fixture

READOUT = Readout(value=4.21, position=(3, 5), class_index=0)


def chosen(scene: Scene, **changes: object) -> Scene:
    """The scene of a result for another selection."""
    assert scene.result is not None
    selection = replace(scene.result.selection, **changes)  # type: ignore[arg-type]
    view = replace(scene.view, selection=selection)
    return replace(scene, view=view, result=replace(scene.result, selection=selection))


def status_of(scene: Scene) -> str:
    """The status line without the room that keeps its places."""
    layer = LAYERS[0]
    runs = bar_words.status(scene, layer, layer.name, READOUT, Font(13))
    return "".join(run.text for run in runs)


# The status line (DVT-29)


def test_the_status_line_says_unit_value_place_way_back_and_class() -> None:
    assert status_of(scene_for(cam_shown=True, backward_shown=True)) == (
        "conv1:2  max 4.21 at (3, 5)   ·   guided backprop from the maximum, clipped"
        "   ·   grad-cam of cat"
    )


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"rule": "gradient"}, "gradient from the maximum, "),
        ({"rule": "deconvnet"}, "deconvnet from the maximum, "),
        ({"seed": "map"}, " from the whole map, "),
        ({"seed": "activation"}, " from the map × itself, "),
        ({"seed": "score"}, " from the class score, "),
        ({"position": (3, 5)}, "  value 4.21 at (3, 5)   ·   guided backprop from the neuron, "),
        ({"origin": Origin(layer="fc", unit=1)}, " from the maximum of fc:1, "),
        ({"region": (2, 1, 4, 3)}, " at (2, 1), 4×3 px"),
        ({"interventions": (Intervention(layer="conv1", unit=0, scale=0.0),)}, "1 change"),
    ],
)
def test_the_status_line_says_what_is_chosen(choice: dict[str, object], words: str) -> None:
    scene = chosen(scene_for(backward_shown=True), **choice)
    assert words in status_of(scene)


def test_the_status_line_says_how_it_is_shown() -> None:
    for display in ("raw", "gray", "norm", "normblur", "positive", "clipped"):
        shown = scene_for(backward_shown=True, backprop_display=display)
        assert status_of(shown).split("   ·   ")[1].endswith(f", {display}")
    assert "   ·   backward off" in status_of(scene_for(backward_shown=False))
    assert "boost" not in status_of(scene_for())
    assert "   ·   boost 0.5/0.7" in status_of(scene_for(gamma=0.7, unit_boost=0.5))


# The word for what the source or the user has brought the picture to


@pytest.mark.parametrize(
    ("source", "paused", "text", "colour"),
    [
        ("opening", False, "opening", Ink.TEXT),
        ("live", False, "live", Ink.DIM),
        ("live", True, "paused", Ink.TEXT),
        ("ended", False, "ended", Ink.TEXT),
        ("failed", True, "source failed", Ink.WARNING),
        ("reconnecting", True, "reconnecting 4.0 s", Ink.WARNING),
    ],
)
def test_the_state_is_said_and_a_broken_source_goes_before_a_pause(
    source: str, paused: bool, text: str, colour: Ink
) -> None:
    status = SourceStatus(state=source, since_ns=6 * 10**9)  # type: ignore[arg-type]
    run = bar_words.state(scene_for(source=status, paused=paused))
    assert (run.text, run.colour) == (text, colour)


# Panes that have nothing to show say why (DVT-27)


def test_a_backward_pane_says_whether_it_is_off_or_its_gradient_zero_and_why() -> None:
    def message(scene: Scene, health: int = 0) -> str:
        return empty_words.backward_message(scene, Readout(health=health))

    on = scene_for(backward_shown=True)
    assert message(on) == ""
    assert message(scene_for(backward_shown=False)) == "off"
    zero = Health.TEXTS[Health.GRADIENT_ZERO]
    assert message(on, Health.GRADIENT_ZERO) == zero
    dead = Health.GRADIENT_ZERO | Health.ORIGIN_ZERO
    assert message(on, dead) == f"{zero}: this unit is zero everywhere"
    frozen = chosen(on, origin=Origin(layer="conv1", unit=4))
    assert message(frozen, dead) == f"{zero}: {Health.TEXTS[Health.ORIGIN_ZERO]}"
    out = chosen(on, interventions=(Intervention(layer="conv1", unit=2, scale=0.0),))
    assert message(out, Health.GRADIENT_ZERO) == ("the unit is knocked out: it depends on no input")
    assert message(on, Health.GRADIENT_NAN) == Health.TEXTS[Health.GRADIENT_NAN]
    assert len({message(on, bit) for bit in (0, Health.GRADIENT_ZERO, Health.GRADIENT_NAN)}) == 3


def test_a_grid_of_gradients_above_their_start_says_that_there_are_none() -> None:
    scene = chosen(scene_for(result=result_for("fc", 1)), origin=Origin(layer="conv1", unit=2))
    assert scene.result is not None
    grads = torch.zeros_like(scene.result.maps_BCHW)
    scene = replace(scene, result=replace(scene.result, grads_BCHW=grads))
    text = empty_words.grid_message(scene, Readout(health=Health.GRADS_ZERO))
    assert text.endswith(": it comes after conv1, where the backward pass starts")
    assert empty_words.grid_message(scene, Readout()) == ""


def test_a_bare_picture_says_that_nothing_speaks_for_the_class(compositor: Compositor) -> None:
    def title(health: int, *, cam_shown: bool = True) -> str:
        compositor.compose(scene_for(result=result_for(health=health), cam_shown=cam_shown))
        return "".join(run.text for run in compositor._chrome._words["title input"])

    compositor.receive(Readout(health=Health.CAM_ZERO))
    assert title(Health.CAM_ZERO) == "no evidence"
    assert title(Health.CAM_ZERO, cam_shown=False) == "input"
    assert title(0) == "input"
    bare = replace(READOUT, health=Health.CAM_ZERO)
    runs = bar_words.status(scene_for(), LAYERS[0], "conv1", bare, Font(13))
    text = "".join(run.text for run in runs)
    assert text.endswith("grad-cam of cat: nothing at the CAM layer speaks for this class")


# Which layer, and which tile (DVT-21, DVT-39)


def chip_of(compositor: Compositor, canvas_HW: np.ndarray, layer: str) -> np.ndarray:
    """The pixels of a layer's name in the list."""
    assert compositor.layout is not None
    strip = compositor.layout.strip
    rect = strip.rect(next(chip for chip in strip.chips if chip.layer == layer))
    assert rect is not None
    return part(canvas_HW, rect)


def share(pixels_HW: np.ndarray, colour: int) -> float:
    return float((pixels_HW == colour).mean())


def test_the_selected_layer_is_cyan_and_the_one_where_the_backward_pass_starts_amber(
    compositor: Compositor,
) -> None:
    plain = pixels(compositor, scene_for())
    assert share(chip_of(compositor, plain, "conv1"), inks.SELECTED) > 0.5
    assert share(chip_of(compositor, plain, "fc"), inks.SOURCE) == 0
    frozen = pixels(compositor, chosen(scene_for(), origin=Origin(layer="fc", unit=1)))
    assert share(chip_of(compositor, frozen, "conv1"), inks.SELECTED) > 0.5
    assert share(chip_of(compositor, frozen, "fc"), inks.SOURCE) > 0.4
    hover = Target(kind="layer", pane="layers", layer="fc")
    hovered = pixels(compositor, scene_for(hover=hover))
    assert share(chip_of(compositor, hovered, "fc"), inks.RAISED) > 0.4


def test_in_its_own_layer_the_start_of_the_backward_pass_has_an_amber_outline(
    compositor: Compositor,
) -> None:
    scene = chosen(scene_for(), origin=Origin(layer="conv1", unit=4))
    canvas_HW = pixels(compositor, scene)
    assert compositor.layout is not None
    grid = compositor.layout.grid
    assert grid is not None
    for unit, colour in ((4, inks.SOURCE), (2, inks.SELECTED)):
        tile = grid.tile(unit)
        assert tile is not None
        assert (canvas_HW[tile.top - 1, tile.columns] == colour).all()


# The best classes (DVT-26) and the names of classes (DVT-44)


def test_bars_of_the_best_classes_are_as_long_as_their_share_and_the_explained_one_is_bright(
    compositor: Compositor,
) -> None:
    canvas_HW = pixels(compositor, scene_for())
    assert compositor.layout is not None
    # exp(2), exp(1), exp(0) by their sum: cat .665, bird .245, dog .090.
    expected = (
        ("cat", 0.665, Ink.TEXT, inks.TEXT),
        ("bird", 0.245, Ink.DIM, inks.FAINT),
    )
    for place, (name, probability, words, bar) in enumerate(expected):
        (run,) = compositor._chrome._shown[f"class {place}"][1][0]
        assert (run.text, run.colour) == (name, words)
        rect = compositor.layout.class_rows[place]
        bar_rect = compositor._chrome._shown[f"class bar {place}"][0]
        line = part(canvas_HW, bar_rect)[0]
        assert (line == bar).sum() == pytest.approx(probability * rect.width, abs=1)
        assert (line == inks.RAISED).sum() == pytest.approx((1 - probability) * rect.width, abs=1)
    (run,) = compositor._chrome._shown["class share 1"][1][0]
    assert (run.text, run.colour) == (".24", Ink.DIM)


def test_the_cells_of_classes_have_their_names_below_them(compositor: Compositor) -> None:
    scene = scene_for(result=result_for("fc", 1))
    named = pixels(compositor, scene)
    assert compositor.layout is not None
    grid = compositor.layout.grid
    assert grid is not None
    assert grid.caption_height > 0

    def caption(canvas_HW: np.ndarray, unit: int) -> np.ndarray:
        tile = grid.tile(unit)
        assert tile is not None
        return canvas_HW[tile.bottom + 3 : tile.bottom + grid.caption_height, tile.columns]

    other = pixels(Compositor(torch.device("cpu")), replace(scene, labels=("cat", "ant", "bird")))
    assert not np.array_equal(caption(named, 1), caption(other, 1))
    for unit in (0, 2):
        assert np.array_equal(caption(named, unit), caption(other, unit))
        assert len(np.unique(caption(named, unit))) > 3, "there is text"


# Pictures


def test_every_display_of_the_backward_picture_is_another_picture_and_a_stale_one_half_as_bright(
    compositor: Compositor,
) -> None:
    pictures = []
    for display in ("raw", "gray", "norm", "normblur", "positive", "clipped"):
        scene = scene_for(backward_shown=True, backprop_display=display)
        canvas_HW = pixels(compositor, scene)
        assert compositor.layout is not None
        pictures.append(part(canvas_HW, compositor.layout.images["backprop"]).copy())
    assert len({picture_HW.tobytes() for picture_HW in pictures}) == 6
    stale_HW = pixels(compositor, replace(scene, stale_since_ns=10**9))
    expected = (pictures[-1] >> 1) & 0x7F7F7F
    assert np.array_equal(part(stale_HW, compositor.layout.images["backprop"]), expected)


def test_the_help_lies_over_a_picture_of_half_its_brightness(compositor: Compositor) -> None:
    plain = pixels(compositor, scene_for())
    helped = pixels(compositor, scene_for(help_shown=True))
    half = (plain >> 1) & 0x7F7F7F
    assert np.array_equal(helped[:20], half[:20])
    assert np.array_equal(helped[-20:], half[-20:])
    middle = slice(390, 410), slice(560, 720)
    assert not np.array_equal(helped[middle], half[middle]), "the table of keys"


def test_gradients_have_colours_of_their_own_in_the_grid(compositor: Compositor) -> None:
    """DVT-25: green above zero, red below, black at it; in grey they are grey."""
    result = result_for()
    values = torch.tensor([1.0, -1.0, 0.0]).repeat_interleave(2)
    grads_BCHW = values[None, :, None, None].expand_as(result.maps_BCHW).contiguous()
    scene = scene_for(result=replace(result, grads_BCHW=grads_BCHW), range_smoothed=False)
    canvas_HW = pixels(compositor, scene)
    assert compositor.layout is not None
    grid = compositor.layout.grid
    assert grid is not None

    def colour(canvas_HW: np.ndarray, unit: int) -> tuple[int, int, int]:
        tile = grid.tile(unit)
        assert tile is not None
        word = int(part(canvas_HW, tile)[tile.height // 2, tile.width // 2])
        return word >> 16, word >> 8 & 0xFF, word & 0xFF

    red, green, blue = colour(canvas_HW, 0)
    assert green > 2 * max(red, blue)
    red, green, blue = colour(canvas_HW, 3)
    assert red > 2 * max(green, blue)
    assert max(colour(canvas_HW, 4)) < 40
    grey = pixels(compositor, replace(scene, view=replace(scene.view, palette="grey")))
    assert np.ptp(colour(grey, 0)) < 8


def test_the_enlarged_unit_has_its_own_range_and_the_grid_that_of_the_layer(
    compositor: Compositor,
) -> None:
    """RT-14: a unit a tenth as strong as the layer is dark in the grid and bright by itself. The
    boosts (DVT-40, DVT-41) brighten its tile."""
    result = result_for(signed=False)
    maps_BCHW = torch.zeros_like(result.maps_BCHW)
    maps_BCHW[0, 2, :, :4] = 1.0
    maps_BCHW[0, 5] = 10.0
    scene = scene_for(result=replace(result, maps_BCHW=maps_BCHW), range_smoothed=False)

    def brightness(**view: object) -> tuple[float, float]:
        changed = replace(scene, view=replace(scene.view, **view))  # type: ignore[arg-type]
        canvas_HW = pixels(compositor, changed)
        assert compositor.layout is not None
        grid = compositor.layout.grid
        assert grid is not None
        tile, unit = grid.tile(2), compositor.layout.images["unit"]
        assert tile is not None
        found = []
        for rect in (tile, unit):
            word = int(part(canvas_HW, rect)[rect.height // 4, rect.width // 8])
            found.append(sum(word >> shift & 0xFF for shift in (0, 8, 16)) / 3)
        return found[0], found[1]

    tile, unit = brightness()
    assert unit > 2 * tile
    assert brightness(gamma=0.3)[0] > 1.5 * tile
    assert brightness(unit_boost=1.0)[0] == unit


# Words for layers, units, classes


def said(runs: tuple[Run, ...]) -> str:
    return "".join(run.text for run in runs)


def test_what_lies_under_the_pointer_is_named_with_its_value() -> None:
    scene, readout = scene_for(), replace(READOUT, hover_value=-0.5)
    unit = Target(kind="unit", pane="grid", layer="conv1", unit=4)
    assert said(hover_text(scene, readout, unit)) == "unit 4   max −0.500"
    neuron = Target(kind="position", pane="unit", layer="conv1", position=(3, 5))
    assert said(hover_text(scene, readout, neuron)) == "row 3, column 5   −0.500"
    layer = Target(kind="layer", pane="layers", layer="fc")
    assert said(hover_text(scene, readout, layer)).startswith("fc   dense")
    dense = scene_for(result=result_for("fc", 1))
    cell = Target(kind="unit", pane="grid", layer="fc", unit=2)
    assert said(hover_text(dense, readout, cell)) == "bird   unit 2   −0.500"
    nameless = replace(dense, labels=None)
    assert said(hover_text(nameless, readout, cell)) == "unit 2   −0.500"
    assert hover_text(dense, readout, unit) == (), "of another layer than the one that is shown"


def test_what_explains_no_class_names_none() -> None:
    for method in ("eigen-cam", "rollout"):
        assert status_of(chosen(scene_for(), cam=method)).endswith(f"·   {method}")
    assert status_of(chosen(scene_for(), cam="legrad")).endswith("legrad of cat")


def test_a_picture_by_itself_has_no_rates() -> None:
    rates = Rates(captured_fps=25.0, processed_fps=20.0, shown_fps=15.0, latency_ms=80)
    live = scene_for(rates=rates)
    still = replace(live, is_still=True)
    told = [said(bar_words.rates(scene, Font(13), short=True)).split() for scene in (live, still)]
    assert ["".join(words) for words in told] == ["15.0fps·80ms", "–fps·–ms"]


def test_what_is_left_is_told_in_the_unit_that_one_counts_in() -> None:
    told = [time_left(seconds) for seconds in (12, 200, 7200, 4 * 86_400)]
    assert told == ["12 s left", "3 min left", "2 h left", "4 days left"]
    assert time_left(None) == ""


def test_classes_without_names_have_their_numbers() -> None:
    assert class_name(("tabby, tabby cat", "dog"), 0) == "tabby"
    assert class_name(("tabby, tabby cat", "dog"), 2) == "class 2"
    assert class_name(None, 7) == "class 7"
    assert status_of(replace(scene_for(), labels=None)).endswith("grad-cam of class 0")


def test_a_layer_that_no_gradient_leaves_is_the_reason_for_an_empty_backward_picture() -> None:
    """DVT-95."""
    cut_off = (replace(LAYERS[0], reaches_input=False), LAYERS[1])
    scene = scene_for(backward_shown=True, layers=cut_off)
    readout = Readout(health=Health.GRADIENT_ZERO)
    assert empty_words.backward_message(scene, readout) == NO_GRADIENT_PATH


def grads_of(scene: Scene, width: int = 1000) -> str:
    return bar_words.gradients_from(scene, width, Font(14))


def test_whose_gradients_they_are_is_told_in_as_many_words_as_there_is_room_for() -> None:
    scene = scene_for(layers=tuple(replace(e, name=f"blocks.{e.name}") for e in LAYERS))
    assert scene.result is not None
    scene = replace(scene, result=replace(scene.result, grads_BCHW=scene.result.maps_BCHW))
    scene = chosen(scene, layer="blocks.conv1")
    told = [
        "gradients of blocks.conv1:2, guided backprop",
        "gradients of blocks.conv1:2",
        "gradients of conv1:2",
        "of conv1:2",
        "",
    ]
    widths = [measure(text, Font(14)) for text in told]
    assert [grads_of(scene, width) for width in widths] == told
    assert [grads_of(scene, width - 1) for width in widths[:-1]] == told[1:]


def test_a_number_that_is_too_wide_has_fewer_digits_and_keeps_its_exponent() -> None:
    font = Font(14)
    room = measure("−0.000", font)
    told = [number_within(value, room, font) for value in (3.14e-16, -1.26e-5, 4.2e-9, -6.0)]
    assert told == ["3e-16", "−1e-5", "4.2e-9", "−6.00"]
    assert number_within(3.14e-16, measure("3.1e-16", font), font) == "3.1e-16"


def test_the_ranges_beside_a_grid_of_gradients_are_called_that() -> None:
    scene, readout = scene_for(), Readout(value=3.5, unit_low=-1, unit_high=2, low=-4, high=8)
    told = dict(layer_words.details(scene, LAYERS[0], readout))
    assert (told["unit's range"], told["layer's range"]) == ("−1.00 … 2.00", "−4.00 … 8.00")
    assert scene.result is not None
    with_grads = replace(scene.result, grads_BCHW=scene.result.maps_BCHW)
    told = dict(layer_words.details(replace(scene, result=with_grads), LAYERS[0], readout))
    assert (told["its gradients"], told["all gradients"]) == ("−1.00 … 2.00", "−4.00 … 8.00")
    assert told["value"] == "3.50", "the unit's own, whatever the grid shows"
    assert not {"unit's range", "layer's range"} & set(told)


def test_the_grid_says_whose_gradients_it_shows_and_the_list_what_it_counts() -> None:
    scene = scene_for()
    assert grads_of(scene) == ""
    assert scene.result is not None
    with_grads = replace(scene.result, grads_BCHW=scene.result.maps_BCHW)
    scene = replace(scene, result=with_grads)
    assert grads_of(scene) == "gradients of conv1:2, guided backprop"
    frozen = chosen(scene, origin=Origin(layer="fc", unit=1), rule="gradient")
    assert grads_of(frozen) == "gradients of fc:1, gradient"
    of_class = chosen(scene, seed="score")
    assert grads_of(of_class) == "gradients of the class score, guided backprop"
    of_neuron = chosen(scene, seed="score", position=(3, 5))
    assert grads_of(of_neuron) == "gradients of conv1:2, guided backprop"
    assert bar_words.classes_title(scene) == "top classes"
    dense_BKHW = torch.zeros(1, 3, 4, 4)
    heat = replace(scene, result=replace(with_grads, dense_BKHW=dense_BKHW))
    assert bar_words.classes_title(heat) == "output map"
    labels_BHW = torch.zeros(1, 4, 4, dtype=torch.int64)
    labelled = replace(with_grads, dense_BKHW=dense_BKHW, labels_BHW=labels_BHW)
    assert bar_words.classes_title(replace(scene, result=labelled)) == "share of pixels"


def test_a_narrow_status_line_says_all_in_fewer_words(compositor: Compositor) -> None:
    name = "blocks.12.conv_dw"
    layers = (replace(LAYERS[0], name=name), LAYERS[1])
    result = replace(result_for(), selection=replace(result_for().selection, layer=name))
    for width, rule, rate in ((1000, "guided", "→"), (1280, "guided backprop", "captured")):
        scene = scene_for((700, width), result=result, layers=layers, labels=("Maltese dog",) * 3)
        pixels(compositor, scene)
        left = [word.text.strip() for word in compositor._chrome._words["status"]]
        right = [word.text.strip() for word in compositor._chrome._words["rates"]]
        assert rule in left
        assert left[-1] == "Maltese dog", left
        assert not any("…" in word for word in (*left, *right))
        assert rate in right
        assert "dropped" in " ".join(right)


@pytest.mark.parametrize(
    ("choice", "display", "end"),
    [
        ({"region": (120, 101, 48, 139)}, {}, "(120, 101), 48×139 px"),
        ({}, {"gamma": 0.7, "unit_boost": 0.5}, "Maltese dog"),
        ({"origin": Origin(layer="classifier", unit=285)}, {}, "Maltese dog"),
    ],
)
def test_the_status_line_has_room_for_what_the_user_adds(
    compositor: Compositor, choice: dict[str, object], display: dict[str, object], end: str
) -> None:
    name = "blocks.12.conv_dw"
    layers = (replace(LAYERS[0], name=name), LAYERS[1])
    selection = replace(result_for().selection, layer=name, **choice)  # type: ignore[arg-type]
    result = replace(result_for(), selection=selection)
    scene = scene_for((800, 1280), result=result, layers=layers, labels=("Maltese dog",) * 3)
    view = replace(scene.view, selection=selection, **display)  # type: ignore[arg-type]
    pixels(compositor, replace(scene, view=view))
    words = [word.text.strip() for word in compositor._chrome._words["status"]]
    assert words[-1] == end
    assert not any("…" in word for word in words)


@pytest.mark.parametrize("said", [{"hint_shown": True}, {"notice": "it was saved"}])
def test_what_is_said_at_the_bottom_leaves_the_selected_tile_free(
    compositor: Compositor, said: dict[str, object]
) -> None:
    # 1280 tiles fill the pane and more: the middle one of the last row is under the line.
    layers = (replace(LAYERS[0], num_units=1280), LAYERS[1])
    for row, is_above in ((-1, True), (0, False)):
        unit = 0
        for _ in range(2):  # the first time to learn where tiles are
            result = result_for()
            maps_BCHW = torch.zeros(1, 1280, 8, 8)
            selection = replace(result.selection, unit=unit)
            result = replace(result, maps_BCHW=maps_BCHW, selection=selection)
            scene = scene_for((700, 1280), result=result, layers=layers)
            bare = pixels(compositor, scene)
            assert compositor.layout is not None
            grid = compositor.layout.grid
            assert grid is not None
            rows = (grid.last - grid.first) // grid.num_cols
            unit = (row % rows) * grid.num_cols + grid.num_cols // 2
        tile = grid.tile(result.selection.unit or 0)
        assert tile is not None
        canvas_HW = pixels(compositor, replace(scene, view=replace(scene.view, **said)))  # type: ignore[arg-type]
        around = tile.inset(-2)
        assert np.array_equal(part(canvas_HW, around), part(bare, around))
        changed_Y = np.flatnonzero((canvas_HW != bare).any(axis=1))
        middle = grid.area.top + grid.area.height // 2
        assert (changed_Y.max() < middle) == is_above

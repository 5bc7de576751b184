"""Two networks on one input, two inputs to one network, and the difference of their numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import inks
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rtvis import cli
from rtvis.data import Frame, Health, Intervention, KeyEvent, Result, Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SourceError
from rtvis.render import bar_words
from rtvis.render.compositor import Compositor
from rtvis.render.layout import layout
from rtvis.render.pictures_plan import Sizes
from rtvis.render.readout import rank
from rtvis.render.scene import Half, Pair, Scene
from rtvis.runtime.compare import Asked
from rtvis.runtime.difference import Arranger, difference, part_of, shape_note
from rtvis.runtime.network_rival import NetworkRival
from rtvis.runtime.stream_rival import StreamRival
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from rtvis.sources import open_source
from rtvis.theme import Ink
from tests.nets import engine_of, seeded
from tests.nets_fake import FakeSource
from tests.test_cli import NET
from tests.test_compositor import CPU, part, pixels, result_for, scene_for
from tests.test_controller import Desk
from tests.waiting import wait_for

SIZE = 16


class Small(nn.Module):
    """Two convolutions and a dense layer; `units` in the second one."""

    def __init__(self, units: int = 6, name: str = "last") -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.add_module(name, nn.Conv2d(4, units, 3, stride=2, padding=1))
        self.fc = nn.Linear(units, 5)
        self.second_name = name

    def forward(self, x: Tensor) -> Tensor:
        x = self.get_submodule(self.second_name)(self.first(x).relu()).relu()
        return self.fc(x.mean(dim=(2, 3)))


def picture(seed: int, size: tuple[int, int] = (20, 24)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (*size, 3), generator=generator, dtype=torch.uint8)


def asked(image_HW3: Tensor, selection: Selection, *, is_fresh: bool = True) -> Asked:
    frame = Frame(image_HW3=image_HW3.numpy(), seq=3, captured_ns=7)
    return Asked(
        image_HW3=image_HW3,
        input_HW3=image_HW3,
        frame=frame,
        selection=selection,
        revision=2,
        is_fresh=is_fresh,
    )


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Engine, Engine]]:
    """The same network with two sets of weights."""
    with (
        engine_of(seeded(Small, seed=1), SIZE) as first,
        engine_of(seeded(Small, seed=2), SIZE) as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def paired() -> Iterator[Engine]:
    with engine_of(seeded(Small, seed=1), SIZE, batch=2) as engine:
        yield engine


def close(one: Tensor, other: Tensor) -> bool:
    assert other.abs().max() > 0, "a comparison with nothing"
    return bool((one - other).abs().max() <= 1e-5 * other.abs().max())


# Numbers


def test_two_networks_give_what_each_gives_alone_and_their_difference(
    engines: tuple[Engine, Engine],
) -> None:
    selection = Selection(layer="last", unit=4, class_index=2)
    image_HW3 = picture(0)
    first, half = NetworkRival(engines[1]).run(engines[0], asked(image_HW3, selection))
    alone = [engine.run(image_HW3, selection) for engine in engines]
    assert half.result is not None
    assert torch.equal(first.maps_BCHW, alone[0].maps_BCHW)
    assert torch.equal(half.result.maps_BCHW, alone[1].maps_BCHW)
    assert torch.equal(half.result.scores_BK, alone[1].scores_BK)
    assert (first.seq, half.result.seq, first.revision, half.note) == (3, 3, 2, "")
    found = difference(first, half.result)
    assert close(found.maps_BCHW, alone[0].maps_BCHW - alone[1].maps_BCHW)
    assert close(found.backprop_B3HW, alone[0].backprop_B3HW - alone[1].backprop_B3HW)
    unit_HW = found.maps_BCHW[0, 4]
    row, column = found.position_B2[0].tolist()
    assert abs(unit_HW[row, column]) == unit_HW.abs().max()
    assert found.value_B[0] == unit_HW[row, column]


def test_two_inputs_in_one_batch_give_what_each_gives_alone(
    engines: tuple[Engine, Engine], paired: Engine
) -> None:
    selection = Selection(layer="first", unit=1)
    one, other = picture(0), picture(1, (40, 30))
    rival = StreamRival(FakeSource())
    rival.start()
    source = rival._source
    assert isinstance(source, FakeSource)
    put(source, other)
    first, half = rival.run(paired, asked(one, selection))
    assert half.result is not None
    for found, image_HW3 in ((first, one), (half.result, other)):
        alone = engines[0].run(image_HW3, selection)
        assert close(found.maps_BCHW, alone.maps_BCHW)
        assert close(found.scores_BK, alone.scores_BK)
        assert close(found.backprop_B3HW, alone.backprop_B3HW)
        assert torch.equal(found.position_B2, alone.position_B2)
        assert found.crop == alone.crop
    assert half.image_HW3 is not None
    assert torch.equal(half.image_HW3, other)


def put(source: FakeSource, image_HW3: Tensor) -> None:
    assert source.slot is not None
    source.slot.put(Frame(image_HW3=image_HW3.numpy(), seq=0, captured_ns=1, name="second.png"))


def test_equal_inputs_differ_by_nothing(paired: Engine) -> None:
    both = paired.run([picture(0), picture(0)], Selection(layer="last"))
    found = difference(part_of(both, 0), part_of(both, 1))
    assert not found.maps_BCHW.any()
    assert not found.backprop_B3HW.any()
    assert found.value_B.item() == 0
    ranked = rank(both.scores_BK[0], both.scores_BK[1], "difference")
    assert torch.equal(ranked.pair_2T[0], ranked.pair_2T[1])


def test_a_clicked_position_stays_and_broken_numbers_are_told() -> None:
    first, second = result_for(seed=0), result_for(seed=1)
    first = replace(first, selection=replace(first.selection, position=(3, 5)))
    first = replace(first, position_B2=torch.tensor([[3, 5]]))
    second = replace(second, health_B=torch.tensor([Health.MAPS_NAN | Health.GRADIENT_ZERO]))
    found = difference(first, second)
    assert found.position_B2.tolist() == [[3, 5]]
    expected = first.maps_BCHW[0, 2, 3, 5] - second.maps_BCHW[0, 2, 3, 5]
    assert found.value_B.item() == expected
    assert found.health_B.item() == Health.MAPS_NAN
    assert torch.equal(found.scores_BK, first.scores_BK)
    assert found.grads_BCHW is None
    grads_BCHW = torch.full_like(first.maps_BCHW, 3.0)
    found = difference(
        replace(first, grads_BCHW=grads_BCHW), replace(second, grads_BCHW=grads_BCHW / 6)
    )
    assert found.grads_BCHW is not None
    assert (found.grads_BCHW == 2.5).all()


def test_classes_are_ranked_by_what_is_shown() -> None:
    # Probabilities 1/2, 1/4, 1/4 and 1/8, 1/8, 3/4.
    one, other = torch.tensor([2.0, 1.0, 1.0]).log(), torch.tensor([1.0, 1.0, 6.0]).log()
    first = rank(one, other, "first")
    assert first.classes_T[0] == 0
    assert first.top_T.tolist() == pytest.approx([0.5, 0.25, 0.25])
    second = rank(one, other, "second")
    assert second.classes_T[0] == 2
    assert second.top_T[0] == pytest.approx(0.75)
    apart = rank(one, other, "difference")
    assert apart.classes_T.tolist() == [2, 0, 1]
    assert apart.pair_2T[:, 0].tolist() == pytest.approx([0.25, 0.75])


# Whose weights


@pytest.mark.parametrize(
    ("first", "second", "note"),
    [
        (("a", "random weights"), ("b", ""), "A: random weights"),
        (("a", ""), ("b", "weights x.pt"), "B: weights x.pt"),
        (("a", "weights y.pt"), ("b", "weights x.pt"), "A: weights y.pt, B: weights x.pt"),
        (("a", "random weights"), ("b", "random weights"), "random weights"),
        (("a", "random weights"), ("a", ""), ""),  # it is what they are called below the picture
        (("a", ""), ("b", ""), ""),
    ],
)
def test_the_header_says_of_which_network_weights_are_random(
    first: tuple[str, str], second: tuple[str, str], note: str
) -> None:
    one, other = (SimpleNamespace(network=n, weights_note=w, layers=()) for n, w in (first, second))
    rival = NetworkRival(cast("Engine", other))
    assert rival.weights_note(cast("Engine", one)) == note


def test_two_sets_of_weights_are_called_by_their_files() -> None:
    files = ("weights first.pth", ""), ("random weights", "weights second.pth")
    for notes, names in zip(
        files, (("first.pth", "pretrained"), ("random weights", "second.pth")), strict=True
    ):
        one, other = (SimpleNamespace(network="n", weights_note=w, layers=()) for w in notes)
        assert NetworkRival(cast("Engine", other)).names(cast("Engine", one), "") == names


def test_the_header_warns_of_random_weights_alone() -> None:
    for note, colour in (
        ("random weights", Ink.WARNING),
        ("A: weights mine.pth, B: random weights", Ink.WARNING),
        ("weights mine.pth", Ink.TEXT),
    ):
        (run,) = (
            each
            for each in bar_words.header(Scene(view=View(), layers=(), weights_note=note))
            if each.text == note
        )
        assert run.colour == colour


# What the other network does not have


@pytest.mark.parametrize(
    ("network", "selection", "note"),
    [
        (lambda: Small(name="other"), Selection(layer="last", unit=4), "Small has no layer last"),
        (
            lambda: Small(units=3),
            Selection(layer="last", unit=4),
            "Small has no unit 4 in last, only 3",
        ),
        (lambda: Small(units=3), Selection(layer="last", unit=2, position=(7, 7)), ""),
    ],
)
def test_what_the_second_network_lacks_is_said_and_the_rest_is_shown(
    engines: tuple[Engine, Engine],
    network: Callable[[], nn.Module],
    selection: Selection,
    note: str,
) -> None:
    with engine_of(seeded(network), SIZE) as other:
        rival = NetworkRival(other)
        _, half = rival.run(engines[0], asked(picture(0), selection))
        assert half.note == note
        assert half.result is not None
        assert torch.equal(half.result.scores_BK, other.run(picture(0)).scores_BK)


def test_changes_of_units_go_to_both_where_both_have_them(engines: tuple[Engine, Engine]) -> None:
    changes = (
        Intervention(layer="first", unit=1, scale=0.0),
        Intervention(layer="last", unit=5, scale=2.0),
    )
    selection = Selection(layer="first", unit=0, interventions=changes)
    with engine_of(seeded(lambda: Small(units=3)), SIZE) as other:
        _, half = NetworkRival(other).run(engines[0], asked(picture(0), selection))
        assert half.result is not None
        assert half.result.selection.interventions == changes[:1]


def test_maps_of_other_shapes_are_not_subtracted_and_it_says_so() -> None:
    one = result_for()
    other = replace(one, maps_BCHW=torch.zeros(1, 6, 4, 4))
    assert shape_note(one, one) == ""
    scene = paired_scene(one, other, compared="difference")
    assert scene.maps_note == "no difference to show: A has 6 maps of 8×8, B 6 maps of 4×4"
    smaller = replace(result_for(seed=1), backprop_B3HW=torch.zeros(1, 3, 16, 16))
    scene = paired_scene(one, smaller, compared="difference")
    assert scene.maps_note == ""
    assert scene.backward_note == "A and B have inputs of different sizes"


def paired_scene(
    first: Result, second: Result | None, *, note: str = "", same_classes: bool = True, **of_view
) -> Scene:
    scene = scene_for(result=first, **of_view)
    other_image = picture(5, (60, 80)) if second is not None else None
    pair = Pair(
        first=Half(name="one.png", image_HW3=scene.image_HW3, result=first),
        second=Half(
            name="two.png", image_HW3=other_image, result=second, labels=scene.labels, note=note
        ),
        same_classes=same_classes,
    )
    return Arranger().arrange(scene, pair, second_layer=scene.layers[0])


def test_the_view_chooses_what_the_panes_show() -> None:
    one, other = result_for(seed=0), result_for(seed=1)
    assert paired_scene(one, other, compared="first").result is one
    second = paired_scene(one, other, compared="second")
    assert second.result is other
    assert second.image_HW3 is second.pair.second.image_HW3
    both = paired_scene(one, other, compared="difference")
    assert torch.equal(both.result.maps_BCHW, one.maps_BCHW - other.maps_BCHW)
    waiting = paired_scene(one, None, compared="second")
    assert waiting.maps_note == "waiting for B"
    lacking = paired_scene(one, other, note="B has no layer x", compared="second")
    assert (lacking.result, lacking.maps_note) == (one, "B has no layer x")


def test_a_layer_that_differs_in_the_second_network_is_shown_as_it_is_there() -> None:
    one = result_for()
    other = replace(one, maps_BCHW=torch.randn(1, 4, 5, 5))
    scene = paired_scene(one, other, compared="second")
    small = replace(scene.layers[0], num_units=4, map_size=(5, 5), index=3)
    arranged = Arranger().arrange(
        scene_for(result=one, compared="second"), scene.pair, second_layer=small
    )
    assert arranged.layers[0] == replace(small, index=0)
    assert arranged.layers[1] is scene.layers[1]
    compositor = Compositor(CPU)
    compositor.compose(arranged)
    assert compositor.layout.grid.num == 4


# On the screen


def test_two_equal_ones_leave_the_grid_black_and_unequal_ones_do_not() -> None:
    one, other = result_for(seed=0), result_for(seed=1)
    for second, is_black in ((one, True), (other, False)):
        compositor = Compositor(CPU)
        canvas_HW = pixels(compositor, paired_scene(one, second, compared="difference"))
        tile = compositor.layout.grid.tile(4)
        assert (part(canvas_HW, tile) == inks.BACKGROUND).all() == is_black


@pytest.mark.parametrize("size", [(700, 1000), (800, 1280), (1080, 1920)])
def test_both_pictures_lie_in_the_input_pane_side_by_side(size: tuple[int, int]) -> None:
    one, other = result_for(seed=0), result_for(seed=1)
    compositor = Compositor(CPU)
    scene = paired_scene(one, other, compared="first", canvas_size=size, cam_shown=False)
    # Flat pictures, so that what is drawn can be told from what is not.
    flat = [torch.full((60, 80, 3), level, dtype=torch.uint8) for level in (200, 90)]
    pair = replace(
        scene.pair,
        first=replace(scene.pair.first, image_HW3=flat[0], result=replace(one, crop=None)),
        second=replace(scene.pair.second, image_HW3=flat[1], result=replace(other, crop=None)),
    )
    canvas_HW = pixels(compositor, replace(scene, pair=pair))
    plan = compositor.layout
    left, right, pane = plan.images["input"], plan.images["second"], plan.panes["input"]
    assert (part(canvas_HW, left) == 200 * 0x010101).all()
    assert (part(canvas_HW, right) == 90 * 0x010101).all()
    assert left.right < right.left
    assert pane.contains(left.left, left.top)
    assert pane.contains(right.right - 1, right.bottom - 1)


def test_classes_show_both_probabilities_and_their_difference() -> None:
    one, other = result_for(seed=0), result_for(seed=1)
    other = replace(other, scores_BK=torch.tensor([[0.0, 2.0, 1.0]]))
    compositor = Compositor(CPU)
    compositor.compose(paired_scene(one, other, compared="difference"))
    shares = torch.tensor([2.0, 0.0, 1.0]).softmax(0).tolist()
    readout = compositor.readout
    assert {index for index, _ in readout.top[:2]} == {0, 1}
    place = [index for index, _ in readout.top].index(0)
    assert readout.top_pair[place] == pytest.approx((shares[0], shares[1]))
    text = words(compositor)
    difference_text = f"{shares[0] - shares[1]:.2f}".removeprefix("0")
    assert difference_text in text
    assert f"−{difference_text}" in text
    # With other classes there is nothing to subtract.
    compositor.compose(paired_scene(one, other, compared="second", same_classes=False))
    assert compositor.readout.top_pair == ()
    assert "top classes of B" in words(compositor)


def words(compositor: Compositor) -> list[str]:
    return [word.text for words in compositor._chrome._words.values() for word in words]


def test_comparing_leaves_no_trace() -> None:
    one, other = result_for(seed=0), result_for(seed=1)
    plain = scene_for(result=one, range_smoothed=False)
    expected = pixels(Compositor(CPU), plain)
    compositor = Compositor(CPU)
    for compared in ("first", "second", "difference"):
        for note in ("", "B has no layer conv1"):
            for page in ("unit", "histogram", "correlation"):
                scene = paired_scene(
                    one, other, note=note, compared=compared, page=page, range_smoothed=False
                )
                drawn = pixels(compositor, scene)
                assert np.array_equal(drawn, pixels(Compositor(CPU), scene)), (compared, note)
    pixels(compositor, paired_scene(one, None, compared="second", note="waiting for two.png"))
    assert np.array_equal(pixels(compositor, plain), expected)


def test_why_there_is_nothing_to_show_stands_in_the_pane() -> None:
    compositor = Compositor(CPU)
    scene = paired_scene(result_for(), result_for(seed=1), note="B lacks it", compared="second")
    compositor.compose(scene)
    assert "B lacks it" in words(compositor), "in the status line"
    # Nor are numbers told of a unit that is not there; its layer's name is.
    told = words(compositor)
    assert "layer" in told
    assert not {"value", "unit's range", "gradient up to"} & set(told)
    apart = paired_scene(result_for(), result_for(seed=1), compared="difference")
    other = Compositor(CPU)
    other.compose(apart)
    assert "A − B" in [word.text.strip() for word in other._chrome._words["status"]]
    shown = compositor._chrome._shown
    assert [shown[f"message {pane}"][1] for pane in ("grid", "unit", "backprop")] == [
        "B lacks it"
    ] * 3
    assert compositor.readout.value != 0
    assert not [word for word in words(compositor) if word.startswith("max")]


# Keys and clicks


def test_a_key_and_a_button_go_from_one_to_the_other_to_their_difference() -> None:
    desk = Desk(compared="first")
    assert [desk.press("/").compared for _ in range(3)] == ["second", "difference", "first"]
    button = desk.draw().button("compared")
    assert button is not None
    assert button.text == "A"
    assert desk.click(button.rect).compared == "second"
    desk = Desk()
    assert desk.draw().button("compared") is None
    view = desk.press("/")
    assert view.compared == "off"
    assert "--compare-network" in view.notice


def test_pictures_and_buttons_stay_inside_their_panes_while_comparing() -> None:
    desk = Desk(compared="difference")
    plan = layout(desk.view, desk.layers, sizes=Sizes(frame=(100, 400), second=(400, 100)))
    for name in ("input", "second"):
        image, pane = plan.images[name], plan.contents["input"]
        assert pane.contains(image.left, image.top)
        assert pane.contains(image.right - 1, image.bottom - 1)
    for button in plan.buttons:
        assert plan.panes[plan.pane_at(button.rect.left, button.rect.top)].contains(
            button.rect.right - 1, button.rect.bottom - 1
        )


# The loop


class Bench:
    """A Turn with a real engine and compositor over two sources that the test feeds."""

    def __init__(self, engine: Engine, *, pace: str = "live") -> None:
        self.source, self.other = FakeSource(), FakeSource()
        self.rival = StreamRival(self.other, pace=pace)  # type: ignore[arg-type]
        view = View(
            selection=Selection(layer="last"), canvas_size=(700, 1280), compared="difference"
        )
        self.session = Session(view)
        frames: LatestSlot[Frame] = LatestSlot()
        self.compositor = Compositor(CPU)
        self.turn = Turn(
            engine=engine,
            compositor=self.compositor,
            session=self.session,
            source=self.source,
            frames=frames,
            rival=self.rival,
        )
        self.source.start(frames)
        self.rival.start()

    def second_level(self) -> int | None:
        """Which frame of the second source was computed last."""
        half = self.turn.computing.second
        return None if half is None or half.image_HW3 is None else int(half.image_HW3[0, 0, 0])


def test_a_frame_of_either_side_is_computed(paired: Engine) -> None:
    bench = Bench(paired)
    bench.source.put()
    bench.turn.run()
    assert bench.second_level() is None
    assert bench.turn.composed.second is None
    bench.other.put()
    assert bench.turn.run() is not None, "the first source stands still"
    assert bench.second_level() == 0
    assert bench.turn.composed.second is not None
    assert bench.turn.figures.num_processed == 1
    assert bench.turn.run() is None, "nothing has changed"
    bench.session.update(paused=True)
    bench.other.put()
    bench.turn.run()
    assert bench.second_level() == 0, "the user holds both"
    bench.session.update(paused=False)
    bench.turn.run()
    bench.turn.run()
    assert bench.second_level() == 1


def test_at_the_pace_fast_the_frames_go_in_pairs(paired: Engine) -> None:
    bench = Bench(paired, pace="fast")
    for index in range(3):
        bench.source.put()
        late = threading.Timer(0.1, bench.other.put)
        late.start()
        bench.turn.run()
        late.join()
        assert bench.second_level() == index
    bench.other.set_state("ended")
    bench.source.put()
    bench.turn.run()
    assert bench.second_level() == 2, "the last frame of the shorter film stays"


def test_a_second_source_that_fails_is_told_while_the_first_goes_on(paired: Engine) -> None:
    bench = Bench(paired)
    bench.source.put()
    bench.other.put()
    bench.turn.run()
    assert "reconnecting" not in " ".join(words(bench.compositor))
    bench.other.set_state("reconnecting", "gone")
    assert bench.turn.run() is not None, "it is drawn, though nothing is computed"
    assert "reconnecting" in " ".join(words(bench.compositor))


def test_stepping_steps_both(paired: Engine) -> None:
    bench = Bench(paired)
    bench.session.update(paused=True)
    bench.source.put()
    bench.other.put()
    bench.turn.run()
    bench.other.step = lambda count: (bench.other.put(), "stepped")[1]
    bench.rival.step(1)
    bench.turn.run()
    assert bench.second_level() == 1, "although the picture is held"


# The program


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    for name, level in (("dark", 40), ("light", 200), ("grey", 128)):
        Image.fromarray(np.full((40, 60, 3), level, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.txt").write_text("dark.png light.png\ngrey.png dark.png\n")
    (tmp_path / "single.txt").write_text("dark.png light.png\ngrey.png\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ("--network", "net.py:Net", "--size", "32", "--compile", "off", "--device", "cpu")
HEADLESS = (*SMALL, "--view", "none", "--pace", "fast")


def saved(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(next(folder.glob("*/raw.npz"))))


def test_two_inputs_are_compared_and_recorded_without_a_window(here: Path) -> None:
    argv = [*HEADLESS, "--stream", "pairs.txt", "--compare-stream", "second"]
    assert cli.main([*argv, "--record", "out.mp4", "--save", "out"]) == 0
    numbers = saved(here / "out")
    for name, prefix in (("grey.png", ""), ("dark.png", "second.")):
        alone = [*HEADLESS, "--stream", name, "--save", f"alone-{name}"]
        assert cli.main(alone) == 0
        expected = saved(here / f"alone-{name}")
        np.testing.assert_allclose(
            numbers[f"{prefix}scores_BK"], expected["scores_BK"], rtol=1e-4, atol=1e-5
        )
    assert (here / "out.mp4").stat().st_size > 0


def test_two_sets_of_weights_are_compared(here: Path) -> None:
    argv = [*HEADLESS, "--stream", "dark.png", "--compare-weights", "random", "--save", "out"]
    assert cli.main(argv) == 0
    numbers = saved(here / "out")
    # The factory draws its weights from the same seed as "random" does.
    assert np.array_equal(numbers["scores_BK"].shape, numbers["second.scores_BK"].shape)
    state = next((here / "out").glob("*/state.yaml")).read_text()
    assert "compare_weights: random" in state
    assert "compared: first" in state


def test_a_comparison_of_networks_is_replayed(here: Path) -> None:
    (here / "b.yaml").write_text("display: {compared: difference}\n")
    run = [*HEADLESS, "--canvas", "480x800", "--stream", "pairs.txt"]
    networks = ["--compare-weights", "random", "--record", "a.mp4", "--save", "one"]
    assert cli.main([*run, "--config", "b.yaml", *networks]) == 0
    assert cli.main(["--replay", "a.mp4", "--view", "none", "--save", "again"]) == 0
    one, again = saved(here / "one"), saved(here / "again")
    for name in ("second.scores_BK", "second.maps_BCHW", "maps_BCHW"):
        assert np.array_equal(one[name], again[name]), name


def test_a_saved_comparison_holds_no_password() -> None:
    from rtvis.cli.live import _setup
    from rtvis.config import CompareConfig, Config, InputConfig

    uri = "rtsp://me:secret@host/second"
    config = Config(input=InputConfig(stream="dark.png"), compare=CompareConfig(compare_stream=uri))
    assert "secret" not in str(_setup(config))
    assert "host/second" in str(_setup(config)["compare_stream"])


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (
            ("--compare-stream", "dark.png", "--compare-weights", "random"),
            2,
            "--compare-stream: cannot be used with --compare-weights",
        ),
        (("--compare-stream", "nowhere.png"), 1, "nowhere.png: there is no such file"),
        (("--compare-network", "resnet18"), 1, "or use --compare-weights random"),
        (("--compare-stream", "second"), 1, "dark.png: is no list with two names a line"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], code: int, message: str
) -> None:
    assert cli.main([*HEADLESS, "--stream", "dark.png", *flags]) == code
    assert message in capsys.readouterr().err


def test_a_line_of_a_list_with_one_name_is_named(here: Path) -> None:
    with pytest.raises(SourceError, match=r"single\.txt:2: names one picture, not two"):
        open_source("single.txt", column=1)


def test_the_window_goes_through_what_is_compared(engines: tuple[Engine, Engine]) -> None:
    """Keys reach the picture: through the Controller and the loop to the pixels."""
    from rtvis.runtime.pipeline import Pipeline
    from rtvis.sinks.memory import MemorySink

    source = FakeSource(loose=1)
    window = MemorySink()
    view = View(selection=Selection(layer="last"), canvas_size=(700, 1280), hint_shown=False)
    pipeline = Pipeline(
        engine=engines[0],
        source=source,
        compositor=Compositor(CPU),
        session=Session(view),
        window=window,
        rival=NetworkRival(engines[1]),
    )
    assert pipeline.session.read()[0].compared == "first"
    tiles: list[np.ndarray] = []

    def play() -> None:
        wait_for(lambda: len(window.pictures) > 0)
        for expected in ("first", "second", "difference"):
            wait_for(lambda want=expected: drawn_as(pipeline) == want)
            composed = pipeline.loop.turn.composed
            assert composed is not None
            wait_for(lambda seq=composed.picture.seq: window.pictures[-1].seq >= seq)
            tiles.append(window.pictures[-1].canvas_HW3)
            window.send(KeyEvent(key="/"))
        window.send(KeyEvent(key="q"))

    script = threading.Thread(target=play)
    script.start()
    pipeline.run()
    script.join()
    grid = pipeline.controller.drawn.layout.panes["grid"]
    shown = [canvas[grid.rows, grid.columns] for canvas in tiles]
    assert not np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[1], shown[2])


def drawn_as(pipeline) -> str:
    composed = pipeline.loop.turn.composed
    return composed.view.compared if composed is not None else ""

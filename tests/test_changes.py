"""Hands on the network: what keys, clicks and the wheel do to units, and what the screen says."""

from __future__ import annotations

import itertools
from dataclasses import replace

import inks
import numpy as np
import pytest
import torch
import torch._dynamo.utils
from torch import Tensor, nn

import rtvis.engine.steps
from rtvis.data import (
    Frame,
    Intervention,
    KeyEvent,
    Layer,
    PointerEvent,
    Selection,
    SourceStatus,
    Target,
)
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import Network
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.registry import CAM_METHODS
from rtvis.render import wording
from rtvis.render.changes_plan import lay_changes
from rtvis.render.compositor import Compositor
from rtvis.render.grid import Rect
from rtvis.render.layout import Layout, layout
from rtvis.render.metrics import metrics_for
from rtvis.render.moved import NUM_MOVERS, pack_moved, unpack_moved
from rtvis.render.readout import NUM_TOP, Readout
from rtvis.runtime.commands import changing
from rtvis.runtime.commands.context import Context
from rtvis.runtime.commands.looking import reset
from rtvis.runtime.controller import Controller
from rtvis.runtime.turn import Turn
from rtvis.session import Session, View
from rtvis.slot import LatestSlot
from tests.nets import CamNet, HandNet, engine_of, seeded
from tests.nets_fake import LAYERS
from tests.test_interventions import hooked

HERE = View(selection=Selection(layer="middle", unit=5))


def context(readout: Readout | None = None, layers: tuple[Layer, ...] = LAYERS) -> Context:
    return Context(
        layers=layers,
        default_layer=2,
        cam_methods=("grad-cam",),
        num_columns=4,
        readout=readout if readout is not None else Readout(),
    )


def changes(view: View) -> dict[tuple[str, int], tuple[float, float]]:
    """(layer, unit) -> (scale, offset)."""
    found = view.selection.interventions
    assert len({(each.layer, each.unit) for each in found}) == len(found), "one for each unit"
    return {(each.layer, each.unit): (each.scale, each.offset) for each in found}


SHOWN = Readout(layer="middle", unit=5, value=3.14, position=(1, 2), low=-2.0, high=20.0, seq=0)


# The commands


def test_knocking_out_there_and_back() -> None:
    view = changing.knock_out(HERE, context())
    assert changes(view) == {("middle", 5): (0.0, 0.0)}
    assert view.page == "changes", "the first change brings the page into sight"
    assert changes(changing.knock_out(view, context())) == {}


def test_a_page_that_the_user_chose_stays_while_there_are_changes() -> None:
    view = replace(changing.knock_out(HERE, context()), page="unit")
    view = replace(view, selection=replace(view.selection, unit=6))
    view = changing.double(view, context())
    assert (view.page, len(changes(view))) == ("unit", 2)


def test_doubling_goes_2_4_8_and_back() -> None:
    view, seen = HERE, []
    for _ in range(5):
        view = changing.double(view, context())
        seen.append(changes(view).get(("middle", 5), (1.0, 0.0))[0])
    assert seen == [2.0, 4.0, 8.0, 1.0, 2.0]


def test_doubling_what_was_knocked_out_or_held_starts_at_2() -> None:
    for command in (changing.knock_out, changing.hold):
        view = changing.double(command(HERE, context(SHOWN)), context(SHOWN))
        assert changes(view) == {("middle", 5): (2.0, 0.0)}


def test_a_unit_is_held_at_the_value_on_screen_and_let_go() -> None:
    view = changing.hold(HERE, context(SHOWN))
    assert changes(view) == {("middle", 5): (0.0, 3.14)}
    # What the screen shows by then does not matter.
    assert changes(changing.hold(view, context(replace(SHOWN, value=9.0)))) == {}


@pytest.mark.parametrize(
    "readout",
    [Readout(), replace(SHOWN, unit=4), replace(SHOWN, layer="last")],
    ids=["none", "other unit", "other layer"],
)
def test_a_value_that_is_not_on_screen_holds_nothing(readout: Readout) -> None:
    view = changing.hold(HERE, context(readout))
    assert changes(view) == {}
    assert "not on screen yet" in view.notice
    assert view.notice_is_warning


def test_a_clicked_position_is_held_at_its_own_value() -> None:
    view = replace(HERE, selection=replace(HERE.selection, position=(1, 2)))
    assert changes(changing.hold(view, context(SHOWN))) == {("middle", 5): (0.0, 3.14)}
    elsewhere = replace(HERE, selection=replace(HERE.selection, position=(0, 0)))
    assert changes(changing.hold(elsewhere, context(SHOWN))) == {}


def test_a_value_behind_the_activation_cannot_be_held() -> None:
    behind = replace(SHOWN, tap="post")
    with_relu = tuple(replace(layer, activation="relu") for layer in LAYERS)
    view = changing.hold(HERE, context(behind, with_relu))
    assert changes(view) == {}
    assert "before the activation" in view.notice
    # Where no activation follows there is but one value.
    assert changes(changing.hold(HERE, context(behind))) == {("middle", 5): (0.0, 3.14)}


def test_a_value_that_is_no_number_cannot_be_held() -> None:
    view = changing.hold(HERE, context(replace(SHOWN, value=float("nan"))))
    assert changes(view) == {}
    assert "cannot be held" in view.notice


def test_units_of_several_layers_are_changed_at_once_and_keep_their_order() -> None:
    view = changing.knock_out(HERE, context())
    view = replace(view, selection=replace(view.selection, layer="classifier", unit=9))
    view = changing.double(view, context())
    view = replace(view, selection=replace(view.selection, layer="middle", unit=5))
    view = changing.double(view, context())
    assert list(changes(view).items()) == [
        (("middle", 5), (2.0, 0.0)),
        (("classifier", 9), (2.0, 0.0)),
    ]


def test_a_selection_without_a_layer_changes_the_default_one() -> None:
    view = changing.knock_out(View(), context())
    assert changes(view) == {("last", 0): (0.0, 0.0)}


def test_what_the_network_does_not_compute_with_cannot_be_changed() -> None:
    read_only = replace(LAYERS[1], kind="picture")  # type: ignore[arg-type]
    for command in (changing.knock_out, changing.double, changing.hold, changing.weaken):
        view = command(HERE, context(SHOWN, (LAYERS[0], read_only, *LAYERS[2:])))
        assert changes(view) == {}
        assert view.notice_is_warning
        assert "does not compute with what 'middle' shows" in view.notice


def test_nudges_go_by_quarters_and_end_where_they_began() -> None:
    view = changing.strengthen(HERE, context())
    assert changes(view) == {("middle", 5): (1.25, 0.0)}
    view = changing.weaken(changing.weaken(view, context()), context())
    assert changes(view) == {("middle", 5): (0.75, 0.0)}
    view = changing.nudge(view, context(), "middle", 5, steps=-4)
    assert changes(view) == {("middle", 5): (-0.25, 0.0)}
    view = changing.nudge(view, context(), "middle", 5, steps=5)
    assert changes(view) == {}, "a scale of 1 is no change"
    view = changing.nudge(view, context(), "middle", 5, steps=-1000)
    assert changes(view) == {("middle", 5): (-16.0, 0.0)}


def test_a_held_unit_is_nudged_by_a_round_step_of_its_layers_reach() -> None:
    # The layer reaches 20: a twentieth is 1. Held at 3.14, it goes on multiples of 1.
    view, seen = changing.hold(HERE, context(SHOWN)), []
    for steps in (1, 1, -4, -1, -1):
        view = changing.nudge(view, context(SHOWN), "middle", 5, steps=steps)
        seen.append(changes(view)["middle", 5])
    assert seen == [(0.0, each) for each in (4.0, 5.0, 1.0, -1.0, -2.0)], "0 would be knocked out"


def test_a_held_unit_of_a_layer_out_of_sight_is_nudged_by_its_own_size() -> None:
    # 3.14 / 20 = 0.157: the next power of ten is 0.1.
    view = changing.hold(HERE, context(SHOWN))
    view = changing.nudge(view, context(replace(SHOWN, layer="last")), "middle", 5, steps=2)
    assert changes(view) == {("middle", 5): (0.0, 3.3)}


def test_undo_goes_back_one_change_at_a_time_and_says_when_there_is_none() -> None:
    view = changing.double(changing.double(HERE, context()), context())
    view = changing.remove(view, layer="middle", unit=5)
    seen = []
    for _ in range(3):
        view = changing.undo_change(view, context())
        seen.append(changes(view).get(("middle", 5)))
    assert seen == [(4.0, 0.0), (2.0, 0.0), None]
    assert view.notice == ""
    assert changing.undo_change(view, context()).notice == "there is no change to undo"


def test_a_turn_of_the_wheel_is_undone_at_once_but_not_what_was_before_it() -> None:
    view = changing.knock_out(HERE, context())
    for _ in range(3):
        view = changing.strengthen(view, context())
    assert changes(view) == {("middle", 5): (0.75, 0.0)}
    view = replace(view, selection=replace(view.selection, unit=6))
    view = changing.strengthen(view, context())  # another unit: another change
    view = changing.undo_change(view, context())
    assert changes(view) == {("middle", 5): (0.75, 0.0)}
    view = changing.undo_change(view, context())
    assert changes(view) == {("middle", 5): (0.0, 0.0)}
    assert changes(changing.undo_change(view, context())) == {}


def test_a_nudge_after_an_undo_can_be_undone_by_itself() -> None:
    view = changing.strengthen(changing.double(HERE, context()), context())
    view = changing.undo_change(view, context())
    view = changing.strengthen(view, context())
    assert changes(changing.undo_change(view, context())) == {("middle", 5): (2.0, 0.0)}


def test_clear_takes_all_changes_away_and_can_be_undone() -> None:
    view = changing.knock_out(HERE, context())
    cleared = changing.clear_changes(view, context())
    assert cleared.selection == HERE.selection
    assert changes(changing.undo_change(cleared, context())) == {("middle", 5): (0.0, 0.0)}
    assert changing.clear_changes(cleared, context()).notice == "no unit is changed"


def test_reset_takes_all_changes_away_and_can_be_undone() -> None:
    view = reset(changing.knock_out(HERE, context()), context())
    assert changes(view) == {}
    assert changes(changing.undo_change(view, context())) == {("middle", 5): (0.0, 0.0)}


def test_the_history_is_bounded() -> None:
    view = HERE
    for _ in range(changing.MAX_UNDO + 30):
        view = changing.knock_out(view, context())
    assert len(view.earlier_changes) == changing.MAX_UNDO


def test_a_unit_is_the_same_among_the_tokens_beside_its_map() -> None:
    tokens = replace(LAYERS[1], name="middle:tokens", index=4)
    both = context(layers=(*LAYERS, tokens))
    view = changing.knock_out(HERE, both)
    view = replace(view, selection=replace(view.selection, layer="middle:tokens"))
    assert view.selection.change_of("middle:tokens", 5) is not None
    assert changes(changing.double(view, both)) == {("middle:tokens", 5): (2.0, 0.0)}
    assert changes(changing.knock_out(view, both)) == {}


# Numbers


def test_the_classes_that_moved_most_come_first_with_both_probabilities() -> None:
    # exp gives 1, 2, 1: shares .25, .5, .25; then 1, 1, 2: .25, .25, .5.
    before, after = (torch.tensor(each).log() for each in ([1.0, 2.0, 1.0], [1.0, 1.0, 2.0]))
    moved = unpack_moved(pack_moved(after, before, torch.tensor([2, 0, 1]), num_top=5).tolist())
    assert [mover.class_index for mover in moved.movers][2] == 0
    by_class = {mover.class_index: mover for mover in moved.movers}
    assert by_class[1] == pytest.approx((1, 0.5, 0.25))
    assert by_class[2].change == pytest.approx(0.25)
    assert by_class[0].change == pytest.approx(0.0)
    assert moved.top == pytest.approx((1, 0.5, 0.25)), "the untouched network's best"
    assert moved.before == pytest.approx((0.25, 0.25, 0.5)), "in the order that was asked for"


@pytest.mark.parametrize("num_classes", [1, 4, 7, 1000])
def test_the_packed_numbers_have_one_length_for_any_number_of_classes(num_classes: int) -> None:
    scores_K = torch.arange(float(num_classes))
    top_N = scores_K.topk(min(NUM_TOP, num_classes)).indices
    packed_N = pack_moved(scores_K, -scores_K, top_N, num_top=NUM_TOP)
    assert packed_N.shape == (3 * (1 + NUM_MOVERS) + NUM_TOP,)
    moved = unpack_moved(packed_N.tolist())
    assert len(moved.movers) == min(NUM_MOVERS, num_classes)
    assert len(moved.before) == min(NUM_TOP, num_classes)


@pytest.mark.parametrize(
    ("scale", "offset", "sign", "words"),
    [
        (0.0, 0.0, "out", "knocked out"),
        (0.0, -3.5, "= −3.50", "held at −3.50"),
        (2.0, 0.0, "×2", "×2"),
        (-0.25, 0.0, "×−0.25", "×−0.25"),
        (2.0, -1.5, "×2 − 1.50", "×2 − 1.50"),
    ],
)
def test_what_is_done_to_a_unit_is_said_in_a_word(
    scale: float, offset: float, sign: str, words: str
) -> None:
    change = Intervention(layer="middle", unit=5, scale=scale, offset=offset)
    assert (wording.change_sign(change), wording.change_words(change)) == (sign, words)


# The page


@pytest.mark.parametrize("size", [(480, 1100), (700, 1200), (800, 1280), (1080, 1920)])
@pytest.mark.parametrize("num", [0, 1, 5, 40])
def test_lines_and_classes_lie_below_each_other_inside_the_pane(
    size: tuple[int, int], num: int
) -> None:
    made = tuple(Intervention(layer="middle", unit=unit, scale=0.0) for unit in range(num))
    view = View(canvas_size=size, page="changes", selection=Selection(interventions=made))
    drawn = layout(view, LAYERS)
    plan, area = drawn.changes, drawn.contents["details"]
    assert plan is not None
    rects = [plan.buttons]
    rects += [plan.more] if plan.more.size else []
    rects += [*(row.rect for row in plan.rows), plan.heading, *plan.movers]
    for above, below in itertools.pairwise(rects):
        assert above.bottom <= below.top
    assert not plan.movers or plan.movers[-1].bottom <= area.bottom
    assert len(plan.rows) + plan.num_more == num
    assert [row.unit for row in plan.rows] == list(range(plan.num_more, num)), "the newest ones"
    if size[0] >= 800:
        assert len(plan.movers) >= 5


def test_classes_before_and_after_stay_in_place_however_long_the_list_is() -> None:
    metrics = metrics_for((800, 1280))
    made = [Intervention(layer="middle", unit=unit, scale=0.0) for unit in range(9)]
    plans = [lay_changes(Rect(0, 0, 430, 208), made[:num], metrics) for num in (0, 3, 9)]
    assert len({(plan.heading, plan.movers) for plan in plans}) == 1


# Key to screen, with a real network


class Source:
    name = "a picture"
    size = None
    num_frames = None

    def status(self) -> SourceStatus:
        return SourceStatus(state="live")


class Room:
    """A user before a real engine and a real canvas: events in, pictures out."""

    def __init__(
        self, engine: Engine, image_HW3: np.ndarray, *, size: tuple[int, int] = (800, 1280)
    ) -> None:
        self.engine = engine
        layers = engine.layers
        self.session = Session(
            View(canvas_size=size, selection=Selection(layer=layers[0].name, unit=0))
        )
        frames: LatestSlot[Frame] = LatestSlot()
        self.compositor = Compositor(engine.device)
        self.turn = Turn(
            engine=engine,
            compositor=self.compositor,
            session=self.session,
            source=Source(),  # type: ignore[arg-type]
            frames=frames,
        )
        self.controller = Controller(
            self.session,
            layers=layers,
            default_layer=layers[0].index,
            cam_methods=tuple(CAM_METHODS),
            lay_out=lambda view: layout(view, layers, labels=engine.labels),
            do=lambda _: None,
        )
        frames.put(Frame(image_HW3=image_HW3, seq=0, captured_ns=0))
        self.look()

    @property
    def view(self) -> View:
        return self.session.read()[0]

    @property
    def readout(self) -> Readout:
        return self.compositor.readout

    def look(self) -> np.ndarray:
        """Turns until nothing changes any more; the canvas as packed pixels."""
        for _ in range(10):
            composed = self.turn.run()
            if composed is None:
                break
            self.controller.drawn, self.canvas_HW3 = composed.drawn, composed.picture.canvas_HW3
        words_HW3 = self.canvas_HW3.astype(np.int32)
        return words_HW3[..., 2] << 16 | words_HW3[..., 1] << 8 | words_HW3[..., 0]

    @property
    def drawn(self) -> Layout:
        assert self.controller.drawn is not None
        return self.controller.drawn.layout

    def press(self, *keys: str) -> np.ndarray:
        for key in keys:
            self.controller.handle(KeyEvent(key=key))
            self.look()
        return self.look()

    def point(self, rect: Rect | None, kind: str = "down", steps: int = 0) -> np.ndarray:
        assert rect is not None
        x, y = rect.left + rect.width // 2, rect.top + rect.height // 2
        self.controller.handle(
            PointerEvent(kind=kind, x=x, y=y, button="left", wheel_steps=steps)  # type: ignore[arg-type]
        )
        return self.look()

    def tile(self, unit: int) -> Rect:
        grid = self.drawn.grid
        assert grid is not None
        rect = grid.tile(unit)
        assert rect is not None
        return rect

    def chip(self, layer: str) -> Rect:
        strip = self.drawn.strip
        rect = strip.rect(next(chip for chip in strip.chips if chip.layer == layer))
        assert rect is not None
        return rect


def num_of(canvas_HW: np.ndarray, rect: Rect, colour: int) -> int:
    return int((canvas_HW[rect.rows, rect.columns] == colour).sum())


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return seeded(lambda: CamNet(num_classes=12)).float()


@pytest.fixture(scope="module")
def engine(net: nn.Module) -> Engine:
    return engine_of(net, 16)


@pytest.fixture
def room(engine: Engine) -> Room:
    image_HW3 = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    return Room(engine, image_HW3)


def probabilities(net: nn.Module, x_BCHW: Tensor, made: tuple[Intervention, ...]) -> Tensor:
    """Of the model itself, with forward hooks that do the same."""
    with torch.no_grad(), hooked(net, made):
        scores_BK: Tensor = net(x_BCHW)
    return scores_BK[0].double().softmax(0)


def test_the_probabilities_on_screen_equal_those_of_a_hooked_model(
    room: Room, net: nn.Module
) -> None:
    room.point(room.tile(3))
    room.press("1")  # stem, unit 3: out
    room.point(room.chip("last"))
    room.point(room.tile(1))
    room.press("2", "2")  # last, unit 1: x4
    room.point(room.tile(4))
    value = room.readout.value
    room.press("3")  # last, unit 4: held
    made = room.view.selection.interventions
    assert made == (
        Intervention(layer="stem", unit=3, scale=0.0),
        Intervention(layer="last", unit=1, scale=4.0),
        Intervention(layer="last", unit=4, scale=0.0, offset=value),
    )
    x_BCHW = room.engine.preprocess(room.turn.frame.image_HW3)  # type: ignore[union-attr]
    before_K, after_K = probabilities(net, x_BCHW, ()), probabilities(net, x_BCHW, made)
    moved = room.readout.moved
    assert moved is not None
    assert float((after_K - before_K).abs().max()) > 0.01, "the changes must matter"
    assert [index for index, _ in room.readout.top] == after_K.topk(10).indices.tolist()
    for place, (index, shown) in enumerate(room.readout.top):
        assert shown == pytest.approx(float(after_K[index]), abs=1e-5)
        assert moved.before[place] == pytest.approx(float(before_K[index]), abs=1e-5)
    expected = (after_K - before_K).abs().topk(8).indices.tolist()
    assert [mover.class_index for mover in moved.movers] == expected
    for mover in moved.movers:
        assert mover.before == pytest.approx(float(before_K[mover.class_index]), abs=1e-5)
        assert mover.after == pytest.approx(float(after_K[mover.class_index]), abs=1e-5)
    assert moved.top.class_index == int(before_K.argmax())


def test_knocking_out_moves_the_classes_as_on_paper() -> None:
    # HandNet on white pixels (255 -> 1): u0 = 0, u1 = 1; v0 = -1 -> 0, v1 = 3: s = (-3, 6.5).
    # Without v1: s = (0, 0.5), and the second class falls from 1 / (1 + e^-9.5) = .999925 to
    # 1 / (1 + e^-0.5) = .622459.
    image_HW3 = np.full((2, 2, 3), 255, np.uint8)
    plain = Preprocessing(size=(2, 2), mean=(0.0,) * 3, std=(1.0,) * 3)
    network = Network(
        model=HandNet().eval(), name="hand", preprocessing=plain, labels=None, weights_note=""
    )
    room = Room(Engine(network, device="cpu", compile="off"), image_HW3)
    room.point(room.chip("conv2"))
    room.point(room.tile(1))
    room.press("1")
    moved = room.readout.moved
    assert moved is not None
    assert moved.top == pytest.approx((1, 0.9999251539, 0.6224593312))
    assert [abs(mover.change) for mover in moved.movers] == pytest.approx([0.3774658226] * 2)


def test_keys_and_clicks_trace_and_compile_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a change must not trace or compile anything")

    graphs = dict(torch._dynamo.utils.counters["stats"])
    monkeypatch.setattr(rtvis.engine.steps, "flatten", refuse)
    monkeypatch.setattr(rtvis.engine.steps, "build_pieces", refuse)
    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr("torch.fx.experimental.proxy_tensor.make_fx", refuse)
    num_before = room.turn.num_faults
    room.press("1", "2", "3", "right", "2", "o", "1", "[", "]", "]", "4", "7", "4", "backspace")
    assert room.turn.num_faults == num_before == 0
    assert dict(torch._dynamo.utils.counters["stats"]) == graphs


def test_changed_units_and_layers_wear_a_corner(room: Room) -> None:
    assert inks.CHANGED not in room.look()
    room.point(room.tile(2))
    canvas_HW = room.press("1")
    tile, chip = room.tile(2), room.chip("stem")
    corner = Rect(tile.top, tile.right - 4, 4, 4)
    assert num_of(canvas_HW, corner, inks.CHANGED) == 16
    assert num_of(canvas_HW, room.tile(1), inks.CHANGED) == 0
    assert canvas_HW[chip.top, chip.right - 1] == inks.CHANGED
    assert num_of(canvas_HW, room.chip("last"), inks.CHANGED) == 0
    room.point(room.chip("last"))
    canvas_HW = room.look()
    assert all(num_of(canvas_HW, room.tile(unit), inks.CHANGED) == 0 for unit in range(5))
    assert canvas_HW[chip.top, chip.right - 1] == inks.CHANGED
    assert inks.CHANGED not in room.press("7")


def test_the_status_line_and_the_unit_say_what_is_changed(room: Room) -> None:
    canvas_HW = room.press("1")
    assert num_of(canvas_HW, room.drawn.panes["status"], inks.CHANGED) > 20, "1 change"
    title = room.drawn.panes["unit"]
    title = Rect(title.top, title.left, room.drawn.metrics.title, title.width)
    assert num_of(canvas_HW, title, inks.CHANGED) > 40, "knocked out, and the lit button"


def test_a_narrow_window_still_says_what_the_changes_do(engine: Engine) -> None:
    image_HW3 = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    room = Room(engine, image_HW3, size=(700, 1000))
    assert "details" not in room.drawn.panes
    before = room.look()
    canvas_HW = room.press("1")
    status = room.drawn.panes["status"]
    assert num_of(before, status, inks.CHANGED) == 0
    assert num_of(canvas_HW, status, inks.CHANGED) > 20
    assert room.drawn.button("knock-out") is not None, "and the buttons are there"


def test_each_line_of_the_list_answers_the_pointer_and_takes_its_change_back(room: Room) -> None:
    room.press("1", "right", "2")
    plan = room.drawn.changes
    assert plan is not None
    first = plan.rows[0].rect
    assert room.controller.drawn is not None
    assert room.controller.drawn.hit(first.left + 5, first.top + 5) == Target(
        kind="change", pane="details", layer="stem", unit=0
    )
    plain = num_of(room.look(), first, inks.LIT)
    lit = num_of(room.point(first, kind="move"), first, inks.LIT)
    assert (plain, lit > first.size // 2) == (0, True)
    room.point(first)
    assert changes(room.view) == {("stem", 1): (2.0, 0.0)}
    room.press("4")
    assert changes(room.view) == {("stem", 0): (0.0, 0.0), ("stem", 1): (2.0, 0.0)}


def test_the_wheel_over_the_page_nudges_the_line_under_it_or_else_the_selected_unit(
    room: Room,
) -> None:
    room.press("1", "right")
    plan = room.drawn.changes
    assert plan is not None
    room.point(plan.heading, kind="wheel", steps=2)
    assert changes(room.view) == {("stem", 0): (0.0, 0.0), ("stem", 1): (1.5, 0.0)}
    room.point(plan.rows[0].rect, kind="wheel", steps=-1)
    assert changes(room.view) == {("stem", 0): (-0.25, 0.0), ("stem", 1): (1.5, 0.0)}
    room.session.update(page="unit")
    room.look()
    room.point(plan.heading, kind="wheel", steps=1)
    assert changes(room.view) == {("stem", 0): (-0.25, 0.0), ("stem", 1): (1.5, 0.0)}


def test_the_bars_of_the_top_classes_show_where_they_would_end_untouched(room: Room) -> None:
    room.press("1")
    canvas_HW = room.press("9")  # away from the page, whose own bars have that colour
    moved = room.readout.moved
    assert moved is not None
    row, metrics = room.drawn.class_rows[0], room.drawn.metrics
    track = canvas_HW[row.top + metrics.row + 1, row.columns]
    marked = np.flatnonzero(track == inks.CHANGED)
    assert 0 < len(marked) <= 4
    assert abs(marked.mean() - moved.before[0] * row.width) <= 2


def test_scores_before_and_after_are_gone_with_the_changes(room: Room) -> None:
    room.press("1")
    assert room.readout.moved is not None
    room.press("7")
    assert room.readout.moved is None

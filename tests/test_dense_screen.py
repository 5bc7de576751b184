"""A dense output on the screen: label picture, legend, clicked pixels, the key and the button."""

from __future__ import annotations

from dataclasses import replace

import inks
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rtvis.data import (
    Crop,
    ImageU8,
    KeyEvent,
    PointerEvent,
    Result,
    Selection,
    SourceStatus,
    Target,
)
from rtvis.engine.engine import Engine
from rtvis.render import lut
from rtvis.render.class_colours import (
    EYES,
    HUE_GAPS,
    NUM_COLOURS,
    as_lab,
    class_colour,
    class_colours,
    hue_between,
    seen_by,
)
from rtvis.render.class_rows import class_rows
from rtvis.render.compositor import Compositor
from rtvis.render.cover import cover
from rtvis.render.grid import Rect
from rtvis.render.hover_words import hover_text
from rtvis.render.label_picture import (
    background_classes,
    class_shares,
    heat,
    labels_over,
    labels_over_host,
)
from rtvis.render.layout import Layout
from rtvis.render.pixels import lay_pixels
from rtvis.render.scene import Half, Pair, Scene
from rtvis.runtime.controller import Controller
from rtvis.runtime.drawn import Drawn
from rtvis.session import Session, View
from rtvis.theme import Ink
from tests.nets import engine_of

CPU = torch.device("cpu")
LABELS = ("__background__", "red", "green", "blue")


class Primaries(nn.Module):
    """Scores of red, green and blue at every second pixel: the pixel's own channels.

    Background scores 0.5 everywhere. The convolutions are identities, so that every number can be
    read off the picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 3, 1, bias=False)
        self.every_second = nn.Conv2d(3, 3, 2, stride=2, bias=False)
        self.head = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.same.weight.copy_(torch.eye(3)[:, :, None, None])
            self.every_second.weight.zero_()
            self.every_second.weight[:, :, 0, 0] = torch.eye(3)
            self.head.weight.zero_()
            self.head.weight[1:, :, 0, 0] = torch.eye(3)
            self.head.bias.copy_(torch.tensor([0.5, 0, 0, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.every_second(self.same(x).relu()))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return engine_of(Primaries().eval(), (40, 60), labels=LABELS)


def picture() -> ImageU8:
    """40 rows, 60 columns: the left third red, then green, then black; a blue square in the red."""
    image_HW3 = np.zeros((40, 60, 3), np.uint8)
    image_HW3[:, :20, 0] = 255
    image_HW3[:, 20:40, 1] = 255
    image_HW3[10:20, 4:14] = (0, 0, 255)
    return image_HW3


def network_input() -> Tensor:
    return torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255


def result_of(engine: Engine, selection: Selection) -> Result:
    # The whole picture as it is, so that output pixel (r, c) is picture pixel (2 r, 2 c).
    return replace(
        engine.run(network_input(), selection),
        crop=Crop(top=0.0, left=0.0, height=40.0, width=60.0),
    )


class Desk:
    """Engine, compositor and controller as the loop has them: every event is followed by a turn."""

    def __init__(self, engine: Engine, **view: object) -> None:
        self.engine = engine
        self.compositor = Compositor(CPU)
        self.session = Session(View(**{"canvas_size": (800, 1280), "hint_shown": False, **view}))  # type: ignore[arg-type]
        self.controller = Controller(
            self.session,
            layers=engine.layers,
            default_layer=engine.default_cam_layer.index,
            cam_methods=("grad-cam", "layercam"),
            lay_out=lambda _: self.layout,
            do=lambda effect: pytest.fail(f"{effect} was asked for"),
        )
        self.turn()

    @property
    def layout(self) -> Layout:
        assert self.compositor.layout is not None
        return self.compositor.layout

    @property
    def view(self) -> View:
        return self.session.read()[0]

    def turn(self) -> ImageU8:
        view = self.view
        self.result = result_of(self.engine, view.selection)
        scene = Scene(
            view=view,
            layers=self.engine.layers,
            image_HW3=torch.from_numpy(picture()),
            result=self.result,
            labels=LABELS,
            source=SourceStatus(state="live"),
        )
        words_HW = self.compositor.compose(scene)
        top = tuple(index for index, _ in self.compositor.readout.top)
        self.controller.drawn = Drawn(self.layout, top)
        height, width = words_HW.shape
        self.canvas = words_HW.numpy().view(np.uint8).reshape(height, width, 4)[..., 2::-1].copy()
        self.scene = scene
        return self.canvas

    def over(self, row: int, column: int) -> tuple[int, int]:
        """(x, y) of the canvas over the middle of a pixel of the output."""
        assert self.layout.pixels is not None
        rect = self.layout.pixels.rect((row, column, 1, 1))
        assert rect is not None
        return rect.left + rect.width // 2, rect.top + rect.height // 2

    def pointer(self, x: int, y: int, kind: str = "down") -> View:
        self.controller.handle(PointerEvent(kind=kind, x=x, y=y, button="left"))  # type: ignore[arg-type]
        self.turn()
        return self.view

    def press(self, key: str) -> View:
        self.controller.handle(KeyEvent(key=key))
        self.turn()
        return self.view

    def click_button(self, name: str) -> View:
        button = self.layout.button(name)
        assert button is not None, f"no button {name}"
        return self.pointer(button.rect.left + 4, button.rect.top + 4)


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


# Colours


def test_the_colours_of_classes_differ_for_normal_and_for_colour_blind_eyes() -> None:
    rgb_K3 = class_colours().astype(float)
    assert len(rgb_K3) == NUM_COLOURS
    for eye in EYES:
        lab_K3 = as_lab(seen_by(rgb_K3, eye))
        apart_KK = np.linalg.norm(lab_K3[:, None] - lab_K3[None], axis=2)
        np.fill_diagonal(apart_KK, np.inf)
        # 2.3 is a difference that is just noticed; VOC has 21 classes, most pictures five.
        assert apart_KK.min() > 10
        assert apart_KK[:21, :21].min() > 14
        assert apart_KK[:5, :5].min() > 50


def test_no_class_has_a_colour_that_means_something_on_the_canvas() -> None:
    lab_K3 = as_lab(class_colours().astype(float))
    for word, gap in HUE_GAPS.items():
        meant_3 = as_lab(np.array([lut.channels(word)], float))[0]
        assert hue_between(lab_K3, meant_3).min() > gap
    assert set(HUE_GAPS) == {inks.SELECTED, inks.SOURCE, inks.WARNING}


def test_a_class_beyond_the_table_has_a_colour_again() -> None:
    assert class_colour(NUM_COLOURS + 3) == class_colour(3)
    assert lut.channels(class_colour(0)) == tuple(class_colours()[0])


# Label picture


def test_shares_count_the_pixels_of_each_class() -> None:
    labels_HW = torch.tensor([[0, 2, 2], [2, 4, 0]])
    assert class_shares(labels_HW, 5).tolist() == [2 / 6, 0, 3 / 6, 0, 1 / 6]


def test_a_heat_begins_at_zero_whatever_the_output_s_range_is() -> None:
    assert heat(torch.tensor([[[-3.0, -1.0], [0.5, -2.0]]])).tolist() == [[0, 2], [3.5, 1]]


def test_the_label_picture_has_the_colour_of_the_best_class_of_each_pixel() -> None:
    labels_HW = torch.tensor([[1, 2], [0, 1]])
    photo_HW3 = np.full((4, 4, 3), 100, np.uint8)
    over_HW3 = labels_over_host(photo_HW3, labels_HW, cover(None, (4, 4), (4, 4)), (0,))
    colours = class_colours().astype(int)
    for row in range(4):
        for column in range(4):
            best = int(labels_HW[row // 2, column // 2])
            # 0.6 of the colour over 0.4 of the photograph; none at all over the background.
            expected = colours[best] * 0.6 + 100 * 0.4 if best else np.full(3, 100)
            assert np.abs(over_HW3[row, column] - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("crop", [None, Crop(top=3, left=5, height=8, width=12)])
def test_the_host_s_label_picture_is_the_device_s(crop: Crop | None) -> None:
    generator = torch.Generator().manual_seed(1)
    labels_HW = torch.randint(0, 40, (7, 9), generator=generator)
    photo_HW3 = torch.randint(0, 256, (20, 30, 3), generator=generator, dtype=torch.uint8)
    view = cover(crop, (20, 30), (20, 30))
    seen_HW3 = photo_HW3[view.seen]
    host = labels_over_host(seen_HW3.numpy(), labels_HW, view, (3, 7))
    device = labels_over(seen_HW3, labels_HW, view, (3, 7))
    assert np.abs(host.astype(int) - device.numpy().astype(int)).max() <= 1
    assert len(np.unique(host)) > 50


def test_background_is_told_by_its_name() -> None:
    assert background_classes(LABELS) == (0,)
    assert background_classes(("void", "cat", "background")) == (0, 2)
    assert background_classes(None) == ()


# Pixels under the pointer


@pytest.mark.parametrize(
    "crop",
    [
        None,
        Crop(top=0, left=40, height=240, width=240),
        Crop(top=-60, left=0, height=360, width=320),  # a letterbox reaches beyond the picture
    ],
)
@pytest.mark.parametrize("output_size", [(33, 33), (520, 520), (7, 11)])
def test_every_pixel_is_found_where_it_is_drawn(
    crop: Crop | None, output_size: tuple[int, int]
) -> None:
    image = Rect(50, 8, 180, 240)
    pixels = lay_pixels(image, frame_size=(240, 320), crop=crop, output_size=output_size)
    found = set()
    for y in range(image.top - 3, image.bottom + 3):
        for x in range(image.left - 3, image.right + 3):
            pixel = pixels.at(x, y)
            if pixel is None:
                continue
            assert 0 <= pixel[0] < output_size[0]
            assert 0 <= pixel[1] < output_size[1]
            found.add(pixel)
            rect = pixels.rect((*pixel, 1, 1))
            assert rect is not None
            assert rect.contains(x, y)
    assert len(found) > min(50, output_size[0] * output_size[1] // 2)
    whole = pixels.rect((0, 0, *output_size))
    assert whole is not None
    assert (whole.height, whole.width) == tuple(s.stop - s.start for s in pixels.view.seen)
    assert pixels.at(image.left - 1, image.top) is None


# The whole way


def test_the_canvas_shows_the_label_of_each_pixel_and_a_click_selects_it(desk: Desk) -> None:
    assert desk.result.labels_BHW is not None
    colours = class_colours().astype(int)
    for row, column, best in [(2, 1, 1), (2, 15, 2), (7, 5, 3), (10, 25, 0)]:
        assert int(desk.result.labels_BHW[0, row, column]) == best
        x, y = desk.over(row, column)
        photo = picture()[2 * row, 2 * column].astype(int)
        expected = colours[best] * 0.6 + photo * 0.4 if best else photo
        assert np.abs(desk.canvas[y, x].astype(int) - expected).max() <= 2
    view = desk.pointer(*desk.over(7, 5))
    assert view.selection.region == (7, 5, 1, 1)
    assert view.selection.class_index is None
    assert desk.result.class_index_B.tolist() == [3]
    assert desk.result.scores_BK.tolist() == [[0.5, 0.0, 0.0, 1.0]]
    assert desk.compositor.readout.class_index == 3
    assert not view.hint_shown
    assert (view.labels_shown, view.cam_shown) == (False, True), "the explanation is seen"
    again = desk.pointer(*desk.over(7, 5))
    assert again.selection.region is None
    # 600 output pixels: 175 red, 25 blue, 200 green, 200 black.
    assert desk.result.scores_BK[0].tolist() == pytest.approx([0.5, 175 / 600, 200 / 600, 25 / 600])


def test_the_selected_pixel_is_framed_on_the_canvas(desk: Desk) -> None:
    x, y = desk.over(7, 5)
    before = desk.canvas
    desk.pointer(x, y)
    desk.pointer(0, 0, kind="leave")
    assert desk.layout.pixels is not None
    rect = desk.layout.pixels.rect((7, 5, 1, 1))
    assert rect is not None
    frame = desk.canvas[rect.top - 1, rect.left - 1 : rect.right + 1]
    assert (frame == np.array(lut.channels(inks.TEXT))).all()
    assert not (before[rect.top - 1, rect.left - 1] == frame[0]).all()


def test_the_legend_has_swatch_name_and_share_of_the_pixels(desk: Desk) -> None:
    rows = list(class_rows(desk.scene, desk.compositor.readout, 5))
    # Equal shares keep the order of the classes: topk is only sure of the values.
    assert {(row.name, row.text) for row in rows[:2]} == {
        ("__background__", ".33"),
        ("green", ".33"),
    }
    assert [(row.name, row.text) for row in rows[2:4]] == [("red", ".29"), ("blue", ".04")]
    assert rows[4].swatch is None
    assert rows[4].name == ""
    swatches = {row.name: row.swatch for row in rows[:4]}
    assert swatches["red"] == class_colour(1)
    assert swatches["__background__"] is Ink.PANEL
    place = [row.name for row in rows].index("red")
    rect = desk.layout.class_rows[place]
    metrics = desk.layout.metrics
    y, x = rect.top + metrics.row // 2, rect.left + metrics.text.size * 3 // 8
    assert tuple(desk.canvas[y, x]) == lut.channels(class_colour(1))


def test_a_click_on_the_legend_explains_that_class(desk: Desk) -> None:
    rows = [row.name for row in class_rows(desk.scene, desk.compositor.readout, 5)]
    rect = desk.layout.class_rows[rows.index("blue")]
    view = desk.pointer(rect.left + 40, rect.top + 4)
    assert view.selection.class_index == 3
    assert desk.result.class_index_B.tolist() == [3]
    view = desk.pointer(rect.left + 40, rect.top + 4, kind="double")
    assert (view.selection.layer, view.selection.unit) == ("head", 3)


def test_a_double_click_on_the_legend_starts_at_the_class_s_score_in_a_selected_pixel(
    desk: Desk,
) -> None:
    desk.pointer(*desk.over(7, 5))
    rows = [row.name for row in class_rows(desk.scene, desk.compositor.readout, 5)]
    rect = desk.layout.class_rows[rows.index("blue")]
    view = desk.pointer(rect.left + 40, rect.top + 4, kind="double")
    assert (view.selection.seed, view.selection.class_index) == ("score", 3)
    assert view.selection.region == (7, 5, 1, 1)
    # Blue's score there is the blue of picture pixel (14, 10), and of nothing else.
    assert desk.result.backprop_B3HW[0].nonzero().tolist() == [[2, 14, 10]]


def alone_and_second(engine: Engine, **view: object) -> tuple[Scene, Scene]:
    """The picture by itself, and as the second of a batch behind a black one."""
    black_and_it = torch.cat((torch.zeros_like(network_input()), network_input()))
    crop = Crop(top=0.0, left=0.0, height=40.0, width=60.0)
    scenes = []
    for index, x in enumerate((network_input(), black_and_it)):
        result = engine.run(x, Selection(layer="same", cam="layercam", class_index=2))
        scenes.append(
            Scene(
                view=View(canvas_size=(800, 1280), hint_shown=False, **view),  # type: ignore[arg-type]
                layers=engine.layers,
                image_HW3=torch.from_numpy(picture()),
                result=replace(result, crop=crop),
                labels=LABELS,
                batch_index=index,
            )
        )
    return scenes[0], scenes[1]


@pytest.mark.parametrize("labels_shown", [True, False])
def test_a_picture_of_a_batch_has_its_own_labels_legend_and_cam(
    engine: Engine, labels_shown: bool
) -> None:
    canvases, readouts = [], []
    hover = Target(kind="pixel", pane="input", position=(7, 5))
    for scene in alone_and_second(engine, labels_shown=labels_shown, hover=hover):
        compositor = Compositor(CPU)
        canvases.append(compositor.compose(scene).numpy().copy())
        readouts.append(compositor.readout)
    assert np.array_equal(*canvases)
    assert readouts[0].top == readouts[1].top
    assert [each.hover_value for each in readouts] == [3.0, 3.0]


@pytest.mark.parametrize("labels_shown", [True, False])
def test_the_second_of_two_inputs_has_its_own_label_picture_and_cam(
    engine: Engine, labels_shown: bool
) -> None:
    scene, _ = alone_and_second(engine, labels_shown=labels_shown, compared="first")
    assert scene.result is not None
    black = engine.run(torch.zeros_like(network_input()), scene.result.selection)
    black = replace(black, crop=scene.result.crop)
    shown = {}
    for name, second in (("other", black), ("same", scene.result)):
        halves = [
            Half(name=name, image_HW3=torch.full((40, 60, 3), 90, dtype=torch.uint8), result=each)
            for each in (scene.result, second)
        ]
        pair = Pair(first=halves[0], second=halves[1], same_classes=True)
        compositor = Compositor(CPU)
        canvas_HW = compositor.compose(replace(scene, pair=pair)).numpy().copy()
        assert compositor.layout is not None
        rect = compositor.layout.images["second"]
        shown[name] = canvas_HW[rect.rows, rect.columns] & 0xFFFFFF
    # The black one is background everywhere, and nothing speaks for a class.
    assert (shown["other"] == 90 * 0x010101).all()
    assert not (shown["same"] == 90 * 0x010101).all()


def test_the_key_and_the_button_change_label_picture_and_cam(desk: Desk) -> None:
    labels = desk.canvas
    view = desk.press(",")
    assert (view.labels_shown, view.cam_shown) == (False, True)
    with_cam = desk.canvas
    x, y = desk.over(10, 15)
    assert not (labels[y, x] == with_cam[y, x]).all()
    view = desk.click_button("labels")
    assert view.labels_shown
    # The CAM's own key brings it out from under the labels, and then turns it off.
    view = desk.press("c")
    assert (view.labels_shown, view.cam_shown) == (False, True)
    desk.press("c")  # blended
    view = desk.press("c")
    assert (view.labels_shown, view.cam_shown) == (False, False)
    assert tuple(desk.canvas[y, x]) == (0, 255, 0)
    view = desk.press(",")
    view = desk.press(",")
    assert (view.labels_shown, view.cam_shown) == (False, True)


def test_a_hovered_pixel_tells_its_class(desk: Desk) -> None:
    view = desk.pointer(*desk.over(7, 5), kind="move")
    assert view.hover == Target(kind="pixel", pane="input", position=(7, 5))
    assert desk.compositor.readout.hover_value == 3
    runs = hover_text(desk.scene, desk.compositor.readout, view.hover)
    assert [run.text for run in runs] == ["blue", "   row 7, column 5"]


@pytest.mark.parametrize("size", [(700, 1000), (800, 1280), (1080, 1920), (2160, 3840)])
def test_the_button_lies_beside_the_legend_or_above_the_input(
    engine: Engine, size: tuple[int, int]
) -> None:
    desk = Desk(engine, canvas_size=size)
    button = desk.layout.button("labels")
    assert button is not None
    assert button.pane == ("classes" if size[1] >= 1100 else "input")
    pane = desk.layout.panes[button.pane]
    assert pane.contains(button.rect.left, button.rect.top)
    assert pane.contains(button.rect.right - 1, button.rect.bottom - 1)
    for other in desk.layout.buttons:
        assert other is button or not other.rect.overlaps(button.rect)


def test_a_network_with_one_score_a_class_has_no_pixels_no_button_and_a_notice() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    desk = Desk(engine_of(model.eval(), (40, 60), labels=LABELS))
    assert desk.layout.pixels is None
    assert desk.layout.button("labels") is None
    assert "no scores for each pixel" in desk.press(",").notice
    image = desk.layout.images["input"]
    before = desk.view.selection
    assert desk.pointer(image.left + 5, image.top + 5).selection == before
    assert desk.layout.hit(image.left + 5, image.top + 5).kind == "pane"


def test_one_output_map_is_a_heat_with_its_scale() -> None:
    class Edges(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.out = nn.Conv2d(2, 1, 1)
            with torch.no_grad():
                self.conv.weight.zero_()
                self.conv.weight[0, 0] = 1.0  # red
                self.conv.weight[1, 1] = 1.0  # green
                self.conv.bias.zero_()
                self.out.weight.copy_(torch.tensor([3.0, -1.0]).view(1, 2, 1, 1))
                self.out.bias.zero_()

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.conv(x).relu())

    desk = Desk(engine_of(Edges().eval(), (40, 60)))
    assert desk.result.labels_BHW is None
    readout = desk.compositor.readout
    assert (readout.dense_low, readout.dense_high) == (-1.0, 3.0)
    # 700 red pixels at 3, 800 green ones at -1, the other 900 at 0.
    assert readout.score == pytest.approx((700 * 3 - 800) / 2400)
    rows = list(class_rows(desk.scene, readout, 5))
    assert rows[0].is_heat
    assert (rows[1].name, rows[1].text) == ("−1.00", "3.00")
    x, y = desk.over(20, 30)  # green: the smallest value, so the picture is untouched
    assert tuple(desk.canvas[y, x]) == (0, 255, 0)
    x, y = desk.over(2, 2)  # red: the largest
    assert not (desk.canvas[y, x] == (255, 0, 0)).all()
    for place, value in (((2, 2), 3.0), ((20, 30), -1.0)):
        desk.pointer(*desk.over(*place), kind="move")
        assert desk.compositor.readout.hover_value == value
    desk.pointer(*desk.over(2, 2))
    assert desk.result.scores_BK.tolist() == [[3.0]]

"""Crop, stretch and letterbox: what the network sees, and that all that is drawn follows."""

from typing import get_args

import inks
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rtvis.data import Crop, Fit, KeyEvent, Layer, Selection
from rtvis.engine.networks import preprocess
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import SelectionError
from rtvis.render import display, host
from rtvis.render.cover import cover
from rtvis.render.grid import Rect
from rtvis.render.layout import layout
from rtvis.render.panes import draw_input
from rtvis.render.pictures_plan import Sizes
from rtvis.render.seen import draw_seen_picture
from rtvis.session import CamStyle, Session, View
from rtvis.stills.draw import draw_cam
from tests.nets import CamNet, engine_of, seeded
from tests.nets_fake import LAYERS, controller_of

WIDE = (100, 200)
"""(height, width) of a picture; letterboxed into 224x224 it is 112 rows between 56 and 56."""
LETTERBOX_OF_WIDE = Crop(top=-50.0, left=0.0, height=200.0, width=200.0)
RED_END = display.colormap("turbo", torch.device("cpu"))[255]


def waves(height: int, width: int) -> Tensor:
    """uint8 [H, W, 3], different in every row, column and channel."""
    row, column = np.arange(height)[:, None], np.arange(width)[None, :]
    red = 127 + 120 * np.sin(row / 9 + column / 23)
    green = 255 * ((row // 5 + column // 7) % 2)
    blue = (row * 3 + column * 5) % 256 * np.ones_like(red)
    return torch.from_numpy(np.stack([red, green, blue], axis=2).astype(np.uint8))


def levels(prep: Preprocessing, input_1CHW: Tensor) -> Tensor:
    """Undo the normalisation by its definition: [C, H, W] in 0..255."""
    mean = torch.tensor(prep.mean)[:, None, None]
    std = torch.tensor(prep.std)[:, None, None]
    return (input_1CHW[0] * std + mean) * 255.0


def resized_by_pil(image_HW3: Tensor, rows: int, columns: int) -> Tensor:
    narrow = Image.fromarray(image_HW3.numpy()).resize(
        (columns, image_HW3.shape[0]), Image.Resampling.BILINEAR
    )
    resized = np.asarray(narrow.resize((columns, rows), Image.Resampling.BILINEAR))
    return torch.from_numpy(resized.copy()).permute(2, 0, 1).float()


# What the network sees


@pytest.mark.parametrize("by_matrices", [False, True])
def test_a_letterboxed_picture_is_whole_between_bars_of_the_mean(
    by_matrices: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_matrices:
        monkeypatch.setattr(preprocess, "_MAX_WASTE", 0.0)
    prep = Preprocessing()
    image_HW3 = waves(*WIDE)
    input_1CHW = prep.apply(image_HW3, "letterbox")
    assert input_1CHW.shape == (1, 3, 224, 224)
    assert input_1CHW.is_contiguous(memory_format=torch.channels_last)
    # 224 / 200 = 1.12: 112 rows, and (224 - 112) / 2 = 56 above and below; the mean is 0.
    assert input_1CHW[:, :, :56].abs().max() == 0
    assert input_1CHW[:, :, 168:].abs().max() == 0
    shown_3HW = levels(prep, input_1CHW)[:, 56:168]
    difference = (shown_3HW - resized_by_pil(image_HW3, 112, 224)).abs()
    assert difference.max() <= 2.001
    assert difference.mean() < 0.02


@pytest.mark.parametrize("by_matrices", [False, True])
def test_a_stretched_picture_is_resized_to_the_input(
    by_matrices: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_matrices:
        monkeypatch.setattr(preprocess, "_MAX_WASTE", 0.0)
    prep = Preprocessing(size=(96, 128))
    image_HW3 = waves(*WIDE)
    difference = (
        levels(prep, prep.apply(image_HW3, "stretch")) - resized_by_pil(image_HW3, 96, 128)
    ).abs()
    assert difference.max() <= 2.001
    assert difference.mean() < 0.02


@pytest.mark.parametrize(
    ("size", "picture", "expected"),
    [
        ((224, 224), WIDE, LETTERBOX_OF_WIDE),
        # Tall: 224 / 200 again, the bars left and right.
        ((224, 224), (200, 100), Crop(top=0.0, left=-50.0, height=200.0, width=200.0)),
        # An input of 256x512 and a square: 256 / 64 = 4, columns (512 - 256) / 2 / 4 = 32 beyond.
        ((256, 512), (64, 64), Crop(top=0.0, left=-32.0, height=64.0, width=128.0)),
        # The same proportions: nothing is added.
        ((256, 512), (50, 100), Crop(top=0.0, left=0.0, height=50.0, width=100.0)),
    ],
)
def test_the_letterbox_reaches_beyond_the_shorter_side_of_the_picture(
    size: tuple[int, int], picture: tuple[int, int], expected: Crop
) -> None:
    assert Preprocessing(size=size).crop_of(*picture, "letterbox") == expected
    assert expected.reaches_beyond(picture) == (expected.left < 0 or expected.top < 0)


def test_stretching_sees_the_whole_picture_and_cropping_what_it_saw_before() -> None:
    prep = Preprocessing()
    assert prep.crop_of(*WIDE, "stretch") == Crop(top=0, left=0, height=100, width=200)
    # 256 rows and 512 columns: 16 rows and 144 columns of them lie before the crop.
    assert prep.crop_of(*WIDE, "crop") == Crop(top=6.25, left=56.25, height=87.5, width=87.5)
    assert prep.crop_of(*WIDE, "crop") == prep.crop_of(*WIDE)
    image_HW3 = waves(*WIDE)
    assert torch.equal(prep.apply(image_HW3, "crop"), prep.apply(image_HW3))


@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_a_spot_of_the_picture_is_where_the_crop_says(fit: Fit, size: tuple[int, int]) -> None:
    prep = Preprocessing(size=size, resize=min(size))
    for row, column in ((20, 90), (70, 120)):
        image_HW3 = torch.zeros(*WIDE, 3, dtype=torch.uint8)
        image_HW3[row - 5 : row + 5, column - 5 : column + 5] = 255
        shown_HW = prep.to_unit_range(prep.apply(image_HW3, fit))[0].mean(dim=0)
        crop = prep.crop_of(*WIDE, fit)
        lit_HW = shown_HW > 0.7
        at = torch.nonzero(lit_HW).float().mean(dim=0) + 0.5
        expected = (
            (row - crop.top) * size[0] / crop.height,
            (column - crop.left) * size[1] / crop.width,
        )
        assert at.tolist() == pytest.approx(expected, abs=0.8)


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 900), (2000, 3), (5, 7)])
def test_tiny_and_very_long_pictures_fit_too(fit: Fit, height: int, width: int) -> None:
    prep = Preprocessing(size=(48, 32))
    input_1CHW = prep.apply(torch.full((height, width, 3), 255, dtype=torch.uint8), fit)
    assert input_1CHW.shape == (1, 3, 48, 32)
    shown_3HW = levels(prep, input_1CHW)
    centre = shown_3HW[:, 24, 16]
    assert centre.tolist() == pytest.approx([255.0] * 3, abs=0.01)
    if fit == "stretch":
        assert shown_3HW.min() > 254.99


def test_flipping_a_letterboxed_picture_flips_the_input() -> None:
    prep = Preprocessing(size=(64, 64))
    image_HW3 = waves(40, 64)
    flipped = prep.apply(image_HW3.flip(1).contiguous(), "letterbox")
    assert torch.equal(flipped.flip(3), prep.apply(image_HW3, "letterbox"))


def test_a_network_of_one_channel_is_letterboxed_with_its_mean() -> None:
    prep = Preprocessing(size=(8, 8), num_channels=1, mean=(0.25,), std=(0.5,))
    input_11HW = prep.apply(torch.full((4, 8, 3), 255, dtype=torch.uint8), "letterbox")
    # (1 - 0.25) / 0.5 = 1.5 in the four rows in the middle.
    assert input_11HW[0, 0, :, 3].tolist() == pytest.approx([0, 0, 1.5, 1.5, 1.5, 1.5, 0, 0])


# The engine


def test_each_fit_is_another_input_of_the_same_step() -> None:
    engine = engine_of(seeded(CamNet), size=(32, 32))
    image_HW3 = waves(32, 64).numpy()
    steps = dict(engine._steps._made)
    results = {fit: engine.run(image_HW3, Selection(fit=fit)) for fit in get_args(Fit)}
    assert engine._steps._made == steps, "nothing is built anew"
    scores = [result.scores_BK for result in results.values()]
    assert not torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[1], scores[2])
    for fit, result in results.items():
        prepared = engine.run(engine.preprocess(image_HW3, fit=fit), Selection())
        assert torch.equal(result.scores_BK, prepared.scores_BK)
        assert torch.equal(result.backprop_B3HW, prepared.backprop_B3HW)
        assert result.selection.fit == fit
    assert results["letterbox"].crop == Crop(top=-16, left=0, height=64, width=64)
    assert results["stretch"].crop == Crop(top=0, left=0, height=32, width=64)


def test_an_unknown_fit_is_refused_with_the_nearest() -> None:
    engine = engine_of(seeded(CamNet), size=(32, 32))
    with pytest.raises(SelectionError, match=r"unknown fit 'letterbx'; .*letterbox"):
        engine.resolve(Selection(fit="letterbx"))  # type: ignore[arg-type]


# The drawing


@pytest.mark.parametrize(
    ("crop", "rows", "columns", "size", "start"),
    [
        (None, (0, 50), (0, 100), (50, 100), (0, 0)),
        # Half as large as the frame: 50 rows of the view lie above the picture and below it.
        (LETTERBOX_OF_WIDE, (0, 50), (0, 100), (100, 100), (25, 0)),
        (Crop(top=0, left=50, height=100, width=100), (0, 50), (25, 75), (50, 50), (0, 0)),
        # Thinner than a drawn row: one row of it all the same.
        (Crop(top=99.9, left=0, height=0.1, width=200), (49, 50), (0, 100), (1, 100), (0, 0)),
    ],
)
def test_the_view_lies_over_a_drawn_picture_as_worked_out_by_hand(
    crop: Crop | None,
    rows: tuple[int, int],
    columns: tuple[int, int],
    size: tuple[int, int],
    start: tuple[int, int],
) -> None:
    view = cover(crop, WIDE, (50, 100))
    assert view.seen == (slice(*rows), slice(*columns))
    assert (view.size, view.start) == (size, start)
    of_view = np.zeros(size)[view.within]
    assert of_view.shape == np.zeros((50, 100))[view.seen].shape


def letterboxed_input(cam_HW: Tensor) -> np.ndarray:
    """The input pane, 100 rows and 200 columns of RGB, of a grey picture with a CAM over it."""
    canvas_HW = torch.zeros(*WIDE, dtype=torch.int32)
    draw_input(
        canvas_HW,
        Rect(0, 0, *WIDE),
        torch.full((*WIDE, 3), 100, dtype=torch.uint8),
        cam_HW=cam_HW,
        crop=LETTERBOX_OF_WIDE,
        style="alpha",
    )
    words_HW = canvas_HW.numpy()
    return np.stack([(words_HW >> shift) & 0xFF for shift in (16, 8, 0)], axis=2)


def test_a_cam_over_a_letterboxed_picture_lies_where_the_network_saw_it() -> None:
    cam_HW = torch.zeros(8, 8)
    cam_HW[3, 6] = 1.0
    shown_HW3 = letterboxed_input(cam_HW)
    # A cell is 25 pixels: row 3.5 * 25 - 50 = 37.5 of the picture, column 6.5 * 25 = 162.5.
    changed_Y, changed_X = np.nonzero((shown_HW3 != 100).any(axis=2))
    assert (changed_Y.min() + changed_Y.max()) / 2 == pytest.approx(37, abs=1)
    assert (changed_X.min() + changed_X.max()) / 2 == pytest.approx(162, abs=1)
    alpha = 0.85
    expected = 100 * (1 - alpha) + RED_END.numpy() * 255 * alpha
    assert np.abs(shown_HW3[37, 162] - expected).max() < 12


def test_evidence_in_the_bars_is_not_drawn_and_sets_the_scale() -> None:
    cam_HW = torch.zeros(8, 8)
    cam_HW[0, 4] = 4.0  # rows -50 to -25 of the picture
    assert (letterboxed_input(cam_HW) == 100).all()
    cam_HW[4, 4] = 1.0
    weak = np.abs(letterboxed_input(cam_HW) - 100).max()
    cam_HW[0, 4] = 0.0
    strong = np.abs(letterboxed_input(cam_HW) - 100).max()
    assert 0 < weak < strong / 3


@pytest.mark.parametrize("style", ["alpha", "blend"])
def test_the_host_draws_a_letterboxed_cam_as_torch_does(style: CamStyle) -> None:
    generator = torch.Generator().manual_seed(3)
    view = cover(LETTERBOX_OF_WIDE, WIDE, (50, 100))
    bytes_HW3 = torch.randint(0, 256, (50, 100, 3), dtype=torch.uint8, generator=generator)
    cam_HW = torch.rand(7, 7, generator=generator)
    ours = host.cam_over(bytes_HW3.numpy(), cam_HW, style, view).astype(int)
    expected = display.cam_over(bytes_HW3, cam_HW, style, view).numpy().astype(int)
    assert np.abs(ours - expected).max() <= 1


def test_a_still_is_drawn_like_the_pane() -> None:
    cam_HW = torch.zeros(8, 8)
    cam_HW[3, 6] = 1.0
    still_HW3 = draw_cam(np.full((*WIDE, 3), 100, np.uint8), LETTERBOX_OF_WIDE, cam_HW, "overlay")
    assert np.abs(still_HW3[:, :, ::-1].astype(int) - letterboxed_input(cam_HW)).max() <= 1


@pytest.mark.parametrize(
    ("row", "bar_rows"),
    [(0, 20), (1, 15), (2, 5), (3, 0), (5, 5), (7, 20)],
)
def test_a_neuron_that_looks_at_a_bar_sees_the_panel(row: int, bar_rows: int) -> None:
    """Fields of 8 of the 32 input rows around 2, 6, 10 ..., moved inside; each drawn in 20."""
    layer = Layer(
        index=0,
        name="conv",
        kind="conv",
        num_units=1,
        map_size=(8, 8),
        stride=(4.0, 4.0),
        receptive_field=(8, 8),
        field_start=(-2, -2),
    )
    canvas_HW = torch.full((20, 20), -1, dtype=torch.int32)
    draw_seen_picture(
        canvas_HW,
        Rect(0, 0, 20, 20),
        torch.full((*WIDE, 3), 200, dtype=torch.uint8),
        torch.tensor([row, 4]),
        layer=layer,
        input_size=(32, 32),
        crop=LETTERBOX_OF_WIDE,
        around=inks.PANEL,
    )
    # The picture is rows 8 to 24 of the input. Neuron 1 sees 2 to 10: 6 of 8 in the bar.
    in_bar_HW = (canvas_HW & 0xFFFFFF) == inks.PANEL
    in_picture_HW = (canvas_HW & 0xFFFFFF) == 0xC8C8C8
    assert (in_bar_HW | in_picture_HW).all()
    assert in_bar_HW.all(dim=1).sum() == in_bar_HW.any(dim=1).sum() == bar_rows


# The key


def test_0_goes_from_crop_to_stretch_to_letterbox_and_round() -> None:
    session = Session(View(selection=Selection(layer="middle", unit=5, class_index=3)))
    controller = controller_of(session)
    seen = []
    for _ in range(4):
        seen.append(session.read()[0].selection.fit)
        controller.handle(KeyEvent(key="0"))
    assert seen == ["crop", "stretch", "letterbox", "crop"]
    expected = Selection(layer="middle", unit=5, class_index=3, fit="stretch")
    assert session.read()[0].selection == expected, "nothing else changes"


# CUDA


@pytest.mark.cuda
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_cuda_fits_as_the_cpu_does_and_never_waits(fit: Fit) -> None:
    prep = Preprocessing()
    image_HW3 = waves(720, 1280)
    on_device = image_HW3.cuda()
    layer = Layer(
        index=0,
        name="conv",
        kind="conv",
        num_units=1,
        map_size=(7, 7),
        stride=(32.0, 32.0),
        receptive_field=(99, 99),
        field_start=(-33, -33),
    )
    rect = Rect(0, 0, 224, 398)

    def drawn(image: Tensor, cam_HW: Tensor, position_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        canvas_HW = torch.zeros(300, 400, dtype=torch.int32, device=image.device)
        crop = prep.crop_of(720, 1280, fit)
        draw_input(canvas_HW, rect, image, cam_HW=cam_HW, crop=crop, style="alpha")
        seen_HW = torch.zeros(50, 50, dtype=torch.int32, device=image.device)
        draw_seen_picture(
            seen_HW,
            Rect(0, 0, 50, 50),
            image,
            position_2,
            layer=layer,
            input_size=(224, 224),
            crop=crop,
            around=inks.PANEL,
        )
        return prep.apply(image, fit), canvas_HW, seen_HW

    cam_HW = torch.rand(7, 7, generator=torch.Generator().manual_seed(1))
    position_2 = torch.tensor([0, 3])
    given = on_device, cam_HW.cuda(), position_2.cuda()
    drawn(*given)
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours = drawn(*given)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = drawn(image_HW3, cam_HW, position_2)
    difference = (ours[0].cpu() - expected[0]).abs() * 0.229 * 255
    assert difference.max() <= 2.01
    assert difference.mean() < 0.05
    for on_cuda, on_cpu in zip(ours[1:], expected[1:], strict=True):
        red = [((each.cpu() >> 16) & 0xFF).float() for each in (on_cuda, on_cpu)]
        assert (red[0] - red[1]).abs().mean() < 4


def test_the_bars_that_the_network_sees_are_drawn_and_the_cam_over_them() -> None:
    # 200 x 100 pixels of the screen for 100 x 100 of a picture that is twice as wide as high.
    rect, inset, around = Rect(10, 20, 100, 100), Rect(35, 20, 50, 100), (10, 120, 240)
    picture_HW3 = torch.full((*WIDE, 3), 100, dtype=torch.uint8)
    cam_HW = torch.zeros(8, 8)
    for cam in (None, cam_HW):
        canvas_HW = torch.zeros(130, 140, dtype=torch.int32)
        cam_HW[0, 4] = 4.0  # in the upper bar
        draw_input(
            canvas_HW, rect, picture_HW3, cam_HW=cam, crop=LETTERBOX_OF_WIDE, style="alpha",
            inset=inset, around=around,
        )  # fmt: skip
        words_HW = canvas_HW.numpy()
        shown_HW3 = np.stack([(words_HW >> shift) & 0xFF for shift in (16, 8, 0)], axis=2)
        assert (shown_HW3[35:85, 20:120] == 100).all(), "the picture"
        bars_HW3 = np.concatenate([shown_HW3[10:35, 20:120], shown_HW3[85:110, 20:120]])
        if cam is None:
            assert (bars_HW3 == around).all()
        else:  # column 4.5 * 12.5 = 56, row 0.5 * 12.5 = 6
            assert (shown_HW3[16, 76] != around).any()
            assert (bars_HW3[25:] == around).all(), "nothing in the lower bar"
        assert not words_HW[:10].any()
        assert not words_HW[:, :20].any()


def test_on_the_screen_a_letterboxed_picture_has_the_network_s_proportions() -> None:
    frame = (100, 200)
    selection = Selection(fit="letterbox")
    beyond = Crop(top=-50.0, left=0.0, height=200.0, width=200.0)
    plan = layout(View(selection=selection), LAYERS, sizes=Sizes(frame=frame), crop=beyond)
    image, inset = plan.images["input"], plan.inset
    assert inset is not None
    assert image.height == image.width
    assert inset.width == image.width
    assert inset.height == pytest.approx(image.height / 2, abs=1)
    assert inset.top - image.top == pytest.approx(image.bottom - inset.bottom, abs=1)
    assert plan.panes["input"].contains(image.left, image.top)
    inside = Crop(top=0.0, left=50.0, height=100.0, width=100.0)
    cropped = layout(View(), LAYERS, sizes=Sizes(frame=frame), crop=inside)
    assert cropped.inset is None
    assert cropped.images["input"].width == pytest.approx(2 * cropped.images["input"].height, abs=2)

"""The whole canvas: what is where, what follows the session, and what never waits."""

from dataclasses import replace

import inks
import numpy as np
import pytest
import torch

from rtvis.data import Crop, Health, Layer, Result, Selection, SourceStatus, Target
from rtvis.render import lut
from rtvis.render.compositor import Compositor
from rtvis.render.download import Downloader
from rtvis.render.grid import Rect
from rtvis.render.layer_words import layer_facts_within
from rtvis.render.readout import pack_readout, subject_of, unpack_readout
from rtvis.render.scene import Binding, Scene
from rtvis.render.text import Font
from rtvis.render.wording import number
from rtvis.session import View

CPU = torch.device("cpu")
SIZES = [(700, 1000), (800, 1280), (1080, 1920)]

LAYERS = (
    Layer(
        index=0,
        name="conv1",
        kind="conv",
        num_units=6,
        map_size=(8, 8),
        stride=(4.0, 4.0),
        receptive_field=(7, 7),
    ),
    Layer(
        index=1,
        name="fc",
        kind="dense",
        num_units=3,
        map_size=(1, 1),
        stride=(32.0, 32.0),
        receptive_field=(32, 32),
    ),
)
LABELS = ("cat", "dog", "bird")
BINDINGS = tuple(
    Binding(keys=f"{index}", text=f"thing {index}", group=f"group {index // 4}")
    for index in range(16)
)


def result_for(
    layer: str = "conv1",
    unit: int = 2,
    *,
    seed: int = 0,
    signed: bool = True,
    health: int = 0,
    device: torch.device = CPU,
) -> Result:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 6, 8, 8) if layer == "conv1" else (1, 3, 1, 1)
    maps_BCHW = torch.randn(shape, generator=generator)
    if not signed:
        maps_BCHW = maps_BCHW.relu()
    map_HW = maps_BCHW[0, unit]
    row, column = divmod(int(map_HW.argmax()), map_HW.shape[1])
    scores_BK = torch.tensor([[2.0, 0.0, 1.0]])
    result = Result(
        scores_BK=scores_BK,
        maps_BCHW=maps_BCHW,
        cam_BHW=torch.rand(1, 4, 4, generator=generator),
        backprop_B3HW=torch.randn(1, 3, 32, 32, generator=generator),
        class_index_B=scores_BK.argmax(dim=1),
        position_B2=torch.tensor([[row, column]]),
        value_B=map_HW.amax().reshape(1),
        health_B=torch.tensor([health]),
        selection=Selection(layer=layer, unit=unit, seed="max", class_index=0, cam_layer="conv1"),
        form="eager",
        crop=Crop(top=0, left=10, height=60, width=60),
        seq=5,
    )
    moved = {
        name: getattr(result, name).to(device)
        for name in result.__dataclass_fields__
        if isinstance(getattr(result, name), torch.Tensor)
    }
    return replace(result, **moved)


def scene_for(
    size: tuple[int, int] = (800, 1280), *, result: Result | None = None, **changes: object
) -> Scene:
    result = result if result is not None else result_for()
    view = View(selection=result.selection, canvas_size=size, hint_shown=False)
    generator = torch.Generator().manual_seed(9)
    image_HW3 = torch.randint(0, 256, (60, 80, 3), generator=generator, dtype=torch.uint8)
    scene = Scene(
        view=view,
        layers=LAYERS,
        labels=LABELS,
        image_HW3=image_HW3.to(result.maps_BCHW.device),
        result=result,
        network="tiny",
        source_name="test",
        source=SourceStatus(state="live"),
        now_ns=10**10,
        bindings=BINDINGS,
    )
    of_view = {name: value for name, value in changes.items() if hasattr(view, name)}
    of_scene = {name: value for name, value in changes.items() if name not in of_view}
    return replace(scene, view=replace(view, **of_view), **of_scene)  # type: ignore[arg-type]


def pixels(compositor: Compositor, scene: Scene) -> np.ndarray:
    """The canvas as packed pixels without the byte that nobody reads."""
    return compositor.compose(scene).numpy().copy() & 0xFFFFFF


def part(canvas_HW: np.ndarray, rect: Rect) -> np.ndarray:
    return canvas_HW[rect.rows, rect.columns]


@pytest.fixture
def compositor() -> Compositor:
    return Compositor(CPU)


@pytest.mark.parametrize("size", SIZES)
def test_the_canvas_has_the_size_asked_for_and_downloads_as_bgr(
    compositor: Compositor, size: tuple[int, int]
) -> None:
    canvas_HW = compositor.compose(scene_for(size))
    assert canvas_HW.shape == size
    canvas_HW3 = compositor.download().wait()
    assert canvas_HW3.shape == (*size, 3)
    assert canvas_HW3.dtype == np.uint8
    assert canvas_HW3.flags.c_contiguous
    # The background is #14161a: blue first.
    assert canvas_HW3[2, 2].tolist() == [0x1A, 0x16, 0x14]


def test_a_downloaded_canvas_is_not_drawn_over_by_the_next_turn(compositor: Compositor) -> None:
    compositor.compose(scene_for())
    first = compositor.download().wait()
    before = first.copy()
    compositor.compose(scene_for(result=result_for(seed=1)))
    assert not np.array_equal(compositor.download().wait(), before)
    assert np.array_equal(first, before)


def test_the_same_scene_gives_the_same_canvas_whatever_was_drawn_before(
    compositor: Compositor,
) -> None:
    """What floats above the panes, or stood in them, leaves no trace."""
    plain = scene_for(range_smoothed=False)
    expected = pixels(Compositor(CPU), plain)
    tile = Target(kind="unit", pane="grid", layer="conv1", unit=1)
    interludes = [
        {"help_shown": True},
        {"notice": "saved", "notice_is_warning": True},
        {"hint_shown": True},
        {"hover": tile},
        {"hover": Target(kind="layer", pane="layers", layer="fc")},
        {"hover": Target(kind="class", pane="classes", class_index=1)},
        {"hover": Target(kind="rule", pane="button:rule")},
        {"zoom": "unit"},
        {"zoom": "backprop"},
        {"backward_shown": False},
        {"palette": "grey"},
        {"palette": "jet", "gamma": 0.5, "unit_boost": 0.8},
        {"classes_shown": False},
        {"cam_style": "blend"},
        {"paused": True},
        {"recording": True},
        {"cam_shown": False},
        {"stale_since_ns": 10**9},
        {"canvas_size": (700, 1000)},
        {"image_HW3": None},
        {"result": result_for("fc", 1)},
        {"result": result_for(health=Health.GRADIENT_ZERO)},
        {"weights_note": "random weights"},
        {"source": SourceStatus(state="reconnecting", message="gone", since_ns=10**9)},
    ]
    for changes in interludes:
        other = scene_for(**{"range_smoothed": False, **changes})
        assert not np.array_equal(pixels(compositor, other), expected), f"{changes} shows nothing"
        assert np.array_equal(pixels(compositor, plain), expected), f"{changes} leaves a trace"
    pixels(compositor, replace(plain, result=None))
    assert np.array_equal(pixels(compositor, plain), expected), "no result leaves a trace"


def test_what_is_not_known_any_more_is_not_shown_any_more(compositor: Compositor) -> None:
    """A canvas that once showed more equals one that never did."""
    for changes in (
        {"result": None},
        {"result": None, "image_HW3": None},
        {"image_HW3": None},
        {"view": replace(scene_for().view, backward_shown=False)},
    ):
        less = replace(scene_for(), **changes)  # type: ignore[arg-type]
        compositor.compose(scene_for())
        assert np.array_equal(pixels(compositor, less), pixels(Compositor(CPU), less)), changes


def test_zero_in_a_signed_map_is_the_background_s_black(compositor: Compositor) -> None:
    result = result_for()
    result.maps_BCHW.zero_()
    result.maps_BCHW[0, 0, 0, 0] = -2.0
    canvas_HW = pixels(compositor, scene_for(result=result, range_smoothed=False))
    assert compositor.layout is not None
    assert compositor.layout.grid is not None
    tile = compositor.layout.grid.tile(3)
    assert tile is not None
    assert (part(canvas_HW, tile) == inks.BACKGROUND).all()
    negative = compositor.layout.grid.tile(0)
    assert negative is not None
    assert canvas_HW[negative.top, negative.left] == lut.table_words("colour")[766 - 255]


@pytest.mark.parametrize(
    ("changes", "afresh"), [({"tap": "post"}, True), ({"picture_name": "b.png"}, True), ({}, False)]
)
def test_another_tap_or_picture_starts_the_range_of_the_colours_afresh(
    compositor: Compositor, changes: dict[str, str], afresh: bool
) -> None:
    # Nothing else may ever be drawn of a picture, so that its colours cannot come to rest later.
    loud, quiet = result_for(), result_for()
    loud.maps_BCHW.fill_(-9.0)
    quiet.maps_BCHW.fill_(6.0)
    if "tap" in changes:
        quiet = replace(quiet, selection=replace(quiet.selection, tap="post"))
    pixels(compositor, scene_for(result=loud))
    other = scene_for(result=quiet, picture_name=changes.get("picture_name", ""))
    after = pixels(compositor, other)
    assert np.array_equal(after, pixels(Compositor(CPU), other)) is afresh


def test_a_tile_shows_its_own_unit(compositor: Compositor) -> None:
    result = result_for(unit=5)
    result.maps_BCHW.zero_()
    result.maps_BCHW[0, 4] = 3.0
    canvas_HW = pixels(compositor, scene_for(result=result, range_smoothed=False))
    grid = compositor.layout.grid  # type: ignore[union-attr]
    assert grid is not None
    for unit in range(5):
        tile = grid.tile(unit)
        assert tile is not None
        expected = lut.table_words("colour")[510] if unit == 4 else inks.BACKGROUND
        assert (part(canvas_HW, tile) == expected).all()


def test_the_selected_tile_has_a_cyan_outline_and_the_hovered_one_a_light_one(
    compositor: Compositor,
) -> None:
    hover = Target(kind="unit", pane="grid", layer="conv1", unit=4)
    canvas_HW = pixels(compositor, scene_for(hover=hover))
    grid = compositor.layout.grid  # type: ignore[union-attr]
    assert grid is not None
    selected, hovered = grid.tile(2), grid.tile(4)
    assert selected is not None
    assert hovered is not None
    assert (canvas_HW[selected.rows, selected.left - 1] == inks.SELECTED).all()
    assert (canvas_HW[selected.top - 1, selected.columns] == inks.SELECTED).all()
    assert (canvas_HW[hovered.top - 1, hovered.columns] == inks.TEXT).all()
    other = grid.tile(1)
    assert other is not None
    assert not (canvas_HW[other.rows, other.left - 1] == inks.SELECTED).any()


def test_the_seed_s_position_is_framed_in_amber_in_the_enlarged_map(
    compositor: Compositor,
) -> None:
    result = result_for()
    canvas_HW = pixels(compositor, scene_for(result=result))
    plan = compositor.layout
    assert plan is not None
    row, column = result.position_B2[0].tolist()
    amber_Y, amber_X = np.nonzero(canvas_HW == inks.SOURCE)
    inside = [
        plan.images["unit"].contains(int(x), int(y)) for y, x in zip(amber_Y, amber_X, strict=True)
    ]
    cell = plan.neuron((row, column))
    ys, xs = amber_Y[inside], amber_X[inside]
    assert abs((ys.min() + ys.max()) / 2 - (cell.top + cell.bottom) / 2) <= 2
    assert abs((xs.min() + xs.max()) / 2 - (cell.left + cell.right) / 2) <= 2


def test_nothing_outside_the_crop_is_covered_by_the_cam(compositor: Compositor) -> None:
    with_cam = pixels(compositor, scene_for())
    plan = compositor.layout
    assert plan is not None
    without = pixels(compositor, scene_for(cam_shown=False))
    image = plan.images["input"]
    differs = part(with_cam, image) != part(without, image)
    # The crop is columns 10 to 70 of 80.
    left, right = image.width * 10 // 80, -(-image.width * 70 // 80)
    assert not differs[:, : left - 1].any()
    assert not differs[:, right + 1 :].any()
    assert differs[:, left + 1 : right - 1].mean() > 0.8


def test_the_frame_itself_is_never_drawn_over(compositor: Compositor) -> None:
    compositor.compose(scene_for())
    assert compositor.layout is not None
    image = compositor.layout.images["input"]
    # A frame that needs no scaling, wholly seen: nothing would force a copy.
    frame_HW3 = torch.full((image.height, image.width, 3), 90, dtype=torch.uint8)
    result = replace(result_for(), crop=None)
    compositor.compose(scene_for(result=result, image_HW3=frame_HW3))
    assert compositor.layout.images["input"].width == image.width
    assert (frame_HW3 == 90).all()


def test_drawing_leaves_the_network_its_threads(compositor: Compositor) -> None:
    before = torch.get_num_threads()
    compositor.compose(scene_for())
    assert torch.get_num_threads() == before


def test_a_stale_pane_is_half_as_bright(compositor: Compositor) -> None:
    fresh = pixels(compositor, scene_for(range_smoothed=False))
    grid = compositor.layout.grid  # type: ignore[union-attr]
    assert grid is not None
    stale = pixels(compositor, scene_for(range_smoothed=False, stale_since_ns=10**9))
    tile = grid.tile(0)
    assert tile is not None
    expected = (part(fresh, tile) >> 1) & 0x7F7F7F
    assert np.array_equal(part(stale, tile), expected)


def test_a_zero_gradient_is_told_in_words_instead_of_a_picture(compositor: Compositor) -> None:
    canvas_HW = pixels(compositor, scene_for(result=result_for(health=Health.GRADIENT_ZERO)))
    image = compositor.layout.images["backprop"]  # type: ignore[union-attr]
    shown = part(canvas_HW, image)
    # A picture would leave no panel; words leave most of it, and some pixels of pure red text.
    assert (shown == inks.PANEL).mean() > 0.8
    assert (shown == inks.WARNING).any()


def test_the_text_of_a_cpu_canvas_uses_the_picture_s_own_numbers(compositor: Compositor) -> None:
    result = result_for()
    compositor.compose(scene_for(result=result))
    readout = compositor.readout
    assert readout.seq == 5
    assert readout.value == result.value_B.item()
    assert [index for index, _ in readout.top] == [0, 2, 1]
    # softmax of 2, 0, 1
    assert [share for _, share in readout.top] == pytest.approx(
        [0.66524, 0.24473, 0.09003], abs=1e-5
    )
    assert readout.unit_high == result.maps_BCHW[0, 2].max().item()


def test_the_value_under_the_pointer_is_read_out(compositor: Compositor) -> None:
    result = result_for()
    hover = Target(kind="position", pane="unit", layer="conv1", unit=2, position=(3, 4))
    compositor.compose(scene_for(result=result, hover=hover))
    assert compositor.readout.hover_value == result.maps_BCHW[0, 2, 3, 4].item()
    hover = Target(kind="unit", pane="grid", layer="conv1", unit=5)
    compositor.compose(scene_for(result=result, hover=hover))
    assert compositor.readout.hover_value == result.maps_BCHW[0, 5].max().item()


def test_what_lay_under_the_pointer_in_another_layer_does_no_harm(compositor: Compositor) -> None:
    hover = Target(kind="position", pane="unit", layer="conv1", unit=5, position=(7, 7))
    compositor.compose(scene_for(result=result_for("fc", 1), hover=hover))
    hover = Target(kind="unit", pane="grid", layer="fc", unit=99)
    compositor.compose(scene_for(result=result_for("fc", 1), hover=hover))
    assert compositor.readout.hover_value == 0


def test_a_readout_survives_its_journey_exactly() -> None:
    result = result_for(health=Health.UNIT_ZERO | Health.CAM_ZERO)
    scalar = torch.tensor(0.1)
    packed_N = pack_readout(
        result,
        result.maps_BCHW[0],
        batch_index=0,
        hover=Target(kind="none"),
        low=-scalar,
        high=scalar,
        range_low=-scalar,
        range_high=scalar,
    )
    readout = unpack_readout(packed_N.tolist(), subject_of(result))
    assert readout.health == Health.UNIT_ZERO | Health.CAM_ZERO
    assert readout.position == tuple(result.position_B2[0].tolist())
    assert (readout.layer, readout.unit, readout.class_index) == ("conv1", 2, 0)
    assert (readout.low, readout.high) == (-scalar.item(), scalar.item())
    assert readout.gradient_max == result.backprop_B3HW.abs().max().item()


def test_a_canvas_without_frame_or_result_says_what_it_waits_for(compositor: Compositor) -> None:
    opening = replace(scene_for(), image_HW3=None, result=None)
    opening = replace(opening, source=SourceStatus(state="opening", message="opening it"))
    canvas_HW = pixels(compositor, opening)
    plan = compositor.layout
    assert plan is not None
    for pane in ("input", "unit", "backprop", "grid"):
        shown = part(canvas_HW, plan.contents[pane])
        assert 0 < (shown == inks.DIM).sum() < 0.1 * shown.size
    assert compositor.download().readout() is None


@pytest.mark.parametrize("labels", [None, LABELS])
@pytest.mark.parametrize("zoom", ["grid", "unit", "backprop"])
@pytest.mark.parametrize("layer", ["conv1", "fc"])
def test_every_combination_can_be_drawn(
    compositor: Compositor, labels: tuple[str, ...] | None, zoom: str, layer: str
) -> None:
    result = result_for(layer, 1)
    for size in [(480, 640), (700, 1000), (1601, 901), (1440, 2560)]:
        canvas_HW = compositor.compose(scene_for(size, result=result, labels=labels, zoom=zoom))
        assert canvas_HW.shape == size


def test_not_finite_numbers_are_drawn_without_a_warning(compositor: Compositor) -> None:
    result = result_for(health=Health.MAPS_NAN | Health.GRADIENT_NAN)
    result.maps_BCHW[0, 2] = float("nan")
    result.maps_BCHW[0, 3] = float("inf")
    result.backprop_B3HW[0, 0] = float("nan")
    result.cam_BHW.fill_(float("nan"))
    canvas_HW = pixels(compositor, scene_for(result=result))
    tile = compositor.layout.grid.tile(2)  # type: ignore[union-attr]
    assert tile is not None
    assert (part(canvas_HW, tile) == inks.WARNING).all()


def test_half_precision_maps_look_like_single_precision_ones() -> None:
    result = result_for(signed=False)
    half = replace(
        result, maps_BCHW=result.maps_BCHW.half(), backprop_B3HW=result.backprop_B3HW.half()
    )
    single = Compositor(CPU).compose(scene_for(result=result)).view(torch.uint8).float()
    other = Compositor(CPU).compose(scene_for(result=half)).view(torch.uint8).float()
    assert (single - other).abs().mean().item() < 0.2
    assert single.std().item() > 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (4.2149, "4.21"),
        (-0.05, "−0.050"),
        (99.96, "100.0"),
        (31415.9, "31416"),
        (1234567.0, "1.2e6"),
        (-0.00004, "−4.0e-5"),
        (9.7e-16, "9.7e-16"),
        (-9.7e-16, "−1e-15"),
        (-2.4e-9, "−2.4e-9"),
        (-9.99e-10, "−1e-9"),
        (float("nan"), "NaN"),
        (float("-inf"), "−inf"),
    ],
)
def test_numbers_have_at_most_seven_characters(value: float, text: str) -> None:
    assert number(value) == text
    assert len(text) <= 7


@pytest.mark.cuda
def test_a_turn_on_cuda_never_waits_and_shows_what_the_cpu_shows() -> None:
    device = torch.device("cuda")
    on_cpu, on_cuda = Compositor(CPU), Compositor(device)
    cuda_scene = scene_for(result=result_for(device=device), range_smoothed=False)
    for _ in range(3):
        on_cuda.compose(cuda_scene)
        on_cuda.receive(on_cuda.download().readout())
    torch.cuda.set_sync_debug_mode("error")
    try:
        on_cuda.compose(cuda_scene)
        pending = on_cuda.download()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu.compose(scene_for(range_smoothed=False))
    expected = on_cpu.download().wait().astype(int)
    # Photographs are resized by other code on each device; text and maps are the same.
    assert np.abs(pending.wait().astype(int) - expected).mean() < 2.0
    readout = pending.readout()
    assert readout is not None
    assert readout.top == pytest.approx(on_cpu.readout.top)


@pytest.mark.cuda
def test_canvases_in_flight_do_not_mix() -> None:
    downloader = Downloader(torch.device("cuda"))
    flying = []
    for turn in range(6):
        canvas_HW = torch.full((300, 400), turn * 0x010101, dtype=torch.int32, device="cuda")
        numbers_N = torch.full((3,), float(turn), dtype=torch.float64, device="cuda")
        flying.append(downloader.submit(canvas_HW, numbers_N))
        canvas_HW.fill_(-1)
    for turn, pending in enumerate(flying):
        canvas_HW3 = pending.wait()
        assert (canvas_HW3 == turn).all()


@pytest.mark.parametrize(
    ("shown", "width"),
    [
        ("6 maps of 8×8  ·  rf 7 px  ·  stride 4", 400),
        ("6 maps of 8×8  ·  rf 7 px", 200),
        ("6 maps of 8×8", 110),
        ("6 maps", 60),
        ("6", 12),
        ("", 5),
    ],
)
def test_a_title_says_as_much_of_a_layer_as_there_is_room_for(shown: str, width: int) -> None:
    assert layer_facts_within(LAYERS[0], width, Font(14)) == shown


def test_a_title_never_cuts_a_number_off() -> None:
    wide, dense = (
        replace(LAYERS[0], kind=kind, num_units=1280, map_size=size)
        for kind, size in (("conv", (7, 7)), ("dense", (1, 1)))
    )
    assert layer_facts_within(wide, 60, Font(14)) == "1280"
    assert layer_facts_within(wide, 20, Font(14)) == ""
    assert layer_facts_within(dense, 85, Font(14)) == "1280 units"


@pytest.mark.parametrize("size", [(700, 1000), (1080, 1920)])
def test_outlines_and_names_of_panes_come_and_leave_no_trace(size: tuple[int, int]) -> None:
    plain = scene_for(size, range_smoothed=False)
    expected = pixels(Compositor(CPU), plain)
    compositor = Compositor(CPU)
    shown = pixels(compositor, scene_for(size, range_smoothed=False, panes_shown=True))
    assert compositor.layout is not None
    for name, rect in compositor.layout.panes.items():
        changed_HW = (shown != expected).reshape(*size, -1).any(axis=2)[rect.rows, rect.columns]
        assert changed_HW.any(), name
        middle_HW = changed_HW[rect.height // 2 - 2 : rect.height // 2 + 2, 4:-4]
        assert middle_HW.any(), f"{name}: its name is in the middle"
    made = compositor._overlays._made
    grid = compositor.layout.panes["grid"]
    words = "".join(run.text for run in made["pane grid"][0][0])
    assert words == f"grid  {grid.height}×{grid.width} at {grid.top}, {grid.left}"
    assert np.array_equal(pixels(compositor, plain), expected)

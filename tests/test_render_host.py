"""What a CPU draws with NumPy and OpenCV is what torch operations draw."""

import inks
import numpy as np
import pytest
import torch

from rtvis.data import Layer
from rtvis.render import display, host, panes
from rtvis.render.chrome import Chrome
from rtvis.render.grid import Rect
from rtvis.render.seen import seen_pixels
from rtvis.render.text import Font, Run
from rtvis.session import CamStyle

CPU = torch.device("cpu")


def random_bytes(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("style", ["alpha", "blend"])
@pytest.mark.parametrize("size", [(60, 80), (5, 3)])
def test_a_cam_over_a_picture_differs_by_one_grey_level_at_most(
    style: CamStyle, size: tuple[int, int]
) -> None:
    cam_HW = torch.rand(7, 6, generator=torch.Generator().manual_seed(5)) * 3
    cam_HW[0, 0] = float("nan")
    bytes_HW3 = random_bytes(*size, 3)
    expected = display.cam_over(bytes_HW3, cam_HW, style).numpy().astype(int)
    drawn = host.cam_over(bytes_HW3.numpy(), cam_HW, style).astype(int)
    difference = np.abs(drawn - expected)
    assert (expected != bytes_HW3.numpy()).mean() > 0.5
    # A share that rounds to the next of 256 colours moves a channel by more; none does here.
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_where_there_is_no_evidence_a_cpu_leaves_every_grey_level_as_it_is() -> None:
    bytes_HW3 = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(host.cam_over(bytes_HW3, torch.zeros(7, 7), "alpha"), bytes_HW3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_values_become_the_same_bytes(channels: int, channels_last: bool) -> None:
    image_CHW = torch.rand(channels, 20, 30, generator=torch.Generator().manual_seed(6))
    image_CHW[0, 0, :4] = torch.tensor([0.0, 1.0, 0.5, float("nan")])
    if channels_last:
        image_CHW = image_CHW[None].to(memory_format=torch.channels_last)[0]
    expected = display.to_bytes(image_CHW).permute(1, 2, 0).expand(-1, -1, 3)
    assert np.array_equal(host.to_bytes(image_CHW), expected.numpy())
    assert expected[0, :4, 0].tolist() == [0, 255, 128, 0]


def test_a_painted_picture_has_the_packed_pixels_of_the_torch_operations() -> None:
    bytes_HW3 = random_bytes(4, 5, 3)
    expected = display.pack_bytes(bytes_HW3)
    assert torch.equal(host.packed(bytes_HW3.numpy()) & 0xFFFFFF, expected)
    canvas_HW = torch.full((10, 12), 7, dtype=torch.int32)
    host.paint(canvas_HW, Rect(2, 3, 4, 5), bytes_HW3.numpy())
    assert torch.equal(canvas_HW[2:6, 3:8] & 0xFFFFFF, expected)
    assert (canvas_HW == 7).sum() == 120 - 20


def test_what_the_network_does_not_see_is_dimmed_alike() -> None:
    bytes_HW3, seen = random_bytes(9, 8, 3), (slice(2, 5), slice(1, 8))
    expected = display.dim_outside(bytes_HW3, seen)
    assert np.array_equal(host.dim_outside(bytes_HW3.numpy(), seen), expected.numpy())


@pytest.mark.parametrize("map_size", [(7, 5), (1, 40), (2, 2)])
def test_a_neuron_is_framed_alike_also_at_the_borders(map_size: tuple[int, int]) -> None:
    rect, reach = Rect(3, 4, 30, 41), (6, 9)
    for row in {0, map_size[0] // 2, map_size[0] - 1}:
        for column in {0, map_size[1] // 2, map_size[1] - 1}:
            position_2 = torch.tensor([row, column])
            expected = torch.zeros(40, 50, dtype=torch.int32)
            places = panes._frame_places(position_2, rect, map_size, reach, 2)
            expected[rect.rows, rect.columns][places] = inks.SOURCE
            drawn = torch.zeros_like(expected)
            centre = [
                (2 * at + 1) * size // (2 * cells)
                for at, size, cells in zip((row, column), (30, 41), map_size, strict=True)
            ]
            host.fill_frame(
                drawn, rect, (centre[0], centre[1]), reach, colour=inks.SOURCE, thickness=2
            )
            assert torch.equal(drawn, expected)
            assert expected.count_nonzero() > 20


@pytest.mark.parametrize("fresh", [False, True])
def test_a_range_is_followed_alike(fresh: bool) -> None:
    values = [-3.0, -0.001, 0.0, 0.5, 4.0, float("nan"), float("inf"), -float("inf")]
    for low in values:
        for high in values:
            ends = torch.tensor([low, high, -1.0, 2.0]).unbind()
            ours = display.follow_range_host(*ends, fresh=fresh)
            reference = display.follow_range(*ends, fresh=fresh)
            torch.testing.assert_close(torch.stack(ours), torch.stack(reference))


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_extremes_are_those_of_aminmax_and_a_nan_is_one(channels_last: bool) -> None:
    maps_CHW = torch.randn(6, 9, 5, generator=torch.Generator().manual_seed(7))
    if channels_last:
        maps_CHW = maps_CHW[None].to(memory_format=torch.channels_last)[0]
    assert display.extremes(maps_CHW) == tuple(torch.aminmax(maps_CHW))
    maps_CHW[2, 3, 1] = float("nan")
    assert all(end.isnan() for end in display.extremes(maps_CHW))


def test_the_pixels_that_a_neuron_sees_are_its_field_around_its_stride() -> None:
    layer = Layer(
        index=0,
        name="conv",
        kind="conv",
        num_units=1,
        map_size=(8, 8),
        stride=(4.0, 4.0),
        receptive_field=(6, 6),
        field_start=(-1, -1),
    )
    index_Y, index_X = seen_pixels(
        torch.tensor([0, 3]),
        layer=layer,
        input_size=(32, 32),
        picture_size=(64, 32),
        crop=None,
        size=(3, 6),
    )
    # Row 0: its centre, 2, is moved to 3, so that rows 0 to 6 of 32 lie inside; in the picture
    # they are 0 to 12, of which three are taken from the middles of thirds: 2, 6, 10.
    assert index_Y.tolist() == [2, 6, 10]
    # Column 3: centre 14, columns 11 to 17.
    assert index_X.tolist() == [11, 12, 13, 14, 15, 16]


def lines(chrome: Chrome, *texts: str) -> np.ndarray:
    runs = tuple(Run(text, inks.TEXT, width=40 * (place % 2)) for place, text in enumerate(texts))
    chrome.text("line", Rect(4, 6, 24, 300), runs, Font(14), align=0.3)
    return chrome.brush.words_HW & 0xFFFFFF


def test_a_line_whose_words_are_drawn_one_by_one_equals_one_drawn_whole() -> None:
    chrome = Chrome(CPU)
    chrome.begin("geometry", (40, 320), inks.INKS)
    for texts in (
        ("max ", "4.21", "  at ", "(3, 4)"),
        ("max ", "4.2", "  at ", "(13, 4)"),
        ("jay", "4.2", "  at ", "(13, 4)"),
        ("max ", "", "  at ", ""),
        ("max ", "4.21", "  at ", "(3, 4)", " and so on " * 12),
        ("a", "4.21"),
    ):
        fresh = Chrome(CPU)
        fresh.begin("geometry", (40, 320), inks.INKS)
        assert np.array_equal(lines(chrome, *texts), lines(fresh, *texts)), texts


def test_of_a_line_only_the_words_that_changed_travel() -> None:
    chrome = Chrome(CPU)
    chrome.begin("geometry", (40, 320), inks.INKS)
    lines(chrome, "max ", "4.21", "  at ", "(3, 4)")
    chrome.dirty()
    lines(chrome, "max ", "4.22", "  at ", "(3, 4)")
    (rect,) = chrome.dirty()
    assert rect.width < 40
    lines(chrome, "max ", "4.22", "  at ", "(3, 4)")
    assert chrome.dirty() == []

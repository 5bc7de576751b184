"""Scaling and colour, with numbers worked out by hand."""

import math

import cv2
import inks
import numpy as np
import pytest
import torch

from rtvis.render import display, lut

CPU = torch.device("cpu")


def index_of(value: float, low: float, high: float) -> int:
    index = display.table_index(torch.tensor([value]), torch.tensor(low), torch.tensor(high))
    return int(index.to(torch.int32))


def follow(*ranges: tuple[float, float], smoothed: bool = True) -> tuple[float, float]:
    colour_range = display.ColourRange(CPU)
    for low, high in ranges:
        drawn = colour_range.update(
            torch.tensor(low), torch.tensor(high), key="layer", smoothed=smoothed
        )
    return drawn[0].item(), drawn[1].item()


def test_the_tiniest_values_span_the_colours_as_any_do_and_all_zero_stays_zero() -> None:
    # Half of the range is half of the 255 steps, rounded: 127.5 + 1/2 above zero's index.
    for high in (6.0, 6e-16, 6e-34):
        assert index_of(high / 2, 0.0, high) == index_of(3.0, 0.0, 6.0), high
        assert index_of(-high, -high, high) == index_of(-6.0, -6.0, 6.0), high
    assert index_of(0.0, 0.0, 0.0) == lut.SEQUENTIAL_ZERO
    maps_CHW = torch.tensor([[[1e-20]], [[2e-20]]])
    boosted = display.boost_units(maps_CHW, torch.tensor(2e-20), 1.0)
    torch.testing.assert_close(boosted, torch.full((2, 1, 1), 2e-20), atol=0, rtol=1e-6)


def test_clipped_is_in_full_colour_from_four_times_the_root_mean_square() -> None:
    # Of 100 values the squares 8² + 16² + 32² + 16² are 1600: the root of their mean is 4.
    values = torch.zeros(100)
    values[:4] = torch.tensor([-8.0, 16.0, 32.0, -16.0])
    shown = display.clipped(values.view(1, 10, 10)).flatten()[:5].tolist()
    assert shown == pytest.approx([0.25, 1.0, 1.0, 0.0, 0.5])


def test_clipped_shows_the_tiniest_gradient_as_it_shows_any() -> None:
    gradient_3HW = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    shown = display.clipped(gradient_3HW)
    assert shown.std() > 0.1
    torch.testing.assert_close(display.clipped(gradient_3HW * 2.0**-100), shown)


def test_clipped_takes_colours_together_and_other_channels_in_the_mean() -> None:
    # Mean square (9 + 9 + 36) / 6 = 9; white at 12.
    gradient_3HW = torch.tensor([[[3.0, 0.0]], [[-3.0, 0.0]], [[0.0, 6.0]]])
    assert display.clipped(gradient_3HW)[:, 0, 0].tolist() == pytest.approx([0.625, 0.375, 0.5])
    assert display.clipped(gradient_3HW)[2, 0, 1].item() == pytest.approx(0.75)
    # Means 2 and -2: their root mean square is 2, so each is a quarter of the way.
    two_2HW = torch.tensor([[[1.0, -3.0]], [[3.0, -1.0]]])
    assert display.clipped(two_2HW).flatten().tolist() == pytest.approx([0.625, 0.375])


def test_raw_puts_zero_at_middle_grey_and_the_largest_magnitude_at_an_end() -> None:
    # max 2, min -4: divided by max(4, 8) = 8, plus 1/2.
    gradient_3HW = torch.tensor([[[2.0]], [[-4.0]], [[0.0]]])
    shown = display.raw(gradient_3HW).flatten().tolist()
    assert shown == pytest.approx([0.75, 0.0, 0.5])


def test_gray_is_the_mean_over_colours_around_middle_grey() -> None:
    # Means 1 and -2: divided by max(2, 4) = 4, plus 1/2.
    gradient_3HW = torch.tensor([[[3.0, -6.0]], [[0.0, 0.0]], [[0.0, 0.0]]])
    assert display.gray(gradient_3HW).flatten().tolist() == pytest.approx([0.75, 0.0])


def test_norm_is_the_euclidean_length_over_colours_from_0_to_1() -> None:
    # Lengths 5, 0 and 1; minimum 0, maximum 5.
    gradient_3HW = torch.tensor([[[3.0, 0.0, 1.0]], [[-4.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]])
    assert display.norm(gradient_3HW).flatten().tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_norm_takes_the_maximum_after_subtracting_the_minimum() -> None:
    # Lengths 2 and 6 become 0 and 4, and 4 is divided by 4.
    gradient_3HW = torch.tensor([[[2.0, 6.0]], [[0.0, 0.0]], [[0.0, 0.0]]])
    assert display.norm(gradient_3HW).flatten().tolist() == pytest.approx([0.0, 1.0])


def test_normblur_spreads_a_point_as_a_gaussian_of_sigma_4() -> None:
    gradient_3HW = torch.zeros(3, 65, 65)
    gradient_3HW[0, 32, 32] = 7.0
    shown_HW = display.normblur(gradient_3HW)[0]
    # Cut off at 16 pixels, where the kernel is zero, so the smallest value is exactly 0.
    assert shown_HW[32, 32].item() == pytest.approx(1.0)
    assert shown_HW[32, 36].item() == pytest.approx(math.exp(-0.5), abs=1e-6)
    assert shown_HW[28, 36].item() == pytest.approx(math.exp(-1.0), abs=1e-6)
    assert shown_HW[32, 50].item() == 0.0


def test_blur_agrees_with_opencv_at_the_edges_too() -> None:
    generator = torch.Generator().manual_seed(3)
    image_1HW = torch.rand(1, 40, 56, generator=generator)
    reference = cv2.GaussianBlur(image_1HW[0].numpy(), (33, 33), 4.0)
    np.testing.assert_allclose(display.blur(image_1HW, 4.0)[0].numpy(), reference, atol=1e-6)


def test_blur_takes_pictures_smaller_than_its_kernel() -> None:
    assert display.blur(torch.ones(1, 3, 1), 4.0).flatten().tolist() == pytest.approx([1, 1, 1])


def test_positive_drops_what_is_negative_and_divides_by_the_maximum() -> None:
    gradient_3HW = torch.tensor([[[-9.0]], [[2.0]], [[8.0]]])
    assert display.positive(gradient_3HW).flatten().tolist() == pytest.approx([0.0, 0.25, 1.0])


@pytest.mark.parametrize("how", display.BACKPROP_DISPLAYS)
def test_an_all_zero_gradient_is_flat_and_finite(how: str) -> None:
    shown = display.BACKPROP_DISPLAYS[how](torch.zeros(3, 5, 4))  # type: ignore[index]
    expected = 0.5 if how in {"clipped", "raw", "gray"} else 0.0
    assert torch.equal(shown, torch.full_like(shown, expected))


def test_the_range_of_non_negative_values_starts_at_zero_whatever_the_minimum() -> None:
    assert follow((0.5, 4.0), smoothed=False) == (0.0, 4.0)


def test_the_range_of_signed_values_is_symmetric() -> None:
    assert follow((-1.0, 4.0), smoothed=False) == (-4.0, 4.0)
    assert follow((-6.0, 4.0), smoothed=False) == (-6.0, 6.0)
    assert follow((-0.01, 4.0), smoothed=False) == (-4.0, 4.0), "few are enough"
    assert follow((-0.003, 4.0), smoothed=False) == (0.0, 4.0), "what a running mean leaves is not"


def test_a_smoothed_range_widens_by_half_and_narrows_by_a_twelfth() -> None:
    # The first values are taken as they are.
    assert follow((0.0, 4.0), (0.0, 8.0)) == pytest.approx((0.0, 6.0))
    assert follow((0.0, 4.0), (0.0, 1.0)) == pytest.approx((0.0, 3.75))


def test_another_layer_starts_its_range_afresh() -> None:
    colour_range = display.ColourRange(CPU)
    zero = torch.tensor(0.0)
    colour_range.update(zero, torch.tensor(100.0), key="a", smoothed=True)
    _, high = colour_range.update(zero, torch.tensor(2.0), key="b", smoothed=True)
    assert high.item() == 2.0


def test_nan_and_inf_do_not_enter_the_range() -> None:
    nan, inf = float("nan"), float("inf")
    assert follow((0.0, 4.0), (nan, nan)) == (0.0, 4.0)
    assert follow((0.0, 4.0), (0.0, inf)) == (0.0, 4.0)


def test_zero_has_the_background_s_colour_in_every_table() -> None:
    words = lut.table_words("colour")
    assert words[index_of(0.0, 0.0, 5.0)] == inks.BACKGROUND
    assert words[index_of(0.0, -5.0, 5.0)] == inks.BACKGROUND
    assert lut.table_words("grey")[index_of(0.0, 0.0, 5.0)] == inks.BACKGROUND


def test_values_become_indices_rounded_half_up_and_clipped() -> None:
    # 255 * 2 / 4 = 127.5, rounded up; zero of the sequential ramp is entry 255.
    assert index_of(2.0, 0.0, 4.0) == 255 + 128
    assert index_of(9.0, 0.0, 4.0) == 255 + 255
    # Below a range that starts at zero lies the colour of zero.
    words = lut.table_words("colour")
    assert words[index_of(-3.0, 0.0, 4.0)] == inks.BACKGROUND
    # Signed: zero is entry 766; -1 of 4 is -63.75, and floor(-63.25) = -64.
    assert index_of(-1.0, -4.0, 4.0) == 766 - 64
    assert index_of(-4.0, -4.0, 4.0) == 766 - 255
    assert index_of(4.0, -4.0, 4.0) == 766 + 255


def test_nan_is_drawn_in_the_warning_colour() -> None:
    assert lut.table_words("colour")[index_of(float("nan"), 0.0, 1.0)] == inks.WARNING


def test_equal_magnitudes_are_equally_light_whatever_their_sign() -> None:
    ramp_K3 = lut.diverging_ramp().astype(np.float32)[None] / 255
    lightness = cv2.cvtColor(ramp_K3, cv2.COLOR_RGB2LAB)[0, :, 0]
    assert (np.diff(lightness[255:]) > -0.6).all()
    # The ends differ by design (DV-41's pale red and pale blue), by less than five units of L*.
    assert np.abs(lightness[255:] - lightness[255::-1]).max() < 5


def test_signs_can_be_told_apart_at_a_tenth_of_the_range() -> None:
    ramp_K3 = lut.diverging_ramp().astype(int)
    red, _, blue = ramp_K3[255 + 26]
    assert red > blue
    red, _, blue = ramp_K3[255 - 26]
    assert blue > red


@pytest.mark.parametrize("palette", ["colour", "grey"])
def test_no_data_colour_is_a_colour_of_the_interface(palette: str) -> None:
    words = set(lut.table_words(palette)[: lut.NAN_INDEX].tolist())  # type: ignore[arg-type]
    assert not words & {inks.SELECTED, inks.SOURCE, inks.WARNING}


def test_a_cam_is_divided_by_its_maximum() -> None:
    share_HW = display.cam_share(torch.tensor([[1.0, 4.0], [0.0, 2.0]]), (2, 2))
    assert share_HW.flatten().tolist() == pytest.approx([0.25, 1.0, 0.0, 0.5])


def test_where_there_is_no_evidence_the_picture_is_untouched() -> None:
    image_HW3 = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(display.overlay_alpha(image_HW3, torch.zeros(4, 4)), image_HW3)


def test_full_evidence_shows_turbo_s_last_colour_at_85_percent() -> None:
    shown = display.overlay_alpha(torch.zeros(1, 1, 3), torch.ones(1, 1)).flatten()
    last = cv2.applyColorMap(np.full((1, 1), 255, np.uint8), cv2.COLORMAP_TURBO)[0, 0, ::-1]
    assert shown.tolist() == pytest.approx((0.85 * last / 255).tolist(), abs=1e-6)


def test_the_blend_is_seven_tenths_picture_and_three_tenths_jet() -> None:
    image_HW3 = torch.full((1, 2, 3), 0.5)
    shown = display.overlay_blend(image_HW3, torch.tensor([[0.0, 0.5]]))
    # 255 * 0.5 = 127.5 is rounded down.
    for column, index in ((0, 0), (1, 127)):
        jet = cv2.applyColorMap(np.full((1, 1), index, np.uint8), cv2.COLORMAP_JET)[0, 0, ::-1]
        expected = 0.35 + 0.3 * jet / 255
        assert shown[0, column].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_picture_outside_what_the_network_sees_has_half_its_brightness() -> None:
    bytes_HW3 = torch.full((3, 3, 3), 101, dtype=torch.uint8)
    shown = display.dim_outside(bytes_HW3, (slice(1, 2), slice(0, 2)))
    assert shown[..., 0].tolist() == [[50, 50, 50], [101, 101, 50], [50, 50, 50]]


def test_bytes_are_rounded_half_up_and_clipped_and_nan_is_black() -> None:
    values = torch.tensor([0.5, -0.2, 1.7, float("nan"), float("inf")])
    # 0.5 * 255 + 0.5 = 128.
    assert display.to_bytes(values).tolist() == [128, 0, 255, 0, 255]


def test_a_packed_pixel_reads_as_its_hex_colour() -> None:
    bytes_HW3 = torch.tensor([[[0x4C, 0xC9, 0xF0]]], dtype=torch.uint8)
    # The highest byte is never read.
    assert int(display.pack_bytes(bytes_HW3)) & 0xFFFFFF == inks.SELECTED
    assert lut.channels(inks.SELECTED) == (0x4C, 0xC9, 0xF0)

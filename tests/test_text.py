"""Text: measured, shortened, and drawn where it was asked for."""

import numpy as np
import pytest

from rtvis.render.text import (
    SEMIBOLD,
    Font,
    Run,
    baseline,
    draw_word,
    line_width,
    measure,
    place_line,
    shorten,
)

FONT = Font(14)


def drawn(*runs: Run, right: int = 400, x: int = 10) -> np.ndarray:
    image_HW4 = np.zeros((40, 400, 4), np.uint8)
    draw_line(image_HW4, runs, x=x, base=28, font=FONT, right=right)
    return image_HW4[..., :3]


def draw_line(
    image_HW4: np.ndarray, runs: tuple[Run, ...], *, x: int, base: int, font: Font, right: int
) -> None:
    for word in place_line(runs, x=x, font=font, right=right)[0]:
        assert isinstance(word.colour, int)
        draw_word(image_HW4, word, base=base, font=font, colour=word.colour)


def test_all_digits_are_equally_wide() -> None:
    widths = {measure(digit * 10, FONT) for digit in "0123456789"}
    assert len(widths) == 1


def test_text_of_twice_the_size_is_about_twice_as_wide() -> None:
    assert measure("receptive field", Font(26)) == pytest.approx(
        2 * measure("receptive field", Font(13)), rel=0.06
    )


def test_short_text_is_left_alone_and_long_text_ends_in_an_ellipsis() -> None:
    assert shorten("conv1", FONT, 200) == "conv1"
    short = shorten("features.denseblock4.denselayer16.conv2", FONT, 120)
    assert short.endswith("…")
    assert measure(short, FONT) <= 120
    assert shorten("conv1", FONT, 2) == ""


def test_nothing_is_drawn_at_or_beyond_the_right_border() -> None:
    image_HW3 = drawn(Run("a line that is much too long for its place", 0xFFFFFF), right=100)
    assert image_HW3[:, 10:100].any()
    assert not image_HW3[:, 100:].any()
    assert not image_HW3[:, :10].any()


def test_runs_have_their_own_colours() -> None:
    image_HW3 = drawn(Run("MM", 0xFF0000), Run("MM", 0x0000FF))
    middle = 10 + measure("MM", FONT)
    # OpenCV's order is blue, green, red.
    assert image_HW3[:, : middle - 1, 2].max() > 200
    assert not image_HW3[:, : middle - 1, 0].any()
    assert image_HW3[:, middle + 2 :, 0].max() > 200


def test_a_figure_keeps_its_right_end_whatever_its_length() -> None:
    room = measure("000.0", FONT)
    ends = []
    for text in ("7.0", "77.0", "177.0"):
        columns = np.flatnonzero(drawn(Run(text, 0xFFFFFF, width=room)).any(axis=(0, 2)))
        ends.append(columns.max())
    assert len(set(ends)) == 1
    assert line_width((Run("7.0", 0, width=room),), FONT) == room


def test_capitals_stand_in_the_middle_of_their_row() -> None:
    image_HW4 = np.zeros((40, 100, 4), np.uint8)
    base = baseline(0, 40, Font(20))
    draw_line(
        image_HW4, (Run("HEH", 0xFFFFFF, SEMIBOLD),), x=5, base=base, font=Font(20), right=100
    )
    rows = np.flatnonzero(image_HW4.any(axis=(1, 2)))
    assert abs((rows.min() + rows.max()) / 2 - 19.5) <= 1


@pytest.mark.parametrize("sign", ["×", "·", "…", "–", "−", "●", "é", "ß"])
def test_the_font_has_the_signs_that_the_screen_uses(sign: str) -> None:
    # What a font lacks is drawn as a question mark.
    assert (drawn(Run(sign, 0xFFFFFF)) != drawn(Run("?", 0xFFFFFF))).any()


def test_where_a_line_is_cut_no_dot_is_left_that_divides_it_from_what_is_gone() -> None:
    runs = (Run("one", 1), Run("   ·   ", 1), Run("another", 1))
    room = measure("one", FONT) + measure("   ·   ", FONT)

    def words(right: int) -> list[str]:
        return [word.text.strip() for word in place_line(runs, x=0, font=FONT, right=right)[0]]

    assert words(right=room + 3) == ["one"]
    assert words(right=room + measure("ano…", FONT)) == ["one", "·", "ano…"]
    assert words(right=400) == ["one", "·", "another"]

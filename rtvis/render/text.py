"""Text in a real font: measured, shortened and rasterised on the host.

OpenCV 5 carries a variable-weight sans serif with tabular digits, so nothing is installed and
numbers of equal length have equal width.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2

from rtvis.data import ImageU8
from rtvis.errors import SinkError

REGULAR = 400
SEMIBOLD = 560


class Run(NamedTuple):
    """A piece of a line in one colour and weight."""

    text: str
    colour: int
    """Packed BGRA word, see `rtvis.render.lut.word`."""
    weight: int = REGULAR
    width: int = 0
    """Room that the text gets at least, set flush right in it: for numbers, so that what follows
    does not jump."""

    def advance(self, size: int) -> int:
        """Pixels from the beginning of the run to that of the next."""
        return max(measure(self.text, size, self.weight), self.width)


class Word(NamedTuple):
    """A run, or as much of it as fits, in its place."""

    text: str
    x: int
    """Column at which it begins."""
    width: int
    colour: int
    weight: int

    @property
    def left(self) -> int:
        """First column with ink; "j" alone begins before its place."""
        return self.x - (self.text[0] == "j")

    @property
    def right(self) -> int:
        """First column after it."""
        return self.x + self.width


@lru_cache(maxsize=1)
def _font() -> "cv2.FontFace":
    if not hasattr(cv2, "FontFace"):
        raise SinkError(
            f"OpenCV {cv2.__version__} cannot draw TrueType text; install opencv-python 5 or newer"
        )
    return cv2.FontFace("sans")


@lru_cache(maxsize=16384)
def measure(text: str, size: int, weight: int = REGULAR) -> int:
    """Width in pixels of `text` set in `size` pixels."""
    if not text:
        return 0
    # The advance, not the ink: the returned rectangle of "1" and of "0" must agree.
    flags = cv2.PUT_TEXT_ALIGN_LEFT
    rect = cv2.getTextSize((1 << 15, 1 << 15), text, (0, 0), _font(), size, weight, flags)
    return int(rect[0] + rect[2])


@lru_cache(maxsize=16384)
def shorten(text: str, size: int, width: int, weight: int = REGULAR) -> str:
    """`text`, or as much of its beginning as fits `width` pixels followed by an ellipsis."""
    if measure(text, size, weight) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + "…", size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""


def line_width(runs: tuple[Run, ...], size: int) -> int:
    """Width in pixels of a line of runs."""
    return sum(run.advance(size) for run in runs)


def baseline(top: int, height: int, size: int) -> int:
    """Baseline that centres capitals and digits (0.7 of the size) in a row of `height`."""
    return top + (height + round(0.7 * size)) // 2


def draw_line(
    image_HW4: ImageU8, runs: tuple[Run, ...], *, x: int, base: int, size: int, right: int
) -> int:
    """Draw runs one after the other, none beyond `right`, and return where the line ends.

    Args:
        image_HW4: BGRA canvas, written in place.
        runs: What to draw; the run that does not fit is shortened and ends the line.
        x: Left end.
        base: Baseline.
        size: Height of the font in pixels.
        right: First column that must stay untouched.
    """
    words, end = place_line(runs, x=x, size=size, right=right)
    for word in words:
        draw_word(image_HW4, word, base=base, size=size)
    return end


def place_line(
    runs: tuple[Run, ...], *, x: int, size: int, right: int
) -> tuple[tuple[Word, ...], int]:
    """What `draw_line` draws and where, without blanks, and where the line ends."""
    words: list[Word] = []
    for run in runs:
        width = measure(run.text, size, run.weight)
        x += max(run.width - width, 0)
        text = run.text
        if x + width > right:
            text = shorten(text, size, right - x, run.weight)
            width = measure(text, size, run.weight)
        if text and not text.isspace():
            words.append(Word(text, x, width, run.colour, run.weight))
        x += width
        if text != run.text:
            if not text and words and words[-1].text.strip() == "·":
                words.pop()  # nothing follows it
            break
    return tuple(words), x


def draw_word(image_HW4: ImageU8, word: Word, *, base: int, size: int) -> None:
    """Draw on a BGRA canvas."""
    colour = word.colour
    # The alpha byte of the canvas is never read, so it may be overwritten with anything.
    bgra = (colour & 0xFF, colour >> 8 & 0xFF, colour >> 16 & 0xFF, 255)
    cv2.putText(image_HW4, word.text, (word.x, base), bgra, _font(), size, word.weight)

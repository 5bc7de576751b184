"""Text in a real font: measured, shortened and rasterised on the host.

OpenCV 5 carries a variable-weight sans serif with tabular digits, so nothing is installed and
numbers of equal length have equal width.
"""

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import cv2

from rtvis.data import ImageU8
from rtvis.errors import ConfigError, SinkError
from rtvis.theme import FONTS, Ink

REGULAR = 400
SEMIBOLD = 560


Colour: TypeAlias = Ink | int
"""What it stands for; or, of data, a packed BGRA word."""


class Font(NamedTuple):
    """In what text is set."""

    size: int
    """Height in pixels."""
    file: str = FONTS[0]
    """A name of `FONTS`, or a TrueType file."""


class Run(NamedTuple):
    """A piece of a line in one colour and weight."""

    text: str
    colour: Colour
    weight: int = REGULAR
    width: int = 0
    """Room that the text gets at least, set flush right in it: for numbers, so that what follows
    does not jump."""

    def advance(self, font: Font) -> int:
        """Pixels from the beginning of the run to that of the next."""
        return max(measure(self.text, font, self.weight), self.width)


class Word(NamedTuple):
    """A run, or as much of it as fits, in its place."""

    text: str
    x: int
    """Column at which it begins."""
    width: int
    colour: Colour
    weight: int

    @property
    def left(self) -> int:
        """First column with ink; "j" alone begins before its place."""
        return self.x - (self.text[0] == "j")

    @property
    def right(self) -> int:
        """First column after it."""
        return self.x + self.width


@lru_cache(maxsize=8)
def _face(file: str) -> "cv2.FontFace":
    if not hasattr(cv2, "FontFace"):
        raise SinkError(
            f"OpenCV {cv2.__version__} cannot draw TrueType text; install opencv-python 5 or newer"
        )
    face = cv2.FontFace()
    if not face.set(file):
        raise ConfigError(f"{file}: is no TrueType font; give `theme.font` another")
    return face


def check_font(file: str) -> None:
    """See that text can be drawn in it.

    Raises:
        ConfigError: It is no font.
    """
    _face(file)


def measure(text: str, font: Font, weight: int = REGULAR) -> int:
    """Width in pixels of `text`."""
    return _measure(text, font.size, font.file, weight)


def shorten(text: str, font: Font, width: int, weight: int = REGULAR) -> str:
    """`text`, or as much of its beginning as fits `width` pixels followed by an ellipsis."""
    return _shorten(text, font.size, font.file, width, weight)


# Both remember by plain values: of thousands of keys with a `Font` in each, the garbage collector
# would look at every one.
@lru_cache(maxsize=16384)
def _measure(text: str, size: int, file: str, weight: int) -> int:
    if not text:
        return 0
    # The advance, not the ink: the returned rectangle of "1" and of "0" must agree.
    flags = cv2.PUT_TEXT_ALIGN_LEFT
    face, room = _face(file), (1 << 15, 1 << 15)
    rect = cv2.getTextSize(room, text, (0, 0), face, size, weight, flags)
    return int(rect[0] + rect[2])


@lru_cache(maxsize=16384)
def _shorten(text: str, size: int, file: str, width: int, weight: int) -> str:
    font = Font(size, file)
    if measure(text, font, weight) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + "…", font, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""


def line_width(runs: tuple[Run, ...], font: Font) -> int:
    """Width in pixels of a line of runs."""
    return sum(run.advance(font) for run in runs)


def baseline(top: int, height: int, font: Font) -> int:
    """Baseline that centres capitals and digits (0.7 of the size) in a row of `height`."""
    return top + (height + round(0.7 * font.size)) // 2


def place_line(
    runs: tuple[Run, ...], *, x: int, font: Font, right: int
) -> tuple[tuple[Word, ...], int]:
    """Words of runs one after the other, without blanks, and the column where the line ends.

    Args:
        runs: What to draw; the run that does not fit is shortened and ends the line.
        x: Left end.
        font: In what it is set.
        right: First column that must stay untouched.
    """
    words: list[Word] = []
    for run in runs:
        width = measure(run.text, font, run.weight)
        x += max(run.width - width, 0)
        text = run.text
        if x + width > right:
            text = shorten(text, font, right - x, run.weight)
            width = measure(text, font, run.weight)
        if text and not text.isspace():
            words.append(Word(text, x, width, run.colour, run.weight))
        x += width
        if text != run.text:
            if not text and words and words[-1].text.strip() == "·":
                words.pop()  # nothing follows it
            break
    return tuple(words), x


def draw_word(image_HW4: ImageU8, word: Word, *, base: int, font: Font, colour: int) -> None:
    """Draw on a BGRA canvas, with a packed word as colour."""
    # The alpha byte of the canvas is never read, so it may be overwritten with anything.
    bgra = (colour & 0xFF, colour >> 8 & 0xFF, colour >> 16 & 0xFF, 255)
    face = _face(font.file)
    cv2.putText(image_HW4, word.text, (word.x, base), bgra, face, font.size, word.weight)

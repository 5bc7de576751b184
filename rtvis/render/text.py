"""Text in a real font: measured, shortened and rasterised on the host.

OpenCV 5 carries a variable-weight sans serif with tabular digits, so nothing is installed and
numbers of equal length have equal width.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2

from rtvis.data import ImageU8
from rtvis.errors import SinkError

REGULAR = 400
SEMIBOLD = 560


@dataclass(frozen=True, slots=True)
class Run:
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
    for run in runs:
        advance = run.advance(size)
        if run.width:
            x += advance - measure(run.text, size, run.weight)
        text = shorten(run.text, size, right - x, run.weight)
        if text.strip():
            colour = [(run.colour >> shift) & 0xFF for shift in (0, 8, 16)]
            # The alpha byte of the canvas is never read, so it may be overwritten with anything.
            cv2.putText(image_HW4, text, (x, base), (*colour, 255), _font(), size, run.weight)
        x += measure(text, size, run.weight)
        if text != run.text:
            break
    return x

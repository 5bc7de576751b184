"""How numbers, times, classes and changes are put into words, in two tones of text."""

import math

from rtvis.data import Intervention
from rtvis.render.text import Font, Run, measure
from rtvis.theme import Ink


def number(value: float) -> str:
    """A value in at most seven characters, with two digits or more unless that is too long."""
    if math.isnan(value):
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "inf" if value > 0 else "−inf"
    size = abs(value)
    if size and (size < 0.001 or size >= 100_000):
        is_long = value < 0 and size < 1e-9  # a sign, and two digits in the exponent
        mantissa, exponent = f"{size:.{0 if is_long else 1}e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{size:.{3 if size < 1 else 2 if size < 10 else 1 if size < 1000 else 0}f}"
    # A true minus is as wide as a digit, and zero has no sign.
    return f"−{text}" if value < 0 and float(text) else text


def number_within(value: float, width: int, font: Font) -> str:
    """The same in a width in pixels, if it can be: with its exponent cut it is another number."""
    text = number(value)
    if "e" not in text or measure(text, font) <= width:
        return text
    mantissa, exponent = f"{abs(value):.0e}".split("e")
    return f"{'−' if value < 0 else ''}{mantissa}e{int(exponent)}"


def signed_share(r: float) -> str:
    """A number in -1..1 with two digits and no zero in front, with a true minus."""
    text = f"{abs(r):.2f}".removeprefix("0")
    return f"−{text}" if r < 0 and float(text) else text


def age(now_ns: int, since_ns: int) -> str:
    """Time gone by, as "0.4 s", "12 s" or "3 min"."""
    seconds = max(now_ns - since_ns, 0) / 1e9
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min"


def time_left(seconds: float | None) -> str:
    """How long something still takes: "12 s left", "3 days left"; empty where nobody knows."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s left"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min left"
    hours = seconds / 3600
    return f"{hours:.0f} h left" if hours < 48 else f"{hours / 24:.0f} days left"


def class_name(labels: tuple[str, ...] | None, index: int) -> str:
    """The first of a class's names, or its number where there are no names."""
    if labels is not None and 0 <= index < len(labels):
        return labels[index].split(",")[0]
    return f"class {index}"


def dim(text: str) -> Run:
    """A label."""
    return Run(text, Ink.DIM)


def bright(text: str) -> Run:
    """A value."""
    return Run(text, Ink.TEXT)


def figure(text: str, template: str, font: Font, colour: Ink = Ink.TEXT) -> Run:
    """A number set flush right in the width of `template`, so that the rest stays in place."""
    return Run(text, colour, width=measure(template, font))


def share(probability: float, digits: int = 2) -> str:
    """A probability without its leading zero: ".95"."""
    return f"{probability:.{digits}f}".removeprefix("0")


def change_sign(change: Intervention) -> str:
    """What is done to a unit, for a list: "out", "= 3.10" or "×2"."""
    if change.scale == 0:
        return f"= {number(change.offset)}" if change.offset else "out"
    times = f"×{change.scale:g}".replace("-", "−")
    if not change.offset:
        return times
    return f"{times} {'−' if change.offset < 0 else '+'} {number(abs(change.offset))}"


def change_words(change: Intervention) -> str:
    """The same in a sentence: "knocked out", "held at 3.10", "×2"."""
    if change.scale == 0:
        return f"held at {number(change.offset)}" if change.offset else "knocked out"
    return change_sign(change)


def num_changes(num: int) -> str:
    """ "1 change", "3 changes"."""
    return f"{num} change" if num == 1 else f"{num} changes"

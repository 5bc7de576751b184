"""Parsers of the values of flags: from text, or what a config file holds, to what a field holds."""

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

Parse: TypeAlias = Callable[[Any], Any]
"""From the text of a flag, or the value in a config file, to the value of a field; may raise
ValueError or TypeError."""


def whole(minimum: int, maximum: int | None = None) -> Parse:
    """A parser of whole numbers from `minimum` up, to `maximum` if that is given."""

    def parse(value: Any) -> int:
        if isinstance(value, bool | float):
            raise TypeError("not whole")
        number = int(value)
        if number < minimum:
            raise ValueError(f"below {minimum}")
        if maximum is not None and number > maximum:
            raise ValueError(f"above {maximum}")
        return number

    return parse


def seconds(value: Any) -> float:
    """A time from 0."""
    if isinstance(value, bool):
        raise TypeError("not a number")
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError("below 0, or no number")
    return number


def expression(value: Any) -> str:
    """A regular expression, as it was given."""
    try:
        re.compile(text(value))
    except re.error as error:
        raise ValueError(str(error)) from None
    return text(value)


def text(value: Any) -> str:
    """A name; a number in a config file is the name of a camera or a class."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("not text")
    if not str(value).strip():
        raise ValueError("empty")
    return str(value)


def _numbers(value: Any, *, separators: str = ",x") -> list[str | int | float]:
    if isinstance(value, str):
        for separator in separators[1:]:
            value = value.replace(separator, separators[0])
        return [part.strip() for part in value.strip("[]() ").split(separators[0])]
    if isinstance(value, list | tuple):
        return list(value)
    return [value]


def pair(minimum: int) -> Parse:
    """A parser of two whole numbers: "12,30", "240x320" or a list."""
    one = whole(minimum)

    def parse(value: Any) -> tuple[int, int]:
        first, second = (one(part) for part in _numbers(value))
        return first, second

    return parse


def size(value: Any) -> tuple[int, int]:
    """(height, width) from one side, "240x320" or a list."""
    sides = [whole(1)(part) for part in _numbers(value)]
    if len(sides) == 1:
        sides *= 2
    height, width = sides
    return height, width


def region(value: Any) -> tuple[int, int, int, int]:
    """(top, left, height, width) from four numbers, or from the row and column of one pixel."""
    numbers = [whole(0)(part) for part in _numbers(value)]
    if len(numbers) == 2:
        numbers += [1, 1]
    top, left, height, width = numbers
    if min(height, width) < 1:
        raise ValueError("empty")
    return top, left, height, width


def channels(value: Any) -> tuple[float, ...]:
    """One number for all channels, or one for each: "0.5", "0.485,0.456,0.406" or a list."""
    return tuple(float(part) for part in _numbers(value, separators=","))


def patterns(value: Any) -> tuple[str, ...]:
    """Patterns for names: "layer4*,!*downsample*" or a list."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise TypeError("not a list")
    found = tuple(part.strip() for part in parts if isinstance(part, str) and part.strip())
    if not found or len(found) != len(parts):
        raise ValueError("empty")
    return found


def renaming(value: Any) -> tuple[tuple[str, str], ...]:
    """Patterns and names: "layer1.*=stage 1,fc=head" or a mapping."""
    if isinstance(value, str):
        pairs: list[Any] = [part.split("=", 1) for part in value.split(",")]
    else:
        pairs = list(value.items() if isinstance(value, dict) else value)
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise TypeError("not text")
    found = []
    for pattern, name in pairs:
        if not pattern.strip() or not name.strip():
            raise ValueError("empty")
        found.append((pattern.strip(), name.strip()))
    return tuple(found)


def amount(minimum: float, maximum: float) -> Parse:
    """A parser of numbers from `minimum` to `maximum`."""

    def parse(value: Any) -> float:
        number = seconds(value)
        if not minimum <= number <= maximum:
            raise ValueError(f"not from {minimum} to {maximum}")
        return number

    return parse


def gigabytes(value: Any) -> float:
    """An amount above 0."""
    number = seconds(value)
    if number == 0:
        raise ValueError("nothing")
    return number


def colour(value: Any) -> str:
    """A colour as "#e6e8eb", in small letters."""
    if not isinstance(value, str):
        raise TypeError("not text")
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError("no colour")
    return value.lower()


def or_none(parse: Parse) -> Parse:
    """The same parser, which lets null pass."""
    return lambda value: None if value is None else parse(value)

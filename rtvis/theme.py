"""How the window looks: its colours, its sizes, and which panes stand where.

Values that travel in `rtvis.session.View`, so that whatever draws has them at hand; files give them
as the sections `theme` and `panes` (`rtvis.theme_files`). Colours of data are no part of it:
`rtvis.render.lut`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from rtvis.errors import ConfigError, did_you_mean
from rtvis.option_values import Parse, amount, colour, or_none


class Ink(Enum):
    """What a colour stands for; a `Theme` says which colour that is, in the field of this name."""

    BACKGROUND = "background"
    PANEL = "panel"
    RAISED = "raised"
    LIT = "lit"
    HAIRLINE = "hairline"
    TEXT = "text"
    DIM = "dim"
    FAINT = "faint"
    BEHIND = "behind"
    SELECTED = "selected"
    SOURCE = "source"
    WARNING = "warning"
    CHANGED = "changed"
    LOST = "lost"
    STALE = "stale"
    TILE_LINE = "tile_line"
    GRADIENT_LINE = "gradient_line"
    NAN = "nan"


def _setting(default: Any, help_text: str, parse: Parse, expects: str) -> Any:
    """A field, with what `--list theme` says of it and what checks it."""
    return field(default=default, metadata={"help": help_text, "parse": parse, "expects": expects})


def _ink(default: str, help_text: str) -> Any:
    return _setting(default, help_text, colour, 'a colour in quotes, such as "#e6e8eb"')


def _length(default: float, least: float, most: float, help_text: str) -> Any:
    expects = f"pixels from {least:g} to {most:g}"
    return _setting(default, help_text, amount(least, most), expects)


FONTS: Final = ("sans", "italic")
"""Those that OpenCV brings with it."""


def _font(value: Any) -> str:
    if value not in FONTS and not (isinstance(value, str) and Path(value).is_file()):
        raise ValueError("no font")
    return str(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """Colours, and sizes in pixels at scale 1. The default is what the documentation shows."""

    background: str = _ink("#14161a", "between the panes and around them")
    panel: str = _ink("#1c1f26", "of the panes")
    raised: str = _ink("#282c35", "buttons, and what the pointer is over")
    lit: str = _ink("#3a404c", "buttons under the pointer")
    hairline: str = _ink("#2c313b", "thin lines")
    text: str = _ink("#e6e8eb", "values")
    dim: str = _ink("#9aa0aa", "labels")
    faint: str = _ink("#646b77", "bars and marks beside data")
    behind: str = _ink("#343a45", "the bars behind them")
    selected: str = _ink("#4cc9f0", "the selected unit and layer")
    source: str = _ink("#ffb703", "where the backward picture starts")
    warning: str = _ink("#ff6b6b", "warnings")
    changed: str = _ink("#c08cff", "units that you have changed, and what that does")
    lost: str = _ink("#5c4688", "what a score has lost by it")
    stale: str = _ink("#000000", "old pictures are mixed with it, half and half")
    tile_line: str = _ink("#2c313b", "between the maps of the grid")
    gradient_line: str = _ink("#333380", "the same while it shows gradients")
    nan: str = _ink("#ff6b6b", "values that are not numbers")
    font: str = _setting(
        "sans",
        "sans, italic, or a TrueType file",
        _font,
        "sans, italic, or a TrueType file that is there",
    )
    text_size: float | None = _setting(
        None,
        "height of the font, as far as there is room; null: 13 to 15, by the canvas",
        or_none(amount(9, 24)),
        "pixels from 9 to 24, or null",
    )
    gap: float = _length(8, 0, 32, "between panes")
    pad: float = _length(8, 2, 12, "in a pane, around what it shows")
    tile_gap: float = _length(3, 0, 24, "between the maps of the grid; at most 2 if they are small")
    line: float = _length(2, 1, 6, "thickness of outlines")
    corner: float = _length(4, 0, 12, "radius of the corners of buttons")


@lru_cache(maxsize=8)
def inks_of(theme: Theme) -> Mapping[Ink, int]:
    """The colours as packed pixels, 0xRRGGBB."""
    return {ink: int(getattr(theme, ink.value).removeprefix("#"), 16) for ink in Ink}


PaneName: TypeAlias = Literal["input", "unit", "backprop", "classes", "details"]
"""Those that may stand in either column, or be left out."""

PANE_NAMES: Final[tuple[PaneName, ...]] = get_args(PaneName)

_NAMES: Final = f"a list of these: {', '.join(PANE_NAMES)}"

MOST_OF_WIDTH: Final = 0.7
"""What both columns may take of the canvas's width; the rest is the grid's."""


def _known(name: Any) -> PaneName:
    if name not in PANE_NAMES:
        nearest = did_you_mean(str(name), PANE_NAMES)
        raise ConfigError(f"there is no pane {name!r}{nearest}; there are: {', '.join(PANE_NAMES)}")
    known: PaneName = name
    return known


def _column(value: Any) -> tuple[PaneName, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError("no list")
    names = tuple(_known(name) for name in value)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"'{name}' stands there twice; keep one of them")
    return names


def _heights(value: Any) -> tuple[tuple[PaneName, float], ...]:
    if not isinstance(value, Mapping):
        raise TypeError("no mapping")
    weight = amount(0.1, 10)
    return tuple((_known(name), weight(each)) for name, each in value.items())


def _place(value: Any) -> Any:
    if value not in get_args(LayersPlace):
        raise ValueError("no place")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("no switch")
    return value


LayersPlace: TypeAlias = Literal["above", "below", "hidden"]


def _width(help_text: str) -> Any:
    expects = "a share of the width from 0.1 to 0.5, or null"
    return _setting(None, help_text, or_none(amount(0.1, 0.5)), expects)


@dataclass(frozen=True, kw_only=True, slots=True)
class Panes:
    """Which panes stand where. The grid is always in the middle."""

    left: tuple[PaneName, ...] = _setting(
        ("input", "unit", "backprop"), "of the left column, from top to bottom", _column, _NAMES
    )
    right: tuple[PaneName, ...] = _setting(
        ("classes", "details"), "of the right one, which folds away below 1100 px", _column, _NAMES
    )
    left_width: float | None = _width("share of the window's width; null: what the panes need")
    right_width: float | None = _width("likewise")
    heights: tuple[tuple[PaneName, float], ...] = _setting(
        (),
        "weights of panes within their columns; without one it is 1, of the classes what they need",
        _heights,
        "panes with weights from 0.1 to 10, such as {unit: 2}",
    )
    layers: LayersPlace = _setting(  # noqa: RUF009
        "above",
        "the list of layers: above the grid, below, or hidden",
        _place,
        "above, below or hidden",
    )
    header: bool = _setting(True, "whether there is a line at the top", _switch, "true or false")
    status: bool = _setting(True, "whether there is one at the bottom", _switch, "true or false")

    def weight(self, pane: str) -> float | None:
        """What it takes of its column beside others; None where nobody has said."""
        return next((weight for name, weight in self.heights if name == pane), None)

"""The default theme's colours as packed pixels, for tests that count them on a canvas."""

from typing import Final

from rtvis.theme import Ink, Theme, inks_of

INKS: Final = inks_of(Theme())

BACKGROUND: Final = INKS[Ink.BACKGROUND]
PANEL: Final = INKS[Ink.PANEL]
RAISED: Final = INKS[Ink.RAISED]
LIT: Final = INKS[Ink.LIT]
HAIRLINE: Final = INKS[Ink.HAIRLINE]
TEXT: Final = INKS[Ink.TEXT]
DIM: Final = INKS[Ink.DIM]
FAINT: Final = INKS[Ink.FAINT]
SELECTED: Final = INKS[Ink.SELECTED]
SOURCE: Final = INKS[Ink.SOURCE]
WARNING: Final = INKS[Ink.WARNING]
CHANGED: Final = INKS[Ink.CHANGED]

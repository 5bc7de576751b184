"""A colour for each class of a label picture: told apart also by colour-blind eyes."""

from functools import lru_cache
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from rtvis.data import ImageU8
from rtvis.render import lut
from rtvis.theme import Ink, Theme, inks_of

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

NUM_COLOURS: Final = 32
"""More cannot be told apart; the class after that has the first colour again."""

BACKGROUND_NAMES: Final = frozenset({"background", "__background__", "unlabeled", "void"})
"""Classes that are left out of the label picture: there is the photograph."""


_INKS: Final = inks_of(Theme())

HUE_GAPS: Final = {_INKS[Ink.SELECTED]: 45.0, _INKS[Ink.SOURCE]: 18.0, _INKS[Ink.WARNING]: 18.0}
"""Colours with a meaning on the canvas, and the degrees of hue (CIE L*a*b*) that every class keeps
from each: much passes for cyan."""

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
_PROTANOPIA: Final = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)
_DEUTERANOPIA: Final = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)


@lru_cache(maxsize=1)
def class_colours() -> ImageU8:
    """uint8 RGB [32, 3]: each as far as can be from all before it, for normal and for red- and
    green-blind eyes alike, and far from the interface's cyan, amber and red."""
    levels = np.linspace(0, 255, 12).round()
    rgb_N3 = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab_N3 = as_lab(rgb_N3)
    chroma_N = np.hypot(lab_N3[:, 1], lab_N3[:, 2])
    # Neither as dark or pale as a photograph's own greys, nor a colour that has a meaning here.
    usable_N = (lab_N3[:, 0] > 38) & (lab_N3[:, 0] < 92) & (chroma_N > 30)
    for word, gap in HUE_GAPS.items():
        taken_3 = as_lab(np.array([lut.channels(word)], float))[0]
        usable_N &= hue_between(lab_N3, taken_3) > gap
    rgb_N3 = rgb_N3[usable_N]
    seen = [as_lab(seen_by(rgb_N3, eye)) for eye in EYES]
    # Begin with the strongest blue: blue-yellow is what all of these eyes see.
    chosen = [int((rgb_N3 @ np.array([-1.0, -1.0, 2.0])).argmax())]
    nearest_N = np.full(len(rgb_N3), np.inf)
    while len(chosen) < NUM_COLOURS:
        for lab in seen:
            np.minimum(nearest_N, np.linalg.norm(lab - lab[chosen[-1]], axis=1), out=nearest_N)
        chosen.append(int(nearest_N.argmax()))
    colours: ImageU8 = rgb_N3[chosen].astype(np.uint8)
    return colours


def class_colour(index: int) -> int:
    """Packed pixel of one class."""
    red, green, blue = (int(level) for level in class_colours()[index % NUM_COLOURS])
    return red << 16 | green << 8 | blue


EYES: Final = (np.eye(3), _PROTANOPIA, _DEUTERANOPIA)
"""What eyes make of linear RGB: normal, red-blind, green-blind."""


def hue_between(lab_N3: Floats, other_3: Floats) -> Floats:
    """Degrees between hues, 0..180."""
    hue_N = np.degrees(np.arctan2(lab_N3[..., 2], lab_N3[..., 1]))
    other = np.degrees(np.arctan2(other_3[2], other_3[1]))
    apart: Floats = np.abs((hue_N - other + 180) % 360 - 180)
    return apart


def seen_by(rgb_N3: Floats, eye: Floats) -> Floats:
    """RGB 0..255 as an eye of `EYES` sees it."""
    linear = (rgb_N3 / 255) ** 2.2
    seen: Floats = np.clip(linear @ eye.T, 0, 1) ** (1 / 2.2) * 255
    return seen


def as_lab(rgb_N3: Floats) -> Floats:
    """CIE L*a*b* of RGB 0..255."""
    bytes_1N3 = (rgb_N3[None] / 255).astype(np.float32)
    lab: Floats = cv2.cvtColor(bytes_1N3, cv2.COLOR_RGB2LAB)[0]
    return lab

"""The colour tables of the data. What the screen itself is drawn in is a theme's (`rtvis.theme`).

A pixel is one 32-bit word, blue in the lowest byte (BGRA in memory), so 0xRRGGBB is its own word.
"""

from functools import lru_cache
from typing import Final, Literal, NamedTuple, assert_never

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.theme import Ink, Theme, inks_of

ZERO: Final = 0x14161A
"""The colour of zero in every map; that of the default theme's background."""

STEPS: Final = 255
"""Colours on either side of zero."""
SEQUENTIAL_ZERO: Final = STEPS
"""Index of zero in the part of a table for values that are not negative."""
DIVERGING_ZERO: Final = SEQUENTIAL_ZERO + 2 * STEPS + 1
"""Index of zero in the part for signed values."""
NAN_INDEX: Final = DIVERGING_ZERO + STEPS + 1
GAP_INDEX: Final = NAN_INDEX + 1
PANEL_INDEX: Final = GAP_INDEX + 1
TABLE_SIZE: Final = PANEL_INDEX + 1

Palette = Literal["colour", "jet", "grey", "gradient"]


class Ground(NamedTuple):
    """What is no value of a map, as packed pixels."""

    nan: int
    line: int
    """Between tiles."""
    gradient_line: int
    """Between tiles of gradients (DVT-25)."""
    panel: int
    """Where there is no tile."""


def ground_of(theme: Theme) -> Ground:
    """That of a theme."""
    inks = inks_of(theme)
    return Ground(inks[Ink.NAN], inks[Ink.TILE_LINE], inks[Ink.GRADIENT_LINE], inks[Ink.PANEL])


DEFAULT_GROUND: Final = ground_of(Theme())


@lru_cache(maxsize=32)
def table_words(
    palette: Palette, gamma: float = 1.0, ground: Ground = DEFAULT_GROUND
) -> npt.NDArray[np.int32]:
    """One table for every map: int32 [TABLE_SIZE] of packed pixels.

    Two ramps of 511 entries lie one after the other, each with zero in its middle, so that a value
    in [-1, 1] becomes an index by one multiplication and one addition, whichever ramp it uses. The
    lower half of the sequential ramp is the colour of zero: a value that falls below a range that
    starts at zero is drawn as zero. Then follow the colours of NaN, of
    the lines between tiles, and of the panel.

    Args:
        palette: Which colours.
        gamma: A value v has the colour of sign(v) |v|^gamma: it costs nothing to draw (DVT-40).
        ground: Colours of what is no data.
    """
    upward, signed = _ramps(palette)
    share_K = (np.arange(STEPS + 1) / STEPS) ** gamma
    steps_K = np.round(share_K * STEPS).astype(np.int64)
    upward, signed = upward[steps_K], signed[STEPS + np.concatenate([-steps_K[:0:-1], steps_K])]
    ramps_K3 = np.concatenate([np.repeat(upward[:1], STEPS, axis=0), upward, signed])
    words = pack_host(ramps_K3)
    line = ground.gradient_line if palette == "gradient" else ground.line
    whole = np.concatenate([words, np.array([ground.nan, line, ground.panel], np.int32)])
    whole.flags.writeable = False
    return whole


def _ramps(palette: Palette) -> tuple[ImageU8, ImageU8]:
    """uint8 [256, 3] from zero up, and [511, 3] with zero in the middle."""
    match palette:
        case "colour":
            return sequential_ramp(), diverging_ramp()
        case "grey":
            return _grey_ramp(ZERO, 0xF4F6F8, 256), _grey_ramp(ZERO, 0xF4F6F8, 511)
        case "jet":
            jet_K3 = colormap_bytes("jet")
            return jet_K3, jet_K3[np.arange(2 * STEPS + 1) * 256 // (2 * STEPS + 1)]
        case "gradient":  # DVT-25: green and red, and nothing is black
            above, below = _grey_ramp(0, 0x00FF00, 256), _grey_ramp(0, 0xFF0000, 256)
            return above, np.concatenate([below[:0:-1], above])
        case _:
            assert_never(palette)


@lru_cache(maxsize=32)
def table(
    palette: Palette, device: torch.device, gamma: float = 1.0, ground: Ground = DEFAULT_GROUND
) -> Tensor:
    """`table_words` on a device."""
    return torch.tensor(table_words(palette, gamma, ground), device=device)


ColorMap = Literal["turbo", "jet"]


@lru_cache(maxsize=2)
def colormap_bytes(name: ColorMap) -> ImageU8:
    """uint8 [256, 3] RGB."""
    return _cv2_map(cv2.COLORMAP_TURBO if name == "turbo" else cv2.COLORMAP_JET)


@lru_cache(maxsize=8)
def colormap(name: ColorMap, device: torch.device) -> Tensor:
    """float32 [256, 3] RGB, 0..1, on a device."""
    return torch.from_numpy(colormap_bytes(name).astype(np.float32) / 255).to(device)


def pack_host(rgb_K3: ImageU8) -> npt.NDArray[np.int32]:
    """Packed pixels of uint8 RGB triples [..., 3]."""
    rgb = rgb_K3.astype(np.int32)
    words: npt.NDArray[np.int32] = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    return words


def channels(word: int) -> tuple[int, int, int]:
    """(red, green, blue) of a packed pixel, 0..255."""
    return (word >> 16) & 0xFF, (word >> 8) & 0xFF, word & 0xFF


def sequential_ramp() -> ImageU8:
    """uint8 [256, 3] RGB: viridis that rises from the background instead of from violet.

    Most maps are mostly zero. With plain viridis, zero is a bright violet that fills the screen.
    """
    viridis_K3 = _cv2_map(cv2.COLORMAP_VIRIDIS).astype(np.float64)
    share = np.clip(np.arange(256) / 56.0, 0.0, 1.0)
    share = (share * share * (3 - 2 * share))[:, None]
    mixed = (1 - share) * np.array(channels(ZERO)) + share * viridis_K3
    return _bytes(mixed)


def diverging_ramp() -> ImageU8:
    """uint8 [511, 3] RGB: zero is the background, ends are DV-41's pale red and pale blue.

    Lightness (CIE L*) rises evenly from zero to either end, so equal magnitudes look equally
    strong whatever their sign.
    """
    above = _even_lightness((0x14161A, 0x8C1D4F, 0xE4573D, 0xFFB28A, 0xFFE3E3), 256)
    below = _even_lightness((0x14161A, 0x1E4A9E, 0x3F83E0, 0x93BFF6, 0xD4FAFF), 256)
    ramp_K3: ImageU8 = np.concatenate([below[:0:-1], above])
    return ramp_K3


def _even_lightness(anchors: tuple[int, ...], steps: int) -> ImageU8:
    rgb_K3 = np.array([channels(word) for word in anchors], np.float32) / 255
    lab_K3 = cv2.cvtColor(rgb_K3[None], cv2.COLOR_RGB2LAB)[0]
    wanted = np.linspace(lab_K3[0, 0], lab_K3[-1, 0], steps)
    ramp_K3 = np.stack(
        [wanted, *(np.interp(wanted, lab_K3[:, 0], lab_K3[:, i]) for i in (1, 2))], axis=1
    )
    rgb = cv2.cvtColor(ramp_K3[None].astype(np.float32), cv2.COLOR_LAB2RGB)[0]
    out = _bytes(np.clip(rgb, 0, 1) * 255)
    out[0] = channels(anchors[0])
    return out


def _grey_ramp(low: int, high: int, steps: int) -> ImageU8:
    ends = np.array([channels(low), channels(high)], np.float64)
    share = np.linspace(0, 1, steps)[:, None]
    return _bytes((1 - share) * ends[0] + share * ends[1])


def _cv2_map(code: int) -> ImageU8:
    bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], code)[0]
    return np.ascontiguousarray(bgr[:, ::-1])


def _bytes(numbers: npt.NDArray[np.floating]) -> ImageU8:
    return np.asarray(np.round(numbers), dtype=np.uint8)

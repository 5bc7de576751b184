"""Small pictures of all units of a layer in one file, so that they come in one go.

The file lies beside the pictures that it was made of, with their checksums: what has changed since
is not given.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np

from rtvis.data import ImageU8
from rtvis.errors import StoreError
from rtvis.units import names
from rtvis.units.cache import decoded
from rtvis.units.contents import files_by_unit
from rtvis.units.store import Store
from rtvis.units.writer import StoreWriter

_COLUMNS: Final = 32
_PER_MONTAGE: Final = _COLUMNS * _COLUMNS
"""No side of a JPEG is longer than 65,500 pixels."""
_QUALITY: Final = 95
_BLOCK: Final = 16
"""JPEG codes colours in squares of so many pixels: what shares none does not touch."""


def current(store: Store, layer: str, picture: str) -> dict[int, str]:
    """Unit -> checksum of the picture of this name, of all units of a layer that have it.

    Raises:
        StoreError: A file is damaged.
    """
    found = files_by_unit(store, layer)
    return {unit: files[picture] for unit, files in found.items() if picture in files}


def read_pack(
    store: Store, layer: str, picture: str, digests: Mapping[int, str]
) -> dict[int, ImageU8]:
    """The tiles that are still those of their pictures.

    Args:
        store: Has it.
        layer: Its name.
        picture: What tiles were made of, such as "crop_00.jpg".
        digests: From `current`.

    Returns:
        Unit -> uint8 RGB; none where there is no such file, or it is damaged: the pictures are
        there all the same.
    """
    try:
        arrays = store.read_arrays(layer, names.tile_pack(picture))
        return {} if arrays is None else _unpacked(arrays, digests)
    except (StoreError, KeyError, ValueError, IndexError):
        return {}


def write_pack(
    writer: StoreWriter,
    layer: str,
    picture: str,
    tiles: Mapping[int, ImageU8],
    digests: Mapping[int, str],
) -> bool:
    """Write tiles of one size in one file; whether they are of one size.

    Raises:
        StoreError: It cannot be written.
    """
    units = sorted(tiles.keys() & digests.keys())
    if len({tiles[unit].shape for unit in units}) != 1:
        return False
    height, width = tiles[units[0]].shape[:2]
    arrays: dict[str, Any] = {
        "unit_M": np.array(units),
        "digest_M": np.array([digests[unit] for unit in units]),
        "size_2": np.array([height, width]),
    }
    for number, first in enumerate(range(0, len(units), _PER_MONTAGE)):
        some = [tiles[unit] for unit in units[first : first + _PER_MONTAGE]]
        arrays[f"jpeg_{number}"] = _montage(some, height, width)
    writer.write_arrays(layer, names.tile_pack(picture), arrays)
    return True


def _pitch(side: int) -> int:
    return math.ceil(side / _BLOCK) * _BLOCK


def _place(index: int, height: int, width: int) -> tuple[int, int]:
    """Top and left of a tile in its montage."""
    row, column = divmod(index % _PER_MONTAGE, _COLUMNS)
    return row * _pitch(height), column * _pitch(width)


def _montage(tiles: list[ImageU8], height: int, width: int) -> Any:
    rows = math.ceil(len(tiles) / _COLUMNS)
    columns = min(len(tiles), _COLUMNS)
    whole_HW3 = np.zeros((rows * _pitch(height), columns * _pitch(width), 3), np.uint8)
    for index, tile_HW3 in enumerate(tiles):
        top, left = _place(index, height, width)
        # Edges go on into the gap, so that they are not coded as a jump.
        whole_HW3[top : top + _pitch(height), left : left + _pitch(width)] = np.pad(
            tile_HW3,
            ((0, _pitch(height) - height), (0, _pitch(width) - width), (0, 0)),
            mode="edge",
        )
    how = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(whole_HW3, cv2.COLOR_RGB2BGR), how)
    assert done, f"JPEG refuses {whole_HW3.shape}"
    return encoded


def _unpacked(arrays: Mapping[str, Any], digests: Mapping[int, str]) -> dict[int, ImageU8]:
    height, width = arrays["size_2"].tolist()
    montages: dict[int, ImageU8 | None] = {}
    tiles: dict[int, ImageU8] = {}
    pairs = zip(arrays["unit_M"].tolist(), arrays["digest_M"].tolist(), strict=True)
    for index, (unit, digest) in enumerate(pairs):
        if digests.get(unit) != digest:
            continue
        number = index // _PER_MONTAGE
        if number not in montages:
            montages[number] = decoded(arrays[f"jpeg_{number}"].tobytes())
        whole_HW3 = montages[number]
        if whole_HW3 is None:
            continue
        top, left = _place(index, height, width)
        tile_HW3 = whole_HW3[top : top + height, left : left + width]
        if tile_HW3.shape == (height, width, 3):
            tiles[unit] = np.ascontiguousarray(tile_HW3)
    return tiles

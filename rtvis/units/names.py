"""What is called what in a store: every name of a file and folder is written here and only here.

The name of a layer or network becomes that of a folder which every file system takes and which
stands in a link as it is: letters, digits, `.`, `_` and `-` stay, and any other character is `=`
with two hex digits for each of its bytes in UTF-8: `conv#2` is `conv=232`. File systems that do not
tell large from small letters would mix up `Conv` and `conv`, so that a name with large ones gets
`~` and, as a hex number, which of its letters they are: `Conv` is `Conv~1`, `mixedA.B` is
`mixedA.B~60`. A name too long for a file system is cut, with a digest of all of it behind `~~`.
"""

import hashlib
import re
from typing import Final

STORE: Final = "store.json"
"""Which network's store it is."""
SUMS: Final = "SHA256SUMS"
"""Checksums of a folder's files, as `sha256sum --check` reads them."""
JOURNAL: Final = "SHA256SUMS.journal"
"""Those of files that are being written now."""
LOCK: Final = "writer.lock"
"""Who writes to the store."""
ITEMS: Final = "items"
"""How the names of files about the scanned data begin."""
ITEMS_ARRAYS: Final = f"{ITEMS}.npz"
"""The list of what was scanned."""
LAYER: Final = "layer.json"
"""Of a layer: its name, kind, units, map."""
TOP: Final = "top.npz"
"""The strongest inputs of a layer's units."""
STATISTICS: Final = "statistics.npz"
SELECTIVITY: Final = "selectivity.npz"
INPUTS: Final = "inputs.json"
"""Of a unit: which inputs its pictures are of, the strongest first."""
OPTIMIZED: Final = "optimized"
"""How the names of a unit's optimised inputs begin."""
DOWN: Final = "down"
"""Marks an optimised input that drives its unit down."""
WHOLE: Final = "layer"
"""Marks one that drives all of its layer."""
PAGE: Final = "index.html"
"""Of the store, and of a layer."""
SHEETS: Final = "sheets.json"
"""What a layer's sheets were made of."""
STRIP: Final = "strip.jpg"
"""A few units of a layer in a row."""
STYLE: Final = "style.css"
SCRIPT: Final = "script.js"

_OURS: Final = (STORE, SUMS, JOURNAL, LOCK, PAGE, STYLE, SCRIPT)
_DEVICES: Final = (
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{a}{n}" for a in ("com", "lpt") for n in "123456789"),
)
"""What Windows takes for a device whatever stands behind its first dot."""
_MAX_BYTES: Final = 200
"""Of a folder's name; file systems take 255, and encrypted ones 143 of what they are given."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]")


def unit(number: int) -> str:
    """`0130`: the folder of a unit's pictures, and the name of its page without the suffix."""
    return f"{number:04d}"


def unit_page(number: int) -> str:
    """`0130.html`."""
    return f"{unit(number)}.html"


def ranked(kind: str, rank: int) -> str:
    """`crop_00.jpg`: a picture of a unit that there is one of for each of its top inputs.

    Args:
        kind: "crop", "full", "gradient", "guided" or "deconvnet", or what `linear` gives.
        rank: 0 is the strongest.
    """
    return f"{kind}_{rank:02d}.jpg"


def linear(rule: str) -> str:
    """`deconvnet_raw`: the kind of a backward picture with all of its range, for an export; the one
    without `_raw` is to be looked at."""
    return f"{rule}_raw"


def optimized(preset: str, seed: int, suffix: str) -> str:
    """`optimized_default_0.png`: an optimised input of a unit; `.npz` has its numbers, `.json` says
    how it was made.

    Args:
        preset: Its name.
        seed: Of the random numbers.
        suffix: With its dot.
    """
    return f"{OPTIMIZED}_{folder_of(preset)}_{seed}{suffix}"


def label(preset: str, mark: str, digest: str) -> str:
    """`default-0e0380`: a preset of which numbers were changed; `default-down-0e0380` with a mark.

    Args:
        preset: Its name.
        mark: DOWN, WHOLE, or "".
        digest: Of the numbers.
    """
    return "-".join(part for part in (preset, mark, digest) if part)


def mark_of(picture: str) -> str:
    """DOWN or WHOLE of the name of an optimised input; "" for one that drives its unit up."""
    return next((mark for mark in (DOWN, WHOLE) if f"-{mark}-" in picture), "")


def sheet(kind: str, number: int) -> str:
    """`sheet_crop_000.jpg`: small pictures of many units in rows."""
    return f"sheet_{kind}_{number:03d}.jpg"


def tile_pack(picture: str) -> str:
    """`tiles_crop_00.npz`: small pictures of all units of a layer, made of theirs of that name."""
    return f"tiles_{picture.rpartition('.')[0]}.npz"


def folder_of(name: str) -> str:
    """The folder for a layer's or a network's name; see above."""
    letters = [letter for letter in name if letter.isascii() and letter.isalpha()]
    large = sum(1 << bit for bit, letter in enumerate(letters) if letter.isupper())
    folder = "".join(_escaped(letter) for letter in name)
    stem = folder.casefold().split(".")[0]
    if (
        stem in _DEVICES
        or folder.casefold() in {ours.casefold() for ours in _OURS}
        or (folder[:1] in {".", "-"} or stem == ITEMS)
    ):
        folder = _escape(folder[0]) + folder[1:]
    if folder.endswith("."):  # Windows drops it
        folder = folder[:-1] + _escape(".")
    folder = folder or "="
    if large:
        folder = f"{folder}~{large:x}"
    if len(folder) > _MAX_BYTES:
        digest = hashlib.blake2b(name.encode(), digest_size=10).hexdigest()
        return f"{folder[: _MAX_BYTES - 30]}~~{digest}"
    return folder


def name_of(folder: str) -> str | None:
    """The layer's or network's name that `folder` stands for; None where it was cut, or is none."""
    if folder == "=":
        return ""
    plain = folder.split("~", maxsplit=1)[0]
    found = re.sub(rb"=([0-9a-f]{2})", lambda at: bytes([int(at[1], 16)]), plain.encode())
    try:
        name = found.decode()
    except UnicodeDecodeError:
        return None
    return name if folder_of(name) == folder else None


def _escaped(letter: str) -> str:
    return letter if _PLAIN.fullmatch(letter) else _escape(letter)


def _escape(letter: str) -> str:
    return "".join(f"={byte:02x}" for byte in letter.encode())

"""The folder `moments` that is saved beside a state, and read again with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from rtvis.data import ImageU8
from rtvis.errors import ConfigError
from rtvis.filing import read_npz
from rtvis.plain import Plain, from_plain, to_plain

_ARRAYS: Final = "moments.npz"
_ABOUT: Final = "moments.json"
_PICTURES: Final = "pictures"
_OTHERS: Final = "others"
_KINDS: Final = {"values_CN": "f", "clip_CN": "i", "seconds_CN": "f", "frame_CN": "i"}
"""Of what must be in the file, the kinds of numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedClip:
    """A film, camera or picture that moments lie in."""

    kind: Literal["film", "camera", "picture"]
    name: str
    path: str | None = None
    begun: float = 0.0
    """Of a camera: seconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AboutMoments:
    """What the numbers are of."""

    layer: str
    tap: str
    unit: int
    """The selected one, whose crops there are; 0 in another layer than the selected."""
    apart_seconds: float
    frames_seen: int
    since: float
    """When counting began: seconds since 1970."""
    input_size: tuple[int, int]
    """(height, width) of the pictures."""
    field: tuple[int, int]
    """(height, width) of what a neuron sees of them."""
    query: tuple[int, int] | None = None
    """At attention."""
    pictures_given_up: int = 0
    """Of any layer, for want of room."""
    clips: tuple[SavedClip, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SavedMoments:
    """The best moments of a layer so far, in host memory."""

    arrays: Mapping[str, npt.NDArray[Any]]
    """Of all units, best first: "values_CN" (-inf where there is none), "clip_CN", "seconds_CN",
    "position_CN2", "frame_CN" (-1 where there is none); and where the crop of a neuron begins in
    its picture: "top_H" of its row, "left_W" of its column. "past_FC" and "past_when_F" are the
    frames just past, with which the next ones are compared: each unit's largest value, and the
    time in microseconds, 2**44 for each clip before it."""
    about: AboutMoments
    crops: Mapping[str, ImageU8] = field(default_factory=dict)
    """RGB, of the selected unit: file name -> what the neuron saw."""
    pictures: Mapping[int, ImageU8] = field(default_factory=dict)
    """RGB: number of a frame -> what the network saw; of all units of all layers, if they were
    asked for."""
    others: "tuple[SavedMoments, ...]" = ()
    """Of layers that were looked at before, without crops, their pictures among these."""


def write_moments(folder: Path, moments: SavedMoments) -> None:
    """Write into a new folder.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir()
    arrays: dict[str, Any] = dict(moments.arrays)
    np.savez(folder / _ARRAYS, **arrays)
    plain: Plain = to_plain(moments.about)
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    (folder / _ABOUT).write_text(text + "\n", encoding="utf-8")
    for name, crop_HW3 in moments.crops.items():
        _write_png(folder / name, crop_HW3)
    if moments.pictures:
        (folder / _PICTURES).mkdir()
    for number, image_HW3 in moments.pictures.items():
        _write_png(folder / _PICTURES / f"{number:08d}.png", image_HW3)
    if moments.others:
        (folder / _OTHERS).mkdir()
    for place, other in enumerate(moments.others):
        write_moments(folder / _OTHERS / f"{place:02}", other)


def _write_png(path: Path, image_HW3: ImageU8) -> None:
    image_bgr_HW3 = np.ascontiguousarray(image_HW3[..., ::-1])
    # Level 1: hundreds of pictures, and the film goes on.
    done, encoded = cv2.imencode(".png", image_bgr_HW3, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, f"PNG refuses {image_HW3.shape}"
    path.write_bytes(encoded.tobytes())


def read_moments_folder(folder: Path) -> SavedMoments:
    """What was saved, without the crops.

    Raises:
        ConfigError: It cannot be read, or is damaged.
    """
    about_file, arrays_file = folder / _ABOUT, folder / _ARRAYS
    try:
        plain = json.loads(about_file.read_text(encoding="utf-8"))
        about = from_plain(AboutMoments, plain, where=f"{about_file}: ")
        arrays = read_npz(arrays_file)
        pictures = {
            int(path.stem): _read_png(path) for path in sorted((folder / _PICTURES).glob("*.png"))
        }
    except OSError as error:
        raise ConfigError(f"{folder}: cannot read it: {error.strerror or error}") from None
    except ValueError:
        raise ConfigError(f"{folder}: is damaged; {_WAY_OUT}") from None
    _check(folder, about, arrays, pictures)
    others = tuple(read_moments_folder(each) for each in sorted((folder / _OTHERS).glob("*")))
    return SavedMoments(arrays=arrays, about=about, pictures=pictures, others=others)


_WAY_OUT: Final = "take the line `moments` out of the state"


def _read_png(path: Path) -> ImageU8:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(path)
    return np.ascontiguousarray(image[..., ::-1])


def _check(
    folder: Path,
    about: AboutMoments,
    arrays: Mapping[str, npt.NDArray[Any]],
    pictures: Mapping[int, ImageU8],
) -> None:
    """That the parts fit together."""
    found = {name: arrays[name].dtype.kind for name in _KINDS if name in arrays}
    shapes = {arrays[name].shape for name in found}
    fits = found == _KINDS and len(shapes) == 1 and "position_CN2" in arrays
    if fits:
        (shape,) = shapes
        clip_CN, position_CN2 = arrays["clip_CN"], arrays["position_CN2"]
        fits = len(shape) == 2 and position_CN2.shape == (*shape, 2)
        fits = fits and position_CN2.dtype.kind == "i"
        fits = fits and bool((clip_CN < len(about.clips)).all() and (clip_CN >= -1).all())
        past_FC, when_F = (arrays.get(name, np.empty(0)) for name in ("past_FC", "past_when_F"))
        fits = fits and past_FC.shape == (len(when_F), shape[0]) and past_FC.dtype == np.float32
        fits = fits and when_F.dtype == np.int64
    sizes = {image.shape[:2] for image in pictures.values()}
    if not fits or not sizes <= {about.input_size}:
        raise ConfigError(f"{folder}: its parts do not fit together; {_WAY_OUT}")

"""A store's pictures for others: as it is, or under the names that other tools look for.

`units` are the files of DVT's crop_max_patches (DVT-84, -85), `montages` what DVT's viewer reads
(DVT-89), `channels` DeepVis' export (DV-11), `runs` those of its optimize_image (DVT-76).
"""

import math
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import torch

from rtvis import filing
from rtvis.data import ImageU8, Layer, Rule
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import StoreError
from rtvis.render.display import norm, norm01_centred, to_bytes
from rtvis.units import names, sums
from rtvis.units.crops import BEYOND, SMALL_SIDE, Window, canvas_of, whole
from rtvis.units.export_runs import optimized_runs
from rtvis.units.montage import montage
from rtvis.units.pages.facts import LayerFacts, facts_of
from rtvis.units.pages.network import network_page
from rtvis.units.store import Store
from rtvis.units.unit_inputs import EXPORTED, UnitInput, read_inputs
from rtvis.units.writer import GONE, encoded

Form: TypeAlias = Literal["folder", "units", "montages", "channels", "runs"]

Files: TypeAlias = Iterator[tuple[str, bytes]]
"""Path in the export, and content."""

_RULE_NAMES: Final[Mapping[Rule, str]] = {"deconvnet": "deconv", "gradient": "backprop"}
"""Of `EXPORTED`."""
_SPRITE, _LARGEST_SHEET = 100, 8192
"""Sides in pixels, of a unit in the picture of a layer and of that picture."""
_ACROSS: Final = 3
"""Rows and columns of a block of a montage."""


def exported(store: Store, layers: Sequence[str], form: Form) -> Files:
    """The files of an export, one after the other.

    Args:
        store: Which.
        layers: Names.
        form: See above.

    Raises:
        StoreError: A file is damaged.
    """
    return _FORMS[form](store, layers)


def _folder(store: Store, layers: Sequence[str]) -> Files:
    """All that is there of these layers, with pages and checksums that know of no others."""
    identity = store.identity
    assert identity is not None, "it has layers"
    top: dict[str, bytes] = {}
    for path in sorted(store.folder.iterdir()):
        ours = {names.SUMS, names.JOURNAL, names.LOCK, names.PAGE}
        is_state = path.name.startswith(f"{names.ITEMS}_")
        if path.is_file() and path.name not in ours and not is_state and path.name[0] != ".":
            top[path.name] = path.read_bytes()
    for layer in layers:
        folder = names.folder_of(layer)
        for path in sorted(store.path(layer).rglob("*")):
            within = path.relative_to(store.folder)
            if not path.is_file() or any(part.startswith((".", GONE)) for part in within.parts):
                continue
            if path.name == names.JOURNAL:
                continue
            if within == Path(folder, names.LAYER):
                top[within.as_posix()] = path.read_bytes()
            else:
                yield within.as_posix(), path.read_bytes()
    if store.path(None, names.PAGE).exists():
        facts = [facts_of(store, store.layer(layer)) for layer in layers]
        with_page = [layer for layer in layers if store.path(layer, names.PAGE).exists()]
        top[names.PAGE] = network_page(identity, facts, with_page)
    lines = "".join(f"{sums.digest_of(data)}  {name}\n" for name, data in sorted(top.items()))
    yield from (top | {names.SUMS: lines.encode()}).items()


def _units(store: Store, layers: Sequence[str]) -> Files:
    identity = store.identity
    assert identity is not None, "it has layers"
    prep = identity.preprocessing
    for facts in _facts(store, layers):
        layer = facts.layer
        for unit in facts.files:
            inputs = read_inputs(store, layer.name, unit)
            if not inputs:
                continue
            folder = f"{names.folder_of(layer.name)}/unit_{unit:04d}"
            for rank, each in enumerate(inputs):
                for name, image_HW3 in _of_input(store, layer, unit, rank, each, prep):
                    yield f"{folder}/{name}_{rank:03d}.png", encoded("a.png", image_HW3)
            yield f"{folder}/info.txt", _info(facts, inputs).encode()


def _of_input(
    store: Store,
    layer: Layer,
    unit: int,
    rank: int,
    each: UnitInput,
    prep: Preprocessing,
) -> Iterator[tuple[str, ImageU8]]:
    crop = store.read_picture(layer.name, unit, names.ranked("crop", rank))
    if crop is not None:
        yield "maxim", _around_grey(_as_seen(crop, each, prep.size), each, prep)
    for rule in EXPORTED:
        name = _RULE_NAMES[rule]
        # Stores of before there were two of them have the whole range in the only one.
        kinds = (names.linear(rule), rule)
        found = (store.read_picture(layer.name, unit, names.ranked(kind, rank)) for kind in kinds)
        image_HW3 = next((each_HW3 for each_HW3 in found if each_HW3 is not None), None)
        if image_HW3 is not None:
            seen_HW3 = _as_seen(image_HW3, each, prep.size)
            yield name, seen_HW3
            # Zero is mid-grey in them: the norm over colours is that of the gradient, but for a
            # factor, which goes with the scaling.
            gradient_3HW = torch.from_numpy(seen_HW3.astype(np.float32) - 127.5).permute(2, 0, 1)
            norm_HW1 = to_bytes(norm(gradient_3HW)).permute(1, 2, 0)
            yield f"{name}norm", norm_HW1.expand(-1, -1, 3).contiguous().numpy()


def _as_seen(image_HW3: ImageU8, each: UnitInput, input_size: tuple[int, int]) -> ImageU8:
    """A crop pixel by pixel as the network saw it: small ones are stored enlarged."""
    canvas = canvas_of(_window_of(each), input_size)
    times = math.ceil(SMALL_SIDE / max(canvas.height, canvas.width))
    return np.ascontiguousarray(image_HW3[times // 2 :: times, times // 2 :: times])


def _around_grey(seen_HW3: ImageU8, each: UnitInput, prep: Preprocessing) -> ImageU8:
    """The numbers that went into the network as DVT draws them, zero in the middle: what lies
    beyond the input is zero there, too."""
    field = _window_of(each)
    canvas = canvas_of(field, prep.size)
    inside = field.within(whole(prep.size)).within(canvas)
    rows, columns = (
        slice(first, first + length)
        for first, length in (
            (inside.top - canvas.top, inside.height),
            (inside.left - canvas.left, inside.width),
        )
    )
    # The crop of a network of other channels shows the first.
    channels = slice(None) if prep.num_channels == 3 else slice(1)
    mean, std = (np.asarray(each, np.float32)[channels] for each in (prep.mean, prep.std))
    x_HW3 = np.zeros(seen_HW3.shape, dtype=np.float32)
    x_HW3[rows, columns] = (seen_HW3[rows, columns] / np.float32(255) - mean) / std
    return to_bytes(norm01_centred(torch.from_numpy(x_HW3))).numpy()


def _window_of(each: UnitInput) -> Window:
    field = each.field
    return Window(
        top=int(field.top), left=int(field.left), height=int(field.height), width=int(field.width)
    )


def _info(facts: LayerFacts, inputs: Sequence[UnitInput]) -> str:
    is_conv = facts.layer.kind == "conv"
    place = " i(if is_conv) j(if is_conv)"
    lines = [f"# is_conv val image_idx image_class{place} filename"]
    number_of = {name: index for index, name in enumerate(facts.classes)}
    for each in inputs:
        label = number_of.get(each.label, -1) if each.label is not None else -1
        position = f" {each.position[0]} {each.position[1]}" if is_conv else ""
        lines.append(f"{is_conv:d} {each.value:g} {each.item} {label}{position} {each.name}")
    return "\n".join(lines) + "\n"


def _montages(store: Store, layers: Sequence[str]) -> Files:
    for facts in _facts(store, layers):
        folder = names.folder_of(facts.layer.name)
        for unit in sorted(facts.files):
            name = f"{folder}/{folder}_{unit:04d}"
            optimized = _pictures(store, facts, unit, facts.driving(unit))
            if optimized:
                image_HW3 = _blocks(optimized)
                yield f"regularized_opt/{name}_montage.jpg", encoded("a.jpg", image_HW3)
            for kind, where in (("crop", "max_im"), ("deconvnet", "max_deconv")):
                ranks = range(_ACROSS**2)
                found = _pictures(store, facts, unit, [names.ranked(kind, i) for i in ranks])
                if found:
                    image_HW3 = montage(found, columns=_ACROSS, rows=_ACROSS)
                    yield f"{where}/{name}.jpg", encoded("a.jpg", image_HW3)
        if any(facts.driving(unit) for unit in facts.files):
            image_HW3 = _whole_layer(store, facts)
            yield f"regularized_opt/{folder}/whole_layer.jpg", encoded("a.jpg", image_HW3)


def _whole_layer(store: Store, facts: LayerFacts) -> ImageU8:
    """As many rows as columns, without lines: the viewer divides it by that, and finds a unit by
    its number (DVT-34)."""
    across = math.ceil(math.sqrt(facts.layer.num_units))
    side = max(min(_SPRITE, _LARGEST_SHEET // across), 1)
    sheet_HW3 = np.full((across * side, across * side, 3), BEYOND, dtype=np.uint8)
    for unit in facts.files:
        for image_HW3 in _pictures(store, facts, unit, facts.driving(unit)[:1]):
            row, column = divmod(unit, across)
            sheet_HW3[row * side : (row + 1) * side, column * side : (column + 1) * side] = montage(
                [image_HW3], columns=1, tile=(side, side)
            )
    return sheet_HW3


def _blocks(images_HW3: Sequence[ImageU8]) -> ImageU8:
    """2x2 blocks of 3x3 pictures; the lower left one, which the viewer shows, is filled first."""
    height, width = (max(image.shape[axis] for image in images_HW3) for axis in (0, 1))
    empty = np.zeros((1, 1, 3), dtype=np.uint8)
    blocks = []
    for first in range(0, 4 * _ACROSS**2, _ACROSS**2):
        part = images_HW3[first : first + _ACROSS**2] or [empty]
        blocks.append(montage(part, columns=_ACROSS, rows=_ACROSS, tile=(height, width)))
    lower_left, lower_right, upper_left, upper_right = blocks
    return montage([upper_left, upper_right, lower_left, lower_right], columns=2, padding=2)


def _channels(store: Store, layers: Sequence[str]) -> Files:
    for facts in _facts(store, layers):
        for unit in sorted(facts.files):
            for name in facts.driving(unit)[:1]:
                path = store.unit_path(facts.layer.name, unit, name)
                yield f"layer_{facts.layer.index}/{unit}.png", path.read_bytes()


def _facts(store: Store, layers: Sequence[str]) -> Iterator[LayerFacts]:
    return (facts_of(store, store.layer(layer)) for layer in layers)


def _pictures(store: Store, facts: LayerFacts, unit: int, wanted: Sequence[str]) -> list[ImageU8]:
    found = (store.read_picture(facts.layer.name, unit, name) for name in wanted)
    return [image_HW3 for image_HW3 in found if image_HW3 is not None]


_FORMS: Final[Mapping[Form, Callable[[Store, Sequence[str]], Files]]] = {
    "folder": _folder,
    "units": _units,
    "montages": _montages,
    "channels": _channels,
    "runs": optimized_runs,
}


def write_export(files: Files, target: Path, *, force: bool = False) -> Iterator[int]:
    """Write an export to a folder, or to one file if `target` ends in .zip: all of it or nothing.

    In a folder that has something in it, with `force`, files of these names are replaced, and all
    others stay. Where there is nothing to export nothing is made.

    Yields:
        How many files there are by now.

    Raises:
        StoreError: There is something already, or it cannot be written.
    """
    is_taken = target.is_file() or (target.is_dir() and any(target.iterdir()))
    if is_taken and not force:
        raise StoreError(f"{target}: is there already; name another --output, or give --force")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writing = _to_zip if target.suffix.lower() == ".zip" else _to_folder
        yield from writing(files, target)
    except OSError as error:
        raise StoreError(
            f"{error.filename or target}: cannot be written ({error.strerror})"
        ) from None


def _to_zip(files: Files, target: Path) -> Iterator[int]:
    part = target.with_name(f".{target.name}{filing.PART_SUFFIX}")
    try:
        number = 0
        with zipfile.ZipFile(part, "w") as archive:  # pictures do not become smaller
            for number, (name, data) in enumerate(files, start=1):
                archive.writestr(f"{target.stem}/{name}", data)
                yield number
        if number:
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _to_folder(files: Files, target: Path) -> Iterator[int]:
    part = target.with_name(f".{target.name}{filing.PART_SUFFIX}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        number = 0
        for number, (name, data) in enumerate(files, start=1):
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            yield number
        if not number:
            return
        if not target.exists():
            part.rename(target)
            return
        filing.move_all(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)

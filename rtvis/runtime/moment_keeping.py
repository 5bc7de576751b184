"""Moments of a layer as they are saved, and back."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from rtvis.data import ImageU8, Layer, Selection
from rtvis.errors import ConfigError
from rtvis.render.scene import Clip
from rtvis.runtime.moment_clips import SPAN, clip_and_seconds
from rtvis.runtime.moment_files import AboutMoments, SavedClip, SavedMoments
from rtvis.runtime.moment_tiles import cut, window_of
from rtvis.runtime.moments import Gathered, Key, LiveMoments, key_of
from rtvis.units.frame_pool import FramePool
from rtvis.units.moments import NEVER, NUM_TOP, MomentTracker, Ranks

_AT_ONCE: Final = 16
"""Pictures copied in one step: 2 MB, less than a millisecond."""


def saved_moments(moments: LiveMoments, selection: Selection | None) -> SavedMoments | None:
    """The numbers of all units of the selected layer, and the crops of the selected unit; None
    before its first frame. Waits for a GPU."""
    gathered, pool, layer = moments.of(selection), moments.pool, moments.layer_of(selection)
    if gathered is None or pool is None or selection is None or layer is None:
        return None
    unit = selection.unit or 0
    crops = _crops(gathered.tracker.ranks.sorted(), pool, layer, unit)
    return _saved(moments, key_of(selection, layer), layer, gathered, unit=unit, crops=crops)


def saved_others(
    moments: LiveMoments, selection: Selection | None, found: list[SavedMoments]
) -> Iterator[float]:
    """Add the numbers of the layers that are not selected to `found`, in the order in which they
    were looked at.

    Yields:
        The share that is done, after each layer.
    """
    selected, all_gathered = moments.of(selection), list(moments.gathered.items())
    for number, (key, gathered) in enumerate(all_gathered, start=1):
        layer = moments.layer_of(Selection(layer=key[0]))
        if layer is not None and gathered is not selected:
            found.append(_saved(moments, key, layer, gathered))
            yield number / len(all_gathered)


def _saved(
    moments: LiveMoments,
    key: Key,
    layer: Layer,
    gathered: Gathered,
    *,
    unit: int = 0,
    crops: Mapping[str, ImageU8] | None = None,
) -> SavedMoments:
    ranks = gathered.tracker.ranks.sorted()
    clip_NC, seconds_NC = clip_and_seconds(ranks)
    seconds_NC = torch.where(clip_NC >= 0, seconds_NC, torch.nan)
    position_NC2 = torch.stack((ranks.row_NU, ranks.column_NU), dim=2)
    top_H, left_W, field = _windows(layer, moments.input_size)
    past_FC, past_when = gathered.tracker.just_past()
    arrays = {
        "values_CN": ranks.value_NU.T,
        "clip_CN": clip_NC.T,
        "seconds_CN": seconds_NC.T,
        "position_CN2": position_NC2.transpose(0, 1),
        "frame_CN": ranks.frame_NU.T,
        "top_H": top_H,
        "left_W": left_W,
        "past_FC": past_FC,
        "past_when_F": torch.tensor(past_when, dtype=torch.int64),
    }
    _, tap, query = key
    return SavedMoments(
        arrays={name: array.cpu().numpy().copy() for name, array in arrays.items()},
        about=AboutMoments(
            layer=layer.name,
            tap=tap,
            unit=unit,
            apart_seconds=moments.apart_s,
            frames_seen=gathered.tracker.num_frames,
            since=gathered.since_s,
            input_size=moments.input_size,
            field=field,
            query=query,
            pictures_given_up=int(moments.the_pool().num_given_up),
            clips=tuple(_saved_clip(clip) for clip in moments.times.seen),
        ),
        crops=crops or {},
    )


def copied_pictures(moments: LiveMoments, found: dict[int, ImageU8]) -> Iterator[float]:
    """Copy the pictures that units of any layer need into `found`, by number of frame.

    Yields:
        The share that is done, every few pictures: a turn can be made in between. One whose place
        is taken meanwhile is left out.
    """
    pool, all_ranks = moments.pool, [each.tracker.ranks for each in moments.gathered.values()]
    if pool is None or not all_ranks:
        return
    slots = torch.unique(torch.cat([each.slot_NU[pool.holds(each)] for each in all_ranks]))
    frames, places = pool.frame_P[slots].tolist(), slots.tolist()
    pictures = pool.picture_PHW3
    if pictures.device.type != "cpu":  # a copy there costs next to nothing, and stays as it is
        pictures, places = pictures.index_select(0, slots), list(range(len(frames)))
    for first in range(0, len(frames), _AT_ONCE):
        for number, place in zip(
            frames[first : first + _AT_ONCE], places[first : first + _AT_ONCE], strict=True
        ):
            if pictures is not pool.picture_PHW3 or int(pool.frame_P[place]) == number:
                found[number] = pictures[place].cpu().numpy().copy()
        yield min((first + _AT_ONCE) / len(frames), 1.0)


def put_back(moments: LiveMoments, saved: SavedMoments, *, where: Path) -> None:
    """Go on with what was saved, before the first frame.

    Args:
        moments: That know nothing yet.
        saved: What there was.
        where: Where it was read from, for errors.

    Raises:
        ConfigError: It is of another network, or of moments at another distance.
    """
    parts = *saved.others, saved
    pool = moments.the_pool()
    slot_of = pool.put_back(_most_wanted(saved.pictures, parts))
    pool.num_given_up.fill_(saved.about.pictures_given_up)
    clips = max((part.about.clips for part in parts), key=len)  # some came while others were saved
    numbers = [int(part.arrays["frame_CN"].max()) for part in parts]
    moments.put_back(
        {_key(part): _gathered(moments, part, slot_of, where=where) for part in parts},
        [_clip(clip) for clip in clips],
        num_frames=max([*numbers, *saved.pictures]) + 1,
    )


def _key(saved: SavedMoments) -> Key:
    return saved.about.layer, saved.about.tap, saved.about.query


def _gathered(
    moments: LiveMoments, saved: SavedMoments, slot_of: dict[int, int], *, where: Path
) -> Gathered:
    """Of one layer, whose pictures are in these slots of the pool."""
    about = saved.about
    layer = moments.layer_of(Selection(layer=about.layer))
    values_CN = saved.arrays["values_CN"]
    if layer is None or values_CN.shape != (layer.num_units, NUM_TOP):
        raise ConfigError(f"{where}: this network has no layer {about.layer} with as many units")
    if about.input_size != moments.input_size:
        raise ConfigError(f"{where}: is of pictures of another size; give --size as it was")
    if about.apart_seconds != moments.apart_s:
        raise ConfigError(
            f"{where}: these moments are {about.apart_seconds:g} s apart; "
            f"--moments-distance {about.apart_seconds:g} goes on with them"
        )
    tracker = MomentTracker(
        layer.num_units, apart=round(moments.apart_s * 1e6), device=moments.device
    )
    _fill(tracker.ranks, saved, slot_of)
    tracker.num_frames = about.frames_seen
    past_FC = torch.from_numpy(saved.arrays["past_FC"]).to(moments.device)
    tracker.recall(past_FC, saved.arrays["past_when_F"].tolist())
    return Gathered(tracker=tracker, since_s=about.since)


def _fill(ranks: Ranks, saved: SavedMoments, slot_of: dict[int, int]) -> None:
    arrays = saved.arrays
    frame_CN = arrays["frame_CN"].astype(np.int64)
    is_there_CN = frame_CN >= 0
    seconds_CN = np.where(is_there_CN, arrays["seconds_CN"], 0.0)
    when_CN = arrays["clip_CN"].astype(np.int64) * SPAN + np.rint(seconds_CN * 1e6).astype(np.int64)
    slot_CN = np.vectorize(lambda number: slot_of.get(number, -1), otypes=[np.int64])(frame_CN)
    for kept_NU, found_CN in (
        (ranks.value_NU, np.where(is_there_CN, arrays["values_CN"], -np.inf)),
        (ranks.when_NU, np.where(is_there_CN, when_CN, NEVER)),
        (ranks.row_NU, arrays["position_CN2"][..., 0]),
        (ranks.column_NU, arrays["position_CN2"][..., 1]),
        (ranks.frame_NU, frame_CN),
        (ranks.slot_NU, slot_CN),
    ):
        kept_NU.copy_(torch.from_numpy(np.ascontiguousarray(found_CN.T)))


def _most_wanted(
    pictures: Mapping[int, ImageU8], parts: Sequence[SavedMoments]
) -> dict[int, ImageU8]:
    """The pictures, those that most units refer to first: there may be room for fewer."""
    frames = np.concatenate([part.arrays["frame_CN"].ravel() for part in parts])
    numbers, counts = np.unique(frames, return_counts=True)
    count_of = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    order = sorted(pictures, key=lambda number: -count_of.get(number, 0))
    return {number: pictures[number] for number in order}


def _windows(layer: Layer, size: tuple[int, int]) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Where crops begin, for each row and each column of the map, and how large they are."""
    height, width = layer.map_size
    tops = [window_of(layer, size, (row, 0))[0][0] for row in range(height)]
    lefts = [window_of(layer, size, (0, column))[0][1] for column in range(width)]
    return torch.tensor(tops), torch.tensor(lefts), window_of(layer, size, (0, 0))[1]


def _crops(ranks: Ranks, pool: FramePool, layer: Layer, unit: int) -> dict[str, ImageU8]:
    crops = {}
    for place in pool.holds(ranks)[:, unit].nonzero().flatten().tolist():
        at = (int(ranks.row_NU[place, unit]), int(ranks.column_NU[place, unit]))
        crop = cut(pool.picture_PHW3, int(ranks.slot_NU[place, unit]), layer, at)
        crops[f"unit-{unit:04}-{place + 1}.png"] = crop.cpu().numpy().copy()
    return crops


def _saved_clip(clip: Clip) -> SavedClip:
    path = str(clip.path) if clip.path is not None else None
    return SavedClip(kind=clip.kind, name=clip.name, path=path, begun=clip.begun_wall_s)


def _clip(saved: SavedClip) -> Clip:
    path = Path(saved.path) if saved.path is not None else None
    return Clip(kind=saved.kind, name=saved.name, path=path, begun_wall_s=saved.begun)

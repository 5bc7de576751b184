"""The best moments of every unit of the layers that were looked at, for as long as the session.

The engine thread shows each computed frame to `take`; nothing there waits for a device. What
counts as a moment is said in `rtvis.units.moments`; here is said what is shown to it:

- each computed frame of the source once, with the maps of the selected layer: those before or
  behind the activation, as they are selected, and at attention those of the chosen query, each
  gathered by itself;
- of two that are compared the first;
- not while units are changed by hand: these values would not be the network's own;
- not the pictures that stand in for the source, such as an optimised one.

`rtvis.runtime.moment_clips` says when a frame was.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from rtvis.data import Frame, ImageU8, Intervention, Layer, Result, Selection
from rtvis.render.moment_numbers import time_in
from rtvis.render.panes_plan import has_details
from rtvis.render.scene import Clip, MomentsShown, PatternShown
from rtvis.runtime.moment_clips import Clips, clip_and_seconds
from rtvis.runtime.moment_tiles import MomentTiles
from rtvis.session import View
from rtvis.threads import cpu_threads
from rtvis.units.frame_pool import FramePool
from rtvis.units.moments import MomentTracker, Ranks

MAX_LAYERS: Final = 64
"""Of which moments are kept; of more those looked at longest ago are forgotten."""

Key = tuple[str, str, tuple[int, int] | None]
"""Layer, tap, and at attention the query."""


@dataclass(slots=True)
class Gathered:
    """What is known of one layer."""

    tracker: MomentTracker
    since_s: float
    """Wall clock of the first frame."""


class LiveMoments:
    """Knows the moments, and says what the screen shows of them. Owned by the engine thread."""

    def __init__(
        self,
        *,
        layers: Sequence[Layer],
        input_size: tuple[int, int],
        device: torch.device,
        pictures: Callable[[Tensor], Tensor],
        apart_s: float = 1.0,
        max_bytes: int = 256 * 2**20,
        wall_s: Callable[[], float] = time.time,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start with nothing; memory is taken with the first frame.

        Args:
            layers: Of the network.
            input_size: (height, width) of its input.
            device: Of results.
            pictures: `Engine.input_pictures`.
            apart_s: Frames less than this from each other are one event.
            max_bytes: Of all pictures.
            wall_s: The clock on the wall.
            now_ns: That of captures.
        """
        self._layers = {layer.name: layer for layer in layers}
        self.input_size = input_size
        self.device = device
        self._pictures = pictures
        self.apart_s = apart_s
        self._max_bytes = max_bytes
        self._wall_s = wall_s
        self._now_ns = now_ns
        self.gathered: OrderedDict[Key, Gathered] = OrderedDict()
        self.times = Clips(wall_s=wall_s, now_ns=now_ns)
        self.pool: FramePool | None = None
        self._num_frames = 0
        self._last: tuple[Frame, object] | None = None
        """What was taken last, to be taken once."""
        self._put_back: Key | None = None
        """Whose next frame may be one that it knows, the one that was saved."""
        self._key: Key | None = None
        self._others_P: Tensor | None = None
        """Who refers to the pictures from layers that are not selected."""
        self._version = 0
        self.tiles = MomentTiles(device)

    @property
    def state(self) -> int:
        """Changes when there is something new to draw that no frame brought."""
        if self.tiles.waits:  # a held picture's tiles come, too
            self._version += 1
        return self._version

    def take(self, frame: Frame, source: str, result: Result) -> None:
        """Look at a frame that was computed.

        Args:
            frame: What the source gave.
            source: The source's name.
            result: Of this frame, of one picture.
        """
        selection = result.selection
        layer = self._layers.get(selection.layer or "")
        if layer is None or selection.interventions or result.input_BCHW is None:
            return
        key = key_of(selection, layer)
        once = (key, selection.fit)
        if self._last is not None and self._last[0] is frame and self._last[1] == once:
            return
        num_clips = len(self.times.seen)
        when = self.times.when(frame, source)
        if when is None:
            return
        self._last = frame, once
        if self._was_saved(key, when, is_new=len(self.times.seen) > num_clips):
            self._of_layer(key, layer, self.the_pool())
            return
        with cpu_threads(1):
            self._update(key, layer, result.maps_BCHW[0], result.input_BCHW[:1], when)

    def _was_saved(self, key: Key, when: int, *, is_new: bool) -> bool:
        """Whether this is the frame with which a saved view begins: it was counted before.

        Args:
            key: Of what it is computed.
            when: The frame was.
            is_new: Its clip was not known: it is a copy that was saved, or its film was moved.
        """
        saved, self._put_back = self._put_back, None
        if saved != key:
            return False
        _, past = self.gathered[key].tracker.just_past()
        return is_new or past[-1:] == [when]

    def _update(
        self, key: Key, layer: Layer, maps_CHW: Tensor, input_1CHW: Tensor, when: int
    ) -> None:
        pool = self.the_pool()
        gathered = self._of_layer(key, layer, pool)
        number, self._num_frames = self._num_frames, self._num_frames + 1
        taken = gathered.tracker.update(maps_CHW, when=when, frame=number)
        if taken is None:
            return
        others_P = self._others_P
        assert others_P is not None, "counted when the layer was selected"
        slot = pool.admit(
            number,
            self._pictures(input_1CHW)[0],
            num_new=taken.num,
            count_refs=lambda: pool.count_refs(gathered.tracker.ranks) + others_P,
        )
        gathered.tracker.file(taken, slot)
        # Who referred to what was there before does so no more.
        slot_1 = slot[None]
        is_new_1 = pool.frame_P.index_select(0, slot_1) == number
        before_1 = others_P.index_select(0, slot_1)
        others_P.index_copy_(0, slot_1, before_1.masked_fill(is_new_1, 0))

    def the_pool(self) -> FramePool:
        """Where pictures are."""
        if self.pool is None:
            self.pool = FramePool(self.input_size, max_bytes=self._max_bytes, device=self.device)
        return self.pool

    def _of_layer(self, key: Key, layer: Layer, pool: FramePool) -> Gathered:
        """What is known of a layer, which is the selected one from now on."""
        gathered = self.gathered.get(key)
        if gathered is None:
            apart = round(self.apart_s * 1e6)
            tracker = MomentTracker(layer.num_units, apart=apart, device=self.device)
            gathered = self.gathered[key] = Gathered(tracker=tracker, since_s=self._wall_s())
        if key == self._key:
            return gathered
        self._key = key
        self.gathered.move_to_end(key)
        while len(self.gathered) > MAX_LAYERS:
            self.gathered.popitem(last=False)
        others_P = torch.zeros_like(pool.frame_P)
        for other, each in self.gathered.items():
            if other != key:
                each.tracker.rest()
                others_P += pool.count_refs(each.tracker.ranks)
        self._others_P = others_P
        return gathered

    def clear(self) -> None:
        """Forget all moments of all layers, and count anew."""
        self.gathered.clear()
        self._key = self._others_P = self._last = self._put_back = None
        if self.pool is not None:
            self.pool.clear()
        self.tiles.rest()
        self._version += 1

    def of(self, selection: Selection | None) -> Gathered | None:
        """What is known of the selected layer; None before its first frame."""
        layer = self.layer_of(selection)
        if selection is None or layer is None:
            return None
        return self.gathered.get(key_of(selection, layer))

    def shown(self, view: View, selection: Selection | None) -> MomentsShown | None:
        """Of the selected unit, while the page is in sight."""
        if view.page != "moments" or not has_details(view) or selection is None:
            return None
        gathered = self.of(selection)
        note = note_of(view.compared, selection.interventions)
        if gathered is None or self.pool is None:
            return MomentsShown(apart_s=self.apart_s, note=note, clips=self.times.seen)
        unit = min(selection.unit or 0, gathered.tracker.ranks.value_NU.shape[1] - 1)
        ranks = gathered.tracker.ranks.of_units(unit, unit + 1).sorted()
        return MomentsShown(
            apart_s=self.apart_s,
            note=note,
            chosen=view.moment if view.moment is not None else -1,
            clips=self.times.seen,
            num_frames=gathered.tracker.num_frames,
            since_s=gathered.since_s,
            moments_NF=self._numbers(ranks, self.pool),
            slot_N=ranks.slot_NU[:, 0].clamp(min=0),
            picture_PHW3=self.pool.picture_PHW3,
            pool_2=torch.stack((self._num_needed(gathered, self.pool), self.pool.num_given_up)),
        )

    def _num_needed(self, gathered: Gathered, pool: FramePool) -> Tensor:
        """How many pictures somebody refers to: others lie there until their place is taken."""
        refs_P = pool.count_refs(gathered.tracker.ranks)
        if self._others_P is not None:
            refs_P += self._others_P
        return (refs_P > 0).sum()

    def pattern(
        self,
        view: View,
        selection: Selection | None,
        in_sight: range = range(0),
        *,
        whole: bool = False,
    ) -> PatternShown | None:
        """The best moment of every unit, of those `in_sight` first, a few at each call or the
        `whole`; None while the tiles of the grid show something else."""
        if view.pattern != "moments" or view.zoom != "grid" or selection is None:
            self.tiles.rest()
            return None
        gathered, layer = self.of(selection), self.layer_of(selection)
        tiles: Mapping[int, ImageU8] = {}
        if gathered is not None and layer is not None and self.pool is not None:
            with cpu_threads(1):
                ranks = gathered.tracker.ranks
                tiles = self.tiles.of(ranks, self.pool, layer, in_sight)
                while whole and self.tiles.waits:
                    tiles = self.tiles.of(ranks, self.pool, layer, in_sight)
        note = note_of(view.compared, selection.interventions) or "more to come"
        return PatternShown(layer=selection.layer or "", tiles=tiles, notes=(note,))

    def frame_of(self, number: int, selection: Selection | None) -> Frame | None:
        """What the network saw at a moment of the selected layer, as a frame that stands in.

        Waits for a GPU, once for a click. None where the picture is gone.
        """
        gathered, pool = self.of(selection), self.pool
        if gathered is None or pool is None:
            return None
        ranks = gathered.tracker.ranks
        slots = (pool.frame_P == number).nonzero().flatten().tolist()
        times = ranks.when_NU[ranks.frame_NU == number].tolist()
        if not slots or not times:
            return None
        clip, seconds = self.times.at(times[0])
        return Frame(
            image_HW3=pool.picture_PHW3[slots[0]].cpu().numpy().copy(),
            seq=number,
            captured_ns=self._now_ns(),
            name=f"moment {time_in(clip, seconds)} {clip.name}".strip(),
            stands_in=True,
        )

    def best_frame(self, selection: Selection | None) -> int | None:
        """Number of the frame of the selected unit's best moment; waits for a GPU, for a key."""
        gathered = self.of(selection)
        if gathered is None or selection is None:
            return None
        unit = selection.unit or 0
        best = gathered.tracker.ranks.of_units(unit, unit + 1).sorted()
        number = int(best.frame_NU[0, 0])
        return number if number >= 0 else None

    def layer_of(self, selection: Selection | None) -> Layer | None:
        """The selected layer, if the network has it."""
        return self._layers.get(selection.layer or "") if selection is not None else None

    def put_back(
        self, gathered: Mapping[Key, Gathered], clips: Sequence[Clip], *, num_frames: int
    ) -> None:
        """Go on with what was known; the pictures are in the pool.

        Args:
            gathered: Of each layer, the one looked at last the last.
            clips: Those that its times are in, by their indices.
            num_frames: Numbers below this are given to frames.
        """
        self.times.put_back(clips)
        self.gathered.update(gathered)
        self._put_back = next(reversed(list(gathered)), None)
        self._num_frames = num_frames
        self._version += 1

    def _numbers(self, ranks: Ranks, pool: FramePool) -> Tensor:
        """float64 [N, 7]: see `MomentsShown.moments_NF`."""
        clip_NU, seconds_NU = clip_and_seconds(ranks)
        columns = (
            ranks.value_NU[:, 0],
            clip_NU[:, 0],
            seconds_NU[:, 0],
            ranks.row_NU[:, 0],
            ranks.column_NU[:, 0],
            ranks.frame_NU[:, 0],
            pool.holds(ranks)[:, 0],
        )
        return torch.stack([column.double() for column in columns], dim=1)


class Watched(Protocol):
    """What is needed of `rtvis.engine.engine.Engine`."""

    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def input_size(self) -> tuple[int, int]: ...
    @property
    def device(self) -> torch.device: ...
    def input_pictures(self, input_BCHW: Tensor) -> Tensor: ...


def live_moments(
    engine: Watched, *, apart_s: float = 1.0, max_bytes: int = 256 * 2**20
) -> LiveMoments:
    """Those of an engine's network; see `LiveMoments` for the others."""
    return LiveMoments(
        layers=engine.layers,
        input_size=engine.input_size,
        device=engine.device,
        pictures=engine.input_pictures,
        apart_s=apart_s,
        max_bytes=max_bytes,
    )


def key_of(selection: Selection, layer: Layer) -> Key:
    """What is gathered by itself."""
    # Without an activation both taps are the same.
    tap = selection.tap if layer.activation else "pre"
    return layer.name, tap, selection.position if layer.kind == "attention" else None


def note_of(compared: str, interventions: tuple[Intervention, ...]) -> str:
    """Why what is shown does not count, or is not what the other panes show."""
    if interventions:
        return "not counted while units are changed"
    return "these are of A" if compared in {"second", "difference"} else ""

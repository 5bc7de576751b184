"""What the network on the stream is compared with: another network, or another input."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from torch import Tensor

from rtvis.closing import Closing
from rtvis.data import Crop, Fit, Frame, Layer, Result, Selection
from rtvis.errors import SelectionError
from rtvis.render.scene import Half
from rtvis.runtime.difference import part_of
from rtvis.runtime.upload import upload
from rtvis.slot import LatestSlot
from rtvis.sources.base import Pace, Source

_PRETRAINED: Final = "pretrained"
_LOCKSTEP_S: Final = 5.0
"""How long a frame of one film waits for its counterpart in the other."""


class ComparedEngine(Protocol):
    """What comparing needs of `rtvis.engine.engine.Engine`, beside what the loop needs."""

    def run(
        self,
        image: Tensor | Sequence[Tensor],
        selection: Selection,
        *,
        seq: int,
        revision: int,
        captured_ns: int,
    ) -> Result: ...

    def resolve(self, selection: Selection) -> Selection: ...
    def weights(self, layer: str) -> Tensor | None: ...
    def crop_of(self, image: Tensor, fit: Fit) -> Crop: ...
    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def labels(self) -> tuple[str, ...] | None: ...
    @property
    def network(self) -> str: ...
    @property
    def weights_note(self) -> str: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def compile_note(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a turn computes."""

    image_HW3: Tensor
    """On the device, for the screen."""
    input_HW3: Tensor
    """On the device, for the network."""
    frame: Frame
    selection: Selection
    revision: int
    is_fresh: bool
    """Whether it is another frame than the last time."""


class Rival(Protocol):
    """The second of two that are compared. Owned by the engine thread; started by the main one."""

    def names(self, engine: ComparedEngine, source_name: str) -> tuple[str, str]:
        """What to call the first and the second on screen."""
        ...

    def network(self, engine: ComparedEngine) -> str:
        """Name of the second network."""
        ...

    def source_name(self, first: str) -> str:
        """Name of the second source, for that of the first."""
        ...

    @property
    def state(self) -> tuple[object, ...]:
        """What of it is on screen beside its results."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with its source, in a word or two; empty where nothing is."""
        ...

    def same_classes(self, engine: ComparedEngine) -> bool:
        """Whether scores can be subtracted."""
        ...

    def start(self) -> None:
        """Begin, as the source does."""
        ...

    def has_news(self, *, paused: bool) -> bool:
        """Whether there is something to compute though the first one stands still."""
        ...

    def step(self, count: int) -> None:
        """Go to another picture where the first one does."""
        ...

    def run(self, engine: ComparedEngine, asked: Asked) -> tuple[Result, Half]:
        """Compute both."""
        ...

    def layer(self, engine: ComparedEngine, name: str) -> Layer | None:
        """A layer of the first network, as it is in the second."""
        ...


class NetworkRival:
    """Another network, or the same one with other weights, on the same frames."""

    def __init__(self, engine: ComparedEngine) -> None:
        """Compare with `engine`, whose layers are found by name; the caller closes it."""
        self._engine = engine
        self._layers = {layer.name: layer for layer in engine.layers}
        self._name = engine.network

    def network(self, engine: ComparedEngine) -> str:
        """Its name."""
        del engine
        return self._engine.network

    def source_name(self, first: str) -> str:
        """They see the same frames."""
        return first

    @property
    def state(self) -> tuple[object, ...]:
        """Where compiling stands."""
        return (self._engine.compile_note,)

    def names(self, engine: ComparedEngine, source_name: str) -> tuple[str, str]:
        """Of the two networks, or else of their weights."""
        del source_name
        if engine.network != self._engine.network:
            return engine.network, self._engine.network
        both = engine.weights_note, self._engine.weights_note
        return both[0] or _PRETRAINED, both[1] or _PRETRAINED

    @property
    def trouble(self) -> str:
        """It has no source of its own."""
        return ""

    def same_classes(self, engine: ComparedEngine) -> bool:
        """The same number of them, and the same names where both have names."""
        if self._engine.num_classes != engine.num_classes:
            return False
        both = engine.labels, self._engine.labels
        return None in both or both[0] == both[1]

    def start(self) -> None:
        """It has no source of its own."""

    def has_news(self, *, paused: bool) -> bool:
        """Never: its frames are those of the first."""
        del paused
        return False

    def step(self, count: int) -> None:
        """Nothing: see `has_news`."""
        del count

    def layer(self, engine: ComparedEngine, name: str) -> Layer | None:
        """The layer of this name."""
        del engine
        return self._layers.get(name)

    def run(self, engine: ComparedEngine, asked: Asked) -> tuple[Result, Half]:
        """Both networks, one after the other."""
        about = {"seq": asked.frame.seq, "captured_ns": asked.frame.captured_ns}
        first = engine.run(asked.input_HW3, asked.selection, revision=asked.revision, **about)
        selection, note = self._translated(asked.selection, first.selection)
        second = self._engine.run(asked.input_HW3, selection, revision=asked.revision, **about)
        name = second.selection.layer
        half = Half(
            name=self.names(engine, "")[1],
            image_HW3=asked.image_HW3,
            result=second,
            labels=self._engine.labels,
            weights=self._engine.weights(name) if name is not None else None,
            note=note,
        )
        return first, half

    def _translated(self, asked: Selection, found: Selection) -> tuple[Selection, str]:
        """The selection in the second network, and why its maps cannot be shown.

        Args:
            asked: What the user chose.
            found: The same with the defaults of the first network filled in.
        """
        layer, unit = self._layers.get(found.layer or ""), found.unit or 0
        changes = tuple(
            change
            for change in asked.interventions
            if change.layer in self._layers and change.unit < self._layers[change.layer].num_units
        )
        has_origin = asked.origin is not None and asked.origin.layer in self._layers
        common = replace(
            asked,
            layer=None,
            unit=None,
            position=None,
            seed="score" if asked.seed == "score" else None,
            cam_layer=asked.cam_layer if asked.cam_layer in self._layers else None,
            interventions=changes,
            origin=asked.origin if has_origin else None,
        )
        if layer is None:
            return self._resolvable(common), f"{self._name} has no layer {found.layer}"
        if unit >= layer.num_units:
            note = f"{self._name} has no unit {unit} in {layer.name}, only {layer.num_units}"
            return self._resolvable(common), note
        wanted = replace(
            common, layer=layer.name, unit=unit, position=asked.position, seed=asked.seed
        )
        return self._resolvable(wanted), ""

    def _resolvable(self, selection: Selection) -> Selection:
        """Without the class, region or place that the second network does not have."""
        no_class = replace(selection, class_index=None)
        no_region = replace(no_class, region=None)
        no_place = replace(no_region, position=None)
        for candidate in (selection, no_class, no_region, no_place):
            try:
                self._engine.resolve(candidate)
            except SelectionError:
                continue
            return candidate
        return replace(no_place, origin=None, interventions=())


class StreamRival(Closing):
    """Another input to the same network, both as one batch of two.

    At the pace "live" each side shows its newest frame; at the pace "fast" the frames go in pairs,
    and the last one of the shorter film stays.
    """

    def __init__(self, source: Source, *, pace: Pace = "live", name: str = "") -> None:
        """Compare with `source`.

        Args:
            source: Not started yet; closed with this.
            pace: Of both.
            name: What to call its picture instead of what the source calls it.
        """
        self._source = source
        self._pace = pace
        self._name = name
        self._frames: LatestSlot[Frame] = LatestSlot()
        self._waiting: Frame | None = None
        self._wants_frame = False
        self._frame: Frame | None = None
        self._image_HW3: Tensor | None = None
        self._input_HW3: Tensor | None = None

    def close(self) -> None:
        """Close the source. Safe to call twice."""
        self._frames.close()
        self._source.close()

    def names(self, engine: ComparedEngine, source_name: str) -> tuple[str, str]:
        """Of the two pictures, or else of the two sources."""
        del engine
        name = self._frame.name if self._frame is not None else ""
        return source_name, self._name or name or self._source.name

    def network(self, engine: ComparedEngine) -> str:
        """It is the same one."""
        return engine.network

    def source_name(self, first: str) -> str:
        """Of the second source."""
        del first
        return self._source.name

    @property
    def state(self) -> tuple[object, ...]:
        """How the second source is doing."""
        status = self._source.status()
        return self._source.name, status.state, status.message

    @property
    def trouble(self) -> str:
        """Why no new frames come."""
        state = self._source.status().state
        return "" if state in {"opening", "live"} else state

    def same_classes(self, engine: ComparedEngine) -> bool:
        """It is the same network."""
        del engine
        return True

    def start(self) -> None:
        """Start the second source."""
        self._source.start(self._frames)

    def has_news(self, *, paused: bool) -> bool:
        """Whether the second source has a frame that nobody has seen."""
        if self._waiting is not None:
            return True
        if self._pace == "fast" and self._image_HW3 is not None:
            return False  # it waits for its counterpart
        if paused and self._image_HW3 is not None and not self._wants_frame:
            return False
        self._waiting = self._frames.take()
        return self._waiting is not None

    def step(self, count: int) -> None:
        """Go through the second source's pictures, too."""
        self._wants_frame = self._source.step(count) != "none"

    def layer(self, engine: ComparedEngine, name: str) -> Layer | None:
        """It is the same network."""
        return next((layer for layer in engine.layers if layer.name == name), None)

    def run(self, engine: ComparedEngine, asked: Asked) -> tuple[Result, Half]:
        """Both pictures in one go. Until the second source has one, the first stands for it."""
        self._advance(asked)
        image_HW3, input_HW3 = self._image_HW3, self._input_HW3
        images = [asked.input_HW3, input_HW3 if input_HW3 is not None else asked.input_HW3]
        both = engine.run(
            images,
            asked.selection,
            seq=asked.frame.seq,
            revision=asked.revision,
            captured_ns=asked.frame.captured_ns,
        )
        first, second = part_of(both, 0), None
        if image_HW3 is not None:
            crop = engine.crop_of(image_HW3, both.selection.fit)
            second = replace(part_of(both, 1), crop=crop)
        status = self._source.status()
        waiting = f"waiting for {self._source.name}" if second is None else ""
        name = both.selection.layer
        half = Half(
            name=self.names(engine, "")[1],
            image_HW3=image_HW3,
            result=second,
            frame=self._frame,
            labels=engine.labels,
            weights=engine.weights(name) if name is not None else None,
            note=(status.message or waiting) if second is None else "",
        )
        return first, half

    def _advance(self, asked: Asked) -> None:
        """Take the second source's next frame where there is one to take."""
        frame, self._waiting = self._waiting, None
        if frame is None and (asked.is_fresh or self._wants_frame):
            frame = self._frames.take()
            if frame is None and self._pace == "fast":
                frame = self._counterpart()
        if frame is not None:
            self._wants_frame = False
            uploaded = upload(frame, asked.image_HW3.device)
            self._frame = frame
            self._image_HW3, self._input_HW3 = uploaded.image_HW3, uploaded.input_HW3

    def _counterpart(self) -> Frame | None:
        """The next frame, waited for unless none will come."""
        until_s = time.monotonic() + _LOCKSTEP_S
        while time.monotonic() < until_s:
            is_over = self._source.status().state in {"ended", "failed"}
            frame = self._frames.take(timeout_s=0.0 if is_over else 0.05)
            if frame is not None or is_over:
                return frame
        return None

"""A second input, compared with the first in the same network."""

import time
from dataclasses import replace
from typing import Final

from torch import Tensor

from rtvis.closing import Closing
from rtvis.data import Frame, Layer, Result
from rtvis.render.scene import Half
from rtvis.runtime.compare import Asked, ComparedEngine
from rtvis.runtime.difference import part_of
from rtvis.runtime.upload import upload
from rtvis.slot import LatestSlot
from rtvis.sources.base import Pace, Source

_LOCKSTEP_S: Final = 5.0
"""How long a frame of one film waits for its counterpart in the other."""


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

    def weights_note(self, engine: ComparedEngine) -> str:
        """Of the one network."""
        return engine.weights_note

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

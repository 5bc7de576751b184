"""What was computed last, of which picture, for whom."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rtvis.data import Frame, Result, Selection
from rtvis.render.scene import Half
from rtvis.runtime.compare import Asked, Rival
from rtvis.runtime.faults import IN_LOOP, Faults
from rtvis.runtime.turn_parts import EngineLike, MomentsLike
from rtvis.runtime.upload import upload
from rtvis.sources.base import Source
from rtvis.timing import StageClock


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Computed:
    """What numbers are of."""

    frame: Frame
    selection: Selection
    """As it was asked for."""


class Computing:
    """Shows pictures to the network, and keeps the numbers while newer ones cannot be had.

    Owned by the engine thread.

    Args:
        engine: Computes.
        source: Whose name its moments have.
        rival: What network and source are compared with.
        moments: Looks at each computed frame of the source; None: nobody does.
        clock: Measures the stages.
        now_ns: The clock of captures.
    """

    def __init__(
        self,
        *,
        engine: EngineLike,
        source: Source,
        rival: Rival | None,
        moments: MomentsLike | None,
        clock: StageClock,
        now_ns: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._source = source
        self._rival = rival
        self._moments = moments
        self._clock = clock
        self._now_ns = now_ns
        self.image_HW3: Tensor | None = None
        """What is looked at, on the device, for the screen: uint8."""
        self._input_HW3: Tensor | None = None
        """The same for the network."""
        self.result: Result | None = None
        self.computed: Computed | None = None
        """What `result` is of."""
        self._second: Half | None = None
        """What the rival showed last."""
        self.asked: Selection | None = None
        """The selection that was computed last, or tried."""
        self.stale_since_ns = 0
        """Since when newer numbers cannot be had; 0 while they can."""
        self.faults = Faults()

    @property
    def selection(self) -> Selection | None:
        """What was computed last, with its defaults filled in."""
        return self.result.selection if self.result is not None else None

    @property
    def second(self) -> Half | None:
        """What the rival showed last, with what is wrong with its source now."""
        if self._second is None or self._rival is None:
            return None
        if self._second.trouble != self._rival.trouble:
            self._second = replace(self._second, trouble=self._rival.trouble)
        return self._second

    @property
    def older(self) -> Computed | None:
        """What the numbers are of while newer ones cannot be had; else None."""
        return self.computed if self.stale_since_ns else None

    def is_due(self, selection: Selection, *, paused: bool) -> bool:
        """Whether there is something to compute though the frame is the same.

        Args:
            selection: What is wanted now.
            paused: The user holds the picture.
        """
        # The rival first: it takes its next frame here, whatever else there is to do.
        has_news = self._rival is not None and self._rival.has_news(paused=paused)
        return has_news or selection != self.asked

    def compute(self, frame: Frame, selection: Selection, revision: int, *, fresh: bool) -> None:
        """Compute a selection of a frame; what cannot be computed is a fault, and leaves what is
        there.

        Args:
            frame: What is looked at.
            selection: What to explain.
            revision: Of the session.
            fresh: It is another frame than the last time.
        """
        self.asked = selection
        try:
            if fresh or self.image_HW3 is None:
                with self._clock.stage("upload"):
                    uploaded = upload(frame, self._engine.device)
                    self.image_HW3, self._input_HW3 = uploaded.image_HW3, uploaded.input_HW3
            with self._clock.stage("network"):
                self.result, self._second = self._run(frame, selection, revision, fresh=fresh)
            self.computed = Computed(frame=frame, selection=selection)
            self._count(frame, self.result)
        except IN_LOOP as error:
            self.faults.add(error)
            self.stale_since_ns = self.stale_since_ns or self._now_ns()
            if self._engine.device.type == "cuda":
                torch.cuda.empty_cache()
        else:
            self.faults.clear()
            self.stale_since_ns = 0

    def count_again(self, frame: Frame) -> None:
        """Let what is on screen be a moment once more: all moments were forgotten, and of a still
        picture there comes no other frame."""
        if self.result is None or self.stale_since_ns:
            return
        try:
            self._count(frame, self.result)
        except IN_LOOP as error:
            self.faults.add(error)

    def forget(self) -> None:
        """Forget all that came of the frame: another source is shown now."""
        self.image_HW3 = self._input_HW3 = None
        self.result = self.computed = self.asked = self._second = None
        self.stale_since_ns = 0
        self.faults.clear()

    def _count(self, frame: Frame, result: Result) -> None:
        """Let the frame be a moment, if it is the source's."""
        if self._moments is not None and not frame.stands_in:
            with self._clock.stage("moments"):
                self._moments.take(frame, self._source.name, result)

    def _run(
        self, frame: Frame, selection: Selection, revision: int, *, fresh: bool
    ) -> tuple[Result, Half | None]:
        image_HW3, input_HW3 = self.image_HW3, self._input_HW3
        assert image_HW3 is not None, "uploaded before"
        assert input_HW3 is not None, "uploaded with it"
        if self._rival is not None:
            asked = Asked(
                image_HW3=image_HW3,
                input_HW3=input_HW3,
                frame=frame,
                selection=selection,
                revision=revision,
                is_fresh=fresh,
            )
            return self._rival.run(self._engine, asked)
        result = self._engine.run(
            input_HW3,
            selection,
            seq=frame.seq,
            revision=revision,
            captured_ns=frame.captured_ns,
        )
        return result, None

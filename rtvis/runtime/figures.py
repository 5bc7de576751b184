"""The figures of the status line."""

import torch

from rtvis.data import Rates
from rtvis.runtime.looked_at import LookedAt
from rtvis.runtime.shown import ShownMeter
from rtvis.sources.base import Source
from rtvis.timing import ProcessMeter, RateMeter, StageClock


class Figures:
    """Reads what was measured. Owned by the engine thread.

    Args:
        source: How many it captures.
        looked: How many of these nobody took.
        shown: How many pictures were shown.
        clock: How long each stage takes.
        device: How much of it is taken.
    """

    def __init__(
        self,
        *,
        source: Source,
        looked: LookedAt,
        shown: ShownMeter,
        clock: StageClock,
        device: torch.device,
    ) -> None:
        self._source = source
        self._looked = looked
        self._shown = shown
        self._clock = clock
        self._process = ProcessMeter(device)
        self._processed = RateMeter()
        self.num_processed = 0
        """Frames that went through the network."""
        self.rates = Rates()
        """As they were read last. Other threads look here."""

    def count(self) -> None:
        """A frame went through the network."""
        self.num_processed += 1
        self._processed.tick()

    def read(self) -> Rates:
        """All of them, as of now."""
        self.rates = Rates(
            captured_fps=self._source.status().captured_fps,
            processed_fps=self._processed.rate(),
            shown_fps=self._shown.fps,
            latency_ms=self._shown.latency_ms,
            num_dropped=self._looked.num_dropped,
            frame_age_s=self._looked.age_s,
            stages_ms=self._clock.means_ms(),
            stages_cpu_ms=self._clock.cpu_means_ms(),
            process=self._process.read(),
        )
        return self.rates

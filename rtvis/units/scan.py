"""One pass over a data set: what every unit of every chosen layer does, and its best items.

The pass is made of parts that need no store and no screen: `Reader.samples` gives pictures in
order, a `ReducedStep` leaves a few numbers of each, and `ScanState.commit` adds them up. Two states
of different items are merged by `Findings.add`.
"""

import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.engine.reduced.forward import Reduced
from rtvis.engine.reduced.step import ReducedStep
from rtvis.errors import StoreError
from rtvis.units import selectivity
from rtvis.units.arrays import below
from rtvis.units.findings import Findings
from rtvis.units.items import Files, Items
from rtvis.units.lanes import in_lanes
from rtvis.units.ledger import Ledger
from rtvis.units.peaks import PeakFilter
from rtvis.units.reading import Reader, Sample

TOGETHER: Final = 32
"""Pictures that are added up at once: it costs 1.2 ms each, one batch of four alone 2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanSettings:
    """What a scan looks for."""

    num_top: int = 9
    min_distance_s: float = 1.0
    """Between two hits of one unit in a film; 0: none."""
    every_s: float = 0.0
    """Of films no frame nearer than this to the last one; 0: all."""
    with_statistics: bool = True
    with_classes: bool = True
    """Where classes are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a scan is."""

    num_files: int
    """Looked at to their end."""
    total_files: int
    num_items: int
    """Pictures and frames, unreadable ones counted."""
    num_errors: int
    items_per_s: float
    """Since this run began."""
    errors: tuple[str, ...] = ()
    """What could not be read since the last one."""


class Rate:
    """How fast a run goes on, from when this is made."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._started_s, self._items_before = time.monotonic(), ledger.num_items

    def progress(self, errors: Sequence[str]) -> Progress:
        """Where it is now; `errors`: what came up since the last time."""
        ledger = self._ledger
        seconds = max(time.monotonic() - self._started_s, 1e-6)
        return Progress(
            num_files=ledger.num_files,
            total_files=len(ledger.files),
            num_items=ledger.num_items,
            num_errors=len(ledger.errors),
            items_per_s=(ledger.num_items - self._items_before) / seconds,
            errors=tuple(errors),
        )


class ScanState:
    """Everything that a scan knows: it can be stored, and goes on as if it had never stopped.

    Args:
        findings: So far.
        ledger: Of the items so far.
        settings: What is looked for.
        peaks: Of the film that is being read.
    """

    def __init__(
        self,
        findings: Findings,
        ledger: Ledger,
        settings: ScanSettings,
        peaks: PeakFilter | None = None,
    ) -> None:
        self.findings = findings
        self.ledger = ledger
        self.settings = settings
        self._peaks = peaks or PeakFilter(settings.min_distance_s)

    @staticmethod
    def empty(files: Files, step: ReducedStep, settings: ScanSettings) -> "ScanState":
        """Before the first picture."""
        num_units = sum(layer.num_units for layer in step.layers)
        findings = Findings.empty(
            num_units,
            settings.num_top,
            with_statistics=settings.with_statistics,
            num_classes=num_classes_of(files, num_units, settings),
            device=step.device,
        )
        return ScanState(findings, Ledger(files), settings)

    def commit(self, samples: Sequence[Sample], reduced: Reduced | None) -> None:
        """Add samples.

        Args:
            samples: The next ones in order.
            reduced: Its first rows are of those with a picture; None if there is none.
        """
        numbers = [self.ledger.enter(sample) for sample in samples]
        if reduced is not None:
            self._add_items(samples, numbers, reduced)
        row = 0
        is_film_F = self.ledger.files.is_film_F
        by_file = itertools.groupby(
            zip(samples, numbers, strict=True),
            key=lambda each: each[0].file if is_film_F[each[0].file] else -1,
        )
        for film, group in by_file:
            some = list(group)
            shown = [(sample, number) for sample, number in some if sample.image is not None]
            rows = slice(row, row + len(shown))
            row += len(shown)
            if shown and reduced is not None:
                item_B = self._on_device([number for _, number in shown], reduced)
                self._add_hits(reduced, rows, item_B, shown if film >= 0 else None)
            if film >= 0 and some[-1][0].is_last:
                self._end_film()

    def commit_found(
        self, samples: Sequence[Sample], found: Findings, class_of_K: Tensor | None = None
    ) -> None:
        """Add what somebody else has found in pictures, not films.

        Args:
            samples: The next ones in order.
            found: In it they are the items 0, 1, 2 ...
            class_of_K: int64: for each class in `found`, which one it is here; None: the same.
        """
        first = self.ledger.num_items
        for sample in samples:
            self.ledger.enter(sample)
        self.findings.add(found, first_item=first, class_of_K=class_of_K)

    def _add_items(
        self, samples: Sequence[Sample], numbers: Sequence[int], reduced: Reduced
    ) -> None:
        shown = [
            (number, int(self.ledger.files.label_F[sample.file]))
            for sample, number in zip(samples, numbers, strict=True)
            if sample.image is not None
        ]
        spare = [(-1, -1)] * (len(reduced.values_BT) - len(shown))
        item_B, label_B = self._on_device([*shown, *spare], reduced).unbind(1)
        self.findings.add_items(reduced, item_B, label_B)

    @staticmethod
    def _on_device(numbers: Sequence[Any], reduced: Reduced) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64).to(reduced.values_BT.device)

    def _add_hits(
        self,
        reduced: Reduced,
        rows: slice,
        item_B: Tensor,
        frames: Sequence[tuple[Sample, int]] | None,
    ) -> None:
        values_BT, place_BT = reduced.values_BT[rows], reduced.place_BT[rows]
        if frames is None or not self.settings.min_distance_s:
            self.findings.add_hits(values_BT, place_BT, item_B)
            return
        pts = np.array([sample.pts_seconds for sample, _ in frames], dtype=np.float64)
        hits = self._peaks.push(values_BT, place_BT, item_B, pts)
        if len(hits.item_F):
            self.findings.add_hits(*hits)

    def _end_film(self) -> None:
        hits = self._peaks.flush()
        if hits is not None and len(hits.item_F):
            self.findings.add_hits(*hits)
        self._peaks = PeakFilter(self.settings.min_distance_s)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it."""
        parts = {
            "findings": self.findings.to_arrays(),
            "items": self.ledger.items().to_arrays(),
            "peaks": self._peaks.to_arrays(),
        }
        arrays = {
            f"{part}/{key}": each for part, held in parts.items() for key, each in held.items()
        }
        return arrays | {"open_pts": np.array(self.ledger.open_pts, dtype=np.float64)}

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, npt.NDArray[Any]],
        files: Files,
        step: ReducedStep,
        settings: ScanSettings,
    ) -> "ScanState":
        """What `to_arrays` gave, for the same files and perhaps more behind them.

        Raises:
            StoreError: Something is missing.
        """
        try:
            findings = Findings.from_arrays(below(arrays, "findings/"), step.device)
            items = Items.from_arrays(below(arrays, "items/"))
            peaks = PeakFilter.from_arrays(
                below(arrays, "peaks/"), settings.min_distance_s, step.device
            )
            open_pts = tuple(arrays["open_pts"].tolist())
        except KeyError as fault:
            raise StoreError(f"the state of the scan is damaged: it lacks {fault}") from None
        if findings.classes is not None:
            findings.classes.with_classes(len(files.classes))
        return ScanState(findings, Ledger(files, items, open_pts), settings, peaks)


def num_classes_of(files: Files, num_units: int, settings: ScanSettings) -> int | None:
    """How many classes there are to be summed for; None: no sums."""
    num_classes = len(files.classes)
    fits = num_classes * num_units * 8 <= selectivity.MAX_BYTES
    return num_classes if settings.with_classes and num_classes > 1 and fits else None


def scan(
    step: ReducedStep, state: ScanState, preprocessing: Preprocessing, *, num_workers: int
) -> Iterator[Progress]:
    """Go on with a scan to its end, yielding after each batch: then `state` may be stored.

    Closing the iterator stops the scan there.

    Args:
        step: Of the network.
        state: Is changed.
        preprocessing: The network's.
        num_workers: Threads that decode.
    """
    ledger, settings = state.ledger, state.settings
    reader = Reader(
        files=ledger.files,
        preprocessing=preprocessing,
        device=step.device,
        num_workers=num_workers,
        every_s=settings.every_s,
    )
    rate = Rate(ledger)
    samples = reader.samples(ledger.num_files, start_frame=len(ledger.open_pts))
    passing = reduced_in_order(batches(samples, step.batch, ledger.files), step, preprocessing)
    try:
        while told := list(itertools.islice(passing, max(1, TOGETHER // step.batch))):
            some = [sample for batch, _ in told for sample in batch]
            state.commit(some, joined(told))
            yield rate.progress([sample.error for sample in some if sample.error is not None])
    finally:
        passing.close()
        samples.close()  # type: ignore[attr-defined]


def batches(samples: Iterator[Sample], size: int, files: Files) -> Iterator[list[Sample]]:
    """Samples in order, so many at a time; fewer where a film begins or ends, and at the end.

    Which pictures go together thus follows from the order of the files alone: whoever looks at a
    part of them, from a place on where a batch begins, gives the network the same batches.
    """
    some: list[Sample] = []
    for sample in samples:
        is_film = files.is_film_F[sample.file]
        if some and (len(some) == size or (is_film and sample.file != some[-1].file)):
            yield some
            some = []
        some.append(sample)
        if is_film and sample.is_last:
            yield some
            some = []
    if some:
        yield some


def joined(told: Sequence[tuple[Sequence[Sample], Reduced | None]]) -> Reduced | None:
    """The rows of several batches that are of a picture, end to end."""
    parts = []
    for samples, reduced in told:
        if reduced is not None:
            num_shown = sum(sample.image is not None for sample in samples)
            parts.append([each[:num_shown] for each in reduced])
    return Reduced(*map(torch.cat, zip(*parts, strict=True))) if parts else None


def reduced_in_order(
    given: Iterable[list[Sample]], step: ReducedStep, preprocessing: Preprocessing
) -> Generator[tuple[list[Sample], Reduced | None], None, None]:
    """Each batch, and what `reduced_of` says of it; as many at once as the step has lanes."""
    return in_lanes(step.num_lanes, given, lambda some: reduced_of(some, step, preprocessing))


def reduced_of(
    samples: Sequence[Sample], step: ReducedStep, preprocessing: Preprocessing
) -> Reduced | None:
    """What the pass leaves of those that have a picture, in the first rows; None if none has.

    Rows that are left over repeat the last picture.
    """
    images = [sample.image for sample in samples if sample.image is not None]
    if not images:
        return None
    if step.device.type != "cpu":
        images = [preprocessing.apply(each.to(step.device, non_blocking=True)) for each in images]
    spare = step.batch - len(images)
    return step.run(torch.cat([*images, *([images[-1]] * spare)]))

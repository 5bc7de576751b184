"""What the still-image scripts do: Grad-CAM and backward pictures of pictures, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis.data import Fit, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.pictures import check_takes_pictures
from rtvis.stills.jobs import Job, batches
from rtvis.stills.requests import BackpropRequest, CamRequest, Outcome, class_of
from rtvis.stills.results import Results
from rtvis.stills.rows import Row, run, run_each
from rtvis.stills.selections import backprop_selection, cam_selection


class Stills:
    """Explains pictures with one network, a batch at a time."""

    def __init__(
        self,
        network: Network,
        *,
        device: str = "auto",
        tf32: bool = False,
        batch_size: int = 1,
        fit: Fit = "crop",
    ) -> None:
        """Prepare an engine; stills run eagerly, for compiling takes longer than they do.

        Args:
            network: Explains.
            device: As of `Engine`.
            tf32: As there.
            batch_size: As there.
            fit: What becomes of pictures with other proportions than the network's input.

        Raises:
            NetworkError: The network cannot be looked into.
            DeviceError: There is no such device.
            RtvisError: The network's channels cannot be had from pictures.
        """
        check_takes_pictures(network.preprocessing, name=network.name)
        self._fit: Fit = fit
        self.engine = Engine(
            network,
            device=device,
            tf32=tf32,
            compile="off",
            batch_size=network.only_batch or batch_size,
        )

    def gradcam(
        self,
        sources: Sequence[Path],
        outputs: Sequence[Path],
        request: CamRequest,
        *,
        raw_outputs: Sequence[Path] | None = None,
    ) -> Iterator[Outcome]:
        """Write each picture's CAMs as `<output>_0.png`, `<output>_1.png` ...

        Raises:
            SelectionError: Before the first picture: no such layer, class or method.
            SinkError: The output cannot be written.
        """
        selection = cam_selection(request, self.engine)
        classes = [class_of(name, self.engine) for name in request.classes]
        results = Results(self.engine, sources)
        for jobs, failures in batches(self.engine, sources, outputs, raw_outputs, fit=self._fit):
            yield from failures
            if jobs:
                for job, rows in self._cam_rows(jobs, selection, request, classes):
                    yield results.write_cams(job, rows, request)

    def backprop(
        self,
        sources: Sequence[Path],
        outputs: Sequence[Path],
        request: BackpropRequest,
        *,
        raw_outputs: Sequence[Path] | None = None,
    ) -> Iterator[Outcome]:
        """Write the backward picture of one unit of each picture.

        Raises:
            SelectionError: Before the first picture: no such layer, unit, position or class.
            SinkError: The output cannot be written.
        """
        chosen = self.engine.resolve(backprop_selection(request, self.engine))
        results = Results(self.engine, sources)
        for jobs, failures in batches(self.engine, sources, outputs, raw_outputs, fit=self._fit):
            yield from failures
            if jobs:
                for job, row in zip(jobs, self._backprop_rows(jobs, chosen, request), strict=True):
                    yield results.write_backprop(job, row, request)

    def close(self) -> None:
        """Free the engine. Safe to call twice."""
        self.engine.close()

    def _cam_rows(
        self,
        jobs: list[Job],
        selection: Selection,
        request: CamRequest,
        classes: list[int],
    ) -> Iterator[tuple[Job, list[Row]]]:
        """For each picture a row for each class: those asked for, or its own best ones."""
        x_BCHW = self._preprocess(jobs)
        results: list[list[Row]] = []
        if classes:
            wanted = [classes] * len(jobs)
        else:
            first = run(self.engine, x_BCHW, selection)
            scores_BK = torch.stack([row.scores_K for row in first])
            wanted = scores_BK.topk(request.num_top, dim=1).indices.tolist()
            results = [first]
        for rank in range(len(results), len(wanted[0])):
            choices = [replace(selection, class_index=each[rank]) for each in wanted]
            results.append(run_each(self.engine, x_BCHW, choices))
        for index, job in enumerate(jobs):
            yield job, [of_rank[index] for of_rank in results]

    def _backprop_rows(
        self, jobs: list[Job], selection: Selection, request: BackpropRequest
    ) -> list[Row]:
        """A row for each picture: of what was asked for, or of its own strongest unit."""
        x_BCHW = self._preprocess(jobs)
        rows = run(self.engine, x_BCHW, selection)
        of_class = request.class_name is not None or selection.seed == "score"
        if request.unit is not None or of_class:
            return rows
        strongest = [int(row.maps_CHW.amax(dim=(1, 2)).argmax()) for row in rows]
        choices = [replace(selection, unit=unit) for unit in strongest]
        return run_each(self.engine, x_BCHW, choices)

    def _preprocess(self, jobs: list[Job]) -> Tensor:
        inputs = [self.engine.preprocess(job.picture.best, fit=self._fit) for job in jobs]
        return torch.cat(inputs)

"""What the still-image scripts do: Grad-CAM and backward pictures of pictures, in batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis.data import NO_GRADIENT_PATH, Crop, Fit, Health, Layer, Result, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.models import Network
from rtvis.engine.pictures import check_takes_pictures
from rtvis.errors import RtvisError, SelectionError, SourceError
from rtvis.filing import encode_image, encode_npz
from rtvis.registry import ATTENTION_METHODS
from rtvis.render import display
from rtvis.sources.pixels import Decoded, read_picture
from rtvis.stills.draw import bgr_on_host, draw_cam
from rtvis.stills.files import numbered, write_all
from rtvis.stills.requests import (
    BackpropRequest,
    CamRequest,
    Outcome,
    class_of,
    class_text,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Job:
    """One picture of a batch that could be read."""

    source: Path
    output: Path
    raw_output: Path | None
    picture: Decoded
    crop: Crop


class Stills:
    """Explains pictures with one network, a batch at a time."""

    def __init__(
        self, network: Network, *, device: str = "auto", batch_size: int = 1, fit: Fit = "crop"
    ) -> None:
        """Prepare an engine; stills run eagerly, for compiling takes longer than they do.

        Args:
            network: Explains.
            device: As of `Engine`.
            batch_size: As there.
            fit: What becomes of pictures with other proportions than the network's input.

        Raises:
            NetworkError: The network cannot be looked into.
            DeviceError: There is no such device.
            RtvisError: The network's channels cannot be had from pictures.
        """
        check_takes_pictures(network.preprocessing, name=network.name)
        self._preprocessing = network.preprocessing
        self._fit: Fit = fit
        self._inputs: frozenset[tuple[int, int]] = frozenset()
        """Device and inode of each; none of them is written to."""
        self.engine = Engine(
            network, device=device, compile="off", batch_size=network.only_batch or batch_size
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
        layer = self._cam_layer(request)
        classes = [class_of(name, self.engine) for name in request.classes]
        if not 1 <= request.num_top <= self.engine.num_classes:
            raise SelectionError(
                f"top {request.num_top} classes of {self.engine.num_classes}; "
                f"choose 1 to {self.engine.num_classes}"
            )
        selection = Selection(
            cam=request.method,
            cam_layer=None if layer is None else layer.name,
            region=request.region,
        )
        self.engine.resolve(selection)
        for jobs, failures in self._batches(sources, outputs, raw_outputs):
            yield from failures
            if jobs:
                yield from self._gradcam_batch(jobs, selection, request, classes)

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
        selection = self._backprop_selection(request)
        chosen = self.engine.resolve(selection)
        for jobs, failures in self._batches(sources, outputs, raw_outputs):
            yield from failures
            if jobs:
                yield from self._backprop_batch(jobs, chosen, request)

    def close(self) -> None:
        """Free the engine. Safe to call twice."""
        self.engine.close()

    def _cam_layer(self, request: CamRequest) -> Layer | None:
        """The layer that a CAM is taken at; None for a method that takes the attention of all."""
        if request.method in ATTENTION_METHODS:
            if request.layer is not None:
                raise SelectionError(
                    f"{request.method} takes the attention of all layers; leave out the layer "
                    f"'{request.layer}'"
                )
            return None
        if request.layer is not None:
            name = self.engine.resolve(Selection(cam_layer=request.layer)).cam_layer
            return next(layer for layer in self.engine.layers if layer.name == name)
        convolutions = [layer for layer in self.engine.layers if layer.kind == "conv"]
        count = len(convolutions)
        if not -count <= request.conv_index < count:
            raise SelectionError(
                f"{self.engine.network} has {count} convolutions and none with the index "
                f"{request.conv_index}; choose {-count} to {count - 1}"
            )
        return convolutions[request.conv_index]

    def _backprop_selection(self, request: BackpropRequest) -> Selection:
        base = Selection(
            layer=request.layer,
            unit=request.unit,
            position=request.position,
            seed=request.seed,
            rule=request.rule,
            region=request.region,
        )
        if request.class_name is None:
            return base if request.region is None else replace(base, seed="score")
        index, last = class_of(request.class_name, self.engine), self.engine.layers[-1]
        by_unit = last.kind == "dense" or request.seed is not None or request.position is not None
        if by_unit and request.region is None and request.seed != "score":
            if last.num_units == self.engine.num_classes:
                return replace(base, layer=last.name, unit=index)
            if request.seed is not None or request.position is not None:
                raise SelectionError(
                    f"{self.engine.network}: its last layer '{last.name}' has {last.num_units} "
                    f"units for {self.engine.num_classes} classes, so that a class starts at its "
                    "score alone; leave out --seed and --position"
                )
        return replace(base, seed="score", class_index=index)

    def _batches(
        self,
        sources: Sequence[Path],
        outputs: Sequence[Path],
        raw_outputs: Sequence[Path] | None,
    ) -> Iterator[tuple[list[_Job], list[Outcome]]]:
        """Pictures in memory, a batch at a time, and those that could not be read."""
        self._inputs = frozenset(filter(None, map(_file_at, sources)))
        size = self.engine.batch_size
        for start in range(0, len(sources), size):
            jobs: list[_Job] = []
            failures: list[Outcome] = []
            for index in range(start, min(start + size, len(sources))):
                try:
                    picture = read_picture(sources[index])
                except SourceError as error:
                    failures.append(Outcome(source=sources[index], error=str(error)))
                    continue
                height, width = picture.image_HW3.shape[:2]
                jobs.append(
                    _Job(
                        source=sources[index],
                        output=outputs[index],
                        raw_output=None if raw_outputs is None else raw_outputs[index],
                        picture=picture,
                        crop=self._preprocessing.crop_of(height, width, self._fit),
                    )
                )
            yield jobs, failures

    def _gradcam_batch(
        self,
        jobs: list[_Job],
        selection: Selection,
        request: CamRequest,
        classes: list[int],
    ) -> Iterator[Outcome]:
        x_BCHW = self._preprocess(jobs)
        if classes:
            wanted = [classes] * len(jobs)
            scores_BK: Tensor | None = None
            results: list[list[_Row]] = []
        else:
            first = self._run(x_BCHW, selection)
            scores_BK = torch.stack([row.scores_K for row in first])
            top_BN = scores_BK.topk(request.num_top, dim=1).indices
            wanted = top_BN.tolist()
            results = [first]
        for rank in range(len(results), len(wanted[0])):
            choices = [replace(selection, class_index=each[rank]) for each in wanted]
            results.append(self._run_each(x_BCHW, choices))
        for index, job in enumerate(jobs):
            rows = [of_rank[index] for of_rank in results]
            yield self._write_cams(job, rows, request)

    def _write_cams(self, job: _Job, rows: list["_Row"], request: CamRequest) -> Outcome:
        files: dict[Path, bytes] = {}
        lines: list[str] = []
        warnings: list[str] = []
        for rank, row in enumerate(rows):
            path = numbered(job.output, rank)
            shown_HW = display.above_floor(row.cam_HW, row.selection.cam)
            files[path] = encode_image(
                path, draw_cam(job.picture.image_HW3, job.crop, shown_HW, request.style)
            )
            share = float(row.scores_K.softmax(0)[row.class_index])
            name = class_text(row.class_index, self.engine)
            lines.append(f"{name}, softmax {share:.3f}, score {row.scores_K[row.class_index]:.3g}")
            if row.health & (Health.CAM_ZERO | Health.GRADIENT_NAN | Health.MAPS_NAN):
                bits = row.health & ~(Health.GRADIENT_ZERO | Health.UNIT_ZERO)
                warnings += [f"{job.source}: {name}: {text}" for text in Health.texts(bits)]
        written = tuple(files)
        if job.raw_output is not None:
            by_attention = request.method in ATTENTION_METHODS
            layer = None if by_attention else rows[0].selection.cam_layer
            files[job.raw_output] = encode_npz(
                {
                    "cam_NHW": np.stack([row.cam_HW.cpu().numpy() for row in rows]),
                    "class_index_N": np.array([row.class_index for row in rows]),
                    "scores_K": rows[0].scores_K.cpu().numpy(),
                    **self._facts(job, layer=layer, method=request.method),
                }
            )
        self._refuse_to_replace(files)
        write_all(files)
        return Outcome(
            source=job.source, written=written, lines=tuple(lines), warnings=tuple(warnings)
        )

    def _backprop_batch(
        self, jobs: list[_Job], selection: Selection, request: BackpropRequest
    ) -> Iterator[Outcome]:
        x_BCHW = self._preprocess(jobs)
        rows = self._run(x_BCHW, selection)
        of_class = request.class_name is not None or selection.seed == "score"
        if request.unit is None and not of_class:
            strongest = [int(row.maps_CHW.amax(dim=(1, 2)).argmax()) for row in rows]
            choices = [replace(selection, unit=unit) for unit in strongest]
            rows = self._run_each(x_BCHW, choices)
        for job, row in zip(jobs, rows, strict=True):
            yield self._write_backprop(job, row, request)

    def _write_backprop(self, job: _Job, row: "_Row", request: BackpropRequest) -> Outcome:
        shown_CHW = display.side_by_side(row.backprop_CHW.float())
        picture = display.BACKPROP_DISPLAYS[request.display](shown_CHW)
        rgb_HW3 = display.to_bytes(picture).expand(3, -1, -1).permute(1, 2, 0)
        files = {job.output: encode_image(job.output, bgr_on_host(rgb_HW3))}
        selection = row.selection
        what, about = self._explained(row, request)
        if job.raw_output is not None:
            numbers = {
                "backprop_CHW": row.backprop_CHW.float().cpu().numpy(),
                "scores_K": row.scores_K.cpu().numpy(),
                **about,
                **self._facts(job, rule=selection.rule, seed=selection.seed),
            }
            files[job.raw_output] = encode_npz(numbers)
        texts = self._complaints(row)
        warnings = tuple(f"{job.source}: {text}" for text in texts)
        self._refuse_to_replace(files)
        write_all(files)
        line = f"{what}, {selection.rule}, {request.display}"
        return Outcome(source=job.source, written=(job.output,), lines=(line,), warnings=warnings)

    def _explained(
        self, row: "_Row", request: BackpropRequest
    ) -> tuple[str, dict[str, npt.NDArray[np.generic]]]:
        """What a backward picture starts at, in words and for a raw file."""
        selection = row.selection
        if selection.seed == "score":
            value = row.scores_K[row.class_index].cpu().numpy()
            at = {"class_index": np.array(row.class_index), "value": value}
            where = "" if selection.region is None else f" at {_place(selection.region)}"
            return class_text(row.class_index, self.engine) + where, at
        assert selection.layer is not None
        assert selection.unit is not None
        about: dict[str, npt.NDArray[np.generic]] = {
            "layer": np.array(selection.layer),
            "unit": np.array(selection.unit),
            "position": np.array(row.position),
            "value": np.array(row.value),
        }
        if request.class_name is not None:
            return class_text(selection.unit, self.engine), about
        at_place = f"{row.value:.4g} at ({row.position[0]}, {row.position[1]})"
        return f"{selection.layer}:{selection.unit}, {at_place}", about

    def _complaints(self, row: "_Row") -> list[str]:
        """What is wrong with a backward picture."""
        bits = row.health & ~Health.CAM_ZERO
        if row.selection.seed == "score":
            return Health.texts(bits & ~Health.UNIT_ZERO)
        layer = next(each for each in self.engine.layers if each.name == row.selection.layer)
        if bits & Health.GRADIENT_ZERO and not layer.reaches_input:
            return [NO_GRADIENT_PATH, *Health.texts(bits & ~Health.GRADIENT_ZERO)]
        return Health.texts(bits)

    def _refuse_to_replace(self, files: Iterable[Path]) -> None:
        for path in files:
            if _file_at(path) in self._inputs:
                raise RtvisError(f"{path}: is the input itself; name another --output")

    def _facts(self, job: _Job, **facts: str | None) -> dict[str, npt.NDArray[np.generic]]:
        """What a raw file says about itself."""
        crop = job.crop
        return {
            "crop_top_left_height_width": np.array([crop.top, crop.left, crop.height, crop.width]),
            "network": np.array(self.engine.network),
            "weights_note": np.array(self.engine.weights_note),
            "source": np.array(job.source.name),
            **{name: np.array(value or "") for name, value in facts.items()},
        }

    def _preprocess(self, jobs: list[_Job]) -> Tensor:
        inputs = [self.engine.preprocess(job.picture.best, fit=self._fit) for job in jobs]
        return torch.cat(inputs)

    def _run(self, x_BCHW: Tensor, selection: Selection) -> list["_Row"]:
        """One row per picture; a short batch is filled up, for another size is another graph."""
        count = x_BCHW.shape[0]
        missing = self.engine.batch_size - count if count > 1 else 0
        if missing:
            x_BCHW = torch.cat([x_BCHW, x_BCHW[-1:].expand(missing, -1, -1, -1)])
        result = self.engine.run(x_BCHW, selection)
        return [_Row.of(result, index) for index in range(count)]

    def _run_each(self, x_BCHW: Tensor, choices: list[Selection]) -> list["_Row"]:
        """Rows for selections that differ; pictures with the same one run together."""
        rows: dict[int, _Row] = {}
        for selection in dict.fromkeys(choices):
            at = [index for index, each in enumerate(choices) if each == selection]
            rows.update(zip(at, self._run(x_BCHW[at], selection), strict=True))
        return [rows[index] for index in range(len(choices))]


def _place(region: tuple[int, int, int, int]) -> str:
    """A region of a dense output, or its one pixel."""
    top, left, height, width = region
    size = "" if (height, width) == (1, 1) else f", {height}x{width} pixels"
    return f"({top}, {left}){size}"


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, whatever it is called; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Row:
    """One picture's part of a Result."""

    scores_K: Tensor
    maps_CHW: Tensor
    cam_HW: Tensor
    backprop_CHW: Tensor
    class_index: int
    position: tuple[int, int]
    value: float
    health: int
    selection: Selection

    @classmethod
    def of(cls, result: Result, index: int) -> "_Row":
        row, column = result.position_B2[index].tolist()
        return cls(
            scores_K=result.scores_BK[index],
            maps_CHW=result.maps_BCHW[index],
            cam_HW=result.cam_BHW[index],
            backprop_CHW=result.backprop_B3HW[index],
            class_index=int(result.class_index_B[index]),
            position=(row, column),
            value=float(result.value_B[index]),
            health=int(result.health_B[index]),
            selection=result.selection,
        )

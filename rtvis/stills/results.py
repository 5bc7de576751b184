"""What the still-image scripts write for a picture, and what they say of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtvis.data import NO_GRADIENT_PATH, Health
from rtvis.engine.engine import Engine
from rtvis.errors import RtvisError
from rtvis.filing import encode_image, encode_npz
from rtvis.registry import ATTENTION_METHODS
from rtvis.render import display
from rtvis.stills.draw import bgr_on_host, draw_cam
from rtvis.stills.files import file_at, numbered, write_all
from rtvis.stills.jobs import Job
from rtvis.stills.requests import BackpropRequest, CamRequest, Outcome, class_text
from rtvis.stills.rows import Row


class Results:
    """Writes pictures and raw files.

    Args:
        engine: Whose numbers they are.
        inputs: None of these is written to.
    """

    def __init__(self, engine: Engine, inputs: Iterable[Path]) -> None:
        self._engine = engine
        self._inputs = frozenset(filter(None, map(file_at, inputs)))

    def write_cams(self, job: Job, rows: Sequence[Row], request: CamRequest) -> Outcome:
        """The CAM of each row, and their numbers.

        Raises:
            RtvisError: An output is one of the inputs.
            SinkError: It cannot be written.
        """
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
            name = class_text(row.class_index, self._engine)
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

    def write_backprop(self, job: Job, row: Row, request: BackpropRequest) -> Outcome:
        """A backward picture, and its numbers. Raises as `write_cams`."""
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
        self, row: Row, request: BackpropRequest
    ) -> tuple[str, dict[str, npt.NDArray[np.generic]]]:
        """What a backward picture starts at, in words and for a raw file."""
        selection = row.selection
        if selection.seed == "score":
            value = row.scores_K[row.class_index].cpu().numpy()
            at = {"class_index": np.array(row.class_index), "value": value}
            where = "" if selection.region is None else f" at {_place(selection.region)}"
            return class_text(row.class_index, self._engine) + where, at
        assert selection.layer is not None
        assert selection.unit is not None
        about: dict[str, npt.NDArray[np.generic]] = {
            "layer": np.array(selection.layer),
            "unit": np.array(selection.unit),
            "position": np.array(row.position),
            "value": np.array(row.value),
        }
        if request.class_name is not None:
            return class_text(selection.unit, self._engine), about
        at_place = f"{row.value:.4g} at ({row.position[0]}, {row.position[1]})"
        return f"{selection.layer}:{selection.unit}, {at_place}", about

    def _complaints(self, row: Row) -> list[str]:
        """What is wrong with a backward picture."""
        bits = row.health & ~Health.CAM_ZERO
        if row.selection.seed == "score":
            return Health.texts(bits & ~Health.UNIT_ZERO)
        layer = next(each for each in self._engine.layers if each.name == row.selection.layer)
        if bits & Health.GRADIENT_ZERO and not layer.reaches_input:
            return [NO_GRADIENT_PATH, *Health.texts(bits & ~Health.GRADIENT_ZERO)]
        return Health.texts(bits)

    def _refuse_to_replace(self, files: Iterable[Path]) -> None:
        for path in files:
            if file_at(path) in self._inputs:
                raise RtvisError(f"{path}: is the input itself; name another --output")

    def _facts(self, job: Job, **facts: str | None) -> dict[str, npt.NDArray[np.generic]]:
        """What a raw file says about itself."""
        crop = job.crop
        return {
            "crop_top_left_height_width": np.array([crop.top, crop.left, crop.height, crop.width]),
            "network": np.array(self._engine.network),
            "weights_note": np.array(self._engine.weights_note),
            "source": np.array(job.source.name),
            **{name: np.array(value or "") for name, value in facts.items()},
        }


def _place(region: tuple[int, int, int, int]) -> str:
    """A region of a dense output, or its one pixel."""
    top, left, height, width = region
    size = "" if (height, width) == (1, 1) else f", {height}x{width} pixels"
    return f"({top}, {left}){size}"

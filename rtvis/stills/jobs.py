"""The pictures of the still-image scripts in memory, a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtvis.data import Crop, Fit
from rtvis.engine.engine import Engine
from rtvis.errors import SourceError
from rtvis.sources.pixels import Decoded, read_picture
from rtvis.stills.requests import Outcome


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """One picture of a batch that could be read."""

    source: Path
    output: Path
    raw_output: Path | None
    picture: Decoded
    crop: Crop


def batches(
    engine: Engine,
    sources: Sequence[Path],
    outputs: Sequence[Path],
    raw_outputs: Sequence[Path] | None,
    *,
    fit: Fit,
) -> Iterator[tuple[list[Job], list[Outcome]]]:
    """Pictures as many as the engine takes at a time, and those that could not be read.

    Args:
        engine: Takes them.
        sources: The pictures.
        outputs: Of each.
        raw_outputs: Of each; None writes none.
        fit: What becomes of pictures with other proportions than the network's input.
    """
    size = engine.batch_size
    for start in range(0, len(sources), size):
        jobs: list[Job] = []
        failures: list[Outcome] = []
        for index in range(start, min(start + size, len(sources))):
            try:
                picture = read_picture(sources[index])
            except SourceError as error:
                failures.append(Outcome(source=sources[index], error=str(error)))
                continue
            height, width = picture.image_HW3.shape[:2]
            jobs.append(
                Job(
                    source=sources[index],
                    output=outputs[index],
                    raw_output=None if raw_outputs is None else raw_outputs[index],
                    picture=picture,
                    crop=engine.preprocessing.crop_of(height, width, fit),
                )
            )
        yield jobs, failures

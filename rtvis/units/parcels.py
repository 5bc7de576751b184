"""What travels between the machines of a cluster: arrays and texts in one run of bytes each."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtvis.engine.reduced.forward import Reduced
from rtvis.units.arrays import Arrays, below
from rtvis.units.findings import Findings
from rtvis.units.items import Files, pack_texts, unpack_texts
from rtvis.units.reading import Sample
from rtvis.units.spans import Span

_SEEN = torch.empty(0)
"""Stands for a picture that stays where it was looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorKind:
    """What the last bits of a value may depend on: equal actors give equal numbers."""

    node: str
    form: str
    """Of the pass; see `ReducedForm`."""
    processor: str
    torch: str
    num_threads: int
    """0 on a GPU, where they do not matter."""
    note: str = ""
    """Why it is not the form that was wanted."""

    @property
    def text(self) -> str:
        """In words; the same for equal ones."""
        threads = f", {self.num_threads} threads" if self.num_threads else ""
        return f"{self.form} on {self.processor}, torch {self.torch}{threads}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parcel:
    """What an actor tells of some samples of a span."""

    samples: tuple[Sample, ...]
    """With an empty tensor for each picture that was seen; files are numbered within the span."""
    kind: ActorKind | None = None
    findings: Findings | None = None
    """Of pictures, which are the items 0, 1, 2 ..."""
    classes_K: Tensor | None = None
    """int64: which classes those of the findings are."""
    reduced: Reduced | None = None
    """Of the frames of a film: of those that were seen, in host memory."""
    fault: str = ""
    """Why there is nothing else in it, and the scan cannot go on."""


def span_to_bytes(span: Span) -> bytes:
    """A span, to be looked at elsewhere; classes' names stay here."""
    files = span.files
    return _to_bytes(
        {
            "first": np.array([span.first, span.start_frame]),
            "root": pack_texts([str(files.root)]),
            "names": pack_texts(files.names),
            "size_bytes": files.size_bytes_F,
            "modified_ns": files.modified_ns_F,
            "label": files.label_F,
            "is_film": files.is_film_F,
        }
    )


def span_from_bytes(data: bytes) -> Span:
    """What `span_to_bytes` was given."""
    held = _from_bytes(data)
    files = Files(
        root=Path(unpack_texts(held["root"])[0]),
        names=unpack_texts(held["names"]),
        size_bytes_F=held["size_bytes"],
        modified_ns_F=held["modified_ns"],
        label_F=held["label"],
        is_film_F=held["is_film"],
    )
    first, start_frame = held["first"].tolist()
    return Span(first=first, files=files, start_frame=start_frame)


def pictures_to_bytes(samples: Sequence[Sample]) -> bytes:
    """Samples with their pictures."""
    images = [sample.image.numpy() for sample in samples if sample.image is not None]
    pixels = [np.ascontiguousarray(image).reshape(-1).view(np.uint8) for image in images]
    kinds = json.dumps([(image.dtype.name, image.shape) for image in images])
    held = _of_samples(samples) | {
        "pixels": np.concatenate([np.empty(0, np.uint8), *pixels]),
        "kinds": np.frombuffer(kinds.encode(), dtype=np.uint8),
    }
    return _to_bytes(held)


def pictures_from_bytes(data: bytes) -> list[Sample]:
    """What `pictures_to_bytes` was given."""
    held = _from_bytes(data)
    images, first = [], 0
    for dtype, shape in json.loads(held["kinds"].tobytes()):
        stop = first + int(np.prod(shape)) * np.dtype(dtype).itemsize
        # The bytes are this function's own: nobody else writes there.
        pixels = held["pixels"][first:stop].view(dtype).reshape(shape)
        images.append(torch.from_numpy(pixels))
        first = stop
    return _samples_of(held, images)


def parcel_to_bytes(parcel: Parcel) -> bytes:
    """A parcel."""
    held = _of_samples(parcel.samples)
    kind = None if parcel.kind is None else _fields(parcel.kind)
    text = json.dumps({"kind": kind, "fault": parcel.fault})
    held["text"] = np.frombuffer(text.encode(), dtype=np.uint8)
    if parcel.findings is not None:
        held |= {f"findings/{key}": value for key, value in parcel.findings.to_arrays().items()}
    if parcel.classes_K is not None:
        held["classes"] = parcel.classes_K.numpy()
    if parcel.reduced is not None:
        held |= {
            f"reduced/{key}": value.cpu().numpy() for key, value in parcel.reduced._asdict().items()
        }
    return _to_bytes(held)


def parcel_from_bytes(data: bytes) -> Parcel:
    """What `parcel_to_bytes` was given."""
    held = _from_bytes(data)
    text = json.loads(held["text"].tobytes())
    findings, reduced = below(held, "findings/"), below(held, "reduced/")
    num_seen = int(held["is_seen"].sum())
    return Parcel(
        samples=tuple(_samples_of(held, [_SEEN] * num_seen)),
        kind=None if text["kind"] is None else ActorKind(**text["kind"]),
        findings=Findings.from_arrays(findings) if findings else None,
        classes_K=torch.from_numpy(held["classes"]) if "classes" in held else None,
        reduced=Reduced(**{key: torch.from_numpy(each) for key, each in reduced.items()})
        if reduced
        else None,
        fault=text["fault"],
    )


def _of_samples(samples: Sequence[Sample]) -> Arrays:
    pts = [np.nan if each.pts_seconds is None else each.pts_seconds for each in samples]
    errors = json.dumps([sample.error for sample in samples])
    return {
        "file_index": np.array([sample.file for sample in samples], dtype=np.int64),
        "is_seen": np.array([sample.image is not None for sample in samples], dtype=np.bool_),
        "pts": np.array(pts, dtype=np.float64),
        "errors": np.frombuffer(errors.encode(), dtype=np.uint8),
        "checksum": np.array([sample.checksum for sample in samples], dtype=np.int64),
        "is_last": np.array([sample.is_last for sample in samples], dtype=np.bool_),
    }


def _samples_of(held: Mapping[str, npt.NDArray[Any]], images: Sequence[Tensor]) -> list[Sample]:
    errors, rest = json.loads(held["errors"].tobytes()), iter(images)
    keys = ("file_index", "is_seen", "pts", "checksum", "is_last")
    columns = [held[key].tolist() for key in keys]
    return [
        Sample(
            file=file,
            image=next(rest) if is_seen else None,
            pts_seconds=None if math.isnan(pts) else pts,
            error=error,
            checksum=checksum,
            is_last=is_last,
        )
        for file, is_seen, pts, checksum, is_last, error in zip(*columns, errors, strict=True)
    ]


def _fields(kind: ActorKind) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in kind.__dataclass_fields__}


def _to_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    return data.getvalue()


def _from_bytes(data: bytes) -> Arrays:
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        return {name: held[name] for name in held.files}

"""What runs on the machines of a cluster: decoders, and actors that hold the network."""

import contextlib
import fcntl
import functools
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from rtvis._version import __version__
from rtvis.engine.compiled.artifacts import default_cache_dir
from rtvis.engine.device import resolve_dtype
from rtvis.engine.networks.identity import Identity, identity_of
from rtvis.engine.networks.network import Network
from rtvis.engine.reduced.forward import Reduced
from rtvis.engine.reduced.step import ReducedStep, reduced_step
from rtvis.errors import NetworkError, RtvisError
from rtvis.units import parcels
from rtvis.units.findings import Findings
from rtvis.units.parcels import ActorKind, Parcel
from rtvis.units.reading import Reader, Sample
from rtvis.units.scan import ScanSettings, batches, joined, reduced_in_order
from rtvis.units.spans import Span

Row: TypeAlias = dict[str, Any]
"""As Ray Data passes it on: bytes of a span, and of its pictures or, later, of a parcel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorPlan:
    """All that an actor has to know."""

    load: Callable[[], Network]
    """Gives the network there, from files or names that are the same everywhere."""
    identity: Identity
    """That it must have."""
    layers: tuple[str, ...]
    device: str
    """cpu or cuda: each actor sees the GPU that is its own."""
    dtype: str
    tf32: bool
    batch: int
    is_compiled: bool
    num_threads: int
    settings: ScanSettings
    with_classes: bool
    span_size: int
    """Of films: frames in a row."""
    node: str
    """That of the program which began the scan, and has seen the files."""
    version: str = __version__


def decode(row: Row, *, plan: ActorPlan, node_of: Callable[[], str]) -> Iterator[Row]:
    """The pictures of a span, or the frames of a film a part at a time."""
    span = parcels.span_from_bytes(row["span"])
    fault = _missing(span) if node_of() != plan.node else ""
    if fault:
        yield {"span": row["span"], "data": b"", "fault": fault}
        return
    reader = Reader(
        files=span.files,
        preprocessing=plan.identity.preprocessing,
        device=torch.device(plan.device),
        num_workers=1,
        every_s=plan.settings.every_s,
    )
    samples = reader.samples(start_frame=span.start_frame)
    try:
        for some in _parts(samples, plan.span_size):
            data = parcels.pictures_to_bytes(some)
            yield {"span": row["span"], "data": data, "fault": ""}
    finally:
        samples.close()  # type: ignore[attr-defined]


def _parts(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    some: list[Sample] = []
    for sample in samples:
        some.append(sample)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _missing(span: Span) -> str:
    """That files which another machine has seen are not here; empty if at least one is."""
    files = span.files
    known = [files.path(int(index)) for index in np.flatnonzero(files.size_bytes_F >= 0)]
    if not known or any(path.exists() for path in known):
        return ""
    more = f", nor are {len(known) - 1} others" if len(known) > 1 else ""
    return (
        f"{known[0]}: is not on {platform.node()}, a machine of the cluster{more}; the data must "
        "have the same path on every machine that decodes, on a shared disk for example"
    )


class NetworkActor:
    """Holds the network: looks at pictures and tells what it found. One at a time."""

    def __init__(self, plan: ActorPlan) -> None:
        self._plan = plan
        self._fault = ""
        try:
            self._step, self._kind = _prepared(plan)
        except RtvisError as fault:  # said by the program that began the scan, as one line
            self._fault = f"on {platform.node()}, a machine of the cluster: {fault}"

    def __call__(self, row: Row) -> Row:
        fault = row["fault"] or self._fault
        parcel = Parcel(samples=(), fault=fault) if fault else self._looked_at(row)
        return {"span": row["span"], "data": parcels.parcel_to_bytes(parcel)}

    def _looked_at(self, row: Row) -> Parcel:
        span = parcels.span_from_bytes(row["span"])
        samples = parcels.pictures_from_bytes(row["data"])
        preprocessing = self._plan.identity.preprocessing
        some_at_a_time = batches(iter(samples), self._plan.batch, span.files)
        told = list(reduced_in_order(some_at_a_time, self._step, preprocessing))
        if span.is_film:  # which of its moments count, is seen where all of them come together
            reduced = joined(told)
            here = None if reduced is None else Reduced(*(part.cpu() for part in reduced))
            return Parcel(samples=tuple(samples), kind=self._kind, reduced=here)
        label_F = span.files.label_F
        classes = np.unique(label_F[label_F >= 0])
        findings = Findings.empty(
            sum(layer.num_units for layer in self._step.layers),
            self._plan.settings.num_top,
            with_statistics=self._plan.settings.with_statistics,
            num_classes=max(1, len(classes)) if self._plan.with_classes else None,
            device=self._step.device,
        )
        place_F = np.where(label_F >= 0, np.searchsorted(classes, label_F), -1)
        for some, reduced in told:
            if reduced is not None:
                _add(findings, some, reduced, place_F.tolist())
        return Parcel(
            samples=tuple(samples),
            kind=self._kind,
            findings=findings,
            classes_K=torch.from_numpy(classes if len(classes) else np.zeros(1, np.int64)),
        )


def _add(
    findings: Findings, samples: Sequence[Sample], reduced: Reduced, label_F: list[int]
) -> None:
    seen = [sample.file for sample in samples if sample.image is not None]
    spare = [-1] * (len(reduced.values_BT) - len(seen))
    device = reduced.values_BT.device
    item_B = torch.tensor([*seen, *spare], dtype=torch.int64).to(device)
    label_B = torch.tensor([*(label_F[file] for file in seen), *spare], dtype=torch.int64)
    findings.add_items(reduced, item_B, label_B.to(device))
    findings.add_hits(reduced.values_BT, reduced.place_BT, item_B)


def _prepared(plan: ActorPlan) -> tuple[ReducedStep, ActorKind]:
    if plan.version != __version__:
        raise NetworkError(
            f"rtvis is {__version__} there and {plan.version} here; install the same version"
        )
    # Not before torch computes: how sums are split over threads may change their last bits.
    torch.set_num_threads(plan.num_threads)
    network = plan.load()
    identity = identity_of(network)
    # Its name may be another file's there.
    if replace(identity, network=plan.identity.network) != plan.identity:
        raise NetworkError(
            f"network '{identity.network}' has other weights or another preprocessing there; give "
            "the same files to every machine"
        )
    device = torch.device(plan.device)
    with _alone(default_cache_dir()):
        step = reduced_step(
            network,
            layers=plan.layers,
            device=device,
            dtype=resolve_dtype(plan.dtype),
            tf32=plan.tf32,
            batch=plan.batch,
            compiled=plan.is_compiled,
        )
    if plan.is_compiled and step.form == "eager":
        raise NetworkError(f"{step.note or 'it cannot be compiled'}; or --compile off")
    is_cuda = device.type == "cuda"
    actor = ActorKind(
        node=platform.node(),
        form=step.form,
        processor=torch.cuda.get_device_name(device) if is_cuda else _processor(),
        torch=torch.__version__,
        num_threads=0 if is_cuda else plan.num_threads,
    )
    return step, actor


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One actor of a machine at a time: the others find in the cache what the first compiled."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # a disk that knows no locks: all of them compile
            folder.mkdir(parents=True, exist_ok=True)
            file = held.enter_context((folder / "actors.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return (
                    f"{line.partition(':')[2].strip()} ({torch.backends.cpu.get_cpu_capability()})"
                )
    return f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()})"

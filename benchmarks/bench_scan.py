"""A scan for the best inputs of every unit beside the network alone, and beside decoding alone.

    python -m benchmarks.bench_scan --networks resnet50 --batch 8
    python -m benchmarks.bench_scan --device cuda --dtype float16 --batch 256

Two ratios count: pictures a second of the pass on input that is ready, by those of the compiled
network alone; and those of a scan of JPEG files, by what the slower of decoding and computing
allows, or on a CPU, where both share the cores, by what the two together do.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import common
from benchmarks.alone import graphed, network_alone
from benchmarks.common import say
from rtvis.data import ImageU8
from rtvis.engine.device import resolve_device, resolve_dtype
from rtvis.engine.networks.models import Network
from rtvis.engine.reduced.forward import Reduced
from rtvis.engine.reduced.step import CPU_BATCH, GPU_BATCH, ReducedStep, reduced_step
from rtvis.threads import num_cores
from rtvis.units.data_set import find_files
from rtvis.units.items import Files
from rtvis.units.lanes import in_lanes
from rtvis.units.reading import Reader
from rtvis.units.scan import TOGETHER, ScanSettings, ScanState, scan

IMAGENET = 1_281_167
"""Pictures to project to."""
JPEG_SIZE = (375, 500)
"""(height, width), as ImageNet's are on average; some 50 kB each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every network that the flags name; the exit code."""
    return common.measure_networks("bench_scan", _measure, _parse(argv))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_scan", description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", default="resnet50,tf_efficientnet_lite0")
    parser.add_argument("--layers", default="*", help="patterns, separated by commas")
    parser.add_argument("--batch", type=int, default=0, help="default: as `rtvis units scan`")
    parser.add_argument("--repeats", type=int, default=15, help="pairs per row")
    parser.add_argument("--files", type=int, default=0, help="JPEG files; default: 512, GPU 8192")
    parser.add_argument("--workers", type=int, default=0, help="default: one for each core")
    common.add_common_flags(parser)
    arguments = parser.parse_args(argv)
    on_cpu = arguments.device == "cpu"
    arguments.batch = arguments.batch or (CPU_BATCH if on_cpu else GPU_BATCH)
    arguments.files = arguments.files or (512 if on_cpu else 8192)
    if arguments.quick:
        arguments.repeats, arguments.files = min(arguments.repeats, 2), min(arguments.files, 12)
    return arguments


def _measure(name: str, arguments: argparse.Namespace) -> None:
    torch.manual_seed(0)
    network = common.load_to_time(name)
    device = resolve_device(arguments.device)
    facts = common.machine_facts(device)
    say(f"{network.name}: preparing the pass")
    step = reduced_step(
        network,
        layers=tuple(arguments.layers.split(",")),
        device=device,
        dtype=resolve_dtype(arguments.dtype),
        batch=arguments.batch,
        compiled=arguments.compile == "auto",
    )
    try:
        body = "".join([_pass(network, step, arguments), "\n", _folder(network, step, arguments)])
    finally:
        step.close()
    height, width = network.preprocessing.size
    label = network.name.rpartition("/")[2]  # no path of this machine
    which = "all layers" if arguments.layers == "*" else arguments.layers
    common.publish(
        f"scan: {label}, {width}x{height}, batch {step.batch}, {which}, {arguments.dtype}, "
        f"{device.type}",
        f"{facts}{body}",
        device=device,
        arguments=arguments,
    )


def _pass(network: Network, step: ReducedStep, arguments: argparse.Namespace) -> str:
    """The pass and the gathering on input that is ready, each beside the network alone."""
    prep, device = network.preprocessing, step.device
    x_BCHW = torch.randn(step.batch, prep.num_channels, *prep.size, device=device)
    x_BCHW = x_BCHW.to(resolve_dtype(arguments.dtype), memory_format=torch.channels_last)
    say(f"{network.name}: the network alone")
    alone = network_alone(network.model, x_BCHW, compiling=arguments.compile == "auto")
    files = _no_files()
    state = ScanState.empty(files, step, ScanSettings())
    num_batches = max(1, TOGETHER // step.batch)  # as a scan adds them up
    item_B = torch.arange(step.batch * num_batches, device=device)
    label_B = torch.full_like(item_B, -1)

    def gather() -> None:
        nonlocal item_B
        reduced = Reduced(*map(torch.cat, zip(*_several(step, x_BCHW, num_batches), strict=True)))
        state.findings.add_items(reduced, item_B, label_B)
        state.findings.add_hits(reduced.values_BT, reduced.place_BT, item_B)
        item_B = item_B + len(item_B)

    def alone_as_often() -> None:
        for _ in range(num_batches):
            alone.best()

    def pass_as_often() -> None:
        _several(step, x_BCHW, num_batches)

    pass_alone = graphed(lambda: step.run(x_BCHW), device)
    rows = []
    for what, baseline, call in (
        ("pass", alone.best, pass_alone)
        if step.num_lanes == 1
        else (f"pass, {step.num_lanes} batches at once", alone_as_often, pass_as_often),
        (f"pass and gathering, {len(item_B)} pictures", alone_as_often, gather),
    ):
        clocks = _Clocked(baseline), _Clocked(call)
        found = common.compare(*clocks, device=device, repeats=arguments.repeats)
        spent = [clock.seconds[-arguments.repeats :] for clock in clocks]
        ratios = [own / alone_s for alone_s, own in zip(*spent, strict=True)]
        busy = "" if device.type == "cuda" else f"{common.median(ratios):.2f}"
        rows.append([what, *common.comparison_cells(found), busy])
    rate = len(item_B) / common.median(found.candidate_ms) * 1e3
    own = len(item_B) / common.median(found.baseline_ms) * 1e3
    num_units = sum(layer.num_units for layer in step.layers)
    return (
        f"- {len(step.layers)} layers, {num_units} units, top 9, statistics; pass: {step.form}; "
        f"1.00 is the network alone, {alone.name}: {own:.1f} pictures a second\n"
        f"- **{1 / found.ratio:.2f} of the network's own throughput**: {rate:.1f} pictures a "
        f"second, {_projected(rate)} for {IMAGENET:,} pictures that are decoded already\n\n"
        + common.table((*common.COMPARISON_HEAD, "ratio of processor time"), rows)
    )


def _several(step: ReducedStep, x_BCHW: torch.Tensor, count: int) -> list[Reduced]:
    """What the pass leaves of so many batches, in as many lanes as it has."""
    return [found for _, found in in_lanes(step.num_lanes, [x_BCHW] * count, step.run)]


class _Clocked:
    """A call that notes what processor time it took: other work on the machine adds little."""

    def __init__(self, call: common.Call) -> None:
        self._call = call
        self.seconds: list[float] = []

    def __call__(self) -> object:
        started_s = time.process_time()
        result = self._call()
        self.seconds.append(time.process_time() - started_s)
        return result


def _folder(network: Network, step: ReducedStep, arguments: argparse.Namespace) -> str:
    """A scan of JPEG files beside decoding them and beside the pass."""
    workers = arguments.workers or num_cores()
    spent: dict[str, list[_Spent]] = {"decode": [], "compute": [], "scan": []}
    with tempfile.TemporaryDirectory(prefix="rtvis-bench-") as folder:
        write_jpegs(Path(folder), arguments.files)
        files = find_files(folder)
        for _ in range(2 if arguments.quick else 3):
            say(f"{network.name}: {arguments.files} JPEG files")
            spent["decode"].append(_spent(_decoded(network, step, files, workers), len(files)))
            spent["compute"].append(_spent(_computed(network, step, files, workers), len(files)))
            state = ScanState.empty(files, step, ScanSettings())
            passing = scan(step, state, network.preprocessing, num_workers=workers)
            spent["scan"].append(_spent(passing, len(files)))
    decode, compute, whole = (common.median([one.rate for one in spent[key]]) for key in spent)
    if step.device.type == "cpu":
        bound, reason = 1 / (1 / decode + 1 / compute), "decoding and computing share the cores"
    else:
        bound, reason = min(decode, compute), "the slower of decoding and computing"
    busy = {key: common.median([one.processor_ms for one in each]) for key, each in spent.items()}
    together = busy["decode"] + busy["compute"]
    rows = [
        ["decoding, resizing, cropping alone", f"{decode:.1f}", f"{busy['decode']:.2f}"],
        [
            "computing and gathering alone, decoded before",
            f"{compute:.1f}",
            f"{busy['compute']:.2f}",
        ],
        [f"bound: {reason}", f"{bound:.1f}", f"{together:.2f}"],
        ["scan", f"{whole:.1f}", f"{busy['scan']:.2f}"],
    ]
    height, width = JPEG_SIZE
    return (
        f"{arguments.files} JPEG files of {width}x{height}, {workers} workers: "
        f"**{whole / bound:.2f} of the bound**, {_projected(whole)} for {IMAGENET:,} pictures; "
        f"in processor time {together / busy['scan']:.2f}, whatever else the machine does\n\n"
        + common.table(("what", "pictures/s", "processor ms a picture"), rows)
    )


def _decoded(network: Network, step: ReducedStep, files: Files, workers: int) -> Iterator[object]:
    reader = Reader(
        files=files,
        preprocessing=network.preprocessing,
        device=step.device,
        num_workers=workers,
    )
    return reader.samples()


def _computed(network: Network, step: ReducedStep, files: Files, workers: int) -> Iterator[object]:
    """The scan's own work on one batch of samples, again and again."""
    few = files.take(np.arange(min(step.batch, len(files))))
    samples = list(_decoded(network, step, few, workers))
    prep = network.preprocessing
    images = [sample.image for sample in samples]  # type: ignore[attr-defined]
    if step.device.type != "cpu":
        images = [prep.apply(image.to(step.device)) for image in images]
    x_BCHW = torch.cat([*images, *[images[-1]] * (step.batch - len(images))])
    findings = ScanState.empty(files, step, ScanSettings()).findings
    num_batches = max(1, TOGETHER // step.batch)
    for first in range(0, len(files), step.batch * num_batches):
        reduced = Reduced(*map(torch.cat, zip(*_several(step, x_BCHW, num_batches), strict=True)))
        item_B = torch.arange(first, first + len(reduced.values_BT), device=step.device)
        findings.add_items(reduced, item_B, torch.full_like(item_B, -1))
        findings.add_hits(reduced.values_BT, reduced.place_BT, item_B)
        yield None
    findings.tracker.top().values_CN.cpu()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spent:
    """What some work on pictures took."""

    rate: float
    """Pictures a second."""
    processor_ms: float
    """A picture, of all cores together."""


def _spent(work: Iterator[object], count: int) -> _Spent:
    started_s, before_s = time.perf_counter(), time.process_time()
    for _ in work:
        pass
    seconds = time.perf_counter() - started_s
    processor_s = time.process_time() - before_s
    return _Spent(rate=count / seconds, processor_ms=processor_s / count * 1e3)


def write_jpegs(folder: Path, count: int) -> None:
    """Different crops of the sample pictures, so that they cost what photographs cost."""
    samples = Path(__file__).parent.parent / "sample_images"
    pictures: list[ImageU8] = [
        cv2.imread(str(path)) for path in sorted(samples.glob("*.[jp][pn]g"))
    ]
    random = np.random.default_rng(0)
    height, width = JPEG_SIZE
    for index in range(count):
        picture = pictures[index % len(pictures)]
        scale = max(height / picture.shape[0], width / picture.shape[1]) * 1.2
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top = int(random.integers(0, large.shape[0] - height + 1))
        left = int(random.integers(0, large.shape[1] - width + 1))
        crop = large[top : top + height, left : left + width]
        cv2.imwrite(str(folder / f"{index:06d}.jpg"), crop, [cv2.IMWRITE_JPEG_QUALITY, 90])


def _no_files() -> Files:
    none = np.zeros(0, dtype=np.int64)
    return Files(
        root=Path(),
        names=(),
        size_bytes_F=none,
        modified_ns_F=none,
        label_F=none,
        is_film_F=none.astype(np.bool_),
    )


def _projected(rate: float) -> str:
    minutes = IMAGENET / rate / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


if __name__ == "__main__":
    common.wait_as_the_program()
    sys.exit(main())

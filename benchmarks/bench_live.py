"""The live program as a whole: rates, latency, start, stalls while compiling, memory.

    python -m benchmarks.bench_live
    python -m benchmarks.bench_live --network resnet50 --weights random --seconds 20

Every figure comes from a fresh process. The cold start has an empty cache folder, all others have
the one that it filled.
"""

import argparse
import contextlib
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

from benchmarks import common, gaps
from benchmarks.common import median, say, spread
from benchmarks.growing import rows_of
from benchmarks.observe import Memory, observed
from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.device import resolve_device
from rtvis.errors import RtvisError
from rtvis.sinks.window import why_no_window
from rtvis.sources.choose import demo_path


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code."""
    arguments = _parse(argv)
    try:
        device = resolve_device(arguments.device)
    except RtvisError as fault:
        print(f"bench_live: {fault}", file=sys.stderr)
        return 1
    facts = common.machine_facts(device)
    with tempfile.TemporaryDirectory(prefix="rtvis-bench-") as folder, _screen() as display:
        try:
            body = _report(arguments, str(device), Path(folder), display)
        except RuntimeError as fault:
            print(f"bench_live: {fault}", file=sys.stderr)
            return 1
    label = arguments.network.rpartition("/")[2]  # no path of this machine
    common.publish(
        f"live: {label}, {arguments.dtype}, {device.type}",
        f"{facts}{body}",
        device=device,
        arguments=arguments,
    )
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_live", description=__doc__.partition("\n")[0])
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--weights", default=None)
    parser.add_argument(
        "--part",
        choices=("all", "starts", "growing", "gaps"),
        default="all",
        help="what to measure",
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of each run for rates")
    common.add_common_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.seconds = min(arguments.seconds, 0.5)
    return arguments


@contextlib.contextmanager
def _screen() -> Iterator[str | None]:
    """The name of an X display to open windows on, without hardware; None where there is none."""
    if shutil.which("Xvfb") is None or why_no_window({"DISPLAY": ":0"}):
        yield None
        return
    from tests.xvfb import Screen

    with Screen() as screen:
        yield screen.name


def _report(arguments: argparse.Namespace, device: str, folder: Path, display: str | None) -> str:
    cache = folder / "cache"
    cache.mkdir()
    job: dict[str, Any] = {
        "network": arguments.network,
        "weights": arguments.weights,
        "device": device,
        "dtype": arguments.dtype,
        "compile": arguments.compile,
        "stream": "demo",
        "pace": "live",
        "view": "memory",
        "until": "compiled",
        "seconds": min(arguments.seconds, 5.0),
    }
    if arguments.part == "growing":
        return _growing(arguments, job, cache, display)
    if arguments.part == "gaps":
        return _gaps(arguments, job, folder, display)
    starts = {}
    for name in ("cold", "warm"):
        say(f"{name} start")
        starts[name] = observed(job, cache_home=cache, display=display)
    if arguments.part == "starts":
        return _starts(starts)
    job |= {"until": "seconds", "seconds": arguments.seconds}
    view = "memory" if display is None else "window"
    clip = _clip_720p(folder / "clip.mp4", num_frames=25 if arguments.quick else 150)
    runs = {}
    for what, stream in (("demo", "demo"), ("1280x720 clip", str(clip))):
        for pace in ("live", "fast"):
            if arguments.quick and (stream == "demo") != (pace == "live"):
                continue
            # As fast as it can: without the window's process, which wants a core of its own.
            own_view = view if pace == "live" else "memory"
            name = f"{what}, {pace}, {own_view}"
            say(name)
            own_job = job | {"stream": stream, "pace": pace, "view": own_view}
            runs[name] = observed(own_job, cache_home=cache, display=display)
    tables = [_starts(starts), _rates(runs), _stages(runs), _memory({**starts, **runs})]
    tables.append(_growing(arguments, job, cache, display))
    tables.append(_gaps(arguments, job, folder, display))
    return "\n".join(tables)


def _growing(
    arguments: argparse.Namespace, job: dict[str, Any], cache: Path, display: str | None
) -> str:
    """What a picture that grows costs the film, by its clock and as fast as it goes."""
    seconds = arguments.seconds if arguments.quick else max(4 * arguments.seconds, 24.0)
    job = job | {"until": "seconds", "seconds": seconds, "growing": True, "view": "memory"}
    runs = {}
    for pace in ("live",) if arguments.quick else ("live", "fast"):
        name = f"demo, {pace}, memory"
        say(f"{name}, a picture grows")
        runs[name], _ = observed(
            job | {"stream": "demo", "pace": pace}, cache_home=cache, display=display
        )
    return rows_of(runs)


def _gaps(
    arguments: argparse.Namespace, job: dict[str, Any], folder: Path, display: str | None
) -> str:
    """How long the film stands still after a key."""
    say("keys and clicks")
    job = job | {"until": "seconds", "view": "memory", "store": str(folder / "store")}
    job |= {"every": 20, "seconds": 1.0} if arguments.quick else {"every": 1, "seconds": 3.0}
    found, _ = observed(job, cache_home=folder / "cache", display=display)
    return gaps.rows_of(found["gaps"])


def _starts(starts: dict[str, tuple[dict[str, Any], Memory]]) -> str:
    head = ("start", "import s", "first picture s", "compiled s", "worst gap / median", "gaps")
    rows = []
    for name, (found, _) in starts.items():
        gaps_ms = _gaps_ms(found, until_ns=found["compiled_ns"])
        worst, gaps = "-", "none"
        if gaps_ms:
            worst = f"{max(gaps_ms) / median(gaps_ms):.2f}"
            num_long = sum(gap > 3 * median(gaps_ms) for gap in gaps_ms)
            gaps = (
                f"{len(gaps_ms)}: median {median(gaps_ms):.0f} ms, worst {max(gaps_ms):.0f} ms, "
                f"{num_long} over 3 medians"
            )
        rows.append(
            [
                f"{name} cache",
                f"{found['import_s']:.1f}",
                _seconds(found["first_picture_s"]),
                _seconds(found["compiled_s"]) if found["compiled_s"] else _why_not(found),
                worst,
                gaps,
            ]
        )
    text = (
        "\nSeconds count from the end of the imports (torch, torchvision, timm, rtvis), whose own "
        "time is beside them; gaps between pictures from the first one until the compiled form "
        "serves.\n\n"
    )
    return text + common.table(head, rows)


def _why_not(found: dict[str, Any]) -> str:
    return f"never: {found['note'] or found['form']}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


def _rates(runs: dict[str, tuple[dict[str, Any], Memory]]) -> str:
    head = ("run", "form", "captured fps", "processed fps", "shown fps", "latency ms", "IQR")
    rows = []
    for name, (found, _) in runs.items():
        latencies_ms = _latencies_ms(found)
        gaps_ms = _gaps_ms(found)
        rows.append(
            [
                name,
                found["form"],
                f"{found['captured_fps']:.1f}",
                f"{found['processed_fps']:.1f}",
                f"{1e3 * len(gaps_ms) / sum(gaps_ms):.1f}" if gaps_ms else "0",
                f"{median(latencies_ms):.0f}",
                spread(latencies_ms, 0),
            ]
        )
        assert not found["num_faults"], f"{name}: {found['num_faults']} turns failed"
    text = (
        "\nLatency is from the capture of a frame to its first picture on the screen (of an Xvfb) "
        "or in the memory sink.\n\n"
    )
    return text + common.table(head, rows)


def _stages(runs: dict[str, tuple[dict[str, Any], Memory]]) -> str:
    names = list(dict.fromkeys(stage for found, _ in runs.values() for stage in found["stages_ms"]))
    rows = [
        [name, *(f"{found['stages_ms'].get(stage, 0.0):.1f}" for stage in names)]
        for name, (found, _) in runs.items()
    ]
    return "\n" + common.table(("mean ms of a stage", *names), rows)


def _memory(runs: dict[str, tuple[dict[str, Any], Memory]]) -> str:
    rows = [
        [
            name,
            f"{memory.main / 2**20:.2f}",
            f"{memory.total / 2**20:.2f}",
            ", ".join(f"{role} {kib / 2**20:.2f}" for role, kib in memory.children.items()) or "-",
        ]
        for name, (_, memory) in runs.items()
    ]
    head = ("peak resident GiB", "program", "all at one time", "largest child processes")
    return "\n" + common.table(head, rows)


def _measured(found: dict[str, Any]) -> list[tuple[int, int]]:
    """(captured_ns, shown_ns) of each frame's first picture in the part that counts."""
    start_ns = found["measured_from_ns"] or 0
    end_ns = found["measured_until_ns"] or float("inf")
    newest_ns, first = -1, []
    for captured_ns, shown_ns in found["shown"]:
        if captured_ns > newest_ns:  # a frame is drawn again when the view changes
            newest_ns = captured_ns
            if start_ns <= shown_ns <= end_ns:
                first.append((captured_ns, shown_ns))
    return first


def _latencies_ms(found: dict[str, Any]) -> list[float]:
    return [(shown_ns - captured_ns) / 1e6 for captured_ns, shown_ns in _measured(found)]


def _gaps_ms(found: dict[str, Any], *, until_ns: int | None = None) -> list[float]:
    times_ns = [shown_ns for _, shown_ns in _measured(found)]
    if until_ns is not None:
        times_ns = [each for each in times_ns if each <= until_ns]
    return [(b - a) / 1e6 for a, b in itertools.pairwise(times_ns)]


def _clip_720p(path: Path, *, num_frames: int) -> Path:
    """The demo at the size of a camera's frame."""
    source = cv2.VideoCapture(str(demo_path()))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (1280, 720))
    assert writer.isOpened(), "OpenCV cannot write mp4v here"
    for _ in range(num_frames):
        got, image = source.read()
        if not got:
            break
        writer.write(cv2.resize(image, (1280, 720), interpolation=cv2.INTER_CUBIC))
    writer.release()
    source.release()
    return path


if __name__ == "__main__":
    sys.exit(main())

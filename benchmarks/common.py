"""What the benchmarks share: facts about the machine, paired timing, tables, results files."""

import argparse
import os
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

import rtvis
from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.networks.models import Network, load_network
from rtvis.engine.networks.own import is_own
from rtvis.errors import RtvisError
from rtvis.threads import spin_briefly

RESULTS = Path(__file__).with_name("results")

Call: TypeAlias = Callable[[], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A candidate timed in turn with a baseline, pair by pair."""

    baseline_ms: tuple[float, ...]
    candidate_ms: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Candidate by baseline, of each pair."""
        pairs = zip(self.candidate_ms, self.baseline_ms, strict=True)
        return tuple(candidate / baseline for candidate, baseline in pairs)

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)


def wait_as_the_program() -> None:
    """Let OpenMP's threads wait for each other as they do in `rtvis`, whose setting counts before
    torch is imported only: begins this process anew where it has another."""
    before = dict(os.environ)
    spin_briefly()
    if os.environ != before:
        os.execv(sys.executable, sys.orig_argv)


def compare(
    baseline: Call,
    candidate: Call,
    *,
    device: torch.device,
    repeats: int,
    burst: int = 1,
    warmups: int = 3,
) -> Comparison:
    """Time two calls alternately, so that what else the machine does meets both alike.

    Args:
        baseline: Called first of each pair.
        candidate: Called second.
        device: Waited for before and after each sample.
        repeats: Pairs.
        burst: Calls in a row per sample; more than one measures a rate, as a loop sees it.
        warmups: Untimed calls of each before.
    """
    for call in (baseline, candidate):
        for _ in range(warmups):
            call()
    pairs = [
        (time_ms(baseline, device, burst=burst), time_ms(candidate, device, burst=burst))
        for _ in range(repeats)
    ]
    first, second = zip(*pairs, strict=True)
    return Comparison(baseline_ms=first, candidate_ms=second)


def time_ms(call: Call, device: torch.device, *, burst: int = 1) -> float:
    """Milliseconds per call, the mean of `burst` calls in a row.

    On CUDA between two events: the second is recorded after the host's own work, and on an idle
    stream the first one is passed at once, so that time of the host in which the device waits
    counts as well.
    """
    if device.type != "cuda":
        started = time.perf_counter()
        for _ in range(burst):
            call()
        return (time.perf_counter() - started) * 1e3 / burst
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(burst):
        call()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) / burst


def median(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return float(np.median(values)) if len(values) else float("nan")


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The 25 % and 75 % points; NaN of nothing."""
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, (25, 75))
    return float(low), float(high)


def spread(values: Sequence[float], digits: int) -> str:
    """`"low to high"`, the quartiles."""
    return " to ".join(f"{value:.{digits}f}" for value in quartiles(values))


def comparison_cells(found: Comparison) -> list[str]:
    """Cells of a row: median ms, its IQR, median ratio, its IQR, pairs."""
    times = found.candidate_ms
    digits = 1 if median(times) >= 10 else 3
    return [
        f"{median(times):.{digits}f}",
        spread(times, digits),
        f"**{found.ratio:.2f}**",
        spread(found.ratios, 2),
        str(len(times)),
    ]


COMPARISON_HEAD = ("what", "ms", "IQR", "ratio", "IQR", "pairs")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def machine_facts(device: torch.device) -> str:
    """Bullets: what the figures depend on, and nothing that tells which machine it was."""
    facts = [
        f"rtvis {rtvis.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        f"CPU: {_cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        f"other load: {_load()} at the start",
    ]
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        memory_gib = torch.cuda.get_device_properties(device).total_memory / 2**30
        facts.append(
            f"GPU: {torch.cuda.get_device_name(device)}, {memory_gib:.0f} GiB, "
            # As `rtvis.engine.device.prepare_device` has it where nobody wants it otherwise.
            f"CUDA {torch.version.cuda}, cuDNN {cudnn}, no TF32"
        )
    return "\n".join(f"- {fact}" for fact in facts) + "\n"


def _load() -> str:
    try:
        return f"load average {os.getloadavg()[0]:.1f}"
    except OSError:
        return "unknown"


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """`--device`, `--dtype`, `--compile`, `--quick` and `--out`."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="float32", help="number format of the network")
    parser.add_argument("--compile", choices=("auto", "off"), default="auto")
    parser.add_argument(
        "--quick", action="store_true", help="few repeats: shows that it runs, measures nothing"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="Markdown file whose sections are replaced; default: a file of today's in "
        "benchmarks/results, and none with --quick",
    )


def measure_networks(
    prog: str, measure: Callable[[str, argparse.Namespace], None], arguments: argparse.Namespace
) -> int:
    """Measure every network that `--networks` names; the exit code.

    Args:
        prog: Name of the benchmark, for what goes wrong.
        measure: Takes one of the names, and all flags.
        arguments: All flags.
    """
    warnings.simplefilter("ignore")  # peers and exporters warn about themselves
    try:
        for name in arguments.networks.split(","):
            measure(name.strip(), arguments)
    except RtvisError as fault:
        print(f"{prog}: {fault}", file=sys.stderr)
        return 1
    return 0


def load_to_time(name: str) -> Network:
    """A network to time: with random weights where the real ones come from a site.

    Time does not depend on them.
    """
    has_weights = name == DEFAULT_NETWORK or is_own(name)
    return load_network(name, weights=None if has_weights else "random")


def publish(title: str, body: str, *, device: torch.device, arguments: argparse.Namespace) -> None:
    """Print a section, and put it into the results file in place of its last version."""
    print(f"## {title}\n\n{body}", flush=True)
    out: Path | None = arguments.out
    today = datetime.now().astimezone().strftime("%Y-%m-%d")
    if out is None:
        if arguments.quick:
            return
        out = RESULTS / f"{today}_{device.type}.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    text = out.read_text(encoding="utf-8") if out.exists() else f"# Results of {today}\n"
    out.write_text(with_section(text, title, body), encoding="utf-8")
    say(f"written to {out}")


def with_section(text: str, title: str, body: str) -> str:
    """`text` with the section of this title replaced, or added at its end."""
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    section = f"## {title}\n\n{body.strip()}\n"
    titles = [each.partition("\n")[0] for each in sections]
    if f"## {title}" in titles:
        sections[titles.index(f"## {title}")] = section
    else:
        sections.append(section)
    return "\n\n".join(part.strip() for part in (head, *sections)) + "\n"


def say(text: str) -> None:
    """A line about how far it is, beside the results."""
    print(f"  {text}", file=sys.stderr, flush=True)

"""Every torchvision classifier and every timm architecture, each against plain autograd.

    python -m benchmarks.bench_zoo --sample              # one of each family: minutes
    python -m benchmarks.bench_zoo                       # all of them: hours
    python -m benchmarks.bench_zoo --pattern 'timm/resnet*' --retry

Random weights, the native input size, float32 where that is enough (`zoo_case`), eager, on the
CPU. Each network has a process of its own with a limit of time and memory. Results are kept in a
JSON lines file as they come, and the table is written anew every few networks; a later run goes on
where the last one ended.
"""

import argparse
import gc
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks import common
from benchmarks.common import median, say
from benchmarks.zoo_case import Outcome, Verdict, examine
from benchmarks.zoo_names import Candidate, candidates, samples

_RIGHT: tuple[Outcome, ...] = ("ok", "autograd")
_WRITE_EVERY = 20
"""Networks between two tables."""
_GIB = 10.0
"""Memory that one network may take: Qwen3's ViT at 768x768 needs 8.8 beside plain autograd, as its
twelve matrices of attention are 3 GB."""
_PATIENCE = 10
"""Of the limit of computing, how long to wait on a busy machine."""


def main(argv: Sequence[str] | None = None) -> int:
    """Examine what has no verdict yet, and write the table; the exit code."""
    arguments = _parse(argv)
    out, lines = _files(arguments.out)
    verdicts = _read(lines)
    if arguments.sample:
        everything = wanted = samples()
    else:
        everything = candidates(arguments.pattern, most_millions=arguments.millions)
        wanted = _chosen(everything, arguments.millions)
    open_ones = [each for each in wanted if _is_open(verdicts.get(each.network), arguments.retry)]
    say(f"{len(wanted)} networks, of which {len(open_ones)} are to be examined")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.zoo_server"])
    lines.parent.mkdir(parents=True, exist_ok=True)
    for number, verdict in enumerate(_verdicts(open_ones, context, arguments)):
        verdicts[verdict.network] = verdict
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(verdict.as_dict()) + "\n")
        say(f"{number + 1}/{len(open_ones)} {verdict.network}: {verdict.outcome} {verdict.reason}")
        if number % _WRITE_EVERY == 0:
            _write(out, verdicts, everything, arguments)
    _write(out, verdicts, everything, arguments)
    say(f"written to {out}")
    return 0


def _verdicts(
    open_ones: Sequence[Candidate], context: Any, arguments: argparse.Namespace
) -> Iterator[Verdict]:
    """As they come, of several networks at a time; until they are done, or time is over."""
    until_s = time.monotonic() + arguments.stop_after_s
    queue = iter(open_ones)
    running: set[Future[Verdict]] = set()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        while True:
            _wait_while(arguments.pause_file)
            if time.monotonic() < until_s:
                for candidate in islice(queue, arguments.jobs - len(running)):
                    running.add(pool.submit(_examined, candidate, context, arguments))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
    if left := sum(1 for _ in queue):
        say(f"stopped with {left} to go; the same command goes on")


def _jobs_at_once() -> int:
    """One for each core, as far as the memory that one may take allows."""
    gib = psutil.virtual_memory().total / 2**30
    return max(1, min(psutil.cpu_count() or 1, int(gib / _GIB)))


def _wait_while(file: Path | None) -> None:
    while file is not None and file.exists():
        time.sleep(1.0)


def _write(
    out: Path,
    verdicts: dict[str, Verdict],
    everything: Sequence[Candidate],
    arguments: argparse.Namespace,
) -> None:
    report = _report(verdicts, everything, most_millions=arguments.millions)
    out.write_text(report, encoding="utf-8")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_zoo", description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", action="store_true", help="one of each family, small inputs")
    parser.add_argument("--pattern", default="*", help="of names such as timm/resnet50")
    parser.add_argument("--millions", type=float, default=100.0, help="parameters at most")
    parser.add_argument("--limit-s", type=float, default=300.0, help="of computing, for each")
    parser.add_argument("--limit-gib", type=float, default=_GIB, help="memory, likewise")
    parser.add_argument("--jobs", type=int, default=_jobs_at_once(), help="networks at a time")
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    parser.add_argument("--pause-file", type=Path, help="wait while it exists, between networks")
    parser.add_argument("--retry", action="store_true", help="again what did not come out right")
    parser.add_argument("--out", type=Path, help="Markdown; default: today's in benchmarks/results")
    return parser.parse_args(argv)


def _files(out: Path | None) -> tuple[Path, Path]:
    """The table, and the lines beside it, which go on from the newest of an earlier day."""
    if out is not None:
        return out, out.with_suffix(".jsonl")
    earlier = sorted(common.RESULTS.glob("*_zoo.jsonl"))
    if earlier:
        return earlier[-1].with_suffix(".md"), earlier[-1]
    today = datetime.now().astimezone().strftime("%Y-%m-%d")
    out = common.RESULTS / f"{today}_zoo.md"
    return out, out.with_suffix(".jsonl")


def _read(lines: Path) -> dict[str, Verdict]:
    """The last verdict on each network."""
    verdicts: dict[str, Verdict] = {}
    if lines.exists():
        for line in lines.read_text(encoding="utf-8").splitlines():
            fields = json.loads(line)
            verdict = Verdict(**{**fields, "size": tuple(fields["size"])})
            verdicts[verdict.network] = verdict
    return verdicts


def _is_open(verdict: Verdict | None, retry: bool) -> bool:
    return verdict is None or (retry and verdict.outcome not in _RIGHT)


def _chosen(everything: Sequence[Candidate], most_millions: float) -> list[Candidate]:
    """The smallest of each family first, then the others by size.

    Torchvision's are all wanted, however large.
    """
    small = [e for e in everything if e.is_wanted(most_millions)]
    firsts = _smallest_of_each_family(everything)
    return [*firsts, *(each for each in small if each not in firsts)]


def _smallest_of_each_family(everything: Iterable[Candidate]) -> list[Candidate]:
    firsts: dict[str, Candidate] = {}
    for each in everything:  # by size
        firsts.setdefault(each.family, each)
    return list(firsts.values())


def _examined(candidate: Candidate, context: Any, arguments: argparse.Namespace) -> Verdict:
    """The verdict that a child process comes to, or why it came to none."""
    fallen = Verdict(
        network=candidate.network,
        family=candidate.family,
        outcome="failed",
        millions=round(candidate.millions, 2),
    )
    if not candidate.is_wanted(arguments.millions):
        reason = f"more than {arguments.millions:g} M parameters"
        return _with(fallen, outcome="skipped", reason=reason)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(candidate, sender), daemon=True)
    process.start()
    sender.close()
    started_s = time.monotonic()
    reason = ""
    try:
        while not receiver.poll(0.25):
            if _cpu_s(process.pid) > arguments.limit_s:
                reason = f"not done after {arguments.limit_s:g} s of computing"
            elif time.monotonic() - started_s > _PATIENCE * arguments.limit_s:
                reason = f"not done after {_PATIENCE * arguments.limit_s:g} s"
            elif _gib(process.pid) > arguments.limit_gib:
                reason = f"more than {arguments.limit_gib:g} GiB"
            if reason:
                process.kill()
                break
        found = None if reason else receiver.recv()
    except EOFError:
        found = None
    process.join()
    if isinstance(found, Verdict):
        return found
    reason = reason or found or f"its process ended with code {process.exitcode}"
    return _with(fallen, outcome="failed", reason=reason)


def _with(verdict: Verdict, **fields: Any) -> Verdict:
    return Verdict(**{**verdict.as_dict(), **fields})


def _cpu_s(pid: int) -> float:
    """Seconds on a core, which do not depend on what else the machine does."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _gib(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**30
    except psutil.Error:
        return 0.0


def _child(candidate: Candidate, sender: Any) -> None:
    gc.freeze()  # what the server made need not be looked through
    torch.manual_seed(0)
    # A grouped float64 convolution wakes the other threads once per group: 50 times slower.
    torch.set_num_threads(1)
    try:
        sender.send(examine(candidate.network, candidate.family, size=candidate.size))
    except Exception as fault:  # noqa: BLE001 - whatever it is, it is this network's result
        frame = _last_frame(fault)
        text = (str(fault).strip().splitlines() or [""])[0]
        sender.send(f"{type(fault).__name__}: {text} ({frame})")


def _last_frame(fault: BaseException) -> str:
    trace = fault.__traceback__
    place = "?"
    while trace is not None:
        name = Path(trace.tb_frame.f_code.co_filename)
        if "rtvis" in name.parts or "benchmarks" in name.parts:
            place = f"{name.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _report(
    verdicts: dict[str, Verdict], everything: Sequence[Candidate], *, most_millions: float
) -> str:
    known = [verdicts[each.network] for each in everything if each.network in verdicts]
    tried = [each for each in known if each.outcome != "skipped"]
    wanted = [each for each in everything if each.is_wanted(most_millions)]
    counts = Counter(each.outcome for each in tried)
    right = [each for each in tried if each.outcome in _RIGHT]
    families, tried_families = ({each.family for each in some} for some in (wanted, tried))
    head = (
        f"# The zoo\n\n{common.machine_facts(torch.device('cpu'))}"
        f"- of the {len(everything)} architectures of torchvision and timm {len(wanted)} are "
        f"wanted: all of torchvision's, and timm's of up to {most_millions:g} M parameters; "
        f"**{len(tried)} tried**, of {len(tried_families)} of {len(families)} families\n"
        f"- **{len(right)} right** ({100 * len(right) / max(1, len(tried)):.1f} %): "
        f"{counts['ok']} traced, {counts['autograd']} not traceable and explained by autograd; "
        f"{counts['wrong']} wrong, {counts['refused']} refused, {counts['failed']} failed\n"
        f"- {_proofs(right)}\n"
    )
    others = [each for each in known if each.outcome != "ok"]
    reasons = [[each.network, each.outcome, each.reason.replace("|", "/")] for each in others]
    return (
        f"{head}\n{_LEGEND}\n## Not simply right\n\n"
        f"{common.table(('network', 'outcome', 'why'), reasons)}\n"
        f"## By family\n\n{common.table(_FAMILY_HEAD, _family_rows(wanted, tried))}\n"
        f"## All\n\n{common.table(_HEAD, _rows(known))}"
    )


_LEGEND = """Random weights, native input size, batch 1, eager, one thread. Maps, scores, gradients
at a shallow and a middle layer and at the default CAM layer, and a CAM, are compared with forward
hooks and `torch.autograd.grad` on the untouched model: errors of maps by the largest value, of
gradients and CAM by their length. `start` is tracing (or looking for layers by running), `turn` an
eager turn at the default CAM layer, `all` everything that examining the network took: seconds of
computing, so that it does not matter that the machine did other work beside.
"""

_FAMILY_HEAD = ("family", "wanted", "tried", "right", "share of the tried")

_HEAD = (
    *("network", "family", "outcome", "M", "input", "layers", "in"),
    *("maps", "gradients", "CAM", "start s", "turn ms", "all s"),
)


def _family_rows(wanted: Sequence[Candidate], tried: Sequence[Verdict]) -> list[list[str]]:
    rows = []
    for family in sorted({each.family for each in wanted}):
        outcomes = [each.outcome for each in tried if each.family == family]
        right = sum(outcome in _RIGHT for outcome in outcomes)
        share = f"{100 * right / len(outcomes):.0f} %" if outcomes else ""
        num_wanted = sum(each.family == family for each in wanted)
        rows.append([family, str(num_wanted), str(len(outcomes)), str(right), share])
    return rows


def _proofs(right: Sequence[Verdict]) -> str:
    counts = Counter(each.proof for each in right)
    return (
        f"gradients proved in float32 for {counts['float32']}, in float64 for "
        f"{counts['float64']} (float32 flips ReLUs near zero), by finite differences for "
        f"{counts['slopes']} (torch's own gradient is wrong in float64); median errors in float32: "
        + ", ".join(
            f"{what} {median([getattr(v, field) for v in right if v.proof == 'float32']):.0e}"
            for what, field in (
                ("maps", "maps_error"),
                ("gradients", "gradient_error"),
                ("CAM", "cam_error"),
            )
        )
    )


def _rows(known: Iterable[Verdict]) -> list[list[str]]:
    return [
        [
            each.network,
            each.family,
            each.outcome,
            f"{each.millions:.1f}",
            "x".join(str(length) for length in each.size) if any(each.size) else "",
            str(each.num_layers or ""),
            each.proof,
            *(
                f"{error:.0e}" if each.proof else ""
                for error in (each.maps_error, each.gradient_error, each.cam_error)
            ),
            f"{each.start_s:.1f}" if each.start_s else "",
            f"{each.turn_ms:.0f}" if each.turn_ms else "",
            f"{each.load_s + each.start_s + each.proof_s:.1f}" if each.proof_s else "",
        ]
        for each in sorted(known, key=lambda v: (v.network.partition("/")[0], v.family, v.millions))
    ]


if __name__ == "__main__":
    raise SystemExit(main())

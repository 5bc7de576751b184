"""The benchmarks run, and their arithmetic is right. Their figures are not for tests."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.common import Comparison, compare, quartiles, table, with_section
from benchmarks.gaps import Presser, Times
from tests.conftest import ROOT

TINY = """
from torch import nn


def tiny():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    net.pretrained_cfg = {"input_size": (3, 32, 32)}
    return net
"""


def run(folder: Path, bench: str, *flags: str) -> str:
    """What a benchmark of a tiny net writes to its results file."""
    (folder / "tiny.py").write_text(TINY)
    out = folder / "results.md"
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{bench}", "--quick", "--out", str(out), *flags],
        cwd=ROOT,
        # Two threads that wait for each other on a busy machine take a hundred times as long.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    text = out.read_text()
    assert str(folder) not in text, "a path of this machine in the results"
    assert "nan" not in text
    return text


def cells(text: str, start: str) -> list[str]:
    """The cells of the row that starts so."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    assert len(rows) == 1, (start, text)
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


def test_the_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() -> None:
    found = Comparison(baseline_ms=(1.0, 2.0, 10.0), candidate_ms=(3.0, 4.0, 10.0))
    assert found.ratios == (3.0, 2.0, 1.0)
    assert found.ratio == 2.0
    skewed = Comparison(baseline_ms=(1.0, 4.0, 8.0), candidate_ms=(5.0, 4.0, 8.0))
    assert skewed.ratio == 1.0  # of medians: 5 / 4
    assert quartiles((0.0, 1.0, 2.0, 3.0, 4.0)) == (1.0, 3.0)


def test_the_longest_gap_after_a_key_is_told_in_medians_of_those_before_the_first() -> None:
    class Pipeline:
        delivery = SimpleNamespace(give=None)

    presser = Presser(Pipeline(), None, ())
    s = 1_000_000_000
    walls = [0, 1, 2, 4, 5, 8, 9]
    presser.frames = [Times(t * s // 10, t * 7, t * 11) for t in walls]
    presser.done = [("first", 4 * s // 10), ("second", 8 * s // 10)]
    found = presser.gaps()
    assert found["0 first"] == (3.0, 3.0, 3.0), "from 0.5 to 0.8, by three clocks"
    assert found["1 second"] == (3.0, 3.0, 3.0), "the gap that ended with it counts"
    presser.done[1] = ("second", 8 * s // 10 + 1)
    assert presser.gaps()["1 second"] == (1.0, 1.0, 1.0)


def test_baseline_and_candidate_run_in_turn_after_their_warm_up() -> None:
    calls: list[str] = []
    found = compare(
        lambda: calls.append("b"),
        lambda: calls.append("c"),
        device=torch.device("cpu"),
        repeats=3,
        burst=2,
        warmups=1,
    )
    assert "".join(calls) == "bc" + "bbcc" * 3
    assert len(found.ratios) == 3


def test_a_section_is_replaced_and_the_others_stay() -> None:
    text = with_section("# Results\n", "one", "first\n")
    text = with_section(text, "two", "second")
    text = with_section(text, "one", "third")
    assert text == "# Results\n\n## one\n\nthird\n\n## two\n\nsecond\n"


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


@pytest.mark.apart
def test_bench_step_compares_turns_and_peers_with_the_network_alone(tmp_path: Path) -> None:
    text = run(tmp_path, "bench_step", "--networks", f"{tmp_path}/tiny.py:tiny", "--compile", "off")
    assert "## step: tiny.py:tiny, 32x32, float32, cpu" in text
    assert cells(text, "the network alone: eager, NOT COMPILED")[3] == "**1.00**"
    for row in (
        "piece forward",
        "piece backward_0",
        "turn, shallow: 0",
        "frame to canvas, deepest: 2",
        "turn not compiled, dense: 6",
        "hook, pytorch-grad-cam, captum, as they come, deepest: 2",
    ):
        ratio = float(cells(text, row)[3].strip("*"))
        assert ratio > 0, row
    assert re.search(r"random clicks, .* worst \d", text)
    assert "times faster than separate calls" in text
    beside = text[text.index("| beside the panes of the start | ms |") :]
    assert float(cells(beside, "frame to canvas, panes: everything, unit")[3].strip("*")) > 0
    assert re.search(r"beside the panes of the start: unit \d.*, correlation \d", text)


@pytest.mark.apart
def test_bench_live_measures_starts_rates_latency_and_memory(tmp_path: Path) -> None:
    text = run(tmp_path, "bench_live", "--network", f"{tmp_path}/tiny.py:tiny", "--compile", "off")
    assert "## live: tiny.py:tiny, float32, cpu" in text
    rows = [
        line
        for line in text.splitlines()
        if re.match(r"\| (demo, live|1280x720 clip, fast), \w+ \| eager ", line)
    ]
    assert len(rows) == 2, text
    for row in rows:
        captured, processed, shown, latency = (float(c) for c in row.split("|")[3:7])
        assert captured > 0
        assert processed > 0
        assert shown > 0
        assert 0 < latency < 60_000
    assert "After each of 3 keys and clicks the longest gap" in text
    assert float(cells(text, "0 click: ")[2]) > 0
    memory = [line for line in text.splitlines() if re.match(r"\| (cold|warm) \|", line)]
    assert len(memory) == 2
    for line in memory:
        assert 0.2 < float(line.split("|")[2]) < 4  # GiB: torch alone takes 0.3


@pytest.mark.slow
def test_bench_step_compiles_the_network_alone_and_the_pieces(tmp_path: Path) -> None:
    flags = ("--networks", f"{tmp_path}/tiny.py:tiny", "--segments", "2", "--no-peers")
    text = run(tmp_path, "bench_step", *flags)
    assert cells(text, "the network alone: AOTInductor, frozen")[3] == "**1.00**"
    assert "form compiled" in text
    assert "2 backward pieces" in text


@pytest.mark.apart
def test_bench_optimize_drives_units_compares_with_crops_and_goes_on(tmp_path: Path) -> None:
    flags = ("--network", f"{tmp_path}/tiny.py:tiny", "--kept", f"{tmp_path}/kept.jsonl")
    text = run(tmp_path, "bench_optimize", *flags)
    assert "6 random square crops" in text
    (found,) = re.findall(r"\*\*(\d+) of (\d+) rose\*\*", text)
    assert found[0] == found[1] != "0", "every unit rises, also in a tiny net"
    assert "autograd on the model" in text
    first = (tmp_path / "kept.jsonl").read_text()
    assert len(first.splitlines()) == int(found[1])
    run(tmp_path, "bench_optimize", *flags)
    assert (tmp_path / "kept.jsonl").read_text() == first, "nothing is made twice"


@pytest.mark.apart
def test_bench_scan_compares_the_pass_with_the_network_and_files_with_decoding(
    tmp_path: Path,
) -> None:
    flags = ("--networks", f"{tmp_path}/tiny.py:tiny", "--compile", "off", "--batch", "4")
    text = run(tmp_path, "bench_scan", *flags)
    assert "3 layers, 15 units" in text
    for row in ("pass |", "pass and gathering"):
        assert float(cells(text, row)[3].strip("*")) > 0
    decode, compute, whole = (
        float(cells(text, row)[1]) for row in ("decoding", "computing", "scan")
    )
    assert decode > 0 < compute
    assert whole > 0
    assert float(cells(text, "bound")[1]) <= min(decode, compute)


@pytest.mark.apart
def test_bench_moments_compares_turns_with_moments_and_without(tmp_path: Path) -> None:
    text = run(
        tmp_path, "bench_moments", "--networks", f"{tmp_path}/tiny.py:tiny", "--compile", "off"
    )
    assert "## moments: tiny.py:tiny, float32, cpu" in text
    assert "- 2: 6 units of 8x8" in text, "the layer with the most units"
    for row in ("counted, not in sight", "page of moments", "page and tiles of moments"):
        assert float(cells(text, f"{row} |")[3].strip("*")) > 0


@pytest.mark.slow
@pytest.mark.browser
def test_bench_pages_opens_each_kind_of_page(tmp_path: Path) -> None:
    text = run(tmp_path, "bench_pages")
    small, large = (cells(text, f"layer of {units} units") for units in (16, 96))
    assert small[2] == "**1.00**"
    assert (int(small[4]), int(large[4])) == (4, 4), "itself, style, script and a sheet"
    assert float(large[5]) > float(small[5])
    assert int(cells(text, "unit, all pictures")[4]) == 4 + 45


def test_bench_cluster_compares_one_process_with_actors(tmp_path: Path) -> None:
    flags = ("--networks", f"{tmp_path}/tiny.py:tiny", "--actors", "1")
    text = run(tmp_path, "bench_cluster", *flags)
    assert float(cells(text, "one process")[1]) > 0
    row = cells(text, "Ray, 1 actor")
    assert float(row[1]) > 0
    assert float(row[4]) > 0

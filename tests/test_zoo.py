"""Networks of every family trace, run and explain, and as plain autograd says.

One of each with a small input; all of them are `make bench-zoo`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import bench_zoo, common
from benchmarks.zoo_case import examine
from benchmarks.zoo_samples import SAMPLES
from rtvis.data import Result
from rtvis.engine.engine import Engine
from tests.nets import engine_of
from tests.references import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.apart


@pytest.mark.timeout(1200)  # of a busy machine; an idle one takes two minutes
def test_one_network_of_each_family_is_explained_as_plain_autograd_does(tmp_path: Path) -> None:
    out = tmp_path / "zoo.md"
    assert bench_zoo.main(["--sample", "--jobs", "2", "--limit-gib", "5", "--out", str(out)]) == 0
    found = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert {verdict["family"] for verdict in found} == set(SAMPLES)
    assert [v for v in found if v["outcome"] not in {"ok", "autograd"}] == []
    assert all(v["num_layers"] > 5 and v["gradient_error"] < 2e-2 for v in found)


def test_the_sample_has_every_family_of_the_whole_zoo() -> None:
    newest = sorted(common.RESULTS.glob("*_zoo.jsonl"))[-1]
    verdicts = map(json.loads, newest.read_text().splitlines())
    assert {v["family"] for v in verdicts if v["outcome"] != "skipped"} == set(SAMPLES)


def test_a_wrong_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Engine.run

    def wrong(self: Engine, *args: Any, **kwargs: Any) -> Result:
        result = right(self, *args, **kwargs)
        return replace(result, backprop_B3HW=result.backprop_B3HW * 1.05)

    monkeypatch.setattr(Engine, "run", wrong)
    verdict = examine("timm/test_resnet", "sample", size=64)
    assert verdict.outcome == "wrong"
    assert verdict.gradient_error == pytest.approx(0.05, rel=1e-3)
    assert "gradients 5e-02" in verdict.reason


class Keeping(nn.Module):
    """Keeps what it computed from its weights, as EfficientViT and LeViT do outside training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.table = nn.Parameter(torch.randn(4))
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "bias" not in self.kept:
            self.kept["bias"] = self.table * 2
        return self.conv(x).mean((2, 3)) + self.kept["bias"]


def test_a_model_that_was_run_before_and_kept_tensors_is_traced() -> None:
    model = Keeping().eval().requires_grad_(False)
    x = torch.randn(1, 3, 8, 8)
    scores = model(x)
    engine = engine_of(model, 8)
    assert engine.compile_note == ""
    assert torch.allclose(engine.run(x).scores_BK, scores, atol=1e-6)


def test_a_benchmark_of_the_zoo_goes_on_where_it_ended(tmp_path: Path, capsys) -> None:
    out = tmp_path / "zoo.md"
    flags = ["--pattern", "timm/test_resnet", "--out", str(out)]
    assert bench_zoo.main(flags) == 0
    lines = out.with_suffix(".jsonl").read_text().splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["outcome"] == "ok"
    assert "| timm/test_resnet | timm/resnet | ok |" in out.read_text()
    assert "**1 right** (100.0 %)" in out.read_text()
    capsys.readouterr()
    assert bench_zoo.main(flags) == 0
    assert "1 networks, of which 0 are to be examined" in capsys.readouterr().err
    assert out.with_suffix(".jsonl").read_text().splitlines() == lines

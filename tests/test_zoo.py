"""Networks of every structure trace, run and explain, and as plain autograd says.

The smallest of each family is a slow test; all of them are `make bench-zoo`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import bench_zoo
from benchmarks.zoo_case import examine
from rtvis.data import Result
from rtvis.engine.engine import Engine
from tests.nets import engine_of
from tests.references import one_thread  # noqa: F401 - a fixture

# Small inputs where the network takes them: it is the structure that counts.
SAMPLES: dict[str, int] = {
    "torchvision/squeezenet1_1": 64,
    "torchvision/shufflenet_v2_x0_5": 64,
    "timm/test_resnet": 64,
    "timm/test_byobnet": 64,
    "timm/test_efficientnet": 64,
    "timm/test_nfnet": 64,  # weights that are standardised as it runs
    "timm/test_convnext": 64,  # dense layers on tokens that are not contiguous
    "timm/test_mambaout": 64,
    "timm/test_vit": 64,
    "timm/test_vit4": 64,  # root mean square norms
    "timm/test_coatnet": 64,
    "timm/test_maxvit": 64,  # attention within windows, and within grids
    "timm/regnetx_002": 64,
}


@pytest.mark.parametrize("network", SAMPLES)
def test_a_network_of_this_structure_is_explained_as_plain_autograd_does(network: str) -> None:
    torch.manual_seed(0)
    verdict = examine(network, "sample", size=SAMPLES[network])
    assert verdict.outcome == "ok", verdict.reason
    assert verdict.num_layers > 5
    assert verdict.gradient_error < 2e-2


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


@pytest.mark.slow
def test_the_smallest_network_of_every_family_is_right(tmp_path: Path) -> None:
    out = tmp_path / "zoo.md"
    assert bench_zoo.main(["--families-only", "--out", str(out)]) == 0
    lines = out.with_suffix(".jsonl").read_text().splitlines()
    outcomes = {found["network"]: found for found in map(json.loads, lines)}
    assert len(outcomes) > 100
    others = [v for v in outcomes.values() if v["outcome"] not in {"ok", "autograd", "skipped"}]
    assert len(others) <= 0.02 * len(outcomes), others

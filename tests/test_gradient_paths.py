"""Networks through which no gradient gets, or only by some ways: explained as far as they go."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from rtvis import cli
from rtvis.cli.stills import guided_backprop_main
from rtvis.data import NO_GRADIENT_PATH, Health, Selection
from rtvis.errors import NetworkError
from tests.nets import engine_of


class Through(nn.Module):
    """Two convolutions with something in between."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(self.between(self.first(x))))
        return self.fc(x.mean((2, 3)))


BLOCKING: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": torch.sign,
    "round": lambda x: torch.round(4 * x),
    "floor": torch.floor,
    "compare": lambda x: (x > 0).float(),
    "cast": lambda x: (9 * x).long().float(),
    "detach": lambda x: 2 * x.detach(),
}


@pytest.mark.parametrize("name", BLOCKING)
def test_a_layer_from_which_no_gradient_gets_to_the_input_is_known_and_told(name: str) -> None:
    torch.manual_seed(0)
    with engine_of(Through(BLOCKING[name]).eval(), 8) as engine:
        assert [layer.reaches_input for layer in engine.layers] == [True, False, False]
        x = torch.randn(1, 3, 8, 8)
        above = engine.run(x, Selection(layer="second", unit=1, rule="gradient"))
        below = engine.run(x, Selection(layer="first", unit=1, rule="gradient"))
    assert above.maps_BCHW.abs().max() > 0
    assert above.backprop_B3HW.abs().max() == 0
    assert int(above.health_B[0]) & Health.GRADIENT_ZERO
    assert below.backprop_B3HW.abs().max() > 0
    assert not int(below.health_B[0]) & Health.GRADIENT_ZERO


PARTIAL: dict[str, Callable[[Tensor], Tensor]] = {
    "mask": lambda x: x * (x > 0.1).float(),
    "straight through": lambda x: x + (torch.round(x) - x).detach(),
    "choice": lambda x: torch.where(x > 0, 2 * x, torch.zeros_like(x)),
    "gate": lambda x: x * torch.sign(x) + x.detach(),
}


@pytest.mark.parametrize("name", PARTIAL)
def test_what_gets_through_is_what_autograd_lets_through(name: str) -> None:
    torch.manual_seed(0)
    model = Through(PARTIAL[name]).double().eval()
    x = torch.randn(1, 3, 8, 8, dtype=torch.double, requires_grad=True)
    with engine_of(model, 8, dtype="float64") as engine:
        assert all(layer.reaches_input for layer in engine.layers)
        chosen = Selection(layer="second", unit=1, position=(3, 4), rule="gradient")
        result = engine.run(x.detach(), chosen)
    maps = model.second(model.between(model.first(x)))
    (expected,) = torch.autograd.grad(maps[0, 1, 3, 4], x)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(result.backprop_B3HW, expected, rtol=0, atol=1e-12)


def test_scores_that_do_not_depend_on_the_input_are_refused() -> None:
    with pytest.raises(NetworkError, match="its scores do not depend on its input"):
        engine_of(Through(torch.ones_like).eval(), 8)


def test_scores_that_are_copied_last_still_depend_on_the_input() -> None:
    class Copying(Through):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).clone()

    with engine_of(Copying(torch.relu).eval(), 8) as engine:
        assert engine.num_classes == 3


FILE = """
from tests.test_gradient_paths import BLOCKING, Through
import torch

def make():
    torch.manual_seed(0)
    return Through(BLOCKING["round"])
"""


def test_programs_say_why_there_is_no_backward_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(FILE)
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise_HW3).save("in.png")
    flags = ["-n", "net.py:make", "--size", "16", "--device", "cpu", "-i", "in.png", "-o", "o.png"]
    assert guided_backprop_main([*flags, "--layer", "second", "--rule", "gradient"]) == 0
    assert NO_GRADIENT_PATH in capsys.readouterr().err.replace("\n", " ")
    assert guided_backprop_main([*flags, "--layer", "first", "--rule", "gradient"]) == 0
    assert "no gradient" not in capsys.readouterr().err
    assert cli.main(["inspect", "net.py:make", "--size", "16", "--device", "cpu"]) == 0
    assert "gets to the input from 2 layers (second, fc)" in capsys.readouterr().out

"""Where and in which numbers a network is computed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from rtvis.cli.live import opened_engine
from rtvis.config import Config
from rtvis.flags import parse_config

NETWORK = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2))
"""


def allowed() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = allowed()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize(("flags", "wanted"), [((), False), (("--tf32",), True)])
def test_float32_is_rounded_to_tf32_by_choice_alone(
    tmp_path: Path, flags: tuple[str, ...], wanted: bool
) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    given = ("--network", f"{tmp_path / 'net.py'}:net", "--size", "8", "--weights", "random")
    argv = (*given, "--device", "cpu", *flags)
    config = parse_config(Config, argv, prog="main.py", description="Test.")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not wanted
    with opened_engine(config, Console(quiet=True), compiling=False):
        assert allowed() == (wanted, wanted)

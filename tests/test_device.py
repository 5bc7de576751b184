"""Where and in which numbers a network is computed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from rich.console import Console

import rtvis
from rtvis.cli import main
from rtvis.cli.live import opened_engine
from rtvis.cli.stills import gradcam_main, guided_backprop_main
from rtvis.config import Config
from rtvis.engine.networks.identity import identity_of
from rtvis.engine.networks.models import load_network
from rtvis.engine.networks.network import Network
from rtvis.flags import parse_config
from rtvis.units.cluster_actor import ActorPlan, NetworkActor
from rtvis.units.scan import ScanSettings
from rtvis.units.scan_store import How
from tests.workplace import write_workplace

Way: TypeAlias = Callable[[Path, list[str]], object]
"""Has a network computed in a folder, with these flags more."""


def allowed() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def allow(both: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = both


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = allowed()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def given(folder: Path) -> list[str]:
    return ["--network", f"{folder / 'net.py'}:Net", "--size", "32", "--device", "cpu"]


def live(folder: Path, more: list[str]) -> None:
    config = parse_config(Config, [*given(folder), *more], prog="main.py", description="Test.")
    with opened_engine(config, Console(quiet=True), compiling=False):
        pass


def command(*words: str) -> Way:
    def run(folder: Path, more: list[str]) -> None:
        paths = [word.replace("FOLDER", str(folder)) for word in words]
        assert main([*paths, *given(folder), *more]) == 0

    return run


def crops(folder: Path, more: list[str]) -> None:
    scan = command("units", "scan", "--data", "FOLDER/pictures", "--store", "FOLDER/store")
    scan(folder, [] if more else ["--tf32"])  # the other way round
    command("units", "crops", "--store", "FOLDER/store")(folder, more)


def stills(script: Callable[[list[str]], int], *words: str) -> Way:
    def run(folder: Path, more: list[str]) -> None:
        picture = str(folder / "pictures" / "0.png")
        assert (
            script(["-i", picture, "-o", str(folder / "out"), *words, *given(folder), *more]) == 0
        )

    return run


def actor(folder: Path, more: list[str]) -> None:
    """Of a scan on a cluster."""

    def load() -> Network:
        return load_network(f"{folder / 'net.py'}:Net", size=32)

    NetworkActor(
        ActorPlan(
            load=load,
            identity=identity_of(load()),
            layers=("*",),
            device="cpu",
            dtype="float32",
            tf32=bool(more),
            batch=1,
            is_compiled=False,
            num_threads=torch.get_num_threads(),
            settings=ScanSettings(),
            with_classes=False,
            span_size=1,
            node="here",
        )
    )


def in_python(folder: Path, more: list[str]) -> None:
    network = f"{folder / 'net.py'}:Net"
    rtvis.load(network, size=(32, 32), device="cpu", compile="off", tf32=bool(more)).close()


WAYS: dict[str, Way] = {
    "live": live,
    "gradcam": stills(gradcam_main),
    "guided_backprop": stills(guided_backprop_main, "--layer", "second", "--unit", "1"),
    "inspect": command("inspect", "--data", "FOLDER/pictures"),
    "scan": command("units", "scan", "--data", "FOLDER/pictures", "--store", "FOLDER/store"),
    "dump": command(
        *("units", "scan", "--data", "FOLDER/pictures", "--layers", "first"),
        *("--dump", "FOLDER/first.npy"),
    ),
    "crops": crops,
    "optimize": command(
        *("units", "optimize", "--units", "0", "--out", "FOLDER/made"),
        *("--set", "iterations=1"),
    ),
    "actor": actor,
    "load": in_python,
}


@pytest.mark.parametrize(("flags", "wanted"), [([], False), (["--tf32"], True)])
@pytest.mark.parametrize("way", WAYS)
def test_float32_is_rounded_to_tf32_by_choice_alone(
    tmp_path: Path, way: str, flags: list[str], wanted: bool
) -> None:
    write_workplace(tmp_path)
    allow(not wanted)
    WAYS[way](tmp_path, flags)
    assert allowed() == (wanted, wanted)


def test_a_scan_keeps_to_the_numbers_that_it_was_begun_with() -> None:
    how = How(form="compiled", batch=128, dtype="float32", device="cuda")
    rounded = How(form="compiled", batch=128, dtype="float32", device="cuda", tf32=True)
    assert how != rounded
    assert how.text == "compiled in float32 on cuda"
    assert rounded.text == "compiled in float32 as TF32 on cuda"

"""Exported programs (`.pt2`): the networks that they are, and what was fixed at their export."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from rtvis.cli.stills import gradcam_main
from rtvis.data import Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import load_network
from rtvis.errors import NetworkError, RtvisError
from tests.test_own_models import NAMES, PICTURE_HW3, Stages, here, names_of

__all__ = ["here"]


def export(path: Path, *, batch: int = 1, dynamic: tuple[int, ...] = ()) -> nn.Module:
    torch.manual_seed(3)
    model = Stages().eval()
    dims = dict.fromkeys(dynamic, torch.export.Dim.DYNAMIC)
    example = torch.zeros(batch, 3, 16, 24)
    program = torch.export.export(model, (example,), dynamic_shapes=(dims,) if dims else None)
    torch.export.save(program, path)
    return model


def test_an_exported_program_is_explained_like_the_model_it_came_from(here: Path) -> None:
    model = export(here / "net.pt2")
    (here / "net.yaml").write_text("labels: [cat, dog, elk]")
    network = load_network("net.pt2", trust_pickle=True)
    assert network.preprocessing.size == (16, 24), "the size of the example that it was made with"
    assert network.labels == ("cat", "dog", "elk")
    with Engine(network, device="cpu", compile="off") as engine:
        assert names_of(engine) == NAMES
        x = torch.randn(1, 3, 16, 24, requires_grad=True)
        chosen = Selection(layer="stage.0.down", unit=3, position=(4, 9), rule="gradient")
        result = engine.run(x.detach(), chosen)
    torch.testing.assert_close(result.scores_BK, model(x))
    hidden = model.stage[0]["down"](model.stem(x).relu())
    (expected,) = torch.autograd.grad(hidden[0, 3, 4, 9], x)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(result.backprop_B3HW, expected)


def test_what_was_fixed_at_the_export_is_told(here: Path) -> None:
    export(here / "fixed.pt2")
    with pytest.raises(NetworkError, match="was exported for inputs of 16x24, not 20x20; export"):
        load_network("fixed.pt2", size=20, trust_pickle=True)
    network = load_network("fixed.pt2", trust_pickle=True)
    with Engine(network, device="cpu", compile="off") as engine:
        with pytest.raises(RtvisError, match="exported for 1 picture at a time, not 2; export it"):
            engine.run([PICTURE_HW3, PICTURE_HW3])
        assert engine.run(PICTURE_HW3).scores_BK.shape == (1, 3)
    export(here / "four.pt2", batch=4)
    with pytest.raises(NetworkError, match="was exported for batches of 4 pictures; export it"):
        load_network("four.pt2", trust_pickle=True)


def test_dynamic_programs_take_any_size_and_batch(here: Path) -> None:
    model = export(here / "open.pt2", batch=2, dynamic=(0, 2, 3))
    network = load_network("open.pt2", size=(20, 28), trust_pickle=True)
    with Engine(network, device="cpu", compile="off") as engine:
        x = torch.randn(3, 3, 20, 28)
        torch.testing.assert_close(engine.run(x).scores_BK, model(x), rtol=1e-4, atol=1e-5)
    assert load_network("open.pt2", trust_pickle=True).preprocessing.size == (224, 224)


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).mean((2, 3))


class Sequence(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def test_programs_that_take_no_pictures_are_refused(here: Path) -> None:
    picture = torch.zeros(1, 3, 8, 8)
    torch.export.save(torch.export.export(TwoInputs(), (picture, picture)), "two.pt2")
    with pytest.raises(NetworkError, match="the program takes 2 inputs; rtvis gives it one"):
        load_network("two.pt2", trust_pickle=True)
    torch.export.save(torch.export.export(Sequence(), (torch.zeros(1, 8),)), "flat.pt2")
    with pytest.raises(NetworkError, match="takes an input of 2 dimensions"):
        load_network("flat.pt2", trust_pickle=True)


def test_stills_of_a_program_for_one_picture_take_several_one_by_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(here / "net.pt2")
    flags = ["-n", "net.pt2", "--device", "cpu", "-o", "out", "-i", "picture.png", "second.png"]
    Image.fromarray(PICTURE_HW3[::-1]).save("second.png")
    assert gradcam_main(flags) == 1
    assert "--trust-pickle" in capsys.readouterr().err
    assert gradcam_main([*flags, "--trust-pickle"]) == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "picture_0.png", "picture_1.png", "second_0.png", "second_1.png"
    ]  # fmt: skip


def test_weights_are_loaded_into_a_program(here: Path) -> None:
    export(here / "net.pt2")
    trained = Stages().eval()
    trained.load_state_dict(load_file("trained.safetensors"))
    x = torch.randn(1, 3, 16, 24)
    network = load_network("net.pt2", weights="trained.safetensors", trust_pickle=True)
    with torch.no_grad():
        torch.testing.assert_close(network.model(x), trained(x))
    assert network.weights_note == "weights trained.safetensors"


class Grey(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


def test_a_program_for_grey_pictures_is_shown_their_luminance(here: Path) -> None:
    program = torch.export.export(Grey().eval(), (torch.zeros(1, 1, 16, 16),))
    torch.export.save(program, "grey.pt2")
    network = load_network("grey.pt2", trust_pickle=True)
    assert network.preprocessing.num_channels == 1
    with Engine(network, device="cpu", compile="off") as engine:
        grey_11HW = network.preprocessing.apply(torch.from_numpy(PICTURE_HW3))
        assert grey_11HW.shape == (1, 1, 16, 16)
        expected = program.module()(grey_11HW)
        torch.testing.assert_close(engine.run(PICTURE_HW3).scores_BK, expected)

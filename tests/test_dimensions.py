"""Layers over one, two and three axes in one network: shown, or left out with a word, no crash."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.data import Selection
from rtvis.engine.flat.skipped import skipped_note
from rtvis.errors import NetworkError
from rtvis.listing import layer_lines
from tests.nets import engine_of, seeded
from tests.references import reference_backprop, relative_error, tapped


class EveryDimension(nn.Module):
    """Values with two to five dimensions, each made by a layer with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(3, 8, 3, padding=1)  # [B, 8, H, W]
        self.conv3d = nn.Conv3d(2, 4, 3, padding=1)  # [B, 4, 4, H, W]
        self.squeeze = nn.Conv2d(16, 6, 3, stride=2, padding=1)
        self.conv1d = nn.Conv1d(6, 5, 3, padding=1)  # [B, 5, H * W / 4]
        self.tokens = nn.Linear(5, 7)  # [B, T, 7]
        self.flat = nn.Linear(7, 4)  # [B, 4]

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv2d(x))
        h = F.relu(self.conv3d(h.reshape(h.shape[0], 2, 4, *h.shape[2:])))
        h = F.relu(self.squeeze(h.flatten(1, 2)))
        h = F.relu(self.conv1d(h.flatten(2)))
        h = F.gelu(self.tokens(h.transpose(1, 2)))
        return self.flat(h.mean(dim=1))


SIZE = (8, 12)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(EveryDimension).double()


def test_layers_over_rows_and_columns_are_shown_and_the_others_named(model: nn.Module) -> None:
    engine = engine_of(model, SIZE, dtype="float64")
    shown = {layer.name: (layer.kind, layer.num_units, layer.map_size) for layer in engine.layers}
    assert shown["conv2d"] == ("conv", 8, SIZE)
    assert shown["squeeze"] == ("conv", 6, (4, 6))
    assert shown["flat"] == ("dense", 4, (1, 1))
    assert shown["tokens"][:2] == ("dense", 7)
    assert not {"conv1d", "conv3d"} & set(shown)
    note = "not shown: 2 convolutions without maps over the picture: conv3d (3d), conv1d (1d)"
    assert engine.skipped_note == note
    assert list(layer_lines(engine.layers, engine.skipped_note))[-1] == f"# {note}"


@pytest.mark.parametrize("layer", ["conv2d", "squeeze"])
def test_gradients_pass_through_convolutions_that_are_not_shown(
    model: nn.Module, layer: str
) -> None:
    engine = engine_of(model, SIZE, dtype="float64")
    x = torch.randn(2, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = engine.run(x, Selection(layer=layer, unit=1, rule="guided", seed="map", cam_layer=layer,
                                    cam="layercam", class_index=2))  # fmt: skip
    expected = reference_backprop(model, x, layer, 1, rule="guided", seed="map")
    assert relative_error(found.backprop_B3HW, expected) < 1e-9
    with tapped(model, layer) as outputs:
        scores_BK = model(x.clone().requires_grad_())
    (grads,) = torch.autograd.grad(scores_BK[:, 2].sum(), outputs[0])
    cam_BHW = (grads.relu() * outputs[0].detach()).sum(dim=1).relu()
    assert relative_error(found.cam_BHW, cam_BHW) < 1e-6
    assert relative_error(found.scores_BK, scores_BK.detach()) < 1e-6


def test_a_convolution_that_sees_parts_of_a_picture_one_by_one_is_left_out_with_a_word() -> None:
    class Parts(nn.Module):
        """As TNT embeds the pixels of each patch."""

        def __init__(self) -> None:
            super().__init__()
            self.pixels = nn.Conv2d(3, 4, 3, padding=1)
            self.patches = nn.Conv2d(4, 5, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            parts = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5)
            b, rows, columns = parts.shape[:3]
            seen = self.pixels(parts.reshape(b * rows * columns, 3, 4, 4)).relu()
            h = seen.mean((2, 3)).reshape(b, rows, columns, 4).permute(0, 3, 1, 2)
            return self.patches(h).mean((2, 3))

    model = seeded(Parts).double()
    for batch in (1, 2):
        engine = engine_of(model, SIZE, dtype="float64", batch=batch)
        assert [layer.name for layer in engine.layers] == ["patches"]
        note = "not shown: 1 convolution without maps over the picture: pixels (6 parts)"
        assert engine.skipped_note == note
        x = torch.randn(batch, 3, *SIZE, dtype=torch.float64)
        found = engine.run(x, Selection(layer="patches", unit=3, rule="gradient", seed="map"))
        expected = reference_backprop(model, x, "patches", 3, rule="gradient", seed="map")
        assert relative_error(found.backprop_B3HW, expected) < 1e-9


def test_a_convolution_that_is_shown_is_not_named_for_its_other_calls() -> None:
    class Both(nn.Module):
        """One convolution over the picture, then over its halves one by one."""

        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Conv2d(3, 3, 3, padding=1)
            self.halves = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.shared(x)).reshape(x.shape[0], 3, 2, -1, x.shape[3])
            h = F.relu(self.shared(h.transpose(1, 2).flatten(0, 1)))
            return self.halves(h).reshape(x.shape[0], -1, h.shape[2], h.shape[3]).mean((2, 3))

    engine = engine_of(seeded(Both), SIZE)
    assert [layer.name for layer in engine.layers] == ["shared"]
    note = "not shown: 1 convolution without maps over the picture: halves (2 parts)"
    assert engine.skipped_note == note


def test_a_network_of_other_convolutions_alone_is_refused_with_their_names() -> None:
    class Volumes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Conv3d(1, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.only(x[:, None]).amax(dim=(2, 3, 4))

    with pytest.raises(NetworkError, match=r"nothing to look at \(not shown: 1 conv.*only \(3d\)"):
        engine_of(Volumes().eval(), SIZE)


def test_a_long_list_of_what_is_not_shown_is_cut_short() -> None:
    assert skipped_note(()) == ""
    note = skipped_note([(f"time.{i}", "1d") for i in range(8)])
    assert note.startswith("not shown: 8 convolutions without maps over the picture: time.0 (1d)")
    assert note.endswith("time.4 (1d) and 3 more")

"""Layers, their names, map sizes, strides and receptive fields, worked out by hand."""

import torch
from torch import Tensor, nn

from rtvis.data import Layer
from tests.nets import engine_of


class Fields(nn.Module):
    """3x3 stride 2, then 5x5, a 2x2 pool, a dilated 3x3, and a gate that sees the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.b = nn.Conv2d(4, 4, (5, 1), padding=(2, 0))
        self.pool = nn.MaxPool2d(2)
        self.c = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.gate = nn.Conv2d(4, 4, 1)
        self.d = nn.Conv2d(4, 6, 1)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(self.pool(torch.relu(self.b(torch.relu(self.a(x))))))
        x = x * torch.sigmoid(self.gate(x.mean(dim=(2, 3), keepdim=True)))
        return self.fc(self.d(x).mean(dim=(2, 3)))


def _layers() -> dict[str, Layer]:
    return {layer.name: layer for layer in engine_of(Fields().eval(), size=(32, 64)).layers}


def test_receptive_fields_follow_kernels_strides_and_dilations() -> None:
    layers = _layers()
    assert layers["a"].receptive_field == (3, 3)
    # 5 taps two pixels apart: 3 + 4 * 2 rows; one tap across
    assert layers["b"].receptive_field == (11, 3)
    # the pool adds one tap two pixels away, then 3 taps with dilation 2 at stride 4: 2 * 2 * 4
    assert layers["c"].receptive_field == (11 + 2 + 16, 3 + 2 + 16)


def test_behind_a_gate_a_neuron_sees_the_whole_picture() -> None:
    layers = _layers()
    assert layers["d"].receptive_field == (32, 64)
    assert layers["fc"].receptive_field == (32, 64)


def test_strides_and_map_sizes_count_input_pixels() -> None:
    layers = _layers()
    assert [layers[name].stride for name in "abc"] == [(2, 2), (2, 2), (4, 4)]
    assert [layers[name].map_size for name in "abc"] == [(16, 32), (16, 32), (8, 16)]
    assert layers["fc"].map_size == (1, 1)


def test_layers_are_numbered_in_order_of_execution_with_their_kinds() -> None:
    layers = _layers()
    assert [layer.index for layer in layers.values()] == list(range(6))
    assert list(layers) == ["a", "b", "c", "gate", "d", "fc"]
    assert [layer.kind for layer in layers.values()] == ["conv"] * 5 + ["dense"]
    assert [layer.num_units for layer in layers.values()] == [4, 4, 4, 4, 6, 2]


class Gated(nn.Module):
    """Channels turned round, a gate that sees the whole picture, and layers behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.behind = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.large = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x.flip(1)).relu()
        h = h * self.gate(h.mean((2, 3), keepdim=True)).sigmoid()
        h = nn.functional.interpolate(self.behind(h).relu(), scale_factor=4, mode="bilinear")
        return self.large(h).mean((2, 3))


def test_behind_a_gate_a_neuron_sees_the_input_and_no_more() -> None:
    layers = {layer.name: layer for layer in engine_of(Gated().eval(), (32, 64)).layers}
    assert (layers["first"].receptive_field, layers["first"].stride) == ((3, 3), (2, 2))
    assert (layers["gate"].receptive_field, layers["gate"].stride) == ((32, 64), (32, 64))
    assert (layers["behind"].receptive_field, layers["behind"].stride) == ((32, 64), (4, 4))
    assert (layers["large"].receptive_field, layers["large"].stride) == ((32, 64), (1, 1))


class JoinsNothing(nn.Module):
    """Joins tokens that there are none of, as Qwen3's ViT does with its registers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 2, stride=2)
        self.dense = nn.Linear(4, 5)
        self.none = nn.Parameter(torch.zeros(1, 0, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.conv(x)
        heads = maps.flatten(2).transpose(1, 2).reshape(1, 16, 2, 2).transpose(1, 2)
        nothing = heads[:, :, :0].transpose(1, 2).reshape(1, 0, 4)
        tokens = torch.cat((self.none, nothing, maps.flatten(2).transpose(1, 2)), dim=1)
        return self.dense(tokens).mean(1)


def test_a_network_that_joins_an_empty_value_has_its_layers() -> None:
    engine = engine_of(JoinsNothing().eval().requires_grad_(False), 8)
    assert [(layer.name, layer.map_size) for layer in engine.layers] == [
        ("conv", (4, 4)),
        ("dense", (4, 4)),
    ]

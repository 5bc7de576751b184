"""Receptive fields, each against the one found by spoiling the input row by row, column by column.

A row of NaN spoils every neuron that depends on any of it, whatever the weights: no ReLU and no
maximum hides it.
"""

import math
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from rtvis.data import Layer
from tests.nets import EverySpelling, engine_of

Ends = list[tuple[int, int] | None]
"""Of each row (or column) of a map: the first and last row of the input that it depends on."""


def found_by_spoiling(model: nn.Module, size: tuple[int, int]) -> dict[str, tuple[Ends, Ends]]:
    """(rows, columns) of every module's map, for modules that are called once."""
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _, __, value, name=name: seen.__setitem__(name, value))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    found: dict[str, tuple[Ends, Ends]] = {}
    for axis in (0, 1):
        spoiled = torch.zeros(size[axis], 3, *size)
        for number in range(size[axis]):
            spoiled[number].select(axis + 1, number).fill_(math.nan)
        with torch.no_grad():
            parts = []
            for part in spoiled.split(16):
                model(part)
                parts.append({name: value.isnan() for name, value in seen.items()})
        for name in seen:
            value = torch.cat([part[name] for part in parts])
            if value.ndim == 4:
                is_channels_last = isinstance(model.get_submodule(name), nn.Linear)
                value = value.permute(0, 3, 1, 2) if is_channels_last else value
                touched = value.any(dim=1).any(dim=2 - axis)  # [input rows, map's rows]
            else:
                touched = value.flatten(1).any(dim=1, keepdim=True)
            ends: Ends = []
            for column in touched.T:
                rows = column.nonzero().flatten().tolist()
                ends.append((rows[0], rows[-1]) if rows else None)
            found[name] = (*found.get(name, ()), ends)  # type: ignore[assignment]
    for handle in handles:
        handle.remove()
    return found


def assert_told_as_found(layer: Layer, found: tuple[Ends, Ends], size: tuple[int, int]) -> int:
    """That a layer's field is the one found, at every position; returns how many lie inside."""
    num_inside = 0
    for axis in (0, 1):
        for number, ends in enumerate(found[axis]):
            if layer.field_start is None:
                assert ends == (0, size[axis] - 1), f"{layer.name} is said to see everything"
                continue
            first = layer.field_start[axis] + number * layer.stride[axis]
            last = first + layer.receptive_field[axis] - 1
            assert ends is not None
            if first >= 0 and last < size[axis]:
                assert ends == (first, last), f"{layer.name}, axis {axis}, {number}"
                num_inside += 1
            else:  # of what reaches beyond the input a hole between two taps may be at its edge
                assert first <= ends[0], f"{layer.name}, axis {axis}, {number}"
                assert last >= ends[1], f"{layer.name}, axis {axis}, {number}"
    return num_inside


class SamePadding(nn.Module):
    """As TensorFlow pads: at stride 2 nothing before and one behind, and of a 4-wide one 1, 2."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3, stride=2)
        self.b = nn.Conv2d(2, 2, 4)
        self.c = nn.Conv2d(2, 2, (5, 3), stride=(2, 1), padding=(2, 0))
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(F.pad(x, (0, 1, 0, 1))).relu()
        x = self.b(F.pad(x, (1, 2, 1, 2))).relu()
        x = self.c(x).relu()[:, :, 1:-1, 2:]
        return self.last(F.max_pool2d(x, 3, stride=2, ceil_mode=True)).mean((2, 3))


class OneSided(nn.Module):
    """Padding, slices and pooling that are not alike along both axes, pools with holes, and a pool
    that steps by its own size because nobody says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3)
        self.b = nn.Conv2d(2, 2, 3)
        self.c = nn.Conv2d(2, 2, 1)
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(F.pad(x, (2, 0, 1, 0))).relu()  # two columns before, one row
        x = self.b(F.max_pool2d(x, 2)).relu()
        x = self.c(x[:, :, 1:, 2::2])
        return self.last(F.max_pool2d(x, 3, stride=1, dilation=2)).mean((2, 3))


class Branches(nn.Module):
    """Ways of different widths joined, a residual, a channel shuffle, and a dilated kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(4, 2, 1)
        self.wide = nn.Conv2d(4, 2, 5, padding=2)
        self.short = nn.Conv2d(4, 4, 1, stride=2)
        self.long = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.behind = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.last = nn.Conv2d(2, 2, 3, padding=2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = torch.cat([self.narrow(x), self.wide(x)], dim=1)
        x = self.short(x) + self.long(x).relu()
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2)
        x = self.behind(x.reshape(batch, channels, height, width))
        half, _ = x.chunk(2, dim=1)
        return self.last(half).mean((2, 3))


class ChannelsLast(nn.Module):
    """Dense layers at every place, as ConvNeXt has them, and a gate that sees everything."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 4, stride=4)
        self.mix = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.norm = nn.LayerNorm(4)
        self.up = nn.Linear(4, 8)
        self.down = nn.Linear(8, 4)
        self.after = nn.Conv2d(4, 4, 3, padding=1)
        self.gated = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        h = self.norm(self.mix(x).permute(0, 2, 3, 1))
        x = x + self.down(F.gelu(self.up(h))).permute(0, 3, 1, 2)
        x = self.after(x)
        x = x * x.mean((2, 3), keepdim=True).sigmoid()
        return self.gated(x).mean((2, 3))


class AcrossUnits(nn.Module):
    """Local response normalisation, as AlexNet and CaffeNet had it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, stride=2)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1, groups=2)
        self.conv3 = nn.Conv2d(4, 2, 3, padding=1)
        self.norm = nn.LocalResponseNorm(5)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.norm(self.conv1(x).relu()))
        x = self.norm(self.conv2(x).relu())
        return self.conv3(x).mean((2, 3))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], int]] = {
    # the net, the size of its input, how many layers at least have a field that fits inside
    "same padding": (SamePadding, (48, 64), 3),
    "one-sided": (OneSided, (40, 56), 4),
    "branches": (Branches, (48, 40), 7),
    "channels last": (ChannelsLast, (40, 48), 5),
    "across units": (AcrossUnits, (48, 40), 3),
}
SLOW_CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], int]] = {
    "lite0": (lambda: timm.create_model("tf_efficientnet_lite0"), (96, 64), 19),
    "resnet18": (torchvision.models.resnet18, (96, 96), 9),
    "googlenet": (
        lambda: torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False),
        (96, 64),
        18,
    ),
    "shufflenet": (torchvision.models.shufflenet_v2_x0_5, (96, 64), 20),
}


@pytest.mark.parametrize(
    "name", [*CASES, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW_CASES)]
)
def test_fields_are_those_found_by_spoiling_the_input(name: str) -> None:
    make, size, num_layers = (CASES | SLOW_CASES)[name]
    model = make().eval()
    found = found_by_spoiling(model, size)
    num_inside = 0
    for layer in engine_of(model, size).layers:
        num_inside += assert_told_as_found(layer, found[layer.name], size) > 0
    assert num_inside >= num_layers, "enough fields lie inside the input to be told exactly"


def test_a_transposed_convolutions_field_is_never_told_too_small() -> None:
    model = EverySpelling().eval()
    found = found_by_spoiling(model, (48, 64))
    layer = next(each for each in engine_of(model, (48, 64)).layers if each.name == "up")
    assert layer.field_start is not None
    for axis in (0, 1):
        for number, ends in enumerate(found["up"][axis]):
            first = layer.field_start[axis] + number * layer.stride[axis]
            assert ends is not None
            assert first <= ends[0]
            assert first + layer.receptive_field[axis] - 1 >= ends[1]


def test_a_field_starts_in_the_padding() -> None:
    layers = {layer.name: layer for layer in engine_of(SamePadding().eval(), (48, 64)).layers}
    assert layers["a"].field_start == (0, 0), "nothing is padded before"
    assert layers["b"].field_start == (-2, -2), "one place of stride 2"
    assert layers["c"].field_start == (-2 - 2 * 2, -2), "two rows more, no columns"
    # The slice takes off a row of stride 4 and two columns of stride 2.
    assert layers["last"].field_start == (-6 + 4, -2 + 4)
    assert layers["last"].stride == (8, 4)


def test_what_sees_everything_has_no_start() -> None:
    layers = {layer.name: layer for layer in engine_of(ChannelsLast().eval(), (40, 48)).layers}
    assert layers["up"].field_start == (-4, -4), "a dense layer on a grid has a field like others"
    assert layers["up"].receptive_field == (12, 12)
    assert layers["after"].field_start == (-8, -8)
    assert layers["gated"].field_start is None
    assert layers["gated"].receptive_field == (40, 48)

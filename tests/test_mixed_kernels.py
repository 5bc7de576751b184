"""Kernels that a network mixes for each picture: one layer, and a way for gradients."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from rtvis.data import Rule, Selection
from rtvis.engine.engine import Engine
from tests.nets import engine_of
from tests.references import reference_backprop, reference_maps

SIZE = 12
UNITS, KERNELS = 6, 3
NEAR = {"rtol": 1e-10, "atol": 1e-12}


class Mixed(nn.Module):
    """Computes as CondConv does: all pictures as groups of one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(KERNELS, UNITS * 4 * 3 * 3) / 6)
        self.bias = nn.Parameter(torch.randn(KERNELS, UNITS))

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        batch, units, *size = x.shape
        kernel = (shares @ self.weight).view(batch * UNITS, units, 3, 3)
        bias = (shares @ self.bias).view(batch * UNITS)
        together = x.reshape(1, batch * units, *size)
        y = nn.functional.conv2d(together, kernel, bias, stride=2, padding=1, groups=batch)
        return y.permute(1, 0, 2, 3).reshape(batch, UNITS, *y.shape[-2:])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.shares = nn.Linear(4, KERNELS)
        self.mixed = Mixed()
        self.head = nn.Linear(UNITS, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        shares = self.shares(x.mean((2, 3))).sigmoid()
        return self.head(self.mixed(x, shares).relu().mean((2, 3)))


def net(dtype: torch.dtype) -> Net:
    torch.manual_seed(0)
    return Net().to(dtype).eval().requires_grad_(False)


@pytest.fixture(
    scope="module",
    params=["float64", pytest.param("float32", marks=pytest.mark.slow, id="compiled")],
)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Float64 to compare with; compiled there is float32 alone."""
    dtype: str = request.param
    with engine_of(
        net(getattr(torch, dtype)),
        SIZE,
        dtype=dtype,
        compile="off" if dtype == "float64" else "auto",
        cache_dir=tmp_path_factory.mktemp("cache"),
    ) as engine:
        assert dtype == "float64" or engine.wait_compiled(240), engine.compile_note
        yield engine


def test_a_convolution_with_mixed_kernels_is_one_layer(engine: Engine) -> None:
    kinds = {layer.name: (layer.kind, layer.num_units, layer.map_size) for layer in engine.layers}
    assert kinds == {
        "stem": ("conv", 4, (SIZE, SIZE)),
        "shares": ("dense", KERNELS, (1, 1)),
        "mixed": ("conv", UNITS, (SIZE // 2, SIZE // 2)),
        "head": ("dense", 5, (1, 1)),
    }


@pytest.mark.parametrize("rule", ["gradient", "guided"])
@pytest.mark.parametrize("layer", ["mixed", "head"])
def test_gradients_also_go_through_what_chose_the_kernels(
    engine: Engine, layer: str, rule: Rule
) -> None:
    near = {"rtol": 1e-4, "atol": 1e-6} if engine.dtype == torch.float32 else NEAR
    model = net(engine.dtype)
    x = torch.randn(1, 3, SIZE, SIZE, dtype=engine.dtype)
    for unit in (0, 4):
        result = engine.run(x, Selection(layer=layer, unit=unit, rule=rule))
        _, maps_BCHW = reference_maps(model, x, layer)
        torch.testing.assert_close(result.maps_BCHW, maps_BCHW, **near)
        wanted = reference_backprop(model, x, layer, unit, rule=rule)
        assert wanted.abs().max() > 1e-3, "or it proves nothing"
        torch.testing.assert_close(result.backprop_B3HW, wanted, **near)


def test_pictures_of_a_batch_have_kernels_of_their_own() -> None:
    model = net(torch.float64)
    x = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    with engine_of(model, SIZE, dtype="float64", batch=2) as engine:
        result = engine.run(x, Selection(layer="mixed", unit=1, rule="gradient"))
    _, maps_BCHW = reference_maps(model, x, "mixed")
    torch.testing.assert_close(result.maps_BCHW, maps_BCHW, **NEAR)
    wanted = reference_backprop(model, x, "mixed", 1, rule="gradient")
    torch.testing.assert_close(result.backprop_B3HW, wanted, **NEAR)

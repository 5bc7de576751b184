"""The reductions in C++ give what those in torch give: ties, NaN, sizes, every bit of sums."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rtvis.engine.compiled import kernels
from rtvis.engine.compiled.artifacts import default_cache_dir
from rtvis.engine.flat.trace import flatten
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.reduced.forward import (
    Reduced,
    can_be_reduced,
    counted,
    reduce_maps,
    reduced_piece,
)
from rtvis.engine.reduced.one_pass import one_pass_piece
from rtvis.engine.reduced.step import reduced_step
from rtvis.units.lanes import in_lanes
from rtvis.units.statistics import UnitStatistics
from tests.nets import EverySpelling, seeded
from tests.test_scan import network_of

pytestmark = pytest.mark.apart

NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def _library() -> None:
    assert kernels.prepare(default_cache_dir() / "compiled") == ""


def by_kernels(
    maps_BCHW: Tensor, affine_4C: Tensor, *, has_own: bool = False, gate: int = kernels.OWN
) -> Reduced:
    numbers = torch.ops.rtvis.reduce_maps(maps_BCHW, affine_4C, int(has_own), gate)
    return Reduced.of_numbers(numbers)


def plain(num_units: int) -> Tensor:
    return kernels.affine_of(num_units, None, None, None, None)


def by_torch(maps_BCHW: Tensor, **others: Tensor | bool) -> Reduced:
    row_H, column_W = counted((maps_BCHW.shape[2], maps_BCHW.shape[3]))
    return reduce_maps(maps_BCHW, row_H=row_H, column_W=column_W, **others)  # type: ignore[arg-type]


def assert_same(found: Reduced, wanted: Reduced) -> None:
    for name in ("values_BT", "place_BT", "positive_BT"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True, msg=name)
    for name in ("mean_BT", "square_BT"):
        one, other = getattr(found, name), getattr(wanted, name)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, equal_nan=True)


def maps_of(*size: int, levels: int = 5, seed: int = 0) -> Tensor:
    """Of a few values only: every map has its largest one at several places."""
    torch.manual_seed(seed)
    maps_BCHW = torch.randint(-levels, levels, size).float()
    return maps_BCHW.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "size",
    [(1, 1, 1, 1), (2, 3, 5, 7), (3, 8, 1, 9), (1, 41, 9, 1), (2, 75, 6, 6), (5, 33, 40, 30)],
)
def test_of_equals_the_first_in_reading_order_wins_in_every_size(
    size: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    maps_BCHW = maps_of(*size).to(dtype)
    found = by_kernels(maps_BCHW, plain(size[1]))
    assert_same(found, by_torch(maps_BCHW, is_activated=False))
    flat = maps_BCHW.float().flatten(2)
    first = (flat == flat.amax(2, keepdim=True)).to(torch.uint8).argmax(2)
    place = found.place_BT
    assert torch.equal((place >> 16) * size[3] + (place & 0xFFFF), first)


def test_nan_and_infinity_come_out_as_in_torch() -> None:
    maps_BCHW = torch.zeros(1, 5, 2, 2)
    maps_BCHW[0, 0] = torch.tensor([[1.0, NAN], [2.0, 0.0]])
    maps_BCHW[0, 1] = -INF
    maps_BCHW[0, 2] = torch.tensor([[-INF, 3.0], [INF, INF]])
    maps_BCHW[0, 3] = NAN
    maps_BCHW[0, 4] = torch.tensor([[-0.0, 0.0], [-1.0, 0.0]])
    maps_BCHW = maps_BCHW.contiguous(memory_format=torch.channels_last)
    found = by_kernels(maps_BCHW, plain(5))
    assert_same(found, by_torch(maps_BCHW, is_activated=False))
    assert found.place_BT[0].tolist()[1:3] == [0, 1 << 16]


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("gate", [kernels.OWN, kernels.VALUE, kernels.NORMALISED])
def test_batch_norms_are_undone_for_values_and_applied_for_firing(has_own: bool, gate: int) -> None:
    maps_BCHW = maps_of(3, 21, 6, 5)
    inverse, offset, scale, shift = (
        # Quarters: nothing is rounded, so that both forms must have every bit the same.
        (torch.randint(1, 8, (21, 1, 1)) / 4 * (-1) ** (torch.arange(21) % 2)[:, None, None])
        for _ in range(4)
    )
    own = {"inverse_C11": inverse, "offset_C11": offset} if has_own else {}
    norm = {"scale_C11": scale, "shift_C11": shift} if gate == kernels.NORMALISED else {}
    affine_4C = kernels.affine_of(21, inverse, offset, scale, shift)
    found = by_kernels(maps_BCHW, affine_4C, has_own=has_own, gate=gate)
    assert_same(found, by_torch(maps_BCHW, is_activated=gate != kernels.OWN, **own, **norm))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (0.0, INF), (-1.0, 1.0)])
def test_the_clamp_is_applied_to_the_maps_and_the_numbers_are_those_before(
    low: float, high: float, dtype: torch.dtype
) -> None:
    maps_BCHW = maps_of(2, 19, 8, 9).to(dtype)
    maps_BCHW[1, 3, 2, 2] = NAN
    before = maps_BCHW.clone()
    numbers = torch.ops.rtvis.reduce_and_clamp(maps_BCHW, plain(19), 0, low, high)
    assert_same(Reduced.of_numbers(numbers), by_torch(before, is_activated=True))
    wanted = torch.nn.functional.hardtanh(before.float(), low, high).to(dtype)
    torch.testing.assert_close(maps_BCHW, wanted, rtol=0, atol=0, equal_nan=True)


def test_neither_batch_nor_threads_change_a_bit_of_a_picture() -> None:
    torch.manual_seed(1)
    maps_BCHW = torch.randn(5, 70, 33, 31).contiguous(memory_format=torch.channels_last)
    whole = torch.ops.rtvis.reduce_maps(maps_BCHW, plain(70), 0, 0)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(torch.ops.rtvis.reduce_maps(maps_BCHW, plain(70), 0, 0), whole)
            one = torch.ops.rtvis.reduce_maps(maps_BCHW[3:4], plain(70), 0, 0)
            assert torch.equal(one[:, 0], whole[:, 3])
    finally:
        torch.set_num_threads(threads)


def test_sums_of_many_values_keep_small_ones() -> None:
    maps_BCHW = torch.full((1, 1, 1024, 1024), 0.1)
    mean = by_kernels(maps_BCHW, plain(1)).mean_BT.item()
    assert mean == pytest.approx(0.1, rel=1e-4)


def test_the_pass_over_every_kind_of_layer_is_the_same_in_one_pass() -> None:
    network = network_of(seeded(EverySpelling))
    flat = flatten(network.model, torch.empty(3, 3, 32, 32), name="the network")
    sites = [site for site in find_layers(flat, 3) if can_be_reduced(site)]
    x_BCHW = torch.randn(3, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = Reduced(*reduced_piece(flat, sites, 3).run_eager([x_BCHW]))
        piece = one_pass_piece(flat, sites, 3)
        targets = [str(node.target) for node in piece.module.graph.nodes]
        assert "rtvis.reduce_and_clamp.default" in targets, "the ReLUs are taken in"
        assert "rtvis.reduce_maps.default" in targets
        found = Reduced.of_numbers(torch.cat(list(piece.run_eager([x_BCHW])), dim=2))
    torch.testing.assert_close(found.values_BT, wanted.values_BT, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.place_BT, wanted.place_BT)
    assert torch.equal(found.positive_BT, wanted.positive_BT)
    torch.testing.assert_close(found.square_BT, wanted.square_BT, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_compiled_by_inductor_the_pass_gives_the_same(tmp_path: Path) -> None:
    network = network_of(seeded(EverySpelling))
    x_BCHW = torch.randn(3, 3, 32, 32)
    steps = [
        reduced_step(
            network, device=torch.device("cpu"), batch=3, compiled=compiled, cache_dir=tmp_path
        )
        for compiled in (True, False)
    ]
    assert [step.form for step in steps] == ["compiled", "eager"]
    found, wanted = (step.run(x_BCHW) for step in steps)
    torch.testing.assert_close(found.values_BT, wanted.values_BT, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.place_BT, wanted.place_BT)
    num_threads = torch.get_num_threads()
    each = -(-num_threads // 4)
    assert [step.num_lanes for step in steps] == [-(-num_threads // each), 1]
    for _, reduced in in_lanes(3, [x_BCHW] * 20, steps[0].run):  # more threads than lanes
        assert all(torch.equal(one, other) for one, other in zip(reduced, found, strict=True))


def reduced_of(num_rows: int, num_units: int, seed: int) -> Reduced:
    torch.manual_seed(seed)
    values = torch.randn(num_rows, num_units) * 10.0 ** torch.randint(-6, 7, (num_units,))
    values[0, :3] = torch.tensor([0.0, 1e38, -1e38])
    return Reduced(
        values_BT=values,
        place_BT=torch.zeros(num_rows, num_units, dtype=torch.int32),
        mean_BT=values * 0.3,
        square_BT=(values * 0.7).square().clamp(max=1e30),
        positive_BT=torch.randint(0, 50, (num_rows, num_units), dtype=torch.int32) - 20,
    )


def test_statistics_are_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [reduced_of(rows, 300, seed) for seed, rows in enumerate((1, 32, 7, 32))]
    parts[2].values_BT[3, 5] = NAN  # that part takes the other way
    one, other = UnitStatistics(300), UnitStatistics(300)
    for part in parts:
        one.update(part, torch.ones(len(part.values_BT), dtype=torch.bool))
    monkeypatch.setattr(kernels, "_loaded", None)
    for part in parts:
        other.update(part, torch.ones(len(part.values_BT), dtype=torch.bool))
    found, wanted = one.to_arrays(), other.to_arrays()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert int(wanted["num"].sum()) == 300 * 72 - 1


def test_without_a_compiler_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_loaded", None)
    monkeypatch.setattr(kernels, "cpp_compiler", lambda: None)
    assert kernels.prepare(tmp_path) == "no C++ compiler found; install g++"
    monkeypatch.setattr(kernels, "cpp_compiler", lambda: "false")
    assert kernels.prepare(tmp_path).startswith("false failed: ")
    assert list(tmp_path.iterdir()) == [], "nothing is half-written"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        ((2, 8, 6, 5), 3, 1, (1, 1, 1, 1)),
        ((3, 40, 9, 16), 3, 2, (0, 1, 0, 1)),
        ((1, 72, 15, 15), 5, 1, (2, 2, 2, 2)),
        ((2, 32, 12, 11), 5, 2, (1, 2, 1, 2)),
        ((1, 16, 7, 30), 5, 3, (0, 0, 2, 0)),
        ((2, 24, 20, 40), 3, 2, (0, 0, 0, 0)),
    ],
)
def test_a_depthwise_convolution_between_two_layers_is_that_of_torch(
    size: tuple[int, int, int, int], kernel: int, stride: int, pads: tuple[int, int, int, int]
) -> None:
    """Whole numbers: nothing is rounded, so that every bit must be the same. `pads`: left, right,
    top, bottom."""
    num_units = size[1]
    maps_BCHW = maps_of(*size)
    maps_BCHW[0, 1, 2, 3] = NAN
    weight_C1KK = torch.randint(-2, 3, (num_units, 1, kernel, kernel)).float()
    bias_C = torch.randint(-9, 9, (num_units,)).float()
    ends, out_ends = (0.0, 4.0), (0.0, INF)
    clamped = torch.nn.functional.hardtanh(maps_BCHW, *ends)
    padded = torch.nn.functional.pad(clamped, pads)
    behind = torch.nn.functional.conv2d(padded, weight_C1KK, bias_C, stride, groups=num_units)
    inverse, offset = (
        torch.randint(1, 8, (num_units, 1, 1)) / 4 * (-1) ** torch.arange(num_units)[:, None, None]
        for _ in range(2)
    )
    affine_4C = kernels.affine_of(num_units, inverse, offset, None, None)
    result, numbers, out_numbers = torch.ops.rtvis.convolve_depthwise(
        *(maps_BCHW, affine_4C, *ends),
        weight_C1KK.squeeze(1).permute(1, 2, 0).contiguous(),
        *(bias_C, stride, pads[2], pads[0], behind.shape[2], behind.shape[3]),
        *(plain(num_units), *out_ends),
    )
    wanted = by_torch(maps_BCHW, is_activated=True, inverse_C11=inverse, offset_C11=offset)
    assert_same(Reduced.of_numbers(numbers), wanted)
    assert_same(Reduced.of_numbers(out_numbers), by_torch(behind, is_activated=True))
    torch.testing.assert_close(result, behind.relu(), rtol=0, atol=0, equal_nan=True)
    assert result.is_contiguous(memory_format=torch.channels_last)
    one = torch.ops.rtvis.convolve_depthwise(
        *(maps_BCHW[:1], affine_4C, *ends),
        weight_C1KK.squeeze(1).permute(1, 2, 0).contiguous(),
        *(bias_C, stride, pads[2], pads[0], behind.shape[2], behind.shape[3]),
        *(plain(num_units), *out_ends),
    )
    torch.testing.assert_close(one[1][:, 0], numbers[:, 0], rtol=0, atol=0, equal_nan=True)


class Narrow(nn.Module):
    """Two depthwise convolutions between ReLUs, padded by themselves and by a layer before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.wide = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.expand = nn.Conv2d(16, 24, 1)
        self.down = nn.Conv2d(24, 24, 5, 2, groups=24, bias=False)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.wide(torch.nn.functional.relu6(self.stem(x))))
        x = torch.relu(self.down(self.pad(torch.relu(self.expand(x)))))
        y: Tensor = self.head(x.mean((2, 3)))
        return y


def test_networks_for_small_machines_are_read_once() -> None:
    network = network_of(seeded(Narrow))
    flat = flatten(network.model, torch.empty(3, 3, 32, 32), name="the network")
    sites = [site for site in find_layers(flat, 3) if can_be_reduced(site)]
    x_BCHW = torch.randn(3, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = Reduced(*reduced_piece(flat, sites, 3).run_eager([x_BCHW]))
        piece = one_pass_piece(flat, sites, 3)
        targets = [str(node.target) for node in piece.module.graph.nodes]
        assert targets.count("rtvis.convolve_depthwise.default") == 2
        assert not any("constant_pad" in target for target in targets)
        found = Reduced.of_numbers(torch.cat(list(piece.run_eager([x_BCHW])), dim=2))
        # Without the layer before it, or it, each is reduced by itself.
        some = [site for site in sites if site.layer.name in {"wide", "expand"}]
        apart = one_pass_piece(flat, some, 3)
        targets = [str(node.target) for node in apart.module.graph.nodes]
        assert targets.count("rtvis.reduce_and_clamp.default") == 2
        few = Reduced.of_numbers(torch.cat(list(apart.run_eager([x_BCHW])), dim=2))
    torch.testing.assert_close(found.values_BT, wanted.values_BT, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.mean_BT, wanted.mean_BT, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.place_BT, wanted.place_BT)
    assert torch.equal(found.positive_BT, wanted.positive_BT)
    torch.testing.assert_close(few.values_BT[:, :16], wanted.values_BT[:, 16:32])
    torch.testing.assert_close(few.values_BT[:, 16:], wanted.values_BT[:, 32:56])

"""Convolutions by fewer multiplications: what float64 gives, the same bits always, zeros kept."""

import copy
import ctypes
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, fx, nn

from rtvis.engine.compiled import kernels, winograd
from rtvis.engine.compiled.artifacts import artifact_path, default_cache_dir
from rtvis.engine.compiled.compilers import cpp_compiler
from rtvis.engine.flat.trace import flatten
from rtvis.threads import cpu_threads

aten = torch.ops.aten

needs_panel = pytest.mark.skipif(
    not winograd.panel(), reason="this processor has neither AVX2 nor AVX-512: nothing is replaced"
)
pytestmark = needs_panel


@pytest.fixture(autouse=True)
def _library() -> None:
    assert kernels.prepare(default_cache_dir() / "compiled") == ""


def convolve(
    value_BCHW: Tensor,
    weight_KC33: Tensor,
    bias_K: Tensor,
    padding: int = 1,
    low: float = -math.inf,
    high: float = math.inf,
) -> Tensor:
    packed = winograd.packed(weight_KC33, winograd.panel())
    found: Tensor = torch.ops.rtvis.convolve_3x3(value_BCHW, packed, bias_K, padding, low, high)
    return found


def random_case(size: tuple[int, int, int, int], num_results: int) -> tuple[Tensor, ...]:
    numbers = torch.Generator().manual_seed(sum(size) + num_results)
    value = torch.randn(size, generator=numbers).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(num_results, size[1], 3, 3, generator=numbers)
    return value, weight, torch.randn(num_results, generator=numbers)


def off_by(found: Tensor, wanted: Tensor) -> float:
    """The largest error, of the largest number."""
    return float((found.double() - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(
    ("size", "num_results"),
    [
        ((1, 64, 56, 56), 64),
        ((1, 16, 7, 9), 48),
        ((3, 32, 13, 6), 16),
        ((2, 48, 3, 3), 32),
        ((1, 512, 7, 7), 128),
        ((5, 16, 4, 30), 80),
    ],
)
def test_it_is_as_exact_as_torch(
    size: tuple[int, int, int, int], num_results: int, padding: int
) -> None:
    value, weight, bias = random_case(size, num_results)
    exact = nn.functional.conv2d(value.double(), weight.double(), bias.double(), padding=padding)
    found = convolve(value, weight, bias, padding)
    assert found.shape == exact.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    theirs = off_by(nn.functional.conv2d(value, weight, bias, padding=padding), exact)
    assert off_by(found, exact) < max(2 * theirs, 1e-6)


def test_a_kernel_of_a_single_one_moves_the_picture() -> None:
    value = torch.zeros(1, 16, 5, 6).contiguous(memory_format=torch.channels_last)
    value[0, 2, 1, 3] = 8.0
    weight = torch.zeros(16, 16, 3, 3)
    weight[5, 2, 0, 2] = 0.5  # takes the pixel above and to the right
    bias = torch.zeros(16)
    bias[7] = 3.0
    found = convolve(value, weight, bias)
    wanted = torch.zeros(1, 16, 5, 6)
    wanted[0, 5, 2, 2] = 4.0
    wanted[0, 7] = 3.0
    torch.testing.assert_close(found, wanted.to(memory_format=torch.channels_last), rtol=0, atol=0)


def test_what_follows_puts_results_between_two_numbers_and_leaves_nan() -> None:
    value, weight, bias = random_case((1, 16, 6, 6), 16)
    plain = convolve(value, weight, bias)
    assert float(plain.min()) < -2 < 3 < float(plain.max())
    assert torch.equal(convolve(value, weight, bias, 1, -2.0, 3.0), plain.clamp(-2.0, 3.0))
    value[0, 0, 0, 0] = math.nan
    assert bool(convolve(value, weight, bias, 1, 0.0, 1.0)[0, :, 0, 0].isnan().all())


@pytest.mark.parametrize("size", [(3, 32, 14, 11), (3, 256, 8, 8)])
def test_the_bits_are_the_same_for_any_number_of_threads_and_pictures(
    size: tuple[int, int, int, int],
) -> None:
    value, weight, bias = random_case(size, 96)
    with cpu_threads(1):
        found = convolve(value, weight, bias)
    with cpu_threads(2):
        assert torch.equal(convolve(value, weight, bias), found)
    for index in range(3):
        assert torch.equal(convolve(value[index : index + 1], weight, bias)[0], found[index])


def test_pictures_are_read_where_they_lie() -> None:
    value, weight, bias = random_case((2, 16, 12, 10), 16)
    part = value[:, :, 1:8, 2:9]
    copy = part.clone(memory_format=torch.channels_last)
    assert part.stride() != copy.stride()
    assert torch.equal(convolve(part, weight, bias), convolve(copy, weight, bias))


def test_where_all_arguments_are_zero_the_result_is_the_bias_to_the_last_bit() -> None:
    value, weight, bias = random_case((1, 64, 24, 24), 32)
    lit = torch.rand(24, 24, generator=torch.Generator().manual_seed(1)) < 0.1
    value *= lit
    reached = nn.functional.max_pool2d(lit[None].float(), 3, stride=1, padding=1)[0] > 0
    assert 20 < int((~reached).sum()) < 24 * 24 - 20
    found = convolve(value, weight, bias)[0].permute(1, 2, 0)
    assert torch.equal(found[~reached], bias.expand(int((~reached).sum()), -1))
    assert bool((found[reached] != bias).any(dim=1).all())


def test_the_form_for_longer_registers_computes_the_same(tmp_path: Path) -> None:
    """As a processor with AVX-512 runs it, in registers of this one."""
    compiler = cpp_compiler()
    assert compiler is not None
    source, library = kernels.SOURCES[1], tmp_path / "wide.so"
    libraries = Path(torch.__file__).parent / "lib"
    flags = ["-O1", "-std=c++17", "-shared", "-fPIC", "-DRTVIS_LANES=16", "-Wno-psabi"]
    link = [f"-L{libraries}", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
    subprocess.run([compiler, *flags, str(source), *link, "-o", str(library)], check=True)
    wide = ctypes.CDLL(str(library))
    assert wide.rtvis_panel() == 32
    value, weight, bias = random_case((2, 48, 9, 7), 48)  # the second panel is half full
    packed, found = winograd.packed(weight, 32), torch.empty(2, 48, 9, 7)
    found = found.contiguous(memory_format=torch.channels_last)
    size = (ctypes.c_int64 * 9)(2, 9, 7, 48, 48 * 63, 48 * 7, 48, 48, 1)
    ends = (ctypes.c_float * 2)(-math.inf, math.inf)
    pointers = [value.data_ptr(), ctypes.addressof(size), packed.data_ptr(), bias.data_ptr()]
    wide.rtvis_convolve_3x3(
        *(ctypes.c_void_p(each) for each in (*pointers, ctypes.addressof(ends), found.data_ptr()))
    )
    exact = nn.functional.conv2d(value.double(), weight.double(), bias.double(), padding=1)
    assert off_by(found, exact) < 1e-6


class Several(nn.Module):
    """Convolutions that are taken and such that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)  # too few units
        self.clamped = nn.Conv2d(16, 32, 3, padding=1)
        self.capped = nn.Conv2d(32, 16, 3, bias=False)
        self.shared = nn.Conv2d(16, 16, 3, padding=1)  # its own value is read, too
        self.strided = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.dilated = nn.Conv2d(16, 16, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=2)
        self.pointwise = nn.Conv2d(16, 16, 1)
        self.uneven = nn.Conv2d(16, 24, 3, padding=1)
        self.small = nn.Conv2d(24, 16, 3, padding=1)  # of 3x3 pixels, 4 tiles
        self.last = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.clamped(self.first(x)).relu()
        x = nn.functional.relu6(self.capped(x))
        before = self.shared(x)
        x = before.relu() + before
        x = self.grouped(self.dilated(self.strided(x)))
        x = nn.functional.max_pool2d(self.uneven(self.pointwise(x)), 2)
        return cast("Tensor", self.last(self.small(x).relu()).mean(dim=(2, 3)))


class _OnlyOne(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(16, 16, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = aten.convolution.default(
            x, self.weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1
        )
        return found


def several() -> tuple[fx.GraphModule, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 14, 14).contiguous(memory_format=torch.channels_last)
    model = Several().eval().to(memory_format=torch.channels_last)
    return flatten(model, x, name="several").module, x


def arguments(module: fx.GraphModule, target: Any) -> list[tuple[Any, ...]]:
    return [node.args for node in module.graph.nodes if node.target is target]


def test_what_it_takes_is_replaced_with_the_clamp_that_alone_reads_it() -> None:
    module, x = several()
    with torch.no_grad():
        wanted = module(x)
        assert winograd.replace_convolutions(module, (x,)) == 3
        found = module(x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    made = arguments(module, torch.ops.rtvis.convolve_3x3.default)
    assert [args[3:] for args in made] == [
        (1, 0.0, math.inf),
        (0, 0.0, 6.0),
        (1, -math.inf, math.inf),
    ]
    assert len(arguments(module, aten.convolution.default)) == 8
    assert len(arguments(module, aten.relu.default)) == 2, "of `shared` and of `small`"
    kept = [buffer.shape[-2:] for name, buffer in module.named_buffers() if buffer.ndim == 4]
    assert kept.count(torch.Size([3, 3])) == 6, "weights that nothing reads are gone"


def test_a_processor_without_the_kernel_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    module, x = several()
    assert winograd.replace_convolutions(module, (x,)) == 0
    assert not arguments(module, torch.ops.rtvis.convolve_3x3.default)


def test_units_that_do_not_lie_side_by_side_are_left_to_torch() -> None:
    module = fx.symbolic_trace(_OnlyOne())
    lying = torch.randn(1, 16, 12, 12).contiguous(memory_format=torch.channels_last)
    assert winograd.replace_convolutions(copy.deepcopy(module), (lying,)) == 1
    assert winograd.replace_convolutions(module, (lying.contiguous(),)) == 0


def test_an_artifact_that_was_made_in_this_way_has_another_name(tmp_path: Path) -> None:
    module, x = several()
    name: Callable[..., Path] = artifact_path
    given = (tmp_path, module, (x,), torch.device("cpu"))
    plain = name(*given, num_threads=2)
    assert name(*given, num_threads=2, form="winograd 1") != plain

"""Our own kernels for a CPU, in C++, as operations that torch knows.

The reduction of a layer's maps: inductor computes the parts of `Reduced` in four passes over a map,
and must leave the ReLU out of the convolution, as both are wanted, its argument and its value. Here
the map is read once, and the ReLU is applied in passing. And convolutions of 3 rows and columns by
fewer multiplications (see `winograd`). On CUDA nothing of this is used.

The library is compiled at first use, in 3 seconds, and kept beside the compiled pieces.
"""

import ctypes
import hashlib
import logging
import os
import subprocess
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

from rtvis.engine.compiled.compilers import cpp_compiler

log = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent
SOURCES: Final = (_FOLDER / "kernels.cpp", _FOLDER / "winograd.cpp")
_HEADER: Final = _FOLDER / "kernels.h"

DTYPES: Final = {torch.float32, torch.bfloat16}
"""Of the maps."""

OWN: Final = 0
"""What must be above zero for a unit to fire: its own value,"""
VALUE: Final = 1
"""the value of the maps, behind a batch norm that was folded into them,"""
NORMALISED: Final = 2
"""or the value behind a batch norm that was not folded."""

SHIMS: Final = {
    "reduce_maps": "AOTITorchError aoti_torch_cpu_reduce_maps(AtenTensorHandle value, "
    "AtenTensorHandle affine, int64_t has_own, int64_t gate, AtenTensorHandle* numbers)",
    "reduce_and_clamp": "AOTITorchError aoti_torch_cpu_reduce_and_clamp(AtenTensorHandle value, "
    "AtenTensorHandle affine, int64_t has_own, double low, double high, "
    "AtenTensorHandle* numbers)",
    "convolve_depthwise": "AOTITorchError aoti_torch_cpu_convolve_depthwise("
    "AtenTensorHandle value, AtenTensorHandle affine, double low, double high, "
    "AtenTensorHandle weight, AtenTensorHandle bias, int64_t stride, int64_t top, int64_t left, "
    "int64_t out_height, int64_t out_width, AtenTensorHandle out_affine, double out_low, "
    "double out_high, AtenTensorHandle* result, AtenTensorHandle* numbers, "
    "AtenTensorHandle* out_numbers)",
    "convolve_3x3": "AOTITorchError aoti_torch_cpu_convolve_3x3(AtenTensorHandle value, "
    "AtenTensorHandle weight, AtenTensorHandle bias, int64_t padding, double low, double high, "
    "AtenTensorHandle* result)",
}
"""How compiled code calls each operation: as a function of the library, without Python."""

_FLAGS: Final = (
    *("-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp"),
    # One rounding where the processor can, and no errno: as torch's own code is compiled.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
_PROCESSOR: Final = {
    "AVX512": ("-march=skylake-avx512", "-mprefer-vector-width=512"),
    "AVX2": ("-march=haswell",),
}
"""Flags by `torch.backends.cpu.get_cpu_capability()`: the cache may be shared with another
machine."""

# Without types in some versions of torch.
_LIBRARY: Final[Any] = cast("Any", torch.library).Library("rtvis", "FRAGMENT")
_LIBRARY.define("reduce_maps(Tensor value, Tensor affine, int has_own, int gate) -> Tensor")
_LIBRARY.define(
    "reduce_and_clamp(Tensor(a!) value, Tensor affine, int has_own, float low, float high) "
    "-> Tensor"
)
_LIBRARY.define(
    "convolve_depthwise(Tensor value, Tensor affine, float low, float high, Tensor weight, "
    "Tensor bias, int stride, int top, int left, int out_height, int out_width, "
    "Tensor out_affine, float out_low, float out_high) -> (Tensor, Tensor, Tensor)"
)
_LIBRARY.define(
    "convolve_3x3(Tensor value, Tensor weight, Tensor bias, int padding, float low, float high) "
    "-> Tensor"
)
_loaded: ctypes.CDLL | None = None
"""One for the whole program, as the operations are."""


def prepare(folder: Path) -> str:
    """Load the library, after compiling it if need be; returns why there is none, or nothing.

    Args:
        folder: Where it is kept.
    """
    global _loaded  # noqa: PLW0603 - a library is loaded once for all
    if _loaded is not None:
        return ""
    compiler = cpp_compiler()
    if compiler is None:
        return "no C++ compiler found; install g++"
    command, path = _command(compiler), built_path(folder)
    try:
        if not path.exists():
            _compile(command, path)
        # Global, for the code that inductor compiles looks for its functions among all.
        _loaded = _declared(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL))
    except (OSError, subprocess.SubprocessError) as fault:
        lines = (getattr(fault, "stderr", None) or str(fault)).strip().splitlines()
        wrong = next((line for line in lines if "error" in line), lines[0] if lines else "")
        return f"{compiler} failed: {wrong.strip() or 'without a word'}"
    return ""


def built_path(folder: Path) -> Path:
    """Where the library for this processor is, once it is compiled."""
    key = hashlib.blake2b(digest_size=10)
    for source in (*SOURCES, _HEADER):
        key.update(source.read_bytes())
    key.update(repr((_command(cpp_compiler() or ""), torch.__version__)).encode())
    return folder / f"kernels_{key.hexdigest()}.so"


def _command(compiler: str) -> list[str]:
    libraries = Path(torch.__file__).parent / "lib"
    flags = [*_FLAGS, *_PROCESSOR.get(torch.backends.cpu.get_cpu_capability(), ())]
    link = [f"-L{libraries}", "-ltorch_cpu", f"-Wl,-rpath,{libraries}"]
    return [compiler, *flags, *map(str, SOURCES), *link]


def library() -> ctypes.CDLL | None:
    """What `prepare` has loaded, if it has."""
    return _loaded


def _compile(command: list[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        subprocess.run([*command, "-o", str(part)], check=True, capture_output=True, text=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """With the types of the functions' arguments: p pointer, n int, w int64, f float, d double."""
    kinds: dict[str, Any] = {
        "p": ctypes.c_void_p,
        "n": ctypes.c_int,
        "w": ctypes.c_int64,
        "f": ctypes.c_float,
        "d": ctypes.c_double,
    }
    for name, result, arguments in (
        ("rtvis_reduce", None, "pn wwwwww p nnn ff p"),
        ("rtvis_depthwise", None, "pppppppppp"),
        ("rtvis_ends", ctypes.c_int, "pp ww f pp"),
        ("rtvis_count", None, "pppp ww f ddd pp w pppppp"),
        ("rtvis_convolve_3x3", None, "pppppp"),
    ):
        function = getattr(found, name)
        function.restype = result
        function.argtypes = [kinds[kind] for kind in arguments.replace(" ", "")]
    return found


def can_reduce(maps_BCHW: Tensor) -> bool:
    """Whether the operations take maps of this dtype and layout."""
    _, num_units, height, width = maps_BCHW.shape
    _, unit, row, column = maps_BCHW.stride()
    are_rows_joined = height == 1 or width == 1 or row == width * column
    return maps_BCHW.dtype in DTYPES and (num_units == 1 or unit == 1) and are_rows_joined


def can_clamp(maps_BCHW: Tensor, low: float, high: float) -> bool:
    """Whether the bounds are numbers of the maps' dtype, as they must be."""
    return all(float(torch.tensor(end, dtype=maps_BCHW.dtype)) == end for end in (low, high))


def can_convolve(maps_BCHW: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether `convolve_depthwise` takes such maps, weights [C, 1, K, K] and a stride."""
    num_units, inputs, height, width = weight.shape
    return (
        maps_BCHW.dtype == torch.float32
        and maps_BCHW.is_contiguous(memory_format=torch.channels_last)
        and inputs == 1
        and num_units == maps_BCHW.shape[1]
        and num_units % 8 == 0
        and height == width
        and height in {3, 5}
        and stride <= height
    )


def affine_of(
    num_units: int,
    inverse_C11: Tensor | None,
    offset_C11: Tensor | None,
    scale_C11: Tensor | None,
    shift_C11: Tensor | None,
) -> Tensor:
    """The constants of `reduce_maps` as the operations take them: float32 [4, C]."""
    affine_4C = torch.tensor([[1.0], [0.0], [1.0], [0.0]]).repeat(1, num_units)
    for row, given in enumerate((inverse_C11, offset_C11, scale_C11, shift_C11)):
        if given is not None:
            affine_4C[row] = given.flatten()
    return affine_4C


def _reduced(
    value: Tensor, affine: Tensor, has_own: int, gate: int, *, clamp: tuple[float, float] | None
) -> Tensor:
    assert _loaded is not None, "prepare() comes first"
    assert can_reduce(value), f"maps of {value.dtype} {value.shape} {value.stride()}"
    num_pictures, num_units, height, width = value.shape
    numbers_5BC = torch.empty(5, num_pictures, num_units)
    low, high = clamp or (0.0, 0.0)
    _loaded.rtvis_reduce(
        value.data_ptr(),
        int(value.dtype != torch.float32),
        num_pictures,
        height * width,
        width,
        num_units,
        value.stride(0),
        value.stride(3 if width > 1 else 2),
        affine.data_ptr(),
        has_own,
        gate,
        int(clamp is not None),
        low,
        high,
        numbers_5BC.data_ptr(),
    )
    return numbers_5BC


def _reduce_maps(value: Tensor, affine: Tensor, has_own: int, gate: int) -> Tensor:
    return _reduced(value, affine, has_own, gate, clamp=None)


def _reduce_and_clamp(
    value: Tensor, affine: Tensor, has_own: int, low: float, high: float
) -> Tensor:
    return _reduced(value, affine, has_own, VALUE, clamp=(low, high))


def _convolve_depthwise(
    value: Tensor,
    affine: Tensor,
    low: float,
    high: float,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    top: int,
    left: int,
    out_height: int,
    out_width: int,
    out_affine: Tensor,
    out_low: float,
    out_high: float,
) -> tuple[Tensor, Tensor, Tensor]:
    assert _loaded is not None, "prepare() comes first"
    num_pictures, num_units, height, width = value.shape
    assert value.is_contiguous(memory_format=torch.channels_last), "the layout of the whole pass"
    assert value.dtype == torch.float32, "see can_convolve"
    assert num_units % 8 == 0, "see can_convolve"
    maps = out_height, out_width
    result_BCHW = torch.empty(num_pictures, num_units, *maps, memory_format=torch.channels_last)
    numbers_5BC, out_numbers_5BC = (torch.empty(5, num_pictures, num_units) for _ in range(2))
    kernel = weight.shape[0]
    size = num_pictures, height, width, num_units, *maps, kernel, stride, top, left
    tensors = value, None, affine, weight, bias, out_affine, None
    pointers = [None if each is None else each.data_ptr() for each in tensors]
    pointers[1] = ctypes.addressof(sizes := (ctypes.c_int64 * len(size))(*size))
    pointers[6] = ctypes.addressof(ends := (ctypes.c_float * 4)(low, high, out_low, out_high))
    made = result_BCHW, numbers_5BC, out_numbers_5BC
    _loaded.rtvis_depthwise(*pointers, *(each.data_ptr() for each in made))
    del sizes, ends  # they had to live until here
    return made


def _convolve_3x3(
    value: Tensor, weight: Tensor, bias: Tensor, padding: int, low: float, high: float
) -> Tensor:
    assert _loaded is not None, "prepare() comes first"
    assert value.stride(1) == 1, "units of a pixel lie side by side"
    result_BKHW = _shape_of_3x3(value, weight, bias, padding)
    batch, num_units, height, width = value.shape
    steps = value.stride(0), value.stride(2), value.stride(3)
    size = batch, height, width, num_units, *steps, len(bias), padding
    sizes, ends = (ctypes.c_int64 * len(size))(*size), (ctypes.c_float * 2)(low, high)
    _loaded.rtvis_convolve_3x3(
        value.data_ptr(),
        ctypes.addressof(sizes),
        weight.data_ptr(),
        bias.data_ptr(),
        ctypes.addressof(ends),
        result_BKHW.data_ptr(),
    )
    return result_BKHW


def _shape_of_3x3(value: Tensor, _weight: Tensor, bias: Tensor, padding: int, *_: Any) -> Tensor:
    batch, _num_units, height, width = value.shape
    grown = 2 * padding - 2
    result = value.new_empty(batch, bias.shape[0], height + grown, width + grown)
    return result.contiguous(memory_format=torch.channels_last)


def _shapes_of_depthwise(value: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    out_height, out_width = others[8:10]
    result = value.new_empty(*value.shape[:2], out_height, out_width)
    result = result.to(memory_format=torch.channels_last)
    return result, _shape(value), _shape(value)


def _shape(value: Tensor, *_: Any) -> Tensor:
    return value.new_empty(5, value.shape[0], value.shape[1], dtype=torch.float32)


for _name, _call, _fake in (
    ("reduce_maps", _reduce_maps, _shape),
    ("reduce_and_clamp", _reduce_and_clamp, _shape),
    ("convolve_depthwise", _convolve_depthwise, _shapes_of_depthwise),
    ("convolve_3x3", _convolve_3x3, _shape_of_3x3),
):
    _LIBRARY.impl(_name, _call, "CPU")
    torch.library.register_fake(f"rtvis::{_name}", _fake, lib=_LIBRARY)


def shims() -> dict[Any, list[str]]:
    """For inductor's `aot_inductor.custom_ops_to_c_shims`."""
    return {getattr(torch.ops.rtvis, name).default: [text] for name, text in SHIMS.items()}

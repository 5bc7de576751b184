"""Convolutions of 3 rows and columns by fewer multiplications, where our kernel takes them.

Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, section 4.1) needs 16 products for 4
results instead of 36, in the forward pass and, as the gradient at the input of such a convolution
is one too, on the way back. oneDNN has it no longer. Two cores of an AVX2 processor, 64 units at
56x56 to 256 at 14x14: half of oneDNN's time where the weights are in the cache, 0.65 to 0.75 of it
where they are not, as in a whole network; 512 at 7x7, which waits for weights: 0.8 and 0.95.
In float32 it is the more exact one: sums are shorter (largest error of those layers, relative to
float64: 4e-7 against 2e-6).
"""

import math
from typing import Final

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from rtvis.engine.flat.clamps import clamp_ends, is_clamp
from rtvis.engine.flat.graph import pair

aten = torch.ops.aten

VERSION: Final = 2
"""Part of an artifact's name, for what replaces a convolution is no part of the graph then."""

LEAST_TILES: Final = 16
"""Of 2x2 results, for which each weight is read once: with fewer the memory is what counts."""

_PANEL: Final = {"AVX2": 16, "AVX512": 32}
"""Results that the kernel computes side by side."""

_TO_PRODUCTS: Final = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
"""G of the paper: a kernel in the basis in which pixels are only multiplied."""


def panel() -> int:
    """How many results the kernel for this processor computes side by side; 0: there is none."""
    return _PANEL.get(torch.backends.cpu.get_cpu_capability(), 0)


def packed(weight_KC33: Tensor, panel: int) -> Tensor:
    """Kernels as `rtvis::convolve_3x3` takes them: [ceil(K / panel), 16, C, panel] float32."""
    num_results, num_units = weight_KC33.shape[:2]
    to_products_43 = torch.tensor(_TO_PRODUCTS, dtype=torch.float64)
    products = torch.einsum(
        "ia,kcab,jb->ijck", to_products_43, weight_KC33.double(), to_products_43
    ).reshape(16, num_units, num_results)
    padded = torch.nn.functional.pad(products, (0, -num_results % panel))
    by_panel = padded.reshape(16, num_units, -1, panel).permute(2, 0, 1, 3)
    return by_panel.to(torch.float32).contiguous()


def replace_convolutions(module: fx.GraphModule, examples: tuple[Tensor, ...]) -> int:
    """Let our kernel compute the convolutions that it takes, with the clamps behind them.

    Args:
        module: Is changed. On a CPU, in float32, its weights as attributes.
        examples: Inputs of the shapes and strides that it will be given.

    Returns:
        How many convolutions are replaced.
    """
    width = panel()
    if not width:
        return 0
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    FakeTensorProp(module, mode).propagate(*examples)
    convolutions = [n for n in module.graph.nodes if n.target is aten.convolution.default]
    taken = [node for node in convolutions if _is_taken(node, module)]
    for index, node in enumerate(taken):
        _replace(node, module, index, width)
    if taken:
        module.graph.eliminate_dead_code()
        _forget_unread(module)
        module.recompile()
    return len(taken)


def _is_taken(node: fx.Node, module: fx.GraphModule) -> bool:
    value, weight, bias, stride, padding, dilation, transposed, _out, groups = node.args
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or transposed or groups != 1:
        return False
    if bias is not None and not (isinstance(bias, fx.Node) and bias.op == "get_attr"):
        return False
    weight_KC33 = getattr(module, str(weight.target))
    assert isinstance(value, fx.Node)
    given, made = value.meta["val"], node.meta["val"]
    if weight_KC33.ndim != 4 or weight_KC33.shape[2:] != (3, 3) or made.dtype != torch.float32:
        return False
    rows, columns = pair(padding)
    batch, num_results, height, width = made.shape
    num_tiles = batch * math.ceil(height / 2) * math.ceil(width / 2)
    return (
        pair(stride) == pair(dilation) == (1, 1)
        and rows == columns <= 2
        and given.stride(1) == 1
        and given.shape[1] % 16 == 0
        and num_results % 16 == 0
        and num_tiles >= LEAST_TILES
    )


def _replace(node: fx.Node, module: fx.GraphModule, index: int, width: int) -> None:
    value, weight, bias, _stride, padding = node.args[:5]
    assert isinstance(weight, fx.Node)
    weight_KC33 = getattr(module, str(weight.target)).detach()
    bias_K = torch.zeros(len(weight_KC33))
    if isinstance(bias, fx.Node):
        bias_K = getattr(module, str(bias.target)).detach()
    given = {"weight": packed(weight_KC33, width), "bias": bias_K}
    last, (low, high) = _with_clamp(node)
    with module.graph.inserting_before(last):
        names = {f"winograd_{part}_{index}": tensor for part, tensor in given.items()}
        for name, tensor in names.items():
            module.register_buffer(name, tensor)
        constants = [module.graph.get_attr(name) for name in names]
        found = module.graph.call_function(
            torch.ops.rtvis.convolve_3x3.default,
            (value, *constants, pair(padding)[0], low, high),
        )
    last.replace_all_uses_with(found)


def _with_clamp(node: fx.Node) -> tuple[fx.Node, tuple[float, float]]:
    """The last node of what is computed in one go, and what that puts numbers between."""
    readers = list(node.users)
    if len(readers) != 1 or not is_clamp(readers[0]):
        return node, (-math.inf, math.inf)
    return readers[0], clamp_ends(readers[0])


def _forget_unread(module: fx.GraphModule) -> None:
    """Weights that no node reads any more would be kept in the artifact."""
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_buffers(recurse=False), *module.named_parameters(recurse=False)]:
        if name not in read:
            delattr(module, name)

"""How each operation passes a gradient back to what it read, with ReLU's rule as data."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import SOFTMAXES

aten = torch.ops.aten


class Thresholds(NamedTuple):
    """The rule as data: two tensors without dimensions, on the device; numbers make it fixed."""

    tx: Tensor | float
    tg: Tensor | float


Env = dict[fx.Node, Any]
Vjp = Callable[[fx.Node, Env, Any, Thresholds], Sequence[tuple[fx.Node, Tensor]]]


def env_shape(node: fx.Node) -> tuple[int, ...]:
    """Shape of a node's value."""
    return tuple(int(size) for size in node.meta["val"].shape)


def is_live(argument: Any) -> TypeGuard[fx.Node]:
    """Whether a gradient is wanted there: constants get none, and weights are constants."""
    return isinstance(argument, fx.Node) and argument.op != "get_attr"


def _value(env: Env, argument: Any) -> Any:
    return fx.node.map_arg(argument, lambda node: env[node])


def _relu(node: fx.Node, env: Env, g: Tensor, t: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return [(source, torch.where(env[node] > t.tx, clamped(g, t), 0.0))]


def _hardtanh(node: fx.Node, env: Env, g: Tensor, t: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    source: Any = node.args[0]
    low: Any = node.args[1] if len(node.args) > 1 else -1.0
    high: Any = node.args[2] if len(node.args) > 2 else 1.0
    y = env[node]
    # One choice within another: masks that are combined first cost three times as much.
    below_high = torch.where(y < high - t.tx, clamped(g, t), 0.0)
    return [(source, torch.where(y > t.tx + low, below_high, 0.0))]


def clamped(g: Tensor, t: Thresholds) -> Tensor:
    """What the rule lets through of the gradient itself."""
    return torch.maximum(g, t.tg) if isinstance(t.tg, Tensor) else g.clamp(min=t.tg)


def _smooth(node: fx.Node, env: Env, g: Tensor, t: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    written_out = _DERIVATIVES.get(node.target)
    if written_out is None:
        return generic(node, env, clamped(g, t), t)
    source: Any = node.args[0]
    return [(source, written_out(clamped(g, t), env[source], **node.kwargs))]


def _convolution(node: fx.Node, env: Env, g: Tensor, _: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    """The gradient at a convolution's input, and at a kernel that the network makes as it runs."""
    arguments: Any = node.args
    source, kernel, bias = arguments[:3]
    found = []
    if is_live(source):
        found.append((source, _at_input(arguments, env, g)))
    if is_live(kernel):
        found.append((kernel, _at_kernel(arguments, env, g)))
    if is_live(bias):
        found.append((bias, g.sum([0, *range(2, g.ndim)])))
    return found


def _at_kernel(arguments: Any, env: Env, g: Tensor) -> Tensor:
    source, kernel, _bias, *how = arguments
    grads = aten.convolution_backward.default(
        g, env[source], env[kernel], None, *how, [False, True, False]
    )
    at_kernel: Tensor = grads[1]
    return at_kernel


def _at_input(arguments: Any, env: Env, g: Tensor) -> Tensor:
    """As another convolution.

    With stride 1 it is an ordinary one with the flipped, transposed kernel, which packs and fuses
    like any other (20 % of the whole step on a CPU); with a stride it is a transposed one, but at
    a large first kernel, where one that computes the pixels between two strides as channels is
    faster (ResNet50's stem, one core: 3.5 against 8.4 ms), and at a 1x1 kernel.
    """
    source, weight_node, _bias, stride, padding, dilation, transposed, _out, groups = arguments
    weight = env[weight_node]
    stride, padding, dilation = (_per_axis(v, weight.ndim - 2) for v in (stride, padding, dilation))
    if transposed:
        return _convolved(g, weight, stride, padding, dilation, groups)
    spatial = env_shape(source)[2:]
    kernel = weight.shape[2:]
    full = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    if all(s == 1 for s in stride) and all(f >= 0 for f in full):
        return _convolved(g, flip_kernel(weight, groups), stride, full, dilation, groups)
    square = len(kernel) == 2 and stride[0] == stride[1] and all(d == 1 for d in dilation)
    if square and groups == 1 and weight.shape[1] <= 4 and min(kernel) > 2 * stride[0]:
        return _subpixel(g, weight, stride[0], padding, spatial)
    if len(kernel) == 2 and tuple(kernel) == (1, 1) and not any(padding):
        return _strided_pointwise(g, weight, stride, spatial, groups)
    reach = [
        (size - 1) * s - 2 * p + d * (k - 1) + 1
        for size, s, p, d, k in zip(g.shape[2:], stride, padding, dilation, kernel, strict=True)
    ]
    extra = [want - got for want, got in zip(spatial, reach, strict=True)]
    found: Tensor = aten.convolution.default(
        g, weight, None, stride, padding, dilation, True, extra, groups
    )
    return found


def _convolved(
    g: Tensor,
    kernel: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    found: Tensor = aten.convolution.default(
        g, kernel, None, stride, padding, dilation, False, [0] * len(stride), groups
    )
    return found


def flip_kernel(weight: Tensor, groups: int) -> Tensor:
    """The kernel of the convolution that carries gradients back through a stride-1 convolution."""
    out_units, in_units, *kernel = weight.shape
    grouped = weight.reshape(groups, out_units // groups, in_units, *kernel).transpose(1, 2)
    spatial = list(range(2, 2 + len(kernel)))
    return grouped.reshape(groups * in_units, out_units // groups, *kernel).flip(spatial)


def _strided_pointwise(
    g: Tensor, weight: Tensor, stride: Sequence[int], spatial: Sequence[int], groups: int
) -> Tensor:
    """The gradient at a strided 1x1 convolution's input: computed small, then spread out.

    The zeros between are part of the pointwise code around it; a transposed convolution computes
    them (512 to 256 units at 28x28, one core: 2.0 against 0.7 ms).
    """
    small = _convolved(g, flip_kernel(weight, groups), [1, 1], [0, 0], [1, 1], groups)
    sizes = [size * step for size, step in zip(small.shape[2:], stride, strict=True)]
    repeated = aten.upsample_nearest2d.default(small, sizes)
    rows, columns = (max(0, size - have) for size, have in zip(spatial, sizes, strict=True))
    if rows or columns:  # the stride left pixels over at the end
        repeated = aten.constant_pad_nd.default(repeated, [0, columns, 0, rows], 0.0)
    places_H, places_W = (torch.arange(size, device=g.device) for size in spatial)
    hit_HW = (places_H % stride[0] == 0)[:, None] & (places_W % stride[1] == 0)
    return torch.where(hit_HW, repeated[:, :, : spatial[0], : spatial[1]], 0.0)


def _subpixel(
    g: Tensor, weight: Tensor, stride: int, padding: Sequence[int], spatial: Sequence[int]
) -> Tensor:
    """The gradient at a strided convolution's input, its stride x stride phases as channels."""
    in_units = weight.shape[1]
    taps_h = _phase_taps(weight.shape[2], stride, padding[0])
    taps_w = _phase_taps(weight.shape[3], stride, padding[1])
    (low_h, high_h), (low_w, high_w) = (
        (min(t[2] for t in taps), max(t[2] for t in taps)) for taps in (taps_h, taps_w)
    )
    # One row per tap of the kernel: which phase and which place of the small kernel it goes to.
    spread_h = _selector(taps_h, stride, weight.shape[2], low_h, high_h, weight)
    spread_w = _selector(taps_w, stride, weight.shape[3], low_w, high_w, weight)
    small = torch.einsum("ocuv,uap,vbq->cabopq", weight, spread_h, spread_w)
    small = small.reshape(in_units * stride * stride, *small.shape[3:])
    rows, columns = (-(-size // stride) for size in spatial)
    pad_h = (-low_h, rows - 1 + high_h - (g.shape[2] - 1))
    pad_w = (-low_w, columns - 1 + high_w - (g.shape[3] - 1))
    padded = aten.constant_pad_nd.default(g, [*pad_w, *pad_h], 0.0)
    phases = _convolved(padded, small, [1, 1], [0, 0], [1, 1], 1)
    whole = torch.nn.functional.pixel_shuffle(phases, stride)
    return whole[:, :, : spatial[0], : spatial[1]]


def _phase_taps(kernel: int, stride: int, padding: int) -> list[tuple[int, int, int]]:
    """(tap, phase, offset): input pixel stride * i + phase gets tap from output i + offset."""
    return [
        (tap, phase, (phase + padding - tap) // stride)
        for phase in range(stride)
        for tap in range(kernel)
        if (phase + padding - tap) % stride == 0
    ]


def _selector(
    taps: Sequence[tuple[int, int, int]],
    stride: int,
    kernel: int,
    low: int,
    high: int,
    like: Tensor,
) -> Tensor:
    places = [[[0.0] * (high - low + 1) for _ in range(stride)] for _ in range(kernel)]
    for tap, phase, offset in taps:
        places[tap][phase][offset - low] = 1.0
    return torch.tensor(places, dtype=like.dtype)


def _per_axis(value: Any, ndim: int) -> list[int]:
    values = list(value)
    return values * ndim if len(values) == 1 else values


def _add(node: fx.Node, _: Env, g: Tensor, __: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    alpha: Any = node.kwargs.get("alpha", 1)
    left, right = node.args[:2]
    out = []
    if isinstance(left, fx.Node):
        out.append((left, unbroadcast(g, left)))
    if isinstance(right, fx.Node):
        out.append((right, unbroadcast(g if alpha == 1 else g * alpha, right)))
    return out


def _mul(node: fx.Node, env: Env, g: Tensor, _: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    left, right = node.args[:2]
    out = []
    if isinstance(left, fx.Node):
        out.append((left, unbroadcast(g * _value(env, right), left)))
    if isinstance(right, fx.Node):
        out.append((right, unbroadcast(g * _value(env, left), right)))
    return out


def unbroadcast(g: Tensor, node: fx.Node) -> Tensor:
    """Sum over the axes along which `node`'s value was repeated."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or value.shape == g.shape:
        return g
    extra = g.ndim - value.ndim
    axes = [*range(extra)]
    axes += [
        i + extra for i, size in enumerate(value.shape) if size == 1 and g.shape[i + extra] != 1
    ]
    return g.sum(axes, keepdim=True).reshape(value.shape) if axes else g


def _max_pool(node: fx.Node, env: Env, g: Any, _: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    source, kernel, stride, padding, dilation, ceil_mode = _pool_arguments(*node.args)
    switches = next(user for user in node.users if user.args[1] == 1)
    return [(source, aten.max_pool2d_with_indices_backward.default(
        g[0], env[source], kernel, stride, padding, dilation, ceil_mode, env[switches]
    ))]  # fmt: skip


def _pool_arguments(
    source: Any,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    ceil_mode: Any = False,
) -> tuple[Any, ...]:
    """A max-pool's arguments with its defaults; without a stride it is the kernel's size."""
    kernel = list(kernel)
    return source, kernel, list(stride) or kernel, list(padding), list(dilation), ceil_mode


def _softmax(node: fx.Node, env: Env, g: Tensor, _: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    """From what it computed: autograd's own formula, traced, would compute that once more."""
    source: Any = node.args[0]
    dim: Any = node.args[1]
    dtype = source.meta["val"].dtype
    return [(source, aten._softmax_backward_data.default(g, env[node], dim, dtype))]


def _getitem(node: fx.Node, _: Env, g: Tensor, __: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return [(source, g)]


def generic(node: fx.Node, env: Env, g: Any, _: Thresholds) -> list[tuple[fx.Node, Tensor]]:
    """Any other operation by autograd's own formula."""
    parents: list[fx.Node] = node.all_input_nodes
    active = [
        parent
        for parent in parents
        if is_live(parent)
        and isinstance(env.get(parent), Tensor)
        and env[parent].is_floating_point()
    ]

    def call(*values: Tensor) -> Any:
        inner = {**env, **dict(zip(active, values, strict=True))}
        target: Any = node.target
        result = target(*_value(inner, node.args), **_value(inner, node.kwargs))
        return tuple(result) if isinstance(result, list) else result

    if not active:  # a comparison or a cast of one
        return []
    with torch.enable_grad():
        leaves = [env[parent].detach().requires_grad_() for parent in active]
        results = call(*leaves)
        outputs, grads = _pair_up(results, g)
        if not outputs:  # detached
            return []
        found: Sequence[Tensor | None] = torch.autograd.grad(
            outputs, leaves, grads, allow_unused=True
        )
    return [(p, grad.detach()) for p, grad in zip(active, found, strict=True) if grad is not None]


def _pair_up(results: Any, g: Any) -> tuple[list[Tensor], list[Tensor]]:
    if isinstance(results, Tensor):
        results, g = [results], [g]
    together = zip(results, g, strict=True)
    pairs = [(r, each) for r, each in together if each is not None and r.requires_grad]
    return [r for r, _ in pairs], [each for _, each in pairs]


_DERIVATIVES: dict[Any, Any] = {
    aten.gelu.default: aten.gelu_backward.default,
    aten.silu.default: aten.silu_backward.default,
    aten.hardswish.default: aten.hardswish_backward.default,
}
"""The same that `generic` comes to, found sooner."""

VJPS: dict[Any, Vjp] = {
    aten.relu.default: _relu,
    aten.hardtanh.default: _hardtanh,
    aten.convolution.default: _convolution,
    aten.add.Tensor: _add,
    aten.mul.Tensor: _mul,
    aten.max_pool2d_with_indices.default: _max_pool,
    operator.getitem: _getitem,
    **dict.fromkeys(SOFTMAXES, _softmax),
    **dict.fromkeys(
        (
            aten.gelu.default,
            aten.silu.default,
            aten.hardswish.default,
            aten.leaky_relu.default,
            aten.elu.default,
            aten.mish.default,
            aten.softplus.default,
            aten.celu.default,
            aten._prelu_kernel.default,
        ),
        _smooth,
    ),
}

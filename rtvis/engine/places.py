"""Where in the picture the tokens of a layer lie, found by sending coordinates through the graph.

A dense layer on tokens computes [B * T, C]: which row belongs to which place of the picture is
decided far away, by a patch embedding, a class token put in front, a window partition, a roll, a
merge of four tokens into one. So every element of every value gets a coordinate, y + ix in input
pixels, and the graph is run on those: operations that move elements about move the coordinates
with them, a convolution or a mean takes the mean of what it reads, a matrix product gives each row
the mean of its own row, attention gives each query its own place, and what comes from no place (a
class or register token) is NaN.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from rtvis.engine.graph import depends_on, input_of, pair

aten = torch.ops.aten

_NOWHERE = complex(math.nan, math.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """How the tokens of one picture form a map."""

    map_size: tuple[int, int]
    rows: tuple[int, ...]
    """The token of each place of the map, places counted row by row."""
    others: tuple[int, ...]
    """Tokens that lie nowhere: class and register tokens."""
    stride: tuple[float, float]
    """Input pixels (rows, columns) between neighbouring places."""


def find_places(module: fx.GraphModule, wanted: Mapping[fx.Node, int]) -> dict[fx.Node, Tensor]:
    """The coordinates of the tokens of some nodes, complex64, NaN where they lie nowhere.

    Args:
        module: A flat graph with one input, its fake values in `meta["val"]`.
        wanted: For each node the axis along which a token's features lie: that axis is gone.
    """
    if not wanted:
        return {}
    tracker = _Tracker(module, wanted)
    with torch.no_grad():
        tracker.run(tracker.start())
    return tracker.found


def as_grid(coordinates_T: Tensor) -> Grid | None:
    """The grid that the tokens of a picture form; None where a place is missing or taken twice."""
    placed_T = ~coordinates_T.real.isnan()
    rows = placed_T.nonzero().flatten()
    if not len(rows):
        return None
    # Means of the same pixels in another order differ in the last bits.
    y = (coordinates_T.real[rows] * 64).round() / 64
    x = (coordinates_T.imag[rows] * 64).round() / 64
    # Sorting CaiT's 331,776 pairs of tokens only to find that out took most of its start.
    if bool(((y[1:] == y[:-1]) & (x[1:] == x[:-1])).any()):
        return None
    ys, row_of = torch.unique(y, return_inverse=True)
    xs, column_of = torch.unique(x, return_inverse=True)
    height, width = len(ys), len(xs)
    order = (row_of * width + column_of).argsort()
    places = (row_of * width + column_of)[order]
    complete = height * width == len(rows) and torch.equal(places, torch.arange(len(rows)))
    if not complete or len(rows) < 2:
        return None
    return Grid(
        map_size=(height, width),
        rows=tuple(rows[order].tolist()),
        others=tuple((~placed_T).nonzero().flatten().tolist()),
        stride=(_spacing(ys), _spacing(xs)),
    )


def _spacing(sorted_places: Tensor) -> float:
    if len(sorted_places) < 2:
        return 1.0
    return float((sorted_places[-1] - sorted_places[0]) / (len(sorted_places) - 1))


class _Tracker(fx.Interpreter):
    """Runs a flat graph on coordinates."""

    def __init__(self, module: fx.GraphModule, wanted: Mapping[fx.Node, int]) -> None:
        super().__init__(module)
        self._x = input_of(module.graph)
        self._live = depends_on(module.graph, [self._x])
        self._wanted = wanted
        self.found: dict[fx.Node, Tensor] = {}

    def start(self) -> Tensor:
        """The coordinates of the input's pixels."""
        shape = self._x.meta["val"].shape
        y = torch.arange(shape[-2], dtype=torch.float32)[:, None]
        x = torch.arange(shape[-1], dtype=torch.float32)[None, :]
        return torch.complex(y.expand(shape[-2:]), x.expand(shape[-2:])).expand(shape)

    def run_node(self, n: fx.Node) -> Any:
        """The coordinates of one node's value."""
        if n.op == "output":
            return None
        if n.op == "get_attr":
            return _of_constant(getattr(self.module, str(n.target)))
        if n.op == "placeholder" and n is not self._x:
            return _nowhere(n.meta["val"])
        if n.op != "call_function" or n not in self._live:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        result = _transfer(n, args, kwargs)
        if n in self._wanted:
            self.found[n] = _mean(result, (self._wanted[n],), keepdim=False)
        return result


def _of_constant(value: Tensor) -> Tensor:
    """Numbers that address something are needed; others lie nowhere."""
    return _nowhere(value) if value.is_floating_point() or value.is_complex() else value


def _nowhere(like: Any) -> Any:
    if isinstance(like, Tensor):
        return torch.full((), _NOWHERE, dtype=torch.complex64).expand(like.shape)
    if isinstance(like, list | tuple):
        return [_nowhere(each) for each in like]
    return like


def _transfer(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """Coordinates of a node's value from those of what it reads."""
    meta = node.meta["val"]
    target: Any = node.target
    if target in _MOVES:
        return _move(target, args, kwargs)
    rule = _RULES.get(target)
    if rule is not None:
        return rule(meta, args)
    operands = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.is_complex()]
    if not isinstance(meta, Tensor):
        return _nowhere(meta)
    if torch.Tag.pointwise not in getattr(target, "tags", ()):
        # What keeps the shape and moves nothing (a softmax, most activations) keeps the places;
        # what is written into a part of it (slice_scatter) has another shape.
        operands = [operand for operand in operands if operand.shape == meta.shape]
    return _agree(meta, operands) if operands else _nowhere(meta)


def _move(target: Any, args: Any, kwargs: Any) -> Any:
    if target is aten.constant_pad_nd.default:
        return target(args[0], args[1], _NOWHERE)
    return target(*args, **kwargs)


def _agree(meta: Tensor, operands: Sequence[Tensor]) -> Tensor:
    """Of an elementwise operation: the first operand that lies somewhere, element by element."""
    result = torch.full((), _NOWHERE, dtype=torch.complex64)
    for each in operands:
        result = torch.where(result.real.isnan(), _compact(each), result)
    return result.expand(meta.shape)


def _compact(value: Tensor) -> Tensor:
    """One element along each axis that repeats it: attention's T * T shrinks to T."""
    for axis, stride in enumerate(value.stride()):
        if stride == 0 and value.shape[axis] > 1:
            value = value.narrow(axis, 0, 1)
    return value


def _mean(value: Tensor, axes: Sequence[int], *, keepdim: bool) -> Tensor:
    """Mean of what lies somewhere; NaN where nothing does."""
    shape = list(value.shape)
    for axis in axes:
        shape[axis] = 1
    value = _compact(value)
    placed = ~value.real.isnan()
    total = torch.where(placed, value, 0).sum(tuple(axes), keepdim=True)
    mean = (total / placed.sum(tuple(axes), keepdim=True)).expand(shape)
    return mean if keepdim else mean.squeeze(tuple(axes))


def _vary(value: Tensor) -> bool:
    value = _compact(value)
    placed = value[~value.real.isnan()]
    return len(placed) > 1 and bool((placed - placed[0]).abs().max() > 1e-3)


def _product(meta: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Of a matrix product: each row's place, or each column's where the rows have one place."""
    rows = _mean(left, (-1,), keepdim=True)
    if right.is_complex() and not _vary(rows):
        columns = _mean(right, (-2,), keepdim=True)
        if _vary(columns):
            return columns.expand(meta.shape)
    return rows.expand(meta.shape)


def _addmm(meta: Tensor, args: Any) -> Tensor:
    return _product(meta, args[1], args[2])


def _mm(meta: Tensor, args: Any) -> Tensor:
    return _product(meta, args[0], args[1])


def _normalised(meta: Any, args: Any) -> Any:
    """Of a norm with several outputs: places stay, statistics lie nowhere."""
    return [args[0], *(_nowhere(each) for each in meta[1:])]


def _reduced(meta: Tensor, args: Any) -> Tensor:
    axes = args[1] if len(args) > 1 and args[1] is not None else range(args[0].ndim)
    axes = [axes] if isinstance(axes, int) else list(axes) or list(range(args[0].ndim))
    return _mean(args[0], axes, keepdim=True).reshape(meta.shape)


def _resized(meta: Tensor, args: Any) -> Tensor:
    size = tuple(meta.shape[-2:])
    value = _mean(args[0], (1,), keepdim=True)
    parts = (F.interpolate(part, size, mode="bilinear") for part in (value.real, value.imag))
    return torch.complex(*parts).expand(meta.shape)


def _pooled(meta: Any, args: Any) -> Any:
    kernel = pair(args[1])
    stride = pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = pair(args[3]) if len(args) > 3 else (0, 0)
    if isinstance(meta, Tensor):
        return _window(meta, args[0], kernel, stride, padding, (1, 1))
    dilation = pair(args[4]) if len(args) > 4 else (1, 1)
    return [_window(meta[0], args[0], kernel, stride, padding, dilation), _nowhere(meta[1])]


def _convolved(meta: Tensor, args: Any) -> Tensor:
    value, weight, _bias, stride, padding, dilation, transposed = args[:7]
    if meta.ndim != 4:
        return torch.full(meta.shape, _NOWHERE, dtype=torch.complex64)
    if transposed:
        return _resized(meta, args)
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    return _window(meta, value, kernel, pair(stride), pair(padding), pair(dilation))


def _window(
    meta: Tensor,
    value: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """The place at the middle of each window, also where the window reaches past the edge."""
    value = _mean(value, (1,), keepdim=True)
    for axis in (0, 1):
        first = dilation[axis] * (kernel[axis] - 1) / 2 - padding[axis]
        value = _sampled(value, 2 + axis, first, stride[axis], meta.shape[2 + axis])
    return value.expand(meta.shape)


def _sampled(value: Tensor, axis: int, first: float, step: int, count: int) -> Tensor:
    """`count` samples along an axis from index `first` on, between and beyond what is there."""
    wanted = first + step * torch.arange(count, dtype=torch.float32)
    length = value.shape[axis]
    below = wanted.floor().clamp(0, max(length - 2, 0)).long()
    above = (below + 1).clamp(max=length - 1)
    share = (wanted - below).reshape([-1 if d == axis else 1 for d in range(value.ndim)])
    low, high = value.index_select(axis, below), value.index_select(axis, above)
    # Whole indices read one sample only: its neighbour may lie nowhere.
    return torch.where(share == 0, low, low + (high - low) * share)


def _unfolded(_meta: Tensor, args: Any) -> Tensor:
    """Windows as columns; what reaches past the edge lies nowhere."""
    value, kernel, dilation, padding, stride = args
    rows, columns = pair(padding)
    value = aten.constant_pad_nd.default(value, [columns, columns, rows, rows], _NOWHERE)
    parts = (
        F.unfold(part, pair(kernel), dilation=pair(dilation), stride=pair(stride))
        for part in (value.real, value.imag)
    )
    return torch.complex(*parts)


def _getitem(_meta: Any, args: Any) -> Any:
    return args[0][args[1]]


_MOVES = {
    aten.reshape.default,
    aten.permute.default,
    aten.transpose.int,
    aten.t.default,
    aten.expand.default,
    aten.slice.Tensor,
    aten.select.int,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.squeeze.default,
    aten.unsqueeze.default,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.unbind.int,
    aten.cat.default,
    aten.stack.default,
    aten.roll.default,
    aten.flip.default,
    aten.index_select.default,
    aten.index.Tensor,
    aten.constant_pad_nd.default,
    aten.repeat.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
}
"""Operations that only move elements: the coordinates move with them."""

_RULES: dict[Any, Callable[[Any, Any], Any]] = {
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
    aten.bmm.default: _mm,
    aten.baddbmm.default: _addmm,
    aten.native_layer_norm.default: _normalised,
    aten.native_group_norm.default: _normalised,
    aten.native_batch_norm.default: _normalised,
    aten._native_batch_norm_legit_no_training.default: _normalised,
    aten.mean.dim: _reduced,
    aten.sum.dim_IntList: _reduced,
    aten.amax.default: _reduced,
    aten.max_pool2d_with_indices.default: _pooled,
    aten.avg_pool2d.default: _pooled,
    aten._adaptive_avg_pool2d.default: _resized,
    aten.im2col.default: _unfolded,
    aten.upsample_bilinear2d.vec: _resized,
    aten.upsample_nearest2d.vec: _resized,
    aten.upsample_bicubic2d.vec: _resized,
    aten.upsample_bilinear2d.default: _resized,
    aten.upsample_nearest2d.default: _resized,
    aten.upsample_bicubic2d.default: _resized,
    aten.convolution.default: _convolved,
    operator.getitem: _getitem,
}

"""What each operation does to the places of the elements that it reads (see `places`)."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from rtvis.engine.flat.graph import pair

aten = torch.ops.aten

_NOWHERE = complex(math.nan, math.nan)


def nowhere(like: Any) -> Any:
    """The coordinates of a value that comes from no place, or of several."""
    if isinstance(like, Tensor):
        return torch.full((), _NOWHERE, dtype=torch.complex64).expand(like.shape)
    if isinstance(like, list | tuple):
        return [nowhere(each) for each in like]
    return like


def transfer(node: fx.Node, args: Any, kwargs: Any) -> Any:
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
        return nowhere(meta)
    if torch.Tag.pointwise not in getattr(target, "tags", ()):
        # What keeps the shape and moves nothing (a softmax, most activations) keeps the places;
        # what is written into a part of it (slice_scatter) has another shape.
        operands = [operand for operand in operands if operand.shape == meta.shape]
    return _agree(meta, operands) if operands else nowhere(meta)


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


def mean_place(value: Tensor, axes: Sequence[int], *, keepdim: bool) -> Tensor:
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
    rows = mean_place(left, (-1,), keepdim=True)
    if right.is_complex() and not _vary(rows):
        columns = mean_place(right, (-2,), keepdim=True)
        if _vary(columns):
            return columns.expand(meta.shape)
    return rows.expand(meta.shape)


def _addmm(meta: Tensor, args: Any) -> Tensor:
    return _product(meta, args[1], args[2])


def _mm(meta: Tensor, args: Any) -> Tensor:
    return _product(meta, args[0], args[1])


def _normalised(meta: Any, args: Any) -> Any:
    """Of a norm with several outputs: places stay, statistics lie nowhere."""
    return [args[0], *(nowhere(each) for each in meta[1:])]


def _reduced(meta: Tensor, args: Any) -> Tensor:
    axes = args[1] if len(args) > 1 and args[1] is not None else range(args[0].ndim)
    axes = [axes] if isinstance(axes, int) else list(axes) or list(range(args[0].ndim))
    return mean_place(args[0], axes, keepdim=True).reshape(meta.shape)


def _resized(meta: Tensor, args: Any) -> Tensor:
    size = tuple(meta.shape[-2:])
    value = mean_place(args[0], (1,), keepdim=True)
    parts = (F.interpolate(part, size, mode="bilinear") for part in (value.real, value.imag))
    return torch.complex(*parts).expand(meta.shape)


def _pooled(meta: Any, args: Any) -> Any:
    kernel = pair(args[1])
    stride = pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = pair(args[3]) if len(args) > 3 else (0, 0)
    if isinstance(meta, Tensor):
        return _window(meta, args[0], kernel, stride, padding, (1, 1))
    dilation = pair(args[4]) if len(args) > 4 else (1, 1)
    return [_window(meta[0], args[0], kernel, stride, padding, dilation), nowhere(meta[1])]


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
    value = mean_place(value, (1,), keepdim=True)
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

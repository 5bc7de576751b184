"""How what only moves elements, and matrix products, pass a gradient back.

`generic` could do all of these by autograd's own formula and writes the same operations; but it
traces a forward operation, a leaf and several aliases for each, and most of a transformer's
operations are of this kind: written out they halve the time of a start.
"""

import math
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.engine.flat.vjps import (
    VJPS,
    Env,
    Thresholds,
    Vjp,
    env_shape,
    generic,
    is_live,
    unbroadcast,
)

aten = torch.ops.aten

_Grads = list[tuple[fx.Node, Tensor]]


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source


def _reshaped(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    source = _source(node)
    return [(source, aten.reshape.default(g, env_shape(source)))]


def _permuted(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    axes: Any = node.args[1]
    inverse = sorted(range(len(axes)), key=lambda place: axes[place] % len(axes))
    return [(_source(node), aten.permute.default(g, inverse))]


def _transposed(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    first: Any = node.args[1]
    second: Any = node.args[2]
    return [(_source(node), aten.transpose.int(g, first, second))]


def _turned(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    return [(_source(node), aten.t.default(g))]


def _expanded(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    source = _source(node)
    return [(source, unbroadcast(g, source))]


def _sliced(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    source = _source(node)
    given: list[Any] = list(node.args[1:])
    dim, start, end, step = given + [0, None, None, 1][len(given) :]
    shape = env_shape(source)
    start, end = start or 0, shape[dim] if end is None else end
    return [(source, aten.slice_backward.default(g, shape, dim, start, end, step))]


def _selected(node: fx.Node, _env: Env, g: Tensor, _: Thresholds) -> _Grads:
    source, dim, index = node.args
    assert isinstance(source, fx.Node)
    return [(source, aten.select_backward.default(g, env_shape(source), dim, index))]


def _joined(node: fx.Node, env: Env, g: Tensor, t: Thresholds) -> _Grads:
    parts: Any = node.args[0]
    dim: Any = node.args[1] if len(node.args) > 1 else 0
    if any(len(env_shape(part)) != g.ndim for part in parts):  # cat also takes empty vectors
        return generic(node, env, g, t)
    found: _Grads = []
    first = 0
    for part in parts:
        length = env_shape(part)[dim]
        if is_live(part):
            found.append((part, aten.slice.Tensor(g, dim, first, first + length)))
        first += length
    return _summed(found)


def _summed(found: _Grads) -> _Grads:
    """One gradient each, also of what is read twice."""
    sums: dict[fx.Node, Tensor] = {}
    for node, grad in found:
        sums[node] = sums[node] + grad if node in sums else grad
    return list(sums.items())


def _product(node: fx.Node, env: Env, g: Tensor, _: Thresholds) -> _Grads:
    left, right = node.args[:2]
    return _of_factors(left, right, env, g)


def _of_factors(left: Any, right: Any, env: Env, g: Tensor) -> _Grads:
    """Of a product of matrices, or of stacks of them."""
    multiply = aten.mm.default if g.ndim == 2 else aten.bmm.default

    def turned(matrix: Tensor) -> Tensor:
        swapped: Tensor = (
            aten.t.default(matrix) if g.ndim == 2 else aten.transpose.int(matrix, 1, 2)
        )
        return swapped

    found: _Grads = []
    if is_live(left):
        found.append((left, multiply(g, turned(env[right]))))
    if is_live(right):
        found.append((right, multiply(turned(env[left]), g)))
    return _summed(found)


def _product_and_sum(node: fx.Node, env: Env, g: Tensor, t: Thresholds) -> _Grads:
    bias, left, right = node.args
    if node.kwargs:  # scaled
        return generic(node, env, g, t)
    found = _of_factors(left, right, env, g)
    if is_live(bias):
        found.append((bias, unbroadcast(g, bias)))
    return _summed(found)


def _averaged(node: fx.Node, env: Env, g: Tensor, t: Thresholds) -> _Grads:
    source = _source(node)
    axes: Any = node.args[1] if len(node.args) > 1 else None
    if not axes or node.kwargs:
        return generic(node, env, g, t)
    shape = env_shape(source)
    kept = [1 if i in {axis % len(shape) for axis in axes} else n for i, n in enumerate(shape)]
    count = math.prod(shape) // math.prod(kept)
    return [(source, aten.expand.default(g.reshape(kept), shape) / count)]


LINEAR_VJPS: dict[Any, Vjp] = {
    **dict.fromkeys(
        (
            aten.reshape.default,
            aten.unsqueeze.default,
            aten.squeeze.default,
            aten.squeeze.dim,
            aten.squeeze.dims,
        ),
        _reshaped,
    ),
    aten.permute.default: _permuted,
    aten.transpose.int: _transposed,
    aten.t.default: _turned,
    aten.expand.default: _expanded,
    aten.slice.Tensor: _sliced,
    aten.select.int: _selected,
    aten.cat.default: _joined,
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _product_and_sum,
    aten.mean.dim: _averaged,
}


def vjp_of(target: Any) -> Vjp:
    """How an operation passes a gradient back to what it read."""
    return VJPS.get(target) or LINEAR_VJPS.get(target) or generic

"""Receptive fields of all nodes of a flat graph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import depends_on, input_of, pair
from rtvis.engine.flat.planes import Plane, plain_plane, plane_behind

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Field:
    """What a neuron can depend on, and how far neighbours are apart, in input pixels."""

    height: int
    width: int
    stride_h: float
    stride_w: float
    top: float = 0.0
    """First row of the field of the neurons in the first row; negative where it reaches into the
    padding. Those of the next row begin `stride_h` further down."""
    left: float = 0.0
    is_whole: bool = False
    """The neuron can depend on the whole input; what comes behind it can, too."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A convolution or pooling, (rows, columns) each."""

    kernel: tuple[int, int]
    dilation: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    is_transposed: bool = False


_POOLS = {
    # target: positions of kernel size, stride, padding and dilation among the arguments
    aten.max_pool2d_with_indices.default: (1, 2, 3, 4),
    aten.avg_pool2d.default: (1, 2, 3, None),
}


def receptive_fields(graph: fx.Graph) -> dict[fx.Node, Field]:
    """Receptive field and stride of a neuron of every node, by the usual recurrence.

    An operation that mixes positions in a way that is not a window (a mean over the picture, a
    flatten, attention) sees the whole input from there on. The places of its map, where it has
    one, then lie as far apart as they share the input.
    """
    x = input_of(graph)
    input_size = tuple(int(size) for size in x.meta["val"].shape[-2:])
    fields = {x: Field(1, 1, 1.0, 1.0)}
    planes: dict[fx.Node, Plane | None] = {x: plain_plane(x.meta["val"].shape)}
    live = depends_on(graph, [x])
    for node in graph.nodes:
        if node is x or node not in live or node.op == "output":
            continue
        sources = [parent for parent in node.all_input_nodes if parent in fields]
        planes[node] = plane_behind(node, planes)
        if planes[node] is None:
            fields[node] = _whole(node, input_size)
            continue
        field = _around([fields[source] for source in sources])
        before = planes[sources[0]]
        assert before is not None, "a plane comes from a plane"
        fields[node] = _behind(node, field, before)
    return fields


def _behind(node: fx.Node, field: Field, before: Plane) -> Field:
    """The field of a neuron of `node`, from that of one it reads."""
    window = _window_of(node)
    if window is not None:
        return _through_window(field, window)
    if node.target is aten.constant_pad_nd.default and before.is_plain:
        pads: Any = node.args[1]
        left, _, top, _ = (*pads, 0, 0)[:4]
        top, left = field.top - top * field.stride_h, field.left - left * field.stride_w
        return replace(field, top=top, left=left)
    if node.target is aten.slice.Tensor and before.is_plain:
        return _through_slice(field, node, before)
    return field


def _whole(node: fx.Node, input_size: tuple[int, ...]) -> Field:
    height, width = input_size
    value = node.meta.get("val")
    rows, columns = 1, 1
    if isinstance(value, Tensor) and value.ndim == 4:
        rows, columns = value.shape[-2:]
    # A value may be empty: Qwen3 splits off register tokens that it does not have.
    return Field(height, width, height / max(rows, 1), width / max(columns, 1), is_whole=True)


def _around(fields: Sequence[Field]) -> Field:
    """What several neurons at one place can depend on together."""
    top, left = min(f.top for f in fields), min(f.left for f in fields)
    return Field(
        height=math.ceil(max(f.top + f.height for f in fields) - top),
        width=math.ceil(max(f.left + f.width for f in fields) - left),
        stride_h=max(f.stride_h for f in fields),
        stride_w=max(f.stride_w for f in fields),
        top=top,
        left=left,
    )


def _window_of(node: fx.Node) -> _Window | None:
    if node.target is aten.convolution.default:
        weight: Any = node.args[1]
        kernel_h, kernel_w = weight.meta["val"].shape[-2:]
        return _Window(
            kernel=(int(kernel_h), int(kernel_w)),
            dilation=pair(node.args[5]),
            stride=pair(node.args[3]),
            padding=pair(node.args[4]),
            is_transposed=bool(node.args[6]),
        )
    target: Any = node.target
    if target not in _POOLS:
        return None
    kernel, stride, padding, dilation = (
        node.args[at] if at is not None and at < len(node.args) else None for at in _POOLS[target]
    )
    return _Window(
        kernel=pair(kernel),
        dilation=pair(dilation or 1),
        stride=pair(stride or kernel),
        padding=pair(padding or 0),
    )


def _through_window(field: Field, window: _Window) -> Field:
    top, height, stride_h = _along(field.top, field.height, field.stride_h, window, axis=0)
    left, width, stride_w = _along(field.left, field.width, field.stride_w, window, axis=1)
    return Field(height, width, stride_h, stride_w, top, left)


def _along(
    start: float, size: int, stride: float, window: _Window, *, axis: int
) -> tuple[float, int, float]:
    """(start, size, stride) behind a window, along one axis."""
    reach = (window.kernel[axis] - 1) * window.dilation[axis]
    step, padding = window.stride[axis], window.padding[axis]
    if window.is_transposed:
        # Neuron i reads those from (i + padding - reach) / step to (i + padding) / step: of these
        # bounds the fractions count too, for which neurons are left out differs with i.
        first = (padding - reach) / step
        return start + first * stride, math.ceil(size + reach / step * stride), stride / step
    return start - padding * stride, math.ceil(size + reach * stride), stride * step


def _through_slice(field: Field, node: fx.Node, before: Plane) -> Field:
    """The rows or columns that are left, of a value [B, C, H, W]."""
    args: Any = (*node.args[1:], None, None, None, None)
    axis, first, step = int(args[0] or 0) % 4, int(args[1] or 0), int(args[3] or 1)
    if axis < 2:
        return field
    if first < 0:
        first = max(first + before.shape[axis], 0)
    if axis == 2:
        top = field.top + first * field.stride_h
        return replace(field, top=top, stride_h=field.stride_h * step)
    left = field.left + first * field.stride_w
    return replace(field, left=left, stride_w=field.stride_w * step)

"""Receptive fields of all nodes of a flat graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.engine.graph import depends_on, input_of, is_getitem, pair

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Field:
    """What a neuron can depend on, and how far neighbours are apart, in input pixels."""

    height: int
    width: int
    stride_h: float
    stride_w: float
    is_whole: bool = False
    """The neuron can depend on the whole input; what comes behind it can, too."""


_WINDOWED = {
    # target: positions of (kernel size, stride, padding-free dilation) among the arguments
    aten.max_pool2d_with_indices.default: (1, 2, 4),
    aten.avg_pool2d.default: (1, 2, None),
}

_POINTWISE_TAGS = {torch.Tag.pointwise}

_SHAPE_KEEPING = {
    aten.constant_pad_nd.default,
    aten.cat.default,
    aten.native_group_norm.default,
    aten.native_layer_norm.default,
    aten.slice.Tensor,
    aten.permute.default,
    aten.transpose.int,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.relu.default,
    aten.hardtanh.default,
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
    live = depends_on(graph, [x])
    for node in graph.nodes:
        if node is x or node not in live or node.op == "output":
            continue
        sources = [parent for parent in node.all_input_nodes if parent in fields]
        field = _widest([fields[source] for source in sources])
        window = _window_of(node)
        if field.is_whole or (window is None and not _keeps_positions(node, sources)):
            field = _whole(node, input_size)
        elif window is not None:
            field = _through_window(field, node, *window)
        fields[node] = field
    return fields


def _whole(node: fx.Node, input_size: tuple[int, ...]) -> Field:
    height, width = input_size
    rows, columns = _plane(node) or (1, 1)
    return Field(height, width, height / rows, width / columns, is_whole=True)


def _widest(fields: Sequence[Field]) -> Field:
    return Field(
        max(f.height for f in fields),
        max(f.width for f in fields),
        max(f.stride_h for f in fields),
        max(f.stride_w for f in fields),
        is_whole=any(f.is_whole for f in fields),
    )


def _window_of(node: fx.Node) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(kernel size, dilation) of a convolution or pooling in two dimensions."""
    if node.target is aten.convolution.default and node.meta["val"].ndim == 4:
        weight: Any = node.args[1]
        kernel_h, kernel_w = weight.meta["val"].shape[-2:]
        return (int(kernel_h), int(kernel_w)), pair(node.args[5])
    if node.target in _WINDOWED:
        kernel_at, _, dilation_at = _WINDOWED[node.target]
        dilation: Any = 1
        if dilation_at is not None and len(node.args) > dilation_at:
            dilation = node.args[dilation_at]
        return pair(node.args[kernel_at]), pair(dilation)
    return None


def _through_window(
    field: Field,
    node: fx.Node,
    kernel: tuple[int, int],
    dilation: tuple[int, int],
) -> Field:
    stride_h, stride_w = _strides(node)
    return Field(
        height=round(field.height + (kernel[0] - 1) * dilation[0] * field.stride_h),
        width=round(field.width + (kernel[1] - 1) * dilation[1] * field.stride_w),
        stride_h=field.stride_h * stride_h,
        stride_w=field.stride_w * stride_w,
    )


def _strides(node: fx.Node) -> tuple[float, float]:
    if node.target is aten.convolution.default:
        stride_h, stride_w = pair(node.args[3])
        if node.args[6]:  # transposed: the map grows
            return 1 / stride_h, 1 / stride_w
        return stride_h, stride_w
    target: Any = node.target
    kernel_at, stride_at, _ = _WINDOWED[target]
    stride: Any = node.args[stride_at] if len(node.args) > stride_at else None
    return pair(stride or node.args[kernel_at])


def _keeps_positions(node: fx.Node, sources: Sequence[fx.Node]) -> bool:
    if is_getitem(node):
        return True
    if node.target is aten.flip.default:  # of channels: RGB to BGR
        dims: Any = node.args[1]
        return all(dim % 4 < 2 for dim in dims) and node.meta["val"].ndim == 4
    tags = set(getattr(node.target, "tags", ()))
    if node.target not in _SHAPE_KEEPING and not tags & _POINTWISE_TAGS:
        return False
    return all(_plane(source) == _plane(node) or _plane(source) is None for source in sources) or (
        node.target in _SHAPE_KEEPING
    )


def _plane(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    return tuple(value.shape[-2:]) if isinstance(value, Tensor) and value.ndim == 4 else None

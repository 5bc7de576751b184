"""Where rows and columns of the picture are in each value of a flat graph.

A map may be [B, C, H, W], [B, H, W, C], rows of tokens [B * H * W, C] or any shape between. Laid
end to end, neighbours down a column are then always some number of elements apart, and neighbours
along a row another number: that is what a `Plane` holds. A reshape changes neither.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import is_getitem

aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """The rows and columns of one value, laid end to end."""

    shape: tuple[int, ...]
    """Of the value."""
    height: int
    width: int
    row_step: int
    """Elements between neighbours down a column."""
    column_step: int
    """Elements between neighbours along a row."""

    @property
    def is_plain(self) -> bool:
        """Whether the value is [B, C, H, W]."""
        return self == plain_plane(self.shape)


def plain_plane(shape: Sequence[int]) -> Plane | None:
    """That of [B, C, H, W]; None of another number of axes."""
    if len(shape) != 4:
        return None
    _, _, height, width = (int(size) for size in shape)
    return Plane(
        shape=tuple(int(size) for size in shape),
        height=height,
        width=width,
        row_step=width,
        column_step=1,
    )


def plane_behind(node: fx.Node, planes: Mapping[fx.Node, Plane | None]) -> Plane | None:
    """The plane of a node's value, from those of what it reads.

    Args:
        node: It reads at least one node of `planes`.
        planes: Of the nodes before it that depend on the picture.

    Returns:
        None where positions are mixed or moved in another way than by windows, padding and cuts.
    """
    found = [planes[parent] for parent in node.all_input_nodes if parent in planes]
    known = [plane for plane in found if plane is not None]
    shape = _shape(node)
    if shape is None or len(known) != len(found):
        return None
    if is_getitem(node):
        return _resized(known[0], shape)
    target: Any = node.target
    rule = _RULES.get(target)
    if rule is None and torch.Tag.pointwise in getattr(target, "tags", ()):
        rule = _pointwise
    return rule(node, known, shape) if rule is not None else None


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    if isinstance(value, list | tuple) and value:
        value = value[0]
    return tuple(int(size) for size in value.shape) if isinstance(value, Tensor) else None


def _steps(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _axes(plane: Plane) -> tuple[int, int] | None:
    """The axes in which its rows and columns lie, which may be one and the same."""
    row_axis = _axis(plane.shape, plane.row_step, plane.height)
    column_axis = _axis(plane.shape, plane.column_step, plane.width)
    return None if row_axis is None or column_axis is None else (row_axis, column_axis)


def _axis(shape: Sequence[int], step: int, size: int) -> int | None:
    """The axis that `size` elements, each `step` behind the last, lie in."""
    found = [
        axis
        for axis, (own, length) in enumerate(zip(_steps(shape), shape, strict=True))
        if own <= step and step % own == 0 and step * size <= own * length
    ]
    # A single row or column may seem to lie in any axis: take one of its length.
    return min(found, key=lambda axis: (size == 1 and shape[axis] != 1, axis), default=None)


def _moved(plane: Plane, axes: Sequence[int], shape: tuple[int, ...]) -> Plane | None:
    """The plane of `shape`, axis i of which was axis `axes[i]`; lengths may differ elsewhere."""
    own = _axes(plane)
    if own is None or any(axis not in axes for axis in own):
        return None
    before, behind = _steps(plane.shape), _steps(shape)
    places = [list(axes).index(axis) for axis in own]
    return Plane(
        shape=shape,
        height=plane.height,
        width=plane.width,
        row_step=plane.row_step // before[own[0]] * behind[places[0]],
        column_step=plane.column_step // before[own[1]] * behind[places[1]],
    )


def _resized(plane: Plane, shape: tuple[int, ...]) -> Plane | None:
    """The plane after axes were cut, padded or joined; one that holds rows or columns holds
    nothing else, or it is lost."""
    if plane.shape == shape:
        return plane
    axes = _axes(plane)
    if axes is None or len(shape) != len(plane.shape):
        return None
    found = _moved(plane, range(len(shape)), shape)
    changed = [i for i, (a, b) in enumerate(zip(plane.shape, shape, strict=True)) if a != b]
    if found is None or not set(changed) & set(axes):
        return found
    if axes[0] == axes[1] or plane.shape[axes[0]] != plane.height:
        return None
    if plane.shape[axes[1]] != plane.width:
        return None
    return replace(found, height=shape[axes[0]], width=shape[axes[1]])


def _same(planes: Sequence[Plane | None]) -> Plane | None:
    """The one that all of them are; None where they differ."""
    return planes[0] if all(plane == planes[0] for plane in planes) else None


Shape: TypeAlias = tuple[int, ...]
Rule: TypeAlias = Callable[[fx.Node, list[Plane], Shape], Plane | None]
"""Node, the planes of what it reads, the shape of its value -> its plane."""


def _windowed(_: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    return plain_plane(shape) if known[0].is_plain else None


def _reshaped(_: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    same_size = math.prod(known[0].shape) == math.prod(shape)
    return replace(known[0], shape=shape) if same_size else None


def _permuted(node: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    order = list(range(len(shape)))
    if node.target is aten.permute.default:
        dims: Any = node.args[1]
        order = [int(dim) % len(shape) for dim in dims]
    else:
        ends: Any = (0, 1) if node.target is aten.t.default else node.args[1:3]
        one, other = ends
        order[one], order[other] = order[other], order[one]
    return _moved(known[0], order, shape)


def _cut_or_padded(_: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    return _resized(known[0], shape)


def _split(_: fx.Node, known: list[Plane], __: Shape) -> Plane | None:
    return known[0]  # of all of it; what takes one of its parts finds that one's


def _joined(node: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    dim: Any = node.args[1] if len(node.args) > 1 else 0
    axes = _axes(known[0])
    if axes is None or int(dim) % len(shape) in axes:
        return None
    return _same([_resized(plane, shape) for plane in known])


def _matrix(node: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    """Rows of tokens times a matrix of weights."""
    left: Any = node.args[1] if node.target is aten.addmm.default else node.args[0]
    if len(known) != 1 or tuple(left.meta["val"].shape) != known[0].shape:
        return None
    return _moved(known[0], (0, 1), shape) if _axes(known[0]) == (0, 0) else None


def _reduced(node: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    dims: Any = node.args[1] if len(node.args) > 1 else ()
    num_axes, axes = len(known[0].shape), _axes(known[0])
    gone = {int(dim) % num_axes for dim in ([dims] if isinstance(dims, int) else dims or ())}
    if not gone or axes is None or gone & set(axes):
        return None
    keeps = len(shape) == num_axes
    kept = [axis for axis in range(num_axes) if keeps or axis not in gone]
    return _moved(known[0], kept, shape)


def _pooled(node: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    """A mean over neighbouring units alone, as in a local response normalisation."""
    axes, num_axes = _axes(known[0]), len(shape)
    given: Any = (*node.args[1:4], None, None)
    kernel, stride, padding = given[0], given[1] or given[0], given[2] or 0
    if axes is None or min(axes) < num_axes - 3:
        return None
    for axis in axes:
        at = axis - num_axes
        if (_at(kernel, at), _at(stride, at), _at(padding, at)) != (1, 1, 0):
            return None
    return _resized(known[0], shape)


def _at(value: Any, axis: int) -> int:
    """Of a number for each axis, or one for all."""
    return int(value if isinstance(value, int) else value[axis if len(value) > 1 else 0])


def _flipped(node: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    dims: Any = node.args[1]
    axes = _axes(known[0])
    if axes is None or any(dim % len(shape) in axes for dim in dims):
        return None
    return known[0]


def _pointwise(_: fx.Node, known: list[Plane], shape: Shape) -> Plane | None:
    return _same([_broadcast(plane, shape) for plane in known])


def _broadcast(plane: Plane, shape: Shape) -> Plane | None:
    """The plane of an operand in a result of that shape."""
    if len(plane.shape) > len(shape):
        return None
    padded = replace(plane, shape=(*(1,) * (len(shape) - len(plane.shape)), *plane.shape))
    return _moved(padded, range(len(shape)), shape)


_RULES: Final[Mapping[Any, Rule]] = {
    aten.convolution.default: _windowed,
    aten.max_pool2d_with_indices.default: _windowed,
    aten.avg_pool2d.default: _windowed,
    aten.avg_pool3d.default: _pooled,
    aten.reshape.default: _reshaped,
    aten.view.default: _reshaped,
    aten._unsafe_view.default: _reshaped,
    aten.squeeze.default: _reshaped,
    aten.squeeze.dim: _reshaped,
    aten.squeeze.dims: _reshaped,
    aten.unsqueeze.default: _reshaped,
    aten.clone.default: _reshaped,
    aten.alias.default: _reshaped,
    aten.permute.default: _permuted,
    aten.transpose.int: _permuted,
    aten.t.default: _permuted,
    aten.slice.Tensor: _cut_or_padded,
    aten.constant_pad_nd.default: _cut_or_padded,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.cat.default: _joined,
    aten.addmm.default: _matrix,
    aten.mm.default: _matrix,
    aten.mean.dim: _reduced,
    aten.sum.dim_IntList: _reduced,
    aten.flip.default: _flipped,
    # Normalisations mix positions, all but weakly: a receptive field is told without them.
    aten.native_group_norm.default: _pointwise,
    aten.native_layer_norm.default: _pointwise,
    aten._native_batch_norm_legit_no_training.default: _pointwise,
    aten.relu.default: _pointwise,
    aten.hardtanh.default: _pointwise,
}

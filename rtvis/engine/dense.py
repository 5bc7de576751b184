"""Dense outputs: one score of every class at every pixel, and what is explained of them.

A class score of such a network is the weighted sum of its scores over the pixels of the output,
`s_k = sum_p w_p y_kp` with weights that sum to one (Vinogradov et al. 2020, Seg-Grad-CAM, whose set
of pixels is the weights' support). The weights are an input of the graph: the whole picture, a
region and one pixel are data, and a click on another pixel traces and compiles nothing.
"""

from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten

REGION = "region_BS1"
"""Name of the input with the weights of the output's pixels, rows end to end."""


def is_dense(value: Tensor) -> bool:
    """Whether an output has scores for each pixel: [B, K, H, W], with more than one pixel."""
    return value.ndim == 4 and value.shape[2] * value.shape[3] > 1 and value.is_floating_point()


def pool_over_region(graph: fx.Graph, x: fx.Node, dense: fx.Node) -> fx.Node:
    """Make a graph that ends in a dense output end in its weighted sums, scores [B, K].

    Args:
        graph: Ends in `dense`.
        x: Its input; the new one comes behind.
        dense: [B, K, H, W].

    Returns:
        The new input, the weights of the pixels.
    """
    value: Tensor = dense.meta["val"]
    batch, num_classes, height, width = (int(size) for size in value.shape)
    kind = region_dtype(value.dtype)
    with graph.inserting_after(x):
        region = graph.placeholder(REGION)
    region.name = REGION  # a graph writes names in small letters
    with torch.no_grad():
        region.meta["val"] = value.new_empty((batch, height * width, 1), dtype=kind)
    end = next(node for node in graph.nodes if node.op == "output")
    with graph.inserting_before(end):
        node = _call(graph, aten.reshape.default, dense, [batch, num_classes, height * width])
        if kind != value.dtype:
            node = _call(graph, aten._to_copy.default, node, dtype=kind)
        node = _call(graph, aten.bmm.default, node, region)
        node = _call(graph, aten.squeeze.dim, node, 2)
        if kind != value.dtype:
            node = _call(graph, aten._to_copy.default, node, dtype=value.dtype)
    end.args = (node,)
    return region


def dense_node(graph: fx.Graph) -> fx.Node | None:
    """The dense output in a graph that `pool_over_region` has changed; None in any other."""
    region = next((n for n in graph.nodes if n.op == "placeholder" and n.target == REGION), None)
    if region is None:
        return None
    (product,) = region.users
    node: Any = product.args[0]
    if node.target is aten._to_copy.default:
        node = node.args[0]
    assert node.target is aten.reshape.default, f"{node} is not the flattened output"
    dense: fx.Node = node.args[0]
    return dense


def region_dtype(dtype: torch.dtype) -> torch.dtype:
    """Number format of the weights: float16 cannot hold one part in a hundred thousand."""
    return torch.promote_types(dtype, torch.float32)


def region_weights(corners_B4: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Equal weights inside a rectangle, which sum to one: [B, H * W, 1].

    Args:
        corners_B4: int64: top, left, bottom, right in pixels of the output; the last two are the
            first row and column that are not part of it.
        size: (height, width) of the output.
        dtype: Of the weights.
    """
    top_B, left_B, bottom_B, right_B = corners_B4.unbind(1)
    rows_BH = _inside(top_B, bottom_B, size[0])
    columns_BW = _inside(left_B, right_B, size[1])
    inside_BHW = rows_BH[:, :, None] & columns_BW[:, None, :]
    share_B = ((bottom_B - top_B) * (right_B - left_B)).to(dtype).reciprocal()
    return inside_BHW.flatten(1).to(dtype)[:, :, None] * share_B[:, None, None]


def corners(region: tuple[int, int, int, int] | None, size: tuple[int, int]) -> tuple[int, ...]:
    """(top, left, bottom, right) of a region (top, left, height, width); None is all of it."""
    if region is None:
        return 0, 0, *size
    top, left, height, width = region
    return top, left, top + height, left + width


def _inside(first_B: Tensor, end_B: Tensor, length: int) -> Tensor:
    places = torch.arange(length, device=first_B.device)
    return (places >= first_B[:, None]) & (places < end_B[:, None])


def _call(graph: fx.Graph, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
    node = graph.call_function(target, args, kwargs)
    values: Any = fx.node.map_arg(args, lambda each: each.meta["val"])
    with torch.no_grad():
        node.meta["val"] = target(*values, **kwargs)
    return node


def labels_of(dense_BKHW: Tensor | None) -> Tensor | None:
    """The best class of each pixel, [B, H, W]; None of one class alone, or without an output."""
    if dense_BKHW is None or dense_BKHW.shape[1] == 1:
        return None
    # Half the time of `argmax` with channels last; of equal ones the first, as there.
    return dense_BKHW.max(dim=1).indices

"""What can be looked at in a flat graph: its convolutions and dense layers."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.data import Layer, LayerKind
from rtvis.engine.activations import Activation, activation_behind
from rtvis.engine.graph import depends_on, input_of, is_getitem, pair
from rtvis.engine.places import Grid, find_grids
from rtvis.engine.trace import FlatModel

aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a layer lives in the flat graph."""

    layer: Layer
    node: fx.Node
    """Its value is the layer's output, times `scale_C` plus `shift_C` where those are set."""
    first: int
    """Where its units begin when those of all layers are laid end to end."""
    parameter: str = ""
    """The model's parameter that holds the layer's weights, as in `model.named_parameters()`."""
    rows: tuple[int, ...] | None = None
    """The tokens that are its places, row by row; None: all of them, in their order."""
    activation: Activation | None = None
    """What alone reads the value, if it is an activation function."""
    is_rest: bool = False
    """The class and register tokens of a layer whose other tokens form a map. Its units are those
    of that layer."""
    scale_C: Tensor | None
    """float64, of the batch norm folded into the node; None where there is none."""
    shift_C: Tensor | None

    @property
    def units(self) -> slice:
        """Its part of a tensor that holds one value for each unit of each layer."""
        return slice(self.first, self.first + self.layer.num_units)

    def per_unit(self, vector_BT: Any, batch: int) -> Any:
        """Its units' part of a vector in a shape that goes with the node's value.

        Args:
            vector_BT: One value for each unit of each layer: a tensor, or an `fx.Proxy` of one,
                and the same comes back.
            batch: B.
        """
        vector_BC = vector_BT[:, self.units]
        if self.layer.kind == "conv":
            return vector_BC[:, :, None, None]
        rows = int(self.node.meta["val"].shape[0])
        return vector_BC[:, None, :].expand(-1, rows // batch, -1).reshape(rows, -1)

    def as_maps(self, value: Tensor, batch: int) -> Tensor:
        """A node's value (or gradient) as [B, C, H, W]; T tokens without a grid are one row.

        Args:
            value: [B, C, H, W] of a convolution, [B * T, C] of a dense layer.
            batch: B.
        """
        if self.layer.kind == "conv":
            return value
        tokens_BTC = value.reshape(batch, -1, value.shape[-1])
        if self.rows is not None:
            tokens_BTC = tokens_BTC.index_select(1, _index(value.device, self.rows))
        return tokens_BTC.reshape(batch, *self.layer.map_size, -1).permute(0, 3, 1, 2)

    def by_token(self, map_BS: Tensor) -> Tensor:
        """[B, T]: a map of the unit, its places end to end, in the order of the layer's tokens.

        Tokens that are not in the map get zero.
        """
        if self.rows is None:
            return map_BS
        tokens = int(self.node.meta["val"].shape[0]) // map_BS.shape[0]
        place_of = {token: place for place, token in enumerate(self.rows)}
        # One more place, which holds zero, for the other tokens.
        places = tuple(place_of.get(token, len(self.rows)) for token in range(tokens))
        padded = torch.nn.functional.pad(map_BS, (0, 1))
        # Not the kept index: under tracing this becomes a constant of the graph.
        return padded.index_select(1, torch.tensor(places, device=map_BS.device))


@functools.lru_cache(maxsize=1024)
def _index(device: torch.device, index: tuple[int, ...]) -> Tensor:
    """Kept: a new tensor on a GPU would wait for it."""
    with torch.inference_mode(mode=False):
        return torch.tensor(index, device=device)


def find_layers(flat: FlatModel, batch: int) -> tuple[Site, ...]:
    """Every convolution and dense layer of the graph, in order of execution.

    The class and register tokens of a layer whose other tokens form a map are a layer of their
    own, `NAME:tokens`, behind it.
    """
    graph = flat.module.graph
    x = input_of(graph)
    fields = _receptive_fields(graph, x)
    named = _named_nodes(flat)
    dense = [node for node, (_, kind, _) in named.items() if kind == "dense"]
    grids = find_grids(flat.module, dense, batch)
    sites: list[Site] = []
    first = 0
    for node, (name, kind, parameter) in named.items():
        shape = node.meta["val"].shape
        map_size = (shape[2], shape[3]) if kind == "conv" else (1, shape[0] // batch)
        grid = grids.get(node)
        field = fields[node]
        activation = activation_behind(node, flat.module)
        layer = Layer(
            index=len(sites),
            name=name,
            kind=kind,
            num_units=shape[1],
            map_size=grid.map_size if grid else (int(map_size[0]), int(map_size[1])),
            stride=grid.stride if grid else (field.stride_h, field.stride_w),
            receptive_field=(field.height, field.width),
            activation=activation.name if activation is not None else "",
        )
        scale_C, shift_C = flat.affines.get(node.name, (None, None))
        site = Site(
            layer=layer,
            node=node,
            first=first,
            parameter=parameter,
            rows=grid.rows if grid else None,
            activation=activation,
            scale_C=scale_C,
            shift_C=shift_C,
        )
        sites.append(site)
        if grid and grid.others:
            sites.append(_rest(site, grid, len(sites)))
        first += layer.num_units
    return tuple(sites)


def _named_nodes(flat: FlatModel) -> dict[fx.Node, tuple[str, LayerKind, str]]:
    """Name, kind and weights' name of each node that is a layer."""
    named: dict[fx.Node, tuple[str, LayerKind, str]] = {}
    uses: dict[str, int] = {}
    for node in flat.module.graph.nodes:
        found = _layer_kind_and_weight(node)
        parameter = None if found is None else flat.weight_names.get(str(found[1].target))
        if found is None or parameter is None:
            continue
        module = parameter.rpartition(".")[0] or parameter
        uses[module] = uses.get(module, 0) + 1
        name = module if uses[module] == 1 else f"{module}#{uses[module]}"
        named[node] = name, found[0], parameter
    return named


def _rest(site: Site, grid: Grid, index: int) -> Site:
    size = site.layer.receptive_field
    layer = replace(
        site.layer,
        index=index,
        name=f"{site.layer.name}:tokens",
        map_size=(1, len(grid.others)),
        stride=(float(size[0]), float(size[1])),
    )
    return replace(site, layer=layer, rows=grid.others, is_rest=True)


def _layer_kind_and_weight(node: fx.Node) -> tuple[LayerKind, fx.Node] | None:
    if node.op != "call_function":
        return None
    if node.target is aten.convolution.default and node.meta["val"].ndim == 4:
        weight = node.args[1]
        kind: LayerKind = "conv"
    elif node.target is aten.addmm.default:
        weight, kind = node.args[2], "dense"
    elif node.target is aten.mm.default:
        weight, kind = node.args[1], "dense"
    else:
        return None
    if isinstance(weight, fx.Node) and weight.op == "get_attr":
        return kind, weight
    return None


@dataclass(frozen=True, slots=True)
class _Field:
    height: int
    width: int
    stride_h: float
    stride_w: float


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


def _receptive_fields(graph: fx.Graph, x: fx.Node) -> dict[fx.Node, _Field]:
    """Receptive field and stride of a neuron of every node, by the usual recurrence.

    An operation that mixes positions in a way that is not a window (a mean over the picture, a
    flatten, attention) sees the whole input from there on.
    """
    input_h, input_w = (int(size) for size in x.meta["val"].shape[-2:])
    whole = _Field(input_h, input_w, float(input_h), float(input_w))
    fields = {x: _Field(1, 1, 1.0, 1.0)}
    live = depends_on(graph, [x])
    for node in graph.nodes:
        if node is x or node not in live or node.op == "output":
            continue
        sources = [parent for parent in node.all_input_nodes if parent in fields]
        field = _widest([fields[source] for source in sources])
        window = _window_of(node)
        if window is not None:
            field = _through_window(field, node, *window)
        elif not _keeps_positions(node, sources):
            field = whole
        fields[node] = field
    return fields


def _widest(fields: Sequence[_Field]) -> _Field:
    return _Field(
        max(f.height for f in fields),
        max(f.width for f in fields),
        max(f.stride_h for f in fields),
        max(f.stride_w for f in fields),
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
    field: _Field,
    node: fx.Node,
    kernel: tuple[int, int],
    dilation: tuple[int, int],
) -> _Field:
    stride_h, stride_w = _strides(node)
    return _Field(
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
    tags = set(getattr(node.target, "tags", ()))
    if node.target not in _SHAPE_KEEPING and not tags & _POINTWISE_TAGS:
        return False
    return all(_plane(source) == _plane(node) or _plane(source) is None for source in sources) or (
        node.target in _SHAPE_KEEPING
    )


def _plane(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    return tuple(value.shape[-2:]) if isinstance(value, Tensor) and value.ndim == 4 else None

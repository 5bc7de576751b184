"""What can be looked at in a flat graph: its convolutions, dense layers and attention."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.data import Layer, LayerKind
from rtvis.engine.flat.fields import Field, receptive_fields
from rtvis.engine.flat.graph import input_of, reached_by_gradients
from rtvis.engine.flat.places import Grid, as_grid, find_places
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.layers.activations import activation_behind
from rtvis.engine.layers.attention import Attention
from rtvis.engine.layers.find_attention import (
    Candidate,
    attention_of,
    coordinates_wanted,
    find_candidates,
    name_of,
)
from rtvis.engine.layers.site import Site

aten = torch.ops.aten


def find_layers(flat: FlatModel, batch: int) -> tuple[Site, ...]:
    """Every convolution, dense layer and attention of the graph, in order of execution.

    The class and register tokens of a layer whose other tokens form a map are a layer of their
    own, `NAME:tokens`, behind it.
    """
    graph = flat.module.graph
    fields = receptive_fields(graph)
    reached = reached_by_gradients(graph, input_of(graph))
    named = _named_nodes(flat, batch)
    grids, attentions, token_major = _find_tokens(flat, named, batch)
    for candidate in attentions:
        named[candidate.weights] = _name_of(candidate, named), "attention", ""
    by_node = {each.weights: found for each, found in attentions.items()}
    sites: list[Site] = []
    first = 0
    for node in (node for node in graph.nodes if node in named):
        attention, grid = by_node.get(node), grids.get(node)
        name, kind, parameter = named[node]
        activation = activation_behind(node, flat.module) if attention is None else None
        layer = replace(
            _layer(node, name, kind, attention, grid, fields[node], batch),
            index=len(sites),
            activation=activation.name if activation is not None else "",
            reaches_input=node in reached,
        )
        scale_C, shift_C = flat.affines.get(node.name, (None, None))
        site = Site(
            layer=layer,
            node=node,
            first=first,
            parameter=parameter,
            rows=grid.rows if grid else None,
            is_token_major=node in token_major,
            activation=activation,
            attention=attention,
            scale_C=scale_C,
            shift_C=shift_C,
        )
        sites.append(site)
        if grid and grid.others:
            sites.append(_rest(site, grid, len(sites)))
        first += layer.num_units
    return tuple(sites)


def _find_tokens(
    flat: FlatModel, named: Mapping[fx.Node, tuple[str, LayerKind, str]], batch: int
) -> tuple[dict[fx.Node, Grid | None], dict[Candidate, Attention], set[fx.Node]]:
    """The grids of dense layers and attention, the attention whose keys form one, and the dense
    layers whose rows are token-major."""
    candidates = find_candidates(flat.module.graph)
    # A row for each token; the class scores of a batch are rows too, but no tokens.
    dense = {
        node: 1
        for node, (_, kind, _) in named.items()
        if kind == "dense" and node.meta["val"].shape[0] > batch
    }
    places = find_places(flat.module, dense | coordinates_wanted(candidates))
    grids: dict[fx.Node, Grid | None] = {}
    token_major = {node for node in dense if _is_token_major(places[node], batch)}
    for node in dense:
        num = len(places[node]) // batch
        grids[node] = as_grid(places[node][::batch] if node in token_major else places[node][:num])
    attentions: dict[Candidate, Attention] = {}
    for candidate in candidates:
        found = attention_of(candidate, places, batch)
        if found is not None:
            attentions[candidate], grids[candidate.weights] = found
    return grids, attentions, token_major


def _is_token_major(coordinates_N: Tensor, batch: int) -> bool:
    """Whether rows are those of [T, B], as torch's own attention lays them, and not of [B, T]."""

    def all_rows_equal(coordinates: Tensor) -> bool:
        parts = (torch.view_as_real(coordinates).nan_to_num(nan=-1.0) * 64).round()
        return bool((parts == parts[:1]).all())

    by_picture = coordinates_N.reshape(batch, -1)
    return not all_rows_equal(by_picture) and all_rows_equal(coordinates_N.reshape(-1, batch).T)


def _layer(
    node: fx.Node,
    name: str,
    kind: LayerKind,
    attention: Attention | None,
    grid: Grid | None,
    field: Field,
    batch: int,
) -> Layer:
    shape = node.meta["val"].shape
    map_size = (shape[2], shape[3]) if kind == "conv" else (1, shape[0] // batch)
    is_map = kind == "conv" or grid is not None
    return Layer(
        index=0,
        name=name,
        kind=kind,
        num_units=shape[1] if attention is None else attention.num_heads,
        map_size=grid.map_size if grid else (int(map_size[0]), int(map_size[1])),
        stride=grid.stride if grid else (field.stride_h, field.stride_w),
        receptive_field=(field.height, field.width),
        field_start=None if field.is_whole or not is_map else (field.top, field.left),
    )


def _named_nodes(flat: FlatModel, batch: int) -> dict[fx.Node, tuple[str, LayerKind, str]]:
    """Name, kind and weights' name of each node that is a layer with weights."""
    named: dict[fx.Node, tuple[str, LayerKind, str]] = {}
    uses: dict[str, int] = {}
    for node in flat.module.graph.nodes:
        found = _layer_kind_and_weight(node)
        parameter = None if found is None else flat.weight_names.get(str(found[1].target))
        if found is None or parameter is None:
            continue
        is_mixed = found[0] == "conv" and node.args[1] is not found[1]
        maps = _by_picture(node, batch) if is_mixed else node
        if found[0] == "conv" and maps.meta["val"].shape[0] != batch:
            continue  # of parts of a picture, one by one: `rtvis.engine.flat.skipped` tells of it
        named[maps] = _numbered(_module_of(parameter), uses), found[0], parameter
    return named


def _name_of(candidate: Candidate, named: Mapping[fx.Node, tuple[str, LayerKind, str]]) -> str:
    """The name of an attention, told apart from all others."""
    taken = {name for name, _, _ in named.values()}
    plain = name = name_of(candidate, {node: name for node, (name, _, _) in named.items()})
    use = 1
    while name in taken:
        use += 1
        name = f"{plain}#{use}"
    return name


def _module_of(parameter: str) -> str:
    """The module that a weight belongs to; `self_attention.in_proj` of its `in_proj_weight`, as
    torch's multi-head attention is itself the module that attends."""
    module, _, leaf = parameter.rpartition(".")
    if leaf.endswith("_weight"):
        return f"{module}.{leaf.removesuffix('_weight')}".lstrip(".")
    return module or parameter


def _numbered(name: str, uses: dict[str, int]) -> str:
    """The name, with the number of its use from the second one on."""
    uses[name] = uses.get(name, 0) + 1
    return name if uses[name] == 1 else f"{name}#{uses[name]}"


def _rest(site: Site, grid: Grid, index: int) -> Site:
    size = site.layer.receptive_field
    layer = replace(
        site.layer,
        index=index,
        name=f"{site.layer.name}:tokens",
        map_size=(1, len(grid.others)),
        stride=(float(size[0]), float(size[1])),
        field_start=None,
    )
    attention = site.attention
    if attention is not None:
        # Elsewhere no place of this list is a query's.
        query_of = grid.others if attention.same_tokens else None
        attention = replace(attention, query_of=query_of)
    return replace(site, layer=layer, rows=grid.others, attention=attention, is_rest=True)


def _layer_kind_and_weight(node: fx.Node) -> tuple[LayerKind, fx.Node] | None:
    if node.op != "call_function":
        return None
    if node.target is aten.convolution.default and node.meta["val"].ndim == 4:
        weight = _mixed_from(node.args[1])
        kind: LayerKind = "conv"
    elif node.target is aten.addmm.default:
        weight, kind = node.args[2], "dense"
    elif node.target is aten.mm.default:
        weight, kind = node.args[1], "dense"
    else:
        return None
    if isinstance(weight, fx.Node) and weight.op == "get_attr" and not _is_kernel(node):
        return kind, weight
    return None


# Networks that mix the kernels of a convolution for each picture (CondConv, Yang et al. 2019) take
# a product of what they saw with a matrix of kernels, and convolve all pictures as groups of one.


def _mixed_from(kernel: Any) -> Any:
    """The weights from which a kernel is mixed; the kernel itself where it is not."""
    while isinstance(kernel, fx.Node) and kernel.target is aten.reshape.default:
        kernel = kernel.args[0]
    if isinstance(kernel, fx.Node) and kernel.target is aten.mm.default:
        return kernel.args[1]
    return kernel


def _is_kernel(node: fx.Node) -> bool:
    """Whether a product is the kernel, or the bias, of a convolution, and no layer."""
    return any(
        user.target is aten.convolution.default and node in user.args[1:3]
        if user.target is not aten.reshape.default
        else _is_kernel(user)
        for user in node.users
    )


def _by_picture(convolution: fx.Node, batch: int) -> fx.Node:
    """The maps [B, C, H, W], where a convolution makes those of all pictures as one picture's."""
    node = convolution
    while node.meta["val"].ndim != 4 or node.meta["val"].shape[0] != batch:
        (node, *others) = node.users
        if others or node.target not in (aten.permute.default, aten.reshape.default):
            return convolution
    return node

"""What can be looked at in a flat graph: its convolutions, dense layers and attention."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.data import Layer, LayerKind
from rtvis.engine.activations import Activation, activation_behind
from rtvis.engine.attention import Attention
from rtvis.engine.fields import Field, receptive_fields
from rtvis.engine.find_attention import (
    Candidate,
    attention_of,
    coordinates_wanted,
    find_candidates,
    name_of,
)
from rtvis.engine.graph import input_of, reached_by_gradients
from rtvis.engine.places import Grid, as_grid, find_places
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
    """The model's parameter that holds the layer's weights, as in `model.named_parameters()`;
    attention has none."""
    rows: tuple[int, ...] | None = None
    """The tokens that are its places, row by row; None: all of them, in their order."""
    is_token_major: bool = False
    """Whether the rows of the value go through all pictures for one token after the other."""
    activation: Activation | None = None
    """What alone reads the value, if it is an activation function."""
    is_rest: bool = False
    """The class and register tokens of a layer whose other tokens form a map. Its units are those
    of that layer."""
    attention: Attention | None = None
    """Set for attention: how its matrices lie in the value. Its tokens are the keys."""
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
        if self.attention is not None:
            return self.attention.per_head(vector_BC).to(self.node.meta["val"].dtype)
        rows = int(self.node.meta["val"].shape[0])
        tokens_BTC = vector_BC[:, None, :].expand(-1, rows // batch, -1)
        return self.in_rows(tokens_BTC).reshape(rows, -1)

    def in_rows(self, tokens_BTC: Any) -> Any:
        """Values of a dense layer's tokens, to be reshaped to rows in the node's own order."""
        return tokens_BTC.transpose(0, 1) if self.is_token_major else tokens_BTC

    def as_maps(
        self,
        value: Tensor,
        batch: int,
        query_BQ: Tensor | None = None,
        *,
        rows_S: Tensor | None = None,
    ) -> Tensor:
        """A node's value (or gradient) as [B, C, H, W]; T tokens without a grid are one row.

        Args:
            value: [B, C, H, W] of a convolution, [B * T, C] of a dense layer; of attention see
                `Attention`.
            batch: B.
            query_BQ: The weight of each query of attention; other kinds have none.
            rows_S: `rows`, where they are an input of the graph that is traced.
        """
        if self.layer.kind == "conv":
            return value
        if self.attention is not None:
            assert query_BQ is not None, "what attention shows depends on who asks"
            tokens_BTC = self.attention.attended(value, query_BQ, batch)
        elif self.is_token_major:
            tokens_BTC = value.reshape(-1, batch, value.shape[-1]).transpose(0, 1)
        else:
            tokens_BTC = value.reshape(batch, -1, value.shape[-1])
        if self.rows is not None and rows_S is None:
            rows_S = _index(value.device, self.rows)
        return on_map(tokens_BTC, rows_S, self.layer.map_size)

    def from_maps(self, grads_BCHW: Tensor, batch: int, query_BQ: Tensor | None = None) -> Tensor:
        """The gradient at the node's value (to be reshaped to it) of one at what `as_maps` gave.

        Args:
            grads_BCHW: The gradient at the maps.
            batch: B.
            query_BQ: As `as_maps` was given.
        """
        if self.layer.kind == "conv":
            return grads_BCHW
        tokens_BTC = grads_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
        if self.rows is not None:
            size = (batch, self._num_tokens(batch), tokens_BTC.shape[2])
            rows = _index(tokens_BTC.device, self.rows)
            tokens_BTC = tokens_BTC.new_zeros(size).index_copy(1, rows, tokens_BTC)
        if self.attention is not None:
            assert query_BQ is not None, "what attention shows depends on who asks"
            return self.attention.unattended(tokens_BTC, query_BQ)
        rows_NC: Tensor = self.in_rows(tokens_BTC).flatten(0, 1)
        return rows_NC

    def _num_tokens(self, batch: int) -> int:
        """Of one picture."""
        if self.attention is not None:
            return self.attention.all_keys
        return int(self.node.meta["val"].shape[0]) // batch

    def on_grid(self, tokens_BT: Tensor) -> Tensor:
        """[B, H, W]: one number for each of the layer's tokens as a map."""
        assert self.rows is not None, "the layer has a grid"
        places_BS = tokens_BT.index_select(1, _index(tokens_BT.device, self.rows))
        return places_BS.reshape(tokens_BT.shape[0], *self.layer.map_size)

    def by_token(self, map_BS: Tensor) -> Tensor:
        """[B, T]: a map of the unit, its places end to end, in the order of the layer's tokens.

        Tokens that are not in the map get zero.
        """
        if self.rows is None:
            return map_BS
        tokens = self._num_tokens(map_BS.shape[0])
        place_of = {token: place for place, token in enumerate(self.rows)}
        # One more place, which holds zero, for the other tokens.
        places = tuple(place_of.get(token, len(self.rows)) for token in range(tokens))
        padded = torch.nn.functional.pad(map_BS, (0, 1))
        # Not the kept index: under tracing this becomes a constant of the graph.
        return padded.index_select(1, torch.tensor(places))


def on_map(tokens_BTC: Tensor, rows_S: Tensor | None, map_size: tuple[int, int]) -> Tensor:
    """[B, C, H, W] of tokens, of those of some places alone unless that is None."""
    if rows_S is not None:
        tokens_BTC = tokens_BTC.index_select(1, rows_S)
    return tokens_BTC.reshape(tokens_BTC.shape[0], *map_size, -1).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=1024)
def _index(device: torch.device, index: tuple[int, ...]) -> Tensor:
    """Kept: a new tensor on a GPU would wait for it."""
    with torch.inference_mode(mode=False):
        return torch.tensor(index, device=device)


def find_layers(flat: FlatModel, batch: int) -> tuple[Site, ...]:
    """Every convolution, dense layer and attention of the graph, in order of execution.

    The class and register tokens of a layer whose other tokens form a map are a layer of their
    own, `NAME:tokens`, behind it.
    """
    graph = flat.module.graph
    fields = receptive_fields(graph)
    reached = reached_by_gradients(graph, input_of(graph))
    named = _named_nodes(flat)
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


def _named_nodes(flat: FlatModel) -> dict[fx.Node, tuple[str, LayerKind, str]]:
    """Name, kind and weights' name of each node that is a layer with weights."""
    named: dict[fx.Node, tuple[str, LayerKind, str]] = {}
    uses: dict[str, int] = {}
    for node in flat.module.graph.nodes:
        found = _layer_kind_and_weight(node)
        parameter = None if found is None else flat.weight_names.get(str(found[1].target))
        if found is None or parameter is None:
            continue
        named[node] = _numbered(_module_of(parameter), uses), found[0], parameter
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

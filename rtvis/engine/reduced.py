"""A forward pass that hands out, of every layer, a few numbers for each picture and unit.

For looking at many pictures: the maps themselves never leave the graph, which ends behind the last
layer that is wanted. The units of all layers lie end to end, T of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from rtvis.data import Layer
from rtvis.engine.build import propagate
from rtvis.engine.graph import input_of
from rtvis.engine.layers import Site
from rtvis.engine.pieces import Piece
from rtvis.engine.trace import FlatModel

MAX_MAP: Final = 2**15
"""Rows and columns of a map, below which both fit into 32 bits."""


class Reduced(NamedTuple):
    """What is left of the maps of some pictures. Values are the layers' own, before activation."""

    values_BT: Tensor
    """float32: the largest value of each unit's map."""
    place_BT: Tensor
    """int32: row * 65536 + column of the first place that has it."""
    mean_BT: Tensor
    """float32: over the places of the map."""
    square_BT: Tensor
    """float32: mean of the squares."""
    positive_BT: Tensor
    """int32: the number of places at which the unit fires: is above zero in front of its
    activation and behind its batch norm; without an activation, at all."""


@dataclass(frozen=True, slots=True, eq=False)
class _Constants:
    """What the reduction of one layer needs beside its value."""

    places_S: Tensor
    """Counts them. A constant, because an `arange` in the graph would stay on the CPU."""
    rows: Tensor | None
    inverse_C1: Tensor | None
    offset_C1: Tensor | None
    scale_C1: Tensor | None
    shift_C1: Tensor | None

    def given(self) -> dict[str, Tensor]:
        """Those that there are, by name."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value is not None}


def can_be_reduced(site: Any) -> bool:
    """Whether a layer has one value a unit and place: attention has one for each pair of tokens."""
    return site.layer.kind != "attention" and not site.is_rest


def reduced_piece(flat: FlatModel, sites: Sequence[Site], batch: int) -> Piece:
    """The pass as one piece: (x) -> the parts of `Reduced`, in their order.

    Args:
        flat: The traced model, for `batch` pictures.
        sites: Layers for which `can_be_reduced`, at least one.
        batch: B.
    """
    mode = FakeTensorMode()
    propagate(flat.module, mode)
    x = input_of(flat.module.graph)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(flat.module.graph, copies)
    constants: dict[str, Tensor] = {}
    parts: list[list[fx.Node]] = []
    for number, site in enumerate(sites):
        own = _constants_of(site)
        names = {key: f"reduced_{number}_{key}" for key in own.given()}
        constants |= {names[key]: value for key, value in own.given().items()}
        traced = _traced(site, own, batch, mode)
        nodes = [copies[site.node], *(graph.get_attr(names[key]) for key in own.given())]
        parts.append(_inlined(graph, traced, nodes))
    outputs = [
        graph.call_function(torch.ops.aten.cat.default, (list(column), 1))
        for column in zip(*parts, strict=True)
    ]
    graph.output(outputs)
    graph.eliminate_dead_code()
    for node in graph.find_nodes(op="placeholder"):
        if not node.users:
            graph.erase_node(node)
    module = _module(flat.module, graph, constants)
    return Piece(
        name="reduced",
        module=module,
        inputs=(x.name,),
        outputs=Reduced._fields,
        examples=(x.meta["val"],),
    )


def reduce_maps(
    value_BCS: Tensor,
    *,
    places_S: Tensor,
    width: int,
    inverse_C1: Tensor | None = None,
    offset_C1: Tensor | None = None,
    scale_C1: Tensor | None = None,
    shift_C1: Tensor | None = None,
    is_activated: bool = True,
) -> Reduced:
    """The reduction of one layer.

    Args:
        value_BCS: Maps with their rows end to end, behind a batch norm that was folded into them.
        places_S: int32: 0, 1, 2 ...
        width: Of the maps.
        inverse_C1: With `offset_C1`: undoes that batch norm.
        offset_C1: Likewise.
        scale_C1: With `shift_C1`: the batch norm in front of the activation that was not folded.
        shift_C1: Likewise.
        is_activated: Whether an activation follows.
    """
    value_BCS = value_BCS.float()
    own_BCS = gate_BCS = value_BCS
    if inverse_C1 is not None and offset_C1 is not None:
        own_BCS = torch.addcmul(offset_C1, value_BCS, inverse_C1)
    if scale_C1 is not None and shift_C1 is not None:
        gate_BCS = torch.addcmul(shift_C1, value_BCS, scale_C1)
    if not is_activated:
        gate_BCS = own_BCS
    values_BC1 = own_BCS.amax(dim=2, keepdim=True)
    # Twice over the map and still twice as fast as argmax, which inductor does not vectorise.
    place_BC = torch.where(own_BCS == values_BC1, places_S, places_S.shape[0]).amin(dim=2)
    row_BC, column_BC = place_BC // width, place_BC % width
    return Reduced(
        values_BT=values_BC1.squeeze(2),
        place_BT=(row_BC * 65536 + column_BC).to(torch.int32),
        mean_BT=own_BCS.mean(dim=2),
        square_BT=own_BCS.square().mean(dim=2),
        positive_BT=(gate_BCS > 0).sum(dim=2, dtype=torch.int32),
    )


def _constants_of(site: Site) -> _Constants:
    rows = None if site.rows is None else torch.tensor(site.rows)
    inverse_C1 = offset_C1 = scale_C1 = shift_C1 = None
    if site.scale_C is not None and site.shift_C is not None:
        inverse_C1 = (1 / site.scale_C).float()[:, None]
        offset_C1 = (-site.shift_C / site.scale_C).float()[:, None]
    activation = site.activation
    if activation is not None and activation.scale_1C11 is not None:
        assert activation.shift_1C11 is not None
        scale_C1 = activation.scale_1C11.float().reshape(-1, 1)
        shift_C1 = activation.shift_1C11.float().reshape(-1, 1)
    height, width = site.layer.map_size
    places_S = torch.arange(height * width, dtype=torch.int32)
    return _Constants(places_S, rows, inverse_C1, offset_C1, scale_C1, shift_C1)


def _traced(site: Site, own: _Constants, batch: int, mode: FakeTensorMode) -> fx.GraphModule:
    given = own.given()
    height, width = site.layer.map_size
    assert max(height, width) < MAX_MAP, f"a map of {height}x{width}"

    def call(value: Tensor, *tensors: Tensor) -> list[Tensor]:
        named = dict(zip(given, tensors, strict=True))
        rows = named.pop("rows", None)
        maps_BCS = _places_last(site, value, rows, batch)
        activated = site.activation is not None
        return list(reduce_maps(maps_BCS, width=width, is_activated=activated, **named))

    with mode, torch.no_grad():
        fakes = [mode.from_tensor(each) for each in given.values()]
        return make_fx(call)(site.node.meta["val"], *fakes)


def _places_last(site: Site, value: Tensor, rows: Tensor | None, batch: int) -> Tensor:
    """[B, C, S]: as `Site.as_maps`, with places end to end."""
    if site.layer.kind == "conv":
        return value.flatten(2)
    if site.is_token_major:
        tokens_BTC = value.reshape(-1, batch, value.shape[-1]).transpose(0, 1)
    else:
        tokens_BTC = value.reshape(batch, -1, value.shape[-1])
    if rows is not None:
        tokens_BTC = tokens_BTC.index_select(1, rows)
    return tokens_BTC.transpose(1, 2)


def _inlined(graph: fx.Graph, traced: fx.GraphModule, nodes: list[fx.Node]) -> list[fx.Node]:
    """Copies a graph's operations into another; returns its outputs there."""
    traced.graph.eliminate_dead_code()
    given = iter(nodes)
    copies: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            copies[node] = next(given)
        elif node.op == "output":
            return [copies[each] for each in node.args[0]]
        else:
            copies[node] = graph.node_copy(node, lambda each: copies[each])
    raise AssertionError("a graph without an output")


def _module(root: fx.GraphModule, graph: fx.Graph, constants: dict[str, Tensor]) -> fx.GraphModule:
    names = {str(node.target) for node in graph.find_nodes(op="get_attr")}
    own = {name: getattr(root, name) for name in names if name not in constants}
    module = fx.GraphModule({**own, **constants}, graph)
    for name, value in {**own, **constants}.items():
        delattr(module, name)
        module.register_buffer(name, value)
    graph.lint()
    module.recompile()
    return module


def unit_slices(layers: Sequence[Layer]) -> dict[str, slice]:
    """Where the units of each layer lie in T."""
    slices, first = {}, 0
    for layer in layers:
        slices[layer.name] = slice(first, first + layer.num_units)
        first += layer.num_units
    return slices

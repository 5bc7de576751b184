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
from rtvis.engine.flat.graph import input_of
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.joint.piece_builder import propagate
from rtvis.engine.joint.pieces import Piece
from rtvis.engine.layers.site import Site

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

    @staticmethod
    def of_numbers(numbers_5BT: Tensor) -> "Reduced":
        """The parts in their order; whole numbers with the bits that they have as int32."""
        values_BT, place_BT, mean_BT, square_BT, positive_BT = numbers_5BT.unbind(0)
        whole = torch.int32
        return Reduced(values_BT, place_BT.view(whole), mean_BT, square_BT, positive_BT.view(whole))


@dataclass(frozen=True, slots=True, eq=False)
class _Constants:
    """What the reduction of one layer needs beside its value."""

    row_H: Tensor
    """Constants, because an `arange` in the graph would stay on the CPU."""
    column_W: Tensor
    tokens: Tensor | None
    inverse_C11: Tensor | None
    offset_C11: Tensor | None
    scale_C11: Tensor | None
    shift_C11: Tensor | None

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
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(flat.module.graph, copies)
    constants: dict[str, Tensor] = {}
    parts: list[list[fx.Node]] = []
    for number, site in enumerate(sites):
        own = constants_of(site)
        names = {key: f"reduced_{number}_{key}" for key in own.given()}
        constants |= {names[key]: value for key, value in own.given().items()}
        traced = _traced(site, own, batch, mode)
        nodes = [copies[site.node], *(graph.get_attr(names[key]) for key in own.given())]
        parts.append(inlined(graph, traced, nodes))
    columns = [list(column) for column in zip(*parts, strict=True)]
    return ending_in(columns, Reduced._fields, flat, graph, constants)


def reduce_maps(
    value_BCHW: Tensor,
    *,
    row_H: Tensor,
    column_W: Tensor,
    inverse_C11: Tensor | None = None,
    offset_C11: Tensor | None = None,
    scale_C11: Tensor | None = None,
    shift_C11: Tensor | None = None,
    is_activated: bool = True,
) -> Reduced:
    """The reduction of one layer.

    Everything is reduced over columns first and then over rows: so inductor reads a map once for
    all of it, in 0.6 ns a value on one core, and where the maximum lies is looked for in one row
    alone. Over both at once, and with a second pass for the place, it takes twice as long, and
    argmax, which is not vectorised, five times.

    Args:
        value_BCHW: Maps, behind a batch norm that was folded into them.
        row_H: int32: 0, 1, 2 ...
        column_W: Likewise.
        inverse_C11: With `offset_C11`: undoes that batch norm.
        offset_C11: Likewise.
        scale_C11: With `shift_C11`: the batch norm in front of the activation, not folded.
        shift_C11: Likewise.
        is_activated: Whether an activation follows.
    """

    def own(value: Tensor) -> Tensor:
        if inverse_C11 is None or offset_C11 is None:
            return value.float()
        return torch.addcmul(offset_C11, value.float(), inverse_C11)

    height, width = row_H.shape[0], column_W.shape[0]
    own_BCHW = gate_BCHW = own(value_BCHW)
    if is_activated:
        gate_BCHW = value_BCHW.float()
    if scale_C11 is not None and shift_C11 is not None:
        gate_BCHW = torch.addcmul(shift_C11, value_BCHW.float(), scale_C11)
    highest_BCH = own_BCHW.amax(dim=3)
    values_BC1 = highest_BCH.amax(dim=2, keepdim=True)
    # In a map of NaN no row is the highest; it is not looked at, but must be there.
    row_BC = torch.where(highest_BCH == values_BC1, row_H, height).amin(dim=2)
    index_BC1W = row_BC.clamp(max=height - 1).long()[:, :, None, None].expand(-1, -1, 1, width)
    there_BCW = own(value_BCHW.gather(2, index_BC1W)).squeeze(2)
    column_BC = torch.where(there_BCW == values_BC1, column_W, width).amin(dim=2)
    num_places = height * width
    return Reduced(
        values_BT=values_BC1.squeeze(2),
        place_BT=row_BC * 65536 + column_BC,
        mean_BT=own_BCHW.sum(dim=3).sum(dim=2) / num_places,
        square_BT=own_BCHW.square().sum(dim=3).sum(dim=2) / num_places,
        # Counted in float32, which holds every whole number that a map has places.
        positive_BT=(gate_BCHW > 0).float().sum(dim=3).sum(dim=2).to(torch.int32),
    )


def constants_of(site: Site) -> _Constants:
    """The constants of a layer's reduction."""
    tokens = None if site.rows is None else torch.tensor(site.rows)
    inverse_C11 = offset_C11 = scale_C11 = shift_C11 = None
    if site.scale_C is not None and site.shift_C is not None:
        inverse_C11 = (1 / site.scale_C).float()[:, None, None]
        offset_C11 = (-site.shift_C / site.scale_C).float()[:, None, None]
    activation = site.activation
    if activation is not None and activation.scale_1C11 is not None:
        assert activation.shift_1C11 is not None
        scale_C11 = activation.scale_1C11.float().squeeze(0)
        shift_C11 = activation.shift_1C11.float().squeeze(0)
    row_H, column_W = counted(site.layer.map_size)
    return _Constants(row_H, column_W, tokens, inverse_C11, offset_C11, scale_C11, shift_C11)


def counted(map_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The numbers of a map's rows and columns, int32."""
    assert max(map_size) < MAX_MAP, f"a map of {map_size}"
    rows, columns = (torch.arange(size, dtype=torch.int32) for size in map_size)
    return rows, columns


def _traced(site: Site, own: _Constants, batch: int, mode: FakeTensorMode) -> fx.GraphModule:
    given = own.given()

    def call(value: Tensor, *tensors: Tensor) -> list[Tensor]:
        named = dict(zip(given, tensors, strict=True))
        maps_BCHW = site.as_maps(value, batch, rows_S=named.pop("tokens", None))
        return list(reduce_maps(maps_BCHW, is_activated=site.activation is not None, **named))

    with mode, torch.no_grad():
        fakes = [mode.from_tensor(each) for each in given.values()]
        return make_fx(call)(site.node.meta["val"], *fakes)


def inlined(graph: fx.Graph, traced: fx.GraphModule, nodes: list[fx.Node]) -> list[fx.Node]:
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


def ending_in(
    columns: Sequence[list[fx.Node]],
    names: tuple[str, ...],
    flat: FlatModel,
    graph: fx.Graph,
    constants: dict[str, Tensor],
) -> Piece:
    """The piece whose outputs are these nodes, those of a column side by side in the last axis.

    Args:
        columns: Nodes of `graph`.
        names: One for each column.
        flat: Of whose graph `graph` is a copy, with more in it.
        graph: Is finished here.
        constants: By name, what it needs beside those of `flat`.
    """
    cat = torch.ops.aten.cat.default
    graph.output(
        [
            graph.call_function(cat, (column, -1)) if len(column) > 1 else column[0]
            for column in columns
        ]
    )
    graph.eliminate_dead_code()
    for node in graph.find_nodes(op="placeholder"):
        if not node.users:
            graph.erase_node(node)
    x = input_of(flat.module.graph)
    return Piece(
        name="reduced",
        module=_module(flat.module, graph, constants),
        inputs=(x.name,),
        outputs=names,
        examples=(x.meta["val"],),
    )


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

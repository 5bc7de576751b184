"""The pass of `rtvis.engine.reduced.forward` for a CPU: each map is read once, by our own kernels.

A ReLU behind a layer is applied while its maps are reduced, and a depthwise convolution between two
such layers is computed in the same go: in networks for small machines, where the maps are large
and the sums small, nearly nothing is read a second time.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from rtvis.engine.compiled import kernels
from rtvis.engine.flat.clamps import clamp_ends, is_clamp
from rtvis.engine.flat.graph import pair
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.joint.piece_builder import propagate
from rtvis.engine.joint.pieces import Piece
from rtvis.engine.layers.site import Site
from rtvis.engine.reduced.forward import constants_of, ending_in, inlined

aten = torch.ops.aten


class _Depthwise(NamedTuple):
    """A depthwise convolution that alone reads what is behind a layer's clamp."""

    site: Site
    top: int
    left: int
    stride: int


def one_pass_piece(flat: FlatModel, sites: Sequence[Site], batch: int) -> Piece:
    """(x) -> the numbers of each layer, side by side for `Reduced.of_numbers`.

    They are not put side by side here: for each layer inductor would divide a copy of some
    kilobytes among threads. `rtvis.engine.compiled.kernels` must be prepared.

    Args:
        flat: The traced model, for `batch` pictures, of a dtype in `kernels.DTYPES`.
        sites: Layers for which `can_be_reduced`, at least one.
        batch: B.
    """
    propagate(flat.module, FakeTensorMode())
    building = _Building(flat, batch)
    by_node = {site.node: site for site in sites}
    numbers: dict[str, fx.Node] = {}
    for site in sites:
        if site.layer.name in numbers:
            continue
        behind = _depthwise_behind(site, by_node, flat.module)
        if behind is not None:
            found = building.convolved(site, behind)
            numbers[site.layer.name], numbers[behind.site.layer.name] = found
        elif _can_be_clamped(site):
            numbers[site.layer.name] = building.clamped(site)
        else:
            numbers[site.layer.name] = building.reduced(site)
    columns = [[numbers[site.layer.name]] for site in sites]
    names = tuple(f"numbers_{index}" for index in range(len(sites)))
    return ending_in(columns, names, flat, building.graph, building.constants)


class _Building:
    """The graph as it grows."""

    def __init__(self, flat: FlatModel, batch: int) -> None:
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self._module, self._batch = flat.module, batch
        self._copies: dict[fx.Node, fx.Node] = {}
        self.graph.graph_copy(flat.module.graph, self._copies)

    def reduced(self, site: Site) -> fx.Node:
        """Reduces a layer's maps; returns its numbers."""
        given = [_affine_of(site), *([] if site.rows is None else [torch.tensor(site.rows)])]
        gate = kernels.OWN
        if site.activation is not None:
            is_normed = site.activation.scale_1C11 is not None
            gate = kernels.NORMALISED if is_normed else kernels.VALUE
        has_own = int(site.scale_C is not None)

        def call(value: Tensor, affine: Tensor, *rows: Tensor) -> list[Tensor]:
            maps_BCHW = site.as_maps(value, self._batch, rows_S=rows[0] if rows else None)
            maps_BCHW = maps_BCHW.contiguous(memory_format=torch.channels_last)
            return [torch.ops.rtvis.reduce_maps(maps_BCHW, affine, has_own, gate)]

        mode = FakeTensorMode()
        with mode, torch.no_grad():
            value = site.node.meta["val"]
            fake = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
            traced = make_fx(call)(fake, *(mode.from_tensor(each) for each in given))
        nodes = [self._copies[site.node], *(self._constant(each) for each in given)]
        return inlined(self.graph, traced, nodes)[0]

    def clamped(self, site: Site) -> fx.Node:
        """The same, and leaves in the maps what is behind the activation."""
        assert site.activation is not None
        maps, before = self._copies[site.node], site.activation.node
        with self.graph.inserting_before(maps):
            affine = self._constant(_affine_of(site))
        with self.graph.inserting_after(maps):
            numbers = self.graph.call_function(
                torch.ops.rtvis.reduce_and_clamp.default,
                (maps, affine, int(site.scale_C is not None), *clamp_ends(before)),
            )
        self._copies[before].replace_all_uses_with(maps)
        return numbers

    def convolved(self, site: Site, behind: _Depthwise) -> tuple[fx.Node, fx.Node]:
        """The same of two layers at once, the second of which is a depthwise convolution."""
        assert site.activation is not None
        assert behind.site.activation is not None
        maps, node = self._copies[site.node], behind.site.node
        weight_C1KK = self._weight(node, 1)
        assert weight_C1KK is not None
        bias_C = self._weight(node, 2)
        if bias_C is None:
            bias_C = torch.zeros(len(weight_C1KK))
        given = (
            _affine_of(site),
            weight_C1KK.squeeze(1).permute(1, 2, 0).contiguous(),
            bias_C,
            _affine_of(behind.site),
        )
        with self.graph.inserting_before(maps):
            affine, weight, bias, after = (self._constant(each) for each in given)
        ends, out_ends = clamp_ends(site.activation.node), clamp_ends(behind.site.activation.node)
        geometry = behind.stride, behind.top, behind.left, *behind.site.layer.map_size
        with self.graph.inserting_after(maps):
            made = self.graph.call_function(
                torch.ops.rtvis.convolve_depthwise.default,
                (maps, affine, *ends, weight, bias, *geometry, after, *out_ends),
            )
        with self.graph.inserting_after(made):
            result, numbers, out_numbers = (
                self.graph.call_function(operator.getitem, (made, index)) for index in range(3)
            )
        self._copies[behind.site.activation.node].replace_all_uses_with(result)
        return numbers, out_numbers

    def _weight(self, node: fx.Node, index: int) -> Tensor | None:
        weight = node.args[index]
        if not isinstance(weight, fx.Node):
            return None
        found: Tensor = getattr(self._module, str(weight.target)).detach()
        return found

    def _constant(self, value: Tensor) -> fx.Node:
        name = f"one_pass_{len(self.constants)}"
        self.constants[name] = value
        return self.graph.get_attr(name)


def _affine_of(site: Site) -> Tensor:
    given = constants_of(site)
    return kernels.affine_of(
        site.layer.num_units,
        given.inverse_C11,
        given.offset_C11,
        given.scale_C11,
        given.shift_C11,
    )


def _can_be_clamped(site: Site) -> bool:
    """Whether the activation can be applied to the maps themselves once they are reduced."""
    activation, value = site.activation, site.node.meta["val"]
    return (
        site.layer.kind == "conv"
        and activation is not None
        and activation.scale_1C11 is None
        and is_clamp(activation.node)
        and activation.node.args[0] is site.node
        and kernels.can_reduce(value)
        and kernels.can_clamp(value, *clamp_ends(activation.node))
    )


def _depthwise_behind(
    site: Site, by_node: Mapping[fx.Node, Site], constants: fx.GraphModule
) -> _Depthwise | None:
    """The depthwise convolution that alone reads what is behind a layer's clamp, if it is one that
    is computed in the same go; zeros may be put around the maps in between."""
    if not _can_be_clamped(site):
        return None
    assert site.activation is not None
    reader, top, left = _only_reader(site.activation.node), 0, 0
    if reader is not None and reader.target is aten.constant_pad_nd.default:
        pads: Any = reader.args[1]
        fill: Any = reader.args[2] if len(reader.args) > 2 else 0.0
        if len(pads) != 4 or min(pads) < 0 or fill:
            return None
        left, top = pads[0], pads[2]
        reader = _only_reader(reader)
    behind = by_node.get(reader) if reader is not None else None
    if behind is None or not _can_be_clamped(behind):
        return None
    weight, stride, padding, dilation, transposed, groups = (
        behind.node.args[index] for index in (1, 3, 4, 5, 6, 8)
    )
    assert isinstance(weight, fx.Node)
    steps, pads, spread = pair(stride), pair(padding), pair(dilation)
    is_plain = steps[0] == steps[1] and spread == (1, 1) and not transposed
    value = site.node.meta["val"]
    if not is_plain or groups != site.layer.num_units or weight.op != "get_attr":
        return None
    if not kernels.can_convolve(value, getattr(constants, str(weight.target)), steps[0]):
        return None
    return _Depthwise(behind, top + pads[0], left + pads[1], steps[0])


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None

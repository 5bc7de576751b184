"""The maps of a step's layers, from the values that a run of the network has left behind."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rtvis.engine.joint.pieces import Pieces
from rtvis.engine.joint.placed import Affine, affine_of
from rtvis.engine.layers.activations import Activation
from rtvis.engine.layers.queries import Queries
from rtvis.engine.layers.site import Site
from rtvis.engine.turn.readings import position_and_value
from rtvis.threads import cpu_threads

aten = torch.ops.aten


class LayerMaps:
    """How each layer's value becomes its maps; what that takes lies on the device.

    Args:
        pieces: Of the step; where the forward piece keeps a value, its constants are used.
        device: Where the values are.
    """

    def __init__(self, pieces: Pieces, device: torch.device) -> None:
        self._pieces = pieces
        self._num_threads = torch.get_num_threads()
        dtype = pieces.forward.examples[0].dtype
        with cpu_threads(1):
            self._activations = [s.activation and s.activation.to(device) for s in pieces.sites]
            self._affines = [affine_of(s, s.node.meta["val"].dtype, device) for s in pieces.sites]
            self._queries = [
                Queries(s, pieces.queries[s.node.name], dtype, device) if s.attention else None
                for s in pieces.sites
            ]

    def affine(self, site: Site) -> Affine | None:
        """Of the batch norm that was folded into a layer."""
        return self._affines[site.layer.index]

    def activation(self, site: Site) -> Activation | None:
        """What alone reads a layer's value, if it is an activation function."""
        return self._activations[site.layer.index]

    def query(self, site: Site, row_B: Tensor, column_B: Tensor) -> Tensor | None:
        """The weight of each query at attention: there a position says who asks."""
        queries = self._queries[site.layer.index]
        return None if queries is None else queries.weights(row_B, column_B)

    def default_query(self, site: Site) -> Tensor | None:
        """The same where no position is chosen, for the step's batch."""
        queries = self._queries[site.layer.index]
        return None if queries is None else queries.default_Q.expand(self._pieces.batch, -1)

    def place(
        self, site: Site, map_BHW: Tensor, row_B: Tensor, column_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(row, column) of the seed, and the value there; at attention always the maximum."""
        if site.attention is not None:
            row_B = torch.full_like(row_B, -1)
        return position_and_value(map_BHW, row_B, column_B)

    def of(
        self,
        site: Site,
        values: Mapping[str, Tensor],
        query_BQ: Tensor | None = None,
        *,
        post: bool = False,
        intervened: bool = False,
    ) -> Tensor:
        """A layer's own output, before any batch norm folded into it.

        Args:
            site: The layer.
            values: By node, of one run.
            query_BQ: The weight of each query of attention; other kinds have none.
            post: Whether what leaves the activation behind the layer is wanted.
            intervened: Whether `values` hold gains and offsets of units that were applied.

        Returns:
            [B, C, H, W] in the values' dtype.
        """
        batch, activation = self._pieces.batch, self.activation(site)
        if post and activation is not None:
            after = values.get(activation.node.name)
            if after is None:
                after = activation(self.value(site, values, intervened=intervened))
            return site.as_maps(after, batch)
        value = self.value(site, values, intervened=intervened)
        maps_BCHW = site.as_maps(value, batch, query_BQ)
        affine = self.affine(site)
        if affine is None:
            return maps_BCHW
        if intervened:  # the way that makes a unit that is knocked out exactly zero
            return (maps_BCHW - affine.shift_1C11) * affine.inverse_1C11
        return torch.addcmul(affine.offset_1C11, maps_BCHW, affine.inverse_1C11)

    def value(self, site: Site, values: Mapping[str, Tensor], *, intervened: bool) -> Tensor:
        """The value of a layer's node, computed again where the forward piece keeps it fused."""
        probe = self._pieces.probes[site.node.name]
        if probe is None:
            return values[site.node.name]
        constants = self._pieces.forward.module
        weight = getattr(constants, probe.weight)
        bias = None if probe.bias is None else getattr(constants, probe.bias)
        with cpu_threads(self._num_threads):
            value: Tensor = aten.convolution.default(
                values[probe.source], weight, bias, *probe.arguments
            )
        if not intervened:
            return value
        gain, offset = (
            site.per_unit(values[name], self._pieces.batch) for name in ("gain_BT", "offset_BT")
        )
        return torch.addcmul(offset, value, gain)

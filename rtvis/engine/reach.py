"""Up to one layer and back: two graphs that end there, for any batch size and any seed."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from rtvis.engine.compiled.compile import Compiler
from rtvis.engine.dense import REGION
from rtvis.engine.flat.trace import FlatModel, flatten
from rtvis.engine.flat.vjps import Thresholds
from rtvis.engine.joint.build import build_reach
from rtvis.engine.joint.placed import affine_of
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.layers.queries import Queries
from rtvis.engine.layers.site import Site
from rtvis.engine.networks.layer_rules import apply_rules
from rtvis.engine.networks.network import Network
from rtvis.engine.turn.objectives import UnitSeed
from rtvis.engine.turn.reached import Reached
from rtvis.engine.turn.runners import Runners
from rtvis.threads import cpu_threads

_MAX_FLAT = 2
"""Batch sizes whose graph is kept: each has the network's folded weights."""
_MAX_REACHES = 8


class Reach:
    """The network from its input to one layer and back, for one batch size.

    Args:
        flat: The model as a graph for that batch size.
        sites: All its layers.
        site: The one to reach.
        queries: Who asks at attention, by node.
        device: Where to run.
    """

    def __init__(
        self,
        flat: FlatModel,
        sites: tuple[Site, ...],
        site: Site,
        queries: Mapping[str, tuple[int, ...]],
        device: torch.device,
    ) -> None:
        self._site, self._device = site, device
        self._forward, self._backward = build_reach(flat, sites, site)
        self._batch = int(self._forward.examples[0].shape[0])
        self._runners = Runners([self._forward, self._backward], device)
        dtype = self._forward.examples[0].dtype
        self._affine = affine_of(site, dtype, device)
        self._query_BQ: Tensor | None = None
        if site.attention is not None:
            query_Q = Queries(site, queries[site.node.name], dtype, device).default_Q
            self._query_BQ = query_Q.expand(self._batch, -1)
        self._region: Tensor | None = None
        if REGION in self._forward.inputs:
            like = self._forward.examples[self._forward.inputs.index(REGION)]
            share = 1 / like.shape[1]  # the whole output counts
            self._region = torch.full(like.shape, share, dtype=like.dtype, device=device)
        self._compiler: Compiler | None = None

    def compile(self, folder: Path, *, timeout_s: float | None = None) -> bool:
        """Compile, or load what was compiled before, and wait for it; False if it did not work.

        The eager form serves where it did not.
        """
        if self._compiler is None:
            pieces = (self._forward, self._backward)
            self._compiler = Compiler(
                pieces, self._device, folder, self._runners.replace, num_plain=2
            )
            self._compiler.start()
        return self._compiler.wait(timeout_s)

    @property
    def is_compiled(self) -> bool:
        """Whether both ways are."""
        return self._compiler is not None and self._compiler.is_complete

    def close(self) -> None:
        """Stop compiling. Safe to call twice."""
        if self._compiler is not None:
            self._compiler.close()

    def run(self, x_BCHW: Tensor) -> Reached:
        """Run the network up to the layer; the input is in its dtype and channels_last."""
        values = {self._forward.inputs[0]: x_BCHW}
        if self._region is not None:
            values[REGION] = self._region
        values |= self._runners.run(self._forward, values)
        site, affine = self._site, self._affine
        with cpu_threads(1):
            value = values[site.node.name]
            maps_BCHW = site.as_maps(value, self._batch, self._query_BQ)
            if affine is not None:
                maps_BCHW = torch.addcmul(affine.offset_1C11, maps_BCHW, affine.inverse_1C11)

        def pull_back(seed: UnitSeed | Tensor, rule: Thresholds) -> Tensor:
            grads_BCHW = seed.over_layer(maps_BCHW) if isinstance(seed, UnitSeed) else seed
            if affine is not None:
                grads_BCHW = grads_BCHW * affine.inverse_1C11
            g = site.from_maps(grads_BCHW, self._batch, self._query_BQ).reshape(value.shape)
            given = {**values, "g": g, **rule._asdict()}
            (grad,) = self._runners.run(self._backward, given).values()
            return grad

        return Reached(layer=site.layer, maps_BCHW=maps_BCHW, pull_back=pull_back)


class Reaches:
    """The reaches of one network, each made when it is first wanted: one to three seconds.

    Args:
        network: Which; its model can be traced.
        device: Where to run.
        dtype: In what.
        queries: Who asks at attention, by node.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device,
        dtype: torch.dtype,
        queries: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._network, self._device, self._dtype = network, device, dtype
        self._queries = queries
        self._flat: OrderedDict[int, tuple[FlatModel, tuple[Site, ...]]] = OrderedDict()
        self._made: OrderedDict[tuple[int, int], Reach] = OrderedDict()

    def get(self, batch: int, layer: int) -> Reach:
        """The one for a batch size and the index of a layer."""
        key = batch, layer
        if key not in self._made:
            with cpu_threads(1):
                flat, sites = self._traced(batch)
            self._made[key] = Reach(flat, sites, sites[layer], self._queries, self._device)
            if len(self._made) > _MAX_REACHES:
                self._made.popitem(last=False)[1].close()
        self._made.move_to_end(key)
        return self._made[key]

    def close(self) -> None:
        """Stop compiling. Safe to call twice."""
        for reach in self._made.values():
            reach.close()

    def _traced(self, batch: int) -> tuple[FlatModel, tuple[Site, ...]]:
        if batch not in self._flat:
            prep, name = self._network.preprocessing, f"network '{self._network.name}'"
            example = torch.empty(batch, prep.num_channels, *prep.size, dtype=self._dtype)
            flat = flatten(self._network.model, example, name=name)
            sites = find_layers(flat, batch)
            rules = self._network.layer_rules
            self._flat[batch] = flat, apply_rules(sites, rules, name=self._network.name)
            if len(self._flat) > _MAX_FLAT:
                self._flat.popitem(last=False)
        self._flat.move_to_end(batch)
        return self._flat[batch]

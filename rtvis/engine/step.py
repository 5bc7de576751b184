"""One turn: what a selection asks for, computed from the pieces without a host sync.

Which pieces run depends on the selected layer, known on the host. Unit, position, class, seed and
rule are read from two small tensors, so that they can change between two replays of a CUDA graph.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from rtvis.engine.asked import ClickTensors, Outcome, Route
from rtvis.engine.backward import plain_pass
from rtvis.engine.dense import REGION, region_dtype, region_weights
from rtvis.engine.layers import Site
from rtvis.engine.objectives import UnitSeed
from rtvis.engine.pieces import Piece, Pieces, Segment
from rtvis.engine.placed import affine_of, no_gradient
from rtvis.engine.queries import Queries, stack_of
from rtvis.engine.reached import Reached
from rtvis.engine.readings import at_least_float32, health_of, position_and_value, unit_map
from rtvis.engine.runners import Runners
from rtvis.engine.vjps import Thresholds
from rtvis.registry import AnyMethod, AttentionMethod, CamMethod
from rtvis.threads import cpu_threads

aten = torch.ops.aten


class Step:
    """The fused step of one network at one batch size, in whatever form its pieces have now.

    Belongs to the engine thread; another one may give its `runners` a better form of a piece.
    """

    def __init__(self, pieces: Pieces, device: torch.device) -> None:
        self.pieces = pieces
        self.device = device
        self._num_threads = torch.get_num_threads()
        self._no_picture: Tensor | None = None
        self.runners = Runners(pieces.all_pieces(), device)
        self._sites = pieces.sites
        with cpu_threads(1):
            self._zeros = [no_gradient(s.backward, device) for s in pieces.segments]
            self._units_U = torch.arange(pieces.most_units, device=device)
            self._activations = [s.activation and s.activation.to(device) for s in pieces.sites]
            self._affines = [affine_of(s, s.node.meta["val"].dtype, device) for s in pieces.sites]
            dtype = pieces.forward.examples[0].dtype
            self._queries = [
                Queries(s, pieces.queries[s.node.name], dtype, device) if s.attention else None
                for s in pieces.sites
            ]
            size = (pieces.batch, pieces.most_queries)
            self._no_query = torch.zeros(size, dtype=dtype, device=device)
        self._shortened: dict[int, Piece] = {}

    def run(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors, cam_method: AnyMethod
    ) -> Outcome:
        """Compute a turn.

        Args:
            x_BCHW: Preprocessed input in the pieces' dtype, channels_last, on the device.
            route: Which layers are asked for.
            click: The rest of the selection, on the device.
            cam_method: The method that `route.cam` names.
        """
        with cpu_threads(1):  # for what lies between the pieces
            return self._run(x_BCHW, route, click, cam_method)

    def _run(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors, cam_method: AnyMethod
    ) -> Outcome:
        pieces = self.pieces
        values: dict[str, Tensor] = {
            pieces.forward.inputs[0]: x_BCHW,
            "gain_BT": click.gain_BT,
            "offset_BT": click.offset_BT,
        }
        if pieces.output_size is not None:
            kind = region_dtype(x_BCHW.dtype)
            values[REGION] = region_weights(click.corners_B4, pieces.output_size, kind)
        values.update(self.runners.run(pieces.forward, values))
        untouched_scores_BK = scores_BK = values[pieces.scores].float()
        if route.intervened:
            values.update(self.runners.run(pieces.intervened, values))
            scores_BK = values[pieces.scores].float()
        unit_B, row_B, column_B, *origin, wanted_B = click.index_B7.unbind(1)
        class_B = torch.where(wanted_B >= 0, wanted_B, scores_BK.argmax(dim=1))

        site = self._sites[route.site]
        query_BQ = self._query(site, row_B, column_B)
        maps_BCHW = self._maps(site, values, query_BQ, route)
        if isinstance(cam_method, AttentionMethod):
            cam_BHW = self._relevance(values, class_B, cam_method)
        else:
            cam_BHW = self._cam(values, class_B, cam_method, route, maps_BCHW)

        map_BHW = unit_map(maps_BCHW, unit_B)
        position_B2, value_B = self._place(site, map_BHW, row_B, column_B)
        start = _Start(self._sites[route.origin_site], unit_B, map_BHW, position_B2, query_BQ)
        if route.frozen:
            start = self._start(route, values, maps_BCHW, *origin)
        backprop_BCHW, grads_BCHW = self._blank(x_BCHW), None
        if route.backward or route.gradients:
            backprop_BCHW, grads_BCHW = self._backward(
                route, values, start, query_BQ, click.amount_B5
            )
        if grads_BCHW is None and route.gradients:
            grads_BCHW = torch.zeros_like(maps_BCHW)
        dense_BKHW = None if pieces.dense is None else values[pieces.dense]
        return Outcome(
            scores_BK=scores_BK,
            maps_BCHW=maps_BCHW,
            cam_BHW=cam_BHW,
            backprop_BCHW=backprop_BCHW,
            class_index_B=class_B,
            position_B2=position_B2,
            value_B=value_B,
            grads_BCHW=grads_BCHW,
            beside_BCHW=self._beside(values, route, row_B),
            health_B=health_of(
                maps_BCHW,
                map_BHW,
                start.map_BHW,
                backprop_BCHW if route.backward or route.gradients else None,
                cam_BHW,
                grads_BCHW,
            ),
            untouched_scores_BK=untouched_scores_BK,
            dense_BKHW=dense_BKHW,
            labels_BHW=None if dense_BKHW is None else self._labels(dense_BKHW),
        )

    def reach(self, x_BCHW: Tensor, site: Site) -> Reached:
        """Run the network for what one layer alone is asked; whole only where it is compiled.

        Its `pull_back` takes the seed of one unit for each picture, or a gradient of the scores.
        """
        pieces = self.pieces
        with cpu_threads(1):
            ones_BT = x_BCHW.new_ones(pieces.batch, pieces.num_units)
            values = {pieces.forward.inputs[0]: x_BCHW, "gain_BT": ones_BT}
            if pieces.output_size is not None:
                height, width = pieces.output_size
                size, kind = (pieces.batch, height * width, 1), region_dtype(x_BCHW.dtype)
                share = 1 / (height * width)
                values[REGION] = torch.full(size, share, dtype=kind, device=x_BCHW.device)
            values.update(self.runners.run(self._forward_for(site), values))
            query_BQ = None
            if (queries := self._queries[site.layer.index]) is not None:
                query_BQ = queries.default_Q.expand(pieces.batch, -1)
            maps_BCHW = self._maps(site, values, query_BQ, _PLAINLY)

        def pull_back(seed: UnitSeed | Tensor, rule: Thresholds) -> Tensor:
            with cpu_threads(1):
                return self._pulled(site, {**values, **rule._asdict()}, seed, query_BQ)

        return Reached(layer=site.layer, maps_BCHW=maps_BCHW, pull_back=pull_back)

    def _pulled(
        self,
        site: Site,
        values: dict[str, Tensor],
        seed: UnitSeed | Tensor,
        query_BQ: Tensor | None,
    ) -> Tensor:
        """The gradient at the input of a seed at one layer; `values` hold the rule."""
        pieces = self.pieces
        top = pieces.segment_of(site)
        segments = pieces.segments[: top + 1]
        if not isinstance(seed, UnitSeed):
            assert site.node.name == pieces.scores, "a pass starts at one unit, or at the scores"
            sizes = pieces.most_units, pieces.largest_map, pieces.most_queries
            data = plain_pass(pieces.batch, *sizes, like=seed)
            given = {**data, **values}
            return self._descend(segments, seed.flatten(1), given)
        unit_B, map_BHW = seed
        rule = Thresholds(values["tx"], values["tg"])
        start = _Start(site, unit_B, map_BHW, torch.empty(0), query_BQ)
        data = {
            "site_B": torch.full_like(unit_B, site.layer.index),
            "unit_BU": (self._units_U == unit_B[:, None]).to(map_BHW.dtype),
            "map_BS": self._seed_at_node(_PLAINLY, values, start, map_BHW.flatten(1), rule),
            "query_BQ": self._padded_query(query_BQ),
        }
        return self._descend(segments, self._zeros[top], {**values, **data})

    def _forward_for(self, site: Site) -> Piece:
        """The forward pass; while it runs eagerly, without what lies above a layer."""
        pieces, forward = self.pieces, self.pieces.forward
        if not self.runners.is_eager(forward):
            return forward
        if site.layer.index not in self._shortened:
            probe = pieces.probes[site.node.name]
            wanted = {site.node.name if probe is None else probe.source}
            for segment in pieces.segments[: pieces.segment_of(site) + 1]:
                wanted.update(segment.backward.inputs)
            shortened = forward.with_outputs(wanted, name=f"forward_to_{site.layer.index}")
            self.runners.add(shortened)
            self._shortened[site.layer.index] = shortened
        return self._shortened[site.layer.index]

    def _blank(self, x_BCHW: Tensor) -> Tensor:
        """In the place of a backward picture that nobody asked for. Never written to."""
        if self._no_picture is None:
            self._no_picture = torch.zeros_like(x_BCHW)
        return self._no_picture

    def _labels(self, dense_BKHW: Tensor) -> Tensor | None:
        """The best class of each pixel; None where there is only one."""
        if dense_BKHW.shape[1] == 1:
            return None
        with cpu_threads(self._num_threads):
            # Half the time of `argmax` with channels last; of equal ones the first, as there.
            return dense_BKHW.max(dim=1).indices

    def _start(
        self,
        route: Route,
        values: dict[str, Tensor],
        maps_BCHW: Tensor,
        unit_B: Tensor,
        row_B: Tensor,
        column_B: Tensor,
    ) -> "_Start":
        """Where the backward pass starts when that is not what is looked at."""
        site = self._sites[route.origin_site]
        query_BQ = self._query(site, row_B, column_B)
        if route.origin_site != route.site or query_BQ is not None:
            maps_BCHW = self._maps(site, values, query_BQ, route)
        map_BHW = unit_map(maps_BCHW, unit_B)
        position_B2, _ = self._place(site, map_BHW, row_B, column_B)
        return _Start(site, unit_B, map_BHW, position_B2, query_BQ)

    def _beside(self, values: dict[str, Tensor], route: Route, row_B: Tensor) -> Tensor | None:
        """The maps of a layer that nothing is asked about."""
        if route.beside_site is None:
            return None
        site, nowhere_B = self._sites[route.beside_site], torch.full_like(row_B, -1)
        return self._maps(site, values, self._query(site, nowhere_B, nowhere_B), route)

    def _query(self, site: Site, row_B: Tensor, column_B: Tensor) -> Tensor | None:
        """The weight of each query at attention: there a position says who asks."""
        queries = self._queries[site.layer.index]
        return None if queries is None else queries.weights(row_B, column_B)

    def _place(
        self, site: Site, map_BHW: Tensor, row_B: Tensor, column_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(row, column) of the seed, and the value there; at attention always the maximum."""
        if site.attention is not None:
            row_B = torch.full_like(row_B, -1)
        return position_and_value(map_BHW, row_B, column_B)

    def _cam(
        self,
        values: dict[str, Tensor],
        class_B: Tensor,
        cam_method: CamMethod,
        route: Route,
        maps_BCHW: Tensor,
    ) -> Tensor:
        """By the maps and gradients of one layer, whose own output is what counts."""
        site = self._sites[route.cam_site]
        if route.cam_site != route.site or (route.tap == "post" and site.activation):
            maps_BCHW = self._maps(site, values, None, replace(route, tap="pre"))
        grads_BCHW = self._cam_gradient(values, site, class_B)
        return cam_method(at_least_float32(maps_BCHW), at_least_float32(grads_BCHW))

    def _relevance(
        self, values: dict[str, Tensor], class_B: Tensor, method: AttentionMethod
    ) -> Tensor:
        """By the attention of all layers, on the grid of their tokens."""
        pieces, batch = self.pieces, self.pieces.batch
        stack = stack_of(pieces.sites)
        maps = [_heads(site, values[site.node.name], batch) for site in stack]
        grads = []
        if method.uses_gradients:
            found = self._plain_gradients(values, stack, class_B)
            grads = [_heads(site, found[site.node.name], batch) for site in stack]
        queries = self._queries[stack[-1].layer.index]
        assert queries is not None, "every attention has queries"
        relevance_BT = method.explain(maps, grads, queries.default_Q.expand(batch, -1))
        return stack[-1].on_grid(relevance_BT)

    def _maps(
        self, site: Site, values: dict[str, Tensor], query_BQ: Tensor | None, route: Route
    ) -> Tensor:
        """The layer's own output, before any batch norm folded into it, or what leaves the
        activation behind it."""
        post, intervened = route.tap == "post", route.intervened
        activation = self._activations[site.layer.index]
        if post and activation is not None:
            after = values.get(activation.node.name)
            if after is None:
                after = activation(self._value_of(site, values, intervened=intervened))
            return site.as_maps(after, self.pieces.batch)
        value = self._value_of(site, values, intervened=intervened)
        maps_BCHW = site.as_maps(value, self.pieces.batch, query_BQ)
        affine = self._affines[site.layer.index]
        if affine is None:
            return maps_BCHW
        if intervened:  # the way that makes a unit that is knocked out exactly zero
            return (maps_BCHW - affine.shift_1C11) * affine.inverse_1C11
        return torch.addcmul(affine.offset_1C11, maps_BCHW, affine.inverse_1C11)

    def _value_of(self, site: Site, values: dict[str, Tensor], *, intervened: bool) -> Tensor:
        """The value of a layer's node, computed again where the forward piece keeps it fused."""
        probe = self.pieces.probes[site.node.name]
        if probe is None:
            return values[site.node.name]
        constants = self.pieces.forward.module
        weight = getattr(constants, probe.weight)
        bias = None if probe.bias is None else getattr(constants, probe.bias)
        with cpu_threads(self._num_threads):
            value: Tensor = aten.convolution.default(
                values[probe.source], weight, bias, *probe.arguments
            )
        if not intervened:
            return value
        gain, offset = (
            site.per_unit(values[name], self.pieces.batch) for name in ("gain_BT", "offset_BT")
        )
        return torch.addcmul(offset, value, gain)

    def _cam_gradient(self, values: dict[str, Tensor], site: Site, class_B: Tensor) -> Tensor:
        """Plain gradient of the class score at a layer's own output, [B, C, H, W]."""
        pieces = self.pieces
        if site is pieces.cam_site:
            found = self.runners.run(pieces.cam, {**values, "class_B": class_B})
        else:
            found = self._plain_gradients(values, [site], class_B)
        grads_BCHW = site.as_maps(found[site.node.name], pieces.batch)
        affine = self._affines[site.layer.index]
        return grads_BCHW if affine is None else grads_BCHW * affine.scale_1C11

    def _plain_gradients(
        self, values: dict[str, Tensor], sites: Sequence[Site], class_B: Tensor
    ) -> dict[str, Tensor]:
        """Gradients of the class score at the nodes of some layers, and at others on the way."""
        pieces = self.pieces
        scores_BK = values[pieces.scores]
        classes_K = torch.arange(scores_BK.shape[1], device=self.device)
        grad: Tensor = (classes_K == class_B[:, None]).to(scores_BK.dtype)
        sizes = pieces.most_units, pieces.largest_map, pieces.most_queries
        given = {**values, **plain_pass(pieces.batch, *sizes, like=scores_BK)}
        found: dict[str, Tensor] = {}
        lowest = min(pieces.segment_of(site) for site in sites)
        for segment in reversed(pieces.segments[lowest:]):
            is_tapped = any(site in segment.sites for site in sites)
            piece = segment.tapped if is_tapped else segment.backward
            found |= self.runners.run(piece, {**given, "g": grad})
            grad = found[piece.outputs[0]]
        return found

    def _backward(
        self,
        route: Route,
        values: dict[str, Tensor],
        start: "_Start",
        query_BQ: Tensor | None,
        amount_B5: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Gradient at the input of what the seed adds, and the one at the layer looked at.

        The second is None where it is not wanted, and where the pass does not come by.
        """
        pieces = self.pieces
        site = self._sites[route.site]
        seed_BS = self._seed(start, amount_B5)
        tx, tg = (amount_B5[0, i].to(seed_BS.dtype) for i in (3, 4))
        top = pieces.segment_of(start.site)
        data = {
            "site_B": torch.full_like(start.unit_B, start.site.layer.index),
            "unit_BU": (self._units_U == start.unit_B[:, None]).to(seed_BS.dtype),
            "map_BS": self._seed_at_node(route, values, start, seed_BS, Thresholds(tx, tg)),
            "query_BQ": self._padded_query(start.query_BQ),
            "tx": tx,
            "tg": tg,
        }
        segments, given = pieces.segments[: top + 1], {**values, **data}
        if not route.gradients or site is start.site:
            grad = self._descend(segments, self._zeros[top], given)
            if not route.gradients:
                return grad, None
            chosen_BC = data["unit_BU"][:, : site.layer.num_units]
            placed_BCS = chosen_BC[:, :, None] * seed_BS[:, None, :]
            return grad, placed_BCS.reshape(*placed_BCS.shape[:2], *site.layer.map_size)
        post = route.tap == "post" and site.activation is not None
        at = site.activation.node.name if post and site.activation is not None else site.node.name
        grad, found = self._descend_past(at, segments, self._zeros[top], given)
        if found is None:
            return grad, None
        grads_BCHW = site.as_maps(found, pieces.batch, query_BQ)
        affine = None if post else self._affines[site.layer.index]
        return grad, grads_BCHW if affine is None else grads_BCHW * affine.scale_1C11

    def _descend(
        self, segments: Sequence[Segment], grad: Tensor, values: dict[str, Tensor]
    ) -> Tensor:
        """Pass `grad` from the top of the last segment to the bottom of the first one."""
        for segment in reversed(segments):
            found = self.runners.run(segment.backward, {**values, "g": grad})
            grad = found[segment.backward.outputs[0]]
        return grad

    def _descend_past(
        self, node: str, segments: Sequence[Segment], grad: Tensor, values: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """As `_descend`, and the gradient at a node on the way; None if it is not there."""
        for index in reversed(range(len(segments))):
            tapped = segments[index].tapped
            if node in tapped.outputs[1:]:
                grad = self._descend(segments[index + 1 :], grad, values)
                found = self.runners.run(tapped, {**values, "g": grad})
                return self._descend(segments[:index], found[tapped.outputs[0]], values), found[
                    node
                ]
        return self._descend(segments, grad, values), None

    def _padded_query(self, query_BQ: Tensor | None) -> Tensor:
        if query_BQ is None:
            return self._no_query
        spare = self.pieces.most_queries - query_BQ.shape[1]
        return torch.nn.functional.pad(query_BQ, (0, spare))

    def _seed(self, start: "_Start", amount_B5: Tensor) -> Tensor:
        """The gradient of what is explained at the starting unit's map, rows end to end."""
        flat_BS = start.map_BHW.flatten(1)
        neuron_B = start.position_B2[:, 0] * start.map_BHW.shape[2] + start.position_B2[:, 1]
        places_S = torch.arange(flat_BS.shape[1], device=self.device)
        neuron_BS = (places_S == neuron_B[:, None]).to(flat_BS.dtype)
        neuron, whole, active = (amount_B5[:, i, None].to(flat_BS.dtype) for i in range(3))
        return neuron * neuron_BS + whole + active * flat_BS

    def _seed_at_node(
        self,
        route: Route,
        values: dict[str, Tensor],
        start: "_Start",
        seed_BS: Tensor,
        rule: Thresholds,
    ) -> Tensor:
        """The seed as it arrives at the layer's node, padded with zeros."""
        site, affine = start.site, self._affines[start.site.layer.index]
        activation = self._activations[site.layer.index]
        if route.tap == "post" and activation is not None:
            before_BHW = start.map_BHW
            if activation.reads_before:
                value = self._value_of(site, values, intervened=route.intervened)
                before_BHW = unit_map(site.as_maps(value, self.pieces.batch), start.unit_B)
            g_BHW = seed_BS.view_as(start.map_BHW)
            seed_BS = activation.pass_back(
                g_BHW, unit_B=start.unit_B, before=before_BHW, after=start.map_BHW, rule=rule
            ).flatten(1)
        elif affine is not None:
            seed_BS = seed_BS * affine.inverse_1C11.flatten()[start.unit_B, None]
        return torch.nn.functional.pad(seed_BS, (0, self.pieces.largest_map - seed_BS.shape[1]))


_PLAINLY = Route(
    site=0,
    origin_site=0,
    frozen=False,
    tap="pre",
    backward=True,
    gradients=False,
    beside_site=None,
    cam_site=0,
    cam="",
    intervened=False,
)
"""A layer's own output, as the network computes it."""


class _Start(NamedTuple):
    """Where a backward pass starts."""

    site: Site
    unit_B: Tensor
    map_BHW: Tensor
    """Of that unit, at the selection's tap."""
    position_B2: Tensor
    query_BQ: Tensor | None
    """At attention, whose map it is."""


def _heads(site: Site, value: Tensor, batch: int) -> Tensor:
    """[B, C, Q, T] of an attention without windows."""
    assert site.attention is not None
    return site.attention.matrices(value, batch)[:, 0]

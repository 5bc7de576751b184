"""One turn: what a selection asks for, computed from the pieces without a host sync.

Which pieces run depends on the selected layer, known on the host. Unit, position, class, seed and
rule are read from two small tensors, so that they can change between two replays of a CUDA graph.
"""

from typing import TypedDict

import torch
from torch import Tensor

from rtvis.engine.dense import REGION, labels_of, region_dtype, region_weights
from rtvis.engine.flat.vjps import Thresholds
from rtvis.engine.joint.pieces import Piece, Pieces
from rtvis.engine.layers.site import Site
from rtvis.engine.turn.asked import ClickTensors, Outcome, Route
from rtvis.engine.turn.evidence import Evidence
from rtvis.engine.turn.layer_maps import LayerMaps
from rtvis.engine.turn.objectives import UnitSeed
from rtvis.engine.turn.reached import Reached
from rtvis.engine.turn.readings import health_of, unit_map
from rtvis.engine.turn.runners import Runners
from rtvis.engine.turn.way_back import Start, WayBack
from rtvis.registry import AnyMethod
from rtvis.threads import cpu_threads


class Step:
    """The fused step of one network at one batch size, in whatever form its pieces have now.

    Belongs to the engine thread; another one may give its `runners` a better form of a piece.
    """

    def __init__(self, pieces: Pieces, device: torch.device) -> None:
        self.pieces = pieces
        self.device = device
        self.runners = Runners(pieces.all_pieces(), device)
        self._num_threads = torch.get_num_threads()
        self._maps = LayerMaps(pieces, device)
        self._way_back = WayBack(pieces, self.runners, self._maps, device)
        self._evidence = Evidence(pieces, self.runners, self._maps, self._way_back)
        self._no_picture: Tensor | None = None
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
        pieces, maps = self.pieces, self._maps
        tapped = _tapped(route)
        values, untouched_scores_BK = self._forward(x_BCHW, route, click)
        scores_BK = values[pieces.scores].float() if route.intervened else untouched_scores_BK
        unit_B, row_B, column_B, *origin, wanted_B = click.index_B7.unbind(1)
        class_B = torch.where(wanted_B >= 0, wanted_B, scores_BK.argmax(dim=1))

        site, cam_site = pieces.sites[route.site], pieces.sites[route.cam_site]
        query_BQ = maps.query(site, row_B, column_B)
        maps_BCHW = maps.of(site, values, query_BQ, **tapped)
        is_own = not (tapped["post"] and site.activation)
        cam_BHW = self._evidence.by(
            cam_method,
            cam_site,
            values,
            class_B,
            maps_BCHW=maps_BCHW if is_own and cam_site is site else None,
            intervened=route.intervened,
        )

        map_BHW = unit_map(maps_BCHW, unit_B)
        position_B2, value_B = maps.place(site, map_BHW, row_B, column_B)
        origin_site = pieces.sites[route.origin_site]
        start = Start(origin_site, unit_B, map_BHW, position_B2, query_BQ, **tapped)
        if route.frozen:
            start = self._start(route, values, maps_BCHW, *origin)
        backprop_BCHW, grads_BCHW = self._blank(x_BCHW), None
        goes_back = route.backward or route.gradients
        if goes_back and route.from_score:
            backprop_BCHW, grads_BCHW = self._way_back.of_class(
                route, values, class_B, query_BQ, click.amount_B5
            )
        elif goes_back:
            backprop_BCHW, grads_BCHW = self._way_back.of_unit(
                route, values, start, query_BQ, click.amount_B5
            )
        if grads_BCHW is None and route.gradients:
            grads_BCHW = torch.zeros_like(maps_BCHW)
        dense_BKHW = None if pieces.dense is None else values[pieces.dense]
        with cpu_threads(self._num_threads):
            labels_BHW = labels_of(dense_BKHW)
        picture = backprop_BCHW if goes_back else None
        start_map = scores_BK if route.from_score else start.map_BHW
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
            health_B=health_of(maps_BCHW, map_BHW, start_map, picture, cam_BHW, grads_BCHW),
            untouched_scores_BK=untouched_scores_BK,
            dense_BKHW=dense_BKHW,
            labels_BHW=labels_BHW,
        )

    def _forward(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The values of the network, and the scores without interventions."""
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
        untouched_scores_BK = values[pieces.scores].float()
        if route.changed_from is not None:  # what lies below is as it was
            for piece in pieces.intervened[route.changed_from :]:
                values.update(self.runners.run(piece, values))
        return values, untouched_scores_BK

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
            query_BQ = self._maps.default_query(site)
            maps_BCHW = self._maps.of(site, values, query_BQ)

        def pull_back(seed: UnitSeed | Tensor, rule: Thresholds) -> Tensor:
            with cpu_threads(1):
                return self._way_back.of_seed(site, values, seed, query_BQ, rule)

        return Reached(layer=site.layer, maps_BCHW=maps_BCHW, pull_back=pull_back)

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

    def _start(
        self,
        route: Route,
        values: dict[str, Tensor],
        maps_BCHW: Tensor,
        unit_B: Tensor,
        row_B: Tensor,
        column_B: Tensor,
    ) -> Start:
        """Where the backward pass starts when that is not what is looked at."""
        site, tapped = self.pieces.sites[route.origin_site], _tapped(route)
        query_BQ = self._maps.query(site, row_B, column_B)
        if route.origin_site != route.site or query_BQ is not None:
            maps_BCHW = self._maps.of(site, values, query_BQ, **tapped)
        map_BHW = unit_map(maps_BCHW, unit_B)
        position_B2, _ = self._maps.place(site, map_BHW, row_B, column_B)
        return Start(site, unit_B, map_BHW, position_B2, query_BQ, **tapped)

    def _beside(self, values: dict[str, Tensor], route: Route, row_B: Tensor) -> Tensor | None:
        """The maps of a layer that nothing is asked about."""
        if route.beside_site is None:
            return None
        site, nowhere_B = self.pieces.sites[route.beside_site], torch.full_like(row_B, -1)
        query_BQ = self._maps.query(site, nowhere_B, nowhere_B)
        return self._maps.of(site, values, query_BQ, **_tapped(route))


class _Tapped(TypedDict):
    post: bool
    intervened: bool


def _tapped(route: Route) -> _Tapped:
    """Which values of its layers a turn is about."""
    return _Tapped(post=route.tap == "post", intervened=route.intervened)

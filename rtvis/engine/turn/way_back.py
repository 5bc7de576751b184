"""From a layer, or from a score, down to the input, by the backward pieces of a step."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rtvis.engine.flat.vjps import Thresholds
from rtvis.engine.joint.backward import plain_pass
from rtvis.engine.joint.pieces import Pieces, Segment
from rtvis.engine.joint.placed import no_gradient
from rtvis.engine.layers.site import Site
from rtvis.engine.turn.asked import Route
from rtvis.engine.turn.layer_maps import LayerMaps
from rtvis.engine.turn.objectives import UnitSeed, seed_of
from rtvis.engine.turn.readings import unit_map
from rtvis.engine.turn.runners import Runners
from rtvis.threads import cpu_threads


class Start(NamedTuple):
    """Where a backward pass starts."""

    site: Site
    unit_B: Tensor
    map_BHW: Tensor
    """Of that unit."""
    position_B2: Tensor
    query_BQ: Tensor | None
    """At attention, whose map it is."""
    post: bool = False
    """Whether that map is what leaves the activation behind the layer."""
    intervened: bool = False
    """Whether the run's values hold gains and offsets of units that were applied."""


class WayBack:
    """Backward passes through the segments of a step, without waiting for the device.

    Args:
        pieces: Of the step.
        runners: Run them.
        maps: Of its layers.
        device: Where all of it is.
    """

    def __init__(
        self, pieces: Pieces, runners: Runners, maps: LayerMaps, device: torch.device
    ) -> None:
        self._pieces, self._runners, self._maps = pieces, runners, maps
        with cpu_threads(1):
            self._zeros = [no_gradient(s.backward, device) for s in pieces.segments]
            self._units_U = torch.arange(pieces.sizes.most_units, device=device)
            self._no_query = torch.zeros(
                (pieces.batch, pieces.sizes.most_queries),
                dtype=pieces.forward.examples[0].dtype,
                device=device,
            )

    def of_unit(
        self,
        route: Route,
        values: Mapping[str, Tensor],
        start: Start,
        query_BQ: Tensor | None,
        amount_B5: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Gradient at the input of what the seed adds, and the one at the layer looked at.

        The second is None where it is not wanted, and where the pass does not come by.

        Args:
            route: Which layers are asked for.
            values: By node, of one run.
            start: Where the pass starts.
            query_BQ: Of the layer looked at.
            amount_B5: See `ClickTensors`.
        """
        pieces = self._pieces
        site = pieces.sites[route.site]
        seed_BS = seed_of(start.map_BHW, start.position_B2, amount_B5).flatten(1)
        given = self._given(values, start, seed_BS, _rule(amount_B5, seed_BS.dtype))
        top = pieces.segment_of(start.site)
        segments = pieces.segments[: top + 1]
        if not route.gradients or site is start.site:
            grad = self._descend(segments, self._zeros[top], given)
            if not route.gradients:
                return grad, None
            chosen_BC = given["unit_BU"][:, : site.layer.num_units]
            placed_BCS = chosen_BC[:, :, None] * seed_BS[:, None, :]
            return grad, placed_BCS.reshape(*placed_BCS.shape[:2], *site.layer.map_size)
        return self._past_layer(route, segments, self._zeros[top], given, query_BQ)

    def of_class(
        self,
        route: Route,
        values: Mapping[str, Tensor],
        class_B: Tensor,
        query_BQ: Tensor | None,
        amount_B5: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """The same of the score of a class of each picture, by the rule of `amount_B5`."""
        pieces = self._pieces
        g_BK = _chosen(values[pieces.scores], class_B)
        rule = _rule(amount_B5, g_BK.dtype)
        given = {**values, **self._plainly(g_BK), **rule._asdict()}
        if not route.gradients:
            return self._descend(pieces.segments, g_BK, given), None
        return self._past_layer(route, pieces.segments, g_BK, given, query_BQ)

    def _past_layer(
        self,
        route: Route,
        segments: Sequence[Segment],
        grad: Tensor,
        given: Mapping[str, Tensor],
        query_BQ: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """As `_descend`, and the gradient at the layer looked at; None where it is not met."""
        site = self._pieces.sites[route.site]
        behind = site.activation if route.tap == "post" else None
        at = site.node.name if behind is None else behind.node.name
        grad, found = self._descend_past(at, segments, grad, given)
        if found is None:
            return grad, None
        grads_BCHW = site.as_maps(found, self._pieces.batch, query_BQ)
        affine = None if behind is not None else self._maps.affine(site)
        return grad, grads_BCHW if affine is None else grads_BCHW * affine.scale_1C11

    def of_seed(
        self,
        site: Site,
        values: Mapping[str, Tensor],
        seed: UnitSeed | Tensor,
        query_BQ: Tensor | None,
        rule: Thresholds,
    ) -> Tensor:
        """The gradient at the input of a seed at one layer.

        Args:
            site: The layer.
            values: By node, of one run.
            seed: Of one unit for each picture, or a gradient of the scores.
            query_BQ: At attention, whose map it is.
            rule: How ReLU passes gradients back.
        """
        pieces = self._pieces
        top = pieces.segment_of(site)
        segments = pieces.segments[: top + 1]
        if not isinstance(seed, UnitSeed):
            assert site.node.name == pieces.scores, "a pass starts at one unit, or at the scores"
            given = {**self._plainly(seed), **values, **rule._asdict()}
            return self._descend(segments, seed.flatten(1), given)
        unit_B, map_BHW = seed
        start = Start(site, unit_B, map_BHW, torch.empty(0), query_BQ)
        given = self._given(values, start, map_BHW.flatten(1), rule)
        return self._descend(segments, self._zeros[top], given)

    def of_score(
        self, values: Mapping[str, Tensor], sites: Sequence[Site], class_B: Tensor
    ) -> dict[str, Tensor]:
        """Plain gradients of a score at the nodes of some layers, and at others on the way.

        Args:
            values: By node, of one run.
            sites: The layers.
            class_B: int64: the class of each picture.
        """
        pieces = self._pieces
        scores_BK = values[pieces.scores]
        grad = _chosen(scores_BK, class_B)
        given = {**values, **self._plainly(scores_BK)}
        found: dict[str, Tensor] = {}
        lowest = min(pieces.segment_of(site) for site in sites)
        for segment in reversed(pieces.segments[lowest:]):
            is_tapped = any(site in segment.sites for site in sites)
            piece = segment.tapped if is_tapped else segment.backward
            found |= self._runners.run(piece, {**given, "g": grad})
            grad = found[piece.outputs[0]]
        return found

    def _plainly(self, like: Tensor) -> dict[str, Tensor]:
        """The inputs of a pass in which no unit's seed is added."""
        return plain_pass(self._pieces.sizes, like=like)

    def _given(
        self,
        values: Mapping[str, Tensor],
        start: Start,
        seed_BS: Tensor,
        rule: Thresholds,
    ) -> dict[str, Tensor]:
        """The inputs of a pass that starts at one unit of each picture."""
        seed_BS = self._seed_at_node(values, start, seed_BS, rule)
        spare = self._pieces.sizes.largest_map - seed_BS.shape[1]
        return {
            **values,
            "site_B": torch.full_like(start.unit_B, start.site.layer.index),
            "unit_BU": (self._units_U == start.unit_B[:, None]).to(seed_BS.dtype),
            "map_BS": torch.nn.functional.pad(seed_BS, (0, spare)),
            "query_BQ": self._padded_query(start.query_BQ),
            **rule._asdict(),
        }

    def _descend(
        self, segments: Sequence[Segment], grad: Tensor, values: Mapping[str, Tensor]
    ) -> Tensor:
        """Pass `grad` from the top of the last segment to the bottom of the first one."""
        for segment in reversed(segments):
            found = self._runners.run(segment.backward, {**values, "g": grad})
            grad = found[segment.backward.outputs[0]]
        return grad

    def _descend_past(
        self, node: str, segments: Sequence[Segment], grad: Tensor, values: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """As `_descend`, and the gradient at a node on the way; None if it is not there."""
        for index in reversed(range(len(segments))):
            tapped = segments[index].tapped
            if node in tapped.outputs[1:]:
                grad = self._descend(segments[index + 1 :], grad, values)
                found = self._runners.run(tapped, {**values, "g": grad})
                below = self._descend(segments[:index], found[tapped.outputs[0]], values)
                return below, found[node]
        return self._descend(segments, grad, values), None

    def _padded_query(self, query_BQ: Tensor | None) -> Tensor:
        if query_BQ is None:
            return self._no_query
        spare = self._pieces.sizes.most_queries - query_BQ.shape[1]
        return torch.nn.functional.pad(query_BQ, (0, spare))

    def _seed_at_node(
        self,
        values: Mapping[str, Tensor],
        start: Start,
        seed_BS: Tensor,
        rule: Thresholds,
    ) -> Tensor:
        """The seed as it arrives at the layer's node."""
        site = start.site
        activation, affine = self._maps.activation(site), self._maps.affine(site)
        if start.post and activation is not None:
            before_BHW = start.map_BHW
            if activation.reads_before:
                value = self._maps.value(site, values, intervened=start.intervened)
                before_BHW = unit_map(site.as_maps(value, self._pieces.batch), start.unit_B)
            g_BHW = seed_BS.view_as(start.map_BHW)
            return activation.pass_back(
                g_BHW, unit_B=start.unit_B, before=before_BHW, after=start.map_BHW, rule=rule
            ).flatten(1)
        if affine is not None:
            return seed_BS * affine.inverse_1C11.flatten()[start.unit_B, None]
        return seed_BS


def _chosen(scores_BK: Tensor, class_B: Tensor) -> Tensor:
    """1 at the class of each picture, 0 elsewhere."""
    classes_K = torch.arange(scores_BK.shape[1], device=scores_BK.device)
    return (classes_K == class_B[:, None]).to(scores_BK.dtype)


def _rule(amount_B5: Tensor, dtype: torch.dtype) -> Thresholds:
    """The rule of a click; see `ClickTensors`."""
    return Thresholds(*(amount_B5[0, i].to(dtype) for i in (3, 4)))

"""Where the evidence for a class lies: by the maps of one layer, or the attention of all."""

from collections.abc import Mapping

from torch import Tensor

from rtvis.engine.joint.pieces import Pieces
from rtvis.engine.layers.queries import stack_of
from rtvis.engine.layers.site import Site
from rtvis.engine.turn.layer_maps import LayerMaps
from rtvis.engine.turn.readings import at_least_float32
from rtvis.engine.turn.runners import Runners
from rtvis.engine.turn.way_back import WayBack
from rtvis.registry import AnyMethod, AttentionMethod


class Evidence:
    """What the methods are given in a step: maps, attention, and plain gradients of a score.

    Args:
        pieces: Of the step.
        runners: Run them.
        maps: Of its layers.
        way_back: Its backward passes.
    """

    def __init__(
        self, pieces: Pieces, runners: Runners, maps: LayerMaps, way_back: WayBack
    ) -> None:
        self._pieces, self._runners = pieces, runners
        self._maps, self._way_back = maps, way_back

    def by(
        self,
        method: AnyMethod,
        site: Site,
        values: Mapping[str, Tensor],
        class_B: Tensor,
        *,
        maps_BCHW: Tensor | None,
        intervened: bool,
    ) -> Tensor:
        """[B, H, W] by a method, not negative, not scaled.

        Args:
            method: Of one layer, whose own output is what counts, or of all attention.
            site: That layer; for attention it does not matter.
            values: By node, of one run.
            class_B: int64: the class of each picture.
            maps_BCHW: The layer's own output where it is there already.
            intervened: Whether `values` hold gains and offsets of units that were applied.
        """
        if isinstance(method, AttentionMethod):
            return self._relevance(method, values, class_B)
        if maps_BCHW is None:
            maps_BCHW = self._maps.of(site, values, intervened=intervened)
        grads_BCHW = self._gradient(values, site, class_B)
        return method(at_least_float32(maps_BCHW), at_least_float32(grads_BCHW))

    def _relevance(
        self, method: AttentionMethod, values: Mapping[str, Tensor], class_B: Tensor
    ) -> Tensor:
        """By the attention of all layers, on the grid of their tokens."""
        batch = self._pieces.batch
        stack = stack_of(self._pieces.sites)
        maps = [_heads(site, values[site.node.name], batch) for site in stack]
        grads = []
        if method.uses_gradients:
            found = self._way_back.of_score(values, stack, class_B)
            grads = [_heads(site, found[site.node.name], batch) for site in stack]
        query_BQ = self._maps.default_query(stack[-1])
        assert query_BQ is not None, "every attention has queries"
        return stack[-1].on_grid(method.explain(maps, grads, query_BQ))

    def _gradient(self, values: Mapping[str, Tensor], site: Site, class_B: Tensor) -> Tensor:
        """Plain gradient of the class score at a layer's own output, [B, C, H, W]."""
        pieces = self._pieces
        if site is pieces.cam_site:
            found = self._runners.run(pieces.cam, {**values, "class_B": class_B})
        else:
            found = self._way_back.of_score(values, [site], class_B)
        grads_BCHW = site.as_maps(found[site.node.name], pieces.batch)
        affine = self._maps.affine(site)
        return grads_BCHW if affine is None else grads_BCHW * affine.scale_1C11


def _heads(site: Site, value: Tensor, batch: int) -> Tensor:
    """[B, C, Q, T] of an attention without windows."""
    assert site.attention is not None
    return site.attention.matrices(value, batch)[:, 0]

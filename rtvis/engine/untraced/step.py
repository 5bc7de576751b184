"""A turn for a model that cannot be traced: run as it is, and explained by torch's autograd.

For models whose control flow depends on the values in their tensors, and for those that call what
cannot be part of a graph. Slower than the fused step and never compiled, and the same numbers: one
run of the model serves the CAM's plain gradient and the ruled one (`rtvis.engine.untraced.ruled`).

A layer that the model does not call for a picture is zero everywhere, and no gradient reaches it.
Layers are modules that are called: a convolution or product that the model's code spells out
itself is none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtvis.engine.dense import labels_of
from rtvis.engine.flat.vjps import Thresholds
from rtvis.engine.joint.cam_site import deepest
from rtvis.engine.joint.pieces import Placed
from rtvis.engine.networks.layer_rules import LayerRules, apply_rules
from rtvis.engine.turn.asked import ClickTensors, Outcome, Route
from rtvis.engine.turn.objectives import UnitSeed, seed_of
from rtvis.engine.turn.reached import Reached
from rtvis.engine.turn.readings import at_least_float32, health_of, position_and_value, unit_map
from rtvis.engine.untraced.called import CalledModel, CalledSite, find_called_layers
from rtvis.engine.untraced.run import UntracedRun, scores_of
from rtvis.errors import NetworkError
from rtvis.registry import AnyMethod, AttentionMethod, CamMethod


@dataclass(frozen=True, kw_only=True, slots=True)
class UntracedFacts:
    """What the engine must know of the network; see `rtvis.engine.joint.pieces.Facts`."""

    sites: tuple[CalledSite, ...]
    cam_site: CalledSite
    num_classes: int
    output_size: tuple[int, int] | None
    batch: int
    num_units: int

    def segment_of(self, site: Placed) -> int:
        """It is run as a whole."""
        del site
        return 0


class UntracedStep:
    """What `Step` is for a traced model.

    Args:
        model: In eval mode; returns one tensor, [B, K] or [B, K, H, W]. Not changed: it is run on
            copies of its tensors, with hooks that are gone when the run ends.
        example_BCHW: Its shape and dtype are those of the inputs; its values are not used.
        device: Where to run.
        rules: Which layers are shown, and as what.
        name: What to call the model in errors.

    Raises:
        NetworkError: The model fails, returns something else, or calls no layer with a map.
    """

    def __init__(
        self,
        model: nn.Module,
        example_BCHW: Tensor,
        device: torch.device,
        *,
        rules: LayerRules,
        name: str,
    ) -> None:
        self._name = name
        self._batch = example_BCHW.shape[0]
        with torch.inference_mode(mode=False):
            example_BCHW = example_BCHW.to(device)
            self._model = CalledModel(model, device, example_BCHW.dtype, name=name)
            found = find_called_layers(self._model, example_BCHW)
            sites = apply_rules(found, rules, name=name) if found else ()
            with torch.enable_grad():
                run = UntracedRun(
                    self._model, sites, torch.randn_like(example_BCHW), sites, post=True
                )
            self._sites = tuple(map(run.with_activation_found, sites))
            cam_site = self._cam_site(run)
        self.pieces = UntracedFacts(
            sites=self._sites,
            cam_site=cam_site,
            num_classes=run.scores_BK.shape[1],
            output_size=run.output_size,
            batch=self._batch,
            num_units=sum(s.layer.num_units for s in self._sites if not s.is_rest),
        )

    def run(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors, cam_method: AnyMethod
    ) -> Outcome:
        """Compute a turn; see `Step.run`."""
        assert not isinstance(cam_method, AttentionMethod), "resolve_selection refuses the method"
        # Under inference mode autograd keeps nothing.
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self._run(x_BCHW.clone(), route, click, cam_method)

    def _run(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors, cam_method: CamMethod
    ) -> Outcome:
        site, cam_site, origin = (
            self._sites[index] for index in (route.site, route.cam_site, route.origin_site)
        )
        post, intervened = route.tap == "post", route.intervened
        beside = None if route.beside_site is None else self._sites[route.beside_site]
        wanted = (site, cam_site, origin, *([] if beside is None else [beside]))
        run = UntracedRun(
            self._model, self._sites, x_BCHW, wanted, click, post=post, intervened=intervened
        )
        scores_BK = untouched_scores_BK = run.scores_BK.detach().float()
        if intervened:
            with torch.no_grad():
                untouched = self._model.run(x_BCHW, (), _leave)
                untouched_scores_BK = scores_of(untouched, click).float()
        unit_B, row_B, column_B, *start, wanted_B = click.index_B7.unbind(1)
        class_B = torch.where(wanted_B >= 0, wanted_B, scores_BK.argmax(dim=1))

        cam_maps_BCHW = run.maps(cam_site).detach()
        cam_grads_BCHW = run.gradient_of_scores(class_B, cam_site)
        cam_BHW = cam_method(at_least_float32(cam_maps_BCHW), at_least_float32(cam_grads_BCHW))

        maps_BCHW = run.maps(site, post=post)
        map_BHW = unit_map(maps_BCHW.detach(), unit_B)
        position_B2, value_B = position_and_value(map_BHW, row_B, column_B)
        if not route.frozen:
            start = [unit_B, row_B, column_B]
        # With a graph behind it, so that the seed goes back as the map came about.
        started = unit_map(run.maps(origin, post=post), start[0])
        start_B2, _ = position_and_value(started.detach(), *start[1:])
        seed = seed_of(started.detach(), start_B2, click.amount_B5)
        if route.from_score:
            started, seed = run.scores_BK, run.chosen(class_B)
        rule = Thresholds(*(click.amount_B5[0, i].to(seed.dtype).clone() for i in (3, 4)))
        backprop_BCHW, grads_BCHW = torch.zeros_like(x_BCHW), None
        if route.backward:
            backprop_BCHW = run.gradient_at_input(started, seed, rule)
        if route.gradients:
            grads_BCHW = run.gradient(started, seed, site, rule, post=post)
        maps_BCHW = maps_BCHW.detach()
        picture_BCHW = backprop_BCHW if route.backward else None
        parts = map_BHW, started.detach(), picture_BCHW, cam_BHW, grads_BCHW
        dense_BKHW = None if run.dense_BKHW is None else run.dense_BKHW.detach()
        return Outcome(
            scores_BK=scores_BK,
            maps_BCHW=maps_BCHW,
            cam_BHW=cam_BHW,
            backprop_BCHW=backprop_BCHW,
            class_index_B=class_B,
            position_B2=position_B2,
            value_B=value_B,
            grads_BCHW=grads_BCHW,
            beside_BCHW=None if beside is None else run.maps(beside, post=post).detach(),
            health_B=health_of(maps_BCHW, *parts),
            untouched_scores_BK=untouched_scores_BK,
            dense_BKHW=dense_BKHW,
            labels_BHW=labels_of(dense_BKHW),
        )

    def reach(self, x_BCHW: Tensor, site: CalledSite) -> Reached:
        """Run the model, and keep what the way back from a layer needs."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            run = UntracedRun(self._model, self._sites, x_BCHW.clone(), (site,), post=False)
            maps_BCHW = run.maps(site)

        def pull_back(seed: UnitSeed | Tensor, rule: Thresholds) -> Tensor:
            grads_BCHW = seed.over_layer(maps_BCHW) if isinstance(seed, UnitSeed) else seed
            with torch.enable_grad():
                return run.gradient_at_input(maps_BCHW, grads_BCHW, rule)

        return Reached(layer=site.layer, maps_BCHW=maps_BCHW.detach(), pull_back=pull_back)

    def _cam_site(self, run: UntracedRun) -> CalledSite:
        """The last map that the scores depend on; see `rtvis.engine.joint.cam_site`."""
        maps = [site for site in self._sites if site.is_map]
        if not maps:
            raise NetworkError(
                f"{self._name} calls no convolution and nothing with a map of tokens: there is "
                "nothing to look at"
            )
        if run.output_size is not None:
            maps = deepest(maps, run.scores_BK.shape[1]) or maps
        weight_BK = torch.randn_like(run.scores_BK)
        for site in reversed(maps):
            if bool(run.gradient(run.scores_BK, weight_BK, site).any()):
                return site
        return maps[-1]


def _leave(_call: str, output: Tensor) -> Tensor:
    return output

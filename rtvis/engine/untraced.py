"""A turn for a model that cannot be traced: run as it is, and explained by torch's autograd.

For models whose control flow depends on the values in their tensors, and for those that call what
cannot be part of a graph. Slower than the fused step and never compiled, and the same numbers: one
run of the model serves the CAM's plain gradient and the ruled one (`rtvis.engine.ruled`).

A layer that the model does not call for a picture is zero everywhere, and no gradient reaches it.
Layers are modules that are called: a convolution or product that the model's code spells out
itself is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rtvis.engine.asked import ClickTensors, Outcome, Route
from rtvis.engine.called import CalledModel, CalledSite, find_called_layers
from rtvis.engine.cam_site import deepest
from rtvis.engine.dense import is_dense, region_dtype, region_weights
from rtvis.engine.layer_rules import LayerRules, apply_rules
from rtvis.engine.objectives import UnitSeed
from rtvis.engine.reached import Reached
from rtvis.engine.readings import at_least_float32, health_of, position_and_value, unit_map
from rtvis.engine.ruled import PLAIN, RuledActivations
from rtvis.engine.vjps import Thresholds
from rtvis.errors import NetworkError
from rtvis.registry import AnyMethod, AttentionMethod, CamMethod


@dataclass(frozen=True, kw_only=True, slots=True)
class UntracedFacts:
    """What the engine must know of the network; see `rtvis.engine.pieces.Facts`."""

    sites: tuple[CalledSite, ...]
    cam_site: CalledSite
    num_classes: int
    output_size: tuple[int, int] | None
    batch: int
    num_units: int


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
                run = _Run(self._model, sites, torch.randn_like(example_BCHW), sites, post=True)
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
        run = _Run(
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
        start_BHW = unit_map(run.maps(origin, post=post), start[0])
        start_B2, _ = position_and_value(start_BHW.detach(), *start[1:])
        seed_BHW = _seed(start_BHW.detach(), start_B2, click.amount_B5)
        rule = Thresholds(*(click.amount_B5[0, i].to(seed_BHW.dtype).clone() for i in (3, 4)))
        backprop_BCHW, grads_BCHW = torch.zeros_like(x_BCHW), None
        if route.backward:
            backprop_BCHW = run.gradient_at_input(start_BHW, seed_BHW, rule)
        if route.gradients:
            grads_BCHW = run.gradient(start_BHW, seed_BHW, site, rule, post=post)
        maps_BCHW = maps_BCHW.detach()
        picture_BCHW = backprop_BCHW if route.backward else None
        parts = map_BHW, start_BHW.detach(), picture_BCHW, cam_BHW, grads_BCHW
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
            labels_BHW=_labels(dense_BKHW),
        )

    def reach(self, x_BCHW: Tensor, site: CalledSite) -> Reached:
        """Run the model, and keep what the way back from a layer needs."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            run = _Run(self._model, self._sites, x_BCHW.clone(), (site,), post=False)
            maps_BCHW = run.maps(site)

        def pull_back(seed: UnitSeed | Tensor, rule: Thresholds) -> Tensor:
            grads_BCHW = seed.over_layer(maps_BCHW) if isinstance(seed, UnitSeed) else seed
            with torch.enable_grad():
                return run.gradient_at_input(maps_BCHW, grads_BCHW, rule)

        return Reached(layer=site.layer, maps_BCHW=maps_BCHW.detach(), pull_back=pull_back)

    def _cam_site(self, run: "_Run") -> CalledSite:
        """The last map that the scores depend on; see `rtvis.engine.cam_site`."""
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


class _Run:
    """One run of the model with a graph behind it, and what can be asked of it afterwards."""

    def __init__(
        self,
        model: CalledModel,
        sites: Sequence[CalledSite],
        x_BCHW: Tensor,
        wanted: Sequence[CalledSite],
        click: ClickTensors | None = None,
        *,
        post: bool,
        intervened: bool = False,
    ) -> None:
        self._x_BCHW = x_BCHW.detach().requires_grad_()
        self._batch = x_BCHW.shape[0]
        self._rules = RuledActivations()
        self._taken: dict[str, Tensor] = {}
        calls = {site.call for site in wanted}
        owners = {site.call: site for site in sites if not site.is_rest}
        changes = _Changes(click, self._batch) if intervened and click is not None else None

        def on_call(call: str, output: Tensor) -> Tensor | None:
            if call in owners and changes is not None:
                output = changes.applied(owners[call], output)
            if call not in calls:
                return output
            self._taken[call] = output
            given = output.clone()  # what follows may write over it
            if post:
                self._rules.watch(given, call)
            return given

        modules = {name.partition("#")[0] for name in (owners if changes is not None else calls)}
        with self._rules:
            # A copy: the model may write over its input, which autograd forbids for a leaf.
            output = model.run(self._x_BCHW.clone(), modules, on_call)
        self.dense_BKHW = output if is_dense(output) else None
        self.scores_BK = scores_of(output, click)

    @property
    def output_size(self) -> tuple[int, int] | None:
        """(height, width) of a dense output; None without one."""
        if self.dense_BKHW is None:
            return None
        height, width = self.dense_BKHW.shape[2:]
        return height, width

    def with_activation_found(self, site: CalledSite) -> CalledSite:
        """The layer, with the activation behind it only if that was seen."""
        if site.call in self._rules.behind:
            return site
        return replace(site, layer=replace(site.layer, activation=""))

    def _value(self, site: CalledSite, *, post: bool) -> Tensor | None:
        values = self._rules.behind if post and site.layer.activation else self._taken
        return values.get(site.call)

    def maps(self, site: CalledSite, *, post: bool = False) -> Tensor:
        """[B, C, H, W] of a layer; zeros, and no graph, where the model did not call it.

        Args:
            site: The layer.
            post: Behind its activation, if it has one.

        Raises:
            NetworkError: It has another size than for the first pictures.
        """
        size = (self._batch, site.layer.num_units, *site.layer.map_size)
        taken = self._value(site, post=post)
        if taken is None:
            return self.scores_BK.new_zeros(size)
        try:
            maps_BCHW = site.as_maps(taken, self._batch)
        except (RuntimeError, IndexError):
            maps_BCHW = taken
        if maps_BCHW.shape != size:
            raise NetworkError(
                f"layer '{site.layer.name}' returns {tuple(taken.shape)} for this picture, which "
                f"makes no {size[2]}x{size[3]} maps as before: maps must keep their size"
            )
        return maps_BCHW

    def gradient_of_scores(self, class_B: Tensor, site: CalledSite) -> Tensor:
        """Plain gradient of the class score at a layer, [B, C, H, W]."""
        classes_K = torch.arange(self.scores_BK.shape[1], device=class_B.device)
        chosen_BK = (classes_K == class_B[:, None]).to(self.scores_BK.dtype)
        return self.gradient(self.scores_BK, chosen_BK, site)

    def gradient(
        self,
        of: Tensor,
        weight: Tensor,
        site: CalledSite,
        rule: Thresholds = PLAIN,
        *,
        post: bool = False,
    ) -> Tensor:
        """Gradient of `(of * weight).sum()` at a layer, [B, C, H, W]; zeros where none comes by."""
        value = self._value(site, post=post)
        grads = None if value is None else self._pull(of, weight, value, rule)
        if grads is None:
            size = (self._batch, site.layer.num_units, *site.layer.map_size)
            return self.scores_BK.new_zeros(size)
        return site.as_maps(grads, self._batch)

    def gradient_at_input(self, of: Tensor, weight: Tensor, rule: Thresholds) -> Tensor:
        """Gradient of `(of * weight).sum()` at the input, passed back by a rule."""
        grads_BCHW = self._pull(of, weight, self._x_BCHW, rule)
        return torch.zeros_like(self._x_BCHW) if grads_BCHW is None else grads_BCHW

    def _pull(self, of: Tensor, weight: Tensor, to: Tensor, rule: Thresholds) -> Tensor | None:
        if not (of.requires_grad and to.requires_grad):
            return None  # the model left autograd on the way, or this layer was not called
        self._rules.thresholds = rule
        (grads,) = torch.autograd.grad(of, to, weight, retain_graph=True, allow_unused=True)
        return grads


class _Changes:
    """Interventions, applied to what layers return."""

    def __init__(self, click: ClickTensors, batch: int) -> None:
        # Copies: made under inference mode, they could not be part of a graph.
        self._gain_BT, self._offset_BT = click.gain_BT.clone(), click.offset_BT.clone()
        self._batch = batch

    def applied(self, site: CalledSite, output: Tensor) -> Tensor:
        """`output * gain + offset`, unit by unit."""
        gain_BC, offset_BC = self._gain_BT[:, site.units], self._offset_BT[:, site.units]
        if site.layer.kind == "conv":
            return output * gain_BC[:, :, None, None] + offset_BC[:, :, None, None]
        tokens_BTC = output.reshape(self._batch, -1, output.shape[-1])
        return (tokens_BTC * gain_BC[:, None] + offset_BC[:, None]).reshape(output.shape)


def scores_of(output: Tensor, click: ClickTensors | None) -> Tensor:
    """Scores [B, K]: of a dense output the means over the selected region, or over all of it."""
    if not is_dense(output):
        return output
    if click is None:
        return output.mean(dim=(2, 3))
    height, width = output.shape[2:]
    kind = region_dtype(output.dtype)
    weights_BS1 = region_weights(click.corners_B4, (height, width), kind)
    scores_BK1 = torch.bmm(output.flatten(2).to(kind), weights_BS1)
    return scores_BK1.squeeze(2).to(output.dtype)


def _labels(dense_BKHW: Tensor | None) -> Tensor | None:
    """The best class of each pixel; None where there is only one."""
    return None if dense_BKHW is None or dense_BKHW.shape[1] == 1 else dense_BKHW.argmax(dim=1)


def _leave(_call: str, output: Tensor) -> Tensor:
    return output


def _seed(map_BHW: Tensor, position_B2: Tensor, amount_B5: Tensor) -> Tensor:
    """What each neuron of the selected unit starts with; see `rtvis.data.Seed`."""
    height, width = map_BHW.shape[1:]
    rows_H, columns_W = (torch.arange(size, device=map_BHW.device) for size in (height, width))
    here_BHW = (rows_H == position_B2[:, :1])[:, :, None] & (columns_W == position_B2[:, 1:])[
        :, None
    ]
    neuron, whole, active = (amount_B5[:, i, None, None].to(map_BHW.dtype) for i in range(3))
    return neuron * here_BHW + whole + active * map_BHW

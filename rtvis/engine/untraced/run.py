"""One run of a model that cannot be traced, with a graph of autograd's behind it."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rtvis.engine.dense import is_dense, region_dtype, region_weights
from rtvis.engine.flat.vjps import Thresholds
from rtvis.engine.turn.asked import ClickTensors
from rtvis.engine.untraced.called import CalledModel, CalledSite
from rtvis.engine.untraced.ruled import PLAIN, RuledActivations
from rtvis.errors import NetworkError


class UntracedRun:
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
        return self.gradient(self.scores_BK, self.chosen(class_B), site)

    def chosen(self, class_B: Tensor) -> Tensor:
        """[B, K]: 1 at the class of each picture, 0 elsewhere."""
        classes_K = torch.arange(self.scores_BK.shape[1], device=class_B.device)
        return (classes_K == class_B[:, None]).to(self.scores_BK.dtype)

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

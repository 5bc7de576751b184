"""What a model that cannot be traced costs, and what its units do: it is run as it is."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.utils.flop_counter import FlopCounterMode

from rtvis.engine.layers.activity import (
    RECTIFIERS,
    Activity,
    Extremes,
    by_unit,
    top_score_gradients,
)
from rtvis.engine.untraced.called import CalledModel, CalledSite
from rtvis.engine.untraced.ruled import RuledActivations


class CalledWatcher:
    """Runs pictures through a model and keeps the extremes of each unit; see `Watcher`.

    Args:
        model: To run.
        sites: Its layers.
        device: Where it is.
    """

    def __init__(
        self, model: CalledModel, sites: Sequence[CalledSite], device: torch.device
    ) -> None:
        self._model = model
        self._sites = {site.call: site for site in sites if not site.is_rest}
        self._device = device
        self._extremes = Extremes()

    def watch(self, x_1CHW: Tensor) -> None:
        """Add one picture, preprocessed."""
        rules = RuledActivations()
        taken: dict[str, Tensor] = {}

        def on_call(call: str, output: Tensor) -> Tensor:
            if call not in self._sites:
                return output
            taken[call] = output
            given = output.clone()  # what follows may write over it
            rules.watch(given, call)
            return given

        x_1CHW = x_1CHW.to(self._device).detach().requires_grad_()
        with torch.enable_grad(), rules:
            scores = self._model.run(x_1CHW, self._model.layers, on_call)
        grads = top_score_gradients(scores, list(taken.values()))
        with torch.no_grad():
            for (call, value), grad in zip(taken.items(), grads, strict=True):
                self._add(self._sites[call], value, rules.behind.get(call), grad)

    def _add(
        self, site: CalledSite, value: Tensor, behind: Tensor | None, grad: Tensor | None
    ) -> None:
        if grad is not None:
            self._extremes.add_gradient(site.layer.name, by_unit(grad, site.layer))
        behind_NC = None
        if behind is not None and _is_rectified(site, behind):
            behind_NC = by_unit(behind, site.layer)
        self._extremes.add(site.layer.name, by_unit(value, site.layer), behind_NC)

    def activities(self) -> dict[str, Activity]:
        """What the units of each layer did so far, by the layer's name."""
        names = [site.layer.name for site in self._sites.values()]
        found = {name: self._extremes.activity(name) for name in names}
        return {name: activity for name, activity in found.items() if activity is not None}


def _is_rectified(site: CalledSite, behind: Tensor) -> bool:
    name = site.layer.activation
    # A clipped one that begins elsewhere lets negative values through.
    return name in RECTIFIERS and (name != "hardtanh" or bool((behind >= 0).all()))


def called_multiply_adds(model: CalledModel, x_BCHW: Tensor) -> tuple[dict[str, int], int]:
    """Of each call of a layer, and of all that the model does for this input.

    An LSTM's are not known: it is one kernel.

    Args:
        model: To run.
        x_BCHW: Its values decide, where the model branches on them.
    """
    by_call: dict[str, int] = {}

    def on_call(call: str, output: Tensor) -> None:
        by_call[call] = _of_call(model.layers[call.partition("#")[0]], output)

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.run(x_BCHW, model.layers, on_call)
    return by_call, int(counter.get_total_flops()) // 2


def _of_call(module: nn.Module, output: Tensor) -> int:
    """A transposed convolution spreads each input over a kernel; others gather each output."""
    weight: Tensor = module.weight  # type: ignore[assignment]  # all layers have one
    if not isinstance(module, _ConvTransposeNd):
        return output.numel() * weight[0].numel()
    places = output.shape[0]
    for size, kernel, stride, pad, dilation, extra in zip(
        output.shape[2:],
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.output_padding,
        strict=True,
    ):
        assert isinstance(pad, int)
        places *= (size - 1 - extra - dilation * (kernel - 1) + 2 * pad) // stride + 1
    return places * weight.numel()

"""What people do today: a hook for the maps, pytorch-grad-cam, and captum, one after another."""

import copy
import warnings
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from benchmarks.common import say


def peers_installed() -> bool:
    """Whether there is anything to compare with; says what is missing."""
    missing = [name for name in ("captum", "pytorch_grad_cam") if not find_spec(name)]
    if missing:
        say(f"no comparison with peers: {' and '.join(missing)} not installed; make setup does it")
    return not missing


class SeparateCalls:
    """The same quantities as one turn, by three eager calls.

    Args:
        model: Is copied; in-place ReLUs are turned off in the copy, or captum's hooks fail.
        layer: Name of the module whose unit is explained.
        unit: Of that layer; the spatial maximum of its map is explained.
        cam_layer: Name of the module at which Grad-CAM is taken.
        tuned: Switch the weights' gradients off, as few people do. The CAM then needs an input
            that asks for a gradient.
        like: Its device and dtype are the copy's, which is channels_last.
    """

    def __init__(
        self, model: nn.Module, *, layer: str, unit: int, cam_layer: str, tuned: bool, like: Tensor
    ) -> None:
        from captum.attr import NeuronGuidedBackprop
        from pytorch_grad_cam import GradCAM

        self._model = copy.deepcopy(model).eval().requires_grad_(not tuned)
        self._model.to(like).to(memory_format=torch.channels_last)
        for module in self._model.modules():
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]  # a plain bool
        self._layer = self._model.get_submodule(layer)
        self._cam_layer = self._model.get_submodule(cam_layer)
        self._unit = unit
        self._tuned = tuned
        self._grad_cam = GradCAM
        self._guided = NeuronGuidedBackprop(self._model, self._layer)

    def maps(self, x_BCHW: Tensor) -> Tensor:
        """The layer's output, by a forward hook."""
        kept: list[Tensor] = []
        handle = self._layer.register_forward_hook(lambda _m, _i, output: kept.append(output))
        try:
            with torch.no_grad():
                self._model(x_BCHW)
        finally:
            handle.remove()
        return kept[-1]

    def cam(self, x_BCHW: Tensor) -> object:
        """Grad-CAM of the top class, scaled to the input's size, in host memory."""
        x = x_BCHW.detach().clone().requires_grad_(self._tuned)
        # Its hooks copy maps to host memory in every forward pass: not while others measure.
        with self._grad_cam(model=self._model, target_layers=[self._cam_layer]) as cam:
            found = cam(input_tensor=x, targets=None)  # the top class
        self._model.zero_grad(set_to_none=True)
        return found

    def guided(self, x_BCHW: Tensor, maps_BCHW: Tensor) -> Tensor:
        """Guided backprop of the unit's spatial maximum."""
        x = x_BCHW.detach().clone().requires_grad_()
        map_HW = maps_BCHW[0, self._unit]
        row, column = divmod(int(map_HW.argmax()), map_HW.shape[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says each time that it sets hooks
            found = self._guided.attribute(x, neuron_selector=(self._unit, row, column))
        assert isinstance(found, Tensor)
        return found

    def __call__(self, x_BCHW: Tensor) -> tuple[Tensor, object, Tensor]:
        """(maps, CAM, guided backprop)."""
        maps_BCHW = self.maps(x_BCHW)
        return maps_BCHW, self.cam(x_BCHW), self.guided(x_BCHW, maps_BCHW)

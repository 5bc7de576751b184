"""Two results beside each other: what is shown of them, and the difference of their numbers."""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from rtvis.data import Health, Layer, Result
from rtvis.render.scene import Half, Pair, Scene
from rtvis.threads import cpu_threads

_BROKEN = Health.MAPS_NAN | Health.MAPS_INF | Health.GRADIENT_NAN | Health.GRADIENT_INF


def part_of(result: Result, index: int) -> Result:
    """One picture of a batch, as a result of its own."""
    parts: dict[str, Any] = {
        one.name: value[index : index + 1]
        for one in fields(result)
        if isinstance(value := getattr(result, one.name), Tensor)
    }
    return replace(result, **parts)


def difference(first: Result, second: Result) -> Result:
    """The first result with its maps, gradients and backward picture minus those of the second.

    What is not subtracted, as the scores and the CAM, stays the first one's. The position is the
    selected one, or else where the unit's maps differ most, and the value is the difference there.

    Args:
        first: Of one picture.
        second: Likewise, with maps of the same shape. A backward picture of another size is not
            subtracted (`differ_in_input`).
    """
    maps_BCHW = first.maps_BCHW - second.maps_BCHW
    unit_BHW = maps_BCHW[:, first.selection.unit or 0]
    position_B2 = first.position_B2
    if first.selection.position is None:
        position_B2 = _largest(unit_BHW)
    flat_B1 = (position_B2[:, :1] * unit_BHW.shape[2] + position_B2[:, 1:]).to(torch.int64)
    value_B = unit_BHW.flatten(1).gather(1, flat_B1).squeeze(1)
    backprop = first.backprop_B3HW
    if not differ_in_input(first, second):
        backprop = backprop - second.backprop_B3HW
    grads_BCHW = None
    if first.grads_BCHW is not None and second.grads_BCHW is not None:
        grads_BCHW = first.grads_BCHW - second.grads_BCHW
    return replace(
        first,
        maps_BCHW=maps_BCHW,
        position_B2=position_B2,
        value_B=value_B.float(),
        backprop_B3HW=backprop,
        grads_BCHW=grads_BCHW,
        # That a gradient is zero says nothing of the difference; that it is broken does.
        health_B=(first.health_B | second.health_B) & _BROKEN,
    )


def differ_in_input(first: Result, second: Result) -> bool:
    """Whether the backward pictures are of different sizes."""
    return first.backprop_B3HW.shape != second.backprop_B3HW.shape


def _largest(map_BHW: Tensor) -> Tensor:
    """int64 [B, 2]: where a map's magnitude is largest, the first such place."""
    width = map_BHW.shape[2]
    flat_B = map_BHW.abs().flatten(1).argmax(dim=1)
    return torch.stack((torch.div(flat_B, width, rounding_mode="floor"), flat_B % width), dim=1)


def shape_note(first: Result, second: Result) -> str:
    """Why there is no difference of the maps; empty where there is."""
    one, other = first.maps_BCHW.shape[1:], second.maps_BCHW.shape[1:]
    if one == other:
        return ""
    texts = [f"{units} maps of {height}×{width}" for units, height, width in (one, other)]
    return f"no difference to show: A has {texts[0]}, B {texts[1]}"


class Arranger:
    """Makes the scene of what the user wants to see of two halves. Keeps what lasts a turn."""

    def __init__(self) -> None:
        self._of: tuple[Result, Result] | None = None
        self._difference: Result | None = None
        self._layers_key: object = None
        self._layers: tuple[Layer, ...] = ()

    def arrange(self, scene: Scene, pair: Pair, *, second_layer: Layer | None) -> Scene:
        """The scene with the first half, the second one, or their difference in its panes.

        Args:
            scene: Of the first half.
            pair: Both.
            second_layer: The selected layer as it is in the second network.
        """
        scene = replace(scene, pair=pair)
        compared, first, second = scene.view.compared, pair.first.result, pair.second.result
        if compared not in {"second", "difference"} or first is None:
            return scene
        if second is None:
            return replace(scene, maps_note=pair.second.note or "waiting for B")
        if pair.second.note:
            return replace(scene, maps_note=pair.second.note)
        if compared == "second":
            return self._second(scene, pair.second, second_layer)
        note = shape_note(first, second)
        if note:
            return replace(scene, maps_note=note)
        beside = "A and B have inputs of different sizes" if differ_in_input(first, second) else ""
        shown = self._subtracted(first, second)
        return replace(scene, result=shown, backward_note=beside, weights=None)

    def _second(self, scene: Scene, half: Half, layer: Layer | None) -> Scene:
        layers = scene.layers
        if layer is not None:
            layers = self._with_layer(scene.layers, layer)
        return replace(
            scene,
            result=half.result,
            image_HW3=half.image_HW3,
            layers=layers,
            labels=half.labels,
            weights=half.weights,
        )

    def _with_layer(self, layers: tuple[Layer, ...], layer: Layer) -> tuple[Layer, ...]:
        """The first network's layers, the one of the same name being the second one's."""
        if self._layers_key != (id(layers), layer):
            self._layers_key = id(layers), layer
            self._layers = tuple(
                replace(layer, index=one.index) if one.name == layer.name else one for one in layers
            )
        return self._layers

    def _subtracted(self, first: Result, second: Result) -> Result:
        if self._of is None or self._of[0] is not first or self._of[1] is not second:
            with cpu_threads(1):  # a team of threads takes longer to wake than this does
                self._of, self._difference = (first, second), difference(first, second)
        assert self._difference is not None
        return self._difference

"""Pictures that excite units, made by `rtvis.units.optimize` on the engine of the turns."""

from collections.abc import Iterator

from torch import Tensor

from rtvis.engine.engine import Engine
from rtvis.runtime.growth import Grown
from rtvis.units.optimize import Progress, optimize
from rtvis.units.presets import DEFAULT, preset
from rtvis.units.targets import Targets


class EngineGrower:
    """One unit at a time: the batch of a turn, for which everything is compiled already.

    Args:
        engine: Its thread alone may step what grows.
        preset_name: Of the recipe.
        seed: Of the random numbers.
    """

    def __init__(self, engine: Engine, *, preset_name: str = DEFAULT, seed: int = 0) -> None:
        self._engine = engine
        self._preset_name = preset_name
        self._recipe = preset(preset_name)
        self._seed = seed

    def grow(self, layer: str, unit: int, *, start_13HW: Tensor | None) -> Iterator[Grown]:
        """Each step is one run of the network up to the layer, and back.

        Raises:
            SelectionError: No gradient gets from the layer to the input.
        """
        steps = optimize(
            self._engine,
            Targets(layer=layer, units=(unit,)),
            self._recipe,
            start=start_13HW,
            seed=self._seed,
            preset_name=self._preset_name,
        )
        for progress in steps:
            yield self._grown(progress)

    def _grown(self, progress: Progress) -> Grown:
        result = progress.finished[0] if progress.finished else None
        value = result.value if result is not None else None
        if value is None and self._engine.device.type == "cpu":  # else it is told at the end
            value = float(progress.values()[0])
        return Grown(
            draw=lambda: progress.images()[0], share=progress.share, value=value, result=result
        )

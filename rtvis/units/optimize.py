"""Inputs that drive units as far as they go (activation maximisation), one step at a time.

Beside a film, one step in the spare milliseconds of a turn; the engine's compiled pieces serve it::

    steps = optimize(engine, Targets(layer="conv_head", units=(130,)), preset("default"))
    for progress in steps:            # one next() is one run of the network and back
        show(progress.images()[0])    # uint8 [H, W, 3], on the engine's device
    ...
    steps.close()                     # at any time: what there is by then is progress.results()
    steps = optimize(engine, targets, recipe, start=progress.results()[0].start)   # goes on
"""

from collections.abc import Generator
from dataclasses import dataclass, replace

from torch import Tensor

from rtvis.engine.engine import Engine
from rtvis.units.ascent import Ascent, Start
from rtvis.units.optimized import Optimized, picture_of, results_of
from rtvis.units.presets import DEFAULT, preset
from rtvis.units.recipe import Recipe
from rtvis.units.targets import Targets, resolve_targets


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Progress:
    """Where an optimisation stands after one more step of one batch."""

    done: int
    """Steps made, of all batches."""
    total: int
    units: tuple[int, ...]
    """Those of the batch that was stepped."""
    finished: tuple[Optimized, ...]
    """The batch's results, with its last step; else empty."""
    ascent: Ascent
    network: str
    preset: str

    @property
    def share(self) -> float:
        """0..1."""
        return self.done / self.total

    def values(self) -> Tensor:
        """The objective of each unit at the last run, on the device."""
        return self.ascent.value_B[: len(self.units)]

    def images(self) -> Tensor:
        """The pictures as they are by now, uint8 [B, H, W, 3] on the device; waits for nothing."""
        ascent = self.ascent
        x_BCHW = ascent.inputs()[: len(self.units)]
        return picture_of(x_BCHW, ascent.preprocessing, ascent.recipe)

    def results(self) -> tuple[Optimized, ...]:
        """The batch's results as they are by now. Waits for the device."""
        if self.finished:
            return self.finished
        found = results_of(self.ascent, network=self.network, preset=self.preset)
        return found[: len(self.units)]


def optimize(
    engine: Engine,
    targets: Targets,
    recipe: Recipe | None = None,
    *,
    start: Start | None = None,
    seed: int = 0,
    batch: int | None = None,
    preset_name: str = "",
) -> Generator[Progress, None, None]:
    """Make one picture for each target, some at once; each `next` makes one step of a batch.

    A target's picture depends on its unit and the seed, and not on what else is optimised.

    Args:
        engine: Its thread alone may step this. A batch of its `batch_size` runs compiled when it
            is; for others see `Engine.compile_reach`.
        targets: Units of one layer.
        recipe: How; default: the preset "default".
        start: Where to begin; default: as the recipe says. Pictures: one for all targets, or one
            for each.
        seed: Of the random numbers.
        batch: How many at once; default: the engine's `batch_size`.
        preset_name: What the record calls the recipe.

    Raises:
        SelectionError: The network has no such target.
        RtvisError: The start is not of the network's size.
    """
    name = preset_name or (DEFAULT if recipe is None else "")
    recipe = preset(DEFAULT) if recipe is None else recipe
    resolve_targets(engine, targets, recipe.objective)
    if recipe.objective == "layer":
        targets = replace(targets, units=targets.units[:1])
    return _steps(engine, targets, recipe, start, seed, batch or engine.batch_size, name)


def _steps(
    engine: Engine,
    targets: Targets,
    recipe: Recipe,
    start: Start | None,
    seed: int,
    batch: int,
    preset_name: str,
) -> Generator[Progress, None, None]:
    batches = [targets.units[at : at + batch] for at in range(0, len(targets.units), batch)]
    done, total = 0, len(batches) * recipe.iterations
    for index, units in enumerate(batches):
        ascent = Ascent(
            engine,
            replace(targets, units=_filled(units, batch)),
            recipe,
            start=_part(start, index * batch, units, batch),
            seed=seed,
        )
        for _ in range(recipe.iterations):
            ascent.step()
            done += 1
            finished: tuple[Optimized, ...] = ()
            if ascent.is_done:
                found = results_of(ascent, network=engine.network, preset=preset_name)
                finished = found[: len(units)]
            yield Progress(
                done=done,
                total=total,
                units=units,
                finished=finished,
                ascent=ascent,
                network=engine.network,
                preset=preset_name,
            )


def _filled(units: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """A last batch that is too small gets its last unit again: another size would be traced."""
    return (*units, *(units[-1],) * (batch - len(units)))


def _part(start: Start | None, first: int, units: tuple[int, ...], batch: int) -> Start | None:
    """The starts of one batch."""
    if not isinstance(start, Tensor) or len(start) == 1:
        return start
    part_BCHW = start[first : first + len(units)]
    spare = batch - len(units)
    if not spare or len(part_BCHW) != len(units):
        return part_BCHW
    return part_BCHW[[*range(len(units)), *[len(units) - 1] * spare]]

"""Gradients of many pictures at one layer, each of a unit of its own, beside the turns."""

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rtvis.data import Rule
from rtvis.engine.compiled.graphs import Replays
from rtvis.engine.networks.network import Network
from rtvis.engine.reach import Reach, Reaches
from rtvis.engine.steps import Steps
from rtvis.engine.turn.objectives import Objective
from rtvis.engine.turn.reached import Gradients, Reached
from rtvis.engine.turn.step import Step


class UnitGradients:
    """Reaches layers by the pieces of the turn, or by graphs that end there.

    Args:
        network: Is read, never changed.
        steps: Of the network.
        batch_size: Of the turns; pictures in that number go by their pieces.
        device: Where to run.
        dtype: In what.
        replays: Where what comes again is captured; None off CUDA.
    """

    def __init__(
        self,
        network: Network,
        steps: Steps,
        batch_size: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        replays: Replays | None,
    ) -> None:
        self._network, self._steps, self._batch_size = network, steps, batch_size
        self._device, self._dtype = device, dtype
        self.replays = replays
        self._reaches: Reaches | None = None
        self._num_compiled = 0

    def reach(self, x_BCHW: Tensor, index: int, *, whole: bool) -> Reached:
        """See `Engine.reach`; the pictures are in the network's form, the layer is an index."""
        with torch.no_grad():
            return self._way_to(index, len(x_BCHW), whole=whole)(x_BCHW)

    def of(
        self,
        x_BCHW: Tensor,
        index: int,
        unit_B: Tensor,
        position_B2: Tensor,
        *,
        objective: Objective,
        rule: Rule,
        form: object,
    ) -> Gradients:
        """See `Engine.neuron_gradients`.

        Args:
            x_BCHW: In the network's form, on the device.
            index: Of the layer.
            unit_B: On the device.
            position_B2: On the device.
            objective: Of each picture.
            rule: How ReLU passes gradients back.
            form: Another one says that the pieces of the turn run by other kernels now.
        """
        whole = objective in {"layer", "probability"}
        way = self._way_to(index, len(x_BCHW), whole=whole)

        def there_and_back(x_BCHW: Tensor, unit_B: Tensor, position_B2: Tensor) -> Gradients:
            with torch.no_grad():
                return way(x_BCHW).gradients(
                    unit_B=unit_B, position_B2=position_B2, objective=objective, rule=rule
                )

        given = x_BCHW, unit_B, position_B2
        if self.replays is None or not isinstance(self._steps.of(self._batch_size), Step):
            return there_and_back(*given)
        key = index, objective, rule, form, self._num_compiled
        return self.replays.run(key, there_and_back, *given)

    def compile(self, index: int, batch: int, folder: Path, *, timeout_s: float | None) -> bool:
        """See `Engine.compile_reach`."""
        step = self._steps.of(self._batch_size)
        if not isinstance(step, Step):
            return False
        self._num_compiled += 1
        return self._reach(step, batch, index).compile(folder, timeout_s=timeout_s)

    def close(self) -> None:
        """Stop compiling. Safe to call twice."""
        if self._reaches is not None:
            self._reaches.close()

    def _way_to(self, index: int, batch: int, *, whole: bool) -> Callable[[Tensor], Reached]:
        """What runs the network up to a layer for that many pictures."""
        step = self._steps.of(self._batch_size)
        if not isinstance(step, Step):
            step = self._steps.of(batch)
            assert not isinstance(step, Step), "no batch size of it can be traced"
            return functools.partial(step.reach, site=step.pieces.sites[index])
        if batch == self._batch_size and not whole:
            return functools.partial(step.reach, site=step.pieces.sites[index])
        return self._reach(step, batch, index).run

    def _reach(self, step: Step, batch: int, index: int) -> Reach:
        self._steps.check_batch(batch)
        if self._reaches is None:
            queries = step.pieces.queries
            self._reaches = Reaches(self._network, self._device, self._dtype, queries)
        return self._reaches.get(batch, index)

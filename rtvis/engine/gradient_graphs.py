"""The way to a layer and back as one replay of a CUDA graph; see `rtvis.engine.graphs`."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from rtvis.engine.reached import Gradients

log = logging.getLogger(__name__)

Call: TypeAlias = Callable[[Tensor, Tensor, Tensor], Gradients]
"""(x_BCHW, unit_B, position_B2) -> gradients, without waiting for the device."""

CALLS_BEFORE_CAPTURE: Final = 3
"""They also warm up what must not start inside a capture."""
_MAX_GRAPHS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, Tensor, Tensor]
    gradients: Gradients
    """Written anew by each replay; clone before handing it on (pytorch#148439)."""


class GradientGraphs:
    """Captures calls that come again and again, as those of an optimisation do.

    Owned by the engine thread.
    """

    def __init__(self) -> None:
        self._graphs: OrderedDict[Hashable, _Captured] = OrderedDict()
        self._calls: dict[Hashable, int] = {}
        self._refused: set[Hashable] = set()
        self._pool = torch.cuda.graph_pool_handle()
        self.replayed = False
        """Whether the last call was a replay."""

    def run(
        self, key: Hashable, call: Call, x_BCHW: Tensor, unit_B: Tensor, position_B2: Tensor
    ) -> Gradients:
        """What `call` gives; it belongs to the caller.

        Args:
            key: Equal for calls that run the same code on inputs of the same shapes.
            call: Makes the gradients.
            x_BCHW: On the device, in the network's dtype and layout.
            unit_B: On the device.
            position_B2: On the device.
        """
        given = (x_BCHW, unit_B, position_B2)
        captured = self._graphs.get(key)
        if captured is None:
            calls = self._calls[key] = self._calls.get(key, 0) + 1
            if calls > CALLS_BEFORE_CAPTURE and key not in self._refused:
                captured = self._capture(key, call, given)
        self.replayed = captured is not None
        if captured is None:
            return call(*given)
        self._graphs.move_to_end(key)
        for buffer, value in zip(captured.inputs, given, strict=True):
            buffer.copy_(value)
        captured.graph.replay()
        return Gradients._make(each.clone() for each in captured.gradients)

    def _capture(
        self, key: Hashable, call: Call, given: tuple[Tensor, Tensor, Tensor]
    ) -> _Captured | None:
        first, second, third = (each.clone() for each in given)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads (an upload, the compositor's download) must not break the capture.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                gradients = call(first, second, third)
        except RuntimeError as fault:
            log.info("no CUDA graph for %s: %s", key, str(fault).partition("\n")[0])
            self._refused.add(key)
            torch.cuda.synchronize(given[0].device)
            return None
        captured = _Captured(graph=graph, inputs=(first, second, third), gradients=gradients)
        self._graphs[key] = captured
        if len(self._graphs) > _MAX_GRAPHS:
            self._graphs.popitem(last=False)
        return captured

"""The third form of the step: a whole turn as one replay of a CUDA graph.

Everything that runs for one route (which layers, which CAM method) is captured once; frames and
clicks are copied into its input buffers. A route is captured after it has served a few turns, so
that a first click never waits for it, and the graphs used longest ago are let go.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from rtvis.engine.asked import ClickTensors, Outcome, Route
from rtvis.engine.step import Step
from rtvis.registry import AnyMethod

log = logging.getLogger(__name__)

TURNS_BEFORE_CAPTURE = 3
"""Turns that a route runs uncaptured; they also warm up what must not start inside a capture."""

MAX_GRAPHS = 12
"""Each keeps its outputs and workspace; they share one memory pool."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Captured:
    graph: torch.cuda.CUDAGraph
    outcome: Outcome
    """Written anew by each replay; clone before handing it on (pytorch#148439)."""


def _cloned(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.clone()


class GraphStep:
    """Runs a step by CUDA graphs where they exist, and plainly where not.

    Owned by the engine thread. The step's pieces must not change any more: a graph holds the
    kernels of the runners that it was captured with.
    """

    def __init__(self, step: Step) -> None:
        assert step.device.type == "cuda", "CUDA graphs need a CUDA device"
        self._step = step
        self._graphs: OrderedDict[Route, _Captured] = OrderedDict()
        self._turns: dict[Route, int] = {}
        self._refused: set[Route] = set()
        self._x: Tensor | None = None
        self._click: ClickTensors | None = None
        self._pool = torch.cuda.graph_pool_handle()
        self.replayed = False
        """Whether the last turn was a replay."""

    def run(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors, cam_method: AnyMethod
    ) -> Outcome:
        """As `Step.run`; the outcome belongs to the caller."""
        captured = self._graphs.get(route)
        if captured is None:
            turns = self._turns[route] = self._turns.get(route, 0) + 1
            if turns > TURNS_BEFORE_CAPTURE and route not in self._refused:
                captured = self._capture(x_BCHW, route, click, cam_method)
        self.replayed = captured is not None
        if captured is None:
            return self._step.run(x_BCHW, route, click, cam_method)
        self._graphs.move_to_end(route)
        self._fill(x_BCHW, click)
        captured.graph.replay()
        return Outcome._make(_cloned(each) for each in captured.outcome)

    def _fill(self, x_BCHW: Tensor, click: ClickTensors) -> tuple[Tensor, ClickTensors]:
        if self._x is None or self._click is None:
            self._x = torch.empty_like(x_BCHW)
            self._click = ClickTensors(*(torch.empty_like(each) for each in click))
        self._x.copy_(x_BCHW)
        for buffer, given in zip(self._click, click, strict=True):
            buffer.copy_(given)
        return self._x, self._click

    def _capture(
        self, x_BCHW: Tensor, route: Route, click: ClickTensors, cam_method: AnyMethod
    ) -> _Captured | None:
        x, held = self._fill(x_BCHW, click)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads (an upload, the compositor's download) must not break the capture.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                outcome = self._step.run(x, route, held, cam_method)
        except RuntimeError as fault:  # Eigen-CAM's solver, for one, waits for the device
            log.info("no CUDA graph for %s: %s", route, str(fault).partition("\n")[0])
            self._refused.add(route)
            torch.cuda.synchronize(self._step.device)
            return None
        captured = _Captured(graph=graph, outcome=outcome)
        self._graphs[route] = captured
        if len(self._graphs) > MAX_GRAPHS:
            self._graphs.popitem(last=False)
        return captured

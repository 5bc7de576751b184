"""The way to a layer and back as replays of CUDA graphs, for pictures that grow beside a film.

As with a turn (`graphs.py`), what runs for one layer is captured after it has run plainly a few
times; inputs are copied into its buffers. There are two graphs, for what lies between them, the
objective and the seed, is the caller's.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor

from rtvis.engine.graphs import TURNS_BEFORE_CAPTURE
from rtvis.engine.layers import Site
from rtvis.engine.objectives import UnitSeed
from rtvis.engine.reached import Reached
from rtvis.engine.step import Step
from rtvis.engine.vjps import Thresholds

log = logging.getLogger(__name__)

MAX_SITES: Final = 4
"""Each keeps all that its way back reads; they share one memory pool."""


class Capture(Protocol):
    """Runs something once, and returns what it gave and a way to run all of it again in place."""

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]: ...


class CudaCapture:
    """Captures CUDA graphs in one memory pool."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Raises RuntimeError where something in it waits for the device."""
        graph = torch.cuda.CUDAGraph()
        # Other threads (an upload, the compositor's download) must not break the capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            found = run()
        return found, graph.replay


class _Site:
    """The two graphs of one layer, and their buffers."""

    def __init__(self, step: Step, site: Site, x_BCHW: Tensor, capture: Capture) -> None:
        self._step, self._site, self._capture = step, site, capture
        self._x_BCHW = x_BCHW.clone(memory_format=torch.preserve_format)
        self._reached: Reached | None = None
        self._maps_BCHW, self._replay = capture(self._forward)
        self._seed: tuple[Tensor, ...] = ()
        self._grad: Tensor | None = None
        self._replay_back: Callable[[], None] | None = None
        self._may_capture = True
        self._num_runs = 0

    def run(self, x_BCHW: Tensor) -> Reached:
        """As `Step.reach`."""
        self._x_BCHW.copy_(x_BCHW)
        self._replay()
        self._num_runs += 1
        run = self._num_runs

        def pull_back(seed: UnitSeed | Tensor, rule: Thresholds) -> Tensor:
            if run != self._num_runs or not isinstance(seed, UnitSeed):
                # What the way back reads is of another picture by now, or no graph takes the seed.
                return self._step.reach(x_BCHW, self._site).pull_back(seed, rule)
            return self._back(seed, rule)

        reached = self._reached
        assert reached is not None, "set while it was captured"
        return Reached(layer=reached.layer, maps_BCHW=self._maps_BCHW.clone(), pull_back=pull_back)

    def _forward(self) -> Tensor:
        self._reached = self._step.reach(self._x_BCHW, self._site)
        return self._reached.maps_BCHW

    def _back(self, seed: UnitSeed, rule: Thresholds) -> Tensor:
        assert isinstance(rule.tx, Tensor), "`Reached.gradients` makes tensors of them"
        assert isinstance(rule.tg, Tensor), "likewise"
        given = (*seed, rule.tx, rule.tg)
        if not self._seed:
            self._seed = tuple(each.clone() for each in given)
        for buffer, each in zip(self._seed, given, strict=True):
            buffer.copy_(each)
        if self._replay_back is None and self._may_capture:
            try:
                self._grad, self._replay_back = self._capture(self._backward)
            except RuntimeError as fault:
                self._may_capture = False
                _refuse(self._step, self._site, fault)
        if self._replay_back is None:
            return self._backward()
        self._replay_back()
        assert self._grad is not None, "set where it was captured"
        return self._grad.clone()

    def _backward(self) -> Tensor:
        assert self._reached is not None, "the way there comes first"
        unit_B, seed_BHW, tx, tg = self._seed
        return self._reached.pull_back(UnitSeed(unit_B, seed_BHW), Thresholds(tx, tg))


class GraphReach:
    """`Step.reach` by CUDA graphs where they exist, and plainly where not.

    Owned by the engine thread. The step's pieces must not change any more.

    Args:
        step: Of the turns.
        capture: How to capture.
    """

    def __init__(self, step: Step, capture: Capture | None = None) -> None:
        self._step = step
        self._capture = capture if capture is not None else CudaCapture()
        self._sites: OrderedDict[int, _Site] = OrderedDict()
        self._runs: dict[int, int] = {}
        self._refused: set[int] = set()

    def run(self, x_BCHW: Tensor, site: Site) -> Reached:
        """As `Step.reach`; what comes of it belongs to the caller."""
        index = site.layer.index
        captured = self._sites.get(index)
        if captured is None:
            runs = self._runs[index] = self._runs.get(index, 0) + 1
            if runs > TURNS_BEFORE_CAPTURE and index not in self._refused:
                captured = self._captured(x_BCHW, site)
        if captured is None:
            return self._step.reach(x_BCHW, site)
        self._sites.move_to_end(index)
        return captured.run(x_BCHW)

    def _captured(self, x_BCHW: Tensor, site: Site) -> _Site | None:
        try:
            captured = _Site(self._step, site, x_BCHW, self._capture)
        except RuntimeError as fault:
            self._refused.add(site.layer.index)
            _refuse(self._step, site, fault)
            return None
        self._sites[site.layer.index] = captured
        if len(self._sites) > MAX_SITES:
            self._sites.popitem(last=False)
        return captured


def _refuse(step: Step, site: Site, fault: RuntimeError) -> None:
    log.info("no CUDA graph to %s: %s", site.layer.name, str(fault).partition("\n")[0])
    if step.device.type == "cuda":
        torch.cuda.synchronize(step.device)

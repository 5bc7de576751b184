"""The forms of the step: eager from the first call on, compiled, and replayed as a CUDA graph."""

from pathlib import Path

import torch
from torch import Tensor

from rtvis.data import Form, Selection
from rtvis.engine.clicks import Clicks
from rtvis.engine.compiled.compile import Compiler
from rtvis.engine.compiled.graphs import Replays
from rtvis.engine.steps import Steps
from rtvis.engine.turn.asked import ClickTensors, Outcome
from rtvis.engine.turn.step import Step
from rtvis.registry import method_named


class Forms:
    """Runs each turn in the best form that is ready. Owned by the engine thread.

    Args:
        steps: Of the network.
        clicks: Say what of a selection is code and what is data.
        batch_size: Pictures in a turn that is compiled and captured.
        replays: Where turns that come again are captured; None off CUDA.
    """

    def __init__(
        self, steps: Steps, clicks: Clicks, *, batch_size: int, replays: Replays | None
    ) -> None:
        self._steps = steps
        self.clicks = clicks
        self._batch_size = batch_size
        self.replays = replays
        self.compiler: Compiler | None = None
        """Where the network is compiled at all."""

    def compile(self, device: torch.device, folder: Path) -> None:
        """Compile in the background; nothing where the network cannot be traced.

        Args:
            device: Where the pieces run.
            folder: Where artifacts are kept.
        """
        step = self._steps.of(self._batch_size)
        if isinstance(step, Step):
            pieces, num_plain = step.pieces.all_pieces(), len(step.pieces.plain_pieces())
            self.compiler = Compiler(
                pieces, device, folder, step.runners.replace, num_plain=num_plain
            )
            self.compiler.start()

    @property
    def serving(self) -> Form:
        """The one that serves now."""
        if self.replays is not None and self.replays.replayed:
            return "graph"
        return "compiled" if self.compiler is not None and self.compiler.is_serving else "eager"

    @property
    def note(self) -> str:
        """Where compiling stands, in words for the screen; empty when there is nothing to say."""
        return self._steps.untraced_note if self.compiler is None else self.compiler.note

    @property
    def is_complete(self) -> bool:
        """Whether every piece is compiled."""
        return self.compiler is not None and self.compiler.is_complete

    def run(self, x_BCHW: Tensor, selection: Selection) -> Outcome:
        """Compute a turn.

        Args:
            x_BCHW: In the network's form, on the device.
            selection: With its defaults filled in.
        """
        outcome = self._run(x_BCHW, selection)
        if self.compiler is not None:
            self.compiler.begin()
        return outcome

    def wait_compiled(self, timeout_s: float | None = None) -> bool:
        """Wait until the compiled form serves; False if that was not to be had in time."""
        return self.compiler is not None and self.compiler.wait(timeout_s)

    def close(self) -> None:
        """Stop compiling. Safe to call twice."""
        if self.compiler is not None:
            self.compiler.close()

    def _run(self, x_BCHW: Tensor, selection: Selection) -> Outcome:
        step = self._steps.of(len(x_BCHW))
        route, click = self.clicks.split(selection, step.pieces)
        method = method_named(route.cam)
        data = self.clicks.upload(click, selection.interventions, step.pieces)

        def turn(x_BCHW: Tensor, *data: Tensor) -> Outcome:
            with torch.inference_mode():
                return step.run(x_BCHW, route, ClickTensors(*data), method)

        # A graph keeps the kernels it was captured with: wait for the last compiled piece.
        may_replay = len(x_BCHW) == self._batch_size and self.is_complete
        if self.replays is None or not may_replay:
            return turn(x_BCHW, *data)
        return self.replays.run(route, turn, x_BCHW, *data)

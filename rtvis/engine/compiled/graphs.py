"""The third form of what the engine does again and again: one replay of a CUDA graph.

What runs for one key is captured once, after it has served a few calls plainly, so that a first
click never waits for it. From then on a call copies what it is given into the buffers of the
capture, replays it, and copies the outcome out of them.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

log = logging.getLogger(__name__)

OutcomeT = TypeVar("OutcomeT", bound=NamedTuple)
"""A named tuple of tensors, some of them perhaps None."""

CALLS_BEFORE_CAPTURE: Final = 3
"""Calls that a key runs uncaptured. They warm up what must not start inside a capture: kernels
that are loaded when they are wanted first (AOTInductor's, cuDNN's) and what methods cache."""

MOST_TURNS: Final = 12
"""Routes of the turn that are kept. Each keeps its outputs and inputs; one memory pool holds all
that lies between."""

MOST_GRADIENTS: Final = 4
"""The same for gradients of units; an optimisation needs one."""

_MOST_COUNTED: Final = 512
"""Keys whose calls are counted: somebody who clicks for a week makes no memory grow."""


class Capture(Protocol):
    """Runs something once in a way that it can be run again, in place."""

    def is_under_way(self) -> bool:
        """Whether what runs now is being captured."""

    def __call__(self, run: Callable[[], OutcomeT]) -> tuple[OutcomeT, Callable[[], None]]:
        """What `run` gives, and what runs all of it again, from and into the same memory.

        Raises:
            RuntimeError: It cannot be captured, for something in it waits for the device.
        """


class Replays:
    """Runs calls as replays where they were captured, and plainly where not.

    Owned by the engine thread.

    Args:
        capture: How to capture; several may share it, and with it one pool of memory.
        most: Captures that are kept; the one used longest ago is let go.
    """

    def __init__(self, capture: Capture, *, most: int) -> None:
        self._capture = capture
        self._most = most
        self._replays: OrderedDict[Hashable, _Replay[Any]] = OrderedDict()
        self._calls: OrderedDict[Hashable, float] = OrderedDict()
        self.replayed = False
        """Whether the last call was a replay."""

    def __len__(self) -> int:
        """How many captures are kept."""
        return len(self._replays)

    def run(self, key: Hashable, call: Callable[..., OutcomeT], *given: Tensor) -> OutcomeT:
        """What `call(*given)` gives; it belongs to the caller.

        Args:
            key: Equal for calls that run the same code. Of inputs of other shapes or dtypes there
                is another capture, whatever the key.
            call: Does not wait for the device. Whatever else it reads must stay where it is for
                as long as `call` lives, which a capture keeps.
            given: On the device.
        """
        if self._capture.is_under_way():
            # Its kernels become part of the capture around it; of two there would be neither.
            return call(*given)
        key = key, *((each.shape, each.dtype) for each in given)
        replay: _Replay[OutcomeT] | None = self._replays.get(key)
        if replay is None and self._is_due(key):
            replay = self._captured(key, call, given)
        self.replayed = replay is not None
        if replay is None:
            return call(*given)
        self._replays.move_to_end(key)
        return replay.run(given)

    def _is_due(self, key: Hashable) -> bool:
        calls = self._calls.pop(key, 0) + 1
        self._calls[key] = calls  # the one counted last
        if len(self._calls) > _MOST_COUNTED:
            self._calls.popitem(last=False)
        return calls > CALLS_BEFORE_CAPTURE

    def _captured(
        self, key: Hashable, call: Callable[..., OutcomeT], given: Sequence[Tensor]
    ) -> "_Replay[OutcomeT] | None":
        try:
            replay = _Replay(self._capture, call, given)
        # What cannot be captured, for whatever reason, runs plainly, which shows any real fault.
        except Exception as fault:  # noqa: BLE001
            log.info("no CUDA graph for %s: %s", key, str(fault).partition("\n")[0])
            self._calls[key] = -math.inf  # never due again
            return None
        del self._calls[key]  # if it is let go, it has to be called as often again
        self._replays[key] = replay
        if len(self._replays) > self._most:
            self._replays.popitem(last=False)
        return replay


class _Replay(Generic[OutcomeT]):
    """One captured call, and the buffers that it reads."""

    def __init__(
        self, capture: Capture, call: Callable[..., OutcomeT], given: Sequence[Tensor]
    ) -> None:
        # Ordinary tensors, which may be written to whoever calls: under inference mode and not.
        with torch.inference_mode(mode=False), torch.no_grad():
            buffers = tuple(each.detach().clone() for each in given)
        self._outcome, self._replay = capture(lambda: call(*buffers))
        self._buffers = buffers
        self._call = call
        """Kept for what it holds: the graph reads weights of which it owns none."""

    def run(self, given: Sequence[Tensor]) -> OutcomeT:
        with torch.no_grad():
            for buffer, value in zip(self._buffers, given, strict=True):
                buffer.copy_(value)
            self._replay()
            # Each replay writes it anew (pytorch#148439).
            return self._outcome._make(_cloned(each) for each in self._outcome)


def _cloned(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.clone()

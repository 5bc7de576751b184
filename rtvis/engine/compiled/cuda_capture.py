"""Capturing CUDA graphs, with all that PyTorch leaves to whoever does."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import torch

from rtvis.engine.compiled.graphs import OutcomeT

_MODE: Final = "thread_local"
"""What other threads do (loading compiled code, an upload) must not break a capture."""


class CudaCapture:
    """Captures CUDA graphs of one device, one at a time, in one memory pool.

    The graphs may share it because they are replayed one after the other on one stream, and what
    they hand out is copied before the next one runs.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cuda", "CUDA graphs need a CUDA device"
        self._device = device
        # Not torch's own: that is of whatever device was the current one when it was made.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._failed: list[torch.cuda.CUDAGraph] = []
        """Kept, because the allocator may ask them still which stream they were captured on."""

    def is_under_way(self) -> bool:
        """See `Capture`."""
        return torch.cuda.is_current_stream_capturing()

    def __call__(self, run: Callable[[], OutcomeT]) -> tuple[OutcomeT, Callable[[], None]]:
        """See `Capture`."""
        with torch.cuda.device(self._device):
            self._rehearse(run)
            graph = torch.cuda.CUDAGraph()
            try:
                # The first of these contexts is for torch 2.11, where the second one leaves its
                # stream the current one if the capture fails.
                with (
                    torch.cuda.stream(self._stream),
                    torch.cuda.graph(
                        graph, pool=self._pool, stream=self._stream, capture_error_mode=_MODE
                    ),
                ):
                    outcome = run()
            except BaseException:
                self._end_failed(graph)
                raise
        return outcome, graph.replay

    def _rehearse(self, run: Callable[[], OutcomeT]) -> None:
        """Once on the capture's stream: cuBLAS has a workspace for each, which would otherwise
        be a part of the first graph's memory."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        try:
            with torch.cuda.stream(self._stream):
                run()
        finally:
            here.wait_stream(self._stream)

    def _end_failed(self, graph: torch.cuda.CUDAGraph) -> None:
        """Let the allocator know that nothing is captured any more.

        Ending a capture that became invalid raises before it says so (seen in the sources of
        2.11 to 2.15). Until it is told, memory that another stream has used is never given back:
        the download of each picture would leave a little behind.
        """
        self._failed.append(graph)
        with suppress(RuntimeError):  # it has been told
            torch._C._cuda_endAllocateToPool(self._device.index or 0, self._pool)
        torch.cuda.synchronize(self._device)

"""The one download of a turn: the finished canvas and the numbers of its text."""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from rtvis.data import ImageU8
from rtvis.render.readout import Readout, unpack_readout


class Pending:
    """A canvas on its way to host memory. Waited for by the thread that submits."""

    def __init__(
        self,
        *,
        subject: Readout | None,
        canvas_HW3: ImageU8 | None = None,
        numbers: list[float] | None = None,
        on_device: "tuple[Tensor, Tensor | None, torch.cuda.Event] | None" = None,
    ) -> None:
        self._subject = subject
        self._canvas_HW3 = canvas_HW3
        self._numbers = numbers
        self._on_device = on_device

    def ready(self) -> bool:
        """True if `wait` would not wait."""
        return self._on_device is None or bool(self._on_device[2].query())  # type: ignore[no-untyped-call]

    def wait(self) -> ImageU8:
        """The canvas: uint8 BGR [H, W, 3], contiguous, and nobody else's."""
        if self._on_device is not None:
            pinned_HW3, pinned_N, done = self._on_device
            done.synchronize()
            # The pinned buffer is used again two turns later: what leaves here is a copy.
            self._canvas_HW3 = pinned_HW3.numpy().copy()
            self._numbers = pinned_N.tolist() if pinned_N is not None else None
            self._on_device = None
        assert self._canvas_HW3 is not None, "a canvas is either here or on its way"
        return self._canvas_HW3

    def readout(self) -> Readout | None:
        """The numbers that travelled with the canvas; None if it shows no result."""
        self.wait()
        if self._numbers is None or self._subject is None:
            return None
        return unpack_readout(self._numbers, self._subject)


class Downloader:
    """Brings canvases to host memory; on CUDA by a second stream while the next one is drawn.

    At most two canvases travel at a time: `submit` gives the third the buffers of the first, and
    waits for it if it is still on its way.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )
        self._slots: list[dict[str, Any]] = [{}, {}]
        self._turn = 0

    def submit(
        self,
        canvas_HW: Tensor,
        numbers_N: Tensor | None = None,
        *,
        subject: Readout | None = None,
    ) -> Pending:
        """Start the download of a canvas and its numbers.

        Args:
            canvas_HW: int32 packed BGRA; may be drawn over as soon as this returns.
            numbers_N: A packed readout (`pack_readout`).
            subject: What the numbers are about (`subject_of`).
        """
        if self._stream is None:
            image_HW4 = canvas_HW.numpy().view(np.uint8).reshape(*canvas_HW.shape, 4)
            canvas_HW3 = cv2.cvtColor(image_HW4, cv2.COLOR_BGRA2BGR)
            numbers = numbers_N.tolist() if numbers_N is not None else None
            return Pending(canvas_HW3=canvas_HW3, numbers=numbers, subject=subject)
        return self._submit_cuda(canvas_HW, numbers_N, self._stream, subject)

    def _submit_cuda(
        self,
        canvas_HW: Tensor,
        numbers_N: Tensor | None,
        stream: torch.cuda.Stream,
        subject: Readout | None,
    ) -> Pending:
        slot = self._slots[self._turn % 2]
        self._turn += 1
        pending = slot.get("pending")
        if pending is not None:
            pending.wait()
        if slot.get("size") != canvas_HW.shape:
            slot["size"] = canvas_HW.shape
            slot["device"] = torch.empty(
                (*canvas_HW.shape, 3), dtype=torch.uint8, device=self._device
            )
            slot["pinned"] = torch.empty((*canvas_HW.shape, 3), dtype=torch.uint8, pin_memory=True)
        # Three bytes a pixel travel, not four. This runs on the drawing stream, so the canvas is
        # free again for the next turn as soon as it is done.
        image_HW4 = canvas_HW.view(torch.uint8).view(*canvas_HW.shape, 4)
        slot["device"].copy_(image_HW4[:, :, :3])
        pinned_N = None
        if numbers_N is not None:
            if slot.get("numbers") is None or slot["numbers"].shape != numbers_N.shape:
                slot["numbers"] = torch.empty(
                    numbers_N.shape, dtype=numbers_N.dtype, pin_memory=True
                )
            pinned_N = slot["numbers"]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            slot["pinned"].copy_(slot["device"], non_blocking=True)
            if numbers_N is not None and pinned_N is not None:
                # The allocator must not hand the numbers' memory out before this copy has read it.
                numbers_N.record_stream(stream)
                pinned_N.copy_(numbers_N, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(stream)
        slot["pending"] = Pending(on_device=(slot["pinned"], pinned_N, done), subject=subject)
        return slot["pending"]  # type: ignore[no-any-return]

"""An engine, a source and a compositor that do almost nothing, and remember what they were asked.

For tests of the loop around them: nothing here imitates a network's numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis.data import Crop, Form, Frame, ImageU8, Layer, Result, Selection, Side, SourceStatus
from rtvis.engine.resolve import resolve_selection
from rtvis.errors import SourceError
from rtvis.render.layout import Layout, layout
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.runtime.bindings import BINDINGS, Effect, KeyBinding
from rtvis.runtime.controller import Controller
from rtvis.session import Session
from rtvis.slot import LatestSlot
from rtvis.sources.base import ONLY_ONE, Move

CANVAS = (480, 640)


def make_layer(index: int, name: str, num_units: int, side: int, kind: str = "conv") -> Layer:
    return Layer(
        index=index,
        name=name,
        kind=kind,  # type: ignore[arg-type]
        num_units=num_units,
        map_size=(side, side),
        stride=(1.0, 1.0),
        receptive_field=(3, 3),
    )


LAYERS = (
    make_layer(0, "stem", 8, 6),
    make_layer(1, "middle", 20, 4),
    make_layer(2, "last", 12, 2),
    make_layer(3, "classifier", 10, 1, kind="dense"),
)


def controller_of(
    session: Session,
    *,
    do: Callable[[Effect], object] = lambda effect: None,
    bindings: tuple[KeyBinding, ...] = BINDINGS,
) -> Controller:
    """What a user of these layers has in hand."""
    return Controller(
        session,
        layers=LAYERS,
        default_layer=2,
        cam_methods=("grad-cam",),
        lay_out=lambda view: layout(view, LAYERS),
        do=do,
        bindings=bindings,
    )


class FakeEngine:
    """Answers at once, or after `delay_s`; raises `error` while it is set."""

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.layers = LAYERS
        self.labels: tuple[str, ...] | None = None
        self.network = "fake"
        self.device = torch.device("cpu")
        self.weights_note = ""
        self.form: Form = "eager"
        self.compile_note = ""
        self.cam_methods = ("grad-cam", "layercam")
        self.mean_rgb = (128, 128, 128)
        self.input_size = (6, 6)
        self.delay_s = delay_s
        self.error: BaseException | None = None
        self.asked: list[tuple[int, Selection, int]] = []
        """(seq, selection, revision) of each run."""

    def resolve(self, selection: Selection) -> Selection:
        return resolve_selection(selection, self.layers, self.layers[2], 10, None)

    @property
    def num_classes(self) -> int:
        return 10

    def crop_of(self, image: Tensor, fit: str) -> Crop:
        del fit
        return Crop(top=0, left=0, height=image.shape[0], width=image.shape[1])

    def input_pictures(self, input_BCHW: Tensor) -> Tensor:
        return input_BCHW.permute(0, 2, 3, 1).to(torch.uint8)

    def weights(self, layer: str) -> Tensor | None:
        del layer
        return None

    def run(
        self,
        image: Tensor,
        selection: Selection,
        *,
        seq: int,
        revision: int,
        captured_ns: int,
    ) -> Result:
        self.asked.append((seq, selection, revision))
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        resolved = self.resolve(selection)
        layer = next(layer for layer in self.layers if layer.name == resolved.layer)
        return Result(
            scores_BK=torch.arange(10.0)[None],
            maps_BCHW=torch.ones(1, layer.num_units, *layer.map_size),
            cam_BHW=torch.ones(1, 2, 2),
            backprop_B3HW=torch.ones(1, 3, 6, 6),
            class_index_B=torch.tensor([9]),
            position_B2=torch.zeros(1, 2, dtype=torch.int64),
            value_B=torch.ones(1),
            health_B=torch.zeros(1, dtype=torch.int64),
            selection=resolved,
            form="eager",
            input_BCHW=torch.ones(1, 3, 6, 6),
            seq=seq,
            revision=revision,
            captured_ns=captured_ns,
        )


class FakeSource:
    """Gives the frames that a test puts; `end` and `fail` end it."""

    def __init__(self, *, num_frames: int | None = None, loose: int = 0) -> None:
        self.name = "fake source"
        self.size: tuple[int, int] | None = (6, 6)
        self.num_frames = num_frames
        self.slot: LatestSlot[Frame] | None = None
        self.steps: list[int] = []
        self.started = threading.Event()
        self._loose = loose
        self._status = SourceStatus(state="live")
        self._seq = 0

    def start(self, slot: LatestSlot[Frame]) -> None:
        self.slot = slot
        for _ in range(self._loose):
            self.put()
        self.started.set()

    def put(self) -> None:
        assert self.slot is not None
        image_HW3 = np.full((6, 6, 3), self._seq % 256, np.uint8)
        frame = Frame(image_HW3=image_HW3, seq=self._seq, captured_ns=time.monotonic_ns())
        self._seq += 1
        self.slot.put(frame)

    def set_state(self, state: str, message: str = "") -> None:
        self._status = SourceStatus(
            state=state,  # type: ignore[arg-type]
            message=message,
            since_ns=time.monotonic_ns(),
        )

    def status(self) -> SourceStatus:
        return self._status

    @property
    def shown(self) -> Side:
        return "only"

    def step(self, count: int, *, held: Frame | None = None) -> Move:
        self.steps.append(count)
        self.put()
        return "stepped"

    def switch(self, *, held: Frame | None = None) -> None:
        raise SourceError(ONLY_ONE)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class FlowingSource(FakeSource):
    """Puts a frame as soon as the last one was taken, `num_frames` in all."""

    def start(self, slot: LatestSlot[Frame]) -> None:
        self.slot = slot
        self._thread = threading.Thread(target=self._run, name="flowing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self.slot is not None
        assert self.num_frames is not None
        for _ in range(self.num_frames):
            while not self.slot.wait_empty(timeout_s=0.1):
                pass
            if self.slot.is_closed:
                return
            self.put()
        self.set_state("ended")


class _Here:
    def __init__(self, canvas_HW3: ImageU8) -> None:
        self._canvas_HW3 = canvas_HW3

    def wait(self) -> ImageU8:
        return self._canvas_HW3

    def readout(self) -> Readout | None:
        return Readout(top=((7, 0.5), (3, 0.25)))


class FakeCompositor:
    """Fills the canvas with the number of the frame, and keeps the scenes."""

    def __init__(self) -> None:
        self.layout: Layout | None = None
        self.readout = Readout()
        self.memory = None
        self.scenes: list[Scene] = []
        self.error: BaseException | None = None

    def compose(self, scene: Scene) -> Tensor:
        if self.error is not None:
            raise self.error
        self.scenes.append(scene)
        self.layout = layout(scene.view, scene.layers)
        return torch.zeros(())

    def receive(self, readout: Readout | None) -> None:
        if readout is not None:
            self.readout = readout

    def download(self) -> _Here:
        scene = self.scenes[-1]
        level = 0 if scene.image_HW3 is None else int(scene.image_HW3[0, 0, 0])
        return _Here(np.full((*scene.view.canvas_size, 3), level, np.uint8))

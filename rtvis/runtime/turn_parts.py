"""What a turn needs of others: the engine, the compositor, who has something to show."""

from typing import Protocol

import torch
from torch import Tensor

from rtvis.data import Fit, Form, Frame, ImageU8, Result, Selection
from rtvis.render.layout import Layout
from rtvis.render.readout import Readout
from rtvis.render.scene import JobShown, Learned, Memory, MomentsShown, PatternShown, Scene
from rtvis.runtime.compare import ComparedEngine
from rtvis.session import View


class EngineLike(ComparedEngine, Protocol):
    """What the loop needs of `rtvis.engine.engine.Engine`."""

    @property
    def device(self) -> torch.device: ...
    @property
    def form(self) -> Form: ...
    @property
    def cam_methods(self) -> tuple[str, ...]: ...
    @property
    def mean_rgb(self) -> tuple[int, int, int]: ...
    def preprocess(self, image: Tensor, *, fit: Fit = "crop") -> Tensor: ...
    @property
    def input_size(self) -> tuple[int, int]: ...
    def input_pictures(self, input_BCHW: Tensor) -> Tensor: ...


class Travelling(Protocol):
    """A canvas on its way to host memory; `rtvis.render.download.Pending`."""

    def wait(self) -> ImageU8: ...
    def readout(self) -> Readout | None: ...


class CompositorLike(Protocol):
    """What the loop needs of `rtvis.render.compositor.Compositor`."""

    @property
    def layout(self) -> Layout | None: ...
    @property
    def readout(self) -> Readout: ...
    @property
    def memory(self) -> Memory | None: ...
    def compose(self, scene: Scene) -> Tensor: ...
    def download(self) -> Travelling: ...
    def receive(self, readout: Readout | None) -> None: ...


class LearningLike(Protocol):
    """What the loop needs of `rtvis.runtime.learning.Learning`."""

    @property
    def state(self) -> tuple[object, ...]: ...
    @property
    def jobs(self) -> tuple[JobShown, ...]: ...
    def shown(self, view: View, selection: Selection | None) -> Learned | None: ...
    def pattern(self, view: View, selection: Selection | None) -> PatternShown | None: ...
    def settle(self, view: View, selection: Selection | None) -> None: ...


class MomentsLike(Protocol):
    """What the loop needs of `rtvis.runtime.moments.LiveMoments`."""

    @property
    def state(self) -> int: ...
    def take(self, frame: Frame, source: str, result: Result) -> None: ...
    def shown(self, view: View, selection: Selection | None) -> MomentsShown | None: ...
    def pattern(
        self,
        view: View,
        selection: Selection | None,
        in_sight: range,
        *,
        whole: bool,
    ) -> PatternShown | None: ...

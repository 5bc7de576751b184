"""What is asked of the second of two that are compared.

There are two kinds: another network (`rtvis.runtime.network_rival`) and another input
(`rtvis.runtime.stream_rival`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from rtvis.data import Crop, Fit, Frame, Layer, Result, Selection
from rtvis.render.scene import Half


class ComparedEngine(Protocol):
    """What comparing needs of `rtvis.engine.engine.Engine`, beside what the loop needs."""

    def run(
        self,
        image: Tensor | Sequence[Tensor],
        selection: Selection,
        *,
        seq: int,
        revision: int,
        captured_ns: int,
    ) -> Result: ...

    def resolve(self, selection: Selection) -> Selection: ...
    def weights(self, layer: str) -> Tensor | None: ...
    def crop_of(self, image: Tensor, fit: Fit) -> Crop: ...
    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def labels(self) -> tuple[str, ...] | None: ...
    @property
    def network(self) -> str: ...
    @property
    def weights_note(self) -> str: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def compile_note(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a turn computes."""

    image_HW3: Tensor
    """On the device, for the screen."""
    input_HW3: Tensor
    """On the device, for the network."""
    frame: Frame
    selection: Selection
    revision: int
    is_fresh: bool
    """Whether it is another frame than the last time."""


class Rival(Protocol):
    """The second of two that are compared. Owned by the engine thread; started by the main one."""

    def names(self, engine: ComparedEngine, source_name: str) -> tuple[str, str]:
        """What to call the first and the second on screen."""
        ...

    def network(self, engine: ComparedEngine) -> str:
        """Name of the second network."""
        ...

    def weights_note(self, engine: ComparedEngine) -> str:
        """What is to be said of the weights of both."""
        ...

    def source_name(self, first: str) -> str:
        """Name of the second source, for that of the first."""
        ...

    @property
    def state(self) -> tuple[object, ...]:
        """What of it is on screen beside its results."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with its source, in a word or two; empty where nothing is."""
        ...

    def same_classes(self, engine: ComparedEngine) -> bool:
        """Whether scores can be subtracted."""
        ...

    def start(self) -> None:
        """Begin, as the source does."""
        ...

    def has_news(self, *, paused: bool) -> bool:
        """Whether there is something to compute though the first one stands still."""
        ...

    def step(self, count: int) -> None:
        """Go to another picture where the first one does."""
        ...

    def run(self, engine: ComparedEngine, asked: Asked) -> tuple[Result, Half]:
        """Compute both."""
        ...

    def layer(self, engine: ComparedEngine, name: str) -> Layer | None:
        """A layer of the first network, as it is in the second."""
        ...

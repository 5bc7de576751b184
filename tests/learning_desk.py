"""What tests of live learning share: a grower, a shelf, and a user at a desk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rtvis.data import ImageU8, Selection
from rtvis.errors import StoreError
from rtvis.render.scene import Learned
from rtvis.runtime.growth import Grown
from rtvis.runtime.jobs import Jobs, Traffic
from rtvis.runtime.learning import Learning
from rtvis.runtime.shelf import KeptInput, KeptPicture, KeptTop, SheetKind
from rtvis.session import View
from tests.nets_fake import LAYERS
from tests.test_jobs import Clock

SIZE = (800, 1280)
"""(height, width): there is a details pane."""
STEM = Selection(layer="stem", unit=3)
QUIET = Traffic()


def flat(value: int, side: int = 8) -> Tensor:
    return torch.full((side, side, 3), value, dtype=torch.uint8)


class FakeGrower:
    """Pictures of four steps, each a grey that tells unit and step."""

    def __init__(self, num_steps: int = 4) -> None:
        self.num_steps = num_steps
        self.begun: list[tuple[str, int, bool]] = []
        """(layer, unit, whether there was a start)."""
        self.error: Exception | None = None

    def grow(self, layer: str, unit: int, *, start_13HW: Tensor | None) -> Iterator[Grown]:
        self.begun.append((layer, unit, start_13HW is not None))
        for step in range(1, self.num_steps + 1):
            if self.error is not None:
                raise self.error
            grey = 10 * unit + step
            result = f"{layer}:{unit}" if step == self.num_steps else None
            yield Grown(
                draw=lambda grey=grey: flat(grey),  # type: ignore[misc]
                share=step / self.num_steps,
                value=float(step),
                result=result,
            )


class FakeShelf:
    """A store in memory that answers when it is let."""

    def __init__(self) -> None:
        self.back_rule = "deconvnet"
        self.pictures: dict[tuple[str, int], ImageU8] = {}
        self.crops: dict[tuple[str, int], tuple[KeptTop, ...]] = {}
        self.inputs: dict[tuple[str, int, int], KeptInput] = {}
        self.kept: list[tuple[str, int, object]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: StoreError | None = None
        self.threads: set[str] = set()

    def has(self, layer: str, unit: int) -> bool:
        return (layer, unit) in self.pictures

    def optimized(self, layer: str, unit: int) -> KeptPicture | None:
        self._asked()
        found = self.pictures.get((layer, unit))
        return None if found is None else KeptPicture(image_HW3=found, value=7.5)

    def tops(self, layer: str, unit: int, num: int) -> tuple[KeptTop, ...]:
        self._asked()
        return self.crops.get((layer, unit), ())[:num]

    def whole_input(self, layer: str, unit: int, place: int) -> KeptInput:
        self._asked()
        found = self.inputs.get((layer, unit, place))
        if found is None:
            raise StoreError(f"{place}.png: gone")
        return found

    def sheet(self, layer: str, kind: SheetKind) -> Iterator[tuple[int, ImageU8 | None]]:
        del kind
        for unit in range(8):
            self._asked()
            yield unit, self.pictures.get((layer, unit))

    def keep(self, layer: str, unit: int, result: object) -> None:
        self._asked()
        self.kept.append((layer, unit, result))

    def _asked(self) -> None:
        assert self.gate.wait(5)
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error


class Desk:
    """A Learning with fakes around it, on a clock that the test moves."""

    def __init__(self, *, shelf: FakeShelf | None = None, **view: object) -> None:
        self.clock = Clock()
        self.jobs = Jobs(self.clock, now_s=lambda: self.clock.now_s)
        self.grower = FakeGrower()
        self.said: list[str] = []
        self.start: Tensor | None = torch.zeros(1, 3, 8, 8)
        self.shelf = shelf
        self.learning = Learning(
            layers=LAYERS,
            device=torch.device("cpu"),
            jobs=self.jobs,
            grower=self.grower,
            shelf=shelf,
            say=lambda text, _: self.said.append(text),
            start=lambda: self.start,
            now_s=lambda: self.clock.now_s,
        )
        self.view = View(canvas_size=SIZE, page="learned", **view)  # type: ignore[arg-type]
        self.selection = STEM

    def follow(self, **view: object) -> None:
        """A turn with another view."""
        self.view = View(**{**_fields(self.view), **view})  # type: ignore[arg-type]
        self.learning.follow(self.view, self.selection)

    def select(self, unit: int, layer: str = "stem") -> None:
        self.selection = Selection(layer=layer, unit=unit)
        self.follow()

    def steps(self, num: int) -> None:
        for _ in range(num):
            self.clock.now_s += 1.0
            self.jobs.run(QUIET)
            self.learning.follow(self.view, self.selection)

    @property
    def shown(self) -> Learned:
        found = self.learning.shown(self.view, self.selection)
        assert found is not None
        return found

    def grey(self) -> int | None:
        image = self.shown.optimized_HW3
        return None if image is None else int(image[0, 0, 0])

    def hear(self, is_so: Callable[[], bool]) -> None:
        """Turns until the loader's thread has answered."""
        until_s = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < until_s, "the loader never answered"
            self.learning.follow(self.view, self.selection)
            time.sleep(0.001)


def _fields(view: View) -> dict[str, object]:
    return {name: getattr(view, name) for name in View.__dataclass_fields__}

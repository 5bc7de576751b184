"""What runs on CUDA, on a device that is pretended: nothing is left on the CPU, nothing waits."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
from torch import Tensor, nn

from rtvis.data import Intervention, KeyEvent, Origin, Result, Selection
from rtvis.engine.compiled.graphs import CALLS_BEFORE_CAPTURE
from rtvis.engine.engine import Engine
from rtvis.render.compositor import Compositor
from rtvis.runtime.bindings import BINDINGS
from rtvis.runtime.moments import live_moments
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.upload import on_device
from rtvis.session import PageName, Session, View
from tests.nets import DenseNet, EverySpelling, engine_of, seeded
from tests.nets_fake import FakeSource
from tests.pretend_cuda import (
    Device,
    DevicesMetError,
    NoKernelError,
    WaitedError,
    no_waiting,
    pretend_cuda,
)

SIZE = (40, 48)
PICTURE = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture
def cuda() -> Iterator[Device]:
    with pretend_cuda() as device:
        yield device


def transformer() -> nn.Module:
    model = timm.models.VisionTransformer(
        img_size=SIZE, patch_size=8, embed_dim=24, depth=1, num_heads=3, num_classes=5, reg_tokens=2
    )
    return model.eval().requires_grad_(False)


# The pretended device itself


def numbers() -> Tensor:
    return torch.arange(6.0).pin_memory().to("cuda", non_blocking=True)


WRONG: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "a tensor left on the CPU": (DevicesMetError, lambda: numbers() + torch.ones(6)),
    "an index left on the CPU": (DevicesMetError, lambda: numbers().gather(0, torch.tensor([1]))),
    "a number read": (WaitedError, lambda: numbers().sum().item()),
    "a truth read": (WaitedError, lambda: 1 if numbers().sum() > 0 else 2),
    "a download": (WaitedError, lambda: numbers().cpu()),
    "a list": (WaitedError, lambda: numbers().tolist()),
    "a mask": (WaitedError, lambda: numbers()[numbers() > 2]),
    "places found": (WaitedError, lambda: torch.nonzero(numbers())),
    "a constant uploaded": (WaitedError, lambda: torch.tensor([1.0], device="cuda")),
    "pageable memory": (WaitedError, lambda: torch.ones(3).to("cuda", non_blocking=True)),
    "a blocking upload": (WaitedError, lambda: torch.ones(3).pin_memory().to("cuda")),
    "an index uploaded": (WaitedError, lambda: numbers()[torch.tensor([0, 2])]),
    "no such operation": (
        NoKernelError,
        lambda: torch.ops.rtvis.reduce_maps(numbers().view(1, 6, 1, 1), numbers(), 0, 0),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_are_found(cuda: Device, wrong: str) -> None:
    import rtvis.engine.compiled.kernels  # noqa: F401 - declares the CPU's operations

    error, act = WRONG[wrong]
    with no_waiting(), pytest.raises(error):
        act()


def test_what_a_gpu_does_without_waiting_is_no_mistake(cuda: Device) -> None:
    with no_waiting():
        x = numbers()
        x[x > 4] = 0.0
        x = torch.where(x > 2, 1, x)[1:] + torch.tensor(2.0)
        words = torch.zeros(3, dtype=torch.int32, device="cuda").view(torch.uint8)
    assert x.cpu().tolist() == [3, 4, 3, 3, 2]
    assert words.shape == (12,)


def test_a_download_arrives_when_it_was_waited_for(cuda: Device) -> None:
    host, stream = torch.zeros(6, pin_memory=True), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with no_waiting(), torch.cuda.stream(stream):
        host.copy_(numbers(), non_blocking=True)
        done = torch.cuda.Event()
        done.record(stream)
    assert host.tolist() != [0, 1, 2, 3, 4, 5]
    done.synchronize()
    assert host.tolist() == [0, 1, 2, 3, 4, 5]


# The engine


def selections(engine: Engine, layer: str) -> Iterator[Selection]:
    """Every code path of a turn, for one layer."""
    first = engine.layers[0].name
    of_layer: tuple[dict[str, Any], ...] = (
        {"rule": "deconvnet", "seed": "map", "gradients": True},
        {"rule": "gradient", "seed": "activation", "position": None, "tap": "post"},
        {"seed": "score", "class_index": 1, "gradients": True},
        {"position": (0, 0), "beside": first},
        {"origin": Origin(layer=first, unit=1), "backward": False, "fit": "letterbox"},
        {
            "interventions": (
                Intervention(layer=layer, unit=0, scale=0.0),
                Intervention(layer=first, unit=1, offset=1.0),
            ),
            "gradients": True,
        },
    )
    for asked in of_layer:
        yield Selection(layer=layer, unit=1, **asked)


def selections_of_any_layer(engine: Engine) -> Iterator[Selection]:
    """What belongs to no layer."""
    for method in engine.cam_methods:
        yield Selection(cam=method)
    if engine.output_size is not None:
        yield Selection(region=(1, 2, 1, 1))
        yield Selection(region=(1, 2, 3, 3), seed="score")


def assert_same(ours: Result, reference: Result, *, within: float = 1e-3) -> None:
    for field in fields(Result):
        found, expected = getattr(ours, field.name), getattr(reference, field.name)
        if not isinstance(expected, Tensor):
            continue
        assert found.is_cuda, field.name
        found = found.cpu()
        assert found.dtype == expected.dtype, field.name
        largest = max(float(expected.double().abs().max()), 1e-6)
        error = float((found.double() - expected.double()).abs().max()) / largest
        assert error < within, f"{field.name}: {error}"


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (lambda: seeded(EverySpelling), ("stem", "shared#2", "fc")),
        (lambda: seeded(DenseNet), ("down",)),
        (
            lambda: seeded(transformer),
            ("blocks.0.attn",),
        ),
    ],
    ids=["convolutions", "dense output", "tokens"],
)
def test_a_turn_is_computed_on_the_device_and_waits_for_nothing(
    cuda: Device, make: Callable[[], nn.Module], layers: tuple[str, ...]
) -> None:
    on_cpu, engine = engine_of(make(), SIZE), engine_of(make(), SIZE, device="cuda")
    x = on_cpu.preprocess(PICTURE)
    of_layers = [selection for layer in layers for selection in selections(engine, layer)]
    for selection in (*of_layers, *selections_of_any_layer(engine)):
        engine.run(on_device(PICTURE, engine.device), selection)  # what is kept is made
        uploaded = x.pin_memory().to("cuda", non_blocking=True)
        with no_waiting():
            ours = engine.run(uploaded, selection)
        assert_same(ours, on_cpu.run(x, selection))


def test_a_picture_of_any_size_is_prepared_as_on_the_cpu(cuda: Device) -> None:
    on_cpu = engine_of(seeded(EverySpelling), SIZE)
    engine = engine_of(seeded(EverySpelling), SIZE, device="cuda")
    for size in ((1, 1), (7, 200), (300, 40), (240, 320)):
        picture = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
        for fit in ("crop", "stretch", "letterbox"):
            ours = engine.preprocess(on_device(picture, engine.device), fit=fit).cpu()
            grey_levels = (ours - on_cpu.preprocess(picture, fit=fit)).abs() * 255 * 0.226
            assert grey_levels.max() < 1.1
            assert grey_levels.mean() < 0.1


def test_half_precision_is_that_of_the_cpu(cuda: Device) -> None:
    on_cpu = engine_of(seeded(EverySpelling), SIZE, dtype="float16")
    engine = engine_of(seeded(EverySpelling), SIZE, dtype="float16", device="cuda")
    x = on_cpu.preprocess(PICTURE)
    for selection in selections(engine, "wide"):
        assert_same(engine.run(x, selection), on_cpu.run(x, selection), within=0.02)


def test_a_route_that_stays_is_captured_and_replayed_with_the_same_numbers(cuda: Device) -> None:
    on_cpu = engine_of(seeded(EverySpelling), SIZE)
    engine = engine_of(seeded(EverySpelling), SIZE, device="cuda")
    engine._forms.compiler = SimpleNamespace(  # type: ignore[assignment]
        is_complete=True, is_serving=True, begin=lambda: None, close=lambda: None, note=""
    )
    for method in ("eigen-cam", "grad-cam"):
        for turn in range(CALLS_BEFORE_CAPTURE + 3):
            selection = Selection(layer="wide", unit=turn, cam=method, class_index=turn % 6)
            x = on_cpu.preprocess(np.roll(PICTURE, 7 * turn, axis=1))
            uploaded = x.pin_memory().to("cuda", non_blocking=True)
            with no_waiting():
                ours = engine.run(uploaded, selection)
            assert_same(ours, on_cpu.run(x, selection))
        assert engine.form == "graph"


# The loop, from the frame to the picture in host memory

BEYOND = {"leave", "save", "record", "next picture", "previous picture", "switch source"}


class Loop:
    """A pipeline whose turns are taken one by one."""

    def __init__(self, device: str) -> None:
        self.engine = engine_of(seeded(EverySpelling), SIZE, device=device)
        self.source = FakeSource()
        self.session = Session(View(selection=Selection(layer="wide", unit=1)))
        self.pipeline = Pipeline(
            engine=self.engine,
            source=self.source,
            compositor=Compositor(self.engine.device),
            session=self.session,
            moments=live_moments(self.engine, apart_s=3600),
        )
        self.source.start(self.pipeline.loop.frames)

    def turn(self, *, frame: bool) -> None:
        if frame:
            self.source.put()
        self.pipeline.loop.one_turn()
        turn = self.pipeline.loop.turn
        assert turn.num_faults == 0
        if turn.composed is not None:
            self.pipeline.controller.drawn = turn.composed.drawn

    def settle(self) -> None:
        """New things are made and kept, the numbers on screen are those of the last frame."""
        for frame in (True, False, True):
            self.turn(frame=frame)

    def picture(self) -> npt.NDArray[np.uint8]:
        """What is on screen, without the rates."""
        turn = self.pipeline.loop.turn
        composed = turn.flush() or turn.composed
        assert composed is not None
        return composed.picture.canvas_HW3[32:-32]

    def press(self, key: str) -> None:
        self.pipeline.controller.handle(KeyEvent(key=key))


def test_every_page_is_drawn_as_on_the_cpu_and_no_turn_waits(cuda: Device) -> None:
    on_cpu, loop = Loop("cpu"), Loop("cuda")
    for page in get_args(PageName):
        for each in (on_cpu, loop):
            each.session.update(page=page)
            each.settle()
        with no_waiting():
            loop.turn(frame=True)
            loop.turn(frame=False)
        on_cpu.turn(frame=True)
        difference = np.abs(loop.picture().astype(int) - on_cpu.picture()).max(axis=2)
        assert (difference > 8).mean() < 0.002, page


@pytest.mark.slow
def test_after_every_key_no_turn_waits(cuda: Device) -> None:
    loop = Loop("cuda")
    for binding in BINDINGS:
        if binding.action not in BEYOND:
            loop.press(binding.keys[0])
            loop.settle()
            with no_waiting():
                loop.turn(frame=True)
                loop.turn(frame=False)

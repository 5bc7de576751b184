"""The calls that `bench_step` times: pieces, turns, turns with rendering, transfers."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.alone import graphed
from benchmarks.common import Call
from rtvis.data import Frame, ImageU8, Layer, Rates, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.joint.pieces import Piece, Runner
from rtvis.engine.turn.step import Step
from rtvis.registry import method_named
from rtvis.render.compositor import Compositor
from rtvis.render.download import Pending
from rtvis.render.scene import Scene
from rtvis.runtime.moments import LiveMoments
from rtvis.session import View
from rtvis.sources.choose import demo_path

SOURCE_SIZE = (720, 1280)
_PICTURE = Path(__file__).parent.parent / "sample_images" / "coffee.jpg"


def picture() -> ImageU8:
    """A photograph at the size of a camera's frame, uint8 RGB."""
    image = cv2.imread(str(_PICTURE))
    assert image is not None, _PICTURE
    height, width = SOURCE_SIZE
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized[:, :, ::-1])


def chosen_layers(engine: Engine, names: list[str]) -> dict[str, Layer]:
    """The layers to measure at: of `names`, or a shallow, a middle, the deepest and a dense one."""
    by_name = {layer.name: layer for layer in engine.layers}
    if names:
        resolved = [engine.resolve(Selection(layer=name)).layer for name in names]
        return {name: by_name[name] for name in resolved if name is not None}
    convolutions = [layer for layer in engine.layers if layer.kind == "conv"]
    found = {
        "shallow": convolutions[len(convolutions) // 10],
        "middle": convolutions[len(convolutions) // 2],
        "deepest": convolutions[-1],
    }
    dense = [layer for layer in engine.layers if layer.kind == "dense"]
    return found | ({"dense": dense[-1]} if dense else {})


def live_unit(engine: Engine, x_BCHW: Tensor, layer: Layer) -> int:
    """The unit with the highest value: its gradient is not zero, which would prove nothing."""
    result = engine.run(x_BCHW, Selection(layer=layer.name))
    unit = int(result.maps_BCHW[0].flatten(1).amax(1).argmax())
    checked = engine.run(x_BCHW, Selection(layer=layer.name, unit=unit))
    assert bool((checked.backprop_B3HW != 0).any()), f"{layer.name}: the gradient is zero"
    return unit


def step_of(engine: Engine) -> Step:
    """The engine's own step. Private there: only measuring wants a piece by itself."""
    return engine._steps.of(engine.batch_size)


def piece_calls(engine: Engine, x_BCHW: Tensor) -> dict[str, Call]:
    """Each piece of the step alone, by name, in its present form."""
    step = step_of(engine)
    forward = step.pieces.forward
    with torch.inference_mode():
        values = {forward.inputs[0]: x_BCHW}
        values.update(zip(forward.outputs, forward.run_eager([x_BCHW]), strict=True))
    return {
        piece.name: _piece_call(piece, step.runners.of(piece), values, engine.device)
        for piece in step.pieces.all_pieces()
    }


def _piece_call(
    piece: Piece, runner: Runner, values: dict[str, Tensor], device: torch.device
) -> Call:
    def example(shaped: Tensor) -> Tensor:
        made = torch.empty_strided(shaped.shape, shaped.stride(), dtype=shaped.dtype, device=device)
        # Not zeros: a processor may be quicker with them.
        return made.fill_(1) if made.is_floating_point() else made.zero_()

    inputs = [
        values[name] if name in values else example(shaped)
        for name, shaped in zip(piece.inputs, piece.examples, strict=True)
    ]

    def call() -> object:
        with torch.inference_mode():
            return runner(inputs)

    return graphed(call, device)


def turn(engine: Engine, x_BCHW: Tensor, selection: Selection) -> Call:
    """A turn on preprocessed input, in the engine's present form."""
    return lambda: engine.run(x_BCHW, selection)


def eager_turn(engine: Engine, x_BCHW: Tensor, selection: Selection) -> Call:
    """The same turn operation by operation: the same graph, not compiled."""
    served = step_of(engine)
    step = Step(served.pieces, engine.device)
    route, click = engine._forms.clicks.split(engine.resolve(selection), served.pieces)
    tensors = engine._forms.clicks.upload(click, selection.interventions, served.pieces)

    def call() -> object:
        with torch.inference_mode():
            return step.run(x_BCHW, route, tensors, method_named(route.cam))

    return call


def rendered_turn(engine: Engine, image_HW3: ImageU8, view: View) -> Call:
    """All that the live program does with a frame: upload, turn, canvas, download."""
    return film_turn(engine, (image_HW3,), view)


def film_turn(
    engine: Engine,
    images: Sequence[ImageU8],
    view: View,
    *,
    moments: LiveMoments | None = None,
) -> Call:
    """The same with one frame after another of a film that goes on and on.

    As in the program, a canvas travels on CUDA while the next turn is computed.

    Args:
        engine: Computes.
        images: Frames, uint8 RGB, each as large as the others.
        view: What is drawn.
        moments: Looks at every frame, and is drawn where the view says so.
    """
    compositor = Compositor(engine.device)
    numbers = count()
    travelling: list[Pending] = []

    def call() -> object:
        number = next(numbers)
        image_HW3 = images[number % len(images)]
        frame_HW3 = _upload(image_HW3, engine.device)
        result = engine.run(frame_HW3, view.selection, seq=number)
        if moments is not None:
            moments.take(_film_frame(image_HW3, number), "benchmark", result)
        scene = Scene(
            view=view,
            layers=engine.layers,
            image_HW3=frame_HW3,
            result=result,
            moments=moments.shown(view, result.selection) if moments is not None else None,
            pattern=moments.pattern(view, result.selection) if moments is not None else None,
            labels=engine.labels,
            network=engine.network,
            source_name="benchmark",
            # Text that stays the same is not drawn again; in the program it changes.
            rates=Rates(captured_fps=25.0, processed_fps=10 + number % 10, latency_ms=number % 90),
            device=str(engine.device),
            form=engine.form,
            now_ns=number * 40_000_000,
        )
        compositor.compose(scene)
        travelling.append(compositor.download())
        if engine.device.type == "cuda" and len(travelling) < 2:
            return None
        arrived = travelling.pop(0)
        canvas_HW3 = arrived.wait()
        compositor.receive(arrived.readout())
        return canvas_HW3

    return call


def _film_frame(image_HW3: ImageU8, number: int) -> Frame:
    return Frame(
        image_HW3=image_HW3,
        seq=number,
        captured_ns=0,
        pts_seconds=number / 25,
        path=Path("film.mp4"),
    )


def film_pictures(num: int) -> list[ImageU8]:
    """Frames of the bundled clip at the size of a camera's, uint8 RGB, an eighth of a second from
    each other."""
    film = cv2.VideoCapture(str(demo_path()))
    height, width = SOURCE_SIZE
    images: list[ImageU8] = []
    while len(images) < num:
        for _ in range(3):
            _, image = film.read()
        assert image is not None, "the clip is longer"
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        images.append(np.ascontiguousarray(resized[:, :, ::-1]))
    film.release()
    return images


def transfers(device: torch.device, canvas_size: tuple[int, int]) -> dict[str, tuple[Call, int]]:
    """Copies between host and device that a turn makes, each with its bytes; CUDA only."""
    image_HW3 = picture()
    pinned_HW3 = torch.from_numpy(image_HW3).pin_memory()
    canvas_HW3 = torch.zeros((*canvas_size, 3), dtype=torch.uint8, device=device)
    landing_HW3 = torch.empty((*canvas_size, 3), dtype=torch.uint8, pin_memory=True)
    height, width = SOURCE_SIZE
    return {
        f"upload of a {width}x{height} frame, pinned": (
            lambda: pinned_HW3.to(device, non_blocking=True),
            pinned_HW3.nbytes,
        ),
        f"upload of a {width}x{height} frame, pinning included": (
            lambda: _upload(image_HW3, device),
            pinned_HW3.nbytes,
        ),
        f"download of a {canvas_size[1]}x{canvas_size[0]} canvas": (
            lambda: landing_HW3.copy_(canvas_HW3, non_blocking=True),
            canvas_HW3.nbytes,
        ),
    }


def _upload(image_HW3: ImageU8, device: torch.device) -> Tensor:
    host_HW3 = torch.from_numpy(image_HW3)
    if device.type != "cuda":
        return host_HW3
    return host_HW3.pin_memory().to(device, non_blocking=True)

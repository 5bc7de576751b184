"""The engine: a network in, pictures in, and everything that a selection asks for out."""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from rtvis.data import Crop, Fit, Form, Intervention, Layer, Origin, Result, Rule, Selection
from rtvis.engine.artifacts import default_cache_dir
from rtvis.engine.asked import Click, ClickTensors, Outcome, Route, pack_click
from rtvis.engine.attention_methods import fault_of
from rtvis.engine.build import build_pieces
from rtvis.engine.compile import Compiler
from rtvis.engine.cuda_capture import CudaCapture
from rtvis.engine.device import resolve_device, resolve_dtype
from rtvis.engine.graphs import MOST_GRADIENTS, MOST_TURNS, Replays
from rtvis.engine.identity import Identity, identity_of
from rtvis.engine.interventions import Changes, pack_interventions
from rtvis.engine.layer_rules import apply_rules
from rtvis.engine.layers import find_layers
from rtvis.engine.memory import keep_freed_memory, within_memory
from rtvis.engine.models import Network
from rtvis.engine.objectives import Objective
from rtvis.engine.outputs import Borrowing
from rtvis.engine.pictures import Image, as_picture, check_takes_pictures, is_preprocessed
from rtvis.engine.pieces import Pieces
from rtvis.engine.preprocess import Preprocessing
from rtvis.engine.queries import described
from rtvis.engine.reach import Reach, Reaches
from rtvis.engine.reached import Gradients, Reached
from rtvis.engine.resolve import find_layer, resolve_selection
from rtvis.engine.skipped import skipped_layers, skipped_note
from rtvis.engine.step import Step
from rtvis.engine.trace import UntraceableError, flatten
from rtvis.engine.untraced import UntracedStep
from rtvis.errors import NetworkError, RtvisError
from rtvis.registry import ATTENTION_METHODS, CAM_METHODS, AttentionMethod, method_named
from rtvis.threads import cpu_threads

log = logging.getLogger(__name__)

CompileMode: TypeAlias = Literal["auto", "off"]

NUM_SEGMENTS = 6
"""Backward pieces to aim at; chosen by `benchmarks/bench_step.py --segments`."""


class Engine:
    """Computes what a Selection asks for, for one network on one device.

    One thread owns it. It serves from the first call on; compiled forms take over between two
    calls as they become ready.

    Args:
        network: A loaded network; its model is read, never changed.
        device: "auto", "cpu", "cuda" or "cuda:n".
        dtype: Number format of the network; scores and CAM weights stay float32.
        compile: "auto" compiles in the background, "off" stays eager.
        batch_size: Pictures per call that the compiled form is made for.
        cache_dir: Where compiled artifacts are kept; default: the user's cache folder.

    Raises:
        NetworkError: The network fails on inputs of its size, or has no layer with a map.
        DeviceError: The device or number format does not exist.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str = "auto",
        dtype: str = "float32",
        compile: CompileMode = "auto",  # noqa: A002 - the flag's name everywhere
        batch_size: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        self.device = resolve_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.dtype = resolve_dtype(dtype)
        self._network = network
        self._steps: dict[int, Step | UntracedStep] = {}
        self._untraced_note = ""
        self.skipped_note = ""
        """Which layers are not shown, and why; empty where all are."""
        self.batch_size = batch_size
        step = self._step_for(batch_size)
        self.layers: tuple[Layer, ...] = (
            described(step.pieces.sites, step.pieces.queries)
            if isinstance(step, Step)
            else tuple(site.layer for site in step.pieces.sites)
        )
        self._index_of = {
            name: layer.index
            for layer in self.layers
            for name in (layer.name, layer.name_in_model)
            if name
        }
        self.num_classes = step.pieces.num_classes
        self.output_size = step.pieces.output_size
        """(height, width) of a dense output, which has scores for each pixel; None without one."""
        self.default_cam_layer = step.pieces.cam_site.layer
        self._parameters: dict[str, Tensor] | None = None
        self._method_faults = {
            name: fault
            for name, method in ATTENTION_METHODS.items()
            if (fault := self._fault_of(method, step))
        }
        self._last_changes: tuple[object, Changes] | None = None
        self._turns: Replays | None = None
        self._gradients: Replays | None = None
        if self.device.type == "cuda":
            capture = CudaCapture(self.device)
            self._turns = Replays(capture, most=MOST_TURNS)
            self._gradients = Replays(capture, most=MOST_GRADIENTS)
        self._reaches: Reaches | None = None
        self._num_compiled = 0
        self._artifacts = (cache_dir or default_cache_dir()) / "compiled"
        self._compiler: Compiler | None = None
        if compile == "auto" and isinstance(step, Step):
            pieces, num_plain = step.pieces.all_pieces(), len(step.pieces.plain_pieces())
            self._compiler = Compiler(
                pieces, self.device, self._artifacts, step.runners.replace, num_plain=num_plain
            )
            self._compiler.start()

    @property
    def network(self) -> str:
        """The network's name."""
        return self._network.name

    @functools.cached_property
    def identity(self) -> Identity:
        """What it is: name, weights and preprocessing. The first call reads all weights."""
        return identity_of(self._network)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, if known."""
        return self._network.labels

    @property
    def weights_note(self) -> str:
        """What the screen must say about the weights, such as "random weights"; often empty."""
        return self._network.weights_note

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return self._network.preprocessing.size

    @property
    def only_batch(self) -> int | None:
        """How many pictures at a time the network takes; None: any number."""
        return self._network.only_batch

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network wants done to a picture."""
        return self._network.preprocessing

    @property
    def cam_methods(self) -> tuple[str, ...]:
        """Names of the methods that can explain this network."""
        names = (*CAM_METHODS, *ATTENTION_METHODS)
        return tuple(name for name in names if name not in self._method_faults)

    @property
    def form(self) -> Form:
        """Which form of the step serves now."""
        if self._turns is not None and self._turns.replayed:
            return "graph"
        return "compiled" if self._compiler is not None and self._compiler.is_serving else "eager"

    @property
    def compile_note(self) -> str:
        """Where compiling stands, in words for the screen; empty when there is nothing to say."""
        return self._untraced_note if self._compiler is None else self._compiler.note

    def resolve(self, selection: Selection) -> Selection:
        """The selection with its defaults filled in.

        Raises:
            SelectionError: A name or number that this network does not have.
        """
        return resolve_selection(
            selection,
            self.layers,
            self.default_cam_layer,
            self.num_classes,
            self.labels,
            output_size=self.output_size,
            method_faults=self._method_faults,
        )

    def check_takes_pictures(self) -> None:
        """Make sure that the network can be shown RGB pictures.

        Raises:
            RtvisError: It has other channels, and nobody said what to put there.
        """
        check_takes_pictures(self._network.preprocessing, name=self.network)

    def weights(self, layer: str) -> Tensor | None:
        """The layer's weights as they are in the model, before anything is folded into them.

        Returns:
            Of any shape and dtype, in the model's own memory: not to be written to. None for a
            layer that computes its weights or is not known.
        """
        index = self._index_of.get(layer)
        if index is None:
            return None
        if self._parameters is None:
            model = self._network.model
            named = (*model.named_parameters(), *model.named_buffers())
            self._parameters = {name: value.detach() for name, value in named}
        return self._parameters.get(self._steps[self.batch_size].pieces.sites[index].parameter)

    def preprocess(self, image: Image, *, fit: Fit = "crop") -> Tensor:
        """The network's input, float32 [1, C, H, W] on the device, for one picture (see `run`)."""
        prep = self._network.preprocessing
        return prep.apply(as_picture(image, prep, self.device, name=self.network), fit)

    def input_pictures(self, input_BCHW: Tensor) -> Tensor:
        """What the network saw, as pictures; the inverse of `preprocess` at the input's size.

        Shown to the network again with fit "stretch", a picture that came from one with eight bits
        gives the same input to the bit, but for what letterboxing left free.

        Returns:
            uint8 RGB [B, H, W, 3] on the input's device; of other channels than one or three the
            first three.
        """
        return self._network.preprocessing.to_pictures(input_BCHW)

    @property
    def mean_rgb(self) -> tuple[int, int, int]:
        """The colour that letterboxing puts around a picture, 0..255."""
        mean = self._network.preprocessing.mean
        red, green, blue = (round(255 * mean[min(axis, len(mean) - 1)]) for axis in range(3))
        return red, green, blue

    def crop_of(self, image: Image, fit: Fit = "crop") -> Crop:
        """The part of a picture that the network sees."""
        return self._network.preprocessing.crop_of(image.shape[0], image.shape[1], fit)

    def run(
        self,
        image: Image | Sequence[Image],
        selection: Selection = Selection(),  # noqa: B008 - frozen
        *,
        seq: int = 0,
        revision: int = 0,
        captured_ns: int = 0,
    ) -> Result:
        """Compute a turn.

        Args:
            image: A picture (numpy or tensor, any device): [H, W] or [H, W, 1] grey, [H, W, 3]
                RGB, [H, W, 4] RGBA, or [H, W, C] of the network's channels; uint8, uint16 or
                float in 0..1. Or a sequence of pictures, or a preprocessed float [B, C, H, W].
            selection: What to explain; unset fields take their defaults.
            seq: Passed on to the result, as are `revision` and `captured_ns`.

        Raises:
            SelectionError: A name or number that this network does not have.
            RtvisError: The picture is not of one of the forms above.
        """
        selection = self.resolve(selection)
        input_BCHW, crop = self._input(image, selection.fit)
        x_BCHW = input_BCHW.to(self.dtype).contiguous(memory_format=torch.channels_last)
        step = self._step_for(x_BCHW.shape[0])
        route, click = self._split(selection)
        changes = self._changes(step, selection.interventions)
        outcome = self._compute(step, x_BCHW, route, self._upload_click(click, changes))
        if self._compiler is not None:
            self._compiler.begin()
        return Result(
            scores_BK=outcome.scores_BK,
            maps_BCHW=outcome.maps_BCHW,
            cam_BHW=outcome.cam_BHW,
            backprop_B3HW=outcome.backprop_BCHW,
            class_index_B=outcome.class_index_B,
            position_B2=outcome.position_B2,
            value_B=outcome.value_B,
            grads_BCHW=outcome.grads_BCHW,
            beside_BCHW=outcome.beside_BCHW,
            health_B=outcome.health_B,
            selection=selection,
            form=self.form,
            untouched_scores_BK=outcome.untouched_scores_BK if route.intervened else None,
            dense_BKHW=outcome.dense_BKHW,
            labels_BHW=outcome.labels_BHW,
            crop=crop,
            input_BCHW=input_BCHW,
            revision=revision,
            seq=seq,
            captured_ns=captured_ns,
        )

    def reach(self, x_BCHW: Tensor, *, layer: str, whole: bool = False) -> Reached:
        """Run the network as far as a layer, for gradients of many pictures at that layer.

        A batch of `batch_size` runs through the pieces of a turn, compiled where they are by now:
        that never traces anything. The first batch of another size at a layer traces the way there
        (one to three seconds), which then runs eagerly unless `compile_reach` was called.

        Args:
            x_BCHW: Preprocessed pictures, in any float type, on any device.
            layer: Name of the layer.
            whole: Whether objectives of the whole layer are wanted ("layer", "probability"); they
                take the second way, for the pieces of a turn start from one unit.

        Raises:
            SelectionError: There is no such layer.
            RtvisError: The pictures are not of the network's size.
            DeviceError: Not enough memory.
        """
        x_BCHW = self._fitting(x_BCHW)

        def call() -> Reached:
            with torch.no_grad():
                return self._way_to(layer, len(x_BCHW), whole=whole)(x_BCHW)

        return within_memory(call, self._memory_advice(len(x_BCHW)))

    def neuron_gradients(
        self,
        x_BCHW: Tensor,
        *,
        layer: str,
        unit_B: Tensor,
        position_B2: Tensor | None = None,
        objective: Objective = "neuron",
        rule: Rule = "gradient",
    ) -> Gradients:
        """Each picture's own objective at a layer, and its gradient at the input.

        `reach` and one `Reached.gradients`, whose arguments these are. For a dense layer that ends
        the network "neuron" is the class score before softmax and "probability" the one after it.

        Raises:
            SelectionError: There is no such layer.
            RtvisError: The pictures are not of the network's size.
            DeviceError: Not enough memory.
        """
        x_BCHW = self._fitting(x_BCHW)
        unit_B = unit_B.to(self.device)
        if position_B2 is None:
            position_B2 = torch.full((len(x_BCHW), 2), -1, device=self.device)
        given = x_BCHW, unit_B, position_B2.to(self.device)

        def call() -> Gradients:
            whole = objective in {"layer", "probability"}
            way = self._way_to(layer, len(x_BCHW), whole=whole)

            def there_and_back(x_BCHW: Tensor, unit_B: Tensor, position_B2: Tensor) -> Gradients:
                with torch.no_grad():
                    return way(x_BCHW).gradients(
                        unit_B=unit_B, position_B2=position_B2, objective=objective, rule=rule
                    )

            if self._gradients is None or not isinstance(self._steps[self.batch_size], Step):
                return there_and_back(*given)
            # With other kernels, once they are compiled, it is another capture.
            form = self._is_complete, self._num_compiled
            return self._gradients.run((layer, objective, rule, form), there_and_back, *given)

        return within_memory(call, self._memory_advice(len(x_BCHW)))

    def _fitting(self, x_BCHW: Tensor) -> Tensor:
        self._check_input(x_BCHW)
        return x_BCHW.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    def _way_to(self, layer: str, batch: int, *, whole: bool) -> Callable[[Tensor], Reached]:
        """What runs the network up to a layer for a batch of that size."""
        index = find_layer(layer, self.layers, self.default_cam_layer).index
        step = self._steps.get(self.batch_size)
        if not isinstance(step, Step):
            step = self._step_for(batch)
            assert isinstance(step, UntracedStep)
            return functools.partial(step.reach, site=step.pieces.sites[index])
        if batch == self.batch_size and not whole:
            return functools.partial(step.reach, site=step.pieces.sites[index])
        return self._reach_of(batch, index).run

    def compile_reach(self, layer: str, batch: int, *, timeout_s: float | None = None) -> bool:
        """Compile the way to a layer and back for a batch size, and wait for it.

        Returns:
            Whether it serves; where not, the eager form does.

        Raises:
            SelectionError: There is no such layer.
        """
        index = find_layer(layer, self.layers, self.default_cam_layer).index
        if not isinstance(self._steps[self.batch_size], Step):
            return False
        self._num_compiled += 1
        return self._reach_of(batch, index).compile(self._artifacts, timeout_s=timeout_s)

    def _reach_of(self, batch: int, index: int) -> Reach:
        self._check_batch(batch)
        if self._reaches is None:
            step = self._steps[self.batch_size]
            assert isinstance(step, Step)
            queries = step.pieces.queries
            self._reaches = Reaches(self._network, self.device, self.dtype, queries)
        return self._reaches.get(batch, index)

    def _compute(
        self, step: Step | UntracedStep, x_BCHW: Tensor, route: Route, click: ClickTensors
    ) -> Outcome:
        batch, method = len(x_BCHW), method_named(route.cam)

        def turn(x_BCHW: Tensor, *click: Tensor) -> Outcome:
            with torch.inference_mode():
                return step.run(x_BCHW, route, ClickTensors(*click), method)

        def call() -> Outcome:
            # A graph keeps the kernels it was captured with: wait for the last compiled piece.
            may_replay = isinstance(step, Step) and batch == self.batch_size and self._is_complete
            if self._turns is None or not may_replay:
                return turn(x_BCHW, *click)
            return self._turns.run(route, turn, x_BCHW, *click)

        return within_memory(call, self._memory_advice(batch))

    def _memory_advice(self, batch: int) -> str:
        return (
            f"{self.device} has not enough memory for {self.network} at batch {batch}; use "
            "--dtype float16, a smaller --size, or --device cpu"
        )

    @property
    def _is_complete(self) -> bool:
        return self._compiler is not None and self._compiler.is_complete

    def wait_compiled(self, timeout_s: float | None = None) -> bool:
        """Wait until the compiled form serves; False if that was not to be had in time."""
        return self._compiler is not None and self._compiler.wait(timeout_s)

    def close(self) -> None:
        """Stop compiling. Safe to call twice."""
        if self._compiler is not None:
            self._compiler.close()
        if self._reaches is not None:
            self._reaches.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step_for(self, batch: int) -> Step | UntracedStep:
        if batch not in self._steps:
            self._check_batch(batch)
            channels = self._network.preprocessing.num_channels
            example = torch.empty(batch, channels, *self.input_size, dtype=self.dtype)
            self._steps[batch] = self._step_of(example)
        return self._steps[batch]

    def _check_batch(self, batch: int) -> None:
        only = self._network.only_batch
        if only is not None and batch != only:
            raise NetworkError(
                f"{self.network}: was exported for {only} picture at a time, not {batch}; "
                "export it again with a dynamic first dimension"
            )

    def _step_of(self, example: Tensor) -> Step | UntracedStep:
        """The fused step, or what stands in for it where the model cannot be traced."""
        name, model = f"network '{self.network}'", self._network.model
        try:
            with cpu_threads(1):  # or this thread, too, would keep a team of OpenMP threads
                pieces = self._build(example, name)
            # Outside: it remembers how many threads its pieces may use.
            return Step(pieces, self.device)
        except UntraceableError as fault:
            log.info("%s", fault)
            try:
                rules = self._network.layer_rules
                step = UntracedStep(model, example, self.device, rules=rules, name=name)
            except NetworkError as second:
                raise second from fault
            self._untraced_note = f"explained eagerly by autograd, not traceable: {fault.reason}"
            self.skipped_note = (
                f"layers are the modules that are called: attention is not shown, as this network "
                f"is not traceable: {fault.reason}"
            )
            return step

    def _fault_of(self, method: AttentionMethod, step: Step | UntracedStep) -> str:
        if isinstance(step, Step):
            return fault_of(method, step.pieces.sites)
        return "is not traceable, and attention is read from the trace alone"

    def _build(self, example: Tensor, name: str) -> Pieces:
        flat = flatten(self._network.model, example, name=name)
        found = find_layers(flat, example.shape[0])
        self.skipped_note = skipped_note(skipped_layers(flat))
        model, rules = self._network.model, self._network.layer_rules
        sites = apply_rules(found, rules, name=self.network)
        cam_layer = model.cam_layer if isinstance(model, Borrowing) else None
        pieces = None
        if sites:
            pieces = build_pieces(flat, sites, num_segments=NUM_SEGMENTS, cam_layer=cam_layer)
        if pieces is None:
            raise NetworkError(
                f"{name} has no convolution over rows and columns and no map of tokens: there is "
                "nothing to look at" + (f" ({self.skipped_note})" if self.skipped_note else "")
            )
        return pieces

    def _split(self, selection: Selection) -> tuple[Route, Click]:
        assert selection.layer is not None
        assert selection.cam_layer is not None
        assert selection.unit is not None
        assert selection.seed is not None
        origin = selection.origin or Origin(
            layer=selection.layer, unit=selection.unit, position=selection.position
        )
        start = self._index_of[origin.layer]
        # A position is the neuron that the pass starts at; at attention it is who asks.
        is_neuron = origin.position is not None and self.layers[start].kind != "attention"
        by_attention = selection.cam in ATTENTION_METHODS
        cam_layer = self.default_cam_layer.name if by_attention else selection.cam_layer
        route = Route(
            site=self._index_of[selection.layer],
            origin_site=start,
            frozen=selection.origin is not None,
            tap=selection.tap,
            backward=selection.backward,
            gradients=selection.gradients,
            beside_site=None if selection.beside is None else self._index_of[selection.beside],
            cam_site=self._index_of[cam_layer],
            cam=selection.cam,
            intervened=bool(selection.interventions),
        )
        click = Click(
            unit=selection.unit,
            position=selection.position,
            origin_unit=origin.unit,
            origin_position=origin.position,
            seed="max" if is_neuron else selection.seed,
            rule=selection.rule,
            class_index=selection.class_index,
            region=selection.region,
        )
        return route, click

    def _input(self, image: Image | Sequence[Image], fit: Fit) -> tuple[Tensor, Crop | None]:
        if is_preprocessed(image):
            x_BCHW = torch.as_tensor(image)
            self._check_input(x_BCHW)
            return x_BCHW.to(self.device), None
        if isinstance(image, Tensor | np.ndarray):
            return self.preprocess(image, fit=fit), self.crop_of(image, fit)
        if not image:
            raise RtvisError("no picture given: the sequence is empty")
        inputs = [self.preprocess(each, fit=fit) for each in image]
        return torch.cat(inputs), self.crop_of(image[0], fit)

    def _check_input(self, x_BCHW: Tensor) -> None:
        wanted = (self._network.preprocessing.num_channels, *self.input_size)
        if tuple(x_BCHW.shape[1:]) != wanted:
            raise RtvisError(
                f"preprocessed input has shape {tuple(x_BCHW.shape)}; "
                f"{self.network} takes [batch, {', '.join(map(str, wanted))}]"
            )

    def _changes(
        self, step: Step | UntracedStep, interventions: tuple[Intervention, ...]
    ) -> Changes:
        """The interventions on the device; they seldom change, so the last ones are kept."""
        key = step.pieces.batch, interventions
        if self._last_changes is None or self._last_changes[0] != key:
            packed = pack_interventions(interventions, step.pieces, self._index_of)
            on_device = Changes(*self._pinned_upload(*(each.to(self.dtype) for each in packed)))
            self._last_changes = key, on_device
        return self._last_changes[1]

    def _upload_click(self, click: Click, changes: Changes) -> ClickTensors:
        packed = pack_click(click, changes.gain_BT.shape[0], self.output_size)
        index_B7, amount_B5, corners_B4 = self._pinned_upload(*packed)
        return ClickTensors(index_B7, amount_B5, corners_B4, *changes)

    def _pinned_upload(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Small tensors from the host: a copy from pageable memory would wait for the device."""
        if self.device.type != "cuda":
            return tensors
        return tuple(each.pin_memory().to(self.device, non_blocking=True) for each in tensors)

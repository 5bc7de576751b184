"""The engine: a network in, pictures in, and everything that a selection asks for out."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rtvis.data import Crop, Fit, Form, Layer, Result, Rule, Selection
from rtvis.engine.catalogue import Catalogue
from rtvis.engine.clicks import Clicks
from rtvis.engine.compiled.artifacts import default_cache_dir
from rtvis.engine.compiled.cuda_capture import CudaCapture
from rtvis.engine.compiled.graphs import MOST_GRADIENTS, MOST_TURNS, Replays
from rtvis.engine.device import prepare_device, resolve_device, resolve_dtype
from rtvis.engine.forms import Forms
from rtvis.engine.memory import within_memory
from rtvis.engine.networks.identity import Identity, identity_of
from rtvis.engine.networks.inputs import Inputs
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.pictures import Image
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.engine.steps import Steps
from rtvis.engine.turn.objectives import Objective
from rtvis.engine.turn.reached import Gradients, Reached
from rtvis.engine.unit_gradients import UnitGradients

CompileMode: TypeAlias = Literal["auto", "off"]


class Engine:
    """Computes what a Selection asks for, for one network on one device.

    One thread owns it. It serves from the first call on; compiled forms take over between two
    calls as they become ready.

    Args:
        network: A loaded network; its model is read, never changed.
        device: "auto", "cpu", "cuda" or "cuda:n".
        dtype: Number format of the network; scores and CAM weights stay float32.
        tf32: See `prepare_device`: it holds for the whole process.
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
        tf32: bool = False,
        compile: CompileMode = "auto",  # noqa: A002 - the flag's name everywhere
        batch_size: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        self.device = resolve_device(device)
        prepare_device(self.device, tf32=tf32)
        self.dtype = resolve_dtype(dtype)
        self._network = network
        self._inputs = Inputs(network, self.device)
        self._steps = Steps(network, self.device, self.dtype)
        self.batch_size = batch_size
        step = within_memory(lambda: self._steps.of(batch_size), self._memory_advice(batch_size))
        self._catalogue = Catalogue(network, step, skipped_note=self._steps.skipped_note)
        capture = CudaCapture(self.device) if self.device.type == "cuda" else None
        self._forms = Forms(
            self._steps,
            Clicks(self._catalogue, device=self.device, dtype=self.dtype),
            batch_size=batch_size,
            replays=None if capture is None else Replays(capture, most=MOST_TURNS),
        )
        self._gradients = UnitGradients(
            network,
            self._steps,
            batch_size,
            device=self.device,
            dtype=self.dtype,
            replays=None if capture is None else Replays(capture, most=MOST_GRADIENTS),
        )
        self._artifacts = (cache_dir or default_cache_dir()) / "compiled"
        if compile == "auto":
            self._forms.compile(self.device, self._artifacts)

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
    def layers(self) -> tuple[Layer, ...]:
        """All that can be looked at."""
        return self._catalogue.layers

    @property
    def skipped_note(self) -> str:
        """Which layers are not shown, and why; empty where all are."""
        return self._catalogue.skipped_note

    @property
    def default_cam_layer(self) -> Layer:
        """The layer that a CAM is taken at unless another is chosen: the last one with a map."""
        return self._catalogue.default_cam_layer

    @property
    def num_classes(self) -> int:
        """K."""
        return self._catalogue.num_classes

    @property
    def output_size(self) -> tuple[int, int] | None:
        """(height, width) of a dense output, which has scores for each pixel; None without one."""
        return self._catalogue.output_size

    @property
    def cam_methods(self) -> tuple[str, ...]:
        """Names of the methods that can explain this network."""
        return self._catalogue.cam_methods

    @property
    def form(self) -> Form:
        """Which form of the step serves now."""
        return self._forms.serving

    @property
    def compile_note(self) -> str:
        """Where compiling stands, in words for the screen; empty when there is nothing to say."""
        return self._forms.note

    @property
    def untraced_note(self) -> str:
        """That and why the network runs as it is, and what is missing; empty where it is traced."""
        return self._steps.untraced_note

    def resolve(self, selection: Selection) -> Selection:
        """The selection with its defaults filled in.

        Raises:
            SelectionError: A name or number that this network does not have.
        """
        return self._catalogue.resolve(selection)

    def check_takes_pictures(self) -> None:
        """Make sure that the network can be shown RGB pictures.

        Raises:
            RtvisError: It has other channels, and nobody said what to put there.
        """
        self._inputs.check_takes_pictures()

    def weights(self, layer: str) -> Tensor | None:
        """The layer's weights as they are in the model, before anything is folded into them.

        Returns:
            Of any shape and dtype, in the model's own memory: not to be written to. None for a
            layer that computes its weights or is not known.
        """
        return self._catalogue.weights(layer)

    def preprocess(self, image: Image, *, fit: Fit = "crop") -> Tensor:
        """The network's input, float32 [1, C, H, W] on the device, for one picture (see `run`)."""
        return self._inputs.preprocess(image, fit)

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
        return self._inputs.mean_rgb

    def crop_of(self, image: Image, fit: Fit = "crop") -> Crop:
        """The part of a picture that the network sees."""
        return self._inputs.crop_of(image, fit)

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
        input_BCHW, crop = self._inputs.of(image, selection.fit)
        x_BCHW = input_BCHW.to(self.dtype).contiguous(memory_format=torch.channels_last)
        outcome = within_memory(
            lambda: self._forms.run(x_BCHW, selection),
            self._memory_advice(len(x_BCHW)),
        )
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
            untouched_scores_BK=outcome.untouched_scores_BK if selection.interventions else None,
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
        index, x_BCHW = self._catalogue.index(layer), self._fitting(x_BCHW)
        return within_memory(
            lambda: self._gradients.reach(x_BCHW, index, whole=whole),
            self._memory_advice(len(x_BCHW)),
        )

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
            SelectionError: There is no such layer, unit or position. Units and positions that lie
                on a GPU are not looked at: that would be to wait for it.
            RtvisError: The pictures are not of the network's size.
            DeviceError: Not enough memory.
        """
        index, x_BCHW = self._catalogue.index(layer), self._fitting(x_BCHW)
        if position_B2 is None:
            position_B2 = torch.full((len(x_BCHW), 2), -1, device=self.device)
        self._catalogue.check_places(index, unit_B, position_B2)
        unit_B = unit_B.to(self.device)
        place_B2, form = position_B2.to(self.device), self._forms.is_complete
        return within_memory(
            lambda: self._gradients.of(
                x_BCHW, index, unit_B, place_B2, objective=objective, rule=rule, form=form
            ),
            self._memory_advice(len(x_BCHW)),
        )

    def compile_reach(self, layer: str, batch: int, *, timeout_s: float | None = None) -> bool:
        """Compile the way to a layer and back for a batch size, and wait for it.

        Returns:
            Whether it serves; where not, the eager form does.

        Raises:
            SelectionError: There is no such layer.
        """
        return self._gradients.compile(
            self._catalogue.index(layer), batch, self._artifacts, timeout_s=timeout_s
        )

    def _fitting(self, x_BCHW: Tensor) -> Tensor:
        self._inputs.check(x_BCHW)
        return x_BCHW.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    def _memory_advice(self, batch: int) -> str:
        return (
            f"{self.device} has not enough memory for {self.network} at batch {batch}; use "
            "--dtype float16, a smaller --size, or --device cpu"
        )

    def wait_compiled(self, timeout_s: float | None = None) -> bool:
        """Wait until the compiled form serves; False if that was not to be had in time."""
        return self._forms.wait_compiled(timeout_s)

    def close(self) -> None:
        """Stop compiling. Safe to call twice."""
        self._forms.close()
        self._gradients.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

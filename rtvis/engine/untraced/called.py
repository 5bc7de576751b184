"""A model run as it is, and what can be looked at in it: the modules that it calls."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from rtvis.data import Layer, LayerKind
from rtvis.engine.dense import is_dense
from rtvis.engine.flat.trace import flatten, private_copy
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.layers.site import Site, on_map
from rtvis.errors import NetworkError

log = logging.getLogger(__name__)

OnCall: TypeAlias = Callable[[str, Tensor], Tensor | None]
"""Told the name of a layer and its output as it is called; may return what takes its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalledSite:
    """A layer that is a call of a module; what it returns is the layer's own value."""

    layer: Layer
    call: str
    """Name of the module; the second call of one is `NAME#2`."""
    first: int
    """Where its units begin when those of all layers are laid end to end."""
    rows: tuple[int, ...] | None = None
    """The tokens that are its places, row by row; None: all of them, in their order."""
    is_rest: bool = False
    """The class and register tokens of a layer whose other tokens form a map."""
    scale_C: None = None
    shift_C: None = None

    @property
    def parameter(self) -> str:
        """Name of its weight."""
        return f"{self.call.partition('#')[0]}.weight"

    @property
    def units(self) -> slice:
        """Its part of a tensor that holds one value for each unit of each layer."""
        return slice(self.first, self.first + self.layer.num_units)

    @property
    def is_map(self) -> bool:
        """Whether its places lie in the picture."""
        has_places = self.rows is not None or self.layer.map_size[0] > 1
        return self.layer.kind == "conv" or (has_places and not self.is_rest)

    def as_maps(self, value: Tensor, batch: int) -> Tensor:
        """What the module returns (or a gradient of it) as [B, C, H, W].

        Args:
            value: [B, C, H, W] of a convolution, [B, ..., C] of a dense layer.
            batch: B.
        """
        if self.layer.kind == "conv":
            return value
        tokens_BTC = value.reshape(batch, -1, value.shape[-1])
        rows_S = None if self.rows is None else torch.tensor(self.rows, device=value.device)
        return on_map(tokens_BTC, rows_S, self.layer.map_size)


class CalledModel:
    """A model with the engine's device and dtype; the user's own is neither changed nor kept.

    Args:
        model: In eval mode; returns one tensor, [B, K] or [B, K, H, W].
        device: Where to run.
        dtype: In what.
        name: What to call the model in errors.
    """

    def __init__(
        self, model: nn.Module, device: torch.device, dtype: torch.dtype, *, name: str
    ) -> None:
        self.model = private_copy(model)
        self._name = name
        parameters = {key: value.detach() for key, value in model.named_parameters()}
        # Buffers may be written to as the model runs.
        buffers = {key: value.detach().clone() for key, value in model.named_buffers()}
        self._tensors = {
            key: value.to(device, dtype if value.is_floating_point() else None)
            for key, value in (*parameters.items(), *buffers.items())
        }
        self.layers = {
            key: each
            for key, each in self.model.named_modules()
            if isinstance(each, _ConvNd | nn.Linear)
        }
        """Modules that are layers, as far as they are called."""

    def run(self, x_BCHW: Tensor, modules: Collection[str], on_call: OnCall) -> Tensor:
        """What the model returns, with `on_call` told of every call of some modules.

        Raises:
            NetworkError: The model's code fails, or returns something else.
        """
        handles = []
        uses: Counter[str] = Counter()

        def hook_of(name: str) -> Callable[[nn.Module, object, object], Tensor | None]:
            def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
                uses[name] += 1
                call = name if uses[name] == 1 else f"{name}#{uses[name]}"
                return on_call(call, output) if isinstance(output, Tensor) else None

            return hook

        try:
            for name in modules:
                handle = self.layers[name].register_forward_hook(hook_of(name))
                handles.append(handle)
            output = torch.func.functional_call(self.model, self._tensors, (x_BCHW,))
        except (torch.OutOfMemoryError, NetworkError):
            raise
        except Exception as fault:
            text = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
            shape = "x".join(str(size) for size in x_BCHW.shape)
            raise NetworkError(f"{self._name} fails on a {shape} input: {text}") from fault
        finally:
            for handle in handles:
                handle.remove()
        return self._checked(output, x_BCHW.shape[0])

    def record(self, x_BCHW: Tensor) -> tuple[Site, ...]:
        """The layers of what the model does for this input, as a graph; () where it makes none."""
        try:
            flat = flatten(self.model, x_BCHW, name=self._name, one_run=True)
            return find_layers(flat, x_BCHW.shape[0])
        except Exception as fault:  # noqa: BLE001 - what cannot be recorded is looked at by running
            log.debug("%s cannot be recorded: %s", self._name, fault)
            return ()

    def _checked(self, output: object, batch: int) -> Tensor:
        if not isinstance(output, Tensor):
            raise NetworkError(
                f"{self._name} returns {type(output).__name__}, not one tensor of scores; wrap it "
                "in a module that returns the scores"
            )
        if not (output.ndim == 2 or is_dense(output)) or output.shape[0] != batch:
            raise NetworkError(
                f"{self._name} returns a tensor of shape {tuple(output.shape)}, not "
                "[batch, classes] or [batch, classes, height, width]"
            )
        return output


def find_called_layers(model: CalledModel, example_BCHW: Tensor) -> tuple[CalledSite, ...]:
    """Every convolution and dense layer that the model calls for one of a few pictures.

    Where the model's steps for a picture can be recorded, map sizes, strides, receptive fields and
    the places of tokens are those of the recording. Else a stride is the input's size by the
    map's, a neuron may depend on the whole input, and tokens have places only where the model
    keeps rows and columns apart ([B, H, W, C]).

    Args:
        model: To run.
        example_BCHW: Shape, dtype and device of the inputs; values unused.
    """
    noise_BCHW = torch.randn(example_BCHW.shape, generator=torch.Generator().manual_seed(0))
    noise_BCHW = noise_BCHW.to(example_BCHW)
    layers: dict[str, list[_Found]] = {}
    order: list[str] = []
    # Dark and bright as well: it may depend on the picture which layers are called.
    for probe_BCHW in (noise_BCHW, noise_BCHW / 2 - 1, noise_BCHW / 2 + 1):
        called = _called(model, probe_BCHW)
        if called.keys() <= layers.keys():
            continue
        recorded = {site.layer.name: site for site in model.record(probe_BCHW)}
        place = 0
        for call, (kind, shape) in called.items():
            if call not in layers:
                known = _by_recording(call, shape, recorded)
                layers[call] = known or _by_shape(call, kind, shape, example_BCHW.shape)
                order.insert(place, call)
            place = order.index(call) + 1
    sites: list[CalledSite] = []
    first = 0
    for call in order:
        for each in layers[call]:
            layer = replace(each.layer, index=len(sites))
            sites.append(
                CalledSite(
                    layer=layer, call=call, first=first, rows=each.rows, is_rest=each.is_rest
                )
            )
        first += sites[-1].layer.num_units
    return tuple(sites)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A layer before it has its number."""

    layer: Layer
    rows: tuple[int, ...] | None = None
    is_rest: bool = False


def _called(model: CalledModel, x_BCHW: Tensor) -> dict[str, tuple[LayerKind, torch.Size]]:
    """Kinds of the layers and shapes of what they return, in order of their calls."""
    seen: dict[str, tuple[LayerKind, torch.Size]] = {}

    def on_call(call: str, output: Tensor) -> None:
        if isinstance(model.layers[call.partition("#")[0]], nn.Linear):
            seen[call] = "dense", output.shape
        elif output.ndim == 4:
            seen[call] = "conv", output.shape

    with torch.no_grad():
        model.run(x_BCHW, model.layers, on_call)
    return seen


def _by_recording(
    call: str, shape: torch.Size, recorded: Mapping[str, Site]
) -> list[_Found] | None:
    """The layer, and those of its tokens that have no place, as a recording has them."""
    site = recorded.get(call)
    if site is None or site.node.meta["val"].shape.numel() != shape.numel():
        return None
    if len(shape) == 4 and site.layer.kind == "dense" and site.rows is None:
        return None  # the places got lost in the recording, and the shape still tells them
    parts = (site, recorded.get(f"{call}:tokens"))
    return [
        _Found(layer=part.layer, rows=part.rows, is_rest=part.is_rest)
        for part in parts
        if part is not None
    ]


def _by_shape(
    call: str, kind: LayerKind, shape: torch.Size, input_shape: torch.Size
) -> list[_Found]:
    """The layer as far as what it returns tells of it."""
    batch, (height, width) = input_shape[0], input_shape[2:]
    if kind == "conv":
        num_units, *map_size = shape[1:]
    elif len(shape) == 4 and shape[0] == batch:
        *map_size, num_units = shape[1:]
    else:
        map_size, num_units = [1, shape[:-1].numel() // batch], shape[-1]
    is_flat = kind == "dense" and map_size[0] == 1
    layer = Layer(
        index=0,
        name=call,
        kind=kind,
        num_units=num_units,
        map_size=(map_size[0], map_size[1]),
        stride=(
            (float(height), float(width))
            if is_flat
            else (height / map_size[0], width / map_size[1])
        ),
        receptive_field=(height, width),
    )
    return [_Found(layer=layer)]

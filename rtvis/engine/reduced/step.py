"""The pass of `rtvis.engine.reduced.forward` of one network, in the best form that there is."""

import contextlib
import logging
import queue
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from rtvis.data import Layer
from rtvis.engine.compiled import kernels
from rtvis.engine.compiled.artifacts import default_cache_dir
from rtvis.engine.compiled.compile import CompiledPiece, Compiler
from rtvis.engine.device import prepare_device
from rtvis.engine.flat.trace import UntraceableError, flatten
from rtvis.engine.joint.pieces import Piece, Runner
from rtvis.engine.joint.placed import place_constants
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.networks.layer_rules import SiteT, apply_rules, layers_that_fit
from rtvis.engine.networks.network import Network
from rtvis.engine.reduced.forward import (
    Reduced,
    can_be_reduced,
    counted,
    reduce_maps,
    reduced_piece,
)
from rtvis.engine.reduced.one_pass import one_pass_piece
from rtvis.engine.untraced.called import CalledModel, CalledSite, find_called_layers
from rtvis.errors import NetworkError
from rtvis.threads import cpu_threads

log = logging.getLogger(__name__)

ReducedForm: TypeAlias = Literal["compiled", "eager", "untraced"]

CPU_BATCH: Final = 4
GPU_BATCH: Final = 128

_MOST_LANES: Final = 4
"""Each has its own maps in memory."""


class ReducedStep(Protocol):
    """(pictures) -> `Reduced`, for a fixed number of pictures."""

    layers: tuple[Layer, ...]
    """Those that it tells of, in order; their units lie end to end."""
    device: torch.device
    batch: int
    form: ReducedForm
    num_lanes: int
    """So many threads may call `run` at once, and have to where the device shall be busy."""
    note: str
    """What people should know of it; often empty."""

    def run(self, x_BCHW: Tensor) -> Reduced:
        """What is left of the maps of B preprocessed pictures, on the device."""

    def close(self) -> None:
        """Stop what runs beside it. Safe to call twice."""


def reduced_step(
    network: Network,
    *,
    layers: Sequence[str] = ("*",),
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    tf32: bool = False,
    batch: int | None = None,
    compiled: bool = True,
    cache_dir: Path | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> ReducedStep:
    """The pass for some layers of a network.

    Args:
        network: Is read, never changed.
        layers: Patterns with `*` and `?`, as for `LayerRules`; with a `!` before it: not those.
        device: Where to run.
        dtype: Of the network.
        tf32: See `prepare_device`: it holds for the whole process.
        batch: Pictures at once; default: what suits the device.
        compiled: Wait until the compiled form is there, if it can be had.
        cache_dir: Of compiled code; default: the user's.
        on_wait: Called again and again while waiting.

    Raises:
        NetworkError: The network fails.
        SelectionError: No layer fits.
    """
    prepare_device(device, tf32=tf32)
    batch = network.only_batch or batch or default_batch(device.type)
    prep, name = network.preprocessing, f"network '{network.name}'"
    example = torch.empty(batch, prep.num_channels, *prep.size, dtype=dtype)
    try:
        flat = flatten(network.model, example, name=name)
    except UntraceableError as fault:
        log.info("%s", fault)
        return UntracedReducedStep(network, layers, device, dtype, name, fault.reason)
    found = _all_named(find_layers(flat, batch), network)
    sites = chosen_sites(found, layers, name=name)
    folder = (cache_dir or default_cache_dir()) / "compiled"
    missing = "not wanted"
    if compiled and device.type == "cpu" and dtype in kernels.DTYPES:
        missing = kernels.prepare(folder)
        if missing:
            log.warning("the scan reads each map several times, which is slower: %s", missing)
    piece = (reduced_piece if missing else one_pass_piece)(flat, sites, batch)
    return TracedReducedStep(
        piece,
        tuple(site.layer for site in sites),
        device=device,
        batch=batch,
        compiled=compiled,
        folder=folder,
        on_wait=on_wait,
    )


def default_batch(device: str) -> int:
    """Pictures at once that suit a device: `cpu`, `cuda`."""
    return CPU_BATCH if device == "cpu" else GPU_BATCH


def chosen_sites(sites: Sequence[SiteT], patterns: Sequence[str], *, name: str) -> list[SiteT]:
    """Those of a network's layers that a scan is asked for.

    Raises:
        SelectionError: A pattern fits no layer, with the nearest name, or none is left.
    """
    able = {site.layer.name: site for site in sites if can_be_reduced(site)}
    chosen = layers_that_fit(patterns, list(able), name=name, where="--layers")
    return [able[each] for each in chosen]


def _all_named(sites: Sequence[SiteT], network: Network) -> tuple[SiteT, ...]:
    """All layers with the names that they are given."""
    return apply_rules(sites, network.layer_rules.hiding_nothing(), name=network.name)


class TracedReducedStep:
    """For a network that can be traced."""

    def __init__(
        self,
        piece: Piece,
        layers: tuple[Layer, ...],
        *,
        device: torch.device,
        batch: int,
        compiled: bool,
        folder: Path,
        on_wait: Callable[[], None],
    ) -> None:
        self.layers, self.device, self.batch = layers, device, batch
        self.form: ReducedForm = "eager"
        self.note = ""
        self._dtype = piece.examples[0].dtype
        self._is_one_pass = piece.outputs != Reduced._fields
        self._num_threads = torch.get_num_threads()
        """Of each lane."""
        runners: list[Runner] = [piece.run_eager]
        if device.type == "cuda":
            place_constants([piece.module], device)
        if compiled:
            runners = self._compiled(piece, folder, on_wait) or runners
        self.num_lanes = len(runners)
        self._free: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for runner in runners:
            self._free.put(runner)

    def _compiled(self, piece: Piece, folder: Path, on_wait: Callable[[], None]) -> list[Runner]:
        """A runner for each lane; none if it cannot be compiled.

        A layer divided among threads ends in a wait for the slowest, and what lies between layers
        leaves all but one without work: of two cores 1.7 were busy. Lanes never wait.
        """
        if self.device.type == "cpu":
            num_threads = -(-self._num_threads // _MOST_LANES)
            found = self._compile(piece, folder, on_wait, num_threads)
            if not found:
                return []
            with contextlib.suppress(RuntimeError):  # then all threads for one
                lanes: list[Runner] = [
                    each.unheld() for each in found * -(-self._num_threads // num_threads)
                ]
                self._num_threads = num_threads
                return lanes
        return [*self._compile(piece, folder, on_wait, self._num_threads)]

    def _compile(
        self, piece: Piece, folder: Path, on_wait: Callable[[], None], num_threads: int
    ) -> list[CompiledPiece]:
        """The one piece, or none."""
        found: list[CompiledPiece] = []

        def take(_piece: Piece, runner: CompiledPiece) -> None:
            found.append(runner)
            self.form = "compiled"

        compiler = Compiler(
            [piece], self.device, folder, take, num_plain=1, num_threads=num_threads
        )
        compiler.start()
        try:
            while not compiler.wait(0.1) and not compiler.is_finished:
                on_wait()
            self.note = compiler.note
        finally:
            compiler.close()
        return found

    def run(self, x_BCHW: Tensor) -> Reduced:
        """See `ReducedStep`."""
        x_BCHW = x_BCHW.to(self._dtype).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            runner = self._free.get()
            try:
                with cpu_threads(self._num_threads):
                    outputs = runner([x_BCHW])
            finally:
                self._free.put(runner)
            if not self._is_one_pass:
                return Reduced(*outputs)
            with cpu_threads(1):
                return Reduced.of_numbers(torch.cat(list(outputs), dim=2))

    def close(self) -> None:
        """Nothing runs any more."""


class UntracedReducedStep:
    """For a network that cannot be traced: one picture after the other, with hooks for a moment.

    A layer that the network does not call for a picture has no value there: NaN.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        device: torch.device,
        dtype: torch.dtype,
        name: str,
        reason: str,
    ) -> None:
        prep = network.preprocessing
        example = torch.zeros(1, prep.num_channels, *prep.size, dtype=dtype, device=device)
        self._model = CalledModel(network.model, device, dtype, name=name)
        with torch.no_grad():
            found = _all_named(find_called_layers(self._model, example), network)
        self._sites: list[CalledSite] = chosen_sites(found, layers, name=name)
        self._dtype = dtype
        self.layers = tuple(site.layer for site in self._sites)
        self.device, self.batch, self.num_lanes = device, 1, 1
        self.form: ReducedForm = "untraced"
        self.note = f"not traceable, one picture at a time: {reason}"

    def run(self, x_BCHW: Tensor) -> Reduced:
        """See `ReducedStep`."""
        assert len(x_BCHW) == 1, "the network may decide by what else is in the batch"
        owner = {site.call: site for site in self._sites}
        found: dict[str, Reduced] = {}

        def on_call(call: str, output: Tensor) -> None:
            if call in owner:
                found[call] = self._reduced(owner[call], output)

        modules = {call.partition("#")[0] for call in owner}
        with torch.no_grad():
            self._model.run(x_BCHW.to(self._dtype), modules, on_call)
        parts = [found.get(site.call) or self._nothing(site) for site in self._sites]
        return Reduced(*(torch.cat(column, dim=1) for column in zip(*parts, strict=True)))

    def _reduced(self, site: CalledSite, output: Tensor) -> Reduced:
        maps_BCHW = site.as_maps(output, 1)
        if maps_BCHW.shape[1:] != (site.layer.num_units, *site.layer.map_size):
            raise NetworkError(
                f"layer '{site.layer.name}' returns {tuple(output.shape)} for this picture, which "
                "makes no maps of the size it had before: maps must keep their size"
            )
        row_H, column_W = (each.to(self.device) for each in counted(site.layer.map_size))
        return reduce_maps(maps_BCHW, row_H=row_H, column_W=column_W)

    def _nothing(self, site: CalledSite) -> Reduced:
        size = 1, site.layer.num_units
        nan = torch.full(size, torch.nan, device=self.device)
        zero = torch.zeros(size, dtype=torch.int32, device=self.device)
        return Reduced(nan, zero, nan, nan, zero)

    def close(self) -> None:
        """Nothing runs."""

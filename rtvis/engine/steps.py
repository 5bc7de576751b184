"""The step of a network for each batch size, made when it is wanted first."""

import logging
from typing import TypeAlias

import torch
from torch import Tensor, nn

from rtvis.engine.flat.skipped import skipped_layers, skipped_note
from rtvis.engine.flat.trace import UntraceableError, flatten
from rtvis.engine.joint.build import build_pieces
from rtvis.engine.joint.pieces import Pieces
from rtvis.engine.layers.find_layers import find_layers
from rtvis.engine.networks.layer_rules import apply_rules
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.outputs import Borrowing
from rtvis.engine.turn.step import Step
from rtvis.engine.untraced.step import UntracedStep
from rtvis.errors import NetworkError
from rtvis.threads import cpu_threads

log = logging.getLogger(__name__)

NUM_SEGMENTS = 7
"""Backward pieces to aim at; chosen by `benchmarks/bench_step.py --segments`."""

AnyStep: TypeAlias = Step | UntracedStep


class Steps:
    """Makes the steps of one network.

    Args:
        network: Is read, never changed.
        device: Where they run.
        dtype: In what.
    """

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype) -> None:
        self._network, self._device, self._dtype = network, device, dtype
        self._made: dict[int, AnyStep] = {}
        self.untraced_note = ""
        """Why the network is explained by autograd; empty where it is traced."""
        self.skipped_note = ""
        """Which layers are not shown, and why; empty where all are."""

    def of(self, batch: int) -> AnyStep:
        """The one for that many pictures: the fused one, or what stands in for it.

        Raises:
            NetworkError: The network does not take so many, fails, or has no layer with a map.
        """
        if batch not in self._made:
            self.check_batch(batch)
            prep = self._network.preprocessing
            example = torch.empty(batch, prep.num_channels, *prep.size, dtype=self._dtype)
            self._made[batch] = self._step_of(example)
        return self._made[batch]

    def check_batch(self, batch: int) -> None:
        """Make sure that the network takes so many pictures at a time.

        Raises:
            NetworkError: It does not.
        """
        only = self._network.only_batch
        if only is not None and batch != only:
            raise NetworkError(
                f"{self._network.name}: was exported for {only} picture at a time, not {batch}; "
                "export it again with a dynamic first dimension"
            )

    def _step_of(self, example: Tensor) -> AnyStep:
        name, model = f"network '{self._network.name}'", self._network.model
        try:
            with cpu_threads(1):  # or this thread, too, would keep a team of OpenMP threads
                pieces = self._build(example, name)
            # Outside: it remembers how many threads its pieces may use.
            return Step(pieces, self._device)
        except UntraceableError as fault:
            log.info("%s", fault)
            try:
                rules = self._network.layer_rules
                step = UntracedStep(model, example, self._device, rules=rules, name=name)
            except NetworkError as second:
                raise second from fault
            missing = ", no attention" if _attends(model) else ""
            self.untraced_note = f"by autograd{missing}, not traceable: {fault.reason}"
            self.skipped_note = (
                f"layers are the modules that are called: attention is not shown, as this network "
                f"is not traceable: {fault.reason}"
            )
            return step

    def _build(self, example: Tensor, name: str) -> Pieces:
        flat = flatten(self._network.model, example, name=name)
        found = find_layers(flat, example.shape[0])
        shown = {site.layer.name for site in found}
        self.skipped_note = skipped_note(skipped_layers(flat, shown, example.shape[0]))
        model, rules = self._network.model, self._network.layer_rules
        sites = apply_rules(found, rules, name=self._network.name)
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


def _attends(model: nn.Module) -> bool:
    """Whether one of its modules is attention, by its name or what it is."""
    words = (f"{name} {type(each).__name__}".lower() for name, each in model.named_modules())
    return any("attn" in word or "attention" in word for word in words)

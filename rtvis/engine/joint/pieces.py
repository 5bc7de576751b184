"""The fused step as pieces: one forward, and the backward cut where a single activation is live.

The definition of a turn is one joint graph: forward, CAM gradient, and backward from any layer.
The pieces are cuts of it. Only the backward pieces at and below the selected layer run, so a
shallow layer costs little more than the forward pass, and no piece holds a copy of another's work.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from torch import Tensor, fx

from rtvis.data import Layer
from rtvis.engine.layers.site import Site

Runner = Callable[[list[Tensor]], Sequence[Tensor]]


class Placed(Protocol):
    """A layer and where its units are, in whatever way its values come about."""

    @property
    def layer(self) -> Layer:
        """What is known of it."""

    @property
    def first(self) -> int:
        """Where its units begin when those of all layers are laid end to end."""

    @property
    def parameter(self) -> str:
        """Name of the model's parameter that holds its weights; attention has none."""

    @property
    def scale_C(self) -> Tensor | None:  # noqa: N802 - a tensor, named by its axes
        """What its values are multiplied by where it is changed; see `Site`."""

    @property
    def shift_C(self) -> Tensor | None:  # noqa: N802
        """What is added then."""


class Facts(Protocol):
    """What the engine must know of a network, however its turns are computed."""

    @property
    def sites(self) -> Sequence[Placed]:
        """Its layers, in order."""

    @property
    def cam_site(self) -> Placed:
        """The layer that a CAM is taken at unless another is chosen."""

    @property
    def num_classes(self) -> int:
        """K."""

    @property
    def output_size(self) -> tuple[int, int] | None:
        """(height, width) of a dense output; None without one."""

    @property
    def batch(self) -> int:
        """B."""

    @property
    def num_units(self) -> int:
        """All units of all layers."""

    def segment_of(self, site: Placed) -> int:
        """Index of the stretch of the network that holds a layer, from the input up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One part of the step: tensors in, tensors out, no state."""

    name: str
    module: fx.GraphModule
    """Takes the tensors named in `inputs` in that order, returns a list in that of `outputs`."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: tuple[Tensor, ...]
    """Fake tensors with the shapes, strides and dtypes of `inputs`."""

    def run_eager(self, inputs: list[Tensor]) -> Sequence[Tensor]:
        """Operation by operation: slow, but it serves at once."""
        outputs: Sequence[Tensor] = self.module(*inputs)
        return outputs

    def with_outputs(self, wanted: Collection[str], *, name: str) -> "Piece":
        """The piece without what only its other outputs need. It takes the same inputs."""
        graph = fx.Graph()
        found = graph.graph_copy(self.module.graph, {})
        assert isinstance(found, list | tuple)
        kept = [i for i, output in enumerate(self.outputs) if output in wanted]
        graph.output([found[i] for i in kept])
        graph.eliminate_dead_code()  # keeps the inputs
        module = fx.GraphModule(self.module, graph)
        outputs = tuple(self.outputs[i] for i in kept)
        return replace(self, name=name, module=module, outputs=outputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """How to compute one layer's value again, from a value that the forward pass hands out.

    Handing out every convolution's own output keeps it from being fused with what follows: 1.18
    of ResNet50's forward time against 1.03 without. Only the layer that is looked at is needed.
    """

    source: str
    """Name of the node that the layer reads."""
    weight: str
    """Attribute of the flat module."""
    bias: str | None
    arguments: tuple[Any, ...]
    """What follows the bias in aten.convolution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of the network between two cuts."""

    backward: Piece
    """(values ..., g, seeds ...) -> the gradient at the lower cut."""
    tapped: Piece
    """The same, and after it the gradient at the node of each of `sites` and at its activation's.
    Handing them all out would cost every turn 0.04 of the network's time, and few turns ask for
    one."""
    sites: tuple[Site, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How long the arguments of pieces are."""

    batch: int
    """B."""
    num_units: int
    """T of `Seeds.gain_BT`: all units of all layers, each once."""
    largest_map: int
    """S of `Seeds.map_BS`."""
    most_units: int
    """U of `Seeds.unit_BU`."""
    most_queries: int
    """Q of `Seeds.query_BQ`; 0 in a network without attention."""

    @classmethod
    def of(cls, sites: Sequence[Site], *, batch: int) -> Self:
        """Of pieces for all layers."""
        layers = [site.layer for site in sites]
        return cls(
            batch=batch,
            num_units=sum(site.layer.num_units for site in sites if not site.is_rest),
            largest_map=max(layer.map_size[0] * layer.map_size[1] for layer in layers),
            most_units=max(layer.num_units for layer in layers),
            most_queries=max((s.attention.all_queries for s in sites if s.attention), default=0),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """All pieces of one network at one batch size."""

    forward: Piece
    """(x) -> scores, every layer's value, and what the backward pieces read. With a dense output
    (x, weights of its pixels) -> that too."""
    intervened: tuple[Piece, ...]
    """For each segment (value at its lower cut, gain_BT, offset_BT) -> what `forward` hands out of
    it, where each unit's value is times its gain plus its offset."""
    cam: Piece
    """(values ..., class_B) -> plain gradient of the class score at the default CAM layer."""
    segments: tuple[Segment, ...]
    """From the input upwards."""
    sites: tuple[Site, ...]
    cam_site: Site
    probes: dict[str, Probe | None]
    """By node: how to get a layer's value; None where it is an output of `forward`."""
    scores: str
    """Name of the forward output that holds the scores."""
    dense: str | None
    """Name of the forward output that holds the dense output, if there is one."""
    output_size: tuple[int, int] | None
    """(height, width) of the dense output."""
    num_classes: int
    sizes: Sizes
    queries: Mapping[str, tuple[int, ...]]
    """By node: the queries that an attention shows unless a position is chosen."""

    @property
    def batch(self) -> int:
        """B."""
        return self.sizes.batch

    @property
    def num_units(self) -> int:
        """All units of all layers."""
        return self.sizes.num_units

    def plain_pieces(self) -> list[Piece]:
        """What a turn runs that asks for nothing further, the ones that cost most first."""
        return [self.forward, self.cam, *(segment.backward for segment in reversed(self.segments))]

    def all_pieces(self) -> list[Piece]:
        """In the order in which compiling them helps most, `plain_pieces` first."""
        tapped = (segment.tapped for segment in reversed(self.segments))
        return [*self.plain_pieces(), *reversed(self.intervened), *tapped]

    def segment_of(self, site: Placed) -> int:
        """Index of the segment that holds a layer."""
        return next(i for i, s in enumerate(self.segments) if any(each is site for each in s.sites))

"""What a network has to look at, and what the names of it mean."""

from torch import Tensor

from rtvis.data import Layer, Selection
from rtvis.engine.attention_methods import fault_of
from rtvis.engine.layers.queries import described
from rtvis.engine.networks.network import Network
from rtvis.engine.resolve import check_position, check_unit, find_layer, resolve_selection
from rtvis.engine.steps import AnyStep
from rtvis.engine.turn.step import Step
from rtvis.registry import ATTENTION_METHODS, CAM_METHODS, AttentionMethod


class Catalogue:
    """The layers, classes and methods of one network.

    Args:
        network: Is read, never changed.
        step: Of the network, for any number of pictures.
        skipped_note: Which layers are not shown, and why; empty where all are.
    """

    def __init__(self, network: Network, step: AnyStep, *, skipped_note: str) -> None:
        pieces = step.pieces
        self.layers: tuple[Layer, ...] = (
            described(step.pieces.sites, step.pieces.queries)
            if isinstance(step, Step)
            else tuple(site.layer for site in pieces.sites)
        )
        self.skipped_note = skipped_note
        self.num_classes = pieces.num_classes
        self.output_size = pieces.output_size
        """(height, width) of a dense output, which has scores for each pixel; None without one."""
        self.default_cam_layer = pieces.cam_site.layer
        """The last one with a map."""
        self._network = network
        self.index_of = {
            name: layer.index
            for layer in self.layers
            for name in (layer.name, layer.name_in_model)
            if name
        }
        """Of each layer, by either of its names."""
        self._parameter_of = tuple(site.parameter for site in pieces.sites)
        self._parameters: dict[str, Tensor] | None = None
        self._method_faults = {
            name: fault
            for name, method in ATTENTION_METHODS.items()
            if (fault := _fault_of(method, step))
        }

    @property
    def cam_methods(self) -> tuple[str, ...]:
        """Names of the methods that can explain this network."""
        names = (*CAM_METHODS, *ATTENTION_METHODS)
        return tuple(name for name in names if name not in self._method_faults)

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
            self._network.labels,
            output_size=self.output_size,
            method_faults=self._method_faults,
            skipped_note=self.skipped_note,
        )

    def index(self, layer: str) -> int:
        """Of the layer of this name.

        Raises:
            SelectionError: There is none, with the nearest name.
        """
        return find_layer(layer, self.layers, self.default_cam_layer).index

    def check_places(self, index: int, unit_B: Tensor, position_B2: Tensor) -> None:
        """Make sure that a layer has these units and positions, where they lie in host memory.

        Args:
            index: Of the layer.
            unit_B: Any integers.
            position_B2: (row, column); a row below 0 stands for the maximum.

        Raises:
            SelectionError: It has not.
        """
        layer = self.layers[index]
        if unit_B.device.type == "cpu":
            for unit in unit_B.tolist():
                check_unit(layer, unit)
        if position_B2.device.type == "cpu":
            for row, column in position_B2.tolist():
                check_position(layer, None if row < 0 else (row, column))

    def weights(self, layer: str) -> Tensor | None:
        """See `Engine.weights`."""
        index = self.index_of.get(layer)
        if index is None:
            return None
        if self._parameters is None:
            model = self._network.model
            named = (*model.named_parameters(), *model.named_buffers())
            self._parameters = {name: value.detach() for name, value in named}
        return self._parameters.get(self._parameter_of[index])


def _fault_of(method: AttentionMethod, step: AnyStep) -> str:
    if isinstance(step, Step):
        return fault_of(method, step.pieces.sites)
    return "is not traceable, and attention is read from the trace alone"

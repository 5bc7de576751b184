"""What inputs are optimised for: units of a layer at a position, classes, or a whole layer."""

from dataclasses import dataclass

from rtvis.data import Layer
from rtvis.engine.engine import Engine
from rtvis.engine.resolve import check_position, check_unit, find_layer
from rtvis.engine.turn.objectives import Objective
from rtvis.errors import SelectionError


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """Units of one layer; one picture is made for each."""

    layer: str
    """Its name. The units of the last dense layer are the classes."""
    units: tuple[int, ...]
    """A whole layer (objective "layer") is one target, whichever unit is named."""
    position: tuple[int, int] | None = None
    """(row, column) in the units' maps of the neuron that objective "neuron" means; None: the
    middle one, which sees most of the picture."""


def resolve_targets(
    engine: Engine, targets: Targets, objective: Objective
) -> tuple[Layer, tuple[int, int]]:
    """The layer, and the position that is meant.

    Raises:
        SelectionError: The network has no such layer, unit or position, or the objective is none
            of that layer's.
    """
    layer = find_layer(targets.layer, engine.layers, engine.default_cam_layer)
    if not targets.units:
        raise SelectionError(f"layer '{layer.name}': no unit is named")
    for unit in targets.units:
        check_unit(layer, unit)
    check_position(layer, targets.position)
    if objective == "probability" and layer.map_size != (1, 1):
        raise SelectionError(
            f"layer '{layer.name}' has maps, and a probability is one of the classes; name the "
            "last dense layer, or another objective"
        )
    if not layer.reaches_input:
        raise SelectionError(
            f"layer '{layer.name}': no gradient gets from it to the input, which cannot be "
            "optimised for it"
        )
    height, width = layer.map_size
    return layer, targets.position or (height // 2, width // 2)

"""What is asked of a network for one frame."""

from dataclasses import dataclass

from rtvis.choices import Fit, Rule, Seed, Tap
from rtvis.data.layers import LayerKind, units_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervention:
    """A change to one unit of a layer, at every position: `value * scale + offset`.

    What comes after the layer computes with the changed value, as after a forward hook on the
    layer's module that returns it.
    """

    layer: str
    """Name of the layer."""
    unit: int
    scale: float = 1.0
    """0 knocks the unit out, 2 doubles it."""
    offset: float = 0.0
    """With a scale of 0 the value that the unit is held at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a backward pass starts while something else is looked at."""

    layer: str
    unit: int
    position: tuple[int, int] | None = None
    """(row, column) in the unit's map; None: see `Selection.seed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What is asked of the network for one frame. None means the default, named per field."""

    layer: str | None = None
    """Name of the selected layer; default: the last one with a map."""
    unit: int | None = None
    """Unit of that layer; default: 0."""
    position: tuple[int, int] | None = None
    """(row, column) in the unit's map. Given, the seed is that one neuron; at attention the map is
    what the patch there attends to, and the seed is as `seed` says."""
    seed: Seed | None = None
    """Where the backward pass starts; default: "max". "score" takes no `origin`, and starts at the
    class of `class_index`, over `region`."""
    rule: Rule = "guided"
    tap: Tap = "pre"
    """Where the values of the selected layer, and of `origin`'s, are taken."""
    origin: Origin | None = None
    """Where the backward pass starts; default: at the selected unit and position."""
    backward: bool = True
    """Whether a backward picture is wanted; without it, and without `gradients`, the backward pass
    is not computed, and `Result.backprop_B3HW` is zero."""
    gradients: bool = False
    """Whether `Result.grads_BCHW` is wanted."""
    beside: str | None = None
    """Name of a layer whose maps are wanted too, as `Result.beside_BCHW`."""
    class_index: int | None = None
    """Class that the CAM explains; default: the top-scoring class of each picture, or of the
    region."""
    cam: str = "grad-cam"
    """Name of a registered CAM method, or of one that explains by the attention of all layers."""
    cam_layer: str | None = None
    """Layer at which the CAM is taken; default: the last one with a map."""
    region: tuple[int, int, int, int] | None = None
    """(top, left, height, width) in pixels of a dense output: the class scores are the means over
    it, and one pixel is a region of height and width 1; default: the whole output."""
    interventions: tuple[Intervention, ...] = ()
    """Changes to units, made before anything is explained; of two for one unit the last counts."""
    fit: Fit = "crop"

    def starts_at_score(self, kind: LayerKind) -> bool:
        """Whether the backward pass starts at a class's score; `kind` is the selected layer's."""
        return self.seed == "score" and (self.position is None or kind == "attention")

    def change_of(self, layer: str, unit: int) -> Intervention | None:
        """What is done to a unit; None where it is left alone."""
        return next(
            (
                change
                for change in reversed(self.interventions)
                if (units_of(change.layer), change.unit) == (units_of(layer), unit)
            ),
            None,
        )

"""What one run of the step computed, and what may be wrong with it."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from torch import Tensor

from rtvis.data.layers import Crop
from rtvis.data.selection import Selection

Form: TypeAlias = Literal["eager", "compiled", "graph"]
"""Which form of the fused step computed a result."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Result:
    """All that one run of the step computed. Raw numbers, on the engine's device."""

    scores_BK: Tensor
    """float32, the network's output before any softmax; of a dense output its mean over the
    selected region."""
    maps_BCHW: Tensor
    """Output of the selected layer; a dense layer has H = W = 1."""
    cam_BHW: Tensor
    """float32 [B, H, W] at the resolution of the CAM layer, or of the grid that attention is over;
    not negative, not scaled."""
    backprop_B3HW: Tensor
    """Signed, with respect to the preprocessed input, at the network's input size; with as many
    channels as that has, whatever the name says."""
    class_index_B: Tensor
    """int64: the class that the CAM explains."""
    position_B2: Tensor
    """int64: (row, column) of the seed; for the seeds "map" and "activation" of the maximum."""
    value_B: Tensor
    """float32: the selected unit's value at `position_B2`."""
    health_B: Tensor
    """int64 bit set of `Health`; 0 where all is well."""
    selection: Selection
    """The selection that was computed, with its defaults filled in."""
    form: Form
    grads_BCHW: Tensor | None = None
    """What the backward pass brings to each neuron of the selected layer, in the shape of
    `maps_BCHW`; zero above the pass's start. None unless `Selection.gradients`."""
    beside_BCHW: Tensor | None = None
    """Output of the layer `Selection.beside`; None without one."""
    untouched_scores_BK: Tensor | None = None
    """float32: the scores without the selection's interventions; None where it has none."""
    dense_BKHW: Tensor | None = None
    """The scores of each class at each pixel of the output, of which `scores_BK` are the means
    over the selected region; None for a network with one score a class."""
    labels_BHW: Tensor | None = None
    """int64: the best class of each pixel of the dense output; None where K = 1."""
    crop: Crop | None = None
    """Part of the picture that the network saw; None for preprocessed input."""
    input_BCHW: Tensor | None = None
    """float32, preprocessed: what the network saw. See `Engine.input_pictures`."""
    revision: int = 0
    """Of the session's selection; older than the session's own means stale."""
    seq: int = 0
    """Of the frame."""
    captured_ns: int = 0


NO_GRADIENT_PATH: Final = (
    "no gradient gets from this layer to the input: the network rounds, compares or detaches "
    "on the way"
)
"""What `Health.GRADIENT_ZERO` comes from where not `Layer.reaches_input`."""


class Health:
    """Bits of `Result.health_B`: what is wrong with the numbers, computed on the device."""

    MAPS_NAN = 1
    MAPS_INF = 2
    GRADIENT_ZERO = 4
    GRADIENT_NAN = 8
    GRADIENT_INF = 16
    UNIT_ZERO = 32
    """The selected unit's map is zero everywhere."""
    CAM_ZERO = 64
    ORIGIN_ZERO = 128
    """The map in which the backward pass starts is zero everywhere."""
    GRADS_ZERO = 256

    TEXTS = {  # noqa: RUF012 - a constant table, never written to
        MAPS_NAN: "the layer's activations hold NaN",
        MAPS_INF: "the layer's activations hold inf",
        GRADIENT_ZERO: "the gradient at the input is exactly zero",
        GRADIENT_NAN: "the gradient holds NaN",
        GRADIENT_INF: "the gradient holds inf",
        UNIT_ZERO: "this unit is zero everywhere",
        CAM_ZERO: "nothing at the CAM layer speaks for this class",
        ORIGIN_ZERO: "the unit at which the backward pass starts is zero everywhere",
        GRADS_ZERO: "no gradient reaches this layer",
    }

    @classmethod
    def texts(cls, bits: int) -> list[str]:
        """The sentences for a bit set, worst first."""
        return [text for bit, text in cls.TEXTS.items() if bits & bit]

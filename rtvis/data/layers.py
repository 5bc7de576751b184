"""What can be looked at in a network, and which part of its input that sees."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

LayerKind: TypeAlias = Literal["conv", "dense", "attention"]
"""The units of attention are its heads; a head's map is what one query attends to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A convolution, dense layer or attention that can be looked at."""

    index: int
    """Position in `engine.layers`, in order of execution."""
    name: str
    """As in `model.named_modules()`; a module used again has `#2`, `#3` ... appended."""
    kind: LayerKind
    num_units: int
    """Channels of a convolution, outputs of a dense layer, heads of attention."""
    map_size: tuple[int, int]
    """(height, width) of each unit's map; (1, 1) for a dense layer on flat features."""
    stride: tuple[float, float]
    """Input pixels (rows, columns) between neighbouring neurons."""
    receptive_field: tuple[int, int]
    """Input pixels (height, width) that a neuron can depend on, not clipped to the input."""
    field_start: tuple[float, float] | None = None
    """First input pixel (row, column) that the neuron at (0, 0) can depend on, negative where its
    field reaches into the padding; that of another lies (row, column) strides further on. None:
    each neuron can depend on the whole input."""
    activation: str = ""
    """Name of the activation function that directly follows, such as "relu"; empty where none
    does: there the tap "post" means "pre"."""
    reaches_input: bool = True
    """Whether a gradient can get from it to the input at all; not where the network rounds,
    compares or detaches on the way."""
    query: str = ""
    """Who asks at attention unless a position is chosen, such as "class token"; else empty."""
    name_in_model: str = ""
    """The name that the model gives it, where a rule gave it another; it selects the layer too."""
    group: str = ""
    """What the list of layers calls it together with its neighbours of the same group."""

    def field_at(self, position: tuple[int, int], input_size: tuple[int, int]) -> "Crop":
        """The part of the input that a neuron can depend on, in input pixels, not clipped.

        Args:
            position: (row, column) in the unit's map.
            input_size: (height, width) of the network's input.
        """
        if self.field_start is None:
            return Crop(top=0.0, left=0.0, height=input_size[0], width=input_size[1])
        return Crop(
            top=self.field_start[0] + position[0] * self.stride[0],
            left=self.field_start[1] + position[1] * self.stride[1],
            height=self.receptive_field[0],
            width=self.receptive_field[1],
        )


def units_of(layer: str) -> str:
    """Whose units a layer has: `NAME:tokens` shows those of NAME, at other places."""
    return layer.removesuffix(":tokens")


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A rectangle of a picture, such as what the network sees of the source, in that one's pixels.

    It reaches beyond a letterboxed picture: `top` or `left` is then negative, and bottom or right
    lies beyond the last row or column.
    """

    top: float
    left: float
    height: float
    width: float

    def reaches_beyond(self, size: tuple[int, int]) -> bool:
        """Whether part of it lies outside a picture of (height, width), by half a pixel or more."""
        bottom, right = self.top + self.height, self.left + self.width
        return min(self.top, self.left, size[0] - bottom, size[1] - right) <= -0.5

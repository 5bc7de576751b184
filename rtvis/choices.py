"""The words that a user chooses among, on the command line and within.

Imports neither torch nor numpy: `--help` answers at once.
"""

from typing import Literal, TypeAlias

Rule: TypeAlias = Literal["gradient", "guided", "deconvnet"]
"""How ReLU passes a gradient back; see `rtvis.engine.joint.backward`."""

Seed: TypeAlias = Literal["max", "map", "activation", "score"]
"""Where a backward pass starts: the unit's spatial maximum, its whole map with weight one, or
its map weighted by its own values; or, whatever unit is looked at, the score of the class that the
CAM explains, of a dense output that of the selected region."""

Fit: TypeAlias = Literal["crop", "stretch", "letterbox"]
"""How a picture becomes the network's input: resized and cropped as the network wants it; all of
it, its proportions lost; or all of it with its proportions, mean colour around it (DVT-10)."""

Tap: TypeAlias = Literal["pre", "post"]
"""Where a layer's value is taken: its module's own output, or behind the activation function that
directly follows it (and a batch norm between them)."""

BackpropDisplay: TypeAlias = Literal["clipped", "raw", "gray", "norm", "normblur", "positive"]
"""How a signed gradient becomes a picture: within four times its root mean square, DVT-54 to
DVT-57, and RT-25's relu(g) / max."""

DtypeName: TypeAlias = Literal["float32", "float16", "bfloat16", "float64"]
"""Of the network's numbers."""

"""Look inside a neural network while it watches live video.

>>> import rtvis
>>> engine = rtvis.load("resnet50", weights="random", device="cpu", compile="off")
>>> result = engine.run(image, rtvis.Selection(layer="layer3.0.conv2", unit=37))
>>> result.backprop_B3HW.shape
torch.Size([1, 3, 224, 224])
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from rtvis._version import __version__ as __version__

# Without it MKL computes the rows of a product in ways that differ by where they lie, on
# processors of AMD: of two equal pictures in a batch one had other last bits, and a scan depended
# on the size of its batches. MKL reads it at its first product; it costs nothing that was seen.
os.environ.setdefault("MKL_CBWR", "AUTO")

if TYPE_CHECKING:
    from rtvis.api import load as load
    from rtvis.data import Frame as Frame
    from rtvis.data import Health as Health
    from rtvis.data import Intervention as Intervention
    from rtvis.data import Layer as Layer
    from rtvis.data import Result as Result
    from rtvis.data import Selection as Selection
    from rtvis.engine.engine import Engine as Engine
    from rtvis.errors import RtvisError as RtvisError

# Imported on first use: `main.py --help` must not wait seconds for torch.
_HOMES = {
    "load": "rtvis.api",
    "Engine": "rtvis.api",  # which knows the CAM methods
    "Frame": "rtvis.data",
    "Health": "rtvis.data",
    "Intervention": "rtvis.data",
    "Layer": "rtvis.data",
    "Result": "rtvis.data",
    "RtvisError": "rtvis.errors",
    "Selection": "rtvis.data",
}

__all__ = [
    "Engine",
    "Frame",
    "Health",
    "Intervention",
    "Layer",
    "Result",
    "RtvisError",
    "Selection",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rtvis' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

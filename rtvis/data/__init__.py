"""The frozen values that travel between the parts, and the legend of tensor axes.

Axis letters end tensor names: B batch, C units (channels of a layer), H rows, W columns,
K classes, N tiles; a digit is a fixed size (`image_HW3`, `weight_BC11`). Sizes are
(height, width), positions (row, column); x, y exist only in the window.
"""

from rtvis.choices import Fit, Rule, Seed, Tap
from rtvis.data.frames import Frame, FramePlace, ImageF32, ImageU8, Side, SourceStatus
from rtvis.data.layers import Crop, Layer, LayerKind, units_of
from rtvis.data.results import NO_GRADIENT_PATH, Form, Health, Result
from rtvis.data.screen import (
    ClosedEvent,
    Event,
    KeyEvent,
    Picture,
    PointerEvent,
    ProcessUse,
    Rates,
    ResizeEvent,
    ShownEvent,
    Target,
)
from rtvis.data.selection import Intervention, Origin, Selection

__all__ = [
    "NO_GRADIENT_PATH",
    "ClosedEvent",
    "Crop",
    "Event",
    "Fit",
    "Form",
    "Frame",
    "FramePlace",
    "Health",
    "ImageF32",
    "ImageU8",
    "Intervention",
    "KeyEvent",
    "Layer",
    "LayerKind",
    "Origin",
    "Picture",
    "PointerEvent",
    "ProcessUse",
    "Rates",
    "ResizeEvent",
    "Result",
    "Rule",
    "Seed",
    "Selection",
    "ShownEvent",
    "Side",
    "SourceStatus",
    "Tap",
    "Target",
    "units_of",
]

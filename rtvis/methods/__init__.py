"""CAM methods: pure tensor functions, one small file each, registered by name in `CAM_METHODS`.

To add one: write `rtvis/methods/<name>.py` with a function decorated by
`@CAM_METHODS.add("<name>")` and import the module below. A method must not read a number back
from the device (no `.item()`) nor make shapes that depend on values: it becomes a part of a
compiled graph and of a CUDA graph.

A method that explains by the attention of all layers is an `AttentionMethod` in
`ATTENTION_METHODS`; the same holds for it.
"""

from rtvis.methods import (
    eigen_cam,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    legrad,
    rollout,
)
from rtvis.registry import ATTENTION_METHODS, CAM_METHODS

__all__ = [
    "ATTENTION_METHODS",
    "CAM_METHODS",
    "eigen_cam",
    "grad_cam",
    "grad_cam_pp",
    "hires_cam",
    "layer_cam",
    "legrad",
    "rollout",
]

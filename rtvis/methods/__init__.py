"""CAM methods: pure tensor functions, one small file each, registered by name in `CAM_METHODS`.

To add one: write `rtvis/methods/<name>.py` with a function decorated by
`@CAM_METHODS.add("<name>")` and import the module below. A method must not read a number back
from the device (no `.item()`) nor make shapes that depend on values: it becomes a part of a
compiled graph and of a CUDA graph.
"""

from rtvis.methods import eigen_cam, grad_cam, grad_cam_pp, hires_cam, layer_cam
from rtvis.registry import CAM_METHODS

__all__ = ["CAM_METHODS", "eigen_cam", "grad_cam", "grad_cam_pp", "hires_cam", "layer_cam"]

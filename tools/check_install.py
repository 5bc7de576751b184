"""Whether what pip installed fits together; one line that says what would mend it if not.

Two mixtures install without complaint and fail later, far from the cause: a torch and a torchvision
from different indexes, and a second OpenCV over the first.
"""

from __future__ import annotations

import sys
from importlib import metadata


def torch_fault() -> str:
    """Why torch and torchvision do not work together, or ''."""
    try:
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        versions = (
            f"torch {metadata.version('torch')}, torchvision {metadata.version('torchvision')}"
        )
        return (
            f"{versions} do not work together ({str(error).splitlines()[0]}): both must come from "
            "one index; `make clean`, then `make setup` with PIP_ARGS naming that index"
        )
    return "" if hasattr(torchvision, "models") else "torchvision is empty: `make clean setup`"


def opencv_fault() -> str:
    """Why OpenCV does not import or has no window, or ''."""
    others = [
        name
        for name in ("opencv-python-headless", "opencv-contrib-python-headless")
        if any(True for _ in metadata.Distribution.discover(name=name))
    ]
    if others:
        return (
            f"{others[0]} overwrites opencv-python, whose window is needed: "
            f"pip uninstall {others[0]}, then pip install --force-reinstall --no-deps opencv-python"
        )
    try:
        import cv2
    except ImportError as error:
        return f"OpenCV does not import ({error}): `make setup-system` installs its libraries"
    return "" if hasattr(cv2, "imshow") else "this OpenCV has no imshow: reinstall opencv-python"


def main() -> int:
    """Print the first fault.

    Returns:
        The exit code: 0 when all is well.
    """
    fault = torch_fault() or opencv_fault()
    if fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    import torch

    where = "with CUDA" if torch.version.cuda else "for the CPU"
    import cv2

    print(f"torch {torch.__version__} {where}, OpenCV {cv2.__version__}: fit together")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Save everything that is on screen: the panes as pictures, the numbers behind them, the choice."""

import datetime
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from rtvis.data import ImageU8, Picture, Result

Say = Callable[[str, bool], None]
"""Takes a notice, and whether it is a warning."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
    """All that is saved, in host memory."""

    canvas_HW3: ImageU8
    """BGR."""
    frame_HW3: ImageU8
    """RGB, uncropped."""
    panes: Mapping[str, tuple[int, int, int, int]]
    """Name -> (top, left, height, width) on the canvas."""
    raw: Mapping[str, np.ndarray[Any, Any]]
    facts: Mapping[str, object]


def take_snapshot(
    picture: Picture,
    frame_HW3: ImageU8,
    result: Result,
    panes: Mapping[str, tuple[int, int, int, int]],
    facts: Mapping[str, object],
) -> Snapshot:
    """Copy what is on the device to the host."""
    raw = {
        "scores_BK": result.scores_BK,
        "maps_BCHW": result.maps_BCHW,
        "cam_BHW": result.cam_BHW,
        "backprop_B3HW": result.backprop_B3HW,
        "class_index_B": result.class_index_B,
        "position_B2": result.position_B2,
        "value_B": result.value_B,
    }
    selection = asdict(result.selection)
    if result.selection.position is not None:
        selection["position"] = list(result.selection.position)
    return Snapshot(
        canvas_HW3=picture.canvas_HW3,
        frame_HW3=frame_HW3,
        panes=panes,
        # bfloat16 has no numpy dtype, and float32 holds float16 as it is.
        raw={
            name: (value.float() if value.is_floating_point() else value).cpu().numpy()
            for name, value in raw.items()
        },
        facts={**facts, "selection": selection, "form": result.form, "frame": result.seq},
    )


def write_snapshot(snapshot: Snapshot, parent: Path, *, now: datetime.datetime) -> Path:
    """Write into a new folder named by the time, which appears only when it is whole.

    Returns:
        The folder.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    stem = now.strftime("rtvis-%Y-%m-%d-%H%M%S")
    folder, number = parent / stem, 1
    while folder.exists():
        number += 1
        folder = parent / f"{stem}-{number}"
    part = parent / f".{folder.name}.part"
    part.mkdir(parents=True)
    try:
        _write_png(part / "canvas.png", snapshot.canvas_HW3)
        _write_png(part / "frame.png", snapshot.frame_HW3[..., ::-1])
        for name, (top, left, height, width) in snapshot.panes.items():
            pane_HW3 = snapshot.canvas_HW3[top : top + height, left : left + width]
            if pane_HW3.size:
                _write_png(part / f"{name}.png", pane_HW3)
        arrays: dict[str, Any] = dict(snapshot.raw)
        np.savez(part / "raw.npz", **arrays)
        text = yaml.safe_dump(dict(snapshot.facts), sort_keys=False, allow_unicode=True)
        (part / "selection.yaml").write_text(text, encoding="utf-8")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


class Saver:
    """Writes snapshots on a thread of its own, so that the picture does not stand still."""

    def __init__(self, parent: Path, say: Say) -> None:
        self._parent = parent
        self._say = say
        self._thread: threading.Thread | None = None

    def save(self, snapshot: Snapshot) -> None:
        """Start writing; a notice tells the outcome. One at a time."""
        if self._thread is not None and self._thread.is_alive():
            self._say("still saving the one before", True)
            return
        self._thread = threading.Thread(
            target=self._write, args=(snapshot,), name="rtvis-save", daemon=True
        )
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Wait for a save that is under way. Safe to call twice."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _write(self, snapshot: Snapshot) -> None:
        now = datetime.datetime.now().astimezone()
        try:
            folder = write_snapshot(snapshot, self._parent, now=now)
        except OSError as error:
            self._say(
                f"not saved: {self._parent.resolve()}: {error.strerror}; "
                "start rtvis in a folder that you can write to",
                True,
            )
        else:
            self._say(f"saved to {folder}", False)


def _write_png(path: Path, image_HW3: ImageU8) -> None:
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(image_HW3))
    assert done, f"PNG refuses {image_HW3.shape}"
    path.write_bytes(encoded.tobytes())

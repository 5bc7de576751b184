"""Save everything that is on screen: the panes as pictures, the numbers behind them, the state."""

import datetime
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from torch import Tensor

from rtvis import filing
from rtvis._version import __version__
from rtvis.config_files import STATE_FILE
from rtvis.data import ImageF32, ImageU8, Result, Selection
from rtvis.plain import Plain
from rtvis.render.panes_plan import has_details
from rtvis.runtime.composed import Composed
from rtvis.runtime.means import means_arrays
from rtvis.runtime.moment_files import SavedMoments, write_moments
from rtvis.session import View
from rtvis.state import (
    FRAME_FILE,
    MEANS_FILE,
    MOMENTS_FOLDER,
    SECOND_FILE,
    Resume,
    state_document,
    state_text,
)

Say = Callable[[str, bool], None]
"""Takes a notice, and whether it is a warning."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
    """All that is saved, in host memory."""

    canvas_HW3: ImageU8
    """BGR."""
    frame_HW3: ImageU8 | ImageF32
    """RGB, uncropped; float32 where the source has more than eight bits."""
    second_HW3: ImageU8 | ImageF32 | None
    """RGB: the second of two inputs that are compared."""
    panes: Mapping[str, tuple[int, int, int, int]]
    """Name -> (top, left, height, width) on the canvas."""
    raw: Mapping[str, np.ndarray[Any, Any]]
    state: Mapping[str, Plain]
    means: Mapping[str, np.ndarray[Any, Any]]
    """What the page in sight had gathered; empty where that is nothing."""
    moments: SavedMoments | None = None
    """Of the selected layer; None before its first frame."""


def take_snapshot(
    composed: Composed,
    *,
    setup: Mapping[str, Plain],
    about: Mapping[str, Plain],
    moments: SavedMoments | None = None,
) -> Snapshot | None:
    """Copy what a picture was made of to the host; None before the first result.

    Args:
        composed: The picture.
        setup: Source and network as keys of a state.
        about: What else people want to know.
        moments: Of the selected layer.
    """
    frame, result = composed.frame, composed.result
    if frame is None or result is None:
        return None
    second_HW3 = _second_input(composed, setup)
    if second_HW3 is not None:
        setup = {**setup, _COMPARE: SECOND_FILE}
    second = composed.second.result if composed.second is not None else None
    return Snapshot(
        canvas_HW3=composed.picture.canvas_HW3,
        frame_HW3=frame.image_HW3 if frame.precise_HW3 is None else frame.precise_HW3,
        second_HW3=second_HW3,
        panes={
            name: (rect.top, rect.left, rect.height, rect.width)
            for name, rect in composed.drawn.layout.panes.items()
        },
        raw={
            **numbers_of(result),
            **(numbers_of(second, "second.") if second is not None else {}),
            **numbers_of(composed.readout, "shown."),
        },
        state=state_of(
            composed,
            setup=setup,
            about={**about, "form": result.form, "frame": result.seq},
            has_moments=moments is not None and shows_moments(composed.view),
        ),
        moments=moments,
        means=means_arrays(composed.memory),
    )


_COMPARE: Final = "compare_stream"


def _second_input(composed: Composed, setup: Mapping[str, Plain]) -> ImageU8 | ImageF32 | None:
    """The second of two inputs as its source gave it, to be retouched anew."""
    second = composed.second
    if _COMPARE not in setup or second is None or second.frame is None:
        return None
    frame = second.frame
    image_HW3 = frame.image_HW3 if frame.precise_HW3 is None else frame.precise_HW3
    return image_HW3[:, ::-1] if setup.get("mirror") == "on" else image_HW3


def state_of(
    composed: Composed,
    *,
    setup: Mapping[str, Plain],
    about: Mapping[str, Plain],
    has_moments: bool = False,
) -> dict[str, Plain]:
    """The state that shows a picture again; `has_moments`: their folder lies beside it."""
    view, frame = composed.view, composed.frame
    view = replace(view, selection=_filled_in(view.selection, composed.result))
    if frame is not None and frame.path is not None and frame.pts_seconds is not None:
        view = replace(view, paused=True)  # a film that went on would show another picture
    return state_document(
        setup,
        frame=frame,
        view=view,
        resume=replace(
            resume_of(composed),
            means=MEANS_FILE if composed.memory else "",
            moments=MOMENTS_FOLDER if has_moments else "",
        ),
        about={"rtvis": __version__, **about},
    )


def shows_moments(view: View) -> bool:
    """Whether a view has best moments on screen: all that is known of them is saved then."""
    on_page = view.page == "moments" and has_details(view)
    return on_page or (view.pattern == "moments" and view.zoom == "grid")


def _filled_in(selection: Selection, result: Result | None) -> Selection:
    """The user's selection, its defaults named where they were computed."""
    if result is None or selection.layer not in {None, result.selection.layer}:
        return selection
    computed = result.selection
    open_fields = [one.name for one in fields(Selection) if getattr(selection, one.name) is None]
    return replace(selection, **{name: getattr(computed, name) for name in open_fields})


def resume_of(composed: Composed) -> Resume:
    """What the next picture depends on beside frame and view."""
    readout, second = composed.readout, composed.second
    steady = readout.seq >= 0 and composed.view.range_smoothed
    has_second = second is not None and second.frame is not None
    return Resume(
        colour_range=readout.range_ends if steady else None,
        second_name=second.name if has_second and second is not None else "",
    )


def numbers_of(value: object, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Every number of a dataclass by the name of its field, of parts as "part.field"."""
    assert is_dataclass(value), f"{value} is no dataclass"
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for one in fields(value):
        arrays |= _arrays(f"{prefix}{one.name}", getattr(value, one.name))
    return arrays


def _arrays(name: str, value: object) -> dict[str, np.ndarray[Any, Any]]:
    if isinstance(value, Tensor):
        # bfloat16 has no numpy dtype, and float32 holds float16 as it is.
        host = (value.float() if value.is_floating_point() else value).cpu()
        return {name: host.numpy()}
    if isinstance(value, np.ndarray):
        return {name: value}
    if isinstance(value, Mapping):
        parts = [_arrays(f"{name}.{key}", each) for key, each in value.items()]
        return {key: array for part in parts for key, array in part.items()}
    if is_dataclass(value) and not isinstance(value, Selection):  # that stands in the state
        return numbers_of(value, f"{name}.")
    array = np.asarray(value) if isinstance(value, bool | int | float | tuple) else None
    return {name: array} if array is not None and array.dtype.kind in "biuf" else {}


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
        _write_png(part / FRAME_FILE, snapshot.frame_HW3[..., ::-1])
        if snapshot.second_HW3 is not None:
            _write_png(part / SECOND_FILE, snapshot.second_HW3[..., ::-1])
        for name, (top, left, height, width) in snapshot.panes.items():
            pane_HW3 = snapshot.canvas_HW3[top : top + height, left : left + width]
            if pane_HW3.size:
                _write_png(part / f"{name}.png", pane_HW3)
        arrays: dict[str, Any] = dict(snapshot.raw)
        np.savez(part / "raw.npz", **arrays)
        means: dict[str, Any] = dict(snapshot.means)
        if means:
            np.savez(part / MEANS_FILE, **means)
        if snapshot.moments is not None:
            write_moments(part / MOMENTS_FOLDER, snapshot.moments)
        text = state_text(snapshot.state, name=f"{folder.name}/{STATE_FILE}")
        (part / STATE_FILE).write_text(text, encoding="utf-8")
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
            hint = filing.remedy(error, otherwise="start rtvis in a folder that you can write to")
            self._say(f"not saved: {self._parent.resolve()}: {error.strerror}; {hint}", True)
        else:
            self._say(f"saved to {folder}", False)


def _write_png(path: Path, image_HW3: ImageU8 | ImageF32) -> None:
    """Eight bits a channel, or sixteen of what has more."""
    if image_HW3.dtype != np.uint8:
        image_HW3 = np.rint(image_HW3 * np.float32(65535)).astype(np.uint16)
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(image_HW3))
    assert done, f"PNG refuses {image_HW3.shape}"
    path.write_bytes(encoded.tobytes())

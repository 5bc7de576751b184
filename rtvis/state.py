"""A saved view: the YAML that `x` writes, and that `--state` or `--config` opens again."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from rtvis.config import Config, SectionsConfig
from rtvis.config_files import ABOUT_KEY, STATE_KEY, STATE_VERSION
from rtvis.data import Frame, Selection, Side
from rtvis.options import Entry
from rtvis.paths import path_of
from rtvis.plain import Plain, fields_from_plain, to_plain
from rtvis.session import DISPLAY_FIELDS, View
from rtvis.theme_files import panes_of, sections_of, theme_of

FRAME_FILE: Final = "frame.png"
"""The saved frame, beside the state: the source of a view of a camera, whose moment is gone."""
SECOND_FILE: Final = "second.png"
"""What a frame was compared with, beside the state: two inputs that each have a place of their own
would not meet again."""

MEANS_FILE: Final = "means.npz"
MOMENTS_FOLDER: Final = "moments"

_HEAD: Final = """\
# A view of rtvis. This shows it again, and a flag beside it wins:
#   rtvis --state {name}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """What a picture depends on beside its frame and the user's choices."""

    colour_range: tuple[float, float] | None = None
    """Ends of the grid's colours: they follow the frames before, too (`Readout.range_ends`)."""
    means: str = ""
    """File beside the state with what the page in sight had gathered (`rtvis.render.scene.Memory`);
    empty where it shows one picture alone."""
    moments: str = ""
    """Folder beside the state with the best moments of all layers that were looked at
    (`rtvis.runtime.moment_files`); empty where they were not in sight."""
    second_name: str = ""
    """What the second of two inputs was called, whose copy lies beside the state."""


def restored(view: View, sections: SectionsConfig) -> View:
    """The view with what the sections of files say.

    Raises:
        ConfigError: A key or value is wrong; says where.
    """
    selection = _checked(Selection, sections.selection)
    display = _checked(View, sections.display, names=DISPLAY_FIELDS)
    return replace(
        view,
        selection=replace(view.selection, **selection),
        theme=theme_of(sections.theme, view.theme),
        panes=panes_of(sections.panes, view.panes),
        **display,
    )


def resume_of(sections: SectionsConfig) -> Resume:
    """What the section `resume` says.

    Raises:
        ConfigError: A key or value is wrong; says where.
    """
    return Resume(**_checked(Resume, sections.resume))


def setup_of(config: Config) -> dict[str, Plain]:
    """Source and network as keys of a state, without what belongs to one machine or run."""
    setup: dict[str, Plain] = {}
    for part in (config.input, config.network, config.compare, config.compute, config.learned):
        for one in dataclasses.fields(part):
            value = getattr(part, one.name)
            if one.metadata["saved"] and (value != one.default or one.name in _ALWAYS):
                found = one.metadata["is_path"] and isinstance(value, str)
                setup[one.name.rstrip("_")] = to_plain(absolute(value) if found else value)
    return setup


_ALWAYS: Final = ("stream", "network")


def absolute(name: str) -> str:
    """The name of a file, folder or glob from the root; any other name as it is."""
    file, colon, factory = name.partition(".py:")
    if colon:
        return f"{path_of(file).absolute()}{colon}{factory}"
    is_glob = "://" not in name and any(sign in name for sign in "*?[")
    path = path_of(name)
    return str(path.absolute()) if is_glob or path.exists() else name


def state_document(
    setup: Mapping[str, Plain],
    *,
    frame: Frame | None,
    view: View,
    resume: Resume,
    about: Mapping[str, Plain],
) -> dict[str, Plain]:
    """Everything that a state holds, in the order in which a person would read it.

    Args:
        setup: From `setup_of`.
        frame: Its place in the source is where the state begins.
        view: The user's choices.
        resume: What else the picture depends on.
        about: For people; nobody reads it back.
    """
    placed = {"stream", *_PLACES}
    if frame is not None and frame.path is None:
        placed |= _RETOUCHES  # done to the copy of the frame already
    rest = {key: value for key, value in setup.items() if key not in placed}
    selection, display = to_plain(view.selection), to_plain(view, DISPLAY_FIELDS)
    return {
        STATE_KEY: STATE_VERSION,
        **place_of(frame, setup, side=view.side),
        **rest,
        "selection": selection,
        "display": display,
        **sections_of(view.theme, view.panes),
        "resume": to_plain(resume),
        ABOUT_KEY: dict(about),
    }


_PLACES: Final = ("start", "picture")
_RETOUCHES: Final = {"mirror", "stretch_contrast"}


def place_of(
    frame: Frame | None, setup: Mapping[str, Plain], *, side: Side = "only"
) -> dict[str, Plain]:
    """The keys that lead to a frame again; for a camera to the copy of it beside the state.

    Args:
        frame: What is shown.
        setup: From `setup_of`.
        side: Which of the sources it came from.
    """
    stream = str(setup.get("stream", ""))
    if frame is None:
        return {key: setup[key] for key in ("stream", *_PLACES) if key in setup}
    if frame.path is None:
        return {"stream": FRAME_FILE}
    if side == "files":
        rest = {key: setup[key] for key in ("start",) if key in setup}
        return {"stream": stream, **rest, **_picture(frame.path, str(setup["files"]))}
    if frame.pts_seconds is not None:
        return {"stream": stream, "start": frame.pts_seconds}
    if side == "stream":  # a picture is named among the files where there are any
        return {"stream": str(frame.path.absolute())}
    return {"stream": stream, **_picture(frame.path, stream)}


def _picture(path: Path, within: str) -> dict[str, Plain]:
    """The key that names a picture of a folder, glob or list; none where that is the picture."""
    if Path(within) == path.absolute():
        return {}
    return {"picture": path.name if Path(within).is_dir() else str(path)}


def state_text(document: Mapping[str, Plain], *, name: str) -> str:
    """A state as YAML, with a head that says how to open it.

    Args:
        document: From `state_document`.
        name: Of its file.
    """
    about = {ABOUT_KEY: document[ABOUT_KEY]}
    rest = {key: value for key, value in document.items() if key != ABOUT_KEY}
    # Lists on one line, mappings one key a line.
    parts = (_dumped(rest, default_flow_style=None), _dumped(about, default_flow_style=False))
    return _HEAD.format(name=name) + "".join(parts)


def _dumped(document: Mapping[str, Plain], *, default_flow_style: bool | None) -> str:
    return yaml.safe_dump(
        document,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=default_flow_style,
        width=96,
    )


def _checked(
    kind: type, entries: Mapping[str, Entry], *, names: Collection[str] | None = None
) -> dict[str, Any]:
    """Checked values of the fields of `kind`."""
    values: dict[str, Any] = {}
    for name, (value, where) in entries.items():
        section = where.removesuffix(f".{name}")
        values |= fields_from_plain(kind, {name: value}, where=section, names=names)
    return values

"""The frames that a recording was made of, and the recording itself, for `--replay`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rtvis.config import Config
from rtvis.config_files import frames_of, journal_of

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rtvis.render.compositor import Compositor
    from rtvis.runtime.compare import Rival
    from rtvis.runtime.recording import Kept
    from rtvis.runtime.replay import Replay
    from rtvis.session import View
    from rtvis.sources.again import FoundFrames
    from rtvis.sources.base import Source


@contextlib.contextmanager
def found_frames(config: Config, stream: str, files: str | None) -> "Iterator[FoundFrames]":
    """The frames of one input of a recording, among them those kept beside it.

    Raises:
        SourceError: They are not there any more.
    """
    from rtvis.sources.again import FoundFrames
    from rtvis.sources.kept import KeptFrames

    wanted = config.input
    assert wanted.replay is not None, "for replays"
    path = frames_of(journal_of(Path(wanted.replay)))
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(KeptFrames(path)) if path.exists() else None
        yield stack.enter_context(
            FoundFrames(
                stream,
                files,
                mirror=wanted.mirror,
                stretch_contrast=wanted.stretch_contrast,
                kept=kept,
            )
        )


def replay_of(
    config: Config,
    source: "Source",
    compositor: "Compositor",
    rival: "Rival | None",
    view: "View",
) -> "Replay | None":
    """The recording that is to be shown again, in the theme of a view; None where there is none.

    Raises:
        ConfigError: It is damaged.
    """
    from rtvis.runtime.replay import Replay, ReplayedRival
    from rtvis.session import View
    from rtvis.sources.again import FoundFrames

    if config.input.replay is None:
        return None
    assert isinstance(source, FoundFrames), "opened for the replay"
    return Replay(
        journal_of(Path(config.input.replay)),
        find=source.find,
        resume=compositor.resume,
        begin=View(theme=view.theme, panes=view.panes),
        rival=rival if isinstance(rival, ReplayedRival) else None,
    )


def kept_by(config: Config) -> "Kept | None":
    """How the frames of cameras are kept beside films; None where they are not."""
    from rtvis.runtime.recording import Kept

    wanted = config.output
    if wanted.keep_frames == "off":
        return None
    return Kept(keeping=wanted.keep_frames, limit_bytes=round(wanted.keep_gb * 1e9))

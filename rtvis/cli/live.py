"""The live run: source, network, window and film put together, and what to say at the end."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from rtvis.cli.compare import compares_networks, opened_second, rival_of, second_config
from rtvis.cli.learned import grower_of, known_bytes_of, moments_of, shelf_of
from rtvis.cli.replay import found_frames, kept_by, replay_of
from rtvis.cli.unseen import run_unseen, say
from rtvis.cli.view import view_of, with_selection
from rtvis.config import Config
from rtvis.errors import NetworkError, SinkError
from rtvis.leaving import DONE, FAILED, INTERRUPTED

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.engine.engine import Engine
    from rtvis.plain import Plain
    from rtvis.render.compositor import Compositor
    from rtvis.runtime.bindings import KeyBinding
    from rtvis.runtime.compare import Rival
    from rtvis.runtime.outcome import Summary
    from rtvis.runtime.pipeline import Pipeline
    from rtvis.runtime.replay import Replay
    from rtvis.session import View
    from rtvis.sinks.base import Sink
    from rtvis.sources.base import Source
    from rtvis.state import Resume


@contextlib.contextmanager
def opened_engine(
    config: Config, console: "Console", *, compiling: bool, batch_size: int = 1
) -> "Iterator[Engine]":
    """The engine that the config asks for; says what takes so long."""
    wanted = config.network
    with console.status(f"loading {wanted.network}") as status:
        from rtvis.api import load
        from rtvis.engine.networks.models import downloads_weights
        from rtvis.engine.networks.network_arguments import network_arguments

        if downloads_weights(wanted.network, wanted.weights):
            status.stop()  # the libraries draw bars of their own

        def on_loaded(name: str) -> None:
            status.start()
            status.update(f"looking into {name}")

        engine = load(
            wanted.network,
            device=config.compute.device,
            dtype=config.compute.dtype,
            tf32=config.compute.tf32,
            compile=config.compute.compile if compiling else "off",
            batch_size=batch_size,
            on_loaded=on_loaded,
            **network_arguments(wanted),
        )
    with engine:
        yield engine


@contextlib.contextmanager
def _opened_second_engine(config: Config, console: "Console") -> "Iterator[Engine]":
    """That of the network to compare with; its faults name the flags that it has."""
    with contextlib.ExitStack() as stack:
        try:
            opened = opened_engine(second_config(config), console, compiling=True)
            engine = stack.enter_context(opened)
        except NetworkError as fault:
            text = str(fault).replace("--weights", "--compare-weights")
            raise type(fault)(text) from fault
        yield engine


def run_live(config: Config, console: "Console") -> int:
    """Watch until somebody or something ends it; returns the exit code."""
    from rtvis.runtime.keymap import with_keys
    from rtvis.sinks.window import why_no_window
    from rtvis.state import resume_of

    bindings = with_keys(config.sections.keys)
    two_networks = compares_networks(config)
    resume = resume_of(config.sections)
    in_window = config.output.view == "window" and not why_no_window()
    view = view_of(config, clickable=in_window)
    # The bundled clip is over in 20 s, too soon to look around; a film of it shall end, though.
    loop = config.input.loop or (config.input.stream == "demo" and in_window)
    warnings: list[str] = []
    # Before the network, for it is quick to find out that a file is missing.
    with (
        _opened_source(config, loop=loop, steps=in_window, warn=warnings.append) as source,
        opened_second(config, loop=loop) as second_stream,
        opened_engine(
            config, console, compiling=True, batch_size=1 if second_stream is None else 2
        ) as engine,
        _opened_second_engine(config, console)
        if two_networks
        else contextlib.nullcontext() as second_engine,
    ):
        engine.check_takes_pictures()
        view = with_selection(view, config, engine)
        notes = [each.untraced_note for each in (engine, second_engine) if each is not None]
        for warning in [*warnings, *(f"explained {note}" for note in notes if note)]:
            say(console, warning)
        if warnings:
            view = replace(view, notice=" ".join(warnings), notice_is_warning=True)
        parts = _Parts(
            config=config,
            resume=resume,
            engine=engine,
            source=source,
            rival=rival_of(second_engine, second_stream),
            bindings=bindings,
            loops=loop,
        )
        return _run(parts, view, console)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """What a live run is put together from, opened."""

    config: Config
    resume: "Resume"
    engine: "Engine"
    source: "Source"
    rival: "Rival | None"
    bindings: "tuple[KeyBinding, ...]"
    loops: bool


def _run(parts: _Parts, view: "View", console: "Console") -> int:
    """Show, record and save, and say what came of it; returns the exit code."""
    from rtvis.sources.images import ImageSource

    config = parts.config
    window, film = _outputs(config, console, parts.source.name, view.canvas_size)
    if window is None:  # nobody could go on
        view = replace(view, paused=False)
    compositor = _compositor(parts, view)
    replay = replay_of(config, parts.source, compositor, parts.rival, view)
    with (
        window if window is not None else contextlib.nullcontext(),
        _pipeline(parts, view, window, compositor, replay) as pipeline,
    ):
        if film is not None:
            # Pictures that nobody goes through have no clock: a frame of the film each.
            fast = replay is not None or (window is None and isinstance(parts.source, ImageSource))
            pipeline.record(film, pace="fast" if fast else config.input.pace)
        if window is not None:
            summary = pipeline.run()
        else:
            summary = run_unseen(pipeline, console, source_name=parts.source.name)
        if config.output.save is not None:
            print(pipeline.save_now(Path(config.output.save)))
    if replay is not None and replay.num_missing:
        say(
            console,
            f"{replay.num_missing} pictures have frames that were not kept; "
            "the frame before stood for them",
        )
    return _conclude(summary, console, film=film)


def _compositor(parts: _Parts, view: "View") -> "Compositor":
    """It goes on with the colours, and with what the page had gathered, of a state."""
    from rtvis.render.compositor import Compositor
    from rtvis.runtime.means import read_means

    compositor, resume = Compositor(parts.engine.device), parts.resume
    if resume.colour_range is not None:
        compositor.resume(resume.colour_range)
    if resume.means:
        compositor.resume_page(view.page, read_means(Path(resume.means)))
    return compositor


def _pipeline(
    parts: _Parts,
    view: "View",
    window: "Sink | None",
    compositor: "Compositor",
    replay: "Replay | None",
) -> "Pipeline":
    from rtvis.runtime.pipeline import Pipeline
    from rtvis.session import Session

    config, engine = parts.config, parts.engine
    pipeline = Pipeline(
        engine=engine,
        source=parts.source,
        compositor=compositor,
        session=Session(view),
        window=window,
        num_frames=config.input.frames,
        loops=parts.loops,
        bindings=parts.bindings,
        setup=_setup(config),
        journals=config.output.journal,
        keeping=kept_by(config),
        replay=replay,
        rival=parts.rival,
        grower=grower_of(config, engine),
        shelf=shelf_of(config, engine),
        known_bytes=known_bytes_of(config),
        moments=moments_of(config, engine, parts.resume.moments),
        # Also for the film in the window's place; what is shown again has the unit that it had.
        seeks_unit=config.output.view == "window"
        and replay is None
        and not config.sections.selection,
    )
    if not {"grid_scroll", "layer_scroll"} & config.sections.display.keys():
        pipeline.controller.show_selected()
    return pipeline


def _opened_source(
    config: Config, *, loop: bool, steps: bool, warn: Callable[[str], None]
) -> "contextlib.AbstractContextManager[Source]":
    """What to look at; of a replay the frames that were seen.

    Args:
        config: Says what.
        loop: Whether it begins again after the end.
        steps: Whether somebody is there to go from picture to picture.
        warn: See `open_sources`.
    """
    from rtvis.sources import open_sources

    wanted = config.input
    if wanted.replay is not None:
        return found_frames(config, wanted.stream, wanted.files)
    pairs = config.compare.compare_stream is not None  # frame by frame in pace "fast" alone
    return open_sources(
        wanted.stream,
        wanted.files,
        loop=loop,
        pace=wanted.pace,
        start_seconds=wanted.start,
        picture=wanted.picture,
        match=wanted.match,
        mirror=wanted.mirror,
        stretch_contrast=wanted.stretch_contrast,
        steps=steps or pairs,
        warn=warn,
    )


def _setup(config: Config) -> "dict[str, Plain]":
    """Sources and network as keys of a state, the sources without credentials."""
    from rtvis.sources.uri import public_name, scheme_of
    from rtvis.state import setup_of

    setup = setup_of(config)
    uris = {"stream": config.input.stream, "compare_stream": config.compare.compare_stream}
    for key, uri in uris.items():
        if uri is not None and scheme_of(uri):
            setup[key] = public_name(uri)
    return setup


def _outputs(
    config: Config, console: "Console", source_name: str, canvas_size: tuple[int, int]
) -> "tuple[Sink | None, Path | None]":
    """A window, a film, both or neither; a film in place of a window that cannot be had."""
    film = Path(config.output.record) if config.output.record is not None else None
    if config.output.view == "none":
        return None, film
    from rtvis.sinks.window import WindowSink

    try:
        title = f"rtvis · {config.network.network} · {source_name}"
        return WindowSink(title=title, size=canvas_size), film
    except SinkError as fault:
        say(console, str(fault))
    if film is None:
        film = Path(datetime.now().astimezone().strftime("rtvis-%Y-%m-%d-%H%M%S.mp4"))
        say(console, f"recording to {film} instead; Ctrl-C ends it")
    return None, film


def _conclude(summary: "Summary", console: "Console", *, film: Path | None) -> int:
    """Say what came out of it, and turn it into an exit code."""
    for path in summary.films:
        print(path)  # alone on standard output, for scripts
    if summary.message:
        say(console, summary.message)
    if summary.unread:
        say(console, summary.unread)
    if summary.num_faults:
        say(console, f"{summary.num_faults} turns could not be computed or drawn")
    if film is not None and not summary.films and not summary.message:
        say(console, f"{film}: nothing was recorded")
        return INTERRUPTED if summary.reason == "interrupted" else FAILED
    match summary.reason:
        case "interrupted":
            return INTERRUPTED
        case "failed":
            return FAILED
        case "closed":
            return FAILED if summary.message else DONE
        case "ended" | "frames" | "left":
            return DONE
        case _:
            assert_never(summary.reason)


__all__ = ["opened_engine", "run_live"]

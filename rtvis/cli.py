"""The composition root of the live program: flags in, parts put together, an exit code out."""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, assert_never

from rtvis.config import Config
from rtvis.errors import (
    ConfigError,
    RtvisError,
    SelectionError,
    SinkError,
    did_you_mean,
)
from rtvis.flags import parse_config

if TYPE_CHECKING:  # torch takes seconds to import: only once the flags are known to be good
    from rich.console import Console

    from rtvis.data import Selection
    from rtvis.engine.engine import Engine
    from rtvis.runtime.pipeline import Pipeline, Progress, Summary
    from rtvis.sinks.base import Sink

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
"""A flag, a key, or a value that cannot be used."""
INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""

_DESCRIPTION = (
    "Look inside a neural network while it watches a stream: its activation maps, what it thinks "
    "it sees, where the evidence lies, and what excites the unit under the mouse."
)
_EPILOG = (
    "Every flag is also a key of a YAML file for --config (see configs/). In the window, h shows "
    "the keys, q leaves."
)


def program() -> NoReturn:
    """Run the program as a process of its own, and end that at once.

    Everything is closed by then. The interpreter's own end would look through a million objects of
    torch for cycles: 1.3 s after Ctrl-C, instead of 0.1 s.
    """
    code = main()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed at the other end
            stream.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0, 1 (failed), 2 (misused), 130 (Ctrl-C)."""
    words = list(sys.argv[1:] if argv is None else argv)
    is_debugging = "--debug" in words
    try:
        with _terminable():
            config = parse_config(
                Config, words, prog="main.py", description=_DESCRIPTION, epilog=_EPILOG
            )
            is_debugging = config.program.debug
            with _logging(debug=is_debugging):
                return _run(config)
    except RtvisError as fault:
        _report(str(fault), debug=is_debugging)
        return MISUSED if isinstance(fault, ConfigError | SelectionError) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `--list networks | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as fault:  # noqa: BLE001 - a fault of ours, which the user should not read
        text = (str(fault).strip().splitlines() or [""])[0]
        hint = "" if is_debugging else "; --debug shows where"
        _report(
            f"a fault in rtvis itself: {type(fault).__name__}: {text}{hint}", debug=is_debugging
        )
        return FAILED


def _report(message: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"rtvis: {message}", file=sys.stderr)


class _OneLine(logging.Formatter):
    """Without --debug a record is its message alone: no traceback, no second line."""

    def format(self, record: logging.LogRecord) -> str:
        """The first line of the message."""
        return f"rtvis: {(record.getMessage().splitlines() or [''])[0]}"


@contextlib.contextmanager
def _logging(*, debug: bool) -> Iterator[None]:
    """Log to standard error. What libraries warn about is for --debug only."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter("%(relativeCreated)7.0f ms %(name)s: %(message)s")
        if debug
        else _OneLine()
    )
    root, ours = logging.getLogger(), logging.getLogger("rtvis")
    levels = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.INFO if debug else logging.ERROR)
    ours.setLevel(logging.DEBUG if debug else logging.ERROR)
    # Torch gives its loggers handlers of their own, which would write past ours.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.NOTSET if debug else "ERROR")
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM, with which containers are stopped, as good as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(config: Config) -> int:
    from rich.console import Console

    subject = config.program.list_
    if subject is not None:
        return _list(config)
    return _live(config, Console(stderr=True, highlight=False))


def _list(config: Config) -> int:
    from rich.console import Console

    from rtvis import listing

    match config.program.list_:
        case "networks":
            lines = listing.network_lines()
        case "methods":
            lines = listing.method_lines()
        case "layers":
            with _engine(config, Console(stderr=True), compiling=False) as engine:
                lines = listing.layer_lines(engine.layers)
        case None:
            raise AssertionError("nothing to list")
        case _:
            assert_never(config.program.list_)
    for line in lines:
        print(line)
    sys.stdout.flush()
    return DONE


@contextlib.contextmanager
def _engine(config: Config, console: "Console", *, compiling: bool) -> "Iterator[Engine]":
    """The engine that the config asks for; says what takes so long."""
    wanted = config.network
    with console.status(f"loading {wanted.network}") as status:
        import rtvis.methods  # noqa: F401 - registers the CAM methods
        from rtvis.engine.engine import Engine
        from rtvis.engine.models import downloads_weights, load_network

        if downloads_weights(wanted.network, wanted.weights):
            status.stop()  # the libraries draw bars of their own
        network = load_network(
            wanted.network,
            weights=wanted.weights,
            labels=wanted.labels,
            size=wanted.size,
            mean=wanted.mean,
            std=wanted.std,
            trust_pickle=wanted.trust_pickle,
        )
        status.start()
        status.update(f"looking into {network.name}")
        engine = Engine(
            network,
            device=config.compute.device,
            dtype=config.compute.dtype,
            compile=config.compute.compile if compiling else "off",
        )
    with engine:
        yield engine


def _live(config: Config, console: "Console") -> int:
    from rtvis.sinks.window import why_no_window
    from rtvis.sources import open_source

    # The bundled clip is over in 20 s, too soon to look around; a film of it shall end, though.
    in_window = config.output.view == "window" and not why_no_window()
    loop = config.input.loop or (config.input.stream == "demo" and in_window)
    # Before the network, for it is quick to find out that a file is missing.
    with (
        open_source(config.input.stream, loop=loop, pace=config.input.pace) as source,
        _engine(config, console, compiling=True) as engine,
    ):
        from rtvis.render.compositor import Compositor
        from rtvis.runtime.pipeline import Pipeline
        from rtvis.session import Session, View

        selection = _selection(config, engine)
        window, film = _outputs(config, console, source.name)
        with contextlib.ExitStack() as stack:
            if window is not None:
                stack.enter_context(window)
            view = View(selection=selection, canvas_size=config.output.canvas)
            pipeline = stack.enter_context(
                Pipeline(
                    engine=engine,
                    source=source,
                    compositor=Compositor(engine.device),
                    session=Session(view),
                    window=window,
                    num_frames=config.input.frames,
                )
            )
            if film is not None:
                pipeline.record(film, pace=config.input.pace)
            summary = _watched(pipeline, console, showing=window is None)
    return _conclude(summary, console, film=film)


def _selection(config: Config, engine: "Engine") -> "Selection":
    """The selection to start with, checked.

    Raises:
        SelectionError: The network does not have what the flags name.
    """
    from rtvis.data import Selection

    wanted = config.selection
    selection = Selection(
        layer=wanted.layer,
        unit=wanted.unit,
        position=wanted.position,
        seed=wanted.seed,
        rule=wanted.rule,
        class_index=class_index(wanted.class_, engine.labels),
        cam=wanted.cam,
        cam_layer=wanted.cam_layer,
    )
    engine.resolve(selection)
    return selection


def class_index(wanted: str | None, labels: Sequence[str] | None) -> int | None:
    """The number of a class given by number or name, in any case.

    Raises:
        SelectionError: No class has that name; the text names the nearest.
    """
    if wanted is None:
        return None
    if wanted.lstrip("-").isdecimal():
        return int(wanted)
    if labels is None:
        raise SelectionError(
            f"class '{wanted}': this network's classes have no names; give a number, or --labels"
        )
    folded = [label.casefold() for label in labels]
    if wanted.casefold() not in folded:
        raise SelectionError(f"there is no class '{wanted}'{did_you_mean(wanted, labels)}")
    return folded.index(wanted.casefold())


def _outputs(
    config: Config, console: "Console", source_name: str
) -> "tuple[Sink | None, Path | None]":
    """A window, a film, both or neither; a film in place of a window that cannot be had."""
    film = Path(config.output.record) if config.output.record is not None else None
    if config.output.view == "none":
        return None, film
    from rtvis.sinks.window import WindowSink

    try:
        title = f"rtvis · {config.network.network} · {source_name}"
        return WindowSink(title=title, size=config.output.canvas), film
    except SinkError as fault:
        _say(console, str(fault))
    if film is None:
        film = Path(datetime.now().astimezone().strftime("rtvis-%Y-%m-%d-%H%M%S.mp4"))
        _say(console, f"recording to {film} instead; Ctrl-C ends it")
    return None, film


def _watched(pipeline: "Pipeline", console: "Console", *, showing: bool) -> "Summary":
    """Run; with a progress bar where no window shows what is going on."""
    if not showing:
        return pipeline.run()
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:5.1f} fps"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("frames", total=None, rate=0.0)

        def show(progress: "Progress") -> None:
            bar.update(
                task,
                completed=progress.num_processed,
                total=progress.num_frames,
                rate=progress.rates.processed_fps,
            )

        return pipeline.run(on_progress=show)


def _say(console: "Console", text: str) -> None:
    """One line beside the progress bar, however narrow the terminal is."""
    console.print(f"rtvis: {text}", markup=False, soft_wrap=True)


def _conclude(summary: "Summary", console: "Console", *, film: Path | None) -> int:
    """Say what came out of it, and turn it into an exit code."""
    for path in summary.films:
        print(path)  # alone on standard output, for scripts
    if summary.message:
        _say(console, summary.message)
    if summary.num_faults:
        _say(console, f"{summary.num_faults} turns could not be computed or drawn")
    if film is not None and not summary.films and not summary.message:
        _say(console, f"{film}: nothing was recorded")
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


__all__ = ["class_index", "main", "program"]

"""The composition root of the live program: flags in, parts put together, an exit code out."""

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn, assert_never

from rtvis.cli import inspect, units
from rtvis.cli.live import opened_engine, run_live
from rtvis.command import Command
from rtvis.config import Config
from rtvis.errors import ConfigError, RtvisError, SelectionError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, FAILED, INTERRUPTED, MISUSED, called, end_process, import_torch
from rtvis.threads import spin_briefly

_DESCRIPTION = (
    "Look inside a neural network while it watches a stream: its activation maps, what it thinks "
    "it sees, where the evidence lies, and what excites the unit under the mouse."
)
_EPILOG = (
    "Every flag is also a key of a YAML file for --config (see configs/). In the window, h shows "
    "the keys, q leaves. `rtvis inspect NETWORK` tells of a network's layers instead."
)


def program() -> NoReturn:
    """Run the program as a process of its own, and end that at once."""
    end_process(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0, 1 (failed), 2 (misused), 130 (Ctrl-C)."""
    spin_briefly()
    words = list(sys.argv[1:] if argv is None else argv)
    is_debugging = "--debug" in words
    if not is_debugging:
        _quiet_decoders()
    try:
        with _terminable():
            command = _understood(words)
            is_debugging = command.debug
            with _logging(debug=command.debug):
                return command.run()
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


def _quiet_decoders() -> None:
    """OpenCV and FFmpeg write past every log what they think of a damaged film, a line a frame.

    Has an effect before they are loaded only; what the user's environment says goes before.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


def _understood(words: list[str]) -> Command:
    prog = called("main.py", installed="rtvis")
    if words[:1] == [inspect.COMMAND]:
        return inspect.parse(words[1:], prog=prog)
    if words[:1] == [units.COMMAND]:
        return units.parse(words[1:], prog=prog)
    config = parse_config(Config, words, prog=prog, description=_DESCRIPTION, epilog=_EPILOG)
    return Command(run=lambda: _run(config), debug=config.program.debug)


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

    import_torch()
    from rtvis.plugins import load_plugins

    for failure in load_plugins(config.program.plugin or ()):
        print(f"rtvis: {failure}", file=sys.stderr)
    if config.program.list_ is not None:
        return _list(config)
    return run_live(config, Console(stderr=True, highlight=False))


def _list(config: Config) -> int:
    from rich.console import Console

    from rtvis import listing

    match config.program.list_:
        case "networks":
            lines = listing.network_lines()
        case "methods":
            lines = listing.method_lines()
        case "keys":
            from rtvis.runtime.bindings import key_table
            from rtvis.runtime.keymap import with_keys

            lines = listing.key_lines(key_table(with_keys(config.sections.keys)))
        case "theme":
            from rtvis.theme_files import file_lines, panes_of, theme_of

            sections = config.sections
            lines = file_lines(theme_of(sections.theme), panes_of(sections.panes))
        case "layers":
            with opened_engine(config, Console(stderr=True), compiling=False) as engine:
                lines = listing.layer_lines(engine.layers, engine.skipped_note)
        case None:
            raise AssertionError("nothing to list")
        case _:
            assert_never(config.program.list_)
    for line in lines:
        print(line)
    sys.stdout.flush()
    return DONE


__all__ = ["main", "program"]

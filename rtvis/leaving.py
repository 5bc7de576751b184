"""How the programs end: their exit codes, and Ctrl-C while they still start."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
"""A flag, a key, or a value that cannot be used."""
INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""


def end_process(code: int) -> NoReturn:
    """End the process at once; everything is closed by then.

    The interpreter's own end would look through a million objects of torch for cycles: 1.3 s after
    Ctrl-C, instead of 0.1 s.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed at the other end
            stream.flush()
    os._exit(code)


def called(script: str, *, installed: str) -> str:
    """What the user typed to start the program: the script, or the name that pip installs."""
    return installed if Path(sys.argv[0]).stem == installed else script


def not_installed(fault: ModuleNotFoundError) -> str:
    """What to do where this Python lacks what the program imports: the system's own does."""
    return (
        f"rtvis: {fault.name} is not installed for {sys.executable}; "
        "`make run` installs all into .venv: type `. .venv/bin/activate` first, or `pip install .`"
    )


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within, Ctrl-C and SIGTERM end the process then and there. For importing torch.

    Its C++ runs Python while it is initialised: a KeyboardInterrupt raised there cannot be passed
    on, and the process aborts with C++'s words and a core dump. Nothing may be open within that
    wants closing. Signals that somebody else takes care of (`nohup` ignores them) are left alone.
    """

    def leave(*_: object) -> None:
        if os.isatty(2):
            os.write(2, b"\n")  # the shell's next line is its own
        os._exit(INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is signal.default_int_handler
    ]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Within, Ctrl-C is only noted, and raised as KeyboardInterrupt behind it.

    For code that loses one, as C++ does that calls Python and clears whatever that raises.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not is_ours:
        yield
        return
    noted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if noted:
        raise KeyboardInterrupt


def import_torch() -> None:
    """Import torch ahead of what needs it, which takes seconds; Ctrl-C leaves at once meanwhile.

    Called once the flags are known to be good, and before anything is open that wants closing.
    A terminal says meanwhile what it waits for.
    """
    with leaving_at_once(), _said("loading PyTorch"):
        import torch  # noqa: F401


@contextlib.contextmanager
def _said(text: str) -> Iterator[None]:
    """Within, the terminal's line is this. Rich's spinner would hide the cursor from who leaves."""
    if not sys.stderr.isatty():
        yield
        return
    sys.stderr.write(text)
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write(f"\r{' ' * len(text)}\r")
        sys.stderr.flush()

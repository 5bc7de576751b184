"""One writer at a time in a folder; readers need no lock, for every file is whole or not there.

The system's own lock on a file (`flock`) ends with the process that holds it, however it ends, so
that a scan which was killed leaves nothing to tidy up. The file says who holds it, for the message;
and where a file system does not carry locks to another machine, that text keeps its writers out.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtvis.errors import StoreError

_KERNEL = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """Who holds a lock."""

    what: str
    """The program, for people: "rtvis units scan"."""
    pid: int
    host: str
    kernel: str
    """Changes when the machine starts anew, and is the same in all containers of one machine;
    empty where it is not known."""
    since: str
    """Local time, ISO 8601."""

    def is_elsewhere(self, other: "Writer") -> bool:
        """Whether the system's lock may know nothing of it: it was on another machine."""
        same_kernel = self.kernel == other.kernel != ""
        return self.host != other.host and not same_kernel

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid} on {self.host}, since {self.since})"


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[Writer | None]:
    """Hold the lock that is the file `path`.

    Args:
        path: Made here, and removed at the end.
        what: Who wants it, for the message that another one gets.

    Yields:
        The writer that ended without giving the lock back, so that there may be something to
        settle; None where all is as it should be.

    Raises:
        StoreError: Another one holds it, or the file system has no locks.
    """
    me = _myself(what)
    descriptor = _acquired(path)
    try:
        before = _read(descriptor)
        if before is not None and before.is_elsewhere(me):
            raise StoreError(
                f"{path.parent}: {before} writes to it, or died doing so, on another machine; "
                f"wait for it, or if it is gone remove {path}"
            )
        text = json.dumps({name: getattr(me, name) for name in Writer.__slots__}, indent=1)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            yield before
        finally:
            # Before the lock ends: the next one must not lock a file without a name.
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def holder(path: Path) -> Writer | None:
    """Who holds the lock, if anybody does; for those who only want to know."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _acquired(path: Path) -> int:
    """A descriptor of the file at `path`, locked."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(
                f"{path.parent}: cannot be written to ({error.strerror}); name another --store"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(descriptor)
            os.close(descriptor)
            raise StoreError(
                f"{path.parent}: {other or 'another process'} is writing to it; wait for it to "
                "end, or name another --store"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"{path.parent}: its file system has no locks ({error.strerror}); name a --store "
                "on a disk of this machine"
            ) from None
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # its holder removed it meanwhile: that one is nobody's lock


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> Writer | None:
    """What a lock file says; None where it says nothing that can be understood."""
    try:
        found: Any = json.loads(os.pread(descriptor, 10_000, 0))
        return Writer(**{name: found[name] for name in Writer.__slots__})
    except (ValueError, TypeError, KeyError):
        return None


def _myself(what: str) -> Writer:
    try:
        kernel = _KERNEL.read_text().strip()
    except OSError:
        kernel = ""
    return Writer(
        what=what,
        pid=os.getpid(),
        host=socket.gethostname(),
        kernel=kernel,
        since=time.strftime("%Y-%m-%dT%H:%M:%S"),
    )

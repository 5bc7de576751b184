"""What is open and wants closing."""

from types import TracebackType
from typing import Self


class Closing:
    """A context manager that closes itself at its end."""

    def close(self) -> None:
        """Give everything back. Overridden by every one; may be called twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

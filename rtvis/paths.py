"""Names of files as people give them."""

import os
from pathlib import Path


def path_of(name: str) -> Path:
    """The file that a name means: `~` is a home where there is such a user, else part of a name."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - Path's own raises RuntimeError there

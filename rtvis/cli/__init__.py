"""The command lines: flags in, parts put together, an exit code out."""

from rtvis.cli.root import main, program

__all__ = ["main", "program"]

"""The version, written once; hatchling and `rtvis --version` read it."""

__version__ = "0.1.0"

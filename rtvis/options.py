"""How a field of a config dataclass becomes a flag, and the flags that several commands have."""

from dataclasses import Field, field
from typing import Any, TypeAlias

from rtvis.option_values import Parse, patterns, seconds, text, whole


def option(
    help_text: str,
    *,
    default: Any = None,
    metavar: str | None = None,
    parse: Parse = text,
    expects: str | None = None,
    of: str = "",
    field_name: str = "",
    is_path: bool = False,
    saved: bool = True,
) -> Any:
    """A field that is also a flag.

    Args:
        help_text: For `--help`.
        default: Of the field.
        metavar: What `--help` calls the value.
        parse: Turns the given value into the field's, where `expects` is given.
        expects: Completes "... cannot be used; give ..." in errors; None where the field's type
            alone tells: a bool or a Literal.
        of: Keys, separated by spaces, of what it belongs to: a flag beside a state that gives one
            of them anew makes this one of the state forgotten, as the unit of another layer.
        field_name: Of the Selection or View field that a state file may give in its place, where
            that has another name.
        is_path: It can name a file, which a state may have lying beside it.
        saved: A state holds it, where it belongs to source, network, computing or what was learned.
    """
    assert parse is text or expects is not None, "say what would do"
    metadata = {
        "help": help_text,
        "metavar": metavar,
        "parse": None if expects is None else parse,
        "expects": expects,
        "of": tuple(of.split()),
        "field_name": field_name,
        "is_path": is_path,
        "saved": saved,
    }
    return field(default=default, metadata=metadata)


def help_of(one: Field[Any]) -> str:
    """What `--help` says of a field made by `option`, with its default unless the text tells it."""
    text_of: str = one.metadata["help"]
    is_nothing = one.default is None or one.default == ()
    tells = is_nothing or isinstance(one.default, bool) or "default:" in text_of
    return text_of if tells else f"{text_of}; default: {one.default}"


Entry: TypeAlias = tuple[Any, str]
"""A value of a file, not checked yet, and where it stands, for errors: "a.yaml: display.zoom"."""


def section(*, merges: bool = True, of: str = "", files: str = "") -> Any:
    """A field that is a mapping of a config file and no flag: `selection:` and the like.

    Its value maps names to entries, which are checked by who knows the names.

    Args:
        merges: A later file adds to what an earlier one gave; False replaces all of it.
        of: As for `option`.
        files: Names, separated by spaces, of entries that are files which lie beside a state.
    """
    metadata = {"section": True, "merges": merges, "of": tuple(of.split())}
    metadata["files"] = tuple(files.split())
    return field(default_factory=dict, metadata=metadata)


def number_option(
    help_text: str,
    minimum: int,
    maximum: int | None = None,
    *,
    default: int | None = None,
    of: str = "",
    field_name: str = "",
    saved: bool = True,
) -> Any:
    """A whole number from `minimum` up, to `maximum` if that is given; the rest as for `option`."""
    end = "" if maximum is None else f" to {maximum}"
    return option(
        help_text,
        default=default,
        metavar="N",
        parse=whole(minimum, maximum),
        expects=f"a whole number from {minimum}{end}",
        of=of,
        field_name=field_name,
        saved=saved,
    )


def seconds_option(help_text: str, *, default: float) -> Any:
    """A time from 0 up, in seconds."""
    return option(
        help_text,
        default=default,
        metavar="SECONDS",
        parse=seconds,
        expects="a time in seconds from 0",
    )


def store_option() -> Any:
    """`--store`: where the stores are that the commands of `rtvis units` read and write."""
    return option(
        "the folder with the stores; default: rtvis/units in the user's data folder",
        metavar="FOLDER",
        expects="a folder",
    )


def layers_option(what: str = "these layers alone", *, of: str = "") -> Any:
    """`--layers`: patterns; `of` as for `option`."""
    return option(
        f"{what}, or with ! before a pattern all but these; * is any text",
        metavar="PATTERN,...",
        parse=patterns,
        expects="patterns such as layer4*,!*downsample*",
        of=of,
    )


def device_option() -> Any:
    """`--device`: of this machine, so that no state holds it."""
    return option(
        "auto, cpu, cuda or cuda:N",
        default="auto",
        metavar="DEVICE",
        expects="auto, cpu, cuda or cuda:0",
        saved=False,
    )


def dtype_option() -> Any:
    """`--dtype`: a `DtypeName`."""
    return option("number format of the network", default="float32")


def tf32_option() -> Any:
    """`--tf32`: a bool."""
    return option(
        "on an NVIDIA GPU let convolutions and matrix products of float32 round to TF32, which has "
        "10 bits of mantissa, for speed",
        default=False,
    )


def debug_option() -> Any:
    """`--debug`."""
    return option("tracebacks and a log on standard error", default=False)

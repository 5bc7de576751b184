"""Flags and config files from the dataclasses of `rtvis.config`: one name, one check, one error."""

import argparse
import contextlib
import dataclasses
import functools
import io
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import jsonargparse

from rtvis._version import __version__
from rtvis.config_files import FileKind, FileReader, Options, choices_of, settle
from rtvis.errors import ConfigError, did_you_mean
from rtvis.options import help_of

T = TypeVar("T")

_STATE: Final = "--state"
_OWN: Final = ("--help", "--version", "--config", _STATE)
"""Flags of every command that are in no dataclass; the last where it opens states."""


def parse_config(
    kind: type[T], argv: Sequence[str], *, prog: str, description: str, epilog: str = ""
) -> T:
    """The config that command line and `--config` files ask for.

    Files are read in order, later ones win, and the command line wins over all of them, wherever
    `--config` stands in it.

    Args:
        kind: A dataclass whose fields are parts: dataclasses of `option` fields. Its field names
            do not matter to the user: every flag and key is flat. With a `section` among them
            `--state` is a flag, too.
        argv: Without the program's name.
        prog: The program's name, for `--help`.
        description: For `--help`.
        epilog: Likewise, at its end.

    Raises:
        ConfigError: An unknown flag or key, or a value that cannot be used; says where.
        SystemExit: With code 0 after `--help` or `--version`.
    """
    options, sections = dict(_options(kind)), dict(_sections(kind))
    own = _OWN if sections else _OWN[:-1]  # a state is of what has a place in files only
    parser = _parser(kind, options, own, prog, description, epilog)
    files, rest = _config_files(argv, with_states=bool(sections))
    held: Mapping[str, Any] = {}
    if not {"-h", "--help", "--version"}.intersection(rest):
        reader = FileReader(options, sections, functools.partial(_checked, parser, options))
        givens = [given for path, file_kind in files for given in reader.read(path, file_kind)]
        defaults, held = settle(givens, _asked(rest, options), options, sections)
        parser.set_defaults(defaults)
    values = vars(_parse_flags(parser, rest, options, own))
    parts = {}
    for part, part_kind in _parts(kind):
        fields = {}
        for one in dataclasses.fields(part_kind):
            if one.name in sections:
                fields[one.name] = held.get(one.name, {})
            else:
                fields[one.name] = values[_key(one)]
        parts[part.name] = part_kind(**fields)
    return kind(**parts)


def _parts(kind: type) -> list[tuple[dataclasses.Field[Any], type]]:
    hints = typing.get_type_hints(kind)
    return [(part, hints[part.name]) for part in dataclasses.fields(kind)]


def _options(kind: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for _, part_kind in _parts(kind):
        for one in dataclasses.fields(part_kind):
            if "section" not in one.metadata:
                yield _key(one), one


def _sections(kind: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for _, part_kind in _parts(kind):
        for one in dataclasses.fields(part_kind):
            if "section" in one.metadata:
                yield one.name, one


def _key(one: dataclasses.Field[Any]) -> str:
    """`class_` is `class`; the trailing underscore only keeps Python content."""
    return one.name.rstrip("_")


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def _parser(
    kind: type,
    options: Options,
    own: Sequence[str],
    prog: str,
    description: str,
    epilog: str,
) -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [--config FILE] [flags]",
        description=description,
        epilog=epilog,
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"rtvis {__version__}")
    # Read before all others by `_config_files`; here for --help only.
    parser.add_argument(
        "--config",
        type=str,
        metavar="FILE",
        help="YAML with these flags as keys; the command line wins",
    )
    if _STATE in own:
        parser.add_argument(
            _STATE,
            type=str,
            metavar="FILE",
            help="open what x saved, by its folder or state.yaml: source, network, selection, "
            "display",
        )
    for _, part_kind in _parts(kind):
        if all("section" in one.metadata for one in dataclasses.fields(part_kind)):
            continue
        group = parser.add_argument_group((part_kind.__doc__ or "").strip().rstrip("."))
        hints = typing.get_type_hints(part_kind)
        for one in dataclasses.fields(part_kind):
            _add(group, one, hints[one.name])
    taken = {*own} & {_flag(key) for key in options}
    assert not taken, f"{taken} are the names of the flags that read files"
    return parser


def _add(group: Any, one: dataclasses.Field[Any], hint: Any) -> None:
    meta, flag = one.metadata, _flag(_key(one))
    if hint is bool:
        action = jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no-")
        group.add_argument(flag, action=action, default=one.default, help=help_of(one))
        return
    choices = choices_of(hint)
    group.add_argument(
        flag,
        type=_typed(meta["parse"], one.default) if meta["parse"] is not None else hint,
        default=one.default,
        metavar="{" + ",".join(choices) + "}" if choices else meta["metavar"],
        help=help_of(one),
    )


def _typed(parse: Any, default: Any) -> Any:
    """`parse` that lets the default pass, which jsonargparse checks like any value."""

    def checked(value: Any) -> Any:
        return value if value is None or value == default else parse(value)

    return checked


class _Formatter(argparse.HelpFormatter):
    """Help in one column of flags and one of text, whatever the names are."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **(settings | {"max_help_position": 26, "width": 96}))


def _config_files(
    argv: Sequence[str], *, with_states: bool
) -> tuple[list[tuple[str, FileKind]], list[str]]:
    """The files that flags name, in order, and the other flags; `--replay` is in both."""
    kinds: dict[str, FileKind] = {"--config": "config"}
    if with_states:
        kinds |= {_STATE: "state", "--replay": "recording"}
    files: list[tuple[str, FileKind]] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, path = word.partition("=")
        kind = kinds.get(flag)
        if kind is None:
            rest.append(word)
            continue
        if not equals:
            path = next(words, "--")
        if not path or path.startswith("--"):
            raise ConfigError(f"{flag}: give a {'YAML' if kind != 'recording' else kind} file")
        files.append((path, kind))
        if kind == "recording":
            rest += [flag, path]
    return files, rest


def _asked(argv: Sequence[str], options: Options) -> set[str]:
    """Keys of the flags that the command line gives."""
    words = (word[2:].partition("=")[0] for word in argv if word.startswith("--"))
    keys = (word.replace("-", "_") for word in words)
    return {key if key in options else key.removeprefix("no_") for key in keys} & {*options}


def _hint(one: dataclasses.Field[Any]) -> Any:
    return one.type


def _checked(
    parser: jsonargparse.ArgumentParser, options: Options, key: str, value: Any, where: str
) -> Any:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return getattr(parser.parse_object({key: value}), key)
    except (argparse.ArgumentError, ValueError, TypeError) as fault:
        raise _unusable(where, value, options[key]) from fault


def _unusable(where: str, value: Any, one: dataclasses.Field[Any]) -> ConfigError:
    shown = repr(value) if isinstance(value, str) else str(value)
    choices = choices_of(_hint(one))
    if choices:
        nearest = did_you_mean(str(value), choices)
        return ConfigError(
            f"{where}: unknown value {shown}{nearest}; there are: {', '.join(choices)}"
        )
    expects = one.metadata["expects"] or "true or false"
    return ConfigError(f"{where}: {shown} cannot be used; give {expects}")


def _parse_flags(
    parser: jsonargparse.ArgumentParser,
    argv: list[str],
    options: Options,
    own: Sequence[str],
) -> Any:
    try:
        return parser.parse_args(argv)
    except argparse.ArgumentError as fault:
        text = str(fault)
    found = re.match(r"unrecognized arguments: (\S+)", text)
    if found:
        word = found[1]
        if not word.startswith("-"):
            # A URI may hold a password, which must not reach the screen.
            shown = word if "@" not in word else "…" + word.rpartition("@")[2]
            meant = f"is --stream {shown} meant?" if "stream" in options else "names come first"
            raise ConfigError(f"'{shown}' belongs to no flag; {meant}")
        known = [*map(_flag, options), *own]
        raise ConfigError(f"{word}: unknown flag{did_you_mean(word.split('=')[0], known)}")
    found = re.match(r'Parser key "(\w+)"|argument (?:--no-)?-*([\w-]+)', text)
    key = (found[1] or found[2] or "").replace("-", "_") if found else ""
    if key not in options:
        raise ConfigError(text.splitlines()[0])
    if "expected" in text and "argument" in text.rsplit("expected", 1)[1]:
        what = options[key].metadata["expects"] or " or ".join(choices_of(_hint(options[key])))
        raise ConfigError(f"{_flag(key)}: a value is missing; give {what}")
    raise _unusable(_flag(key), _value_of(argv, _flag(key)), options[key])


def _value_of(argv: list[str], flag: str) -> str:
    """The last value that the command line gives for a flag."""
    values = [argv[i + 1] for i in range(len(argv) - 1) if argv[i] == flag]
    values += [word.partition("=")[2] for word in argv if word.startswith(flag + "=")]
    return values[-1] if values else ""

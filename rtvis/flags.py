"""Flags and config files from the dataclasses of `rtvis.config`: one name, one check, one error."""

import argparse
import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jsonargparse
import yaml

from rtvis._version import __version__
from rtvis.errors import ConfigError, did_you_mean

T = TypeVar("T")


def parse_config(
    kind: type[T], argv: Sequence[str], *, prog: str, description: str, epilog: str = ""
) -> T:
    """The config that command line and `--config` files ask for.

    Files are read in order, later ones win, and the command line wins over all of them, wherever
    `--config` stands in it.

    Args:
        kind: A dataclass whose fields are parts: dataclasses of `option` fields. Its field names
            do not matter to the user: every flag and key is flat.
        argv: Without the program's name.
        prog: The program's name, for `--help`.
        description: For `--help`.
        epilog: Likewise, at its end.

    Raises:
        ConfigError: An unknown flag or key, or a value that cannot be used; says where.
        SystemExit: With code 0 after `--help` or `--version`.
    """
    options = dict(_options(kind))
    parser = _parser(kind, options, prog, description, epilog)
    files, rest = _config_files(argv)
    if not {"-h", "--help", "--version"}.intersection(rest):
        for path in files:
            parser.set_defaults(_read(path, options, parser))
    values = vars(_parse_flags(parser, rest, options))
    parts = {
        part.name: part_kind(
            **{one.name: values[_key(one)] for one in dataclasses.fields(part_kind)}
        )
        for part, part_kind in _parts(kind)
    }
    return kind(**parts)


def _parts(kind: type) -> list[tuple[dataclasses.Field[Any], type]]:
    hints = typing.get_type_hints(kind)
    return [(part, hints[part.name]) for part in dataclasses.fields(kind)]


def _options(kind: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for _, part_kind in _parts(kind):
        for one in dataclasses.fields(part_kind):
            yield _key(one), one


def _key(one: dataclasses.Field[Any]) -> str:
    """`class_` is `class`; the trailing underscore only keeps Python content."""
    return one.name.rstrip("_")


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def _parser(
    kind: type,
    options: Mapping[str, dataclasses.Field[Any]],
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
    for _, part_kind in _parts(kind):
        group = parser.add_argument_group((part_kind.__doc__ or "").strip().rstrip("."))
        hints = typing.get_type_hints(part_kind)
        for one in dataclasses.fields(part_kind):
            _add(group, one, hints[one.name])
    assert "config" not in options, "config is the name of the flag that reads files"
    return parser


def _add(group: Any, one: dataclasses.Field[Any], hint: Any) -> None:
    meta, flag = one.metadata, _flag(_key(one))
    if hint is bool:
        action = jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no-")
        group.add_argument(flag, action=action, default=one.default, help=meta["help"])
        return
    choices = _choices(hint)
    default = "" if one.default is None or "default:" in meta["help"] else str(one.default)
    group.add_argument(
        flag,
        type=_typed(meta["parse"], one.default) if meta["parse"] is not None else hint,
        default=one.default,
        metavar="{" + ",".join(choices) + "}" if choices else meta["metavar"],
        help=meta["help"] + (f"; default: {default}" if default else ""),
    )


def _typed(parse: Any, default: Any) -> Any:
    """`parse` that lets the default pass, which jsonargparse checks like any value."""

    def checked(value: Any) -> Any:
        return value if value is None or value == default else parse(value)

    return checked


def _choices(hint: Any) -> tuple[str, ...]:
    """The values of a Literal, or of a Literal that may be None."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    return next((c for inner in typing.get_args(hint) if (c := _choices(inner))), ())


class _Formatter(argparse.HelpFormatter):
    """Help in one column of flags and one of text, whatever the names are."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **(settings | {"max_help_position": 26, "width": 96}))


def _config_files(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values of `--config`, and what else there is."""
    files: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--config":
            path = next(words, None)
            if path is None or path.startswith("--"):
                raise ConfigError("--config: give a YAML file")
            files.append(path)
        elif word.startswith("--config="):
            files.append(word.removeprefix("--config="))
        else:
            rest.append(word)
    return files, rest


def _read(
    path: str,
    options: Mapping[str, dataclasses.Field[Any]],
    parser: jsonargparse.ArgumentParser,
) -> dict[str, Any]:
    """The checked values of a YAML file."""
    try:
        node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot read it: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path}: not a text file; a config is YAML") from fault
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else path
        problem = getattr(fault, "problem", None) or "cannot be read"
        raise ConfigError(f"{place}: not valid YAML: {problem}") from fault
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: a config is `key: value` lines, with the flags as keys")
    loader = yaml.SafeLoader("")
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name = str(key_node.value)
        key = name.replace("-", "_")
        if key not in options:
            known = [one.replace("_", "-") for one in options]
            raise ConfigError(f"{path}: {name}: unknown key{did_you_mean(name, known)}")
        if key in values:
            raise ConfigError(f"{path}: {name}: given twice; keep one of them")
        try:
            value = loader.construct_object(value_node, deep=True)
        except (yaml.YAMLError, ValueError) as fault:
            raise ConfigError(f"{path}: {name}: its value cannot be read as YAML") from fault
        if value is None:
            continue  # `key:` alone leaves the default
        hint = _hint(options[key])
        if isinstance(value, bool) and (plain := value_node.value) in _choices(hint):
            value = plain  # YAML reads a bare off as false
        values[key] = _checked(parser, key, value, options, f"{path}: {name}")
    return values


def _hint(one: dataclasses.Field[Any]) -> Any:
    return one.type


def _checked(
    parser: jsonargparse.ArgumentParser,
    key: str,
    value: Any,
    options: Mapping[str, dataclasses.Field[Any]],
    where: str,
) -> Any:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return getattr(parser.parse_object({key: value}), key)
    except (argparse.ArgumentError, ValueError, TypeError) as fault:
        raise _unusable(where, value, options[key]) from fault


def _unusable(where: str, value: Any, one: dataclasses.Field[Any]) -> ConfigError:
    shown = repr(value) if isinstance(value, str) else str(value)
    choices = _choices(_hint(one))
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
    options: Mapping[str, dataclasses.Field[Any]],
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
            raise ConfigError(f"'{shown}' belongs to no flag; is --stream {shown} meant?")
        known = [*map(_flag, options), "--config", "--help", "--version"]
        raise ConfigError(f"{word}: unknown flag{did_you_mean(word.split('=')[0], known)}")
    found = re.match(r'Parser key "(\w+)"|argument (?:--no-)?-*([\w-]+)', text)
    key = (found[1] or found[2] or "").replace("-", "_") if found else ""
    if key not in options:
        raise ConfigError(text.splitlines()[0])
    if "expected" in text and "argument" in text.rsplit("expected", 1)[1]:
        what = options[key].metadata["expects"] or " or ".join(_choices(_hint(options[key])))
        raise ConfigError(f"{_flag(key)}: a value is missing; give {what}")
    raise _unusable(_flag(key), _value_of(argv, _flag(key)), options[key])


def _value_of(argv: list[str], flag: str) -> str:
    """The last value that the command line gives for a flag."""
    values = [argv[i + 1] for i in range(len(argv) - 1) if argv[i] == flag]
    values += [word.partition("=")[2] for word in argv if word.startswith(flag + "=")]
    return values[-1] if values else ""

"""YAML files for `--config` and `--state`: what they give, and which of two givers wins."""

import dataclasses
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import yaml

from rtvis.errors import ConfigError, did_you_mean
from rtvis.options import Entry

STATE_VERSION: Final = 1
"""Of state files; grows when an older program could not read a newer file rightly."""

STATE_FILE: Final = "state.yaml"
"""In the folder that `x` saves, which may be named in its place."""

STATE_KEY: Final = "rtvis_state"
ABOUT_KEY: Final = "about"
"""A key of state files that only people read."""

RECORDING_VERSION: Final = 1
RECORDING_KEY: Final = "rtvis_recording"
"""Begins the first line of a journal (`rtvis.runtime.journal`), which else is a state."""

_RECORDING_KEYS: Final = (RECORDING_KEY, "fps")

FileKind: TypeAlias = Literal["config", "state", "recording"]

_NAMING: Final[Mapping[str, FileKind]] = {"state": "state", "replay": "recording"}
"""Keys of configs that name another file to read first."""

Options: TypeAlias = Mapping[str, dataclasses.Field[Any]]
"""Key -> field, of flags or of sections."""

Check: TypeAlias = Callable[[str, Any, str], Any]
"""(key, value, where) -> the checked value; raises ConfigError."""


@dataclass(kw_only=True, slots=True)
class Given:
    """What one file gives."""

    flat: dict[str, Any] = field(default_factory=dict)
    """Checked values of flags."""
    sections: dict[str, dict[str, Entry]] = field(default_factory=dict)
    is_state: bool = False


class FileReader:
    """Reads files into what they give.

    Args:
        options: The flags.
        sections: The mappings that only files have.
        check: Checks a flag's value.
    """

    def __init__(self, options: Options, sections: Options, check: Check) -> None:
        self._options = options
        self._sections = sections
        self._check = check

    def read(self, path: str, kind: FileKind) -> list[Given]:
        """What a file gives, after what the state that it names gives.

        Raises:
            ConfigError: It cannot be read, or a key or value is wrong; says where.
        """
        if kind == "recording":
            path = str(journal_of(Path(path)))
        elif kind == "state" and Path(path).is_dir():
            path = str(Path(path) / STATE_FILE)
        return self.parse(_text_of(path, kind), path, kind)

    def parse(self, text: str, path: str, kind: FileKind) -> list[Given]:
        """What the text of a file gives; see `read`."""
        pairs = _pairs(text, path, kind)
        given = Given(is_state=self._take_header(pairs, path, kind))
        names_others = bool(self._sections) and not given.is_state
        before: list[Given] = []
        for name, (node, value) in pairs.items():
            key, where = name.replace("-", "_"), f"{path}: {name}"
            if key in _NAMING and names_others:
                before += self._named(value, where, _NAMING[key])
            if key == "state" and names_others:
                continue
            if key in self._sections:
                given.sections[key] = _entries(value, where)
            elif key in self._options:
                plain = _plain(node, value, self._options[key])
                if plain is not None:  # `key:` alone leaves the default
                    given.flat[key] = self._check(key, plain, where)
            else:
                known = [*self._options, *self._sections, *(["state"] if names_others else [])]
                names = [one.replace("_", "-") for one in known]
                raise ConfigError(f"{where}: unknown key{did_you_mean(name, names)}")
        if given.is_state:
            _find_beside(given, self._options, self._sections, Path(path).parent)
        return [*before, given]

    def _named(self, value: Any, where: str, kind: FileKind) -> list[Given]:
        """What a state or recording gives that a config names."""
        if value is None:
            return []
        if not isinstance(value, str):
            raise ConfigError(f"{where}: {value} cannot be used; give a {kind} file")
        return self.read(value, kind)

    @staticmethod
    def _take_header(pairs: "_Pairs", path: str, kind: FileKind) -> bool:
        """Take the keys that only a state has; True if it is one."""
        if kind == "recording":
            if RECORDING_KEY not in pairs:
                raise ConfigError(
                    f"{path}: is no recording; --replay takes a film with its "
                    f"{JOURNAL_SUFFIX} beside it, or that file"
                )
            _check_version(pairs[RECORDING_KEY][1], RECORDING_VERSION, path, RECORDING_KEY)
            for key in _RECORDING_KEYS:
                pairs.pop(key, None)
        if STATE_KEY not in pairs:
            if kind != "config":
                raise ConfigError(
                    f"{path}: is no state, which has a line `{STATE_KEY}: {STATE_VERSION}`; "
                    "use --config for other files"
                )
            return False
        _, version = pairs.pop(STATE_KEY)
        _check_version(version, STATE_VERSION, path, STATE_KEY)
        pairs.pop(ABOUT_KEY, None)
        return True


JOURNAL_SUFFIX: Final = ".rtvis.jsonl"


def journal_of(path: Path) -> Path:
    """The journal beside a film; a journal is its own."""
    return path if path.name.endswith(JOURNAL_SUFFIX) else path.with_suffix(JOURNAL_SUFFIX)


FRAMES_SUFFIX: Final = ".rtvis.zip"


def frames_of(journal: Path) -> Path:
    """The frames of cameras that were kept beside a journal."""
    return journal.with_name(journal.name.removesuffix(JOURNAL_SUFFIX) + FRAMES_SUFFIX)


def _check_version(version: Any, newest: int, path: str, key: str) -> None:
    if type(version) is not int or version < 1:
        raise ConfigError(f"{path}: {key}: {version} cannot be used; give {newest}")
    if version > newest:
        raise ConfigError(
            f"{path}: {key}: is {version}, and this rtvis reads up to {newest}; update rtvis"
        )


def settle(
    givens: Sequence[Given], asked: Collection[str], options: Options, sections: Options
) -> tuple[dict[str, Any], dict[str, dict[str, Entry]]]:
    """What holds of all that files give: later ones win, and the command line over all of them.

    Args:
        givens: In order.
        asked: Keys of the flags on the command line.
        options: The flags.
        sections: The mappings that only files have.

    Returns:
        Values of flags, and of sections without what a later flag or flat key decides.
    """
    flat: dict[str, Any] = {}
    held: dict[str, dict[str, Entry]] = {}
    of_states: set[str] = set()
    field_of = {key: one.metadata["field_name"] or key for key, one in options.items()}
    key_of = {name: key for key, name in field_of.items()}
    for given in [*givens, Given(flat=dict.fromkeys(asked))]:
        in_sections = {key_of.get(name, name) for s in given.sections.values() for name in s}
        named = given.flat.keys() | in_sections
        for key in _orphans(of_states - named, named, options, sections):
            flat.pop(key, None)
            held.pop(key, None)
            for entries in held.values():
                entries.pop(field_of.get(key, key), None)
        for key in given.flat:
            for entries in held.values():
                entries.pop(field_of[key], None)
        flat |= given.flat
        for key, entries in given.sections.items():
            kept = held.get(key, {}) if sections[key].metadata["merges"] else {}
            held[key] = kept | entries
            for name in entries:
                flat.pop(key_of.get(name, name), None)
        if given.is_state:
            of_states |= named | given.sections.keys()
        else:
            of_states -= named
    return {key: value for key, value in flat.items() if key not in asked}, held


def _orphans(
    keys: Collection[str], named: Collection[str], options: Options, sections: Options
) -> list[str]:
    """Those of `keys` that belong to one of `named`, as a unit belongs to its layer."""
    fields = {**options, **sections}
    return [key for key in keys if key in fields and {*fields[key].metadata["of"]} & {*named}]


_Pairs: TypeAlias = dict[str, tuple[yaml.Node, Any]]


def read_mapping(path: str, kind: str) -> dict[str, Any]:
    """Name -> value of a YAML file that is a mapping, no name of it twice.

    Args:
        path: The file.
        kind: What it is, for errors.

    Raises:
        ConfigError: It cannot be read, or is something else; says where.
    """
    return {name: value for name, (_, value) in _pairs(_text_of(path, kind), path, kind).items()}


def _text_of(path: str, kind: str) -> str:
    """The text of a file; of a recording its first line."""
    is_recording = kind == "recording"
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.readline() if is_recording else file.read()
    except OSError as fault:
        raise ConfigError(f"{path}: cannot read it: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        wanted = "JSON lines" if is_recording else "YAML"
        raise ConfigError(f"{path}: not a text file; a {kind} is {wanted}") from fault


def _pairs(text: str, path: str, kind: str) -> _Pairs:
    """Name -> node and value of the mapping that a YAML text is."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else path
        problem = getattr(fault, "problem", None) or "cannot be read"
        raise ConfigError(f"{place}: not valid YAML: {problem}") from fault
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        flags = ", with the flags as keys" if kind in {"config", "state"} else ""
        raise ConfigError(f"{path}: a {kind} is `key: value` lines{flags}")
    loader = yaml.SafeLoader("")
    pairs: _Pairs = {}
    for key_node, value_node in node.value:
        name = str(key_node.value)
        if name.replace("-", "_") in {known.replace("-", "_") for known in pairs}:
            raise ConfigError(f"{path}: {name}: given twice; keep one of them")
        try:
            pairs[name] = value_node, loader.construct_object(value_node, deep=True)
        except (yaml.YAMLError, ValueError, TypeError) as fault:
            raise ConfigError(f"{path}: {name}: its value cannot be read as YAML") from fault
    return pairs


def _plain(node: yaml.Node, value: Any, one: dataclasses.Field[Any]) -> Any:
    """The value; what is a word of the field's choices is that word, as YAML reads off as false."""
    return node.value if isinstance(value, bool) and node.value in choices_of(one.type) else value


def choices_of(hint: Any) -> tuple[str, ...]:
    """The values of a Literal, or of a Literal that may be None."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return next((c for inner in typing.get_args(hint) if (c := choices_of(inner))), ())


def _entries(value: Any, where: str) -> dict[str, Entry]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {value!r} cannot be used; give `key: value` lines")
    return {str(name): (each, f"{where}.{name}") for name, each in value.items()}


def _find_beside(given: Given, options: Options, sections: Options, folder: Path) -> None:
    """Files that a state names without their folder are looked for beside it first.

    So a folder that `x` saved can be moved, or sent to somebody.
    """
    for key, value in given.flat.items():
        if options[key].metadata["is_path"] and isinstance(value, str):
            beside = folder / value
            if not Path(value).is_absolute() and beside.exists():
                given.flat[key] = str(beside)
    for section, entries in given.sections.items():
        for name in {*sections[section].metadata["files"]} & {*entries}:
            value, where = entries[name]
            if isinstance(value, str) and value and not Path(value).is_absolute():
                entries[name] = str(folder / value), where

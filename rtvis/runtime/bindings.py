"""The table of keys and buttons: the help overlay and the README's table are made from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from rtvis.render.scene import Binding
from rtvis.runtime.commands import changing, colours, looking, moving, tracing
from rtvis.runtime.commands.context import ViewCommand
from rtvis.runtime.generate import Generate

Steer: TypeAlias = Literal[
    "next picture", "previous picture", "switch source", "optimised picture as input"
]
"""What changes what is looked at."""

Effect: TypeAlias = Literal["leave", "save", "record", "forget moments"] | Steer | Generate
"""What reaches beyond the View; the runtime carries it out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyBinding:
    """One line of the table."""

    keys: tuple[str, ...]
    """Names as in `KeyEvent`; the first one is the one to teach."""
    action: ViewCommand | Effect
    text: str
    group: str
    button: str = ""
    """Name of the button on the canvas that does the same; often empty."""

    @property
    def name(self) -> str:
        """Of the command, for messages: "cycle zoom"."""
        if isinstance(self.action, str):
            return self.action
        return self.action.__name__.replace("_", " ")


_MOVE = "Move"
_BACKWARD = "Backward picture"
_CHANGE = "Hands on the network"
_LEARNED = "What units have learned"
_VIEW = "View"
_PROGRAM = "Picture and program"

BINDINGS: Final = (
    KeyBinding(keys=("left", "j"), action=moving.move_left, text="left", group=_MOVE),
    KeyBinding(keys=("right", "l"), action=moving.move_right, text="right", group=_MOVE),
    KeyBinding(keys=("up", "i"), action=moving.move_up, text="up; out of the grid", group=_MOVE),
    KeyBinding(
        keys=("down", "k"), action=moving.move_down, text="down; into the grid", group=_MOVE
    ),
    KeyBinding(
        keys=("page-up",), action=moving.move_fast_back, text="three rows back", group=_MOVE
    ),
    KeyBinding(keys=("page-down",), action=moving.move_fast_on, text="three rows on", group=_MOVE),
    KeyBinding(keys=("home",), action=moving.move_first, text="first", group=_MOVE),
    KeyBinding(keys=("end",), action=moving.move_last, text="last", group=_MOVE),
    KeyBinding(keys=("tab",), action=moving.switch_cursor, text="layers or grid", group=_MOVE),
    KeyBinding(keys=("u",), action=moving.previous_layer, text="previous layer", group=_MOVE),
    KeyBinding(keys=("o",), action=moving.next_layer, text="next layer", group=_MOVE),
    KeyBinding(
        keys=("b",),
        action=looking.cycle_backward_easily,
        text="next way to look back, or off",
        group=_BACKWARD,
        button="backward",
    ),
    KeyBinding(
        keys=("n",),
        action=looking.cycle_rule,
        text="next rule, or off",
        group=_BACKWARD,
        button="rule",
    ),
    KeyBinding(
        keys=("m",),
        action=looking.cycle_display,
        text="display: raw, gray, norm, …",
        group=_BACKWARD,
        button="display",
    ),
    KeyBinding(
        keys=("p",),
        action=looking.cycle_seed,
        text="start: max, map, activation",
        group=_BACKWARD,
    ),
    KeyBinding(
        keys=("a",),
        action=tracing.toggle_gradients,
        text="grid: maps or gradients",
        group=_BACKWARD,
        button="gradients",
    ),
    KeyBinding(
        keys=("d",),
        action=tracing.toggle_freeze,
        text="keep this unit as the start",
        group=_BACKWARD,
        button="freeze",
    ),
    KeyBinding(
        keys=("1",),
        action=changing.knock_out,
        text="knock the unit out, or not",
        group=_CHANGE,
        button="knock-out",
    ),
    KeyBinding(
        keys=("2",),
        action=changing.double,
        text="unit ×2, ×4, ×8, ×1",
        group=_CHANGE,
        button="double",
    ),
    KeyBinding(
        keys=("3",),
        action=changing.hold,
        text="hold the unit at its value",
        group=_CHANGE,
        button="hold",
    ),
    KeyBinding(
        keys=("[",),
        action=changing.weaken,
        text="unit a little weaker",
        group=_CHANGE,
        button="weaken",
    ),
    KeyBinding(
        keys=("]",),
        action=changing.strengthen,
        text="unit a little stronger",
        group=_CHANGE,
        button="strengthen",
    ),
    KeyBinding(
        keys=("4",), action=changing.undo_change, text="undo a change", group=_CHANGE, button="undo"
    ),
    KeyBinding(
        keys=("7",),
        action=changing.clear_changes,
        text="undo all changes",
        group=_CHANGE,
        button="clear",
    ),
    KeyBinding(
        keys=("s",),
        action=looking.next_pattern,
        text="tiles: live, optimised, top, moments",
        group=_LEARNED,
        button="pattern",
    ),
    KeyBinding(
        keys=("\\",),
        action=looking.toggle_growing,
        text="grow the unit's picture, or hold",
        group=_LEARNED,
        button="grow",
    ),
    KeyBinding(
        keys=("f11",),
        action=looking.next_beginning,
        text="it begins at noise, at this frame",
        group=_LEARNED,
        button="beginning",
    ),
    KeyBinding(
        keys=("insert",),
        action="optimised picture as input",
        text="optimised or best as the input",
        group=_LEARNED,
        button="as-input",
    ),
    KeyBinding(
        keys=("f3",),
        action="generate layer",
        text="optimise the whole layer",
        group=_LEARNED,
        button="generate-layer",
    ),
    KeyBinding(
        keys=("f4",),
        action="generate all",
        text="optimise every layer",
        group=_LEARNED,
        button="generate-all",
    ),
    KeyBinding(
        keys=("f8",),
        action="next job",
        text="next of several, or all",
        group=_LEARNED,
        button="next-job",
    ),
    KeyBinding(
        keys=("f12",),
        action="pause jobs",
        text="pause that, or go on",
        group=_LEARNED,
        button="pause-jobs",
    ),
    KeyBinding(
        keys=("delete",),
        action="cancel jobs",
        text="cancel that",
        group=_LEARNED,
        button="cancel-jobs",
    ),
    KeyBinding(
        keys=("f9",),
        action="forget moments",
        text="forget all moments, begin anew",
        group=_LEARNED,
        button="forget",
    ),
    KeyBinding(
        keys=("z",),
        action=looking.cycle_zoom,
        text="enlarge unit, then backward",
        group=_VIEW,
        button="zoom",
    ),
    KeyBinding(
        keys=("c",),
        action=colours.cycle_cam,
        text="CAM on, blended, off",
        group=_VIEW,
        button="cam",
    ),
    KeyBinding(
        keys=("y",),
        action=looking.cycle_cam_method,
        text="next CAM method",
        group=_VIEW,
        button="cam-method",
    ),
    KeyBinding(
        keys=(",",),
        action=looking.toggle_labels,
        text="label picture or CAM",
        group=_VIEW,
        button="labels",
    ),
    KeyBinding(
        keys=("g",),
        action=colours.cycle_palette,
        text="maps in colours, grey, JET",
        group=_VIEW,
        button="colours",
    ),
    KeyBinding(
        keys=("v",), action=colours.toggle_smoothing, text="steady colour range", group=_VIEW
    ),
    KeyBinding(
        keys=("t",), action=colours.cycle_gamma, text="dim values brighter (gamma)", group=_VIEW
    ),
    KeyBinding(
        keys=(".",), action=colours.cycle_unit_boost, text="weak units brighter", group=_VIEW
    ),
    KeyBinding(
        keys=(";",),
        action=tracing.toggle_tap,
        text="before or behind the activation",
        group=_VIEW,
        button="tap",
    ),
    KeyBinding(keys=("8",), action=looking.toggle_classes, text="top classes", group=_VIEW),
    KeyBinding(
        keys=("9",),
        action=looking.next_page,
        text="details: show, next page",
        group=_VIEW,
        button="page",
    ),
    KeyBinding(
        keys=("/",),
        action=looking.next_compared,
        text="compare: A, B, difference",
        group=_VIEW,
        button="compared",
    ),
    KeyBinding(
        keys=("-",),
        action=looking.toggle_log_counts,
        text="histograms: linear, log counts",
        group=_VIEW,
        button="counts",
    ),
    KeyBinding(
        keys=("'",),
        action=looking.next_dense_layer,
        text="next dense layer beside",
        group=_VIEW,
        button="beside",
    ),
    KeyBinding(keys=("backspace",), action=looking.reset, text="all as at first", group=_VIEW),
    KeyBinding(
        keys=("space", "f"),
        action=looking.toggle_pause,
        text="hold the picture",
        group=_PROGRAM,
        button="pause",
    ),
    KeyBinding(
        keys=("0",),
        action=looking.cycle_fit,
        text="crop, stretch or letterbox",
        group=_PROGRAM,
        button="fit",
    ),
    KeyBinding(
        keys=("6",),
        action="switch source",
        text="stream or files",
        group=_PROGRAM,
        button="source",
    ),
    KeyBinding(
        keys=("e",), action="next picture", text="next picture", group=_PROGRAM, button="next"
    ),
    KeyBinding(
        keys=("w",),
        action="previous picture",
        text="previous picture",
        group=_PROGRAM,
        button="previous",
    ),
    KeyBinding(
        keys=("x",), action="save", text="save all that is shown", group=_PROGRAM, button="save"
    ),
    KeyBinding(keys=("r",), action="record", text="record a film", group=_PROGRAM, button="record"),
    KeyBinding(
        keys=("5",), action=looking.cycle_timing, text="times of a turn, and memory", group=_PROGRAM
    ),
    KeyBinding(
        keys=("h", "f1", "?"),
        action=looking.toggle_help,
        text="this help",
        group=_PROGRAM,
        button="help",
    ),
    KeyBinding(keys=("q", "escape"), action="leave", text="leave", group=_PROGRAM),
)

_SHOWN: Final = {
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "page-up": "PgUp",
    "page-down": "PgDn",
    "escape": "Esc",
}


def by_key(bindings: Iterable[KeyBinding] = BINDINGS) -> dict[str, KeyBinding]:
    """Key name -> binding.

    Raises:
        AssertionError: Two bindings want the same key; both are named (DVT-45).
    """
    table: dict[str, KeyBinding] = {}
    for binding in bindings:
        for key in binding.keys:
            other = table.get(key)
            assert other is None or other is binding, (
                f"key '{key}' is bound to both '{other.name}' and '{binding.name}'"
            )
            table[key] = binding
    return table


def by_button(bindings: Iterable[KeyBinding] = BINDINGS) -> dict[str, KeyBinding]:
    """Button name -> binding.

    Raises:
        AssertionError: Two bindings want the same button.
    """
    table: dict[str, KeyBinding] = {}
    for binding in bindings:
        if binding.button:
            other = table.get(binding.button)
            assert other is None, (
                f"button '{binding.button}' is bound to both '{other.name}' and '{binding.name}'"
            )
            table[binding.button] = binding
    return table


def help_lines(bindings: Iterable[KeyBinding] = BINDINGS) -> tuple[Binding, ...]:
    """The table for the help overlay; what has no key is left out."""
    return tuple(
        Binding(keys=_shown(binding.keys), text=binding.text, group=binding.group)
        for binding in bindings
        if binding.keys
    )


def key_of(name: str, bindings: Iterable[KeyBinding] = BINDINGS) -> str:
    """The key to teach for a command, as the screen shows it; empty where it has none."""
    binding = next(binding for binding in bindings if binding.name == name)
    return _shown(binding.keys[:1])


def key_table(bindings: Iterable[KeyBinding] = BINDINGS) -> list[tuple[str, str, str]]:
    """(command, keys, what it does), with the names that a `keys:` section takes."""
    return [(binding.name, ", ".join(binding.keys), binding.text) for binding in bindings]


def markdown_table(bindings: Iterable[KeyBinding] = BINDINGS) -> str:
    """The table for the README."""
    lines = ["| key | does | group |", "|---|---|---|"]
    lines += [f"| {line.keys} | {line.text} | {line.group} |" for line in help_lines(bindings)]
    return "\n".join(lines)


def _shown(keys: tuple[str, ...]) -> str:
    named = [_SHOWN.get(key, key if len(key) == 1 else key.capitalize()) for key in keys]
    return " / ".join(named)

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

OfUnits: TypeAlias = Literal["forget moments"] | Generate
"""What is about all that is known of units."""

BetweenTurns: TypeAlias = Literal["save"] | Steer | OfUnits
"""What the engine thread does between two turns."""

Effect: TypeAlias = Literal["leave", "record"] | BetweenTurns
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


_Row: TypeAlias = tuple[str, ViewCommand | Effect, str, str]
"""Keys with spaces between them, the one to teach first; action; text; button, often empty."""


def _group(name: str, *rows: _Row) -> tuple[KeyBinding, ...]:
    """The lines of a group of the table."""
    return tuple(
        KeyBinding(keys=tuple(keys.split()), action=action, text=text, group=name, button=button)
        for keys, action, text, button in rows
    )


BINDINGS: Final = (
    *_group(
        "Move",
        ("left j", moving.move_left, "left", ""),
        ("right l", moving.move_right, "right", ""),
        ("up i", moving.move_up, "up; out of the grid", ""),
        ("down k", moving.move_down, "down; into the grid", ""),
        ("page-up", moving.move_fast_back, "three rows back", ""),
        ("page-down", moving.move_fast_on, "three rows on", ""),
        ("home", moving.move_first, "first", ""),
        ("end", moving.move_last, "last", ""),
        ("tab", moving.switch_cursor, "layers or grid", ""),
        ("u", moving.previous_layer, "previous layer", ""),
        ("o", moving.next_layer, "next layer", ""),
    ),
    *_group(
        "Backward picture",
        ("b", looking.cycle_backward_easily, "next way to look back, or off", "backward"),
        ("n", looking.cycle_rule, "next rule, or off", "rule"),
        ("m", looking.cycle_display, "display: clipped, raw, gray, …", "display"),
        ("p", looking.cycle_seed, "start: max, map, activation, class", ""),
        ("a", tracing.toggle_gradients, "grid: maps or gradients", "gradients"),
        ("d", tracing.toggle_freeze, "keep this unit as the start", "freeze"),
    ),
    *_group(
        "Hands on the network",
        ("1", changing.knock_out, "knock the unit out, or not", "knock-out"),
        ("2", changing.double, "unit ×2, ×4, ×8, ×1", "double"),
        ("3", changing.hold, "hold the unit at its value", "hold"),
        ("[", changing.weaken, "unit a little weaker", "weaken"),
        ("]", changing.strengthen, "unit a little stronger", "strengthen"),
        ("4", changing.undo_change, "undo a change", "undo"),
        ("7", changing.clear_changes, "undo all changes", "clear"),
    ),
    *_group(
        "What units have learned",
        ("s", looking.next_pattern, "tiles: live, optimised, top, moments", "pattern"),
        ("\\", looking.toggle_growing, "grow the unit's picture, or hold", "grow"),
        ("f11", looking.next_beginning, "it begins at noise, at this frame", "beginning"),
        ("insert", "optimised picture as input", "optimised or best as the input", "as-input"),
        ("f3", "generate layer", "optimise the whole layer", "generate-layer"),
        ("f4", "generate all", "optimise every layer", "generate-all"),
        ("f8", "next job", "next of several, or all", "next-job"),
        ("f12", "pause jobs", "pause that, or go on", "pause-jobs"),
        ("delete", "cancel jobs", "cancel that", "cancel-jobs"),
        ("f9", "forget moments", "forget all moments, begin anew", "forget"),
    ),
    *_group(
        "View",
        ("z", looking.cycle_zoom, "enlarge unit, then backward", "zoom"),
        ("c", colours.cycle_cam, "CAM on, blended, off", "cam"),
        ("y", looking.cycle_cam_method, "next CAM method", "cam-method"),
        (",", looking.toggle_labels, "label picture or CAM", "labels"),
        ("g", colours.cycle_palette, "maps in colours, grey, JET", "colours"),
        ("v", colours.toggle_smoothing, "steady colour range", ""),
        ("t", colours.cycle_gamma, "dim values brighter (gamma)", ""),
        (".", colours.cycle_unit_boost, "weak units brighter", ""),
        (";", tracing.toggle_tap, "before or behind the activation", "tap"),
        ("8", looking.toggle_classes, "top classes", ""),
        ("9", looking.next_page, "details: show, next page", "page"),
        ("/", looking.next_compared, "compare: A, B, difference", "compared"),
        ("-", looking.toggle_log_counts, "histograms: linear, log counts", "counts"),
        ("'", looking.next_dense_layer, "next dense layer beside", "beside"),
        ("backspace", looking.reset, "all as at first", ""),
    ),
    *_group(
        "Picture and program",
        ("space f", looking.toggle_pause, "hold the picture", "pause"),
        ("0", looking.cycle_fit, "crop, stretch or letterbox", "fit"),
        ("6", "switch source", "stream or files", "source"),
        ("e", "next picture", "next picture", "next"),
        ("w", "previous picture", "previous picture", "previous"),
        ("x", "save", "save all that is shown", "save"),
        ("r", "record", "record a film", "record"),
        ("5", looking.cycle_timing, "times of a turn, and memory", ""),
        ("h f1 ?", looking.toggle_help, "this help", "help"),
        ("q escape", "leave", "leave", ""),
    ),
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

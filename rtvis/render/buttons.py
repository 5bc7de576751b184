"""Words on the canvas that do what a key does."""

from dataclasses import dataclass
from typing import Final, get_args

from rtvis.choices import BackpropDisplay
from rtvis.data import Fit, Intervention, Rule, Tap
from rtvis.render.grid import Rect
from rtvis.render.learned_plan import LearnedPlan
from rtvis.render.metrics import Metrics
from rtvis.render.text import measure
from rtvis.session import (
    Beginning,
    Compared,
    MapPalette,
    PageName,
    Pattern,
    View,
)

BUTTONS: Final = (
    "previous", "next", "source", "fit", "pause", "record", "save", "help",  # header
    "cam", "cam-method",                # input
    "knock-out", "double", "hold",      # unit
    "labels",                           # classes; where they are folded away, input
    "rule", "display", "backward",      # backward picture
    "freeze", "tap", "gradients", "colours", "zoom",  # grid
    "pattern",                          # grid
    "compared",                         # grid, while two are compared
    "counts", "beside", "forget", "page",  # details
    "weaken", "strengthen", "undo", "clear",  # details, page of changes
    "grow", "beginning", "as-input",    # details, page of what was learned
    "generate-layer", "generate-all", "next-job", "pause-jobs", "cancel-jobs",  # likewise
)  # fmt: skip
"""Names of the things that do what a key does; `hit` gives Target(kind="pane", pane="button:NAME"),
but kind="rule" for the rule."""

PATTERN_NAMES: Final[dict[Pattern, str]] = {
    "maps": "live",
    "optimized": "optimised",
    "top": "top inputs",
    "moments": "moments",
}

COMPARED_NAMES: Final[dict[Compared, str]] = {"first": "A", "second": "B", "difference": "A − B"}

_LEAST_TITLE: Final = 110
"""Pixels that the grid's buttons leave its title at least."""

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "pause": ("pause", "resume"),
    "record": ("record", "stop"),
    "save": ("save",),
    "help": ("help",),
    "cam": ("CAM on", "CAM mix", "CAM off"),
    "labels": ("labels on", "labels off"),
    "freeze": ("freeze", "frozen"),
    "tap": get_args(Tap),
    "gradients": ("maps", "gradients"),
    "source": ("stream", "files"),
    "fit": get_args(Fit),
    "double": ("×2", "×4", "×8"),
    "rule": get_args(Rule),
    "display": get_args(BackpropDisplay),
    "colours": get_args(MapPalette),
    "zoom": ("grid", "unit", "backward"),
    "pattern": tuple(PATTERN_NAMES.values()),
    "grow": ("grow", "hold"),
    "beginning": tuple(f"from {name}" for name in get_args(Beginning)),
    "compared": tuple(COMPARED_NAMES.values()),
    "counts": ("linear", "log"),
    "beside": ("next",),
    "page": get_args(PageName),
}
"""All that a button can say: it is as wide as the longest, so that nothing moves on a click."""


@dataclass(frozen=True, slots=True)
class Button:
    """A word that can be clicked."""

    name: str
    pane: str
    """In whose title row it stands."""
    rect: Rect
    text: str
    changed: bool = False
    """What it does has been done to the selected unit."""


def lay_buttons(
    view: View,
    panes: dict[str, Rect],
    metrics: Metrics,
    *,
    change: Intervention | None = None,
    is_dense: bool = False,
) -> tuple[Button, ...]:
    """Buttons stand at the right ends of title rows, the last one outermost.

    Args:
        view: What they say.
        panes: Whose title rows there are.
        metrics: Sizes at the canvas's scale.
        change: What is done to the selected unit.
        is_dense: The network has a dense output: its label picture has a button.
    """
    active, times = _of_change(change)
    labels_shown = is_dense and view.labels_shown
    zoomed = {"grid": "grid", "unit": "unit", "backprop": "backward"}[view.zoom]
    rows: dict[str, tuple[tuple[str, str], ...]] = {
        "header": (
            *((("previous", "‹"), ("next", "›")) if view.side == "files" else ()),
            *((("source", view.side),) if view.side != "only" else ()),
            ("fit", view.selection.fit),
            ("pause", "resume" if view.paused else "pause"),
            ("record", "stop" if view.recording else "record"),
            ("save", "save"),
            ("help", "help"),
        ),
        "input": (
            ("cam-method", view.selection.cam),
            ("cam", "CAM off" if labels_shown else _cam_words(view)),
        ),
        "unit": (("knock-out", "out"), ("double", times), ("hold", "hold")),
        "backprop": (
            ("rule", view.selection.rule),
            ("display", view.backprop_display),
        ),
        "grid": (
            ("freeze", "freeze" if view.selection.origin is None else "frozen"),
            ("tap", view.selection.tap),
            ("gradients", "gradients" if view.selection.gradients else "maps"),
            ("colours", view.palette),
            ("pattern", PATTERN_NAMES[view.pattern]),
            ("zoom", zoomed),
        ),
        "details": (("page", view.page),),
    }
    if "details" not in panes and panes["header"].width >= 900 * metrics.scale:
        rows["header"] = (*rows["header"][:-1], ("page", "details"), rows["header"][-1])
    if is_dense:  # beside the legend, if there is one
        pane = "classes" if "classes" in panes else "input"
        word = "labels on" if labels_shown else "labels off"
        rows[pane] = (*rows.get(pane, ()), ("labels", word))
    if view.compared != "off":
        rows["grid"] = (("compared", COMPARED_NAMES[view.compared]), *rows["grid"])
    if view.page == "dense":
        rows["details"] = (("beside", "next"), *rows["details"])
    if view.page == "moments":
        rows["details"] = (("forget", "forget"), *rows["details"])
    if view.page == "histogram":
        rows["details"] = (("counts", "log" if view.log_counts else "linear"), *rows["details"])
    buttons = []
    gap_above = metrics.gap // 2
    for pane, words in rows.items():
        if pane not in panes:
            continue
        height = metrics.row - metrics.gap // 2
        bar = panes[pane]
        bar_height = metrics.title
        right = bar.right - metrics.gap
        for name, text in reversed(words):
            said = (text,) if pane == "header" and name == "page" else _WORDS.get(name, (text,))
            widest = max(measure(word, metrics.text) for word in said)
            width = widest + 2 * (metrics.pad * 3 // 4)
            if pane == "grid" and right - width < bar.left + _LEAST_TITLE * metrics.scale:
                break  # its key does the same
            right -= width
            top = bar.top + (bar_height - height) // 2 + (gap_above if pane == "header" else 0)
            rect = Rect(top, right, height, width)
            buttons.append(Button(name, pane, rect, text, changed=name == active))
            right -= metrics.gap // 2
    # The name of the backward pane is its switch, at the left end.
    backprop = panes["backprop"]
    width = measure("backward", metrics.text) + 2 * (metrics.pad * 3 // 4)
    height = metrics.row - metrics.gap // 2
    top = backprop.top + (metrics.title - height) // 2
    left = Rect(top, backprop.left + metrics.gap, height, width)
    buttons.append(Button("backward", "backprop", left, "backward"))
    return tuple(reversed(buttons))


def lay_change_buttons(row: Rect, metrics: Metrics) -> tuple[Button, ...]:
    """A row of buttons on the page of changes, the first ones at its left end."""
    buttons = []
    height = metrics.row - metrics.gap // 2
    left, right = row.left, row.right
    words = (("weaken", "−"), ("strengthen", "+"), ("undo", "undo"), ("clear", "clear all"))
    for name, text in words[:2]:
        buttons.append(Button(name, "details", Rect(row.top, left, height, height), text))
        left += height + metrics.gap // 2
    for name, text in reversed(words[2:]):
        width = measure(text, metrics.text) + 2 * (metrics.pad * 3 // 4)
        right -= width
        buttons.append(Button(name, "details", Rect(row.top, right, height, width), text))
        right -= metrics.gap // 2
    return tuple(buttons)


def lay_learned_buttons(view: View, plan: LearnedPlan, metrics: Metrics) -> tuple[Button, ...]:
    """Two rows on the page of what was learned: for the unit, and for more than one."""
    rows = (
        (
            plan.buttons,
            (
                ("grow", "hold" if view.growing else "grow"),
                ("beginning", f"from {view.beginning}"),
                ("as-input", "as input"),
            ),
        ),
        (
            plan.job_buttons,
            (
                ("generate-layer", "layer"),
                ("generate-all", "all"),
                ("next-job", "next"),
                ("pause-jobs", "pause"),
                ("cancel-jobs", "cancel"),
            ),
        ),
    )
    buttons = []
    gap = metrics.gap // 2
    for row, words in rows:
        left, height = row.left, metrics.row - gap
        widths = [
            max(measure(word, metrics.text) for word in _WORDS.get(name, (text,)))
            for name, text in words
        ]
        room = row.width - sum(widths) - gap * (len(words) - 1)
        pad = min(room // len(words), 2 * (metrics.pad * 3 // 4))
        for (name, text), width in zip(words, widths, strict=True):
            rect = Rect(row.top + (metrics.row - height) // 2, left, height, width + pad)
            buttons.append(Button(name, "details", rect, text))
            left = rect.right + gap
    return tuple(buttons)


def _of_change(change: Intervention | None) -> tuple[str, str]:
    """Name of the button whose work a change is, and what "double" says."""
    times = _WORDS["double"]
    if change is None:
        return "", times[0]
    if change.scale == 0:
        return "hold" if change.offset else "knock-out", times[0]
    exact = f"×{change.scale:g}"
    return "double", exact if exact in times else times[0]


def _cam_words(view: View) -> str:
    if not view.cam_shown:
        return "CAM off"
    return "CAM on" if view.cam_style == "alpha" else "CAM mix"

"""Words on the canvas that do what a key does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, get_args

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
    rows = _always(view, times=times, labels_shown=is_dense and view.labels_shown)
    header = panes.get("header")
    if "details" not in panes and header is not None and header.width >= 900 * metrics.scale:
        rows["header"] = (*rows["header"][:-1], ("page", "details"), rows["header"][-1])
    if is_dense:  # beside the legend, if there is one
        pane = "classes" if "classes" in panes else "input"
        word = "labels on" if view.labels_shown else "labels off"
        rows[pane] = (*rows.get(pane, ()), ("labels", word))
    if view.compared != "off":
        rows["grid"] = (("compared", COMPARED_NAMES[view.compared]), *rows["grid"])
    buttons = []
    for pane, words in rows.items():
        if pane in panes and pane != "backprop":
            buttons += _title_row(pane, panes[pane], words, metrics, active=active)
    if "backprop" in panes:
        buttons += _backward_row(panes["backprop"], rows["backprop"], metrics)
    return tuple(reversed(buttons))


_Said: TypeAlias = tuple[tuple[str, str], ...]
"""Names of buttons, from left to right, and what they say."""


def _always(view: View, *, times: str, labels_shown: bool) -> dict[str, _Said]:
    """The buttons of each pane, whatever the canvas has room for."""
    zoomed = {"grid": "grid", "unit": "unit", "backprop": "backward"}[view.zoom]
    of_page: dict[PageName, _Said] = {
        "dense": (("beside", "next"),),
        "moments": (("forget", "forget"),),
        "histogram": (("counts", "log" if view.log_counts else "linear"),),
    }
    return {
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
        "details": (*of_page.get(view.page, ()), ("page", view.page)),
    }


def _title_row(pane: str, bar: Rect, said: _Said, metrics: Metrics, *, active: str) -> list[Button]:
    """Buttons at the right end of a pane's title row, the outermost first."""
    buttons = []
    gap, height, right = metrics.gap // 2, _height(metrics), bar.right - metrics.gap
    top = bar.top + (metrics.title - height) // 2 + (gap if pane == "header" else 0)
    for name, text in reversed(said):
        is_folded = pane == "header" and name == "page"
        width = _width((text,) if is_folded else _WORDS.get(name, (text,)), metrics)
        if pane == "grid" and right - width < bar.left + _LEAST_TITLE * metrics.scale:
            break  # its key does the same
        right -= width
        rect = Rect(top, right, height, width)
        buttons.append(Button(name, pane, rect, text, changed=name == active))
        right -= gap
    return buttons


def _backward_row(bar: Rect, said: _Said, metrics: Metrics) -> list[Button]:
    """Those at the right end as elsewhere, and at the left end the pane's name, its switch.

    In a narrow pane all three are closer about their words; where they do not fit even so, the
    last one is left out: its key does the same.
    """
    gap, height = metrics.gap // 2, _height(metrics)
    top = bar.top + (metrics.title - height) // 2
    all_said = (("backward", "backward"), *said)
    widths = [max(measure(w, metrics.text) for w in _WORDS.get(n, (t,))) for n, t in all_said]
    room = bar.width - 2 * metrics.gap - gap * len(said) - sum(widths)
    if room < 0 and len(said) > 1:
        return _backward_row(bar, said[:-1], metrics)
    pad = min(max(room // len(all_said), 0), _padding(metrics))
    right = bar.right - metrics.gap
    buttons = []
    for (name, text), width in reversed([*zip(all_said, widths, strict=True)]):
        left = bar.left + metrics.gap if name == "backward" else right - width - pad
        buttons.append(Button(name, "backprop", Rect(top, left, height, width + pad), text))
        right = left - gap
    return buttons


def _height(metrics: Metrics) -> int:
    return metrics.row - metrics.gap // 2


def _padding(metrics: Metrics) -> int:
    """Left and right of a button's word, together."""
    return 2 * (metrics.pad * 3 // 4)


def _width(words: Sequence[str], metrics: Metrics) -> int:
    """Of a button that can say these."""
    return max(measure(word, metrics.text) for word in words) + _padding(metrics)


def lay_change_buttons(row: Rect, metrics: Metrics) -> tuple[Button, ...]:
    """A row of buttons on the page of changes, the first ones at its left end."""
    buttons = []
    height, left, right = _height(metrics), row.left, row.right
    words = (("weaken", "−"), ("strengthen", "+"), ("undo", "undo"), ("clear", "clear all"))
    for name, text in words[:2]:
        buttons.append(Button(name, "details", Rect(row.top, left, height, height), text))
        left += height + metrics.gap // 2
    for name, text in reversed(words[2:]):
        width = _width((text,), metrics)
        right -= width
        buttons.append(Button(name, "details", Rect(row.top, right, height, width), text))
        right -= metrics.gap // 2
    return tuple(buttons)


def lay_learned_buttons(view: View, plan: LearnedPlan, metrics: Metrics) -> tuple[Button, ...]:
    """Two rows on the page of what was learned: for the unit, and for more than one."""
    of_unit: _Said = (
        ("grow", "hold" if view.growing else "grow"),
        ("beginning", f"from {view.beginning}"),
        ("as-input", "as input"),
    )
    of_many: _Said = (
        ("generate-layer", "layer"),
        ("generate-all", "all"),
        ("next-job", "next"),
        ("pause-jobs", "pause"),
        ("cancel-jobs", "cancel"),
    )
    buttons = []
    gap = metrics.gap // 2
    for row, words in ((plan.buttons, of_unit), (plan.job_buttons, of_many)):
        left, height = row.left, _height(metrics)
        widths = [
            max(measure(word, metrics.text) for word in _WORDS.get(name, (text,)))
            for name, text in words
        ]
        room = row.width - sum(widths) - gap * (len(words) - 1)
        pad = min(room // len(words), _padding(metrics))
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

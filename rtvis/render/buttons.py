"""Words on the canvas that do what a key does."""

from dataclasses import dataclass
from typing import Final, get_args

from rtvis.data import Fit, Rule
from rtvis.render.grid import Rect
from rtvis.render.metrics import Metrics
from rtvis.render.text import measure
from rtvis.session import BackpropDisplay, PageName, View

BUTTONS: Final = (
    "source", "fit", "pause", "record", "save", "help",  # header
    "cam", "cam-method",                # input
    "rule", "display", "backward",      # backward picture
    "colours", "zoom",                  # grid
    "counts", "page",                   # details
)  # fmt: skip
"""Names of the things that do what a key does; `hit` gives Target(kind="pane", pane="button:NAME"),
but kind="rule" for the rule."""

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "pause": ("pause", "resume"),
    "record": ("record", "stop"),
    "save": ("save",),
    "help": ("help",),
    "cam": ("CAM on", "CAM off"),
    "source": ("stream", "files"),
    "fit": get_args(Fit),
    "rule": get_args(Rule),
    "display": get_args(BackpropDisplay),
    "colours": ("colour", "grey"),
    "zoom": ("grid", "unit", "backward"),
    "counts": ("linear", "log"),
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


def lay_buttons(view: View, panes: dict[str, Rect], metrics: Metrics) -> tuple[Button, ...]:
    """Buttons stand at the right ends of title rows, the last one outermost."""
    zoomed = {"grid": "grid", "unit": "unit", "backprop": "backward"}[view.zoom]
    rows: dict[str, tuple[tuple[str, str], ...]] = {
        "header": (
            *((("source", view.side),) if view.side != "only" else ()),
            ("fit", view.selection.fit),
            ("pause", "resume" if view.paused else "pause"),
            ("record", "stop" if view.recording else "record"),
            ("save", "save"),
            ("help", "help"),
        ),
        "input": (
            ("cam-method", view.selection.cam),
            ("cam", "CAM on" if view.cam_shown else "CAM off"),
        ),
        "backprop": (
            ("rule", view.selection.rule),
            ("display", view.backprop_display),
        ),
        "grid": (("colours", "colour" if view.coloured else "grey"), ("zoom", zoomed)),
        "details": (("page", view.page),),
    }
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
            widest = max(measure(word, metrics.text) for word in _WORDS.get(name, (text,)))
            width = widest + 2 * (metrics.pad * 3 // 4)
            right -= width
            top = bar.top + (bar_height - height) // 2 + (gap_above if pane == "header" else 0)
            buttons.append(Button(name, pane, Rect(top, right, height, width), text))
            right -= metrics.gap // 2
    # The name of the backward pane is its switch, at the left end.
    backprop = panes["backprop"]
    width = measure("backward", metrics.text) + 2 * (metrics.pad * 3 // 4)
    height = metrics.row - metrics.gap // 2
    top = backprop.top + (metrics.title - height) // 2
    left = Rect(top, backprop.left + metrics.gap, height, width)
    buttons.append(Button("backward", "backprop", left, "backward"))
    return tuple(reversed(buttons))

"""What the bars say: who looks at what, what is selected, and how fast it goes."""

from rtvis.data import Health, Layer, Origin, Selection
from rtvis.render.job_words import jobs_beside
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.strip import short_names
from rtvis.render.text import SEMIBOLD, Font, Run, line_width, measure
from rtvis.render.wording import age, bright, class_name, dim, figure, num_changes, number, share
from rtvis.session import View
from rtvis.theme import Ink
from rtvis.timing import CURRENT_S

_RULE_WORDS = {
    "gradient": "gradient",
    "guided": "guided backprop",
    "deconvnet": "deconvnet",
}

_OF_NO_CLASS = {"eigen-cam", "rollout"}
"""Methods that show what the network looks at, whatever it takes it for."""


def classes_title(scene: Scene) -> str:
    """What the list of classes counts."""
    if scene.result is None or scene.result.dense_BKHW is None:
        return _compared_title(scene)
    return "share of pixels" if scene.result.labels_BHW is not None else "output map"


def _compared_title(scene: Scene) -> str:
    if scene.pair is None:
        return "top classes"
    if scene.pair.same_classes:
        return "differences" if scene.view.compared == "difference" else "top classes"
    return f"top classes of {'B' if scene.view.compared == 'second' else 'A'}"


def header(scene: Scene) -> tuple[Run, ...]:
    """Who is looking at what with what."""
    form = f"{scene.device} {scene.form}"
    picture = scene.picture_name if scene.picture_name != scene.source_name else ""
    parts = [
        bright(scene.network),
        _weights(scene.weights_note),  # before names that may be long
        bright(scene.source_name),
        bright(picture),
        dim(form),
        dim(scene.compile_note),
        dim(jobs_beside(scene)),
    ]
    runs = [Run("rtvis", Ink.TEXT, SEMIBOLD), dim("    ")]
    for index, part in enumerate(part for part in parts if part.text):
        runs += [dim("  ·  "), part] if index else [part]
    return tuple(runs)


def _weights(note: str) -> Run:
    """Whose weights they are; random ones are a warning."""
    is_random = any(part.endswith("random weights") for part in note.split(", "))
    return Run(note, Ink.WARNING if is_random else Ink.TEXT)


def state(scene: Scene) -> Run:
    """What the source or the user has brought the picture to, in one or two words."""
    source = scene.source
    if source.state == "reconnecting":
        return Run(f"reconnecting {age(scene.now_ns, source.since_ns)}", Ink.WARNING, SEMIBOLD)
    if source.state == "failed":
        return Run("source failed", Ink.WARNING, SEMIBOLD)
    if scene.view.paused:
        return Run("paused", Ink.TEXT, SEMIBOLD)
    if source.state == "live":
        return dim("still" if scene.is_still else "live")
    return bright("opening" if source.state == "opening" else "ended")


def pattern_facts(scene: Scene, num_units: int, width: int, font: Font) -> str:
    """How many of a layer's pictures there are, and what makes the others, as far as a width in
    pixels has room for it; empty while the grid shows maps."""
    pattern = scene.pattern
    if pattern is None:
        return ""
    num_there = len(pattern.tiles)
    counts = f"{num_there} of {num_units}"
    told: list[str] = []
    if pattern.is_loading:
        told = [f"{counts}, looking for more"]
    elif num_there < num_units:
        told = [f"{counts}; {note}" for note in pattern.notes]
    # A number that is cut off would be another number.
    told += [counts, f"{num_there}/{num_units}"]
    return next((text for text in told if measure(text, font) <= width), "")


def gradients_from(scene: Scene, width: int, font: Font) -> str:
    """Whose gradients the grid shows, as far as a width in pixels has room for it; empty while it
    shows activations."""
    result = scene.result
    if result is None or result.grads_BCHW is None:
        return ""
    chosen = result.selection
    start = chosen.origin or chosen
    names = tuple(layer.name for layer in scene.layers)
    short = dict(zip(names, short_names(names), strict=True)).get(start.layer or "", start.layer)
    unit, by_rule = start.unit or 0, _RULE_WORDS[chosen.rule]
    told: tuple[str, ...] = (
        f"gradients of {start.layer}:{unit}, {by_rule}",
        f"gradients of {start.layer}:{unit}",
        f"gradients of {short}:{unit}",
        f"of {short}:{unit}",  # the button beside it says of what kind
    )
    if chosen.starts_at_score("attention" if _attends(scene, start.layer) else "conv"):
        what = "gradients of the class score"
        told = (f"{what}, {by_rule}", what, "of the class score")
    return next((text for text in told if measure(text, font) <= width), "")


def status(
    scene: Scene, layer: Layer, name: str, readout: Readout, font: Font, *, narrow: bool = False
) -> tuple[Run, ...]:
    """What is selected and how it is shown (DVT-29); where it is narrow in fewer words."""
    if scene.maps_note:
        return (dim(scene.maps_note),)
    result = scene.result
    assert result is not None, "there is a status line only for a result"
    chosen = result.selection
    runs = _selected(scene, layer, name, readout, font)
    runs += _changes(scene, readout)
    runs += _backward(scene, chosen, narrow=narrow)
    if _is_boosted(scene.view):
        boost = f"{scene.view.unit_boost:g}/{scene.view.gamma:g}"
        runs += [dim("   ·   boost "), bright(boost)]
    if scene.view.cam_shown:
        runs += [dim("   ·   "), bright(chosen.cam)]
        if chosen.cam not in _OF_NO_CLASS:
            runs += [dim(" of "), bright(class_name(scene.labels, readout.class_index))]
        if readout.health & Health.CAM_ZERO:
            runs += [dim(": "), Run(Health.TEXTS[Health.CAM_ZERO], Ink.WARNING)]
    if chosen.region is not None:
        at = dim(" at " if scene.view.cam_shown else "   ·   at ")
        runs += [at, bright(_place(chosen.region))]
    if scene.rule_note and scene.view.backward_shown:
        runs += [dim("   ·   "), dim(scene.rule_note)]
    return tuple(runs)


def num_added(scene: Scene) -> int:
    """How many things stand in the status line that are not there at first."""
    view, chosen = scene.view, scene.view.selection
    return sum(
        (
            chosen.region is not None,
            chosen.origin is not None,
            bool(chosen.interventions),
            _is_boosted(view),
        )
    )


def _is_boosted(view: View) -> bool:
    return view.gamma != 1 or bool(view.unit_boost)


def _selected(scene: Scene, layer: Layer, name: str, readout: Readout, font: Font) -> list[Run]:
    """The selected unit and its value, in a width that does not depend on the value."""
    assert scene.result is not None, "there is a status line only for a result"
    chosen = scene.result.selection
    runs = [
        Run(f"{name}:{chosen.unit or 0}", Ink.SELECTED),
        dim(_value_word(scene, chosen)),
        bright(number(readout.value)),
    ]
    widest = f"{runs[0].text}{runs[1].text}−0.000"
    if layer.map_size != (1, 1):
        row, column = readout.position
        runs += [dim(" at "), bright(f"({row}, {column})")]
        widest += f" at ({layer.map_size[0] - 1}, {layer.map_size[1] - 1})"
    # What follows stays in place while value and position change.
    spare = measure(widest, font) - line_width(tuple(runs), font)
    return [*runs, Run("", Ink.DIM, width=max(spare, 0))]


def _backward(scene: Scene, chosen: Selection, *, narrow: bool) -> list[Run]:
    """How the backward picture is made, or that there is none."""
    if not scene.view.backward_shown:
        return [dim("   ·   backward "), bright("off")]
    seed = {
        "max": "maximum",
        "map": "whole map",
        "activation": "map × itself",
        "score": "class score",
    }
    begins = chosen.origin or chosen
    is_neuron = begins.position is not None and not _attends(scene, begins.layer)
    start = "neuron" if is_neuron else seed[chosen.seed or "max"]
    return [
        dim("   ·   "),
        Run(chosen.rule if narrow else _RULE_WORDS[chosen.rule], Ink.SOURCE),
        dim(" from " if narrow else " from the "),
        bright(start),
        *_origin(chosen.origin),
        dim(", "),
        bright(scene.view.backprop_display),
    ]


def _attends(scene: Scene, name: str | None) -> bool:
    return any(each.name == name and each.kind == "attention" for each in scene.layers)


def _changes(scene: Scene, readout: Readout) -> list[Run]:
    """How many units are changed, and what that does to the network's best class."""
    assert scene.result is not None, "there is a status line only for a result"
    changes = scene.result.selection.interventions
    if not changes:
        return []
    runs = [dim("   ·   "), Run(num_changes(len(changes)), Ink.CHANGED)]
    if readout.moved is not None:
        top = readout.moved.top
        runs += [
            dim(f"  {class_name(scene.labels, top.class_index)} "),
            bright(f"{share(top.before)} → {share(top.after)}"),
        ]
    return runs


def _origin(origin: Origin | None) -> tuple[Run, ...]:
    """Where the backward pass starts, if not where one looks."""
    if origin is None:
        return ()
    return dim(" of "), Run(f"{origin.layer}:{origin.unit}", Ink.SOURCE)


def _place(region: tuple[int, int, int, int]) -> str:
    """A region of a dense output, or its one pixel."""
    top, left, height, width = region
    place = f"({top}, {left})"
    return place if (height, width) == (1, 1) else f"{place}, {height}×{width} px"


def _value_word(scene: Scene, chosen: Selection) -> str:
    """What the selected unit's number is."""
    if scene.view.compared == "difference":
        return "  A − B "
    is_max = chosen.position is None or _attends(scene, chosen.layer)
    return "  max " if is_max else "  value "


def rates(
    scene: Scene, font: Font, *, short: bool = False, narrow: bool = False
) -> tuple[Run, ...]:
    """Captured, processed and shown pictures a second, and what was dropped; or, where it is
    short, the shown ones and their latency. Where it is narrow the three have no names."""
    now = scene.rates
    # A picture by itself is shown again when something beside it changes: that is no rate.
    is_current = now.frame_age_s <= CURRENT_S and not scene.is_still

    def rate(value: float) -> Run:
        return figure(f"{value:.1f}" if is_current else "–", "000.0", font)

    runs = []
    if narrow:
        runs += [rate(now.captured_fps), dim(" →"), rate(now.processed_fps), dim(" →")]
    elif not short:
        runs += [dim("captured"), rate(now.captured_fps), dim("  processed")]
        runs += [rate(now.processed_fps), dim("  shown")]
    runs += [rate(now.shown_fps), dim(" fps")]
    if short:
        latency = f"{now.latency_ms:.0f}" if now.latency_ms and is_current else "–"
        runs += [dim("   ·"), figure(latency, "0000", font), dim(" ms")]
    else:
        colour = Ink.TEXT if now.num_dropped else Ink.DIM
        dropped = f"{now.num_dropped}"
        runs += [dim("   ·   dropped "), figure(dropped, "0" * max(4, len(dropped)), font, colour)]
    return tuple(runs)

"""What the text on the canvas says. Pure: a scene and a readout in, words out."""

import math

from rtvis.data import NO_GRADIENT_PATH, Health, Intervention, Layer, Origin, Selection, Target
from rtvis.render import lut
from rtvis.render.job_words import jobs_beside
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.text import SEMIBOLD, Run, line_width, measure
from rtvis.timing import CURRENT_S

_RULE_WORDS = {
    "gradient": "gradient",
    "guided": "guided backprop",
    "deconvnet": "deconvnet",
}


def number(value: float) -> str:
    """A value in at most seven characters, with three digits or more."""
    if math.isnan(value):
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "inf" if value > 0 else "−inf"
    size = abs(value)
    if size and (size < 0.001 or size >= 100_000):
        mantissa, exponent = f"{size:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{size:.{3 if size < 1 else 2 if size < 10 else 1 if size < 1000 else 0}f}"
    # A true minus is as wide as a digit, and zero has no sign.
    return f"−{text}" if value < 0 and float(text) else text


def signed_share(r: float) -> str:
    """A number in -1..1 with two digits and no zero in front, with a true minus."""
    text = f"{abs(r):.2f}".removeprefix("0")
    return f"−{text}" if r < 0 and float(text) else text


def age(now_ns: int, since_ns: int) -> str:
    """Time gone by, as "0.4 s", "12 s" or "3 min"."""
    seconds = max(now_ns - since_ns, 0) / 1e9
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min"


def time_left(seconds: float | None) -> str:
    """How long something still takes: "12 s left", "3 min left"; empty where nobody knows."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 6000 else f"{seconds / 3600:.0f} h left"


def class_name(labels: tuple[str, ...] | None, index: int) -> str:
    """The first of a class's names, or its number where there are no names."""
    if labels is not None and 0 <= index < len(labels):
        return labels[index].split(",")[0]
    return f"class {index}"


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


def dim(text: str) -> Run:
    """A label."""
    return Run(text, lut.DIM)


def bright(text: str) -> Run:
    """A value."""
    return Run(text, lut.TEXT)


def figure(text: str, template: str, size: int, colour: int = lut.TEXT) -> Run:
    """A number set flush right in the width of `template`, so that the rest stays in place."""
    return Run(text, colour, width=measure(template, size))


def share(probability: float, digits: int = 2) -> str:
    """A probability without its leading zero: ".95"."""
    return f"{probability:.{digits}f}".removeprefix("0")


def change_sign(change: Intervention) -> str:
    """What is done to a unit, for a list: "out", "= 3.10" or "×2"."""
    if change.scale == 0:
        return f"= {number(change.offset)}" if change.offset else "out"
    times = f"×{change.scale:g}".replace("-", "−")
    if not change.offset:
        return times
    return f"{times} {'−' if change.offset < 0 else '+'} {number(abs(change.offset))}"


def change_words(change: Intervention) -> str:
    """The same in a sentence: "knocked out", "held at 3.10", "×2"."""
    if change.scale == 0:
        return f"held at {number(change.offset)}" if change.offset else "knocked out"
    return change_sign(change)


def num_changes(num: int) -> str:
    """ "1 change", "3 changes"."""
    return f"{num} change" if num == 1 else f"{num} changes"


def header(scene: Scene) -> tuple[Run, ...]:
    """Who is looking at what with what."""
    form = f"{scene.device} {scene.form}"
    picture = scene.picture_name if scene.picture_name != scene.source_name else ""
    parts = [
        bright(scene.network),
        Run(scene.weights_note, lut.WARNING),  # before names that may be long
        bright(scene.source_name),
        bright(picture),
        dim(form),
        dim(scene.compile_note),
        dim(jobs_beside(scene)),
    ]
    runs = [Run("rtvis", lut.TEXT, SEMIBOLD), dim("    ")]
    for index, part in enumerate(part for part in parts if part.text):
        runs += [dim("  ·  "), part] if index else [part]
    return tuple(runs)


def state(scene: Scene) -> Run:
    """What the source or the user has brought the picture to, in one or two words."""
    source = scene.source
    if source.state == "reconnecting":
        return Run(f"reconnecting {age(scene.now_ns, source.since_ns)}", lut.WARNING, SEMIBOLD)
    if source.state == "failed":
        return Run("source failed", lut.WARNING, SEMIBOLD)
    if scene.view.paused:
        return Run("paused", lut.TEXT, SEMIBOLD)
    if source.state == "live":
        return dim("live")
    return bright("opening" if source.state == "opening" else "ended")


def input_message(scene: Scene) -> str:
    """Why there is no picture."""
    if (scene.image_HW3 if scene.pair is None else scene.pair.first.image_HW3) is not None:
        return ""
    return scene.source.message or {
        "opening": "opening the source",
        "reconnecting": "waiting for the source",
        "failed": "the source failed",
    }.get(scene.source.state, "no picture yet")


def network_message(scene: Scene) -> str:
    """Why there are no maps."""
    if scene.result is not None:
        return scene.maps_note
    return scene.error_note or "waiting for the first result"


def grid_message(scene: Scene, readout: Readout) -> str:
    """Why there are no maps, or no gradients at the layer."""
    result = scene.result
    gradients = result is not None and result.grads_BCHW is not None and scene.pattern is None
    if result is None or not gradients or not readout.health & Health.GRADS_ZERO:
        return network_message(scene)
    text = Health.TEXTS[Health.GRADS_ZERO]
    order = [layer.name for layer in scene.layers]
    origin = result.selection.origin
    shown = result.selection.layer
    if origin is not None and shown is not None and order.index(shown) > order.index(origin.layer):
        return f"{text}: it comes after {origin.layer}, where the backward pass starts"
    if readout.health & Health.ORIGIN_ZERO:
        return f"{text}: {Health.TEXTS[Health.ORIGIN_ZERO]}"
    return text


def pattern_facts(scene: Scene, num_units: int) -> str:
    """How many of a layer's pictures there are; empty while the grid shows maps."""
    pattern = scene.pattern
    if pattern is None:
        return ""
    counts = f"{len(pattern.tiles)} of {num_units}"
    if pattern.is_loading:
        return f"{counts}, looking for more"
    return f"{counts}; {pattern.note}" if len(pattern.tiles) < num_units else counts


def gradients_from(scene: Scene) -> str:
    """Whose gradients the grid shows; empty while it shows activations."""
    result = scene.result
    if result is None or result.grads_BCHW is None:
        return ""
    start = result.selection.origin or result.selection
    return f"gradients of {start.layer}:{start.unit or 0}, {_RULE_WORDS[result.selection.rule]}"


def backward_message(scene: Scene, readout: Readout) -> str:
    """Why there is no backward picture, or that it would be empty."""
    if scene.result is None:
        return network_message(scene)
    if not (scene.view.backward_shown and scene.result.selection.backward):
        return "off"
    if scene.maps_note or scene.backward_note:
        return scene.maps_note or scene.backward_note
    reasons = Health.GRADIENT_ZERO | Health.GRADIENT_NAN | Health.GRADIENT_INF
    bits = readout.health & reasons
    if bits & Health.GRADIENT_ZERO:
        return _why_zero(scene, scene.result.selection, readout.health)
    return Health.texts(bits)[0] if bits else ""


def _why_zero(scene: Scene, chosen: Selection, health: int) -> str:
    """Why the gradient at the input is zero, as far as that is known."""
    start = chosen.origin or chosen
    change = chosen.change_of(start.layer or "", start.unit or 0)
    if change is not None and change.scale == 0:
        return f"the unit is {change_words(change)}: it depends on no input"
    layer = next((each for each in scene.layers if each.name == start.layer), None)
    if layer is not None and not layer.reaches_input:
        return NO_GRADIENT_PATH
    text = Health.TEXTS[Health.GRADIENT_ZERO]
    if health & Health.ORIGIN_ZERO:
        frozen = chosen.origin is not None
        text += ": " + Health.TEXTS[Health.ORIGIN_ZERO if frozen else Health.UNIT_ZERO]
    return text


_BETWEEN = "  ·  "


def layer_facts(layer: Layer) -> str:
    """Kind, units, map size, receptive field and stride of a layer."""
    height, width = layer.map_size
    if layer.kind == "dense" and layer.map_size == (1, 1):
        return f"dense  ·  {layer.num_units} units"
    field = _pair(layer.receptive_field)
    stride = _pair(layer.stride)
    if layer.kind == "attention":
        return f"attention  ·  {layer.num_units} heads over {height}×{width}  ·  stride {stride}"
    kind = "" if layer.kind == "conv" else "dense  ·  "
    return f"{kind}{layer.num_units} maps of {height}×{width}  ·  rf {field} px  ·  stride {stride}"


def layer_facts_within(layer: Layer, width: int, size: int) -> str:
    """As much of `layer_facts`, from the left, as a width in pixels has room for."""
    facts = layer_facts(layer).split(_BETWEEN)
    while len(facts) > 1 and measure(_BETWEEN.join(facts), size) > width:
        facts.pop()
    text = _BETWEEN.join(facts)
    return text if measure(text, size) <= width else f"{layer.num_units} maps"


def query(layer: Layer, position: tuple[int, int] | None) -> str:
    """Who asks at attention."""
    if position is None:
        return layer.query
    return f"row {position[0]}, column {position[1]}"


def _pair(sizes: tuple[float, float]) -> str:
    return f"{sizes[0]:g}" if sizes[0] == sizes[1] else f"{sizes[0]:g}×{sizes[1]:g}"


def details(scene: Scene, layer: Layer, readout: Readout) -> list[tuple[str, str]]:
    """(label, value) rows about the selected unit."""
    rows = [
        ("layer", layer.name),
        ("value", number(readout.value)),
        ("at", f"row {readout.position[0]}, column {readout.position[1]}"),
        ("unit's range", f"{number(readout.unit_low)} … {number(readout.unit_high)}"),
        ("layer's range", f"{number(readout.low)} … {number(readout.high)}"),
    ]
    if layer.map_size == (1, 1):
        del rows[2:4]
    if layer.kind == "attention" and scene.result is not None:
        rows.insert(1, ("query", query(layer, scene.result.selection.position)))
    if scene.view.backward_shown:
        rows.append(("gradient up to", number(readout.gradient_max)))
    if layer.map_size != (1, 1) and layer.kind != "attention":
        rows.append(("receptive field", f"{_pair(layer.receptive_field)} px"))
    return rows


def status(scene: Scene, layer: Layer, name: str, readout: Readout, size: int) -> tuple[Run, ...]:
    """What is selected and how it is shown (DVT-29)."""
    if scene.maps_note:
        return (dim(scene.maps_note),)
    result = scene.result
    assert result is not None, "there is a status line only for a result"
    chosen = result.selection
    row, column = readout.position
    runs = [
        Run(f"{name}:{chosen.unit or 0}", lut.SELECTED),
        dim(_value_word(scene, chosen)),
        bright(number(readout.value)),
    ]
    widest = f"{runs[0].text}{runs[1].text}−0.000"
    if layer.map_size != (1, 1):
        runs += [dim(" at "), bright(f"({row}, {column})")]
        widest += f" at ({layer.map_size[0] - 1}, {layer.map_size[1] - 1})"
    # What follows stays in place while value and position change.
    spare = measure(widest, size) - line_width(tuple(runs), size)
    runs.append(Run("", lut.DIM, width=max(spare, 0)))
    runs += _changes(scene, readout)
    if scene.view.backward_shown:
        seed = {"max": "maximum", "map": "whole map", "activation": "map × itself"}
        begins = chosen.origin or chosen
        is_neuron = begins.position is not None and not _attends(scene, begins.layer)
        start = "neuron" if is_neuron else seed[chosen.seed or "max"]
        runs += [
            dim("   ·   "),
            Run(_RULE_WORDS[chosen.rule], lut.SOURCE),
            dim(" from the "),
            bright(start),
            *origin_runs(chosen.origin),
            dim(", "),
            bright(scene.view.backprop_display),
        ]
    else:
        runs += [dim("   ·   backward "), bright("off")]
    if scene.view.gamma != 1 or scene.view.unit_boost:
        boost = f"{scene.view.unit_boost:g}/{scene.view.gamma:g}"
        runs += [dim("   ·   boost "), bright(boost)]
    if scene.view.cam_shown:
        runs += [
            dim("   ·   "),
            bright(chosen.cam),
            dim(" of "),
            bright(class_name(scene.labels, readout.class_index)),
        ]
    if chosen.region is not None:
        runs += [
            dim(" at " if scene.view.cam_shown else "   ·   at "),
            bright(region(chosen.region)),
        ]
    if scene.rule_note and scene.view.backward_shown:
        runs += [dim("   ·   "), dim(scene.rule_note)]
    return tuple(runs)


def _attends(scene: Scene, name: str | None) -> bool:
    return any(each.name == name and each.kind == "attention" for each in scene.layers)


def _changes(scene: Scene, readout: Readout) -> list[Run]:
    """How many units are changed, and what that does to the network's best class."""
    assert scene.result is not None, "there is a status line only for a result"
    changes = scene.result.selection.interventions
    if not changes:
        return []
    runs = [dim("   ·   "), Run(num_changes(len(changes)), lut.CHANGED)]
    if readout.moved is not None:
        top = readout.moved.top
        runs += [
            dim(f"  {class_name(scene.labels, top.class_index)} "),
            bright(f"{share(top.before)} → {share(top.after)}"),
        ]
    return runs


def origin_runs(origin: Origin | None) -> tuple[Run, ...]:
    """Where the backward pass starts, if not where one looks."""
    if origin is None:
        return ()
    return dim(" of "), Run(f"{origin.layer}:{origin.unit}", lut.SOURCE)


def region(region: tuple[int, int, int, int]) -> str:
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


def rates(scene: Scene, size: int, *, short: bool = False) -> tuple[Run, ...]:
    """Captured, processed and shown pictures a second, latency, and what was dropped."""
    now = scene.rates
    is_current = now.frame_age_s <= CURRENT_S

    def rate(value: float) -> Run:
        return figure(f"{value:.1f}" if is_current else "–", "000.0", size)

    runs = []
    if not short:
        runs += [dim("captured"), rate(now.captured_fps), dim("  processed")]
        runs += [rate(now.processed_fps), dim("  shown")]
    runs += [rate(now.shown_fps), dim(" fps   ·")]
    latency = f"{now.latency_ms:.0f}" if now.latency_ms and is_current else "–"
    runs += [figure(latency, "0000", size), dim(" ms")]
    if not short:
        colour = lut.TEXT if now.num_dropped else lut.DIM
        dropped = f"{now.num_dropped}"
        runs += [dim("   ·   dropped "), figure(dropped, "0" * max(4, len(dropped)), size, colour)]
    return tuple(runs)


def _pixel_text(scene: Scene, readout: Readout, target: Target) -> tuple[Run, ...]:
    """Place and class of a pixel of the dense output; with one class its value."""
    if scene.result is None or target.position is None:
        return ()
    row, column = target.position
    value = readout.hover_value
    if scene.result.labels_BHW is None:
        return dim(f"row {row}, column {column}   "), bright(number(value))
    return bright(class_name(scene.labels, round(value))), dim(f"   row {row}, column {column}")


def hover_text(scene: Scene, readout: Readout, target: Target) -> tuple[Run, ...]:
    """Name and value of what lies under the pointer; empty where there is nothing to say."""
    if target.kind == "top":
        return _top_text(scene, target)
    if target.kind == "layer":
        layer = next((layer for layer in scene.layers if layer.name == target.layer), None)
        return (bright(layer.name), dim(f"   {layer_facts(layer)}")) if layer is not None else ()
    if target.kind == "pixel":
        return _pixel_text(scene, readout, target)
    return _neuron_text(scene, readout, target)


def _top_text(scene: Scene, target: Target) -> tuple[Run, ...]:
    """Value and name of one of the best inputs."""
    tops = scene.learned.tops if scene.learned is not None else ()
    if target.place is None or target.place >= len(tops):
        return ()
    top = tops[target.place]
    value = "" if top.value is None else f"{number(top.value)}   "
    return (bright(value), dim(top.name))


def _neuron_text(scene: Scene, readout: Readout, target: Target) -> tuple[Run, ...]:
    """The same for units, neurons and pairs of units."""
    if scene.result is None or target.layer != scene.result.selection.layer:
        return ()
    if target.kind == "pair":
        names = bright(f"{target.unit} × {target.other_unit}")
        known = readout.page == "correlation" and len(readout.page_numbers) > 3
        r = readout.page_numbers[3] if known else math.nan
        return (names, dim("   r "), bright("–" if math.isnan(r) else signed_share(r)))
    if target.kind == "unit" and target.unit is not None:
        layer = next(layer for layer in scene.layers if layer.name == target.layer)
        single = layer.map_size == (1, 1)
        runs = [bright(f"unit {target.unit}"), dim("   " if single else "   max ")]
        runs.append(bright(number(readout.hover_value)))
        ends_in_classes = single or (
            layer.index == len(scene.layers) - 1 and scene.result.dense_BKHW is not None
        )
        if ends_in_classes and scene.labels is not None and layer.num_units == len(scene.labels):
            runs.insert(0, bright(class_name(scene.labels, target.unit) + "   "))
        change = scene.result.selection.change_of(layer.name, target.unit)
        if change is not None:
            runs.append(Run(f"   {change_words(change)}", lut.CHANGED))
        return tuple(runs)
    if target.kind == "position" and target.position is not None:
        row, column = target.position
        return (dim(f"row {row}, column {column}   "), bright(number(readout.hover_value)))
    return ()
